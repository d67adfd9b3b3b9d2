//! A running Envoy: started, asked for its ports, ended whatever happens.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Result, ask_admin};
use crate::launcher::Launcher;

/// Compiling the filter's code takes a busy machine a while.
const LIMIT: Duration = Duration::from_secs(90);

static CRASHED: AtomicBool = AtomicBool::new(false);

/// Whether a filter has crashed in any Envoy that was ended.
pub fn any_crashed() -> bool {
    CRASHED.load(Ordering::SeqCst)
}

/// An Envoy process, whether it comes up or not.
pub struct Process {
    launcher: Launcher,
    child: Child,
    folder: TempDir,
}

impl Process {
    pub fn spawn(bootstrap: Value, workers: u32) -> Result<Self> {
        Self::spawn_with(&[], bootstrap, workers)
    }

    /// With more variables in its environment; not in a container.
    fn spawn_with(
        environment: &[(&str, &Path)],
        mut bootstrap: Value,
        workers: u32,
    ) -> Result<Self> {
        // Below the repository, where a container sees it.
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let launcher = Launcher::new(&name_of(&folder))?;
        let admin = format!("@{}", name_of(&folder));
        bootstrap["admin"] = json!({ "address": { "pipe": { "path": admin } } });
        let config = folder.path().join("bootstrap.json");
        fs::write(&config, bootstrap.to_string())?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = launcher.start(&config, workers);
        let child = command
            .envs(environment.iter().copied())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|e| format!("{}: {e}", command.get_program().display()))?;
        Ok(Self { launcher, child, folder })
    }

    pub fn log(&self) -> String {
        let bytes = fs::read(self.folder.path().join("log")).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended by itself, or `None` if it did not within the limit.
    pub fn exit(&mut self) -> Result<Option<ExitStatus>> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            sleep(Duration::from_millis(50));
        }
        Ok(None)
    }

    /// What the admin interface says.
    fn ask(&self, method: Method, path: &str) -> Result<String> {
        ask_admin(&format!("\0{}", name_of(&self.folder)), method, path)
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("Envoy ended ({status}):\n{}", self.tail()).into());
            }
            if self.ask(Method::GET, "/ready").is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(50));
        }
        Err(format!("Envoy is not ready after {LIMIT:?}:\n{}", self.tail()).into())
    }

    fn resident(&self) -> Option<u64> {
        let Launcher::Binary(_) = self.launcher else { return None };
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
        Some(kib * 1024)
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.launcher.end(&mut self.child);
        let log = self.log();
        for line in log.lines().filter(|line| tells_of_a_crash(line)) {
            CRASHED.store(true, Ordering::SeqCst);
            eprintln!("a filter crashed: {line}");
        }
    }
}

/// The name of an Envoy, and in Linux's abstract namespace that of its admin interface: no port
/// to find free, no file that a container would have to share.
fn name_of(folder: &TempDir) -> String {
    let name = folder.path().file_name().unwrap().to_string_lossy().to_lowercase();
    format!("envoy-cors-test-{}", name.trim_start_matches('.'))
}

fn tells_of_a_crash(line: &str) -> bool {
    ["Uncaught RuntimeError", "in-VM backtrace", "panicked at"]
        .iter()
        .any(|sign| line.contains(sign))
}

/// An Envoy that answers.
pub struct Envoy {
    process: Process,
    ports: BTreeMap<String, u16>,
}

impl Envoy {
    pub fn start(bootstrap: Value, workers: u32) -> Result<Self> {
        Self::start_with(&[], bootstrap, workers)
    }

    /// With more variables in its environment; not in a container.
    pub fn start_with(
        environment: &[(&str, &Path)],
        bootstrap: Value,
        workers: u32,
    ) -> Result<Self> {
        let mut process = Process::spawn_with(environment, bootstrap, workers)?;
        process.wait_until_ready()?;
        let ports = ports(&process)?;
        Ok(Self { process, ports })
    }

    pub fn port(&self, listener: &str) -> u16 {
        self.ports[listener]
    }

    /// After listeners have come or gone.
    pub fn reread_ports(&mut self) -> Result<()> {
        self.ports = ports(&self.process)?;
        Ok(())
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// From now on the log tells every call into the VM and out of it.
    pub fn trace_wasm(&self) -> Result<()> {
        self.process.ask(Method::POST, "/logging?wasm=trace").map(drop)
    }

    /// The counters and gauges by name.
    pub fn stats(&self) -> Result<BTreeMap<String, u64>> {
        let lines = self.process.ask(Method::GET, "/stats")?;
        // Texts and histograms are left out.
        let number = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(lines.lines().filter_map(number).collect())
    }

    /// What Prometheus gets.
    pub fn prometheus(&self) -> Result<String> {
        self.process.ask(Method::GET, "/stats/prometheus")
    }

    /// The configuration that it runs with, as JSON.
    pub fn config_dump(&self) -> Result<String> {
        self.process.ask(Method::GET, "/config_dump")
    }

    pub fn stat(&self, name: &str) -> Result<u64> {
        Ok(*self.stats()?.get(name).ok_or_else(|| format!("Envoy has no {name}"))?)
    }

    /// How many VMs are alive: one for each worker and two of the main thread.
    pub fn vms(&self) -> Result<u64> {
        self.stat("wasm.envoy.wasm.runtime.v8.active")
    }

    /// What it holds in memory, WebAssembly's included, in bytes; `None` for a container.
    pub fn resident(&self) -> Option<u64> {
        self.process.resident()
    }
}

/// Of each listener by name.
fn ports(process: &Process) -> Result<BTreeMap<String, u16>> {
    let listeners: Value =
        serde_json::from_str(&process.ask(Method::GET, "/listeners?format=json")?)?;
    let port = |it: &Value| {
        let name = it["name"].as_str().unwrap().to_owned();
        let port = it["local_address"]["socket_address"]["port_value"].as_u64().unwrap();
        (name, u16::try_from(port).unwrap())
    };
    // There may be none.
    let all = listeners["listener_statuses"].as_array();
    Ok(all.into_iter().flatten().map(port).collect())
}
