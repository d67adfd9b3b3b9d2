//! The rows of `tests/cases`, and what no row can say, through a real Envoy.
//!
//! `ENVOY` names the Envoy to run, `ENVOY_CORS_WASM` the filter (`dist/envoy_cors.wasm` if unset).
//! With `ENVOY_CORS_COMPOSE` set, containers of `ENVOY_IMAGE` run instead, by the command in
//! `COMPOSE`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bootstrap;
mod capabilities;
mod client;
mod config_dump;
mod connection;
mod counters;
mod counts;
mod gateway;
mod hostile;
mod import;
mod keep_alive;
mod launcher;
mod live;
mod load;
mod module;
mod probe;
mod process;
mod refused;
mod reload;
mod render;
mod reports;
mod rollout;
mod round_trip;
mod rows;
mod shared_vm;
#[path = "../table/mod.rs"]
mod table;
mod transparent;
mod upstream;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = libtest_mimic::Arguments::from_args();
    if !args.list
        && let Err(error) = launcher::set_up()
    {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    // They wait a lot: the others run meanwhile.
    let mut trials = reload::trials();
    trials.extend(shared_vm::trials());
    trials.extend(rows::trials());
    trials.extend(gateway::trials());
    trials.extend(refused::trials());
    trials.extend([hostile::trial(), connection::trial(), load::trial()]);
    trials.extend(transparent::trials());
    trials.extend(module::trials());
    trials.extend(counts::trials());
    trials.push(counters::trial());
    trials.extend(reports::trials());
    trials.extend([rollout::trial(), config_dump::trial()]);
    trials.extend(capabilities::trials());
    trials.extend([probe::trial(), render::trial(), round_trip::trial()]);
    trials.extend(import::trials());
    let conclusion = libtest_mimic::run(&args, trials);
    if process::any_crashed() {
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
