//! `src/browser.rs` against a real browser, case by case.
//!
//! `BROWSER` names it (`chromium` if unset, `firefox`, `webkit`), `CASES` says how many cases are
//! drawn (1000) and `SEED` which (1).

mod cache;
mod case;
mod differences;
mod driver;
mod expect;
mod generate;
mod observe;
mod server;
mod webdriver;
mod wpt;

use std::collections::{BTreeMap, HashMap};
use std::env;
use std::process::ExitCode;

use case::{Case, Origins};
use differences::Taken;
use driver::{Browser, Seen};
use expect::Trace;
use libtest_mimic::{Arguments, Trial};
use webdriver::Result;

/// Cases in one call of the page.
const BATCH: usize = 250;

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
    let browser = env::var("BROWSER").unwrap_or_else(|_| "chromium".into());
    let count = env::var("CASES").map_or(Ok(1000), |text| text.parse())?;
    let seed = env::var("SEED").map_or(Ok(1), |text| text.parse())?;

    let state = server::Shared::default();
    let origins = server::start(&state).await?;
    let (mut names, mut cases, mut verdicts) = (Vec::new(), Vec::new(), Vec::new());
    for (name, case, verdict) in wpt::cases(&origins) {
        names.push(name);
        cases.push(case);
        verdicts.push(Some(verdict));
    }
    for case in generate::cases(&origins, seed, count) {
        names.push(format!("seed {seed} {} {:?}", case.method, case.mode));
        cases.push(case);
        verdicts.push(None);
    }
    if browser == "webkit" {
        // What WebKitGTK does with redirects is the business of its HTTP library.
        cases.iter_mut().for_each(|case| case.hops.truncate(1));
    }
    server::point_redirects(&mut cases);
    let cached = cache::cases(&origins);
    state.lock().unwrap().cases = [&cases[..], &cached].concat();

    let run = play(&browser, &origins, &cases, &cached).await?;
    let arrived = std::mem::take(&mut state.lock().unwrap().arrived);
    let at = |number: usize| arrived.get(&number).map_or(&[][..], Vec::as_slice);

    let mut report = Report::default();
    let mut trials = Vec::new();
    for (number, (case, seen)) in cases.iter().zip(&run.seen).enumerate() {
        let console = run.console.get(&number).map_or(&[][..], Vec::as_slice);
        let observed = observe::observed(case, at(number), seen.as_ref(), console);
        let standard = expect::expected(&Taken::as_it_is(case), &origins);
        let expected = report.as_taken_by(&browser, case, &standard, &origins);
        let held = verdicts[number].is_none_or(|verdict| verdict.holds(&standard));
        let message = format!("{case}expected:\n{expected}\nobserved:\n{observed}\n");
        let agreed = expected.agrees_with(&observed, run.logs);
        trials.push(Trial::test(format!("{browser} {number} {}", names[number]), move || {
            match (held, agreed) {
                (true, true) => Ok(()),
                (true, false) => Err(message.into()),
                (false, _) => Err(format!("not what web-platform-tests say\n{message}").into()),
            }
        }));
    }
    for (index, case) in cached.iter().enumerate() {
        let sent = at(cases.len() + index).iter().filter(|(_, it)| it.is_preflight()).count();
        let remembered = cache::is_remembered(case, &browser);
        let name = format!("{browser} preflight cache {:?}", cache::values(case));
        trials.push(Trial::test(name, move || {
            let message = format!("{sent} preflights for {} requests", cache::REQUESTS);
            if remembered == (sent < cache::REQUESTS) { Ok(()) } else { Err(message.into()) }
        }));
    }
    report.print();
    Ok(trials)
}

/// What a browser did.
struct Run {
    seen: Vec<Option<Seen>>,
    /// The console's lines by the number of their case.
    console: HashMap<usize, Vec<String>>,
    /// Whether there is a console to read.
    logs: bool,
}

/// Plays all cases once, and those for the preflight cache, which come behind
/// the others, several times.
async fn play(name: &str, origins: &Origins, cases: &[Case], cached: &[Case]) -> Result<Run> {
    let browser = Browser::start(name, &origins.page).await?;
    eprintln!("{}", browser.version().await?);
    let mut run = Run { seen: Vec::new(), console: HashMap::new(), logs: browser.logs };
    for batch in cases.chunks(BATCH) {
        run.seen.extend(browser.run(run.seen.len(), batch).await?);
        for line in browser.console().await? {
            if let Some(case) = number_in(&line) {
                run.console.entry(case).or_default().push(line);
            }
        }
    }
    for _ in 0..cache::REQUESTS {
        browser.run(cases.len(), cached).await?;
    }
    browser.quit().await?;
    Ok(run)
}

/// The number of the case that a line of the console is about.
fn number_in(line: &str) -> Option<usize> {
    let (_, path) = line.split_once("/case/")?;
    path.split('/').next()?.parse().ok()
}

/// How often things happened, for the README.
#[derive(Default)]
struct Report {
    cases: usize,
    different: usize,
    differences: BTreeMap<&'static str, usize>,
    ends: BTreeMap<String, usize>,
}

impl Report {
    /// What a browser with its known differences makes of a case.
    fn as_taken_by(
        &mut self,
        browser: &str,
        case: &Case,
        standard: &Trace,
        origins: &Origins,
    ) -> Trace {
        let mut taken = Taken::as_it_is(case);
        let mut expected = standard.clone();
        for difference in differences::of(browser) {
            (difference.apply)(&mut taken);
            let changed = expect::expected(&taken, origins);
            if changed != expected {
                *self.differences.entry(difference.name).or_default() += 1;
            }
            expected = changed;
        }
        self.cases += 1;
        self.different += usize::from(expected != *standard);
        *self.ends.entry(expected.summary()).or_default() += 1;
        expected
    }

    fn print(&self) {
        eprintln!("{:5} cases, {} of them a known difference", self.cases, self.different);
        for (end, count) in &self.ends {
            eprintln!("{count:5} {end}");
        }
        for (difference, count) in &self.differences {
            eprintln!("{count:5} known difference: {difference}");
        }
    }
}
