//! A browser and its WebDriver server.

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use thirtyfour::{Capabilities, WebDriver};
use tokio::process::{Child, Command};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A browser that runs.
pub struct Session {
    pub driver: WebDriver,
    process: Child,
}

impl Session {
    pub async fn start(name: &str) -> Result<Self> {
        let (command, capabilities) = match name {
            "chromium" => ("chromedriver", chromium()),
            "firefox" => ("geckodriver", firefox()),
            "webkit" => ("WebKitWebDriver", webkit()),
            other => return Err(format!("BROWSER={other}: chromium, firefox or webkit").into()),
        };
        let (process, url) = start_driver(command).await?;
        let capabilities: Capabilities = serde_json::from_value(capabilities)?;
        Ok(Self { driver: WebDriver::new(url, capabilities).await?, process })
    }

    pub async fn quit(mut self) -> Result<()> {
        self.driver.quit().await?;
        self.process.kill().await?;
        Ok(())
    }
}

async fn start_driver(command: &str) -> Result<(Child, String)> {
    // WebKit's driver does not choose a port by itself.
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let mut process = Command::new(command)
        .arg(format!("--port={port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{command}: {error}; tests/install-browsers installs it"))?;
    let address = format!("127.0.0.1:{port}");
    for _ in 0..200 {
        if tokio::net::TcpStream::connect(&address).await.is_ok() {
            return Ok((process, format!("http://{address}")));
        }
        if let Some(status) = process.try_wait()? {
            return Err(format!("{command} ended ({status})").into());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("{command} does not listen").into())
}

fn chromium() -> Value {
    json!({
        "browserName": "chrome",
        "goog:loggingPrefs": { "browser": "ALL" },
        "goog:chromeOptions": { "args": [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ] },
    })
}

fn firefox() -> Value {
    json!({
        "browserName": "firefox",
        "moz:firefoxOptions": { "args": ["-headless"] },
    })
}

fn webkit() -> Value {
    json!({ "browserName": "MiniBrowser", "webkitgtk:browserOptions": {
        "binary": "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser",
        "args": ["--automation"],
    } })
}
