//! The policy of a gateway changes hundreds of times while clients keep asking: no request fails,
//! each answer is that of one revision, and nothing is left of the revisions before.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::bootstrap::string_value;
use crate::client::{self, Protocol, Result};
use crate::keep_alive::KeepAlive;
use crate::live::{By, Live, equal, until};
use crate::rows::{compare, replies};
use crate::table::{self, Group};
use crate::upstream;

/// The two policies in turn, each of which gives every request another answer than the other does.
/// N is the number of the revision.
const TWO_POLICIES: &str = r#"
- policy:
    allowOrigins: [https://a.example.com, https://both.example.com]
    allowMethods: [PUT]
    allowHeaders: [x-a, x-revision-N]
    exposeHeaders: [x-revision-N]
    maxAge: 1000
    allowCredentials: true
    disallowedRequests: reject
  cases:
    - case: "a: the first's origin"
      send: { origin: https://a.example.com }
      upstream: { acao: "*", aceh: x-upstream }
      outcome: actual_allowed
      get: { status: 200, from: upstream, acao: https://a.example.com, acac: true, aceh: x-revision-N, vary: Origin }
    - case: "a: the second's origin"
      send: { origin: https://b.example.com }
      upstream: { acao: "*", aceh: x-upstream }
      outcome: actual_rejected
      get: { status: 403, from: filter, vary: Origin }
    - case: "a: a preflight"
      send: { method: OPTIONS, origin: https://both.example.com, acrm: PUT, acrh: x-a }
      outcome: preflight_allowed
      get:
        status: 204
        from: filter
        acao: https://both.example.com
        acac: true
        acam: PUT
        acah: x-a, x-revision-N
        acma: 1000
        vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
- policy:
    allowOrigins: [https://b.example.com, https://both.example.com]
    allowMethods: [PUT, DELETE]
    allowHeaders: [x-b, x-revision-N]
    exposeHeaders: [x-revision-N]
    maxAge: 2000
  cases:
    - case: "b: the first's origin"
      send: { origin: https://a.example.com }
      outcome: actual_denied
      get: { status: 200, from: upstream, vary: Origin }
    - case: "b: the second's origin"
      send: { origin: https://b.example.com }
      outcome: actual_allowed
      get: { status: 200, from: upstream, acao: https://b.example.com, aceh: x-revision-N, vary: Origin }
    - case: "b: a preflight"
      send: { method: OPTIONS, origin: https://both.example.com, acrm: PUT, acrh: x-a }
      outcome: preflight_denied_headers
      get:
        status: 204
        from: filter
        acao: https://both.example.com
        acam: PUT, DELETE
        acah: x-b, x-revision-N
        vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
"#;

const REVISIONS: usize = 210;

/// So many that a policy which is not freed shows.
const ORIGINS: usize = 1000;

/// Half of what the policies of a third of the revisions take in the VMs.
const MAX_GROWTH: u64 = 5 << 20;

const DRAINING: &str = "listener_manager.total_filter_chains_draining";

const CLIENTS: [Protocol; 6] = [
    Protocol::Http1,
    Protocol::Http1,
    Protocol::Http1,
    Protocol::Http1,
    Protocol::Http2,
    Protocol::Http2,
];

/// The revisions 0, 1, 2 …, without what makes their policies large.
static REVISION: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let revision = |number: usize| {
        let mut groups =
            table::parse(&TWO_POLICIES.replace("revision-N", &format!("revision-{number}")));
        groups.swap_remove(number % 2)
    };
    (0..=REVISIONS).map(revision).collect()
});

pub fn trials() -> Vec<Trial> {
    let under_load =
        |by| Trial::test(format!("reload: {by:?}, under load"), move || under_load(by));
    let memory =
        |by| Trial::test(format!("reload: {by:?}, nothing is left"), move || nothing_is_left(by));
    [By::Lds, By::Ecds].into_iter().flat_map(|by| [under_load(by), memory(by)]).collect()
}

fn under_load(by: By) -> std::result::Result<(), Failed> {
    let upstream = upstream::start(replies(&REVISION[..1]))?;
    let live = Live::start(by, &policy(0), upstream)?;
    let traffic = Traffic::start(live.port());
    traffic.wait_for(0)?;
    let mut slowest = Duration::ZERO;
    for number in 1..=REVISIONS {
        traffic.now.newest.store(number, SeqCst);
        live.push(&policy(number))?;
        slowest = slowest.max(traffic.wait_for(number)?);
    }
    let connections = traffic.stop()?;
    eprintln!("reload: {by:?}: {REVISIONS} revisions, each in force within {slowest:?}");
    equal("updates", REVISIONS as u64 + 1, live.updates("update_success")?)?;
    equal("refused updates", 0, live.updates("update_rejected")?)?;
    equal("requests cut off", 0, live.envoy.stat("http.table.downstream_cx_destroy_active_rq")?)?;
    if by == By::Ecds {
        equal("connections of each client", [1; CLIENTS.len()].as_slice(), &connections)?;
    }
    // Also those that a plugin had not told yet when it was replaced.
    until("each request is counted once", || {
        let stats = live.envoy.stats()?;
        let counts = stats.iter().filter(|(name, _)| name.starts_with("wasmcustom.envoy_cors."));
        Ok(counts.map(|(_, count)| count).sum::<u64>() == stats["http.table.downstream_rq_total"])
    })?;
    Ok(())
}

/// No VM and no policy. After the first third Envoy has what it takes to drain the filter chains of
/// as many revisions; nothing slows the next ones down, so that as many drain together.
fn nothing_is_left(by: By) -> std::result::Result<(), Failed> {
    let nobody = 1;
    let live = Live::start(by, &policy(0), nobody)?;
    let vms = live.envoy.vms()?;
    let mut resident = Vec::new();
    for number in 1..=REVISIONS {
        live.push(&policy(number))?;
        let taken = number as u64 + 1;
        until("it is taken", || Ok(live.updates("update_success")? == taken))?;
        if number % (REVISIONS / 3) == 0 {
            until("the old filter chains are gone", || Ok(live.envoy.stat(DRAINING)? == 0))?;
            resident.extend(live.envoy.resident());
        }
    }
    equal("VMs", vms, live.envoy.vms()?)?;
    eprintln!("reload: {by:?}: {resident:?} bytes after each third of {REVISIONS} revisions");
    match resident.as_slice() {
        [_, before, after] if after.saturating_sub(*before) > MAX_GROWTH => {
            Err(format!("memory grew from {before} to {after} bytes").into())
        }
        _ => Ok(()),
    }
}

/// The configuration of revision `number`.
fn policy(number: usize) -> Value {
    let mut policy = REVISION[number].policy.clone().expect("a policy");
    let origins = policy["allowOrigins"].as_array_mut().expect("a list");
    origins
        .extend((0..ORIGINS).map(|it| Value::from(format!("https://{it}.{number}.example.net"))));
    string_value(&policy.to_string())
}

/// Clients that ask without a pause, and check each answer.
struct Traffic {
    now: Arc<Now>,
    clients: Vec<Client>,
}

struct Client {
    /// The newest revision that an answer was of.
    seen: Arc<AtomicUsize>,
    /// How many connections it took.
    connections: JoinHandle<usize>,
}

/// What the clients know.
#[derive(Default)]
struct Now {
    /// The revision that is being pushed, or in force. The one before it was in force when it was.
    newest: AtomicUsize,
    stop: AtomicBool,
    /// The first of any client.
    failure: OnceLock<String>,
}

impl Traffic {
    fn start(port: u16) -> Self {
        let now = Arc::<Now>::default();
        let client = |protocol| {
            let (now, seen) = (Arc::clone(&now), Arc::<AtomicUsize>::default());
            let (client, seen_by_it) = (KeepAlive::new(port, protocol), Arc::clone(&seen));
            let connections = client::spawn(async move { now.ask(client, &seen_by_it).await });
            Client { seen, connections }
        };
        let clients = CLIENTS.map(client).into();
        Self { now, clients }
    }

    /// Waits until each client has seen revision `number`.
    fn wait_for(&self, number: usize) -> std::result::Result<Duration, Failed> {
        until(&format!("revision {number} is in force"), || match self.now.failure.get() {
            Some(failure) => Err(failure.clone().into()),
            None => Ok(self.clients.iter().all(|it| it.seen.load(SeqCst) >= number)),
        })
    }

    /// How many connections it took, for each client.
    fn stop(self) -> Result<Vec<usize>> {
        self.now.stop.store(true, SeqCst);
        let ends =
            self.clients.into_iter().map(|it| client::run(async { Ok(it.connections.await?) }));
        ends.collect()
    }
}

impl Now {
    async fn ask(&self, mut client: KeepAlive, seen: &AtomicUsize) -> usize {
        for row in (0..REVISION[0].cases.len()).cycle() {
            if self.stop.load(SeqCst) {
                break;
            }
            match self.ask_once(&mut client, row).await {
                Ok(number) => drop(seen.fetch_max(number, SeqCst)),
                Err(error) => {
                    drop(self.failure.set(error.to_string()));
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        client.opened
    }

    /// The revision that the answer is of.
    async fn ask_once(&self, client: &mut KeepAlive, row: usize) -> Result<usize> {
        let case = &REVISION[0].cases[row];
        let oldest = self.newest.load(SeqCst).saturating_sub(1);
        let response = client.ask(client::request(&case.send, &case.name, client.protocol)?).await;
        let response = response.map_err(|e| format!("{:?}: {e:?}\n\n{case}", client.protocol))?;
        let newest = self.newest.load(SeqCst);
        let is_of = |it: &usize| compare(&REVISION[*it].cases[row], &response).is_ok();
        (oldest..=newest).find(is_of).ok_or_else(|| {
            let difference = compare(&REVISION[newest].cases[row], &response).unwrap_err();
            let difference = difference.message().unwrap_or_default();
            format!("of no revision from {oldest} to {newest}:\n{difference}").into()
        })
    }
}
