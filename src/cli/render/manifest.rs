//! The manifests, with what a reviewer asks of each line.

use std::fmt::Write;

use super::module::{Location, Module};
use super::source::scalar;
use super::{Arguments, Target};
use crate::cli::input;

/// All that stands in a manifest but the policy.
pub struct Manifest<'a> {
    pub arguments: &'a Arguments,
    pub module: &'a Module<'a>,
    /// What `CORS_ENVIRONMENT` is to be.
    pub environment: Option<&'a str>,
}

const NOT_OPEN: &str = "it would let upstream's own headers out";

impl Manifest<'_> {
    /// The manifest with a policy in it: lines of YAML, of JSON for Envoy.
    pub fn with(&self, policy: &str) -> String {
        match self.arguments.to {
            Target::IstioGateway | Target::IstioWorkload => self.wasm_plugin(policy),
            Target::EnvoyGateway => self.extension_policy(policy),
            Target::Envoy => self.http_filter(policy),
        }
    }

    fn head(&self, what: &str) -> String {
        let path = &self.arguments.policy;
        let name = path.file_name().filter(|_| input::name(path) != "<stdin>");
        let name = name.map_or("standard input".into(), |name| name.to_string_lossy());
        let name = name.escape_debug();
        format!(
            "# {what}\n# Made from {name} by `envoy-cors render`: change the policy there, and make it anew.\n"
        )
    }

    fn wasm_plugin(&self, policy: &str) -> String {
        let for_gateway = self.arguments.to == Target::IstioGateway;
        let (what, namespace) = if for_gateway {
            (
                "The CORS filter on a gateway of Istio.",
                "the gateway's own; in istio-system: such gateways in every namespace",
            )
        } else {
            ("The CORS filter in the sidecars of a workload.", "the workload's own")
        };
        let mut text = self.head(what);
        text += "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n";
        text += &self.metadata(&self.arguments.name, namespace);
        text += "spec:\n";
        if let Some(gateway) = &self.arguments.gateway {
            text += &target_refs(gateway);
        } else {
            let labels: Vec<String> = self
                .arguments
                .labels()
                .map(|(key, value)| format!("{}: {}", scalar(key), scalar(value)))
                .collect();
            text += &format!("  selector: {{ matchLabels: {{ {} }} }}\n", labels.join(", "));
        }
        if !for_gateway {
            let ports = self.arguments.port.iter().map(|port| format!("{{ number: {port} }}"));
            let ports = ports.collect::<Vec<_>>().join(", ");
            let ports = if ports.is_empty() { ports } else { format!(", ports: [{ports}]") };
            text += &format!(
                "  match:\n    - {{ mode: SERVER{ports} }} # what the workload receives; else what it sends is filtered too\n"
            );
        }
        text += &format!("  url: {}\n", scalar(&self.arguments.url));
        text += &self.sha256("  ");
        text += "  phase: AUTHN # before Istio's own authentication and authorization\n";
        text += "  priority: 1000 # before other plugins of that phase; the highest stands first\n";
        text += &format!(
            "  failStrategy: FAIL_RELOAD # before Istio 1.27 FAIL_CLOSE; never FAIL_OPEN: {NOT_OPEN}\n"
        );
        if let Some(environment) = self.environment {
            let value = scalar(environment);
            text += &format!(
                "  vmConfig:\n    env:\n      - {{ name: CORS_ENVIRONMENT, value: {value} }}\n"
            );
        }
        text + "  pluginConfig: # the policy, as YAML\n" + &indented(policy, 4)
    }

    fn extension_policy(&self, policy: &str) -> String {
        let name = &self.arguments.name;
        let proxy = format!("{name}-first");
        let mut text = self.head("The CORS filter in Envoy Gateway.");
        text += "apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyExtensionPolicy\n";
        text += &self.metadata(name, "the Gateway's own");
        text += "spec:\n";
        text += &target_refs(self.arguments.gateway.as_deref().unwrap_or_default());
        text += &format!("  wasm:\n    - name: {}\n      code:\n", scalar(name));
        let (kind, field, url) = match self.module.location {
            Location::Image(image) => ("Image", "image", image),
            Location::Http(url) | Location::File(url) => ("HTTP", "http", url),
        };
        text +=
            &format!("        type: {kind}\n        {field}:\n          url: {}\n", scalar(url));
        text += &self.sha256("          ");
        text += &format!("      failOpen: false # true: {NOT_OPEN}\n");
        if self.environment.is_some() {
            text += "      env: { hostKeys: [CORS_ENVIRONMENT] } # Envoy's own variable, which stands below\n";
        }
        text += "      config: # the policy, as YAML\n";
        text += &indented(policy, 8);
        text += &format!(
            "---\n\
             # Your Gateway must refer to this one. If it has an EnvoyProxy already, add to that what stands here.\n\
             #\n\
             #   spec:\n\
             #     infrastructure:\n\
             #       parametersRef: {{ group: gateway.envoyproxy.io, kind: EnvoyProxy, name: {} }}\n\
             apiVersion: gateway.envoyproxy.io/v1alpha1\nkind: EnvoyProxy\n",
            scalar(&proxy)
        );
        text += &self.metadata(&proxy, "the Gateway's own");
        text += FILTER_ORDER;
        if let Some(environment) = self.environment {
            // Kubernetes replaces $(NAME) in there, and $$ stands for $.
            let value = scalar(&environment.replace('$', "$$"));
            text += &format!(
                "  provider:\n    type: Kubernetes\n    kubernetes:\n      envoyDeployment:\n        container:\n          env: [{{ name: CORS_ENVIRONMENT, value: {value} }}]\n"
            );
        }
        text
    }

    fn http_filter(&self, policy: &str) -> String {
        let mut text = self.head("The CORS filter for Envoy: the first entry of http_filters.");
        let name = scalar(&self.arguments.name);
        text += &format!(
            "- name: envoy.filters.http.wasm\n  \
               typed_config:\n    \
                 \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm\n    \
                 config:\n      \
                   name: {name}\n      \
                   failure_policy: FAIL_RELOAD # never FAIL_OPEN: {NOT_OPEN}\n      \
                   vm_config:\n        \
                     runtime: envoy.wasm.runtime.v8\n"
        );
        if let Some(environment) = self.environment {
            let value = scalar(environment);
            text += &format!(
                "        \
                   vm_id: {value} # Envoy before 1.39 tells VMs with different environments apart by this alone\n        \
                   environment_variables: {{ key_values: {{ CORS_ENVIRONMENT: {value} }} }}\n"
            );
        }
        match self.module.location {
            Location::Http(url) | Location::Image(url) => {
                let cluster = scalar(self.arguments.cluster.as_deref().unwrap_or_default());
                let url = scalar(url);
                text += &format!(
                    "        \
                       code:\n          \
                         remote:\n            \
                           http_uri: {{ uri: {url}, cluster: {cluster}, timeout: 30s }}\n"
                );
                text += &self.sha256("            ");
                text += "            retry_policy: { num_retries: 10 } # by default 1; after the last every request gets 503\n";
            }
            Location::File(path) => {
                text += &self.sha256("        ");
                text += &format!("        code: {{ local: {{ filename: {} }} }}\n", scalar(path));
            }
        }
        text += "      \
                   configuration:\n        \
                     \"@type\": type.googleapis.com/google.protobuf.StringValue # a Struct arrives as protobuf bytes, and is refused\n        \
                     value: |\n";
        text + &indented(policy, 10)
    }

    fn metadata(&self, name: &str, of_namespace: &str) -> String {
        let name = scalar(name);
        match &self.arguments.namespace {
            Some(namespace) => format!(
                "metadata:\n  name: {name}\n  namespace: {} # {of_namespace}\n",
                scalar(namespace)
            ),
            None => format!("metadata:\n  name: {name} # namespace: {of_namespace}\n"),
        }
    }

    /// The field with the checksum, or a comment where there is none.
    fn sha256(&self, indentation: &str) -> String {
        let Some(hex) = &self.module.sha256 else { return String::new() };
        match self.module.location {
            Location::Image(_) => {
                format!(
                    "{indentation}sha256: {} # of the image, not of the module in it\n",
                    scalar(hex)
                )
            }
            Location::Http(_) => format!("{indentation}sha256: {} # of the module\n", scalar(hex)),
            Location::File(_) => {
                format!("{indentation}# SHA-256 of the module, which nothing checks: {hex}\n")
            }
        }
    }
}

fn target_refs(gateway: &str) -> String {
    let name = scalar(gateway);
    format!("  targetRefs: [{{ group: gateway.networking.k8s.io, kind: Gateway, name: {name} }}]\n")
}

fn indented(text: &str, indentation: usize) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let indentation = if line.is_empty() { 0 } else { indentation };
        // A String takes whatever is written into it.
        let _ = writeln!(lines, "{:indentation$}{line}", "");
    }
    lines
}

/// As in `envoy/envoy-gateway/cors.yaml`, which a test compares.
const FILTER_ORDER: &str = "\
spec:
  # Wasm comes late by default, after authentication. Each line moves it before one kind of filter, if there is one: from
  # the last to the first, so that it ends before all of them. From version 1.9 on, envoy.filters.http.csrf belongs
  # between ext_authz and fault.
  filterOrder:
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.ext_proc }
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.lua }
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.buffer }
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.jwt_authn }
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.oauth2 }
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.basic_auth }
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.api_key_auth }
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.ext_authz }
    - { name: envoy.filters.http.wasm, before: envoy.filters.http.fault }
";
