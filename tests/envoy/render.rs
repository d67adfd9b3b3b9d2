//! What `envoy-cors render` makes for Envoy, in a real one.

use std::convert::Infallible;
use std::process::Command;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use libtest_mimic::{Failed, Trial};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::bootstrap::{listener, loopback, of_listeners, wasm};
use crate::client::{Protocol, Result, run, spawn};
use crate::process::Envoy;
use crate::rows::{check, replies};
use crate::table;
use crate::upstream;

/// As people write it, with what no JSON has.
const POLICY: &str = "\
# The policy of the shop.
allowOrigins:
  staging: [https://staging.example.com]
  production: &app
  - https://app.example.com # the app
allowMethods: [PUT]
allowCredentials: true
policies:
- { name: preview, match: { hosts: [preview.example.com] }, allowOrigins: *app }
";

const CASES: &str = "
- cases:
    - case: an allowed origin
      send: { origin: https://app.example.com }
      get: { status: 200, from: upstream, acao: https://app.example.com, acac: 'true', vary: Origin }
    - case: another environment's origin
      send: { origin: https://staging.example.com }
      get: { status: 200, from: upstream, vary: Origin }
    - case: another policy
      send: { authority: preview.example.com, origin: https://app.example.com }
      get: { status: 200, from: upstream, acao: https://app.example.com, vary: Origin }
";

pub fn trial() -> Trial {
    Trial::test("rendered filters, from a file and over the network", || {
        let module = wasm()?;
        let path = module.to_str().ok_or("the module's path is no text")?;
        let server = serve(std::fs::read(&module)?)?;
        let url = "http://files.example.com/envoy_cors.wasm";
        let checksum = format!("--wasm={path}");
        let local = rendered(&["--name=local", &format!("--url={path}")])?;
        let remote =
            rendered(&["--name=remote", &format!("--url={url}"), "--cluster=files", &checksum])?;
        let listeners = [listener("local", Some(&local)), listener("remote", Some(&remote))];
        let groups = table::parse(CASES);
        let mut config = of_listeners(&listeners, upstream::start(replies(&groups))?);
        let clusters =
            config["static_resources"]["clusters"].as_array_mut().ok_or("no clusters")?;
        clusters.push(cluster("files", server));
        let envoy = Envoy::start(config, 1)?;
        for case in &groups[0].cases {
            for listener in ["local", "remote"] {
                check(envoy.port(listener), case, Protocol::Http1).map_err(|error| {
                    Failed::from(format!("{listener}: {}: {error:?}", case.name))
                })?;
            }
        }
        Ok(())
    })
}

/// The entry of `http_filters` for the policy in production.
fn rendered(arguments: &[&str]) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("cors.yaml"), POLICY)?;
    let output = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
        .args(["render", "cors.yaml", "--to=envoy", "--environment=production"])
        .args(arguments)
        .current_dir(folder.path())
        .output()?;
    let entries: Vec<Value> = serde_saphyr::from_str(str::from_utf8(&output.stdout)?)
        .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let [entry] = entries.as_slice() else { return Err("there is another entry".into()) };
    Ok(entry.clone())
}

fn cluster(name: &str, port: u16) -> Value {
    let endpoint = json!({ "endpoint": { "address": loopback(port) } });
    let endpoints = json!([{ "lb_endpoints": [endpoint] }]);
    json!({ "name": name, "load_assignment": { "cluster_name": name, "endpoints": endpoints } })
}

/// Answers everything with these bytes, until the process ends. Returns the port.
fn serve(bytes: Vec<u8>) -> Result<u16> {
    let listener = run(async { Ok(TcpListener::bind(("127.0.0.1", 0)).await?) })?;
    let port = listener.local_addr()?.port();
    let bytes = Bytes::from(bytes);
    spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let bytes = bytes.clone();
            let service = hyper::service::service_fn(move |_| {
                let response = hyper::Response::new(Full::new(bytes.clone()));
                async { Ok::<_, Infallible>(response) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(port)
}
