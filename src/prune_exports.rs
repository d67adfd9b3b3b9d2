//! Takes the callbacks that the filter does not need out of a linked module.
//!
//! The SDK exports every callback of the ABI, and Envoy enters the VM for each
//! one that is exported: for every chunk of a body, for trailers, for the log.
//! Without the export there is no entry, and what only it used can go as well.

use std::path::PathBuf;
use std::process::ExitCode;

use walrus::Module;

/// What Envoy calls. `proxy_on_delete` is among them because a stream has state.
const EXPORTS: [&str; 9] = [
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_memory_allocate",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
];

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = &paths[..] else {
        eprintln!("usage: prune-exports FROM.wasm TO.wasm");
        return ExitCode::from(2);
    };
    let pruned = Module::from_file(from).and_then(|mut module| {
        prune(&mut module);
        module.emit_wasm_file(to)
    });
    match pruned {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("prune-exports: {}: {error:#}", from.display());
            ExitCode::from(2)
        }
    }
}

fn prune(module: &mut Module) {
    let needless: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !EXPORTS.contains(&export.name.as_str()))
        .map(walrus::Export::id)
        .collect();
    for export in needless {
        module.exports.delete(export);
    }
    walrus::passes::gc::run(module);
}
