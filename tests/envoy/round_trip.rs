//! From another system's policy to a gateway that does what it meant: `import`, `render`, a real
//! Envoy, `probe`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::{listener, manager, of_listeners, wasm};
use crate::client::Result;
use crate::import;
use crate::process::Envoy;
use crate::table;
use crate::upstream;

/// What the policy of the README's `VirtualService` means. An origin that `import` does not carry
/// over is in its findings.
const OF_README: &str = "
base: https://shop.example.com
origins: [https://example.com, https://app.example.com, https://a.b.example.com:8443]
endpoints:
- url: /api/orders
  credentials: true
  methods: [GET, PUT]
  headers: { content-type: application/json }
  refuse:
  - { origins: [https://shop.example.net, https://shopaexample.net, https://notexample.com, 'null'] }
  - { methods: [DELETE] }
  - { headers: { x-other: a } }
";

/// A policy on its way.
struct Case {
    name: String,
    folder: TempDir,
    /// The entry of `http_filters`.
    filter: Value,
}

pub fn trial() -> Trial {
    Trial::test("imported policies, rendered, loaded and probed", || {
        let mut cases = vec![of_readme()?];
        for folder in import::folders_with("suite.yaml") {
            cases.push(of_folder(&folder)?);
        }
        assert!(cases.len() > 5, "only {} cases", cases.len());
        let socket = tls()?;
        let with_tls = |case: &Case| {
            let mut listener = listener(&case.name, Some(&case.filter));
            listener["filter_chains"][0]["transport_socket"] = socket.clone();
            // Some policies expose it.
            manager(&mut listener)["route_config"]["response_headers_to_add"] =
                json!([{ "header": { "key": "x-request-id", "value": "7" } }]);
            listener
        };
        let listeners: Vec<Value> = cases.iter().map(with_tls).collect();
        let port = upstream::start([].into())?;
        let envoy = Envoy::start(of_listeners(&listeners, port), 1)?;
        cases.iter().try_for_each(|case| Ok(case.probe(envoy.port(&case.name))?))
    })
}

fn of_readme() -> Result<Case> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("source.yaml"), shown("virtual-service.yaml"))?;
    fs::write(folder.path().join("suite.yaml"), OF_README)?;
    Case::of("the README's example".to_owned(), folder)
}

fn of_folder(golden: &Path) -> Result<Case> {
    let folder = tempfile::tempdir()?;
    for file in import::sources(golden)?.iter().chain([&golden.join("suite.yaml")]) {
        fs::copy(file, folder.path().join(file.file_name().ok_or("no file")?))?;
    }
    Case::of(golden.strip_prefix(table::tests())?.display().to_string(), folder)
}

/// A socket with a certificate of nobody: pages that came over TLS ask nothing without.
fn tls() -> Result<Value> {
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let inline = |text: String| json!({ "inline_string": text });
    Ok(json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": { "tls_certificates": [{
                "certificate_chain": inline(certificate.cert.pem()),
                "private_key": inline(certificate.signing_key.serialize_pem()),
            }] },
        },
    }))
}

impl Case {
    /// Imports and renders the sources in a folder.
    fn of(name: String, folder: TempDir) -> Result<Self> {
        let sources = import::sources(folder.path())?;
        let sources = sources.iter().map(|it| it.display().to_string());
        let import: Vec<String> = ["import".to_owned()].into_iter().chain(sources).collect();
        let imported = run(&folder, &import)?;
        fs::write(folder.path().join("cors.yaml"), imported.stdout)?;
        let url = format!("--url={}", wasm()?.display());
        let rendered = run(&folder, &["render", "cors.yaml", "--to=envoy", &url])?;
        let said = String::from_utf8_lossy(&rendered.stderr);
        assert!(rendered.status.success(), "{name}: {said}");
        fs::write(folder.path().join("filter.yaml"), &rendered.stdout)?;
        let linted = run(&folder, &["lint", "filter.yaml", "--format=json"])?;
        let report: Value = serde_json::from_slice(&linted.stdout)?;
        let mut findings = report["findings"].as_array().ok_or("no findings")?.iter();
        assert!(findings.all(|it| it["severity"] != "error"), "{name}: {report:#}");
        let filters: Vec<Value> = serde_saphyr::from_slice(&rendered.stdout)?;
        let [filter] = filters.as_slice() else { return Err("there is another entry".into()) };
        Ok(Self { name, folder, filter: filter.clone() })
    }

    /// Asks what the suite says, with the strangers that nobody lets in.
    fn probe(&self, port: u16) -> Result<()> {
        let suite: Value = table::read(&self.folder.path().join("suite.yaml"));
        let base = suite["base"].as_str().ok_or("no base")?;
        let host = base.strip_prefix("https://").ok_or("no host")?;
        let base = format!("--base={base}:{port}");
        let resolve = format!("--resolve={host}:{port}:127.0.0.1");
        let probe = ["probe", "--suite=suite.yaml", &base, &resolve, "--insecure", "--send-unsafe"];
        let probed = run(&self.folder, &probe)?;
        let [said, complaint] =
            [probed.stdout, probed.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(probed.status.success(), "{}: {said}{complaint}", self.name);
        Ok(())
    }
}

/// What the README shows of a file.
fn shown(file: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, behind) = readme.split_once(&format!("    $ cat {file}\n")).unwrap();
    let lines = behind.lines().map_while(|line| line.strip_prefix("    "));
    lines.take_while(|line| !line.starts_with("$ ")).flat_map(|line| [line, "\n"]).collect()
}

fn run(folder: &TempDir, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_envoy-cors"));
    Ok(command.args(arguments).current_dir(folder.path()).output()?)
}
