//! The JSON lines in Envoy's log: who was refused, and which entries nobody used. One report for
//! all workers.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bootstrap::{filter, listener, of_listeners, string_value};
use crate::client::{self, Http2, Protocol, Result};
use crate::counters::wait;
use crate::process::Envoy;
use crate::table::{Reply, Request};
use crate::upstream;

const WORKERS: u32 = 2;

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        Trial::test("denials are reported once an interval, and only news", only_news),
        Trial::test("denials of an interval are in one report", one_report),
        Trial::test("no denials are reported with an interval of 0", no_report),
        Trial::test("ten thousand hostile origins leave memory flat", hostile_origins),
    ];
    if env::var_os("ENVOY_CORS_COMPOSE").is_none() {
        trials.push(Trial::test("unused entries are reported once an hour", unused));
    }
    trials
}

fn start(environment: &[(&str, &Path)], policy: &Value) -> Result<Envoy> {
    let listener = listener("gateway", Some(&filter(&string_value(&policy.to_string()), None)));
    let upstream = upstream::start([("row".into(), Reply::default())].into())?;
    Envoy::start_with(environment, of_listeners(&[listener], upstream), WORKERS)
}

fn policy(report_interval: &str) -> Value {
    json!({
        "policies": [{
            "name": "shop",
            "match": { "pathPrefixes": ["/shop"] },
            "mode": "shadow",
            "allowOrigins": [],
        }],
        "allowOrigins": ["https://app.example.com"],
        "allowMethods": ["PUT"],
        "allowHeaders": ["x-a"],
        "flushInterval": "100ms",
        "reportInterval": report_interval,
    })
}

fn send(envoy: &Envoy, origin: &[u8], path: &str) -> Result<()> {
    send_row(envoy, &request(origin, path))
}

fn send_row(envoy: &Envoy, send: &Request) -> Result<()> {
    let request = client::request(send, "row", Protocol::Http1)?;
    client::send(envoy.port("gateway"), Protocol::Http1, request).map(drop)
}

fn request(origin: &[u8], path: &str) -> Request {
    Request {
        method: b"GET".to_vec(),
        scheme: b"http".to_vec(),
        authority: b"api.example.com".to_vec(),
        path: path.into(),
        body: Vec::new(),
        headers: vec![("origin".into(), origin.to_vec())],
    }
}

/// The reports of a kind, from the first to the last.
fn reports(envoy: &Envoy, kind: &str) -> Vec<Value> {
    let log = envoy.log();
    let json = log.lines().filter(|line| line.contains("[warning][wasm]")).filter_map(|line| {
        let start = line.find(r#"{"envoy_cors""#)?;
        serde_json::from_str::<Value>(&line[start..]).ok()
    });
    json.filter(|report| report["envoy_cors"] == kind).collect()
}

/// The counts of several reports together, by what stands in `denied`.
fn sums(reports: &[Value]) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for denied in reports.iter().flat_map(|report| report["denied"].as_array().unwrap()) {
        let mut key = denied.clone();
        let count = key.as_object_mut().unwrap().remove("count").unwrap();
        *sums.entry(key.to_string()).or_default() += count.as_u64().unwrap();
    }
    sums
}

fn totals(reports: &[Value]) -> u64 {
    reports.iter().map(|report| report["total"].as_u64().unwrap()).sum()
}

/// Of requests that every policy denies.
fn counted(envoy: &Envoy) -> Result<u64> {
    let denied = |(name, _): &(String, u64)| name.ends_with("_denied");
    Ok(envoy.stats()?.into_iter().filter(denied).map(|(_, count)| count).sum())
}

fn expect<T: PartialEq + std::fmt::Debug>(
    actual: &T,
    expected: &T,
) -> std::result::Result<(), Failed> {
    if actual == expected {
        Ok(())
    } else {
        Err(format!("expected {expected:#?}, got {actual:#?}").into())
    }
}

/// Requests, and what the report says of each.
const ROWS: &str = r#"
- send: { path: "/a/b/c?token=1", origin: https://evil.example.net }
  denied:
    mode: enforce
    policy: default
    outcome: actual_denied
    origin: https://evil.example.net
    host: api.example.com
    path: /a/b
- send: { path: /shop/x, origin: "https://\xffevil\"\\" }
  denied:
    mode: shadow
    policy: shop
    outcome: actual_denied
    origin: https://%FFevil%22%5C
    host: api.example.com
    path: /shop/x
- send: { method: OPTIONS, path: /, origin: https://app.example.com, acrm: PURGE }
  denied:
    mode: enforce
    policy: default
    outcome: preflight_denied_method
    refused: PURGE
    origin: https://app.example.com
    host: api.example.com
    path: /
- send: { method: OPTIONS, path: /, origin: https://app.example.com, acrm: PUT, acrh: "x-a,x-b,x-c" }
  denied:
    mode: enforce
    policy: default
    outcome: preflight_denied_headers
    refused: x-b
    origin: https://app.example.com
    host: api.example.com
    path: /
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    send: Request,
    denied: Value,
}

fn only_news() -> std::result::Result<(), Failed> {
    const TIMES: u64 = 20;
    let rows: Vec<Row> = serde_saphyr::from_str(ROWS).unwrap();
    let envoy = start(&[], &policy("1s"))?;
    for row in &rows {
        (0..TIMES).try_for_each(|_| send_row(&envoy, &row.send))?;
    }
    send(&envoy, b"https://app.example.com", "/allowed")?;
    let expected = rows.iter().map(|row| (row.denied.to_string(), TIMES)).collect();
    wait(|| Ok(expect(&sums(&reports(&envoy, "denied")), &expected)))?;
    let told = reports(&envoy, "denied");
    let total = TIMES * rows.len() as u64;
    expect(&totals(&told), &total)?;
    // Three intervals without a denial.
    sleep(Duration::from_secs(3));
    expect(&reports(&envoy, "denied").len(), &told.len())?;
    send(&envoy, b"https://evil.example.net", "/")?;
    wait(|| Ok(expect(&totals(&reports(&envoy, "denied")), &(total + 1))))
}

fn one_report() -> std::result::Result<(), Failed> {
    let envoy = start(&[], &policy("24h"))?;
    send(&envoy, b"https://evil.example.net", "/")?;
    wait(|| Ok(expect(&reports(&envoy, "denied").len(), &1)))?;
    (0..50).try_for_each(|_| send(&envoy, b"https://evil.example.net", "/"))?;
    // Both workers had to report, and neither did.
    wait(|| Ok(expect(&counted(&envoy)?, &51)))?;
    sleep(Duration::from_millis(500));
    expect(&totals(&reports(&envoy, "denied")), &1)
}

fn no_report() -> std::result::Result<(), Failed> {
    let envoy = start(&[], &policy("0s"))?;
    (0..20).try_for_each(|_| send(&envoy, b"https://evil.example.net", "/"))?;
    wait(|| Ok(expect(&counted(&envoy)?, &20)))?;
    expect(&reports(&envoy, "denied").len(), &0)
}

fn hostile_origins() -> std::result::Result<(), Failed> {
    const EACH: u64 = 4_000;
    let envoy = start(&[], &policy("1s"))?;
    let mut memory = Vec::new();
    for round in 0..3 {
        client::run(flood(envoy.port("gateway"), round * EACH..(round + 1) * EACH))?;
        let denied = (round + 1) * EACH * 5 / 4;
        wait(|| Ok(expect(&totals(&reports(&envoy, "denied")), &denied)))?;
        memory.push(envoy.resident());
    }
    for report in reports(&envoy, "denied") {
        // A few in the first line may be all that had arrived.
        if report["total"].as_u64().unwrap() > 1_000 {
            expect(&report["denied"][0]["origin"], &json!("https://often.example.net"))?;
        }
        if report.to_string().len() > 20_000 {
            return Err(format!("a report of {} bytes", report.to_string().len()).into());
        }
    }
    // The first round fills what is there to be filled.
    if let [_, Some(second), Some(third)] = memory[..]
        && third > second + 2 * 1024 * 1024
    {
        return Err(format!("grows: {memory:?} bytes").into());
    }
    Ok(())
}

/// Four in five are new to the filter, the fifth is always the same.
async fn flood(port: u16, numbers: std::ops::Range<u64>) -> Result<()> {
    let connection = Http2::to(port).await?;
    for number in numbers {
        let padding = "x".repeat(usize::try_from(number % 400)?);
        let origin = format!("https://a{number}.example.net/{padding}");
        let row = request(origin.as_bytes(), &format!("/{number}/{padding}"));
        connection.send(client::request(&row, "row", Protocol::Http2)?).await?;
        if number % 4 == 0 {
            let row = request(b"https://often.example.net", "/");
            connection.send(client::request(&row, "row", Protocol::Http2)?).await?;
        }
    }
    Ok(())
}

fn unused() -> std::result::Result<(), Failed> {
    let clock = accelerated_clock()?;
    let policy = json!({
        "policies": [{
            "name": "partners",
            "match": { "pathPrefixes": ["/partners"] },
            "allowOrigins": ["https://old.example.com", "https://*.example.org"],
        }],
        "allowOrigins": ["https://app.example.com", "http://localhost:*"],
        "usageReport": true,
        "flushInterval": "100ms",
    });
    let line = |policy: &str, entries: &[&str]| json!({ "envoy_cors": "unused", "policy": policy, "unused": entries.len(), "of": 2, "allowOrigins": entries });
    let envoy = start(&[("LD_PRELOAD", &clock)], &policy)?;
    // Either worker may get to know of it, and either may report.
    for _ in 0..10 {
        send(&envoy, b"https://app.example.com", "/")?;
        send(&envoy, b"https://a.example.org", "/partners")?;
        send(&envoy, b"https://evil.example.net", "/")?;
    }
    let expected =
        [line("partners", &["https://old.example.com"]), line("default", &["http://localhost:*"])];
    let last = || {
        let reports = reports(&envoy, "unused");
        reports[reports.len().saturating_sub(2)..].to_vec()
    };
    wait(|| Ok(expect(&last(), &expected.to_vec())))?;
    send(&envoy, b"http://localhost:3000", "/")?;
    wait(|| {
        let reports = reports(&envoy, "unused");
        Ok(expect(&reports.iter().rev().take(2).collect::<Vec<_>>(), &vec![&expected[0]; 2]))
    })?;
    // In hours of the fast clock: each one told once, whatever the number of workers.
    let hours = envoy
        .log()
        .lines()
        .filter(|line| line.contains(r#""policy":"partners""#))
        .map(hour)
        .collect::<Vec<_>>();
    let mut distinct = hours.clone();
    distinct.dedup();
    expect(&hours, &distinct)
}

/// Of a line like `[2026-01-02 03:04:05.678][…`.
fn hour(line: &str) -> String {
    line[..14].to_owned()
}

fn accelerated_clock() -> Result<std::path::PathBuf> {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/envoy/clock.c");
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status()?;
    if compiled.success() { Ok(library) } else { Err("cc failed".into()) }
}
