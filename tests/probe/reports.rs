//! The formats of reports, as a whole. `BLESS=1 cargo test --test probe` writes what is printed
//! into `tests/probe/golden`, to be read before it is committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use roxmltree::{Document, Node, ParsingOptions};

use crate::server::{Asked, Server, reply};
use crate::{UNKNOWN, probe};

const APP: &str = "https://app.example.com";

/// Makes some mistakes, and sends what must not get into a report as it is.
fn mistaken(asked: &Asked) -> Vec<u8> {
    let origin = ("Access-Control-Allow-Origin", asked.origin());
    let vary = ("Vary", "Origin");
    match (asked.path.as_str(), asked.origin()) {
        ("/markup", _) => {
            let markup = "\"><script>alert(1)</script>&amp;<!--é";
            reply(200, &[("Access-Control-Allow-Origin", markup)])
        }
        (_, APP) if asked.is_preflight() => {
            let methods = ("Access-Control-Allow-Methods", "PUT");
            let age = ("Access-Control-Max-Age", "7200");
            reply(204, &[origin, methods, age, vary])
        }
        (_, APP) => {
            let names = ("Access-Control-Expose-Headers", "X-Request-ID");
            reply(200, &[origin, names, ("X-Request-ID", "1"), vary])
        }
        (_, "http://app.example.com" | "https://app.example.com:8443") => {
            reply(200, &[origin, vary])
        }
        _ => reply(200, &[]),
    }
}

/// What is printed of `mistaken`, with another port.
fn printed(arguments: &[&str], status: i32) -> String {
    let server = Server::start(mistaken);
    let base = server.url();
    let urls: Vec<_> = ["/items", "/markup"].map(|path| format!("{base}{path}")).into();
    let fixed = [
        &*urls[0],
        &*urls[1],
        "--origin=https://app.example.com",
        "--method=GET",
        "--method=PUT",
        "--method=DELETE",
    ];
    let (code, printed, complaints) = probe(&[&fixed[..], arguments].concat());
    assert_eq!((code, &*complaints), (status, ""));
    printed.replace(&server.address.port().to_string(), "8080")
}

fn check_golden(name: &str, printed: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe/golden").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::write(&file, printed).unwrap();
    }
    let golden = fs::read_to_string(&file).unwrap();
    for (n, (line, expected)) in printed.lines().zip(golden.lines()).enumerate() {
        assert_eq!(line, expected, "line {} of {name}", n + 1);
    }
    assert_eq!(printed.len(), golden.len(), "{name} begins or ends otherwise");
}

#[test]
fn text() {
    check_golden("report.txt", &printed(&["--format=text"], 1));
}

#[test]
fn text_in_colour() {
    let colours = printed(&["--color=always"], 1);
    assert!(colours.contains("\u{1b}[1m\u{1b}[31merror[method-not-allowed]"), "{colours}");
    let plain = anstream::adapter::strip_str(&colours).to_string();
    assert_eq!(plain, printed(&[], 1));
}

#[test]
fn json() {
    let json = printed(&["--format=json"], 1);
    check_golden("report.json", &json);
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed["endpoints"].as_array().unwrap().len(), 2);
}

#[test]
fn junit() {
    let xml = printed(&["--format=junit"], 1);
    check_golden("report.junit.xml", &xml);
    let document = Document::parse(&xml).unwrap();
    check_junit(&document);
    let failures = document.descendants().filter(|node| node.has_tag_name("failure"));
    assert_eq!(document.root_element().attribute("failures"), Some(&*failures.count().to_string()));
}

/// What build servers expect: the elements in their order, the attributes that they read, and
/// numbers that are right.
fn check_junit(document: &Document) {
    let children = |node: Node| -> BTreeSet<String> {
        let elements = node.children().filter(Node::is_element);
        elements.map(|node| node.tag_name().name().to_owned()).collect()
    };
    let within = |node: Node, names: &[&str]| {
        let found = children(node);
        assert!(found.iter().all(|name| names.contains(&&**name)), "{found:?}");
    };
    let root = document.root_element();
    assert!(root.has_tag_name("testsuites"));
    within(root, &["testsuite"]);
    for suite in root.children().filter(Node::is_element) {
        within(suite, &["testcase"]);
        let count = |name: &str| {
            suite.descendants().filter(|node| node.has_tag_name(name)).count().to_string()
        };
        assert_eq!(suite.attribute("tests"), Some(&*count("testcase")));
        assert_eq!(suite.attribute("failures"), Some(&*count("failure")));
        assert_eq!(suite.attribute("errors"), Some(&*count("error")));
        assert!(suite.attribute("name").is_some());
        for case in suite.children().filter(Node::is_element) {
            assert!(case.attribute("name").is_some() && case.attribute("classname").is_some());
            within(case, &["failure", "error", "system-out"]);
        }
    }
}

#[test]
fn html() {
    let page = printed(&["--format=html"], 1);
    check_golden("report.html", &page);
    check_page(&page);
}

/// One page, well-formed, that loads nothing and that a screen reader can read.
fn check_page(page: &str) {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    let document = Document::parse_with_options(page, options).unwrap();
    assert_eq!(document.root_element().attribute("lang"), Some("en"));
    let elements = || document.descendants().filter(Node::is_element);
    let named = |name: &'static str| elements().filter(move |node| node.has_tag_name(name));
    for name in ["script", "link", "img", "iframe", "object", "base"] {
        assert_eq!(named(name).count(), 0, "{name}");
    }
    for node in elements() {
        for attribute in node.attributes() {
            assert!(
                !attribute.name().starts_with("on")
                    && !["src", "href", "style"].contains(&attribute.name()),
                "{attribute:?}"
            );
        }
    }
    for name in ["title", "h1", "main", "header", "footer"] {
        assert_eq!(named(name).count(), 1, "{name}");
    }
    assert_ne!(named("table").count(), 0);
    for table in named("table") {
        assert!(table.first_element_child().unwrap().has_tag_name("caption"));
    }
    for head in named("th") {
        assert!(["col", "row"].contains(&head.attribute("scope").unwrap()));
    }
    let style = named("style").next().unwrap().text().unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    assert!(style.contains("prefers-color-scheme: dark"));
}

#[test]
fn nothing_from_the_network_reaches_a_terminal() {
    let text = printed(&["--format=text"], 1);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

/// Like `mistaken`, but for a header, a method and a stranger.
fn drifted(asked: &Asked) -> Vec<u8> {
    let origin = ("Access-Control-Allow-Origin", asked.origin());
    match asked.origin() {
        APP if asked.is_preflight() => reply(
            200,
            &[origin, ("Access-Control-Allow-Methods", "DELETE,PUT"), ("Vary", "origin")],
        ),
        "null" => mistaken(asked),
        _ => reply(200, &[origin]),
    }
}

#[test]
fn comparisons() {
    let (one, other) = (Server::start(mistaken), Server::start(drifted));
    let (a, b) = (one.url(), other.url());
    let compare = |format: &str| {
        let format = format!("--format={format}");
        let fixed = ["/items", "--origin=https://app.example.com", "--method=GET", "--method=PUT"];
        let (status, printed, complaints) =
            probe(&[&fixed[..], &["--compare", &a, &b, &format]].concat());
        assert_eq!((status, &*complaints), (1, ""));
        let ports = [one.address.port(), other.address.port()].map(|port| port.to_string());
        // Tables are as wide as their longest port.
        printed.replace(&ports[0], "50001").replace(&ports[1], "50002")
    };
    check_golden("drift.txt", &compare("text"));
    check_golden("drift.json", &compare("json"));
    let (xml, page) = (compare("junit"), compare("html"));
    check_golden("drift.junit.xml", &xml);
    check_golden("drift.html", &page);
    check_junit(&Document::parse(&xml).unwrap());
    check_page(&page);
}

#[test]
fn environments_that_agree() {
    let (one, other) = (Server::start(mistaken), Server::start(mistaken));
    let arguments = ["/items", "--origin=https://app.example.com", "--method=PUT", "--compare"];
    let (status, printed, complaints) =
        probe(&[&arguments[..], &[&one.url(), &other.url()]].concat());
    assert_eq!((status, &*printed, &*complaints), (0, "compared 1 endpoint: 0 differences\n", ""));
    // What lies below a base goes there.
    assert!(one.asked().iter().all(|asked| asked.path == "/items"));

    let (status, printed, complaints) =
        probe(&[&arguments[..], &[&one.url(), &format!("{UNKNOWN}/v1/")]].concat());
    assert_eq!((status, &*printed), (2, "compared 0 endpoints: 0 differences\n"));
    assert!(complaints.starts_with(&format!("envoy-cors: {UNKNOWN}/v1/items: ")), "{complaints}");
}
