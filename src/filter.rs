//! The filter: what Envoy calls, and nothing but the way from its headers to a
//! [`Decision`] and back.
//!
//! Request headers are gone when the response comes, so the decision is kept
//! for the stream. A stream without one is left alone: no policy covers it, or
//! its request was answered here. Envoy sends such an answer through the
//! filter's own response callback as well.

mod callbacks;
mod hostcalls;
mod plugin;

use std::rc::Rc;

use hashbrown::HashMap;
use log::{error, info, warn};
use proxy_wasm::types::{Action, LogLevel};

use crate::decision::{Decision, Edit, decide};
use crate::diagnostic::{Diagnostics, Severity};
use crate::fingerprint::fingerprint;
use crate::policy::Policy;
use crate::scope::Policies;
use hostcalls::{Headers, Shared, configuration, property, send_local_response};
use plugin::Plugin;

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
    /// Those that are configured.
    plugins: HashMap<u32, Rc<Plugin>>,
    streams: HashMap<u32, Stream>,
}

/// One request and its response.
struct Stream {
    plugin: Rc<Plugin>,
    decision: Option<Decision>,
}

impl Contexts {
    /// A new context. That of a stream names its plugin, that of a plugin names
    /// no other and gets its policies when it is configured.
    fn create(&mut self, id: u32, plugin: u32) {
        if let Some(plugin) = self.plugins.get(&plugin) {
            let plugin = Rc::clone(plugin);
            self.streams.insert(id, Stream { plugin, decision: None });
        }
    }

    /// Reads the configuration of a plugin. `false` makes Envoy refuse to
    /// start, or keep the configuration that it has.
    ///
    /// The result depends on the bytes and the environment alone: a failure in
    /// one worker only would make Envoy refuse every later configuration too.
    fn configure(&mut self, id: u32) -> bool {
        let bytes = configuration();
        let environment = std::env::var_os(ENVIRONMENT).unwrap_or_default();
        let environment = environment.to_string_lossy();
        let (policies, problems) = Policies::from_json(&bytes, Some(&environment));
        let all = [environment.as_bytes(), &bytes].join(&b'\0');
        let fingerprint = fingerprint(&all);
        // Refused by the first VM, it does not come to others.
        let first = policies.is_none() || is_first_to_load(fingerprint);
        if first {
            report(policies.as_ref(), &problems);
        }
        let Some(policies) = policies else { return false };
        self.plugins.insert(id, Rc::new(Plugin::new(policies, fingerprint, first)));
        true
    }

    /// Brings what was counted out of the VM.
    fn tick(&self, id: u32) {
        if let Some(plugin) = self.plugins.get(&id) {
            plugin.tick();
        }
    }

    fn delete(&mut self, id: u32) {
        if self.streams.remove(&id).is_none()
            && let Some(plugin) = self.plugins.remove(&id)
        {
            plugin.tick();
        }
    }
}

impl Stream {
    fn on_request_headers(&mut self) -> Action {
        let decision = decide(self.plugin.policies(), |name| Headers::Request.get(name));
        let Some(decision) = decision else { return Action::Continue };
        self.plugin.record(&decision);
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
fn report(policies: Option<&Policies>, problems: &Diagnostics) {
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

fn summary(policies: &Policies) -> String {
    let names: Vec<_> = policies.iter().map(Policy::name).collect();
    let origins: usize = policies.iter().map(|policy| policy.origins().len()).sum();
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
fn is_first_to_load(fingerprint: u64) -> bool {
    let mut first = true;
    shared("loaded").update(|loaded| {
        first = *loaded != fingerprint.to_le_bytes();
        first.then(|| fingerprint.to_le_bytes().to_vec())
    });
    first
}

/// What the VMs of this plugin share under `name`. Can be asked for while the
/// plugin is configured.
fn shared(name: &str) -> Shared {
    let [plugin, root] = ["plugin_name", "plugin_root_id"].map(property);
    let key = [b"envoy_cors", name.as_bytes(), &plugin, &root].join(&b'/');
    Shared::new(String::from_utf8_lossy(&key).into_owned())
}
