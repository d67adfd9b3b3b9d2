//! A real browser, driven through WebDriver.

use std::time::Duration;

use envoy_cors::browser::{Credentials, Mode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::case::Case;
use crate::webdriver::{Result, Session};

/// What the page saw of a response.
#[derive(Clone, Debug, Deserialize)]
pub struct Seen {
    pub kind: String,
    pub status: u16,
    pub headers: Vec<String>,
}

/// A browser with the page in it.
pub struct Browser {
    session: Session,
    pub logs: bool,
}

impl Browser {
    pub async fn start(name: &str, page: &str) -> Result<Self> {
        let session = Session::start(name).await?;
        session.driver.set_script_timeout(Duration::from_secs(300)).await?;
        session.driver.goto(page).await?;
        Ok(Self { session, logs: name == "chromium" })
    }

    pub async fn version(&self) -> Result<String> {
        Ok(self.session.driver.execute("return navigator.userAgent", vec![]).await?.convert()?)
    }

    /// Runs cases of which the first has this number. `None` stands for a promise
    /// that was rejected.
    pub async fn run(&self, first: usize, cases: &[Case]) -> Result<Vec<Option<Seen>>> {
        let calls: Vec<_> =
            cases.iter().enumerate().map(|(index, case)| call(first + index, case)).collect();
        let script = "run(arguments[0]).then(arguments[1], error => arguments[1](String(error)))";
        Ok(self.session.driver.execute_async(script, vec![calls.into()]).await?.convert()?)
    }

    /// The console's lines since the last call.
    pub async fn console(&self) -> Result<Vec<String>> {
        if !self.logs {
            return Ok(Vec::new());
        }
        let log = self.session.driver.browser_log().await?;
        Ok(log.into_iter().map(|entry| entry.message).collect())
    }

    pub async fn quit(self) -> Result<()> {
        self.session.quit().await
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
