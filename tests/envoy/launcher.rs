//! How an Envoy is started and ended: from its binary, or in a container.

use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Child, Command};

use crate::bootstrap;
use crate::client::Result;

/// How connections leave a listener that was replaced: each with its next answer, the last of them
/// after five seconds. By default this takes ten minutes.
const DRAIN: [&str; 4] = ["--drain-strategy", "immediate", "--drain-time-s", "5"];

pub enum Launcher {
    Binary(OsString),
    /// A docker compose project of its own.
    Compose {
        command: String,
        project: String,
    },
}

/// Says what is missing, once, before any test does.
pub fn set_up() -> Result<()> {
    Launcher::new("none")?;
    bootstrap::wasm()?;
    Ok(())
}

impl Launcher {
    pub fn new(name: &str) -> Result<Self> {
        if env::var_os("ENVOY_CORS_COMPOSE").is_some() {
            let command = env::var("COMPOSE").unwrap_or_else(|_| "docker-compose".into());
            return Ok(Self::Compose { command, project: name.into() });
        }
        let missing = "ENVOY is not set to an Envoy binary; `make test` sets it up";
        let path = env::var_os("ENVOY").filter(|path| !path.is_empty());
        Ok(Self::Binary(path.ok_or(missing)?))
    }

    pub fn start(&self, config: &Path, workers: u32) -> Command {
        match self {
            Self::Binary(path) => {
                let mut start = Command::new(path);
                // `misc` warns of each field that is deprecated or new.
                start.args(["--disable-hot-restart", "--component-log-level", "misc:error"]);
                start.args(["--concurrency", &workers.to_string()]).args(DRAIN);
                start.arg("-c").arg(config);
                start
            }
            Self::Compose { command, project } => {
                // One worker, whatever was asked for.
                let mut up = compose(command, project, config);
                up.args(["up", "--no-color", "--no-log-prefix", "--exit-code-from", "envoy"]);
                up
            }
        }
    }

    pub fn end(&self, child: &mut Child) {
        match self {
            // It may have ended already.
            Self::Binary(_) => drop(child.kill()),
            // `up` ends when its container is gone.
            Self::Compose { command, project } => {
                let mut down = compose(command, project, Path::new("none"));
                drop(down.args(["down", "--timeout", "1"]).output());
            }
        }
        drop(child.wait());
    }
}

fn compose(command: &str, project: &str, config: &Path) -> Command {
    let mut words = command.split_whitespace();
    let mut compose = Command::new(words.next().expect("COMPOSE is empty"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    compose.args(words).args(["--project-name", project, "--file"]);
    compose.arg(root.join("tests/compose/table.yaml"));
    compose.env("ENVOY_CORS_ROOT", root).env("ENVOY_CORS_BOOTSTRAP", config);
    compose
}
