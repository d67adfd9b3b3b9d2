//! What an operator reads in Envoy's log when the filter was loaded.

use libtest_mimic::{Failed, Trial};

use crate::client::Protocol;
use crate::rows::{Table, check};
use crate::table;

/// Two policies and three origins, one of them twice.
const WITH_A_WARNING: &str = "
- policy:
    environment: staging
    policies:
      - name: public
        match: { pathPrefixes: [/public] }
        allowOrigins: ['*']
    allowOrigins: [https://a.example.com, https://a.example.com, https://b.example.com]
  cases:
    - case: any
      send: {}
      get: { status: 200, from: upstream, vary: Origin }
";

pub fn trial() -> Trial {
    Trial::test("a load is told once, however many workers there are", || {
        let groups = table::parse(WITH_A_WARNING);
        let table = Table::start(&groups, 2)?;
        let case = &groups[0].cases[0];
        // By now each worker has configured its own instance, or will for one of these.
        (0..20).try_for_each(|_| check(table.port(0, case), case, Protocol::Http1))?;
        let log = table.log();
        once(
            &log,
            "[info]",
            &[env!("CARGO_PKG_VERSION"), "public", "default", "origins 3", "staging"],
        )?;
        once(&log, "[warning]", &["https://a.example.com"])
    })
}

/// One line of the filter's at `level`, which holds all of `parts`.
fn once(log: &str, level: &str, parts: &[&str]) -> Result<(), Failed> {
    let lines: Vec<_> =
        log.lines().filter(|line| line.contains("wasm log") && line.contains(level)).collect();
    match lines.as_slice() {
        [line] if parts.iter().all(|part| line.contains(part)) => Ok(()),
        _ => Err(format!("expected one line of {level} with {parts:?}, got {lines:#?}").into()),
    }
}
