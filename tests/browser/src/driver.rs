//! A real browser, driven through WebDriver.

use std::error::Error;
use std::process::Stdio;
use std::time::Duration;

use envoy_cors::browser::{Credentials, Mode};
use serde::Deserialize;
use serde_json::{Value, json};
use thirtyfour::{Capabilities, WebDriver};
use tokio::process::{Child, Command};

use crate::case::Case;

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the page saw of a response.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    pub kind: String,
    pub status: u16,
    pub headers: Vec<String>,
}

/// A browser with the page in it.
pub struct Browser {
    driver: WebDriver,
    process: Child,
    pub logs: bool,
}

impl Browser {
    pub async fn start(name: &str, page: &str) -> Result<Self> {
        let (command, capabilities) = match name {
            "chromium" => ("chromedriver", chromium()),
            "firefox" => ("geckodriver", firefox()),
            "webkit" => ("WebKitWebDriver", webkit()),
            other => return Err(format!("BROWSER={other}: chromium, firefox or webkit").into()),
        };
        let (process, url) = start_driver(command).await?;
        let capabilities: Capabilities = serde_json::from_value(capabilities)?;
        let driver = WebDriver::new(url, capabilities).await?;
        driver.set_script_timeout(Duration::from_secs(300)).await?;
        driver.goto(page).await?;
        Ok(Self { driver, process, logs: name == "chromium" })
    }

    pub async fn version(&self) -> Result<String> {
        Ok(self.driver.execute("return navigator.userAgent", vec![]).await?.convert()?)
    }

    /// Runs cases of which the first has this number. `None` stands for a promise
    /// that was rejected.
    pub async fn run(&self, first: usize, cases: &[Case]) -> Result<Vec<Option<Seen>>> {
        let calls: Vec<_> =
            cases.iter().enumerate().map(|(index, case)| call(first + index, case)).collect();
        let script = "run(arguments[0]).then(arguments[1], error => arguments[1](String(error)))";
        Ok(self.driver.execute_async(script, vec![calls.into()]).await?.convert()?)
    }

    /// The console's lines since the last call.
    pub async fn console(&self) -> Result<Vec<String>> {
        if !self.logs {
            return Ok(Vec::new());
        }
        let log = self.driver.browser_log().await?;
        Ok(log.into_iter().map(|entry| entry.message).collect())
    }

    pub async fn quit(mut self) -> Result<()> {
        self.driver.quit().await?;
        self.process.kill().await?;
        Ok(())
    }
}

/// The arguments of `fetch()`. Bytes become characters, as in a `ByteString`.
fn call(number: usize, case: &Case) -> Value {
    let text = |bytes: &[u8]| bytes.iter().map(|b| char::from(*b)).collect::<String>();
    let headers: Vec<_> =
        case.headers.iter().map(|(name, value)| json!([name, text(value)])).collect();
    json!({
        "url": case.hops[0].url(number, 0),
        "method": case.method,
        "headers": headers,
        "mode": match case.mode {
            Mode::Cors => "cors",
            Mode::NoCors => "no-cors",
            Mode::SameOrigin => "same-origin",
        },
        "credentials": match case.credentials {
            Credentials::Omit => "omit",
            Credentials::SameOrigin => "same-origin",
            Credentials::Include => "include",
        },
    })
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
