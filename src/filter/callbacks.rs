//! The functions that Envoy calls, instead of the SDK's.
//!
//! The SDK's own exports look up, box and borrow more than this filter needs,
//! and keep all of its hostcalls in the module. So `post-link` removes them and
//! gives these their names: `cors_on_…` becomes `proxy_on_…`. The signatures are
//! those of the
//! [ABI 0.2.1](https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1).
#![allow(unsafe_code)] // A symbol with a fixed name could collide with another.

use std::cell::RefCell;

use proxy_wasm::types::Action;

use super::Contexts;

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

/// Calls `f`, unless a host entered the VM anew from within one of its own
/// functions: then nothing is done, which grants nothing.
fn with<T: Default>(f: impl FnOnce(&mut Contexts) -> T) -> T {
    CONTEXTS.with(|contexts| contexts.try_borrow_mut().map(|mut c| f(&mut c)).unwrap_or_default())
}

#[unsafe(export_name = "cors_on_context_create")]
extern "C" fn on_context_create(id: u32, plugin: u32) {
    with(|contexts| contexts.create(id, plugin));
}

#[unsafe(export_name = "cors_on_configure")]
extern "C" fn on_configure(id: u32, _size: usize) -> bool {
    with(|contexts| contexts.configure(id))
}

#[unsafe(export_name = "cors_on_tick")]
extern "C" fn on_tick(id: u32) {
    with(|contexts| contexts.tick(id));
}

#[unsafe(export_name = "cors_on_request_headers")]
extern "C" fn on_request_headers(id: u32, _count: usize, _end_of_stream: bool) -> Action {
    let action =
        with(|contexts| contexts.streams.get_mut(&id).map(super::Stream::on_request_headers));
    action.unwrap_or(Action::Continue)
}

#[unsafe(export_name = "cors_on_response_headers")]
extern "C" fn on_response_headers(id: u32, _count: usize, _end_of_stream: bool) -> Action {
    with(|contexts| contexts.streams.get(&id).map(super::Stream::on_response_headers));
    Action::Continue
}

#[unsafe(export_name = "cors_on_delete")]
extern "C" fn on_delete(id: u32) {
    with(|contexts| contexts.delete(id));
}
