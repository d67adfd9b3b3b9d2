//! What Envoy may call in the filter, what the filter may call in Envoy, and how large it is.

use std::fs;

use libtest_mimic::{Failed, Trial};
use wasmparser::{DataKind, Operator, Parser, Payload};

use crate::bootstrap;
use crate::client::Result;

/// Envoy enters the VM for each callback that is there, needed or not.
const EXPORTS: [&str; 10] = [
    "_initialize",
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_memory_allocate",
    "proxy_on_request_headers",
    "proxy_on_response_headers",
    "proxy_on_tick",
];

/// A host that lacks one of these refuses the filter.
const IMPORTS: [&str; 33] = [
    "env.proxy_add_header_map_value",
    "env.proxy_call_foreign_function",
    "env.proxy_define_metric",
    "env.proxy_dequeue_shared_queue",
    "env.proxy_done",
    "env.proxy_enqueue_shared_queue",
    "env.proxy_get_buffer_bytes",
    "env.proxy_get_current_time_nanoseconds",
    "env.proxy_get_header_map_pairs",
    "env.proxy_get_header_map_value",
    "env.proxy_get_property",
    "env.proxy_get_shared_data",
    "env.proxy_get_status",
    "env.proxy_grpc_call",
    "env.proxy_grpc_cancel",
    "env.proxy_grpc_close",
    "env.proxy_grpc_send",
    "env.proxy_grpc_stream",
    "env.proxy_http_call",
    "env.proxy_increment_metric",
    "env.proxy_log",
    "env.proxy_register_shared_queue",
    "env.proxy_remove_header_map_value",
    "env.proxy_replace_header_map_value",
    "env.proxy_resolve_shared_queue",
    "env.proxy_send_local_response",
    "env.proxy_set_property",
    "env.proxy_set_shared_data",
    "env.proxy_set_tick_period_milliseconds",
    "wasi_snapshot_preview1.environ_get",
    "wasi_snapshot_preview1.environ_sizes_get",
    "wasi_snapshot_preview1.fd_write",
    "wasi_snapshot_preview1.proc_exit",
];

/// What a change may not exceed unseen: the module has 283 KiB, most of them of the standard library.
const MAX_SIZE: usize = 288 * 1024;

pub fn trials() -> [Trial; 3] {
    [
        Trial::test("module: exports", || same(&EXPORTS, &Module::read()?.exports)),
        Trial::test("module: imports", || same(&IMPORTS, &Module::read()?.imports)),
        Trial::test("module: size", || match Module::read()?.size {
            ..=MAX_SIZE => Ok(()),
            size => Err(format!("{size} bytes, at most {MAX_SIZE}").into()),
        }),
    ]
}

fn same(expected: &[&str], actual: &[String]) -> std::result::Result<(), Failed> {
    if expected == actual {
        return Ok(());
    }
    let missing: Vec<_> = expected.iter().filter(|it| !actual.iter().any(|a| a == *it)).collect();
    let new: Vec<_> = actual.iter().filter(|it| !expected.contains(&it.as_str())).collect();
    Err(format!("missing: {missing:#?}\nnew: {new:#?}").into())
}

/// What the tests ask of the filter's file. Names are sorted.
pub struct Module {
    size: usize,
    pub exports: Vec<String>,
    imports: Vec<String>,
    /// What stands in its memory from the start, by address.
    data: Vec<(usize, Vec<u8>)>,
}

impl Module {
    pub fn read() -> Result<Self> {
        let bytes = fs::read(bootstrap::wasm()?)?;
        let (mut exports, mut imports, mut data) = (Vec::new(), Vec::new(), Vec::new());
        for payload in Parser::new(0).parse_all(&bytes) {
            match payload? {
                Payload::ExportSection(section) => {
                    for export in section {
                        exports.push(export?.name.to_owned());
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        imports.push(format!("{}.{}", import.module, import.name));
                    }
                }
                Payload::DataSection(section) => {
                    for segment in section {
                        let segment = segment?;
                        if let DataKind::Active { offset_expr, .. } = segment.kind
                            && let Operator::I32Const { value } =
                                offset_expr.get_operators_reader().read()?
                        {
                            data.push((usize::try_from(value)?, segment.data.to_vec()));
                        }
                    }
                }
                _ => {}
            }
        }
        exports.sort();
        imports.sort();
        Ok(Self { size: bytes.len(), exports, imports, data })
    }

    /// The constant text at `address`.
    pub fn text(&self, address: usize, len: usize) -> Option<&str> {
        self.data.iter().find_map(|(start, bytes)| {
            let from = address.checked_sub(*start)?;
            str::from_utf8(bytes.get(from..from.checked_add(len)?)?).ok()
        })
    }
}
