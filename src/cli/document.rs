//! Where policies stand in what people have: bare files, Kubernetes manifests,
//! Envoy's configuration and its `config_dump`.

use envoy_cors::config::Config;
use envoy_cors::diagnostic::{Diagnostic, Diagnostics, Problem};

use super::embedded::Places;
use super::tree::{self, Content, Key, Node, Span, SyntaxError};

/// A text and what was read from it.
pub struct Document {
    /// The name of its file, as messages show it.
    pub name: String,
    /// The text; what was not UTF-8 is replaced.
    pub text: String,
    /// Its YAML documents, or the one of JSON.
    pub roots: Vec<Node>,
}

/// What a document holds for the filter.
pub struct Configuration<'d> {
    /// What it was found in.
    pub kind: Kind,
    /// What it stands in: the manifest, the `typed_config` of the filter, the
    /// element of `wasm`, or the policy itself.
    pub holder: &'d Node,
    written: Written<'d>,
    /// What the VM's environment says.
    pub vm: VmEnvironment,
}

/// What a configuration was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file that holds nothing else.
    Policy,
    /// Istio's resource.
    WasmPlugin,
    /// Envoy Gateway's resource.
    EnvoyExtensionPolicy,
    /// A Wasm filter in Envoy's own configuration.
    EnvoyFilter,
}

/// `CORS_ENVIRONMENT` in the environment of the VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VmEnvironment {
    /// Not there.
    Unset,
    /// Written beside the policy.
    Set(String),
    /// Envoy's own, which no file tells.
    FromHost,
}

impl VmEnvironment {
    /// The environment that it chooses, as far as the file tells. An empty name
    /// chooses none.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Set(name) if !name.is_empty() => Some(name),
            _ => None,
        }
    }
}

/// In which form a configuration stands there.
enum Written<'d> {
    /// As part of the document.
    Tree(&'d Node),
    /// As JSON text in a string. The spans of its tree are the document's.
    Json { text: &'d str, tree: Option<Node>, key: &'d Key, span: Span, places: Option<Places> },
    /// As a `google.protobuf.Any` of another type, which the filter cannot read.
    OtherAny(&'d Node),
    /// Not at all.
    Nothing,
}

impl Document {
    /// Reads a file: JSON if its name ends in `.json`, else YAML.
    ///
    /// # Errors
    ///
    /// The first place at which the bytes are not that, with the document as far
    /// as it is text.
    pub fn parse(name: String, bytes: Vec<u8>) -> Result<Self, (Self, SyntaxError)> {
        let (text, not_text) = match String::from_utf8(bytes) {
            Ok(text) => {
                let nul = text.find('\0');
                (text, nul.map(|at| (at, "holds a NUL byte, so it is no text")))
            }
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                (text, Some((at, "is not UTF-8 from here on")))
            }
        };
        let read = match not_text {
            Some((at, message)) => Err(SyntaxError { at, message: message.to_owned() }),
            None if name.ends_with(".json") => {
                tree::check_json(&text).and_then(|()| tree::documents(&text))
            }
            None => match text.find(ends_a_line_elsewhere) {
                Some(at) => Err(SyntaxError { at, message: ELSEWHERE.to_owned() }),
                None => tree::documents(&text),
            },
        };
        match read {
            Ok(mut roots) => {
                roots.iter_mut().for_each(|root| open_config_map(root, &text));
                Ok(Self { name, text, roots })
            }
            Err(error) => Err((Self { name, text, roots: Vec::new() }, error)),
        }
    }

    /// Finds every configuration of this filter.
    pub fn configurations(&self) -> Vec<Configuration<'_>> {
        self.roots.iter().flat_map(|root| self.configurations_of(root)).collect()
    }

    fn configurations_of<'d>(&'d self, root: &'d Node) -> Vec<Configuration<'d>> {
        match root.text_at(&["kind"]) {
            Some("List") => {
                let items = root.get("items").map(Node::elements).unwrap_or_default();
                return items.iter().flat_map(|item| self.configurations_of(item)).collect();
            }
            Some("WasmPlugin") => return wasm_plugin(root).into_iter().collect(),
            Some("EnvoyExtensionPolicy") => return extension_policy(root),
            _ => {}
        }
        let mut found = Vec::new();
        root.walk(&mut |node| found.extend(self.wasm_filter(node)));
        if found.is_empty() && is_policy(root) {
            let vm = VmEnvironment::Unset;
            let written = Written::Tree(root);
            found.push(Configuration { kind: Kind::Policy, holder: root, written, vm });
        }
        found
    }

    /// A Wasm filter of Envoy's configuration, by its `typed_config`.
    fn wasm_filter<'d>(&'d self, typed_config: &'d Node) -> Option<Configuration<'d>> {
        let config = plugin_config(typed_config)?;
        if !is_ours(config) {
            return None;
        }
        let written = match config.get("configuration") {
            None => Written::Nothing,
            Some(any) => self.json(any).unwrap_or(Written::OtherAny(any)),
        };
        let variables = config.at(&["vmConfig", "environmentVariables"]);
        let set = variables.and_then(|all| all.text_at(&["keyValues", VARIABLE]));
        let keys = variables.and_then(|all| all.get("hostEnvKeys"));
        let vm = match set {
            Some(value) => VmEnvironment::Set(value.to_owned()),
            None if keys.is_some_and(names_variable) => VmEnvironment::FromHost,
            None => VmEnvironment::Unset,
        };
        Some(Configuration { kind: Kind::EnvoyFilter, holder: typed_config, written, vm })
    }

    /// JSON text in a `StringValue`.
    fn json<'d>(&'d self, any: &'d Node) -> Option<Written<'d>> {
        if !any.text_at(&["@type"])?.ends_with("google.protobuf.StringValue") {
            return None;
        }
        let (key, value) = any.entry("value")?;
        let (text, span) = (value.text()?, value.span.clone());
        let places = Places::of(text, &self.text, &span);
        let mut tree = tree::documents(text).ok().and_then(|mut roots| roots.pop());
        if let Some(tree) = &mut tree {
            tree.move_spans(&|part| places.as_ref().map_or(span.clone(), |all| all.place(part)));
        }
        Some(Written::Json { text, tree, key, span, places })
    }
}

/// Whether YAML 1.1 takes a character for the end of a line, and YAML 1.2 does not
/// ([5.4](https://yaml.org/spec/1.2.2/#54-line-break-characters)). What looks like a
/// comment could then be a field to Kubernetes.
fn ends_a_line_elsewhere(c: char) -> bool {
    matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}')
}

const ELSEWHERE: &str = "holds U+0085, U+2028 or U+2029, which in YAML 1.1, as Kubernetes reads it, ends a line and so a comment; remove it";

/// The name of the variable that chooses the environment.
const VARIABLE: &str = "CORS_ENVIRONMENT";

fn names_variable(keys: &Node) -> bool {
    keys.elements().iter().any(|key| key.text() == Some(VARIABLE))
}

/// Puts the documents of Envoy's configuration in a `ConfigMap` in the place of
/// the text that holds them.
fn open_config_map(root: &mut Node, source: &str) {
    const MARKS: [&str; 3] = ["filters.http.wasm", "virtual_hosts", "virtualHosts"];
    if root.text_at(&["kind"]) != Some("ConfigMap") {
        return;
    }
    let Content::Map(fields) = &mut root.content else { return };
    let data = fields.iter_mut().filter(|(key, _)| key.text == "data").map(|(_, data)| data);
    for file in data.filter_map(|data| match &mut data.content {
        Content::Map(files) => Some(files),
        _ => None,
    }) {
        for (_, node) in file {
            let text = node.text().filter(|text| MARKS.iter().any(|mark| text.contains(mark)));
            let Some(mut roots) = text.and_then(|text| tree::documents(text).ok()) else {
                continue;
            };
            let places = node.text().and_then(|text| Places::of(text, source, &node.span));
            let Some(places) = places else { continue };
            roots.iter_mut().for_each(|root| root.move_spans(&|span| places.place(span)));
            node.content = Content::List(roots);
        }
    }
}

/// Whether an object is a policy, maybe with mistakes in it.
fn is_policy(root: &Node) -> bool {
    const OURS: [&str; 6] = ["origin", "policies", "allow", "expose", "maxage", "preflight"];
    let is_ours = |key: &str| {
        let key: String = key.chars().filter(char::is_ascii_alphabetic).collect();
        OURS.iter().any(|word| key.to_ascii_lowercase().contains(word))
    };
    root.entries().iter().any(|(key, _)| is_ours(&key.text))
}

/// The `envoy.extensions.wasm.v3.PluginConfig` of an HTTP filter.
pub fn plugin_config(typed_config: &Node) -> Option<&Node> {
    let is_wasm = |url: &str| {
        url.ends_with("envoy.extensions.filters.http.wasm.v3.Wasm")
            || url.ends_with("envoy.config.filter.http.wasm.v2.Wasm")
    };
    match typed_config.text_at(&["@type"])? {
        url if is_wasm(url) => typed_config.get("config"),
        url if url.ends_with(".TypedStruct") && is_wasm(typed_config.text_at(&["typeUrl"])?) => {
            typed_config.at(&["value", "config"])
        }
        _ => None,
    }
}

/// Whether the `typed_config` of an HTTP filter loads this filter.
pub fn is_our_filter(typed_config: &Node) -> bool {
    plugin_config(typed_config).is_some_and(is_ours)
}

/// Whether a Wasm module's settings are for this filter: they name it, or hold
/// a field that every policy has.
fn is_ours(settings: &Node) -> bool {
    const MARKS: [&str; 4] = ["envoy-cors", "envoy_cors", "allowOrigins", "allow_origins"];
    let mut ours = false;
    settings.walk(&mut |node| {
        let text = node.text().into_iter();
        let mut words = text.chain(node.entries().iter().map(|(key, _)| key.text.as_str()));
        ours |= words.any(|word| MARKS.iter().any(|mark| word.contains(mark)));
    });
    ours
}

/// Istio's resource.
fn wasm_plugin(root: &Node) -> Option<Configuration<'_>> {
    let spec = root.get("spec").filter(|spec| is_ours(spec))?;
    let variables = spec.at(&["vmConfig", "env"]).map(Node::elements).unwrap_or_default();
    let variable = variables.iter().find(|entry| entry.text_at(&["name"]) == Some(VARIABLE));
    let vm = match variable {
        None => VmEnvironment::Unset,
        Some(entry) if entry.text_at(&["valueFrom"]) == Some("HOST") => VmEnvironment::FromHost,
        Some(entry) => VmEnvironment::Set(entry.text_at(&["value"]).unwrap_or_default().to_owned()),
    };
    let written = spec.get("pluginConfig").map_or(Written::Nothing, Written::Tree);
    Some(Configuration { kind: Kind::WasmPlugin, holder: root, written, vm })
}

/// Envoy Gateway's resource, which may hold several filters.
fn extension_policy(root: &Node) -> Vec<Configuration<'_>> {
    let filters = root.at(&["spec", "wasm"]).map(Node::elements).unwrap_or_default();
    let ours = filters.iter().filter(|filter| is_ours(filter));
    ours.map(|filter| {
        let from_host = filter.at(&["env", "hostKeys"]).is_some_and(names_variable);
        Configuration {
            kind: Kind::EnvoyExtensionPolicy,
            holder: filter,
            written: filter.get("config").map_or(Written::Nothing, Written::Tree),
            vm: if from_host { VmEnvironment::FromHost } else { VmEnvironment::Unset },
        }
    })
    .collect()
}

impl<'d> Configuration<'d> {
    /// Reads the fields, the way the filter does.
    pub fn read(&self, problems: &mut Diagnostics) -> Option<Config<'_>> {
        match &self.written {
            Written::Tree(tree) => Config::from_value(tree.value(), problems),
            Written::Json { text, .. } => Config::from_json(text.as_bytes(), problems),
            Written::OtherAny(any) => {
                problems.push(Diagnostic::new("", Problem::StructBytes));
                Config::from_value(any.get("value")?.value(), problems)
            }
            Written::Nothing => {
                problems.push(Diagnostic::new("", Problem::Empty));
                None
            }
        }
    }

    /// The bytes of the document that a field stands in, or the nearest one that
    /// it would stand in. Those of its key where it `is_unknown`.
    pub fn span(&self, path: &str, is_unknown: bool) -> Span {
        match (&self.written, self.tree()) {
            (Written::OtherAny(any), _) if path.is_empty() => any.span.clone(),
            (_, None) => self.holder.span.clone(),
            (_, Some(tree)) => match tree.find(path) {
                (Some(key), _) if is_unknown => key.span.clone(),
                (_, node) => node.span.clone(),
            },
        }
    }

    /// Where a string that should hold JSON does not.
    pub fn json_error(&self) -> Option<Span> {
        let Written::Json { text, span, places, .. } = &self.written else { return None };
        let at = tree::check_json(text).err()?.span(text);
        Some(places.as_ref().map_or(span.clone(), |places| places.place(&at)))
    }

    /// Where the field begins whose string holds it, if one does.
    pub fn string_start(&self) -> Option<usize> {
        match &self.written {
            Written::Json { key, .. } => Some(key.span.start),
            _ => None,
        }
    }

    /// The JSON text, if the configuration stands in a string.
    pub fn json(&self) -> Option<&str> {
        match &self.written {
            Written::Json { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The configuration as part of the document.
    pub fn tree(&self) -> Option<&Node> {
        match &self.written {
            Written::Tree(tree) => Some(tree),
            Written::Json { tree, .. } => tree.as_ref(),
            Written::OtherAny(any) => Some(any.get("value").unwrap_or(any)),
            Written::Nothing => None,
        }
    }
}
