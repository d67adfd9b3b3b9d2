//! The heap allocations of a request: those of `decide` and of `reply` or `edits`, beyond the
//! values that the host hands over.
//!
//! In the VM the SDK adds one to each stream, the box that holds its `HttpContext`, and the filter
//! one to each reply, for the form in which the host takes the headers.

#![allow(unsafe_code)] // An allocator is unsafe to write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use envoy_cors::{Outcome, Policies, decide};

const PLAIN: &str = r#"{
    "allowOrigins": ["https://app.example.com", "https://*.example.org"],
    "allowMethods": ["PUT"],
    "allowHeaders": ["x-a"],
    "exposeHeaders": ["x-b"],
    "maxAge": 5,
    "allowCredentials": true
}"#;

/// Host and path choose the policy, and preflights are answered with what they ask for.
const SCOPED: &str = r#"{
    "policies": [{
        "name": "api",
        "match": { "hosts": ["*.example.com"], "pathPrefixes": ["/api"] },
        "allowOrigins": ["https://app.example.com"],
        "allowMethods": ["*"],
        "allowHeaders": ["*"],
        "allowCredentials": true
    }]
}"#;

type Lines = &'static [(&'static str, &'static str)];

const APP: (&str, &str) = ("origin", "https://app.example.com");
const EVIL: (&str, &str) = ("origin", "https://evil.example.net");
const OWN: (&str, &str) = ("origin", "http://api.example.com");
const BY_WILDCARD: (&str, &str) = ("origin", "https://a.b.example.org");
const OPTIONS: (&str, &str) = (":method", "OPTIONS");
const PUT: (&str, &str) = ("access-control-request-method", "PUT");
const NAME: (&str, &str) = ("access-control-request-headers", "x-a");

/// What is decided, by which policy, about which lines beside those of `EVERY_GET`, with how many
/// allocations.
const ROWS: [(Outcome, &str, Lines, usize); 9] = [
    (Outcome::NotCors, PLAIN, &[], 0),
    (Outcome::ActualAllowed, PLAIN, &[APP], 0),
    (Outcome::ActualAllowed, PLAIN, &[BY_WILDCARD], 0),
    (Outcome::ActualDenied, PLAIN, &[EVIL], 0),
    (Outcome::SameOrigin, PLAIN, &[OWN], 0),
    (Outcome::PreflightAllowed, PLAIN, &[OPTIONS, APP, PUT, NAME], 1),
    (Outcome::PreflightDeniedOrigin, PLAIN, &[OPTIONS, EVIL, PUT, NAME], 1),
    (Outcome::ActualAllowed, SCOPED, &[APP], 0),
    (Outcome::PreflightAllowed, SCOPED, &[OPTIONS, APP, PUT, NAME], 4),
];

const EVERY_GET: Lines = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "api.example.com"),
    (":path", "/api/x"),
];

const RESPONSE: Lines = &[("vary", "Accept-Encoding")];

#[test]
fn requests_allocate_what_the_table_says() {
    let counted = ROWS.map(|(_, policy, request, _)| count(policy, request));
    assert_eq!(counted, ROWS.map(|(outcome, _, _, number)| (outcome, number)));
}

fn count(policy: &str, request: Lines) -> (Outcome, usize) {
    let policies = Policies::from_json(policy.as_bytes(), None).0.unwrap();
    ALLOCATIONS.set(0);
    let get = |name: &str| handed_over(request, name).or_else(|| handed_over(EVERY_GET, name));
    let decision = decide(&policies, get).unwrap();
    if decision.reply().is_none() {
        decision.edits(|name| handed_over(RESPONSE, name)).for_each(drop);
    }
    (decision.outcome(), ALLOCATIONS.get())
}

/// The value of a header, uncounted.
fn handed_over(lines: Lines, name: &str) -> Option<Vec<u8>> {
    let before = ALLOCATIONS.get();
    let line = lines.iter().find(|(other, _)| *other == name);
    let value = line.map(|(_, value)| value.as_bytes().to_vec());
    ALLOCATIONS.set(before);
    value
}

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// Counts for each thread. What grows is counted too: by default that is an `alloc`.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's allocator does all of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the promises that this asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, address: *mut u8, layout: Layout) {
        // SAFETY: as above, and `address` is the system's.
        unsafe { System.dealloc(address, layout) }
    }
}
