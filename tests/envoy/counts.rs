//! What a request costs: each entry into the VM and each hostcall, as Envoy's log tells them.
//!
//! A row states all of them, in order, what happens during another call below it:
//!
//! ```text
//! request_headers       Envoy enters the VM
//!   get origin          a hostcall of the filter
//!     memory_allocate   Envoy enters the VM again, for room for the value: the header is there
//! ```
//!
//! Upstream sends back the body and the trailers that it gets, and the value of `x-vary` as `vary`.

use std::convert::Infallible;
use std::fmt::Write;
use std::future::ready;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use libtest_mimic::{Failed, Trial};
use serde::Deserialize;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::bootstrap::{filter, listener, of_listeners, string_value};
use crate::client::{self, Protocol, Result};
use crate::module::Module;
use crate::process::Envoy;
use crate::rows::Lazy;
use crate::table::Request;

const POLICY: &str = r#"{
    "allowOrigins": ["https://app.example.com", "https://*.example.org"],
    "allowMethods": ["PUT"],
    "allowHeaders": ["x-a"],
    "exposeHeaders": ["x-b"],
    "maxAge": 5,
    "allowCredentials": true
}"#;

const ROWS: &str = r#"
- case: no Origin
  send: {}
  status: 200
  hostcalls: 3
  calls: |
    context_create
    request_headers
      get origin
    response_headers
      get vary
      add vary
    delete
- case: an allowed origin
  send: { origin: https://app.example.com }
  status: 200
  hostcalls: 8
  calls: &granted |
    context_create
    request_headers
      get origin
        memory_allocate
      get access-control-request-method
    response_headers
      get vary
      replace access-control-allow-origin
      replace access-control-allow-credentials
      replace access-control-expose-headers
      add vary
    delete
- case: an origin allowed by a wildcard
  send: { origin: https://a.b.example.org }
  status: 200
  hostcalls: 8
  calls: *granted
- case: a body in many pieces, and trailers
  # Not 1 MiB: Envoy 1.36 drops the trailers of a body that just fills the window
  # (https://github.com/envoyproxy/envoy/issues/40821).
  send: { method: POST, origin: https://app.example.com, body: "{b*1048577}" }
  status: 200
  hostcalls: 8
  calls: *granted
- case: an upstream that varies on Origin
  send: { origin: https://app.example.com, x-vary: Origin }
  status: 200
  hostcalls: 8
  calls: |
    context_create
    request_headers
      get origin
        memory_allocate
      get access-control-request-method
    response_headers
      get vary
        memory_allocate
      replace access-control-allow-origin
      replace access-control-allow-credentials
      replace access-control-expose-headers
    delete
- case: an origin that is not allowed
  send: { origin: https://evil.example.net }
  status: 200
  calls: |
    context_create
    request_headers
      get origin
        memory_allocate
      get access-control-request-method
      get :authority
        memory_allocate
      get sec-fetch-site
      set_property
      get :authority
        memory_allocate
      get :path
        memory_allocate
    response_headers
      get vary
      remove access-control-allow-origin
      remove access-control-allow-credentials
      remove access-control-expose-headers
      add vary
    delete
- case: the gateway's own origin
  send: { origin: http://api.example.com }
  status: 200
  calls: |
    context_create
    request_headers
      get origin
        memory_allocate
      get access-control-request-method
      get :authority
        memory_allocate
      get :scheme
        memory_allocate
    response_headers
      get vary
      add vary
    delete
- case: an allowed preflight
  send: { method: OPTIONS, origin: https://app.example.com, acrm: PUT, acrh: x-a }
  status: 204
  hostcalls: 7
  calls: |
    context_create
    request_headers
      get origin
        memory_allocate
      get access-control-request-method
        memory_allocate
      get :method
        memory_allocate
      get access-control-request-headers
        memory_allocate
      send_local_response cors_preflight
    response_headers
    delete
- case: a refused preflight
  send: { method: OPTIONS, origin: https://evil.example.net, acrm: PUT, acrh: x-a }
  status: 403
  hostcalls: 7
  calls: |
    context_create
    request_headers
      get origin
        memory_allocate
      get access-control-request-method
        memory_allocate
      get :method
        memory_allocate
      set_property
      get :authority
        memory_allocate
      get :path
        memory_allocate
      send_local_response cors_preflight_denied_origin
    response_headers
    delete
"#;

/// For every kind of request: create, request headers, response headers, delete.
const MOST_ENTRIES: usize = 4;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    case: String,
    send: Request,
    status: u16,
    calls: String,
    /// At most so many, whatever stands in `calls`.
    hostcalls: Option<usize>,
}

/// What became of a row.
struct Seen {
    status: Result<u16>,
    calls: String,
}

pub fn trials() -> Vec<Trial> {
    let rows: Arc<Vec<Row>> = Arc::new(serde_saphyr::from_str(ROWS).unwrap());
    let seen = Arc::new(Lazy::default());
    let trial = |index: usize| {
        let (rows, seen) = (Arc::clone(&rows), Arc::clone(&seen));
        Trial::test(format!("calls: {}", rows[index].case), move || {
            compare(&rows[index], &seen.get(|| see(&rows))?[index])
        })
    };
    (0..rows.len()).map(trial).collect()
}

fn compare(row: &Row, seen: &Seen) -> std::result::Result<(), Failed> {
    let mut found = String::new();
    if !matches!(seen.status, Ok(status) if status == row.status) {
        writeln!(found, "status: expected {}, got {:?}", row.status, seen.status)?;
    }
    let entries = calls_at_depth(0, &seen.calls);
    if entries > MOST_ENTRIES {
        writeln!(found, "{entries} entries, at most {MOST_ENTRIES}")?;
    }
    let hostcalls = calls_at_depth(1, &seen.calls);
    if let Some(most) = row.hostcalls.filter(|most| hostcalls > *most) {
        writeln!(found, "{hostcalls} hostcalls, at most {most}")?;
    }
    if seen.calls != row.calls {
        writeln!(found, "expected the calls\n{}\ngot\n{}", row.calls, seen.calls)?;
    }
    if found.is_empty() { Ok(()) } else { Err(found.into()) }
}

fn calls_at_depth(depth: usize, calls: &str) -> usize {
    calls.lines().filter(|call| call.len() - call.trim_start().len() == depth * INDENT).count()
}

const INDENT: usize = 2;

/// Sends all rows, one after the other.
fn see(rows: &[Row]) -> Result<Vec<Seen>> {
    let listener = listener("gateway", Some(&filter(&string_value(POLICY), None)));
    let mut config = of_listeners(&[listener], start_upstream()?);
    config["static_resources"]["clusters"][0]["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": {} },
        },
    });
    let envoy = Envoy::start(config, 1)?;
    envoy.trace_wasm()?;
    let port = envoy.port("gateway");
    let statuses: Vec<_> = rows.iter().map(|row| client::run(status(port, row))).collect();
    let calls = calls_of_streams(&envoy, rows.len())?;
    let seen = statuses.into_iter().zip(calls);
    Ok(seen.map(|(status, calls)| Seen { status, calls }).collect())
}

async fn status(port: u16, row: &Row) -> Result<u16> {
    let stream = TokioIo::new(TcpStream::connect(("127.0.0.1", port)).await?);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
    client::spawn(async { drop(connection.await) });
    let request = client::request(&row.send, &row.case, Protocol::Http2)?.map(with_trailers);
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?;
    let sent = &row.send.body;
    if body.trailers().is_some() == sent.is_empty() || body.to_bytes() != sent {
        return Err("not the body and trailers that were sent".into());
    }
    Ok(status)
}

/// HTTP/2 cuts a long body into pieces by itself.
fn with_trailers(body: Full<Bytes>) -> BoxBody<Bytes, Infallible> {
    if body.is_end_stream() {
        return body.boxed();
    }
    let line = (HeaderName::from_static("x-trailer"), HeaderValue::from_static("sent"));
    body.with_trailers(ready(Some(Ok(HeaderMap::from_iter([line]))))).boxed()
}

/// Speaks HTTP/2: in HTTP/1.1, Envoy and hyper drop trailers unless told not to.
fn start_upstream() -> Result<u16> {
    let listener = client::run(async { Ok(TcpListener::bind(("127.0.0.1", 0)).await?) })?;
    let port = listener.local_addr()?.port();
    client::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), hyper::service::service_fn(echo));
            client::spawn(async { drop(connection.await) });
        }
    });
    Ok(port)
}

async fn echo(
    request: hyper::Request<Incoming>,
) -> std::result::Result<hyper::Response<Incoming>, Infallible> {
    let (head, body) = request.into_parts();
    let mut response = hyper::Response::new(body);
    if let Some(vary) = head.headers.get("x-vary") {
        response.headers_mut().insert("vary", vary.clone());
    }
    Ok(response)
}

fn calls_of_streams(envoy: &Envoy, requests: usize) -> Result<Vec<String>> {
    let module = Module::read()?;
    let start = Instant::now();
    loop {
        let calls = in_rows_notation(&envoy.log(), &module);
        // Envoy deletes a stream after it has answered.
        let complete = calls.len() == requests && calls.iter().all(|it| it.ends_with("delete\n"));
        if complete || start.elapsed() > Duration::from_secs(2) {
            return match calls.len() {
                streams if streams == requests => Ok(calls),
                streams => Err(format!("{streams} streams for {requests} requests").into()),
            };
        }
        sleep(Duration::from_millis(20));
    }
}

/// The calls of each stream in `log`, in the order in which the streams began.
fn in_rows_notation(log: &str, module: &Module) -> Vec<String> {
    let mut lines: Vec<_> = log.lines().filter_map(Line::parse).collect();
    // The calls of one thread may stand between those of another.
    lines.sort_by_key(|line| line.thread);
    let mut streams: Vec<(usize, String)> = Vec::new();
    let (mut depth, mut stream) = (0_usize, 0);
    for line in lines {
        let Some(arguments) = &line.arguments else {
            depth = depth.saturating_sub(1);
            continue;
        };
        if depth == 0 {
            stream = arguments.first().copied().unwrap_or_default();
        }
        if let ("proxy_on_context_create", [id, 1..=usize::MAX]) = (line.function, &**arguments) {
            streams.push((*id, String::new()));
        }
        // Any other entry is the plugin's.
        if let Some((_, calls)) = streams.iter_mut().find(|(id, _)| *id == stream) {
            let indent = depth * INDENT;
            writeln!(calls, "{:indent$}{}", "", short(line.function, arguments, module)).unwrap();
        }
        depth += 1;
    }
    streams.into_iter().map(|(_, calls)| calls).collect()
}

/// A line of the log about the start of a call, in either direction, or its end:
///
/// ```text
/// [time][thread][trace][wasm] [source] [vm->host] env.proxy_remove_header_map_value(2, 4711, 4)
/// [time][thread][trace][wasm] [source] [vm<-host] env.proxy_remove_header_map_value return: 0
/// ```
struct Line<'l> {
    thread: &'l str,
    function: &'l str,
    /// `None` where the call ends.
    arguments: Option<Vec<usize>>,
}

impl<'l> Line<'l> {
    fn parse(line: &'l str) -> Option<Self> {
        let mut parts = line.splitn(3, "] [");
        let thread = parts.next()?.split("][").nth(1)?;
        let (direction, call) = parts.nth(1)?.split_once("] ")?;
        let end = match direction {
            "host->vm" | "vm->host" => '(',
            "host<-vm" | "vm<-host" => ' ',
            _ => return None,
        };
        let (function, rest) = call.split_once(end)?;
        let number = |text: &str| text.trim_end_matches(')').parse().unwrap_or_default();
        let arguments = (end == '(').then(|| rest.split(", ").map(number).collect());
        Some(Self { thread, function, arguments })
    }
}

/// The hostcalls of a request take a text as their second and third argument. The log has its
/// address, the module what stands there.
fn short(function: &str, arguments: &[usize], module: &Module) -> String {
    if let Some(entry) = function.strip_prefix("proxy_on_") {
        return entry.to_owned();
    }
    let name = function.trim_start_matches("env.proxy_").trim_end_matches("_header_map_value");
    match arguments {
        [_, address, len, ..] => match module.text(*address, *len) {
            Some(text) => format!("{name} {text}"),
            None => name.to_owned(),
        },
        _ => name.to_owned(),
    }
}
