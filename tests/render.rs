//! `envoy-cors render`, the real binary on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod run;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use run::run;

/// A policy and arguments; `tests/render/NAME.yaml` has what is printed.
struct Row {
    name: &'static str,
    /// The file's name, and its text.
    policy: (&'static str, &'static str),
    arguments: &'static [&'static str],
}

/// An image, and the SHA-256 of nothing for its digest.
const IMAGE: &str = "--url=oci://registry.example.com/envoy-cors:0.1.0";
const DIGEST: &str =
    "--sha256=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const FILE: &str = "--url=https://files.example.com/envoy_cors.wasm";

const SHOP: (&str, &str) = (
    "shop.yaml",
    "\
# The policy of the shop.
allowOrigins:
  staging: [\"https://*.preview.example.com\"]
  production: [https://app.example.com, 'https://www.example.com'] # the app, and the site

# Norway has a shop of its own.
  no: [https://butikk.example.com]
allowMethods: [put, PATCH, DELETE]
allow_headers:
- authorization
- content-type
# envoy-cors: allow max-age-capped: most of our users have Firefox
maxAge: 24h
allowCredentials: true
# The end.
",
);

const ROWS: &[Row] = &[
    Row {
        name: "istio-gateway",
        policy: SHOP,
        arguments: &[
            "--to=istio-gateway",
            "--selector=istio=ingressgateway",
            "--selector=example.com/shop=true",
            "--namespace=istio-ingress",
            "--environment=production",
            IMAGE,
            DIGEST,
        ],
    },
    Row {
        name: "istio-gateway-by-name",
        policy: (
            "cors.json",
            "{\n\t\"policies\": [\n\t\t{ \"name\": \"1_0\", \"match\": { \"hosts\": [\"api.example.com\"] }, \"allowOrigins\": [\"*\"] }\n\t],\n\t\"allowOrigins\": []\n}\n",
        ),
        arguments: &[
            "--to=istio-gateway",
            "--gateway=public",
            "--name=open.cors",
            "--url=http://files.example.com:8080/envoy_cors.wasm",
            "--wasm=module.wasm",
        ],
    },
    Row {
        name: "istio-workload",
        policy: ("cors.yaml", "allowOrigins: [https://app.example.com]\n"),
        arguments: &[
            "--to=istio-workload",
            "--selector=app=checkout",
            "--namespace=shop",
            "--port=8080",
            "--port=8443",
            "--url=oci://registry.example.com/envoy-cors@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ],
    },
    Row {
        name: "istio-workload-file",
        policy: (
            // A BOM, the ends of lines as in Windows, a directive, a marker, what follows them, and a tab.
            "cors.yaml",
            "\u{feff}%YAML 1.2\r\n# not a comment of the policy\r\n---\r\n# Who may.\r\nallowOrigins: &all\r\n-\thttps://app.example.com # the app\r\nallowHeaders: [x-a,\r\n  x-b]\r\n...\r\n",
        ),
        arguments: &[
            "--to=istio-workload",
            "--selector=app=checkout",
            "--url=file:///etc/envoy_cors.wasm",
            "--wasm=module.wasm",
        ],
    },
    Row {
        name: "envoy-gateway",
        policy: SHOP,
        arguments: &[
            "--to=envoy-gateway",
            "--gateway=eg",
            "--namespace=gateways",
            "--environment=no",
            IMAGE,
            DIGEST,
        ],
    },
    Row {
        name: "envoy-gateway-http",
        // Out of a manifest for Istio, whose environment stays.
        policy: (
            "plugin.yaml",
            "\
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: { name: cors }
spec:
  phase: AUTHZ # too late
  vmConfig: { env: [{ name: CORS_ENVIRONMENT, value: $(production) }] }
  pluginConfig:
      # What the gateway allows.
      allowOrigins:
          $(production): # each
              - https://app.example.com
      maxAge: 7200
    # It is the end of the policy.
  url: oci://registry.example.com/envoy-cors:0.0.1
",
        ),
        arguments: &["--to=envoy-gateway", "--gateway=eg", FILE, "--wasm=module.wasm"],
    },
    Row {
        name: "envoy",
        policy: SHOP,
        arguments: &[
            "--to=envoy",
            "--environment=production",
            "--url=/etc/envoy/envoy_cors.wasm",
            "--wasm=module.wasm",
        ],
    },
    Row {
        name: "envoy-remote",
        // JSON stays as it is.
        policy: (
            "cors.json",
            "{\"allowOrigins\": [\n  \"https://app.example.com\"],\n\n  \"maxAge\": 7200 }\n",
        ),
        arguments: &[
            "--to=envoy",
            "--name=0x10",
            "--cluster=files, and more",
            FILE,
            DIGEST,
        ],
    },
    Row {
        name: "anchors-and-blocks",
        policy: (
            "cors.yaml",
            "\
# before the marker
---
policies:
  - name: first
    match: &scope
      hosts: [api.example.com]
    allowOrigins: &origins
      - \"https://app.example.com\"
      - >-
        https://www.example.com
    maxAge: |-
      2h
  - name: second
    match: { <<: *scope, pathPrefixes: [/a] }
    allowOrigins: *origins
---
",
        ),
        arguments: &["--to=istio-gateway", "--gateway=public", FILE, DIGEST],
    },
    Row {
        name: "anchor-outside",
        // What the alias stands for does not come along, so the policy is written anew; the comment that lint needs
        // comes to its place.
        policy: (
            "plugin.yaml",
            "\
metadata: { annotations: { origins: &origins [https://app.example.com, 'https://*.example.com:*'] } }
kind: WasmPlugin
spec:
  phase: AUTHN
  pluginConfig:
    allowOrigins: *origins
    allowMethods: [NO, \"010\", y]
    allowHeaders: [authorization]
    maxAge: 86400 # envoy-cors: allow max-age-capped: most of our users have Firefox
",
        ),
        arguments: &["--to=istio-gateway", "--gateway=public", FILE, DIGEST],
    },
    Row {
        name: "from-envoy",
        // The comment is for all of the string; in the manifest it stands where it is meant.
        policy: (
            "envoy.yaml",
            "\
http_filters:
- name: envoy.filters.http.wasm
  typed_config:
    '@type': type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      vm_config: { environment_variables: { key_values: { CORS_ENVIRONMENT: staging } } }
      configuration:
        '@type': type.googleapis.com/google.protobuf.StringValue
        # envoy-cors: allow max-age-capped: most of our users have Firefox
        value: |
          {
            \"allowOrigins\": { \"staging\": [\"https://app.example.com\"] },
            \"maxAge\": \"24h\"
          }
",
        ),
        arguments: &["--to=istio-gateway", "--gateway=public", FILE, DIGEST],
    },
    Row {
        name: "from-envoy-gateway",
        // In one line of JSON, as a control plane may print it. The findings that are no errors stay.
        policy: (
            "policy.yaml",
            "{\"kind\": \"EnvoyExtensionPolicy\", \"spec\": {\"wasm\": [{\"config\": {\"allowOrigins\": {\"a\": [], \"b\": [\"null\"]}, \"maxAge\": 1e3}}]}}",
        ),
        arguments: &["--to=envoy-gateway", "--gateway=eg", "--environment=b", FILE, DIGEST],
    },
];

/// A folder with a policy and a module.
fn folder((name, text): (&str, &str)) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::write(folder.path().join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    folder
}

fn golden(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/render/{name}.yaml"))
}

/// With `BLESS` in the environment, what is printed becomes what is expected.
#[test]
fn manifests_are_what_is_expected() {
    for Row { name, policy, arguments } in ROWS {
        let folder = folder(*policy);
        let (status, printed, said) =
            run(&[&["render", policy.0], *arguments].concat(), folder.path(), "");
        assert_eq!(status, 0, "{name}: {said}");
        if std::env::var_os("BLESS").is_some() {
            std::fs::write(golden(name), &printed).unwrap();
        }
        assert_eq!(printed, std::fs::read_to_string(golden(name)).unwrap(), "{name}");
    }
    let files = std::fs::read_dir(golden("a").parent().unwrap()).unwrap();
    let files: BTreeSet<String> =
        files.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let rows = ROWS.iter().map(|row| format!("{}.yaml", row.name)).collect();
    assert_eq!(files, rows);
}

/// The rules that a file breaks, and the sentences on them.
fn found(file: &str, environment: Option<&str>, folder: &Path) -> BTreeSet<(String, String)> {
    let environment = environment.map(|name| format!("--environment={name}"));
    let arguments = ["lint", "--format=json", file];
    let arguments: Vec<&str> = arguments.into_iter().chain(environment.as_deref()).collect();
    let (_, printed, _) = run(&arguments, folder, "");
    let report: Value = serde_json::from_str(&printed).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let text = |finding: &Value, field: &str| finding[field].as_str().unwrap().to_owned();
    findings.map(|finding| (text(finding, "rule"), text(finding, "message"))).collect()
}

/// What stands around the policy in a manifest is put right.
const AROUND: [&str; 2] = ["filter-before-cors", "gateway-filter-order"];

#[test]
fn lint_finds_in_a_manifest_what_it_finds_in_the_policy() {
    let mut all = 0;
    for Row { name, policy, arguments } in ROWS {
        let folder = folder(*policy);
        std::fs::copy(golden(name), folder.path().join("manifest.yaml")).unwrap();
        let environment =
            arguments.iter().find_map(|argument| argument.strip_prefix("--environment="));
        let mut of_policy = found(policy.0, environment, folder.path());
        of_policy.retain(|(rule, _)| !AROUND.contains(&rule.as_str()));
        let of_manifest = found("manifest.yaml", environment, folder.path());
        assert_eq!(of_manifest, of_policy, "{name}");
        let without = found("manifest.yaml", None, folder.path());
        assert!(without.is_subset(&of_policy), "{name}: {without:?}");
        all += of_policy.len();
    }
    assert!(all > 3, "hardly anything is found");
}

/// What is refused, and what is said on standard error.
struct Refused {
    case: &'static str,
    policy: (&'static str, &'static str),
    arguments: &'static [&'static str],
    status: i32,
    says: &'static str,
}

const GOOD: (&str, &str) = ("cors.yaml", "allowOrigins: []\n");
const TO_ISTIO: &str = "--to=istio-gateway";
const PUBLIC: &str = "--gateway=public";
const PER_ENVIRONMENT: &str = "\
allowOrigins: # by environment
  staging: []
  production: [https://app.example.com]
";

const REFUSED: &[Refused] = &[
    Refused {
        case: "what Envoy refuses",
        policy: ("cors.yaml", "allowOrigins: [\"https://App.example.com\"]\nmaxage: 5\n"),
        arguments: &[TO_ISTIO, PUBLIC, IMAGE, DIGEST],
        status: 1,
        says: r#"
error[invalid-origin]: allowOrigins[0]: "https://App.example.com": browsers send origins in lower case
 --> cors.yaml:1:16
  |
1 | allowOrigins: ["https://App.example.com"]
  |                ^^^^^^^^^^^^^^^^^^^^^^^^^
  |
  = help: write "https://app.example.com"

error[unknown-field]: maxage: the top level has no field "maxage"
 --> cors.yaml:2:1
  |
2 | maxage: 5
  | ^^^^^^
  |
  = help: did you mean "maxAge"?

envoy-cors: cors.yaml: not rendered, since there are errors
"#,
    },
    Refused {
        case: "what lets strangers in, and a warning",
        policy: (
            "cors.yaml",
            "allowOrigins: [https://*.github.io]\nallowCredentials: true\nallowMethods: [patch]\nmaxAge: 24h\n",
        ),
        arguments: &["--to=envoy", "--url=envoy_cors.wasm"],
        status: 1,
        says: r#"
error[public-suffix-with-credentials]: allowOrigins[0]: "https://*.github.io": anybody can register a name under github.io and act as the user who is logged in
 --> cors.yaml:1:16
  |
1 | allowOrigins: [https://*.github.io]
  |                ^^^^^^^^^^^^^^^^^^^
  |
  = help: name the domain that you own, or set dangerouslyAllowPublicSuffixes

warning[method-case]: allowMethods[0]: "patch": method names are case-sensitive, and browsers upper-case only DELETE, GET, HEAD, OPTIONS, POST and PUT
 --> cors.yaml:3:16
  |
3 | allowMethods: [patch]
  |                ^^^^^
  |
  = help: write "PATCH"

envoy-cors: cors.yaml: not rendered, since there are errors
"#,
    },
    Refused {
        case: "it is not known which environment",
        policy: ("cors.yaml", PER_ENVIRONMENT),
        arguments: &[TO_ISTIO, PUBLIC, IMAGE, DIGEST],
        status: 1,
        says: r#"
error[unknown-environment]: allowOrigins: lists origins per environment, but no environment is chosen
 --> cors.yaml:2:3
  |
2 |   staging: []
  |   ^^^^^^^
  |
  = help: write "environment" at the top level or set CORS_ENVIRONMENT in the VM

envoy-cors: choose one with --environment NAME: staging, production
envoy-cors: cors.yaml: not rendered, since there are errors
"#,
    },
    Refused {
        case: "only the host knows which environment",
        policy: (
            "cors.yaml",
            "{kind: EnvoyExtensionPolicy, spec: {wasm: [{env: {hostKeys: [CORS_ENVIRONMENT]}, config: {allowOrigins: {a: []}}}]}}",
        ),
        arguments: &["--to=envoy-gateway", "--gateway=eg", IMAGE, DIGEST],
        status: 1,
        says: r#"
error[unknown-environment]: allowOrigins: lists origins per environment, but no environment is chosen
 --> cors.yaml:1:106
  |
1 | {kind: EnvoyExtensionPolicy, spec: {wasm: [{env: {hostKeys: [CORS_ENVIRONMENT]}, config: {allowOrigins: {a: []}}}]}}
  |                                                                                                          ^
  |
  = help: write "environment" at the top level or set CORS_ENVIRONMENT in the VM

envoy-cors: choose one with --environment NAME: a
envoy-cors: cors.yaml: not rendered, since there are errors
"#,
    },
    Refused {
        case: "an environment that has no list",
        policy: ("cors.yaml", PER_ENVIRONMENT),
        arguments: &["--to=envoy", "--url=envoy_cors.wasm", "--environment=live"],
        status: 1,
        says: r#"
error[unknown-environment]: allowOrigins: has no list for the environment "live", only for "staging" and "production"
 --> cors.yaml:2:3
  |
2 |   staging: []
  |   ^^^^^^^
  |
  = help: add one (`[]` grants nobody) or choose another environment

envoy-cors: cors.yaml: not rendered, since there are errors
"#,
    },
    Refused {
        case: "everything at once",
        policy: ("cors.yaml", "allowOrigins: [\n"),
        arguments: &[
            "--to=istio-workload",
            "--url=registry.example.com/envoy-cors:0.1.0",
            "--sha256=abc",
            "--name=Cors",
            "--namespace=a.b",
            "--gateway=-",
            "--cluster=",
            "--environment=\n",
            "--port=80",
            "--port=80",
        ],
        status: 2,
        says: r#"
envoy-cors: --gateway "-": the pods of a workload are chosen by their labels; write --selector KEY=VALUE
envoy-cors: --cluster "": only Envoy itself fetches through a cluster; leave it out
envoy-cors: --to istio-workload: it is not known which workload; add the labels of its pods, as in --selector app=checkout
envoy-cors: --name "Cors": is no name of a resource; write lower-case letters and digits, with hyphens and dots between them
envoy-cors: --namespace "a.b": is no namespace; write lower-case letters and digits, with hyphens between them, at most 63
envoy-cors: --environment "\n": is no name; write one, without control characters
envoy-cors: --port 80: was given before; leave one out
envoy-cors: --url "registry.example.com/envoy-cors:0.1.0": has no scheme; write oci:// before the name of an image, https:// before the URL of a module
envoy-cors: --sha256 "abc": is no SHA-256; write its 64 hexadecimal digits
envoy-cors: cors.yaml: line 1: unclosed bracket '['
"#,
    },
    Refused {
        case: "which gateway: unknown",
        policy: GOOD,
        arguments: &[TO_ISTIO, IMAGE, DIGEST, "--port=1"],
        status: 2,
        says: r#"
envoy-cors: --port 1: the filter is for every port of a gateway; leave it out
envoy-cors: --to istio-gateway: it is not known which gateway; add the labels of its pods, as in --selector istio=ingressgateway, or --gateway NAME for a Gateway of the Gateway API
"#,
    },
    Refused {
        case: "which gateway: twice; and labels that are none",
        policy: GOOD,
        arguments: &[
            TO_ISTIO,
            PUBLIC,
            IMAGE,
            DIGEST,
            "--selector=a=b",
            "--selector=a=c",
            "--selector=a",
            "--selector=a=*",
            "--selector=/b=c",
        ],
        status: 2,
        says: r#"
envoy-cors: --selector and --gateway both say which gateway; leave one of them out
envoy-cors: --selector "a=c": its key was given before, and a pod has one value for it; leave one out
envoy-cors: --selector "a": is no label; write KEY=VALUE, as in app=checkout
envoy-cors: --selector "a=*": is no label; write KEY=VALUE, as in app=checkout
envoy-cors: --selector "/b=c": is no label; write KEY=VALUE, as in app=checkout
"#,
    },
    Refused {
        case: "Envoy Gateway",
        policy: GOOD,
        arguments: &[
            "--to=envoy-gateway",
            "--url=file:///envoy_cors.wasm",
            "--selector=a=b",
            "--port=1",
        ],
        status: 2,
        says: r#"
envoy-cors: --selector "a=b": Envoy Gateway's policies name a Gateway; write --gateway NAME
envoy-cors: --port 1: the filter is for every port of a Gateway; leave it out
envoy-cors: --to envoy-gateway: it is not known which Gateway; add --gateway NAME
envoy-cors: --url "file:///envoy_cors.wasm": Envoy Gateway reads no files of the proxy; write oci:// or https://
"#,
    },
    Refused {
        case: "Envoy",
        policy: GOOD,
        arguments: &[
            "--to=envoy",
            IMAGE,
            "--selector=a=b",
            "--gateway=eg",
            "--port=1",
            "--namespace=a",
            "--name=",
        ],
        status: 2,
        says: r#"
envoy-cors: --selector "a=b": the filter is for the listener whose http_filters it stands in; leave it out
envoy-cors: --gateway "eg": the filter is for the listener whose http_filters it stands in; leave it out
envoy-cors: --port 1: the filter is for the listener whose http_filters it stands in; leave it out
envoy-cors: --namespace "a": Envoy has no namespaces; leave it out
envoy-cors: --name "": is no name; write one, without control characters
envoy-cors: --url "oci://registry.example.com/envoy-cors:0.1.0": Envoy itself fetches no images; write the path of the module, or its https:// URL with --cluster
"#,
    },
    Refused {
        case: "Envoy, from a URL",
        policy: GOOD,
        arguments: &["--to=envoy", FILE],
        status: 2,
        says: r#"
envoy-cors: --url "https://files.example.com/envoy_cors.wasm": what is fetched must be known by its SHA-256; add --wasm with the same module, or --sha256
envoy-cors: --url "https://files.example.com/envoy_cors.wasm": Envoy fetches it through a cluster of its configuration; add --cluster NAME
"#,
    },
    Refused {
        case: "Envoy, a file through a cluster",
        policy: GOOD,
        arguments: &["--to=envoy", "--url=envoy_cors.wasm", "--cluster="],
        status: 2,
        says: "
envoy-cors: --cluster \"\": is no name; write one, without control characters
envoy-cors: --cluster \"\": a file is not fetched; leave it out
",
    },
    Refused {
        case: "Envoy, a file as a URL",
        policy: GOOD,
        arguments: &["--to=envoy", "--url=file:///envoy_cors.wasm"],
        status: 2,
        says: "\nenvoy-cors: --url \"file:///envoy_cors.wasm\": is no path; write it without file://\n",
    },
    Refused {
        case: "an image by the checksum of the module",
        policy: GOOD,
        arguments: &[TO_ISTIO, PUBLIC, IMAGE, "--wasm=module.wasm"],
        status: 2,
        says: r#"
envoy-cors: --wasm "module.wasm": an image is known by its own digest, and not by that of the module in it; write --sha256 with the digest that `docker push` prints
"#,
    },
    Refused {
        case: "an image by nothing",
        policy: GOOD,
        arguments: &[TO_ISTIO, PUBLIC, IMAGE],
        status: 2,
        says: r#"
envoy-cors: --url "oci://registry.example.com/envoy-cors:0.1.0": what is fetched must be known by its SHA-256; add --sha256 with the digest that `docker push` prints, or @sha256: and the digest to the URL
"#,
    },
    Refused {
        case: "two digests of one image",
        policy: GOOD,
        arguments: &[
            TO_ISTIO,
            PUBLIC,
            "--url=oci://registry.example.com/envoy-cors@sha256:01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b",
            DIGEST,
        ],
        status: 2,
        says: r#"
envoy-cors: --sha256 "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": the URL ends in another digest; leave one of them out
"#,
    },
    Refused {
        case: "a digest that is none",
        policy: GOOD,
        arguments: &[TO_ISTIO, PUBLIC, "--url=oci://registry.example.com/envoy-cors@sha256:E3"],
        status: 2,
        says: r#"
envoy-cors: --url "oci://registry.example.com/envoy-cors@sha256:E3": "E3" is no SHA-256; write its 64 lower-case hexadecimal digits
"#,
    },
    Refused {
        case: "a module that is none",
        policy: GOOD,
        arguments: &[TO_ISTIO, PUBLIC, FILE, "--wasm=cors.yaml"],
        status: 2,
        says: "\nenvoy-cors: --wasm \"cors.yaml\": is no Wasm module; write the file that `make wasm` makes\n",
    },
    Refused {
        case: "a module that is not there, and a policy",
        policy: ("other.yaml", ""),
        arguments: &[TO_ISTIO, PUBLIC, FILE, "--wasm=none.wasm"],
        status: 2,
        says: "
envoy-cors: --wasm \"none.wasm\": No such file or directory (os error 2)
envoy-cors: other.yaml: holds no policy of this filter
",
    },
    Refused {
        case: "two policies",
        policy: ("cors.yaml", "allowOrigins: []\n---\nallowOrigins: []\n"),
        arguments: &[TO_ISTIO, PUBLIC, IMAGE, DIGEST],
        status: 2,
        says: "\nenvoy-cors: cors.yaml: holds 2 policies; cut out the one that is meant\n",
    },
];

#[test]
fn what_is_refused_is_explained() {
    for Refused { case, policy, arguments, status, says } in REFUSED {
        let folder = folder(*policy);
        let (actual, printed, said) =
            run(&[&["render", policy.0], *arguments].concat(), folder.path(), "");
        assert_eq!(format!("\n{said}"), *says, "{case}");
        assert_eq!((actual, printed.as_str()), (*status, ""), "{case}");
    }
}

/// URLs that the module cannot be fetched from, for a gateway of Istio.
#[test]
fn urls_are_checked() {
    let folder = folder(GOOD);
    for (url, says) in [
        ("", "is empty, or has a space or a control character in it; write it without"),
        (
            "https://a.example/b c",
            "is empty, or has a space or a control character in it; write it without",
        ),
        ("https://", "empty host; write it as in https://files.example.com/envoy_cors.wasm"),
        (
            "https://a.example",
            "has no path, or a user name or password; write it as in https://files.example.com/envoy_cors.wasm",
        ),
        (
            "https://u:p@a.example/b",
            "has no path, or a user name or password; write it as in https://files.example.com/envoy_cors.wasm",
        ),
        (
            "https://:p@a.example/b",
            "has no path, or a user name or password; write it as in https://files.example.com/envoy_cors.wasm",
        ),
        (
            "oci://envoy-cors",
            "names no image; write it as in oci://registry.example.com/envoy-cors:0.1.0",
        ),
        ("file://envoy_cors.wasm", "names no file; write it as in file:///etc/envoy_cors.wasm"),
        ("s3://a/b", "has an unknown scheme; write oci://, https:// or http://"),
    ] {
        let url = format!("--url={url}");
        let (status, printed, said) =
            run(&["render", "cors.yaml", TO_ISTIO, PUBLIC, DIGEST, &url], folder.path(), "");
        let (_, url) = url.split_once('=').unwrap();
        assert_eq!(said, format!("envoy-cors: --url {url:?}: {says}\n"));
        assert_eq!((status, printed.as_str()), (2, ""), "{url}");
    }
}

/// Warnings are told, and stop nothing; notes stand in no way.
#[test]
fn warnings_do_not_stop_it() {
    for (text, arguments, says) in [
        ("allowOrigins: []\nallowMethods: [PUT]\nmaxAge: 24h\n", &[][..], &[][..]),
        ("allowOrigins: []\nallowMethods: [patch]\n", &[], &["warning[method-case]"]),
        ("allowOrigins: []\nallowMethods: [patch]\n", &["--allow=method-case"], &[]),
        (
            "allowOrigins: ['https://*.github.io']\nallowCredentials: true\n",
            &["--allow=public-suffix-with-credentials"],
            &[],
        ),
        (
            "{kind: EnvoyExtensionPolicy, spec: {wasm: [{failOpen: true, env: {hostKeys: [CORS_ENVIRONMENT]}, config: {environment: a, allowOrigins: {a: []}}}]}}",
            &[],
            &[
                "envoy-cors: cors.yaml: takes CORS_ENVIRONMENT from the host, and the manifest does not; add --environment NAME",
            ],
        ),
    ] {
        let folder = folder(("cors.yaml", text));
        let fixed = ["render", "cors.yaml", TO_ISTIO, PUBLIC, IMAGE, DIGEST];
        let (status, printed, said) = run(&[&fixed, arguments].concat(), folder.path(), "");
        assert_eq!(status, 0, "{text}: {said}");
        assert!(printed.contains("kind: WasmPlugin"), "{printed}");
        let told = said.lines().filter(|line| line.contains('[') || line.starts_with("envoy-cors"));
        let told: Vec<&str> = told.filter(|line| !line.contains(" | ")).collect();
        assert_eq!(told.len(), says.len(), "{said}");
        assert!(told.iter().zip(says).all(|(told, says)| told.starts_with(says)), "{said}");
    }
}

/// A policy from standard input; the name of a file cannot end the comment that it stands in.
#[cfg(unix)]
#[test]
fn the_policys_place_is_named() {
    let folder = folder(("a\n- b.yaml", "allowOrigins: []\n"));
    let arguments = "\"$0\" render";
    for (file, named) in [
        ("- < \"$1\"", "standard input"),
        ("\"$1\"", "a\\n- b.yaml"),
        ("\"$PWD/$1\"", "a\\n- b.yaml"),
    ] {
        let command = format!("{arguments} {file} --to=envoy --url=envoy_cors.wasm");
        let output = Command::new("sh")
            .args(["-c", &command, env!("CARGO_BIN_EXE_envoy-cors"), "a\n- b.yaml"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let line = format!("# Made from {named} by `envoy-cors render`: ");
        assert!(printed.lines().nth(1).unwrap().starts_with(&line), "{printed}");
    }
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// The manifests in `envoy`, made again from themselves, say the same but for the checksum.
#[test]
fn the_shipped_manifests_are_what_is_rendered() {
    let istio = ["--environment=production", IMAGE, DIGEST];
    let gateway =
        ["--to=istio-gateway", "--selector=istio=ingressgateway", "--namespace=istio-ingress"];
    let workload =
        ["--to=istio-workload", "--selector=app=checkout", "--namespace=shop", "--port=8080"];
    let envoy_gateway = ["--to=envoy-gateway", "--gateway=eg"];
    for (file, arguments, place) in [
        ("istio/gateway.yaml", &gateway[..], "/spec"),
        ("istio/sidecar.yaml", &workload, "/spec"),
        ("envoy-gateway/cors.yaml", &envoy_gateway, "/spec/wasm/0/code/image"),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy").join(file);
        let shipped = std::fs::read_to_string(&path).unwrap();
        let (status, printed, said) = run(
            &[&["render", path.to_str().unwrap()], arguments, &istio].concat(),
            Path::new("."),
            "",
        );
        assert_eq!((status, said.as_str()), (0, ""), "{file}");
        let mut made = documents(&printed);
        let hex = made[0].pointer_mut(place).unwrap().as_object_mut().unwrap().remove("sha256");
        assert_eq!(hex.unwrap(), DIGEST.rsplit_once(':').unwrap().1, "{file}");
        let mut expected = documents(&shipped);
        expected.retain(|resource| resource["kind"] != "Gateway");
        assert_eq!(made, expected, "{file}");
        // Each line of the order has its reason, in the same words.
        let order = |text: &str| {
            let (_, order) = text.split_once("  # Wasm comes late")?;
            order.split_once("  provider:").map(|(order, _)| order.to_owned())
        };
        assert_eq!(order(&printed), order(&shipped), "{file}");
    }
}
