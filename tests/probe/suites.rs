//! Suite files: what they say is asked, and what is wrong with them is told.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::probe;
use crate::server::{Asked, Server, reply};

const SUITE: &str = "
base: http://production.invalid/v1
origins: [https://app.example.com, 'https://www.example.com']
endpoints:
  - name: items
    url: /items?page=1
    methods: [GET, PUT]
    headers: { Content-Type: application/json }
    credentials: true
    reads: [X-Request-ID]
    not_found: /none
    refuse:
      - { methods: [DELETE], origins: [https://www.example.com] }
      - origins: [https://old.example.com]
    allow:
      error-without-cors: known, to be fixed
  - url: /public
    origins: [https://a.example]
    public: true
";

fn api(asked: &Asked) -> Vec<u8> {
    let origin = ("Access-Control-Allow-Origin", asked.origin());
    let credentials = ("Access-Control-Allow-Credentials", "true");
    let vary = ("Vary", "Origin");
    let known = ["https://app.example.com", "https://www.example.com"].contains(&asked.origin());
    match asked.path.as_str() {
        "/v2/public" => reply(200, &[("Access-Control-Allow-Origin", "*")]),
        "/v2/items?page=1" if asked.is_preflight() && known => {
            let methods = ("Access-Control-Allow-Methods", "PUT");
            let headers = ("Access-Control-Allow-Headers", "content-type");
            reply(204, &[origin, credentials, methods, headers, vary])
        }
        "/v2/items?page=1" if known => {
            let names = ("Access-Control-Expose-Headers", "x-request-id");
            reply(200, &[origin, credentials, names, vary])
        }
        "/v2/items?page=1" => reply(200, &[vary]),
        _ => reply(404, &[]),
    }
}

#[test]
fn a_suite_is_asked_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("suite.yaml");
    fs::write(&file, SUITE).unwrap();
    let server = Server::start(api);
    let arguments = |more: &[&str]| -> Vec<String> {
        let base = format!("--base={}/v2", server.url());
        let fixed = [format!("--suite={}", file.display()), base, "--format=json".into()];
        fixed.into_iter().chain(more.iter().map(|more| (*more).to_owned())).collect()
    };
    let run = |more: &[&str]| {
        let arguments = arguments(more);
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let (status, printed, complaints) = probe(&arguments);
        assert_eq!(complaints, "");
        (status, serde_json::from_str::<Value>(&printed).unwrap())
    };
    let (status, report) = run(&[]);
    assert_eq!(status, 0, "{report:#}");
    let names = |endpoint: usize, field: &str| report["endpoints"][endpoint][field].clone();
    assert_eq!((names(0, "name"), names(1, "name")), ("items".into(), "/public".into()));
    assert_eq!((names(0, "allowed"), names(1, "allowed")), (1.into(), 0.into()));
    let expected = [
        "https://app.example.com GET",
        "https://app.example.com PUT",
        "https://www.example.com GET",
        "https://www.example.com PUT",
        "https://www.example.com DELETE is refused",
        "https://old.example.com GET is refused",
        "https://old.example.com PUT is refused",
        "error replies",
        "strangers",
        "caches",
    ];
    assert_eq!(names(0, "checks"), Value::from(expected.to_vec()));
    assert_eq!(
        names(1, "checks"),
        Value::from(vec!["https://a.example GET", "strangers", "caches"])
    );
    assert!(server.asked().iter().any(|asked| asked.path == "/v2/none"));

    // A browser sends cookies only where a page asks with credentials.
    run(&["--cookie=a=b"]);
    let with_cookie = server.asked().into_iter().filter(|asked| asked.get("cookie").is_some());
    let paths: BTreeSet<_> = with_cookie.map(|asked| asked.path).collect();
    assert_eq!(paths, ["/v2/items?page=1".to_owned(), "/v2/none".to_owned()].into());

    // Whoever was to be refused is allowed.
    let text = SUITE.replace("https://old.example.com", "https://app.example.com");
    fs::write(&file, text).unwrap();
    let (status, report) = run(&["--no-strangers"]);
    assert_eq!(status, 1);
    let findings = report["endpoints"][0]["findings"].as_array().unwrap();
    let found: Vec<_> = findings
        .iter()
        .map(|found| (found["rule"].as_str().unwrap(), found["checks"][0].as_str().unwrap()))
        .collect();
    let expected = [
        ("allowed-unexpectedly", "https://app.example.com GET is refused"),
        ("allowed-unexpectedly", "https://app.example.com PUT is refused"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn everything_that_is_wrong_is_told_with_its_place() {
    for (text, expected) in [
        (
            "base: https://a.example?x\norigin: []\nendpoints:\n- url: items\n",
            &[
                "1:7: base: paths cannot be added to a query: end it with the path",
                "2:1: origin: there is no such field: there are base, origins, endpoints",
                "4:8: endpoints[0].url: it is no URL: write a whole one, as in https://api.example.com/items",
            ][..],
        ),
        (
            "endpoints:\n- url: /x\n- methods: GET\n- 7\n- url: https://a.example\n  url: https://b.example\n",
            &[
                "2:8: endpoints[0].url: it is a path: write a whole URL, or say what it is relative to",
                "3:3: endpoints[1]: there is no `url`: write one, or a path below `base`",
                "3:12: endpoints[1].methods: it is no list: write one in brackets",
                "4:3: endpoints[2]: it is no object: write fields and values",
                "4:3: endpoints[2]: there is no `url`: write one, or a path below `base`",
                "6:3: endpoints[3].url: it is given twice: keep one of them",
            ],
        ),
        (
            "origins: [https://App.example.com, null, 7]\nendpoints:\n- url: https://a.example\n  credentials: 1\n  headers: [x]\n  reads: [a b]\n  methods: [P UT]\n",
            &[
                "1:11: origins[0]: browsers send origins in lower case: write it in lower case",
                "1:36: origins[1]: it is empty: write a string (the origin null in quotes)",
                "1:42: origins[2]: it is no string: write it in quotes",
                "4:16: endpoints[0].credentials: write true or false",
                "5:12: endpoints[0].headers: it is no object: write names and values",
                "6:11: endpoints[0].reads[0]: it is no header name",
                "7:13: endpoints[0].methods[0]: it is no method",
            ],
        ),
        (
            "endpoints:\n- url: https://a.example\n  public: true\n  credentials: true\n  notFound: x\n  unauthorized: //b.example/x\n  refuse: [{}]\n  allow: {no-cors: '', nope: x}\n",
            &[
                "3:11: endpoints[0].public: no endpoint may be open to every site with credentials: leave one of them out",
                "5:13: endpoints[0].notFound: \"x\" is no path: begin it with a slash, as in /no/such/page",
                "6:17: endpoints[0].unauthorized: \"//b.example/x\" is no path: begin it with a slash, as in /no/such/page",
                "7:12: endpoints[0].refuse[0]: this refuses what the endpoint allows: write `origins`, `methods` or `headers`",
                "8:20: endpoints[0].allow.no-cors: there is no reason: write why the finding is meant",
                "8:24: endpoints[0].allow.nope: there is no such rule: `envoy-cors probe --rules` lists them",
            ],
        ),
        ("endpoints: [", &["1:12: not valid YAML: unclosed bracket '['"]),
        (
            "endpoints: []",
            &["1:1: endpoints: there are none: write a list of them, each with `url`"],
        ),
        ("", &["1:1: a suite is one YAML document: write `endpoints:` and a list"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("suite.yaml");
        fs::write(&file, text).unwrap();
        let (status, printed, complaints) = probe(&[&format!("--suite={}", file.display())]);
        assert_eq!((status, &*printed), (2, ""), "{text}");
        let told = told(&complaints);
        let same = told.len() == expected.len()
            && told.iter().zip(expected).all(|(told, expected)| told.starts_with(expected));
        assert!(same, "{text}\n{told:#?}");
        assert!(complaints.ends_with("suite.yaml: nothing was asked\n"), "{complaints}");
    }
}

/// Place, sentence and remedy of each finding.
fn told(complaints: &str) -> Vec<String> {
    let mut told: Vec<(String, String, String)> = Vec::new();
    for line in complaints.lines().filter(|line| !line.starts_with("envoy-cors: ")) {
        let last = told.last_mut();
        if let Some(message) = line.strip_prefix("error[suite]: ") {
            told.push((String::new(), message.to_owned(), String::new()));
        } else if let (Some((_, place)), Some(last)) = (line.split_once("suite.yaml:"), last) {
            last.0 = format!("{}: ", place.trim());
        } else if let (Some((_, remedy)), Some(last)) =
            (line.split_once("= help: "), told.last_mut())
        {
            last.2 = format!(": {remedy}");
        }
    }
    told.into_iter().map(|(place, message, remedy)| place + &message + &remedy).collect()
}

#[test]
fn files_that_cannot_be_suites() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("binary");
    fs::write(&binary, [0xff, 0xfe, 0]).unwrap();
    for (file, said) in [
        ("/no/such/suite.yaml", "No such file"),
        (folder.path().to_str().unwrap(), "is a folder"),
        (binary.to_str().unwrap(), "it is no text"),
    ] {
        let (status, printed, complaints) = probe(&["--suite", file]);
        assert_eq!((status, &*printed), (2, ""));
        assert!(complaints.contains(said), "{complaints}");
    }
    let (status, _, complaints) = probe(&["--suite=x", "--origin=https://app.example.com"]);
    assert_eq!(status, 2);
    assert!(complaints.contains("cannot be used with"), "{complaints}");
}

#[test]
fn the_suite_of_the_help_is_one() {
    let (status, help, _) = probe(&["--help"]);
    assert_eq!(status, 0);
    let (_, suite) = help.split_once("A suite:\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("suite.yaml");
    fs::write(&file, suite).unwrap();
    let server = Server::start(api);
    let arguments = [&format!("--suite={}", file.display()), &format!("--base={}", server.url())];
    let (status, printed, complaints) = probe(&arguments.map(String::as_str));
    assert_eq!((status, &*complaints), (1, ""), "{printed}");
    let asked: BTreeSet<_> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked, ["/items", "/items/none", "/login", "/public"].map(str::to_owned).into());
}
