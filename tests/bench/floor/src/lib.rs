//! What no CORS filter undercuts: the calls that a request needs, in four
//! entries, and no decision. Every origin is allowed, every answer a constant,
//! and a response is treated as the latest request's: good enough for a
//! measurement, whose requests are all of one kind.

use std::cell::Cell;
use std::ptr::null_mut;

const REQUEST: u32 = 0;
const RESPONSE: u32 = 2;
const OK: u32 = 0;
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

const PREFLIGHT: [(&str, &str); 6] = [
    ("access-control-allow-origin", "https://a0.example"),
    ("access-control-allow-credentials", "true"),
    ("access-control-allow-methods", "PUT, DELETE"),
    ("access-control-allow-headers", "authorization, content-type"),
    ("access-control-max-age", "7200"),
    ("vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
];

thread_local! {
    static CORS: Cell<bool> = const { Cell::new(false) };
    static ANSWERED: Cell<bool> = const { Cell::new(false) };
    /// Envoy writes the values that it is asked for in here.
    static VALUE: Cell<[u8; 4096]> = const { Cell::new([0; 4096]) };
    static REPLY: Vec<u8> = serialize(&PREFLIGHT);
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
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

#[unsafe(no_mangle)]
pub extern "C" fn proxy_abi_version_0_2_1() {}

/// Fails for what is longer than any value of the benchmark: such a header then counts as absent.
#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    if size <= 4096 { VALUE.with(|value| value.as_ptr().cast()) } else { null_mut() }
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_context_create(_context: u32, _root: u32) {}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_request_headers(
    _context: u32,
    _count: usize,
    _end_of_stream: u32,
) -> u32 {
    CORS.set(has(REQUEST, "origin"));
    ANSWERED.set(CORS.get() && has(REQUEST, "access-control-request-method"));
    if !ANSWERED.get() {
        return CONTINUE;
    }
    has(REQUEST, ":method");
    has(REQUEST, "access-control-request-headers");
    let details = "cors_preflight";
    REPLY.with(|headers| {
        // SAFETY: the host reads the slices, which live across the call.
        unsafe {
            let (details, headers) = (details.as_bytes(), headers.as_slice());
            let (d, h) = (details.as_ptr(), headers.as_ptr());
            proxy_send_local_response(204, d, details.len(), [].as_ptr(), 0, h, headers.len(), -1);
        }
    });
    PAUSE
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_response_headers(
    _context: u32,
    _count: usize,
    _end_of_stream: u32,
) -> u32 {
    if ANSWERED.get() {
        return CONTINUE;
    }
    if CORS.get() {
        replace("access-control-allow-origin", "https://a0.example");
        replace("access-control-allow-credentials", "true");
        replace("access-control-expose-headers", "x-request-id");
    }
    if !has(RESPONSE, "vary") {
        let (name, value) = ("vary", "Origin");
        // SAFETY: the host reads both, which live across the call.
        unsafe {
            proxy_add_header_map_value(
                RESPONSE,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        };
    }
    CONTINUE
}

#[unsafe(no_mangle)]
pub extern "C" fn proxy_on_delete(_context: u32) {}

fn has(map: u32, name: &str) -> bool {
    let (mut value, mut size) = (null_mut(), 0);
    // SAFETY: the host reads `name` and writes the two words, which live across the call.
    unsafe {
        proxy_get_header_map_value(map, name.as_ptr(), name.len(), &raw mut value, &raw mut size)
            == OK
    }
}

fn replace(name: &str, value: &str) {
    // SAFETY: the host reads both, which live across the call.
    unsafe {
        proxy_replace_header_map_value(
            RESPONSE,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        )
    };
}

/// The ABI's form of a header map: the number of pairs, their sizes, then names and values, each with a zero byte behind it.
fn serialize(pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
    for size in pairs.iter().flat_map(|(name, value)| [name.len(), value.len()]) {
        bytes.extend((size as u32).to_le_bytes());
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text.as_bytes());
        bytes.push(0);
    }
    bytes
}
