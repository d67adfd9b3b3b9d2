//! Servers that each make one classic mistake.

use std::collections::BTreeSet;

use crate::row::*;
use crate::server::reply;
use crate::{look_alikes, probe};

#[rustfmt::skip]
pub const ROWS: &[Row] = &[
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
        finds: &[("error header-not-allowed", "authorization is not among the allowed headers (*): by the standard * does not stand for it")],
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
    check(ROWS);
}

#[test]
fn every_rule_has_a_row() {
    let (status, listed, complaints) = probe(&["--rules"]);
    assert_eq!((status, &*complaints), (0, ""));
    let listed: BTreeSet<_> = listed
        .lines()
        .filter(|line| !line.starts_with(' '))
        .map(|line| line.split_whitespace().nth(1).unwrap())
        .collect();
    let rows = ROWS.iter().chain(look_alikes::ROWS);
    let found = rows.flat_map(|row| row.finds).map(|(found, _)| found.split_once(' ').unwrap().1);
    // These take a host that is not loopback, and a suite.
    let elsewhere = ["mixed-content", "allowed-unexpectedly"];
    assert_eq!(listed, found.chain(elsewhere).collect());
}
