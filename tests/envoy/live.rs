//! A gateway whose configuration changes while it serves: Envoy reads it from a file, and again
//! when another takes its place.

use std::fmt::Debug;
use std::fs;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::{self, of_listeners};
use crate::client::Result;
use crate::process::Envoy;

const TYPES: &str = "type.googleapis.com/envoy";

/// How long anything here may take to come into force.
pub const LIMIT: Duration = Duration::from_secs(20);

/// What changes with the policy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum By {
    /// The listener: its connections are replaced too.
    Lds,
    /// The filter alone, on the connections that are there.
    Ecds,
}

/// A file, in a folder that Envoy watches.
pub struct Resources(TempDir);

impl Resources {
    pub fn new() -> Result<Self> {
        // Below the repository, where a container sees it.
        Ok(Self(tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?))
    }

    /// Where Envoy finds it.
    pub fn source(&self) -> Value {
        json!({ "path_config_source": {
            "path": self.0.path().join("resources.json"),
            "watched_directory": { "path": self.0.path() },
        } })
    }

    /// Replaces them all at once.
    pub fn put(&self, resources: &[Value]) -> Result<()> {
        let new = self.0.path().join("new");
        fs::write(&new, json!({ "resources": resources }).to_string())?;
        Ok(fs::rename(new, self.0.path().join("resources.json"))?)
    }

    pub fn put_listeners(&self, listeners: &[Value]) -> Result<()> {
        let typed = listeners.iter().cloned().map(|mut listener| {
            listener["@type"] = format!("{TYPES}.config.listener.v3.Listener").into();
            listener
        });
        self.put(&typed.collect::<Vec<_>>())
    }
}

/// The bootstrap of an Envoy that takes its listeners from `resources`.
pub fn of_resources(resources: &Resources, upstream: u16) -> Value {
    let mut config = of_listeners(&[], upstream);
    config["dynamic_resources"] = json!({ "lds_config": resources.source() });
    config["node"] = json!({ "id": "test", "cluster": "test" });
    config
}

/// One listener, one policy.
pub struct Live {
    by: By,
    resources: Resources,
    pub envoy: Envoy,
}

impl Live {
    pub fn start(by: By, configuration: &Value, upstream: u16) -> Result<Self> {
        let resources = Resources::new()?;
        put(by, &resources, configuration)?;
        let config = match by {
            By::Lds => of_resources(&resources, upstream),
            By::Ecds => {
                let filter = json!({ "name": "cors", "config_discovery": {
                    "config_source": resources.source(),
                    "type_urls": [format!("{TYPES}.extensions.filters.http.wasm.v3.Wasm")],
                } });
                let mut config =
                    of_listeners(&[bootstrap::listener("gateway", Some(&filter))], upstream);
                config["node"] = json!({ "id": "test", "cluster": "test" });
                config
            }
        };
        Ok(Self { by, resources, envoy: Envoy::start(config, 2)? })
    }

    pub fn push(&self, configuration: &Value) -> Result<()> {
        put(self.by, &self.resources, configuration)
    }

    pub fn port(&self) -> u16 {
        self.envoy.port("gateway")
    }

    /// What Envoy counts of the updates so far.
    pub fn updates(&self, counter: &str) -> Result<u64> {
        let prefix = match self.by {
            By::Lds => "listener_manager.lds",
            By::Ecds => "extension_config_discovery.http_filter.cors",
        };
        self.envoy.stat(&format!("{prefix}.{counter}"))
    }
}

fn put(by: By, resources: &Resources, configuration: &Value) -> Result<()> {
    let filter = bootstrap::filter(configuration, None);
    match by {
        By::Lds => resources.put_listeners(&[bootstrap::listener("gateway", Some(&filter))]),
        By::Ecds => resources.put(&[json!({
            "@type": format!("{TYPES}.config.core.v3.TypedExtensionConfig"),
            "name": "cors",
            "typed_config": filter["typed_config"],
        })]),
    }
}

/// Asks again and again, until it is so. Returns how long that took.
pub fn until(
    what: &str,
    mut is_so: impl FnMut() -> Result<bool>,
) -> std::result::Result<Duration, Failed> {
    let start = Instant::now();
    while !is_so()? {
        if start.elapsed() > LIMIT {
            return Err(format!("not within {LIMIT:?}: {what}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(start.elapsed())
}

pub fn equal<T: PartialEq + Debug>(
    what: &str,
    expected: T,
    got: T,
) -> std::result::Result<(), Failed> {
    if expected == got {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {got:?}").into())
}
