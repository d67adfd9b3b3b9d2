//! Known traffic, and the counters and access-log lines that it leaves: of two workers together,
//! and no more and no less.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use envoy_cors::Outcome;
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bootstrap::{filter, listener, manager, of_listeners, string_value};
use crate::client::{self, Protocol, Result};
use crate::process::Envoy;
use crate::table::{Reply, Request};
use crate::{gateway, upstream};

const WORKERS: u32 = 2;

const POLICY: &str = r#"{
    "policies": [{
        "name": "api-1",
        "match": { "pathPrefixes": ["/api"] },
        "allowOrigins": ["https://app.example.com"],
        "allowMethods": ["PUT"],
        "disallowedRequests": "reject"
    }, {
        "name": "new_one",
        "match": { "pathPrefixes": ["/new"] },
        "mode": "shadow",
        "allowOrigins": ["https://app.example.com"]
    }, {
        "name": "open",
        "match": { "pathPrefixes": ["/open"] },
        "allowOrigins": ["*"],
        "unmatchedPreflights": "forward",
        "upstreamHeaders": "keep"
    }],
    "flushInterval": "100ms",
    "allowOrigins": ["https://app.example.com"],
    "unmatchedPreflights": "forward",
    "upstreamHeaders": "keep"
}"#;

/// Each row is sent so many times, and is the only one with this path.
const ROWS: &str = r#"
- { label: policy.api-1.not_cors, times: 3, send: { path: /api/a } }
- { label: policy.api-1.actual_allowed, times: 20, send: { path: /api/b, origin: https://app.example.com } }
- { label: policy.api-1.actual_rejected, denied: true, times: 4, send: { path: /api/c, origin: https://evil.example.net } }
- { label: policy.api-1.same_origin, times: 5, send: { path: /api/d, origin: http://api.example.com } }
- { label: policy.api-1.preflight_allowed, times: 6, send: { path: /api/e, method: OPTIONS, origin: https://app.example.com, acrm: PUT } }
- { label: policy.api-1.preflight_denied_origin, denied: true, times: 7, send: { path: /api/f, method: OPTIONS, origin: https://evil.example.net, acrm: PUT } }
- { label: policy.api-1.preflight_denied_method, denied: true, times: 8, send: { path: /api/g, method: OPTIONS, origin: https://app.example.com, acrm: PATCH } }
- { label: policy.api-1.preflight_denied_headers, denied: true, times: 9, send: { path: /api/h, method: OPTIONS, origin: https://app.example.com, acrm: PUT, acrh: x-a } }
- { label: shadow.new_one.actual_allowed, times: 1, send: { path: /new/a, origin: https://app.example.com } }
- { label: shadow.new_one.actual_denied, denied: true, times: 2, send: { path: /new/b, origin: https://evil.example.net } }
- { label: shadow.new_one.preflight_denied_origin, denied: true, times: 3, send: { path: /new/c, method: OPTIONS, origin: https://evil.example.net, acrm: PUT } }
- { label: policy.open.actual_allowed, times: 11, send: { path: /open/a, origin: https://evil.example.net } }
- { label: policy.default.actual_denied, denied: true, times: 12, send: { path: /a, origin: "https://evil.example.net\xff" } }
- { label: policy.default.preflight_forwarded, denied: true, times: 13, send: { path: /b, method: OPTIONS, origin: https://evil.example.net, acrm: PUT } }
"#;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// The counter that it adds to.
    label: String,
    /// Whether the access log names it.
    #[serde(default)]
    denied: bool,
    times: u64,
    send: Request,
}

pub fn trial() -> Trial {
    Trial::test("counters and access log tell what was decided", || {
        let rows: Vec<Row> = serde_saphyr::from_str(ROWS).unwrap();
        let shipped = gateway::read("envoy.yaml");
        let mut listener = listener("gateway", Some(&filter(&string_value(POLICY), None)));
        let access_log = &shipped["static_resources"]["listeners"][0]["filter_chains"][0]["filters"]
            [0]["typed_config"]["access_log"];
        manager(&mut listener)["access_log"] = access_log.clone();
        let upstream = upstream::start([("row".into(), Reply::default())].into())?;
        let mut config = of_listeners(&[listener], upstream);
        config["stats_config"] = shipped["stats_config"].clone();
        let envoy = Envoy::start(config, WORKERS)?;
        let port = envoy.port("gateway");
        let expected = expected(&rows);
        // They are all there before the first request.
        wait(|| Ok(same(&zeros(&expected), &counters(&envoy)?)))?;
        for row in &rows {
            for _ in 0..row.times {
                // On a connection of its own, which any worker may get.
                client::send(
                    port,
                    Protocol::Http1,
                    client::request(&row.send, "row", Protocol::Http1)?,
                )?;
            }
        }
        wait(|| Ok(same(&expected, &counters(&envoy)?)))?;
        same(&prometheus_of(&expected), &prometheus(&envoy)?)?;
        let served = envoy.stats()?.into_iter().filter(|(name, count)| {
            name.contains(".worker_") && name.ends_with(".downstream_cx_total") && *count > 0
        });
        // One in a container, whatever was asked for.
        if served.count() as u64 != envoy.stat("server.concurrency")? {
            return Err("a worker got no request".into());
        }
        wait(|| Ok(rows.iter().try_for_each(|row| named(row, &envoy.log()))))?;
        same(&expected, &audited(&envoy.log(), &expected)?)?;
        // Nothing is counted again.
        sleep(Duration::from_millis(300));
        same(&expected, &counters(&envoy)?)
    })
}

type Counts = BTreeMap<String, u64>;

/// All counters of all policies.
fn expected(rows: &[Row]) -> Counts {
    let families = ["policy.api-1", "policy.default", "policy.open", "shadow.new_one"];
    let names = families.iter().flat_map(|family| {
        Outcome::ALL.iter().map(move |outcome| format!("{family}.{}", outcome.name()))
    });
    let mut counts: Counts = names.map(|name| (name, 0)).collect();
    for row in rows {
        *counts.get_mut(&row.label).expect("a counter") += row.times;
    }
    counts
}

fn zeros(counts: &Counts) -> Counts {
    counts.keys().map(|name| (name.clone(), 0)).collect()
}

fn counters(envoy: &Envoy) -> Result<Counts> {
    let ours = |(name, count): (String, u64)| {
        Some((name.strip_prefix("wasmcustom.envoy_cors.")?.to_owned(), count))
    };
    Ok(envoy.stats()?.into_iter().filter_map(ours).collect())
}

fn prometheus(envoy: &Envoy) -> Result<Counts> {
    let ours = |line: &str| {
        let (name, count) = line.split_once(' ')?;
        name.starts_with("envoy_cors_").then(|| (name.to_owned(), count.parse().unwrap()))
    };
    Ok(envoy.prometheus()?.lines().filter_map(ours).collect())
}

fn prometheus_of(counts: &Counts) -> Counts {
    let labelled = |name: &str| {
        let [family, policy, outcome] = name.split('.').collect::<Vec<_>>()[..] else { panic!() };
        format!(r#"envoy_cors_{family}{{cors_policy="{policy}",cors_outcome="{outcome}"}}"#)
    };
    counts.iter().map(|(name, count)| (labelled(name), *count)).collect()
}

fn same(expected: &Counts, actual: &Counts) -> std::result::Result<(), Failed> {
    let differs = |name: &&String| expected.get(*name) != actual.get(*name);
    let names: Vec<_> = expected.keys().chain(actual.keys()).filter(differs).collect();
    let told = |name: &&String| {
        format!("{name}: expected {:?}, got {:?}", expected.get(*name), actual.get(*name))
    };
    match names.iter().map(told).collect::<Vec<_>>() {
        none if none.is_empty() => Ok(()),
        found => Err(found.join("\n").into()),
    }
}

/// Tries until it succeeds, or says why it does not.
pub fn wait(
    attempt: impl Fn() -> std::result::Result<std::result::Result<(), Failed>, Failed>,
) -> std::result::Result<(), Failed> {
    let start = Instant::now();
    loop {
        match attempt()? {
            Err(_) if start.elapsed() < Duration::from_secs(20) => {
                sleep(Duration::from_millis(50));
            }
            ended => return ended,
        }
    }
}

/// What `envoy-cors audit` finds in Envoy's output, by the names of the counters. It may not
/// differ from what the log says of any request.
fn audited(log: &str, counters: &Counts) -> Result<Counts> {
    let folder = tempfile::tempdir()?;
    let [policy, output] = ["cors.json", "log"].map(|name| folder.path().join(name));
    fs::write(&policy, POLICY)?;
    fs::write(&output, log)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_envoy-cors"));
    let audit = command.args(["audit", "--format=json"]).args([policy, output]).output()?;
    let report: Value = serde_json::from_slice(&audit.stdout)?;
    if report["againstLog"]["changes"] != json!([]) {
        return Err(format!("{:#}", report["againstLog"]).into());
    }
    let mut counts = zeros(counters);
    for policy in report["policies"].as_array().unwrap() {
        let family = if policy["mode"] == "shadow" { "shadow" } else { "policy" };
        for (outcome, count) in policy["outcomes"].as_object().unwrap() {
            let name = format!("{family}.{}.{outcome}", policy["name"].as_str().unwrap());
            *counts.entry(name).or_default() += count.as_u64().unwrap();
        }
    }
    Ok(counts)
}

/// Whether the access log has the row as often as it was sent, and says what was denied.
fn named(row: &Row, log: &str) -> std::result::Result<(), Failed> {
    let lines: Vec<Value> = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|line: &Value| line["path"].as_str().map(str::as_bytes) == Some(&row.send.path))
        .collect();
    let expected = if row.denied { json!(row.label) } else { Value::Null };
    if lines.len() as u64 == row.times && lines.iter().all(|line| line["denied"] == expected) {
        Ok(())
    } else {
        Err(format!("{}: expected {} lines with {expected}, got {lines:#?}", row.label, row.times)
            .into())
    }
}
