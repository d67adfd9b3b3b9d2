//! The page of `make run` in a real Chromium: what it shows at each of its origins, what the
//! browser's console says beside it, and whether everybody can use it.
//!
//! `ENVOY` names the Envoy. With `BLESS` the pictures become those of the README.

mod webdriver;

use std::collections::BTreeSet;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use serde_json::{Value, json};
use thirtyfour::{Key, WebDriver};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use webdriver::{Result, Session};

/// A request of the page.
struct Row {
    id: &'static str,
    path: &'static str,
    /// Status and body, for whoever can read them.
    reads: &'static str,
    /// The headers that the gateway's own origin can read.
    headers: &'static str,
    /// The step at which a page of an allowed origin fails.
    allowed: Option<Step>,
    /// That at which a stranger's fails.
    stranger: Step,
    /// Method, headers and credentials, as arguments of `envoy-cors explain`.
    arguments: &'static str,
}

#[derive(Clone, Copy)]
struct Step {
    /// What the page says.
    says: &'static str,
    /// What the console says.
    console: &'static str,
}

const NO_ALLOW_ORIGIN: &str = "No 'Access-Control-Allow-Origin' header is present";

const NO_ORIGIN: Step = Step {
    says: "The response has no Access-Control-Allow-Origin: the policy does not list http://127.0.0.1:10001.",
    console: NO_ALLOW_ORIGIN,
};
const NO_PREFLIGHT: Step = Step {
    says: "The gateway answers the preflight with 403: the policy does not list http://127.0.0.1:10001.",
    console: "Response to preflight request doesn't pass access control check: No 'Access-Control-Allow-Origin' header is present",
};

const FROM_UPSTREAM: &str = "content-length, content-type, date, server, vary, x-envoy-upstream-service-time, x-request-id, x-upstream";
// All methods but GET and HEAD bring an `Origin`, and the policy allows this one.
const WITH_ORIGIN: &str = "access-control-allow-credentials, access-control-allow-origin, access-control-expose-headers, content-length, content-type, date, server, vary, x-envoy-upstream-service-time, x-request-id, x-upstream";
const FROM_GATEWAY: &str = "content-length, content-type, date, server, vary, x-request-id";

const ROWS: [Row; 9] = [
    Row {
        id: "simple",
        path: "/",
        reads: "200: hello from upstream",
        headers: FROM_UPSTREAM,
        allowed: None,
        stranger: NO_ORIGIN,
        arguments: "-X GET",
    },
    Row {
        id: "legacy",
        path: "/legacy",
        reads: "200: legacy",
        headers: "access-control-allow-origin, access-control-expose-headers, content-length, content-type, date, server, vary, x-envoy-upstream-service-time, x-request-id, x-upstream",
        allowed: None,
        stranger: Step {
            says: "The response has no Access-Control-Allow-Origin: the policy does not list http://127.0.0.1:10001. It has taken upstream's own away.",
            console: NO_ALLOW_ORIGIN,
        },
        arguments: "-X GET",
    },
    Row {
        id: "put",
        path: "/items",
        reads: "200: hello from upstream",
        headers: WITH_ORIGIN,
        allowed: None,
        stranger: NO_PREFLIGHT,
        arguments: "-X PUT -H 'content-type: application/json'",
    },
    Row {
        id: "method",
        path: "/items",
        reads: "200: hello from upstream",
        headers: WITH_ORIGIN,
        allowed: Some(Step {
            says: "The answer to the preflight lists PUT, PATCH and DELETE in Access-Control-Allow-Methods, and not PURGE.",
            console: "Method PURGE is not allowed by Access-Control-Allow-Methods",
        }),
        stranger: NO_PREFLIGHT,
        arguments: "-X PURGE",
    },
    Row {
        id: "header",
        path: "/items",
        reads: "200: hello from upstream",
        headers: FROM_UPSTREAM,
        allowed: Some(Step {
            says: "The answer to the preflight lists authorization and content-type in Access-Control-Allow-Headers, and not x-trace.",
            console: "Request header field x-trace is not allowed by Access-Control-Allow-Headers",
        }),
        stranger: NO_PREFLIGHT,
        arguments: "-X GET -H 'x-trace: 1'",
    },
    Row {
        id: "cookie",
        path: "/cookie",
        reads: "200: a cookie came along",
        headers: FROM_UPSTREAM,
        allowed: None,
        stranger: Step {
            says: "The response has no Access-Control-Allow-Origin: the policy does not list http://127.0.0.1:10001. Upstream has seen the request and its cookie all the same.",
            console: NO_ALLOW_ORIGIN,
        },
        arguments: "-X GET --credentials",
    },
    Row {
        id: "unauthorized",
        path: "/private",
        reads: "401: Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        headers: "content-length, content-type, date, server, vary, www-authenticate, x-request-id",
        allowed: None,
        stranger: NO_PREFLIGHT,
        arguments: "-X GET -H 'authorization: Bearer expired'",
    },
    Row {
        id: "limited",
        path: "/limited",
        reads: "429: local_rate_limited",
        headers: FROM_GATEWAY,
        allowed: None,
        stranger: NO_ORIGIN,
        arguments: "-X GET",
    },
    Row {
        id: "slow",
        path: "/slow",
        reads: "504: upstream request timeout",
        headers: FROM_GATEWAY,
        allowed: None,
        stranger: NO_ORIGIN,
        arguments: "-X GET",
    },
];

/// Where the page is loaded from, and what it then is to the policy.
#[derive(Clone, Copy)]
struct Origin {
    role: Role,
    origin: &'static str,
    gateway: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Allowed,
    Stranger,
    Own,
}

const ORIGINS: [Origin; 3] = [
    Origin {
        role: Role::Allowed,
        origin: "http://localhost:10001",
        gateway: "http://localhost:10000",
    },
    Origin {
        role: Role::Stranger,
        origin: "http://127.0.0.1:10001",
        gateway: "http://127.0.0.1:10000",
    },
    Origin { role: Role::Own, origin: "http://localhost:10000", gateway: "http://localhost:10000" },
];

impl Origin {
    fn step(&self, row: &Row) -> Option<Step> {
        match self.role {
            Role::Allowed => row.allowed,
            Role::Stranger => Some(row.stranger),
            Role::Own => None,
        }
    }

    /// What stands in the cell of a row, paragraph by paragraph.
    fn shown(&self, row: &Row) -> Vec<String> {
        let headers = match self.role {
            Role::Own => row.headers,
            _ => "content-length, content-type, x-request-id",
        };
        match self.step(row) {
            None => vec![format!("✓ read {}", row.reads), format!("headers: {headers}")],
            Some(step) => vec![
                "✗ refused TypeError: Failed to fetch".to_owned(),
                step.says.to_owned(),
                format!(
                    "envoy-cors explain envoy/envoy.yaml --origin {} {} --url {}{}",
                    self.origin, row.arguments, self.gateway, row.path
                ),
            ],
        }
    }

    /// What takes the focus, in order.
    fn stops(&self) -> Vec<String> {
        let links = ORIGINS.iter().map(|other| format!("A {}/page", other.origin));
        let refused = ROWS.iter().filter(|row| self.step(row).is_some());
        let summaries = refused.map(|row| format!("SUMMARY {}", row.id));
        links.chain(["BUTTON Ask again".to_owned()]).chain(summaries).collect()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    match trials().await {
        Ok(trials) => libtest_mimic::run(&arguments, trials).exit_code(),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn trials() -> Result<Vec<Trial>> {
    let (gateway, url) = start_gateway().await?;
    let session = Session::start("chromium").await?;
    let page = Page { driver: &session.driver };
    page.driver.set_script_timeout(Duration::from_secs(60)).await?;
    let mut trials =
        vec![trial("make run prints the URL", &url, &format!("{}/page", ORIGINS[0].origin))];
    for origin in ORIGINS {
        page.driver.goto(format!("{}/page", origin.origin)).await?;
        page.wait().await?;
        trials.extend(rows(&origin, "", page.rows().await?));
        trials.push(trial(
            &format!("{} by keyboard", origin.origin),
            &page.stops().await?,
            &origin.stops(),
        ));
        trials.extend(rows(&origin, " again", page.rows().await?));
        trials.push(console(&origin, &page.console().await?));
        for scheme in ["light", "dark"] {
            page.emulate(scheme).await?;
            let name = format!("{} in {scheme}, by axe", origin.origin);
            trials.push(trial(&name, &page.violations().await?, &Vec::<String>::new()));
        }
    }
    trials.extend(pictures(&page).await?);
    trials.push(without_a_gateway(&page, gateway).await?);
    session.quit().await?;
    Ok(trials)
}

fn trial<T: PartialEq + std::fmt::Debug>(name: &str, observed: &T, expected: &T) -> Trial {
    let difference = format!("expected {expected:#?}\nobserved {observed:#?}");
    let equal = observed == expected;
    Trial::test(name.to_owned(), move || if equal { Ok(()) } else { Err(difference.into()) })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// What `make run` starts, and the URL of the page that it prints.
async fn start_gateway() -> Result<(Child, String)> {
    let envoy = env::var_os("ENVOY").ok_or("ENVOY is not set; `make page` sets it")?;
    let mut child = Command::new("python3")
        .arg("envoy/run.py")
        .arg(envoy)
        .current_dir(root())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, url)) = line.split_once("from a browser: ") {
            return Ok((child, url.to_owned()));
        }
    }
    Err("envoy/run.py ended".into())
}

struct Page<'s> {
    driver: &'s WebDriver,
}

impl Page<'_> {
    async fn run(&self, script: &str) -> Result<Value> {
        Ok(self.driver.execute(script, vec![]).await?.json().clone())
    }

    /// Waits until every request has come to its end.
    async fn wait(&self) -> Result<()> {
        let script = "
            const done = arguments[0];
            const status = document.querySelector('[role=status]');
            const look = () => /\\d/.test(status.textContent) && done();
            new MutationObserver(look).observe(status, { childList: true });
            look();";
        self.driver.execute_async(script, vec![]).await?;
        Ok(())
    }

    /// Each row's name, and the paragraphs of its cell.
    async fn rows(&self) -> Result<Vec<(String, Vec<String>)>> {
        let script = "
            return [...document.querySelectorAll('tr[id]')].map((row) =>
              [row.id, [...row.querySelectorAll('td > p, td pre')].map((part) => part.textContent)]);";
        Ok(serde_json::from_value(self.run(script).await?)?)
    }

    async fn console(&self) -> Result<Vec<String>> {
        let log = self.driver.browser_log().await?;
        Ok(log.into_iter().map(|entry| entry.message).collect())
    }

    /// Goes through the page by Tab, and presses Enter on what is no link.
    async fn stops(&self) -> Result<Vec<String>> {
        let mut stops = Vec::new();
        loop {
            self.press(Key::Tab).await?;
            let script = "
                const { tagName, href, textContent } = document.activeElement;
                const row = document.activeElement.closest('tr')?.id;
                return `${tagName} ${href ?? row ?? textContent}`;";
            let stop = self.run(script).await?.as_str().unwrap_or_default().to_owned();
            if stop.starts_with("BODY") || stops.contains(&stop) {
                return Ok(stops);
            }
            if stop.starts_with("BUTTON") {
                self.press(Key::Enter).await?;
                self.wait().await?;
            } else if stop.starts_with("SUMMARY") {
                self.press(Key::Enter).await?;
                let script = "return document.activeElement.parentElement.open";
                if self.run(script).await? != true {
                    return Err(format!("{stop} does not open").into());
                }
            }
            stops.push(stop);
        }
    }

    async fn press(&self, key: Key) -> Result<()> {
        Ok(self.driver.action_chain().send_keys(key).perform().await?)
    }

    async fn emulate(&self, scheme: &str) -> Result<()> {
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let media = json!({ "features": features });
        self.driver.cdp().send_raw("Emulation.setEmulatedMedia", media).await?;
        Ok(())
    }

    /// What axe-core finds against the page's use by everybody.
    async fn violations(&self) -> Result<Vec<String>> {
        let path = root().join("tests/node/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(&path)
            .map_err(|error| format!("{}: {error}; `make page` fetches it", path.display()))?;
        self.driver.execute(axe, vec![]).await?;
        let script = "
            axe.run().then(({ violations, passes }) => arguments[0](passes.length < 10
              ? ['too little is checked']
              : violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`))));";
        let found = self.driver.execute_async(script, vec![]).await?;
        Ok(found.convert()?)
    }
}

fn rows(origin: &Origin, when: &str, observed: Vec<(String, Vec<String>)>) -> Vec<Trial> {
    let ids: Vec<_> = observed.iter().map(|(id, _)| id.as_str()).collect();
    let known: Vec<_> = ROWS.iter().map(|row| row.id).collect();
    let mut trials = vec![trial(&format!("{}{when}: the rows", origin.origin), &ids, &known)];
    for (row, (_, shown)) in ROWS.iter().zip(&observed) {
        let name = format!("{}{when}: {}", origin.origin, row.id);
        trials.push(trial(&name, shown, &origin.shown(row)));
    }
    trials
}

/// The console speaks of what is refused, and of statuses; and the step that it names is the one
/// that the page shows.
fn console(origin: &Origin, lines: &[String]) -> Trial {
    let mut expected = BTreeSet::new();
    for row in &ROWS {
        let url = format!("{}{}", origin.gateway, row.path);
        match origin.step(row) {
            Some(step) => {
                expected.insert((format!("Access to fetch at '{url}'"), step.console));
                expected.insert((format!("{url} - "), "net::ERR_FAILED"));
            }
            None if !row.reads.starts_with('2') => {
                expected
                    .insert((format!("{url} - "), row.reads.split(':').next().unwrap_or_default()));
            }
            None => {}
        }
    }
    let is = |line: &str, (start, phrase): &(String, &str)| {
        line.contains(start) && line.contains(phrase)
    };
    let unexpected: Vec<_> =
        lines.iter().filter(|line| !expected.iter().any(|it| is(line, it))).collect();
    let missing: Vec<_> =
        expected.iter().filter(|it| !lines.iter().any(|line| is(line, it))).collect();
    let name = format!("{}: the console", origin.origin);
    trial(&name, &format!("{unexpected:?} {missing:?}"), &"[] []".to_owned())
}

/// Largest picture, in bytes: they are kept in the repository.
const LARGEST: usize = 150_000;

async fn pictures(page: &Page<'_>) -> Result<Vec<Trial>> {
    page.driver.goto(format!("{}/page", ORIGINS[0].origin)).await?;
    page.wait().await?;
    page.driver.cdp().send_raw("Emulation.setScrollbarsHidden", json!({ "hidden": true })).await?;
    page.driver.set_window_rect(0, 0, 900, 1000).await?;
    // As far as the first refusals.
    let script = "
        const { bottom } = document.querySelector('#header').getBoundingClientRect();
        return Math.round(bottom) + outerHeight - innerHeight;";
    let height = page.run(script).await?.as_u64().ok_or("no height")?;
    page.driver.set_window_rect(0, 0, 900, height.try_into()?).await?;
    let mut pictures = Vec::new();
    for scheme in ["light", "dark"] {
        page.emulate(scheme).await?;
        let picture = page.driver.screenshot_as_png().await?;
        let folder = if env::var_os("BLESS").is_some() { "tests/page" } else { "target/page" };
        std::fs::create_dir_all(root().join(folder))?;
        std::fs::write(root().join(folder).join(format!("{scheme}.png")), &picture)?;
        pictures.push(picture);
    }
    let small = pictures.iter().all(|picture| picture.len() < LARGEST);
    Ok(vec![
        trial("pictures of both colour schemes differ", &(pictures[0] != pictures[1]), &true),
        trial("pictures are small", &small, &true),
    ])
}

async fn without_a_gateway(page: &Page<'_>, mut gateway: Child) -> Result<Trial> {
    gateway.kill().await?;
    // Envoy ends with whoever started it.
    while TcpStream::connect("127.0.0.1:10000").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    page.run("document.querySelector('button').click()").await?;
    page.wait().await?;
    let shown: BTreeSet<_> = page.rows().await?.into_iter().map(|(_, shown)| shown).collect();
    let expected = ["✗ no answer TypeError: Failed to fetch", "Does the gateway still run?"];
    Ok(trial("without a gateway", &shown, &[expected.map(str::to_owned).to_vec()].into()))
}
