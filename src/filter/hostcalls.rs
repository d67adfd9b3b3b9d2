//! The hostcalls of the request path, without the SDK's wrappers: those panic
//! on a status they do not know and on values that are not UTF-8, and cannot
//! pass response code details. Here a call that fails is a header that is not
//! there, or a change that is not made: silence grants nothing.
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
}

impl Headers {
    /// The value of a header, or `None` if it is not there. Envoy joins the
    /// lines of the headers that are read here with commas.
    pub fn get(self, name: &str) -> Option<Vec<u8>> {
        let mut value = null_mut();
        let mut size = 0;
        // SAFETY: the host reads `name` and writes the two words, which live
        // across the call.
        let status = unsafe {
            proxy_get_header_map_value(
                self as u32,
                name.as_ptr(),
                name.len(),
                &raw mut value,
                &raw mut size,
            )
        };
        match (status, value.is_null()) {
            (OK, true) => Some(Vec::new()),
            // SAFETY: the host got the memory from the SDK's
            // `proxy_on_memory_allocate`, which makes a boxed slice of this
            // size and forgets it.
            (OK, false) => Some(unsafe { Vec::from_raw_parts(value, size, size) }),
            _ => None,
        }
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
