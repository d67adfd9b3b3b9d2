//! Cases, drawn from what pages and servers do, right and wrong.

use envoy_cors::browser::{Credentials, Mode, Response};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::case::{Case, Hop, Lines, Origins};

/// This many cases, always the same ones for a seed.
pub fn cases(origins: &Origins, seed: u64, count: usize) -> Vec<Case> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = case(origins.clone());
    (0..count).map(|_| strategy.new_tree(&mut runner).expect("no filters").current()).collect()
}

fn case(origins: Origins) -> impl Strategy<Value = Case> {
    let mode = prop_oneof![
        36 => Just(Mode::Cors),
        3 => Just(Mode::NoCors),
        1 => Just(Mode::SameOrigin),
    ];
    let credentials =
        select(vec![Credentials::Omit, Credentials::SameOrigin, Credentials::Include]);
    let request = (mode, credentials, method(), headers());
    request.prop_flat_map(move |(mode, credentials, method, headers)| {
        let names: Vec<_> = headers.iter().map(|(name, _)| name.clone()).collect();
        hops(&origins, &method, &names).prop_map(move |hops| Case {
            method: method.clone(),
            headers: headers.clone(),
            mode,
            credentials,
            hops,
        })
    })
}

fn text(text: &str) -> BoxedStrategy<String> {
    Just(text.to_owned()).boxed()
}

fn any_of(texts: &[&str]) -> BoxedStrategy<String> {
    select(texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>()).boxed()
}

fn method() -> impl Strategy<Value = String> {
    prop_oneof![
        14 => any_of(&["GET", "POST", "HEAD"]),
        14 => any_of(&["PUT", "PATCH", "DELETE", "OPTIONS"]),
        4 => any_of(&["get", "Post", "put", "Delete", "patch", "Patch", "options"]),
        2 => any_of(&["PROPFIND", "M-SEARCH", "*", "x", "GETS", "!#$%&'*+-.^_`|~"]),
        1 => any_of(&["TRACE", "connect", "Track", "", "P UT", "PUT,", "GET\u{e9}"]),
    ]
}

fn headers() -> impl Strategy<Value = Lines> {
    let letters =
        |from, to| "[a-z]".prop_flat_map(move |c| (from..to).prop_map(move |n| c.repeat(n)));
    let long = letters(126usize, 131usize);
    let accept = prop_oneof![
        4 => any_of(&["*/*", "", "application/json;q=0.5, */*", "a\"b", "a\u{1}", "a\u{7f}", "\u{e9}", "a\tb", "/=;,"]),
        1 => "[ -~]{0,5}",
        1 => long.clone(),
    ];
    let language = prop_oneof![
        4 => any_of(&["de", "de-DE, en;q=0.5, *", "", "de_DE", "@", "a\tb", "\u{1}"]),
        1 => "[ -~]{0,4}",
        1 => long.clone(),
    ];
    let content_type = prop_oneof![
        4 => any_of(&["text/plain", "application/json", "multipart/form-data", "application/x-www-form-urlencoded"]),
        4 => any_of(&[
            "Text/PLAIN;charset=utf-8", "text/plain;", "text/plain;garbage", "text/plain;garbage\u{1}\u{2}",
            "text/plain,", ",text/plain", "text/plain,text/plain", "text/plain,x/x", "text/plain\u{b}",
            "text/plain\u{c}", "text /plain", "text\t/\tplain", "text/ plain", "text/plain ;x", "text/plain\t;x", "text/html",
            "multipart/form-data;\"", "application/x-www-form-urlencoded;\u{7f}", "", "/", "text", "text/", "/plain", ";",
            "text/plain;charset=\u{e9}", "text/pl\u{e9}in",
        ]),
        1 => (100usize..130).prop_map(|n| format!("text/plain; long={}", "0".repeat(n))),
    ];
    let range = prop_oneof![
        2 => any_of(&["bytes=0-", "bytes=100-200"]),
        4 => any_of(&[
            "100-200", "MB=100-200", "bytes =100-200", "bytes\t=100-200", "bytes=  100-200", "bytes=100 -200",
            "bytes=100- 200", "bytes=100-200hello", "bytes=abc-def", "bytes=100-200,300-400", "bytes=-200",
            "bytes=200-", "bytes=200-100", "bytes 100-200", "bytes = 100-200", ",bytes=100-200", "bytes=,100-200",
            "Bytes=0-1", "bytes=0-0", "bytes=007-8", "bytes=-", "bytes=", "bytes", "bytes=1-2-3",
        ]),
    ];
    let custom = prop_oneof![
        3 => any_of(&["", "1", "a, b", "\u{e9}", " padded\t"]),
        1 => "[ -~]{0,5}",
    ];
    let named = |name: &[&str], value: BoxedStrategy<String>| (any_of(name), value).boxed();
    let header = prop_oneof![
        12 => named(&["Accept", "accept"], accept.boxed()),
        12 => named(&["Accept-Language", "content-language"], language.boxed()),
        16 => named(&["Content-Type", "content-type"], content_type.boxed()),
        8 => named(&["Range"], range.boxed()),
        8 => named(&["Authorization", "authorization"], any_of(&["Bearer x", ""])),
        20 => named(&["X-A", "x-b", "X-Requested-With", "If-Match", "x_c", "*", "Last-Event-ID"], custom.boxed()),
        4 => named(
            &["Cookie", "Cookie2", "Host", "Origin", "Sec-Fetch-Mode", "Sec-X", "Proxy-Y", "DNT", "Date", "Via", "TE",
              "Connection", "Content-Length", "Access-Control-Request-Method", "Access-Control-Request-Headers",
              "Accept-Encoding", "accept-charset", "Expect", "Keep-Alive", "Referer", "Set-Cookie", "Trailer",
              "Transfer-Encoding", "Upgrade"],
            text("dropped"),
        ),
        4 => named(
            &["X-HTTP-Method-Override", "x-http-method", "X-Method-Override"],
            any_of(&["PUT", "TRACE", "put, connect", "\"TRACE\"", "tracer", "", "track ,x"]),
        ),
        4 => named(
            &["DPR", "Width", "Viewport-Width", "Device-Memory", "RTT", "Downlink", "ECT", "Save-Data", "Intervention"],
            any_of(&["1", "1.5", "on", "4g", "x", "", "1.", "-1", "On"]),
        ),
        1 => named(&["x a", "", "x:", "\u{e9}", "x-a"], any_of(&["1"])),
        1 => named(&["X-A", "Accept"], any_of(&["a\u{0}b", "a\rb", "a\nb", "\u{0}"])),
    ];
    let bytes = |(name, value): (String, String)| (name, value.chars().map(|c| c as u8).collect());
    prop_oneof![
        30 => vec(header.prop_map(bytes), 0..4),
        // Many safelisted bytes, more than a browser lets pass.
        1 => (120usize..129, 0usize..4).prop_map(|(n, more)| {
            let value = b"a".repeat(n);
            let names = ["Accept", "Accept-Language", "Content-Language"].iter().cycle();
            names.take(6 + more).map(|name| ((*name).to_owned(), value.clone())).collect()
        }),
    ]
}

/// One hop, or a chain of redirects.
fn hops(
    origins: &Origins,
    method: &str,
    names: &[String],
) -> impl Strategy<Value = Vec<Hop>> + use<> {
    let (origins, method, names) = (origins.clone(), method.to_owned(), names.to_vec());
    let length = prop_oneof![6 => Just(1usize), 2 => Just(2), 1 => Just(3)];
    length.prop_flat_map(move |length| {
        let hops: Vec<_> = (0..length)
            .map(|index| hop(&origins, &method, &names, index, index + 1 < length).boxed())
            .collect();
        hops
    })
}

fn hop(
    origins: &Origins,
    method: &str,
    names: &[String],
    index: usize,
    redirects: bool,
) -> impl Strategy<Value = Hop> + use<> {
    let Origins { page, other, third } = origins.clone();
    let origin = prop_oneof![8 => Just(other), 1 => Just(page.clone()), 1 => Just(third)];
    let user_info = prop::bool::weighted(if index == 0 { 0.0 } else { 0.1 });
    let answers = (preflight(&page, method, names, index), response(&page, index, redirects));
    (origin, user_info, answers).prop_map(|(origin, user_info, (preflight, response))| Hop {
        origin,
        user_info,
        preflight,
        response,
    })
}

fn preflight(
    page: &str,
    method: &str,
    names: &[String],
    index: usize,
) -> impl Strategy<Value = Response> + use<> {
    let status = prop_oneof![
        12 => select(vec![200u16, 204]),
        1 => select(vec![201, 202, 203, 205, 206, 226, 299]),
        2 => select(vec![300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 403, 404, 405, 500, 501, 503]),
    ];
    let location = prop_oneof![2 => Just(None), 1 => Just(Some(b"/elsewhere".to_vec()))];
    let max_age = prop_oneof![
        3 => Just(None),
        1 => any_of(&["0", "1", "600", "-1", "x", ""]).prop_map(|text| Some(text.into_bytes())),
    ];
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let lines = (
        grant(page, index),
        list("Access-Control-Allow-Methods", &[method, "PUT", "PATCH", "patch", "GET"]),
        list("Access-Control-Allow-Headers", &[&names[..], &["x-a", "Authorization"]].concat()),
    );
    (status, location, max_age, lines).prop_map(|(status, location, max_age, lines)| {
        let (mut headers, methods, names) = lines;
        headers.extend(methods);
        headers.extend(names);
        let redirects = matches!(status, 301 | 302 | 303 | 307 | 308);
        headers.extend(location.filter(|_| redirects).map(|value| ("Location".to_owned(), value)));
        headers.extend(max_age.map(|value| ("Access-Control-Max-Age".to_owned(), value)));
        Response { status, headers }
    })
}

fn response(page: &str, index: usize, redirects: bool) -> impl Strategy<Value = Response> + use<> {
    let status = if redirects {
        select(vec![301u16, 302, 303, 307, 308]).boxed()
    } else {
        prop_oneof![
            4 => Just(200u16),
            2 => select(vec![201, 204, 206, 300, 400, 401, 403, 404, 429, 500, 503]),
        ]
        .boxed()
    };
    let header = (
        any_of(&[
            "X-A",
            "x-b",
            "Content-Language",
            "Cache-Control",
            "Expires",
            "Pragma",
            "Last-Modified",
            "ETag",
            "Set-Cookie",
            "Content-Type",
            "X-Request-ID",
            "Vary",
            "Location2",
            "*",
        ]),
        any_of(&["1", "a", "no-store", "text/plain"]),
    )
        .prop_map(|(name, value)| (name, value.into_bytes()));
    let exposed = &["X-A", "X-B", "x-request-id", "ETag", "Set-Cookie", "Content-Type"];
    let lines =
        (grant(page, index), list("Access-Control-Expose-Headers", exposed), vec(header, 0..6));
    (status, lines).prop_map(|(status, (mut headers, exposed, more))| {
        headers.extend(exposed);
        headers.extend(more);
        Response { status, headers }
    })
}

/// ACAO and ACAC.
fn grant(page: &str, index: usize) -> impl Strategy<Value = Lines> + use<> {
    let right = prop_oneof![4 => text(page), 2 => text("*")];
    let right =
        if index == 0 { right.boxed() } else { prop_oneof![1 => right, 1 => text("null")].boxed() };
    let host = page.strip_prefix("http://").unwrap_or(page);
    let wrong = prop_oneof![
        1 => any_of(&[
            "null", "", "*", "**", "-", "'*'", "\"*\"", "* *", "* null", "null *", "*http://*", "\u{0}*", "*\u{0}", "true",
            "http://example.net", "http://*.example", ".example", "*.example", "http://", "http:", "https://a b",
            "http://a,http://b", "data:", "file:///", "about:blank", "http://[::1", "http://a:99999", "http://a:b",
            "//a", "http:a", "http:/a", "http://%41.example/?#", "http://b\u{e9}", "http://a/b",
            "mailto:x", "a:b", "1:b", "http://user@a", "http://.", "http://a..b", "http://a\u{1}",
            "Null", "NULL", "http//a", "http;//a",
        ]),
        1 => prop_oneof![
            text(&format!("{page}/")), text(&format!("HTTP://{host}")), text(&format!("https://{host}")),
            text(&format!("{page}, {page}")), text(&format!("{page} {page}")), text(&format!("*, {page}")),
            text(&format!("{page},")), text(&format!("{page}\u{1}")), text(host), text(&format!("//{host}")),
            text(&format!("{page}0")), text(&page[..page.len() - 1]), text(&format!("'{page}'")), text(&format!("{page};")),
            text(&format!("http://x{host}")), text("http://localhost"), text(&format!("{page}?")), text(&format!("{page}#x")),
        ],
    ];
    let padded = |value: BoxedStrategy<String>| {
        (any_of(&["", "", "", " ", "\t", "  \t"]), value, any_of(&["", "", "", " ", "\t "]))
            .prop_map(|(before, value, after)| format!("{before}{value}{after}"))
    };
    let origins = prop_oneof![
        14 => padded(right.clone()).prop_map(|value| vec![value]),
        4 => padded(wrong.boxed()).prop_map(|value| vec![value]),
        1 => Just(Vec::new()),
        1 => (right.clone(), prop_oneof![right, text("")]).prop_map(|(one, other)| vec![one, other]),
    ];
    let credentials = prop_oneof![
        6 => Just(vec!["true"]),
        2 => Just(vec![]),
        1 => select(vec![" true ", "True", "TRUE", "1", "false", "", "true,", "true;", "\"true\""]).prop_map(|v| vec![v]),
        1 => select(vec![vec!["true", "true"], vec!["true", ""], vec!["false", "true"]]),
    ];
    let case = any_of(&["Access-Control-Allow-", "access-control-allow-", "ACCESS-CONTROL-ALLOW-"]);
    (case, origins, credentials).prop_map(|(case, origins, credentials)| {
        let latin1 = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<_>>();
        let origins = origins.iter().map(|value| (format!("{case}Origin"), latin1(value)));
        let credentials =
            credentials.iter().map(|value| (format!("{case}Credentials"), latin1(value)));
        origins.chain(credentials).collect()
    })
}

/// Lines with a list of these names, some of them, others, or what is no list.
fn list(header: &'static str, names: &[&str]) -> impl Strategy<Value = Lines> + use<> {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let name = prop_oneof![8 => select(names.clone()), 1 => text("*"), 1 => any_of(&["x-other", "PUT", ""])];
    let cased = (name, 0..6).prop_map(|(name, case)| match case {
        0 => name.to_ascii_uppercase(),
        1 => name.to_ascii_lowercase(),
        _ => name,
    });
    let separator = any_of(&[",", ", ", ",", ", ", " ,\t", ",,", " , , "]);
    let some = (vec(cased, 1..5), separator).prop_map(|(names, separator)| names.join(&separator));
    let broken = any_of(&[
        "x a",
        "PUT GET",
        "a;b",
        "\"PUT\"",
        "(",
        "PUT;",
        "x-a x-b",
        "*,@",
        "b\u{e9}",
        "x\u{1}",
        "x,=",
        "PUT:",
        "\u{b}PUT",
        "PUT\u{c}",
        "x{}",
        "<a>",
        "/",
        "[",
        "a/b",
        "?",
        "\\",
        "PUT\tGET",
        "PUT,\u{0}",
    ]);
    let line = || {
        prop_oneof![
            5 => Just(names.join(", ")),
            8 => some.clone(),
            2 => text("*"),
            1 => broken.clone(),
        ]
    };
    let lines = prop_oneof![
        8 => vec(line(), 1..2),
        1 => Just(Vec::new()),
        1 => vec(line(), 2..3),
    ];
    lines.prop_map(move |lines| {
        let latin1 = |text: String| text.chars().map(|c| c as u8).collect::<Vec<_>>();
        lines.into_iter().map(|line| (header.to_owned(), latin1(line))).collect()
    })
}
