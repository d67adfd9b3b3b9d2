//! How an Envoy is started and ended: from its binary, or in a container.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use crate::bootstrap;
use crate::client::Result;
use crate::table;

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
        Ok(Self::Binary(env::var_os("ENVOY").ok_or(missing)?))
    }

    pub fn start(&self, config: &Path, workers: u32) -> Command {
        match self {
            Self::Binary(path) => {
                let mut command = Command::new(path);
                // `misc` warns of each field that is deprecated or new.
                command.args(["--disable-hot-restart", "--component-log-level", "misc:error"]);
                command.args(["--concurrency", &workers.to_string(), "-c"]).arg(config);
                command
            }
            Self::Compose { .. } => self.compose(config, &["up", "--exit-code-from", "envoy"]),
        }
    }

    pub fn end(&self, child: &mut Child) {
        if let Self::Compose { .. } = self {
            // `up` ends when its container is gone.
            let nothing = Path::new("none");
            drop(self.compose(nothing, &["down", "--timeout", "1"]).output());
        } else {
            // It may have ended already.
            drop(child.kill());
        }
        drop(child.wait());
    }

    fn compose(&self, config: &Path, arguments: &[&str]) -> Command {
        let Self::Compose { command, project } = self else { panic!("not in a container") };
        let mut words = command.split_whitespace();
        let mut command = Command::new(words.next().expect("COMPOSE is empty"));
        let root = table::tests().parent().map(PathBuf::from).unwrap();
        command.args(words).args(["--project-name", project, "--file"]);
        command.arg(root.join("tests/compose/table.yaml")).args(arguments);
        command.env("ENVOY_CORS_ROOT", root).env("ENVOY_CORS_BOOTSTRAP", config);
        command
    }
}
