//! What is sent, and to whom.

use std::collections::BTreeSet;

use crate::probe;
use crate::server::{Asked, Server, reply};

const APP: &str = "https://app.example.com";

/// Allows everything to the page.
fn open(asked: &Asked) -> Vec<u8> {
    let grant = ("Access-Control-Allow-Origin", asked.origin());
    let credentials = ("Access-Control-Allow-Credentials", "true");
    let vary = ("Vary", "Origin");
    if asked.origin() != APP {
        return reply(200, &[vary]);
    }
    let methods = ("Access-Control-Allow-Methods", "PUT, DELETE");
    let headers = ("Access-Control-Allow-Headers", "authorization, x-b");
    reply(200, &[grant, credentials, methods, headers, vary])
}

/// The requests that a page of the application makes, a line each.
fn of_page(server: &Server) -> Vec<String> {
    let names = [
        "access-control-request-method",
        "access-control-request-headers",
        "authorization",
        "x-b",
        "cookie",
        "sec-fetch-site",
        "sec-fetch-mode",
    ];
    let line = |asked: Asked| {
        let headers = names.iter().filter_map(|name| Some(format!("{name}: {}", asked.get(name)?)));
        let line = [format!("{} {}", asked.method, asked.path)].into_iter().chain(headers);
        line.collect::<Vec<_>>().join(" | ")
    };
    server.asked().into_iter().filter(|asked| asked.origin() == APP).map(line).collect()
}

#[test]
fn a_page_sends_what_a_browser_does() {
    const SITE: &str = "sec-fetch-site: cross-site | sec-fetch-mode: cors";
    for (arguments, expected) in [
        (&["--method=get"][..], &["GET /items?a=b"][..]),
        (
            &["--method=GET", "--header=X-B: 1", "--header=Authorization: secret"],
            &[
                "OPTIONS /items?a=b | access-control-request-method: GET | access-control-request-headers: authorization,x-b",
                "GET /items?a=b | authorization: secret | x-b: 1",
                // Whether the origin is known at all.
                "GET /items?a=b",
            ],
        ),
        (
            &["--method=put", "--method=GET", "--credentials", "--cookie=session=secret"],
            &[
                "OPTIONS /items?a=b | access-control-request-method: PUT",
                "GET /items?a=b | cookie: session=secret",
            ],
        ),
        (
            &["--method=PUT", "--method=POST", "--send-unsafe", "--header=Cookie: mine=1"],
            &[
                "OPTIONS /items?a=b | access-control-request-method: PUT",
                "PUT /items?a=b",
                "POST /items?a=b",
                "GET /items?a=b",
            ],
        ),
        (&["--method=POST"], &["GET /items?a=b"]),
        (
            &["--not-found=/none?x", "--unauthorized=/login"],
            &["GET /items?a=b", "GET /none?x", "GET /login"],
        ),
    ] {
        let server = Server::start(open);
        let url = format!("{}/items?a=b#top", server.url());
        let origin = format!("--origin={APP}");
        let (_, _, complaints) = probe(&[&[&*url, &*origin], arguments].concat());
        assert_eq!(complaints, "");
        let expected: Vec<_> = expected.iter().map(|line| format!("{line} | {SITE}")).collect();
        assert_eq!(of_page(&server), expected, "{arguments:?}");
    }
}

#[test]
fn the_browser_tells_the_site_of_the_page() {
    for (origin, site) in [
        ("http://localhost:1", "same-site"),
        ("https://localhost", "cross-site"),
        ("null", "cross-site"),
    ] {
        let server = Server::start(open);
        let url = format!("http://localhost:{}/", server.address.port());
        let place = format!("--resolve=localhost:{0}:127.0.0.1", server.address.port());
        probe(&[&url, &format!("--origin={origin}"), &place, "--no-strangers"]);
        let asked = server.asked();
        let page = asked.iter().find(|asked| asked.get("origin") == Some(origin)).unwrap();
        assert_eq!(page.get("sec-fetch-site"), Some(site), "{origin}");
    }
}

#[test]
fn nobody_changes_anything() {
    let server = Server::start(open);
    let methods = ["--method=PUT", "--method=DELETE", "--method=POST", "--method=GET"];
    let origin = format!("--origin={APP}");
    let secrets = ["--credentials", "--cookie=session=1", "--header=authorization: x"];
    probe(&[&[&*server.url(), &*origin, "--send-unsafe"], &secrets[..], &methods[..]].concat());
    let strangers: Vec<_> = server
        .asked()
        .into_iter()
        .filter(|asked| asked.get("origin").is_some_and(|origin| origin != APP))
        .collect();
    let used: BTreeSet<_> = strangers.iter().map(|asked| asked.method.as_str()).collect();
    assert_eq!(used, ["GET", "OPTIONS"].into());
    // What a page of theirs does not know.
    assert!(strangers.iter().all(|asked| asked.get("authorization").is_none()));
    // A browser sends the cookie for them, but with no preflight.
    for asked in strangers {
        let expected = (asked.method == "GET").then_some("session=1");
        assert_eq!(asked.get("cookie"), expected, "{asked:?}");
    }
}

#[test]
fn redirects_lead_to_nobody_else() {
    let other = Server::start(open);
    let location = format!("{}/elsewhere", other.url());
    let server = Server::start(move |asked| {
        reply(302, &[("Location", &location), ("Access-Control-Allow-Origin", asked.origin())])
    });
    let origin = format!("--origin={APP}");
    let (status, printed, _) = probe(&[&server.url(), &origin]);
    assert_eq!(status, 1);
    assert!(printed.contains("warning[redirected-elsewhere]"), "{printed}");
    assert_eq!(other.asked().len(), 0);

    // Unless they are named as well.
    probe(&[&server.url(), &other.url(), &origin, "--no-strangers"]);
    let paths: Vec<_> = other.asked().into_iter().map(|asked| (asked.path, asked.method)).collect();
    assert!(paths.contains(&("/elsewhere".into(), "GET".into())), "{paths:?}");
}

#[test]
fn reports_hold_no_secrets() {
    let arguments = [
        "--origin=https://app.example.com",
        "--method=GET",
        "--method=PATCH",
        "--credentials",
        "--cookie=session=hunter2",
        "--header=authorization: Bearer hunter2",
        "--header=x-b: hunter2",
        "--send-unsafe",
    ];
    let server =
        Server::start(|asked| if asked.is_preflight() { open(asked) } else { reply(200, &[]) });
    for format in ["text", "json", "junit", "html"] {
        let format = format!("--format={format}");
        let (status, printed, complaints) =
            probe(&[&[&*server.url(), &*format], &arguments[..]].concat());
        assert_eq!((status, &*complaints), (1, ""));
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(printed.contains("Authorization: ..."), "{printed}");
        assert!(printed.contains("Cookie: ..."), "{printed}");
    }
}

#[test]
fn no_page_with_tls_asks_a_url_without() {
    let server = Server::start(open);
    let port = server.address.port();
    let url = format!("http://api.example.com:{port}/");
    let place = format!("--resolve=api.example.com:{port}:127.0.0.1");
    let origin = format!("--origin={APP}");
    let (status, printed, _) = probe(&[&url, &place, &origin, "--method=PUT", "--no-strangers"]);
    assert_eq!(status, 1);
    assert!(printed.contains("error[mixed-content]: a page of https://app.example.com cannot ask"));
    let insecure = origin.replace("https", "http");
    let (_, printed, _) = probe(&[&url, &place, &insecure, "--method=PUT", "--no-strangers"]);
    assert!(printed.contains("error[origin-not-allowed]"), "{printed}");
    // Nor does a browser tell such a server whence the page comes.
    assert!(server.asked().iter().all(|asked| asked.get("sec-fetch-site").is_none()));
}
