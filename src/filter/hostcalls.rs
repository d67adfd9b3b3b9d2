//! The hostcalls, without the SDK's wrappers: those panic on a status they do
//! not know and on values that are not UTF-8, and cannot pass response code
//! details. Here a call that fails is a value that is not there, or a change
//! that is not made: silence grants nothing, and a host without metrics or
//! timers has none.
//!
//! The functions are those of the
//! [ABI 0.2.1](https://github.com/proxy-wasm/spec/tree/main/abi-versions/v0.2.1).
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::ptr::null_mut;

/// A header map, by its number in the ABI.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Headers {
    Request = 0,
    Response = 2,
}

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
/// `BufferType::PluginConfiguration`.
const PLUGIN_CONFIGURATION: u32 = 7;
/// `MetricType::Counter`.
const COUNTER: u32 = 0;
/// The value of `grpc_status` for a response that is not one of gRPC.
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        most: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
}

/// The bytes that a call of the host hands over, or its status if that is not
/// `OK`.
fn handed_over(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, u32> {
    let mut value = null_mut();
    let mut size = 0;
    match (call(&raw mut value, &raw mut size), value.is_null()) {
        (OK, true) => Ok(Vec::new()),
        // SAFETY: the host got the memory from the SDK's
        // `proxy_on_memory_allocate`, which makes a boxed slice of this size
        // and forgets it.
        (OK, false) => Ok(unsafe { Vec::from_raw_parts(value, size, size) }),
        (status, _) => Err(status),
    }
}

impl Headers {
    /// The value of a header, or `None` if it is not there. Envoy joins the
    /// lines of the headers that are read here with commas.
    pub fn get(self, name: &str) -> Option<Vec<u8>> {
        // SAFETY: the host reads `name` and writes the two words, which live
        // across the call.
        handed_over(|value, size| unsafe {
            proxy_get_header_map_value(self as u32, name.as_ptr(), name.len(), value, size)
        })
        .ok()
    }

    /// Gives a header this one value, whether it was there or not.
    pub fn replace(self, name: &str, value: &[u8]) {
        // SAFETY: the host reads both slices, which live across the call.
        unsafe {
            proxy_replace_header_map_value(
                self as u32,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            );
        }
    }

    /// Adds a value to those that a header has.
    pub fn add(self, name: &str, value: &[u8]) {
        // SAFETY: the host reads both slices, which live across the call.
        unsafe {
            proxy_add_header_map_value(
                self as u32,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            );
        }
    }

    /// Removes a header, if it is there.
    pub fn remove(self, name: &str) {
        // SAFETY: the host reads the slice, which lives across the call.
        unsafe {
            proxy_remove_header_map_value(self as u32, name.as_ptr(), name.len());
        }
    }
}

/// The text that the plugin is configured with; empty if there is none.
pub fn configuration() -> Vec<u8> {
    // SAFETY: the host writes the two words, which live across the call.
    handed_over(|value, size| unsafe {
        proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, usize::MAX, value, size)
    })
    .unwrap_or_default()
}

/// A property of the plugin; empty if there is none.
pub fn property(name: &str) -> Vec<u8> {
    // SAFETY: the host reads `name` and writes the two words, which live
    // across the call.
    handed_over(|value, size| unsafe { proxy_get_property(name.as_ptr(), name.len(), value, size) })
        .unwrap_or_default()
}

/// Sets the stream's filter state `wasm.<name>`.
pub fn set_filter_state(name: &str, value: &str) {
    // SAFETY: the host reads both texts, which live across the call.
    unsafe {
        proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len());
    }
}

/// A value that all VMs of Envoy's with one `vm_id` share, changed by one at a
/// time.
pub struct Shared {
    key: String,
}

impl Shared {
    /// The value of this key; the same for all VMs.
    pub fn new(key: String) -> Self {
        Self { key }
    }

    /// Reads the value, empty if there is none, and writes what `change` makes
    /// of it; nothing if that is `None`. Tells whether that was done: the host
    /// may have no shared values, or others may have been faster each time.
    pub fn update(&self, mut change: impl FnMut(&[u8]) -> Option<Vec<u8>>) -> bool {
        const ATTEMPTS: usize = 3;
        (0..ATTEMPTS).any(|_| {
            let Some((value, version)) = self.get() else { return false };
            change(&value).is_none_or(|new| self.set(&new, version))
        })
    }

    fn get(&self) -> Option<(Vec<u8>, u32)> {
        let Self { key } = self;
        let mut version = 0;
        // SAFETY: the host reads `key` and writes the three words, which live
        // across the call.
        let value = handed_over(|value, size| unsafe {
            proxy_get_shared_data(key.as_ptr(), key.len(), value, size, &raw mut version)
        });
        match value {
            Ok(value) => Some((value, version)),
            Err(NOT_FOUND) => Some((Vec::new(), 0)),
            Err(_) => None,
        }
    }

    /// Whether the value still had this version; 0 is any.
    fn set(&self, value: &[u8], version: u32) -> bool {
        let Self { key } = self;
        // SAFETY: the host reads both slices, which live across the call.
        let status = unsafe {
            proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version)
        };
        status == OK
    }
}

/// Makes a counter known, and gives its number in this VM: a new one each time.
pub fn define_counter(name: &str) -> Option<u32> {
    let mut id = 0;
    // SAFETY: the host reads `name` and writes the word, which lives across
    // the call.
    let status = unsafe { proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &raw mut id) };
    (status == OK).then_some(id)
}

/// Adds to a counter.
pub fn increment_counter(id: u32, by: i64) {
    // SAFETY: takes numbers only.
    unsafe {
        proxy_increment_metric(id, by);
    }
}

/// Asks for `proxy_on_tick` on the plugin that is being configured.
pub fn set_tick_period(milliseconds: u32) {
    // SAFETY: takes a number only.
    unsafe {
        proxy_set_tick_period_milliseconds(milliseconds);
    }
}

/// Nanoseconds since 1970; 0 if the host has no clock.
pub fn now() -> u64 {
    let mut time = 0;
    // SAFETY: the host writes the word, which lives across the call.
    unsafe {
        proxy_get_current_time_nanoseconds(&raw mut time);
    }
    time
}

/// Answers the request from here, with an empty body. `details` becomes
/// `%RESPONSE_CODE_DETAILS%`.
pub fn send_local_response(status: u32, details: &str, headers: &[(&str, Cow<'_, [u8]>)]) {
    let headers = serialize(headers);
    // SAFETY: the host reads the slices, which live across the call; an empty
    // one may have any address.
    unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            [].as_ptr(),
            0,
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        );
    }
}

/// The ABI's form of a header map: the number of pairs, the sizes of each name
/// and value, then these, each with a zero byte behind it.
fn serialize(pairs: &[(&str, Cow<'_, [u8]>)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512);
    // On wasm32 a length is 32 bits wide.
    let mut push_len = |len: usize| bytes.extend_from_slice(&(len as u32).to_le_bytes());
    push_len(pairs.len());
    for (name, value) in pairs {
        push_len(name.len());
        push_len(value.len());
    }
    for (name, value) in pairs {
        for text in [name.as_bytes(), value] {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
    }
    bytes
}
