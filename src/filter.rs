//! The filter: what Envoy calls, and nothing but the way from its headers to a
//! [`Decision`] and back.
//!
//! Request headers are gone when the response comes, so the decision is kept
//! for the stream. A stream without one is left alone: no policy covers it, or
//! its request was answered here. Envoy sends such an answer through the
//! filter's own response callback as well.

mod callbacks;
mod hostcalls;

use std::rc::Rc;

use hashbrown::HashMap;
use log::{error, info, warn};
use proxy_wasm::hostcalls::{get_buffer, get_property, get_shared_data, set_shared_data};
use proxy_wasm::types::{Action, BufferType, LogLevel};

use crate::decision::{Decision, Edit, decide};
use crate::diagnostic::{Diagnostics, Severity};
use crate::policy::Policy;
use crate::scope::Policies;
use hostcalls::{Headers, send_local_response};

/// Chooses the environment, before the configuration does. Only WASI shows a
/// VM its variables, so the target is `wasm32-wasip1`.
const ENVIRONMENT: &str = "CORS_ENVIRONMENT";

#[allow(unsafe_code)] // The macro exports `_initialize`.
mod entry {
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(super::LogLevel::Info);
    }}
}

/// What Envoy knows by a number: plugins and the streams that they see. A VM
/// may hold several plugins.
#[derive(Default)]
struct Contexts {
    /// The policies of each plugin, once it is configured.
    plugins: HashMap<u32, Rc<Policies>>,
    streams: HashMap<u32, Stream>,
}

/// One request and its response.
struct Stream {
    policies: Rc<Policies>,
    decision: Option<Decision>,
}

impl Contexts {
    /// A new context. That of a stream names its plugin, that of a plugin names
    /// no other and gets its policies when it is configured.
    fn create(&mut self, id: u32, plugin: u32) {
        if let Some(policies) = self.plugins.get(&plugin) {
            let policies = Rc::clone(policies);
            self.streams.insert(id, Stream { policies, decision: None });
        }
    }

    /// Reads the configuration of a plugin. `false` makes Envoy refuse to
    /// start, or keep the configuration that it has.
    ///
    /// The result depends on the bytes and the environment alone: a failure in
    /// one worker only would make Envoy refuse every later configuration too.
    fn configure(&mut self, id: u32) -> bool {
        let bytes = get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
        let bytes = bytes.ok().flatten().unwrap_or_default();
        let environment = std::env::var_os(ENVIRONMENT).unwrap_or_default();
        let environment = environment.to_string_lossy();
        let environment = Some(&*environment).filter(|name| !name.is_empty());
        let (policies, problems) = Policies::from_json(&bytes, environment);
        report(&bytes, environment, policies.as_ref(), &problems);
        policies.map(|policies| self.plugins.insert(id, Rc::new(policies))).is_some()
    }

    fn delete(&mut self, id: u32) {
        if self.streams.remove(&id).is_none() {
            self.plugins.remove(&id);
        }
    }
}

impl Stream {
    fn on_request_headers(&mut self) -> Action {
        let decision = decide(&self.policies, |name| Headers::Request.get(name));
        let Some(decision) = decision else { return Action::Continue };
        if let Some(reply) = decision.reply() {
            send_local_response(reply.status, reply.details, &reply.headers);
            return Action::Pause;
        }
        self.decision = Some(decision);
        Action::Continue
    }

    fn on_response_headers(&self) {
        let edits = self.decision.iter().flat_map(|d| d.edits(|name| Headers::Response.get(name)));
        for edit in edits {
            match edit {
                Edit::Set(name, value) => Headers::Response.replace(name, value),
                // Envoy joins it to a value that is there.
                Edit::Append(name, value) => Headers::Response.add(name, value),
                Edit::Remove(name) => Headers::Response.remove(name),
            }
        }
    }
}

/// Logs the problems of a configuration, and what was loaded.
fn report(
    bytes: &[u8],
    environment: Option<&str>,
    policies: Option<&Policies>,
    problems: &Diagnostics,
) {
    // Refused by the first VM, it does not come to others.
    if policies.is_none() || is_first_to_load(bytes, environment) {
        for problem in problems {
            match problem.severity() {
                Severity::Error => error!("{problem}"),
                Severity::Warning => warn!("{problem}"),
            }
        }
        if let Some(policies) = policies {
            info!("{}", summary(policies));
        }
    }
}

fn summary(policies: &Policies) -> String {
    let names: Vec<_> = policies.iter().map(Policy::name).collect();
    let origins: usize = policies.iter().map(Policy::origins).sum();
    let environment = match policies.environment() {
        Some(name) => format!("{name:?}"),
        None => "none".to_owned(),
    };
    format!(
        "envoy-cors {} loaded: policies {} ({}), origins {origins}, environment {environment}",
        env!("CARGO_PKG_VERSION"),
        names.len(),
        names.join(" "),
    )
}

/// Whether this VM is the first of Envoy's, one for each worker and the main
/// thread, to load a configuration into this plugin.
fn is_first_to_load(bytes: &[u8], environment: Option<&str>) -> bool {
    let property = |name| get_property(vec![name]).ok().flatten().unwrap_or_default();
    let key = [b"envoy_cors.loaded", &*property("plugin_name"), &*property("plugin_root_id")];
    let key = String::from_utf8_lossy(&key.join(&b'/')).into_owned();
    let environment = environment.unwrap_or_default().as_bytes();
    let fingerprint = fnv_1a(environment.iter().chain(b"\0").chain(bytes)).to_le_bytes();
    match get_shared_data(&key) {
        Ok((Some(loaded), _)) if *loaded == fingerprint => false,
        Ok((_, cas)) => set_shared_data(&key, Some(&fingerprint), cas).is_ok(),
        Err(_) => true,
    }
}

/// [FNV-1a](https://datatracker.ietf.org/doc/html/rfc9923): `hashbrown`'s own
/// hash differs between VMs.
fn fnv_1a<'b>(bytes: impl Iterator<Item = &'b u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
