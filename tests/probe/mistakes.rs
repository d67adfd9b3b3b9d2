//! Servers that each make one classic mistake, and all that is found there.

use serde_json::Value;

use crate::probe;
use crate::server::{Asked, Server, reply};

const APP: &str = "https://app.example.com";
const ORIGIN: &str = "Access-Control-Allow-Origin";
const CREDENTIALS: (&str, &str) = ("Access-Control-Allow-Credentials", "true");
const METHODS: (&str, &str) = ("Access-Control-Allow-Methods", "PUT, DELETE");
const HEADERS: (&str, &str) = ("Access-Control-Allow-Headers", "authorization, content-type");
const VARY: (&str, &str) = ("Vary", "Origin");

/// Pages use GET and PUT, with a header and with credentials.
const FULL: &[&str] = &[
    "--origin=https://app.example.com",
    "--method=GET",
    "--method=PUT",
    "--header=Content-Type: application/json",
    "--credentials",
];

/// Pages use GET alone.
const SIMPLE: &[&str] = &["--origin=https://app.example.com"];

/// Pages use GET alone, with credentials.
const LOGIN: &[&str] = &["--origin=https://app.example.com", "--credentials"];

/// A server that does it right.
fn healthy(asked: &Asked) -> Vec<u8> {
    like_healthy(asked, |origin| origin == APP)
}

/// A server that allows the origins that `allows` allows, with credentials.
fn like_healthy(asked: &Asked, allows: impl Fn(&str) -> bool) -> Vec<u8> {
    let grant = (ORIGIN, asked.origin());
    let allowed = asked.get("origin").is_some_and(allows);
    match (asked.is_preflight(), allowed) {
        (true, true) => reply(204, &[grant, CREDENTIALS, METHODS, HEADERS, VARY]),
        (true, false) => reply(403, &[VARY]),
        (false, true) => reply(status(asked), &[grant, CREDENTIALS, VARY]),
        (false, false) => reply(status(asked), &[VARY]),
    }
}

fn status(asked: &Asked) -> u16 {
    match asked.path.as_str() {
        "/missing" => 404,
        "/private" => 401,
        _ => 200,
    }
}

/// What a server does wrong with preflights, and nothing else.
fn with_preflights(asked: &Asked, answer: impl Fn() -> Vec<u8>) -> Vec<u8> {
    if asked.is_preflight() && asked.origin() == APP { answer() } else { healthy(asked) }
}

/// What a server answers to the page's own requests.
fn with_requests(asked: &Asked, answer: impl Fn() -> Vec<u8>) -> Vec<u8> {
    if !asked.is_preflight() && asked.origin() == APP { answer() } else { healthy(asked) }
}

struct Row {
    case: &'static str,
    server: fn(&Asked) -> Vec<u8>,
    arguments: &'static [&'static str],
    /// All findings: severity, rule, and the beginning of the message or all of it.
    finds: &'static [(&'static str, &'static str)],
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { case: "healthy", server: healthy, arguments: FULL, finds: &[] },
    Row {
        case: "healthy, errors too",
        server: healthy,
        arguments: &["--origin=https://app.example.com", "--credentials", "--not-found=/missing", "--unauthorized=/private"],
        finds: &[],
    },
    Row {
        case: "healthy and public",
        server: |_| reply(200, &[(ORIGIN, "*")]),
        arguments: &["--public"],
        finds: &[],
    },
    Row {
        case: "one origin for all, as a constant",
        server: |asked| {
            let status = if asked.is_preflight() { 204 } else { 200 };
            reply(status, &[(ORIGIN, APP), CREDENTIALS, METHODS, HEADERS])
        },
        arguments: FULL,
        finds: &[],
    },
    Row {
        case: "no CORS at all",
        server: |_| reply(200, &[]),
        arguments: FULL,
        finds: &[("error no-cors", "no response has a CORS header, whatever the origin (the preflight gets 200)")],
    },
    Row {
        case: "no CORS at all, and no OPTIONS either",
        server: |asked| reply(if asked.method == "OPTIONS" { 405 } else { 200 }, &[]),
        arguments: FULL,
        finds: &[("error no-cors", "no response has a CORS header, whatever the origin (the preflight gets 405)")],
    },
    Row {
        case: "no CORS at all, asked without a preflight",
        server: |_| reply(200, &[]),
        arguments: SIMPLE,
        finds: &[("error no-cors", "no response has a CORS header, whatever the origin")],
    },
    Row {
        case: "preflight: 404",
        server: |asked| with_preflights(asked, || reply(404, &[])),
        arguments: FULL,
        finds: &[
            ("error preflight-unanswered", "the preflight of GET gets 404 and no CORS headers"),
            ("error preflight-unanswered", "the preflight of PUT gets 404 and no CORS headers"),
        ],
    },
    Row {
        case: "preflight: 405",
        server: |asked| if asked.method == "OPTIONS" { reply(405, &[("Allow", "GET")]) } else { healthy(asked) },
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-unanswered", "the preflight of PUT gets 405 and no CORS headers")],
    },
    Row {
        case: "preflight: 503",
        server: |asked| with_preflights(asked, || reply(503, &[])),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-unanswered", "the preflight of PUT gets 503 and no CORS headers")],
    },
    Row {
        case: "preflight: the application answers, as to any OPTIONS",
        server: |asked| with_preflights(asked, || reply(200, &[("Allow", "GET, PUT")])),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-unanswered", "the preflight of PUT gets 200 and no CORS headers")],
    },
    Row {
        case: "preflight: 404, and only PUT is offered",
        server: |asked| reply(if asked.method == "OPTIONS" { 404 } else { 405 }, &[]),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-unanswered", "the preflight of PUT gets 404 and no CORS headers")],
    },
    Row {
        case: "preflight: the connection is closed",
        server: |asked| with_preflights(asked, Vec::new),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-unanswered", "the preflight of PUT has no answer: ")],
    },
    Row {
        case: "preflight: redirected",
        server: |asked| with_preflights(asked, || {
            reply(308, &[("Location", "/items/"), (ORIGIN, APP), CREDENTIALS, VARY])
        }),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-redirected", "the preflight is answered with 308, which leads to /items/")],
    },
    Row {
        case: "preflight: a login is demanded",
        server: |asked| with_preflights(asked, || reply(401, &[("WWW-Authenticate", "Bearer")])),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-unauthorized", "the preflight of PUT gets 401")],
    },
    Row {
        case: "preflight: a login is demanded, CORS headers and all",
        server: |asked| with_preflights(asked, || reply(401, &[(ORIGIN, APP), CREDENTIALS, METHODS, HEADERS])),
        arguments: FULL,
        finds: &[
            ("error preflight-unauthorized", "the preflight of GET gets 401"),
            ("error preflight-unauthorized", "the preflight of PUT gets 401"),
        ],
    },
    Row {
        case: "preflight: every OPTIONS request is forbidden",
        server: |asked| if asked.method == "OPTIONS" { reply(403, &[]) } else { reply(200, &[]) },
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-unauthorized", "the preflight of PUT gets 403")],
    },
    Row {
        case: "preflight: forbidden, and the request is allowed",
        server: |asked| with_preflights(asked, || reply(403, &[VARY])),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-unauthorized", "the preflight of PUT gets 403")],
    },
    Row {
        case: "preflight: a wrong status",
        server: |asked| with_preflights(asked, || reply(400, &[(ORIGIN, APP), METHODS, VARY])),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error preflight-status", "the preflight gets the right headers, and the status 400")],
    },
    Row {
        case: "the origin is not on the list",
        server: |asked| like_healthy(asked, |origin| origin == "https://www.example.com"),
        arguments: FULL,
        finds: &[("error origin-not-allowed", "https://app.example.com is not allowed: there is no grant")],
    },
    Row {
        case: "one of two origins is not on the list, and there is no Vary",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP)]),
            _ => reply(200, &[]),
        },
        arguments: &["--origin=https://app.example.com", "--origin=https://www.example.com"],
        finds: &[
            ("error origin-not-allowed", "https://www.example.com is not allowed: there is no grant"),
            ("warning vary-missing", "responses differ by Origin, and Vary: Origin is missing on those with a grant and without a grant and to requests without Origin"),
        ],
    },
    Row {
        case: "one origin for all, and it is another",
        server: |_| reply(200, &[(ORIGIN, "https://www.example.com")]),
        arguments: FULL,
        finds: &[("error origin-not-allowed", "https://app.example.com is not allowed: the answer is for https://www.example.com")],
    },
    Row {
        case: "an origin with a slash at its end",
        server: |_| reply(200, &[(ORIGIN, "https://app.example.com/")]),
        arguments: SIMPLE,
        finds: &[("error invalid-allow-origin", "Access-Control-Allow-Origin is 'https://app.example.com/', which is no origin")],
    },
    Row {
        case: "a pattern sent as it is",
        server: |_| reply(200, &[(ORIGIN, "https://*.example.com")]),
        arguments: SIMPLE,
        finds: &[("error invalid-allow-origin", "Access-Control-Allow-Origin is 'https://*.example.com', which is no origin")],
    },
    Row {
        case: "a list sent as it is",
        server: |_| reply(200, &[(ORIGIN, "https://app.example.com, https://www.example.com")]),
        arguments: SIMPLE,
        finds: &[("error several-origins", "Access-Control-Allow-Origin lists 'https://app.example.com, https://www.example.com'")],
    },
    Row {
        case: "gateway and upstream both add headers",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP), (ORIGIN, "*"), VARY]),
            _ => reply(200, &[VARY]),
        },
        arguments: SIMPLE,
        finds: &[("error two-authorities", "Access-Control-Allow-Origin has two values: https://app.example.com, *")],
    },
    Row {
        case: "gateway and upstream both add the same headers, joined in one line",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP), ("Access-Control-Allow-Credentials", "true, true"), VARY]),
            _ => reply(200, &[VARY]),
        },
        arguments: LOGIN,
        finds: &[("error two-authorities", "Access-Control-Allow-Credentials has two values: true, true")],
    },
    Row {
        case: "the gateway adds headers for its pages, and upstream's * is left to others",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP), VARY]),
            _ => reply(200, &[(ORIGIN, "*"), VARY]),
        },
        arguments: SIMPLE,
        finds: &[("error two-authorities", "the pages get their own origin, and strangers *")],
    },
    Row {
        case: "* and credentials",
        server: |_| reply(200, &[(ORIGIN, "*"), CREDENTIALS, METHODS, HEADERS]),
        arguments: FULL,
        finds: &[("error any-origin-with-credentials", "Access-Control-Allow-Origin is *, and the request is with credentials")],
    },
    Row {
        case: "* and credentials, which the pages do not use",
        server: |_| reply(200, &[(ORIGIN, "*"), CREDENTIALS]),
        arguments: SIMPLE,
        finds: &[("error any-origin-with-credentials", "Access-Control-Allow-Origin is * beside Access-Control-Allow-Credentials")],
    },
    Row {
        case: "* alone",
        server: |_| reply(200, &[(ORIGIN, "*")]),
        arguments: SIMPLE,
        finds: &[("note any-origin", "every site may read the responses, without credentials")],
    },
    Row {
        case: "no credentials",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP), METHODS, HEADERS, VARY]),
            _ => reply(200, &[VARY]),
        },
        arguments: FULL,
        finds: &[("error credentials-not-allowed", "https://app.example.com asks with credentials, and Access-Control-Allow-Credentials is missing")],
    },
    Row {
        case: "True credentials",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP), ("Access-Control-Allow-Credentials", "True"), VARY]),
            _ => reply(200, &[VARY]),
        },
        arguments: LOGIN,
        finds: &[("error credentials-not-allowed", "https://app.example.com asks with credentials, and Access-Control-Allow-Credentials is 'True'")],
    },
    Row {
        case: "a method is missing",
        server: healthy,
        arguments: &["--origin=https://app.example.com", "--method=PATCH"],
        finds: &[("error method-not-allowed", "PATCH is not among the allowed methods (PUT, DELETE)")],
    },
    Row {
        case: "a header is missing",
        server: healthy,
        arguments: &["--origin=https://app.example.com", "--header=X-Trace: 1", "--header=Authorization: Bearer x"],
        finds: &[("error header-not-allowed", "x-trace is not among the allowed headers (authorization, content-type)")],
    },
    Row {
        case: "* stands for no Authorization header",
        server: |_| reply(200, &[(ORIGIN, "*"), ("Access-Control-Allow-Headers", "*")]),
        arguments: &["--public", "--header=Authorization: Bearer x"],
        finds: &[("error header-not-allowed", "authorization is not among the allowed headers (*): * stands neither")],
    },
    Row {
        case: "a list that is none",
        server: |asked| with_preflights(asked, || {
            reply(204, &[(ORIGIN, APP), ("Access-Control-Allow-Methods", "PUT DELETE"), VARY])
        }),
        arguments: &["--origin=https://app.example.com", "--method=PUT"],
        finds: &[("error invalid-allow-list", "Access-Control-Allow-Methods is 'PUT DELETE'")],
    },
    Row {
        case: "headers on preflights alone",
        server: |asked| with_requests(asked, || reply(200, &[VARY])),
        arguments: &["--origin=https://app.example.com", "--header=Authorization: Bearer x"],
        finds: &[("error response-without-cors", "the preflight is allowed, and the response has no Access-Control-Allow-Origin")],
    },
    Row {
        case: "error replies without headers",
        server: |asked| if status(asked) == 200 { healthy(asked) } else { reply(status(asked), &[]) },
        arguments: &["--origin=https://app.example.com", "--not-found=/missing", "--unauthorized=/private"],
        finds: &[
            ("error error-without-cors", "the 404 has no CORS headers"),
            ("error error-without-cors", "the 401 has no CORS headers"),
        ],
    },
    Row {
        case: "the URL itself gives an error, and nobody a header",
        server: |_| reply(401, &[]),
        arguments: SIMPLE,
        finds: &[("error error-without-cors", "the 401 has no CORS headers")],
    },
    Row {
        case: "a 401 without headers behind a preflight",
        server: |asked| with_requests(asked, || reply(401, &[])),
        arguments: &["--origin=https://app.example.com", "--header=authorization: x"],
        finds: &[("error error-without-cors", "the 401 has no CORS headers")],
    },
    Row {
        case: "no error where one was to be",
        server: healthy,
        arguments: &["--origin=https://app.example.com", "--not-found=/somewhere"],
        finds: &[("note no-error", "GET http://")],
    },
    Row {
        case: "a redirect without headers",
        server: |asked| match asked.path.as_str() {
            "/items" => reply(301, &[("Location", "/items/")]),
            _ => healthy(asked),
        },
        arguments: SIMPLE,
        finds: &[("error redirect-without-cors", "the redirect (301) has no CORS headers")],
    },
    Row {
        case: "a redirect with headers",
        server: |asked| match asked.path.as_str() {
            "/items" if asked.origin() == APP => reply(301, &[("Location", "/items/"), (ORIGIN, APP), VARY]),
            _ => healthy(asked),
        },
        arguments: SIMPLE,
        finds: &[],
    },
    Row {
        case: "a redirect to a login elsewhere",
        server: |asked| match asked.origin() {
            APP => reply(302, &[("Location", "https://login.example.com/"), (ORIGIN, APP), VARY]),
            _ => reply(200, &[VARY]),
        },
        arguments: SIMPLE,
        finds: &[("warning redirected-elsewhere", "GET is redirected to https://login.example.com/, which was not asked")],
    },
    Row {
        case: "redirects without end",
        server: |asked| match asked.origin() {
            APP => reply(302, &[("Location", "/items"), (ORIGIN, APP), VARY]),
            _ => reply(200, &[VARY]),
        },
        arguments: SIMPLE,
        finds: &[("error redirect-loop", "the redirects do not end")],
    },
    Row {
        case: "a header that is not exposed",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP), CREDENTIALS, ("Access-Control-Expose-Headers", "X-A"), ("X-A", "1"), VARY]),
            _ => reply(200, &[VARY]),
        },
        arguments: &["--origin=https://app.example.com", "--credentials", "--reads=x-a", "--reads=X-Request-ID", "--reads=content-type"],
        finds: &[("error header-not-exposed", "the page cannot read x-request-id: Access-Control-Expose-Headers lists X-A")],
    },
    Row {
        case: "no Vary",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP)]),
            _ => reply(200, &[]),
        },
        arguments: SIMPLE,
        finds: &[("warning vary-missing", "responses differ by Origin, and Vary: Origin is missing on those with a grant and without a grant and to requests without Origin")],
    },
    Row {
        case: "no Vary where there is no Origin",
        server: |asked| if asked.get("origin").is_some() { healthy(asked) } else { reply(200, &[]) },
        arguments: SIMPLE,
        finds: &[("warning vary-missing", "responses differ by Origin, and Vary: Origin is missing on those to requests without Origin")],
    },
    Row {
        case: "no Vary, and nothing that a cache could keep",
        server: |asked| match asked.origin() {
            APP => reply(200, &[(ORIGIN, APP), ("Cache-Control", "private, No-Store")]),
            _ => reply(200, &[("Cache-Control", "no-store")]),
        },
        arguments: SIMPLE,
        finds: &[],
    },
    Row {
        case: "null",
        server: |asked| like_healthy(asked, |origin| origin == APP || origin == "null"),
        arguments: FULL,
        finds: &[("error null-allowed", "null is allowed, with credentials")],
    },
    Row {
        case: "any origin is reflected, with credentials",
        server: |asked| like_healthy(asked, |_| true),
        arguments: FULL,
        finds: &[("error origin-reflected", "every origin is allowed, with credentials, https://stranger.example too")],
    },
    Row {
        case: "any origin is reflected, without credentials",
        server: |asked| reply(200, &[(ORIGIN, asked.origin()), VARY]),
        arguments: SIMPLE,
        finds: &[("warning origin-reflected", "every origin is allowed, https://stranger.example too")],
    },
    Row {
        case: "strangers are allowed by their preflight alone",
        server: |asked| if asked.is_preflight() { like_healthy(asked, |_| true) } else { healthy(asked) },
        arguments: FULL,
        finds: &[("error origin-reflected", "every origin is allowed, with credentials, https://stranger.example too")],
    },
    Row {
        case: "starts_with",
        server: |asked| like_healthy(asked, |origin| origin.starts_with(APP)),
        arguments: FULL,
        finds: &[("error origin-prefix", "https://app.example.com.stranger.example is allowed, with credentials: it begins with https://app.example.com")],
    },
    Row {
        case: "ends_with the domain",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.ends_with("example.com")),
        arguments: FULL,
        finds: &[("error origin-suffix", "https://notexample.com is allowed, with credentials: it ends like https://app.example.com")],
    },
    Row {
        case: "ends_with the host",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.ends_with("app.example.com")),
        arguments: FULL,
        finds: &[("error origin-suffix", "https://notapp.example.com is allowed, with credentials: it ends like https://app.example.com")],
    },
    Row {
        case: "contains",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.contains("app.example.com")),
        arguments: FULL,
        finds: &[("error origin-substring", "https://notapp.example.com.stranger.example is allowed, with credentials: it holds the host of https://app.example.com")],
    },
    Row {
        case: "an expression with bare dots",
        server: |asked| like_healthy(asked, |origin| {
            origin.len() == APP.len() && origin.starts_with("https://app") && origin.ends_with("example.com")
        }),
        arguments: FULL,
        finds: &[("error origin-unescaped-dot", "https://appxexample.com is allowed, with credentials: it has another character for a dot of https://app.example.com")],
    },
    Row {
        case: "an expression that ends at a word",
        server: |asked| like_healthy(asked, |origin| {
            origin.strip_prefix(APP).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || ":.-".contains(c)))
        }),
        arguments: FULL,
        finds: &[("error origin-special-character", "https://app.example.com_.stranger.example is allowed, with credentials: https://app.example.com ends there for the expression")],
    },
    Row {
        case: "the scheme is not compared",
        server: |asked| like_healthy(asked, |origin| origin.ends_with("://app.example.com")),
        arguments: FULL,
        finds: &[("error insecure-origin", "http://app.example.com is allowed, with credentials, and https://app.example.com without TLS is another origin")],
    },
    Row {
        case: "a wildcard",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.ends_with(".example.com")),
        arguments: FULL,
        finds: &[("note subdomain-allowed", "https://stranger.example.com is allowed, with credentials, beside https://app.example.com")],
    },
    Row {
        case: "a wildcard further down",
        server: |asked| like_healthy(asked, |origin| origin.starts_with("https://") && origin.ends_with(".preview.example.com")),
        arguments: &["--origin=https://pr-7.preview.example.com"],
        finds: &[("note subdomain-allowed", "https://stranger.preview.example.com is allowed, with credentials, beside https://pr-7.preview.example.com")],
    },
    Row {
        case: "a wildcard for one page, and a suffix without a dot for another",
        server: |asked| like_healthy(asked, |origin| {
            origin.starts_with("https://") && (origin.ends_with(".one.example") || origin.ends_with("two.example"))
        }),
        arguments: &["--origin=https://a.one.example", "--origin=https://a.two.example"],
        finds: &[
            ("note subdomain-allowed", "https://stranger.one.example is allowed, with credentials, beside https://a.one.example"),
            ("error origin-suffix", "https://nottwo.example is allowed, with credentials: it ends like https://a.two.example"),
        ],
    },
    Row {
        case: "sub-domains",
        server: |asked| like_healthy(asked, |origin| {
            origin.strip_suffix("app.example.com").is_some_and(|rest| rest == "https://" || (rest.starts_with("https://") && rest.ends_with('.')))
        }),
        arguments: FULL,
        finds: &[("note subdomain-allowed", "https://stranger.app.example.com is allowed, with credentials, beside https://app.example.com")],
    },
    Row {
        case: "any port",
        server: |asked| like_healthy(asked, |origin| origin == APP || origin.starts_with("https://app.example.com:")),
        arguments: FULL,
        finds: &[("note port-ignored", "https://app.example.com:8443 is allowed, with credentials like https://app.example.com")],
    },
    Row {
        case: "any case",
        server: |asked| like_healthy(asked, |origin| origin.eq_ignore_ascii_case(APP)),
        arguments: FULL,
        finds: &[("note case-ignored", "https://APP.EXAMPLE.COM is allowed, with credentials like https://app.example.com")],
    },
    Row {
        case: "a dot at the end",
        server: |asked| like_healthy(asked, |origin| origin.trim_end_matches('.') == APP),
        arguments: FULL,
        finds: &[("note trailing-dot-allowed", "https://app.example.com. is allowed, with credentials like https://app.example.com")],
    },
    Row {
        case: "no page is named",
        server: |asked| like_healthy(asked, |_| true),
        arguments: &[],
        finds: &[("error origin-reflected", "every origin is allowed, with credentials, https://stranger.example too")],
    },
    Row {
        case: "no stranger is tried",
        server: |asked| like_healthy(asked, |_| true),
        arguments: &["--origin=https://app.example.com", "--no-strangers"],
        finds: &[],
    },
    Row {
        case: "what is meant is left out",
        server: |asked| reply(200, &[(ORIGIN, asked.origin())]),
        arguments: &["--origin=https://app.example.com", "--allow=origin-reflected", "--allow=vary-missing"],
        finds: &[],
    },
    Row {
        case: "a method that no page may use",
        server: healthy,
        arguments: &["--origin=https://app.example.com", "--method=trace"],
        finds: &[("error never-sent", "the browser does not send this request: a page may not send trace")],
    },
];

#[test]
fn each_mistake_is_named_and_nothing_else() {
    let mut failed = Vec::new();
    for row in ROWS {
        let server = Server::start(row.server);
        let url = format!("{}/items", server.url());
        let arguments = [&[url.as_str(), "--format=json"], row.arguments].concat();
        let (status, printed, complaints) = probe(&arguments);
        assert_eq!(complaints, "", "{}", row.case);
        let report: Value = serde_json::from_str(&printed).unwrap();
        let findings = report["endpoints"][0]["findings"].as_array().unwrap();
        let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
        let found: Vec<_> = findings
            .iter()
            .map(|found| {
                let rule = format!("{} {}", text(found, "severity"), text(found, "rule"));
                (rule, text(found, "message"))
            })
            .collect();
        let matches = found.len() == row.finds.len()
            && found
                .iter()
                .zip(row.finds)
                .all(|(found, (rule, message))| found.0 == *rule && found.1.starts_with(message));
        if !matches {
            failed.push(format!("{}: found {found:#?}, not {:#?}", row.case, row.finds));
            continue;
        }
        let bad = row.finds.iter().any(|(rule, _)| !rule.starts_with("note"));
        assert_eq!(status, i32::from(bad), "{}", row.case);
        for finding in findings {
            assert!(!text(finding, "why").is_empty() && !text(finding, "remedy").is_empty());
            assert!(
                !finding["exchanges"].as_array().unwrap().is_empty()
                    || text(finding, "rule") == "never-sent",
                "{}",
                row.case
            );
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
