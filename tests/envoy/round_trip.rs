//! From another system's policy to a gateway that does what it meant: `import`, `render`, a real
//! Envoy, `probe`.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::{Failed, Trial};
use serde_json::Value;

use crate::bootstrap::{listener, of_listeners, wasm};
use crate::client::Result;
use crate::process::Envoy;
use crate::upstream;

/// What the policy of the README's `VirtualService` means. An origin that `import` does not carry
/// over is in its findings.
const SUITE: &str = "
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

pub fn trial() -> Trial {
    Trial::test("an imported policy, rendered, loaded and probed", || {
        let folder = tempfile::tempdir()?;
        let folder = folder.path();
        // Browsers let pages with TLS ask no other host without.
        let source = shown("virtual-service.yaml").replace("shop.example.com", "localhost");
        std::fs::write(folder.join("virtual-service.yaml"), source)?;
        let imported = run(folder, &["import", "virtual-service.yaml"])?;
        assert_eq!(imported.status.code(), Some(1), "the README shows an error");
        std::fs::write(folder.join("cors.yaml"), imported.stdout)?;
        let url = format!("--url={}", wasm()?.display());
        let rendered = run(folder, &["render", "cors.yaml", "--to=envoy", &url])?;
        assert_eq!(rendered.status.code(), Some(0));
        std::fs::write(folder.join("filter.yaml"), &rendered.stdout)?;
        let linted = run(folder, &["lint", "filter.yaml", "--format=json"])?;
        let report: Value = serde_json::from_slice(&linted.stdout)?;
        let of_severity = |it: &Value| it["severity"] == "error";
        assert!(!report["findings"].as_array().unwrap().iter().any(of_severity), "{report:#}");

        let filters: Vec<Value> = serde_saphyr::from_slice(&rendered.stdout)?;
        let listener = listener("gateway", filters.first());
        let envoy = Envoy::start(of_listeners(&[listener], upstream::start(HashMap::new())?), 1)?;
        let port = envoy.port("gateway");
        std::fs::write(folder.join("suite.yaml"), SUITE)?;
        let base = format!("--base=http://localhost:{port}");
        let probed = run(folder, &["probe", "--suite=suite.yaml", &base, "--send-unsafe"])?;
        if probed.status.code() == Some(0) {
            return Ok(());
        }
        let [said, complaint] = [probed.stdout, probed.stderr].map(String::from_utf8);
        Err(Failed::from(format!("{}\n{}", said?, complaint?)))
    })
}

/// What the README shows of a file.
fn shown(file: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, behind) = readme.split_once(&format!("    $ cat {file}\n")).unwrap();
    let lines = behind.lines().map_while(|line| line.strip_prefix("    "));
    lines.take_while(|line| !line.starts_with("$ ")).flat_map(|line| [line, "\n"]).collect()
}

fn run(folder: &Path, arguments: &[&str]) -> Result<Output> {
    let command = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
        .args(arguments)
        .current_dir(folder)
        .output()?;
    Ok(command)
}
