//! Gives a linked module the exports that the filter needs, and no others.
//!
//! The SDK exports every callback of the ABI, and Envoy enters the VM for each
//! one that is exported: for every chunk of a body, for trailers, for the log.
//! Here they go, the filter's own callbacks take the names of those that it
//! needs, and what nothing calls any more goes too.

use std::path::PathBuf;
use std::process::ExitCode;

use walrus::Module;

/// What stays as the linker exported it.
const KEPT: [&str; 4] =
    ["_initialize", "memory", "proxy_abi_version_0_2_1", "proxy_on_memory_allocate"];

/// The prefix of the filter's own callbacks, and of the ABI's.
const RENAMED: (&str, &str) = ("cors_on_", "proxy_on_");

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = &paths[..] else {
        eprintln!("usage: post-link FROM.wasm TO.wasm");
        return ExitCode::from(2);
    };
    let pruned = Module::from_file(from).and_then(|mut module| {
        prune(&mut module);
        module.emit_wasm_file(to)
    });
    match pruned {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("post-link: {}: {error:#}", from.display());
            ExitCode::from(2)
        }
    }
}

fn prune(module: &mut Module) {
    let needless: Vec<_> = module
        .exports
        .iter()
        .filter(|export| {
            !KEPT.contains(&export.name.as_str()) && !export.name.starts_with(RENAMED.0)
        })
        .map(walrus::Export::id)
        .collect();
    for export in needless {
        module.exports.delete(export);
    }
    for export in module.exports.iter_mut() {
        if let Some(callback) = export.name.strip_prefix(RENAMED.0) {
            export.name = format!("{}{callback}", RENAMED.1);
        }
    }
    walrus::passes::gc::run(module);
}
