//! Which arguments fit which target, and what to write where they do not.

use std::collections::HashSet;

use envoy_cors::diagnostic::Quoted;

use super::{Arguments, Target};

/// Longest name of a resource: the 253 bytes of Kubernetes, less those of the
/// suffix of the `EnvoyProxy`.
const LONGEST_NAME: usize = 247;

/// Where the filter goes in Envoy, no argument says.
const IN_A_LISTENER: &str = "the filter is for the listener whose http_filters it stands in";

impl Arguments {
    /// What is wrong with the arguments, but for the module's: all of it, a
    /// sentence each.
    pub fn unfit(&self) -> Vec<String> {
        let mut problems = self.without_use();
        problems.extend(self.without_place());
        problems.extend(self.malformed());
        problems
    }

    /// Arguments that the target has no use for.
    fn without_use(&self) -> Vec<String> {
        use Target::{Envoy, EnvoyGateway, IstioGateway, IstioWorkload};

        let selectors = || self.selector.iter().map(|text| format!("--selector {}", Quoted(text)));
        let ports = || self.port.iter().map(|port| format!("--port {port}"));
        let gateway = || self.gateway.iter().map(|name| format!("--gateway {}", Quoted(name)));
        let because = |because: &str| format!("{because}; leave it out");
        let mut problems = Vec::new();
        let mut add = |given: &mut dyn Iterator<Item = String>, why: String| {
            problems.extend(given.map(|argument| format!("{argument}: {why}")));
        };
        match self.to {
            IstioGateway => {
                add(&mut ports(), because("the filter is for every port of a gateway"));
            }
            IstioWorkload => {
                let why = "the pods of a workload are chosen by their labels";
                add(&mut gateway(), format!("{why}; write --selector KEY=VALUE"));
            }
            EnvoyGateway => {
                let why = "Envoy Gateway's policies name a Gateway";
                add(&mut selectors(), format!("{why}; write --gateway NAME"));
                add(&mut ports(), because("the filter is for every port of a Gateway"));
            }
            Envoy => {
                add(&mut selectors(), because(IN_A_LISTENER));
                add(&mut gateway(), because(IN_A_LISTENER));
                add(&mut ports(), because(IN_A_LISTENER));
                let mut namespace =
                    self.namespace.iter().map(|name| format!("--namespace {}", Quoted(name)));
                add(&mut namespace, because("Envoy has no namespaces"));
            }
        }
        if self.to != Envoy {
            let mut cluster = self.cluster.iter().map(|name| format!("--cluster {}", Quoted(name)));
            add(&mut cluster, because("only Envoy itself fetches through a cluster"));
        }
        problems
    }

    /// Whether it is known what gets the filter.
    fn without_place(&self) -> Option<String> {
        let chosen = (!self.selector.is_empty(), self.gateway.is_some());
        let sentence = match (self.to, chosen) {
            (Target::IstioGateway, (true, true)) => {
                "--selector and --gateway both say which gateway; leave one of them out"
            }
            (Target::IstioGateway, (false, false)) => {
                "--to istio-gateway: it is not known which gateway; add the labels of its pods, as in --selector istio=ingressgateway, or --gateway NAME for a Gateway of the Gateway API"
            }
            (Target::IstioWorkload, (false, _)) => {
                "--to istio-workload: it is not known which workload; add the labels of its pods, as in --selector app=checkout"
            }
            (Target::EnvoyGateway, (_, false)) => {
                "--to envoy-gateway: it is not known which Gateway; add --gateway NAME"
            }
            _ => return None,
        };
        Some(sentence.to_owned())
    }

    /// Arguments that are no names of what they should name, among those that the
    /// target has a use for.
    fn malformed(&self) -> Vec<String> {
        let of_envoy = self.to == Target::Envoy;
        let of_pods = matches!(self.to, Target::IstioGateway | Target::IstioWorkload);
        let of_gateways = matches!(self.to, Target::IstioGateway | Target::EnvoyGateway);
        let mut problems = Vec::new();
        let mut add = |argument: &str, value: &str, why: &str| {
            problems.push(format!("{argument} {}: {why}", Quoted(value)));
        };
        let no_name = "is no name of a resource; write lower-case letters and digits, with hyphens and dots between them";
        let name = (!of_envoy).then_some(("--name", &self.name));
        let gateway = self.gateway.iter().filter(|_| of_gateways).map(|name| ("--gateway", name));
        for (argument, name) in name.into_iter().chain(gateway) {
            if !is_resource_name(name) {
                add(argument, name, no_name);
            }
        }
        for name in self.namespace.iter().filter(|name| !of_envoy && !is_label(name)) {
            add(
                "--namespace",
                name,
                "is no namespace; write lower-case letters and digits, with hyphens between them, at most 63",
            );
        }
        let name = of_envoy.then_some(("--name", &self.name));
        let cluster = self.cluster.iter().filter(|_| of_envoy).map(|name| ("--cluster", name));
        let environment = self.environment.iter().map(|name| ("--environment", name));
        for (argument, name) in name.into_iter().chain(cluster).chain(environment) {
            if name.is_empty() || name.chars().any(char::is_control) {
                add(argument, name, "is no name; write one, without control characters");
            }
        }
        let mut keys = HashSet::new();
        for selector in self.selector.iter().filter(|_| of_pods) {
            match selector.split_once('=') {
                Some((key, value)) if is_label_key(key) && is_label_value(value) => {
                    if !keys.insert(key) {
                        add(
                            "--selector",
                            selector,
                            "its key was given before, and a pod has one value for it; leave one out",
                        );
                    }
                }
                _ => {
                    add("--selector", selector, "is no label; write KEY=VALUE, as in app=checkout")
                }
            }
        }
        let mut ports = HashSet::new();
        let repeated = self.port.iter().filter(|port| !ports.insert(**port));
        for port in repeated.filter(|_| self.to == Target::IstioWorkload) {
            problems.push(format!("--port {port}: was given before; leave one out"));
        }
        problems
    }

    /// The labels of the pods.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.selector.iter().filter_map(|selector| selector.split_once('='))
    }
}

/// A label of RFC 1123, in lower case.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    text.len() <= 63 && is_framed(text) && text.chars().all(inner)
}

fn is_resource_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME && text.split('.').all(is_label)
}

/// The value of a label in Kubernetes.
fn is_label_value(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    text.is_empty() || (text.len() <= 63 && is_framed(text) && text.chars().all(inner))
}

/// The key of a label in Kubernetes, with or without a domain before it.
fn is_label_key(text: &str) -> bool {
    let (domain, name) = text.split_once('/').unwrap_or(("a", text));
    is_resource_name(domain) && !name.is_empty() && is_label_value(name)
}

/// Whether a text begins and ends with a letter or digit.
fn is_framed(text: &str) -> bool {
    let framed = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    framed(text.chars().next()) && framed(text.chars().next_back())
}
