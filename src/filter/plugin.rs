//! One configuration at work: its policies, and what its operators see of the
//! decisions.
//!
//! A request only adds to numbers and tables in the VM, and one that is refused
//! sets its filter state. A tick brings them out: counts into Envoy's counters,
//! the rest into values that the VMs of all workers share, so that there is one
//! report for all of them.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;
use log::warn;

use super::hostcalls::{
    Headers, Shared, define_counter, increment_counter, now, set_filter_state, set_tick_period,
};
use super::shared;
use crate::decision::{Decision, Outcome};
use crate::denials::Denials;
use crate::header::request;
use crate::policy::Policy;
use crate::scope::Policies;
use crate::usage::Usage;

/// `%FILTER_STATE(wasm.envoy_cors:PLAIN)%` in an access log.
const FILTER_STATE: &str = "envoy_cors";

/// An hour, in nanoseconds: the time between two usage reports.
const USAGE_INTERVAL: u64 = 3_600 * SECOND;
const SECOND: u64 = 1_000_000_000;

/// A configured plugin.
pub struct Plugin {
    policies: Policies,
    /// By the index of the policy.
    counts: Vec<[Cell<i64>; Outcome::ALL.len()]>,
    denied: Option<Denied>,
    usage: Option<Unused>,
}

/// The denied-origin report of all VMs.
struct Denied {
    /// In nanoseconds.
    interval: u64,
    /// Those of this VM that are not in `shared`.
    own: RefCell<Denials>,
    /// When the next report is due, and what it will hold.
    shared: Shared,
}

/// The usage report of all VMs.
struct Unused {
    /// What the whole Envoy knows, as far as this VM has heard.
    usage: RefCell<Usage>,
    /// `usage` has entries that are not in `shared`.
    news: Cell<bool>,
    /// Of the configuration: a plugin that is about to go does not report.
    fingerprint: u64,
    /// The fingerprint, when the next report is due, the used entries.
    shared: Shared,
}

impl Plugin {
    /// Starts to count. `first` tells that no other VM has loaded this
    /// configuration.
    pub fn new(policies: Policies, fingerprint: u64, first: bool) -> Self {
        let settings = policies.settings();
        for policy in policies.iter() {
            for outcome in Outcome::ALL {
                // So that the counters are there before the first request.
                count(policy, outcome, 0);
            }
        }
        let denied = (settings.report_interval > 0).then(|| Denied::new(settings.report_interval));
        let usage = settings.usage_report.then(|| Unused::new(fingerprint, first));
        set_tick_period(match settings.report_interval {
            0 => settings.flush_interval,
            interval => settings.flush_interval.min(interval),
        });
        let counts = policies.deciding().map(|_| Default::default()).collect();
        Self { policies, counts, denied, usage }
    }

    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Notes a decision, while the request's headers can be read.
    pub fn record(&self, decision: &Decision) {
        let outcome = decision.outcome();
        let counts = self.counts.get(decision.policy().index());
        if let Some(count) = counts.and_then(|counts| counts.get(outcome as usize)) {
            count.set(count.get() + 1);
        }
        if outcome.is_denial() {
            set_filter_state(FILTER_STATE, &decision.label());
            if let Some(denied) = &self.denied {
                let header = |name| Headers::Request.get(name).unwrap_or_default();
                let (host, path) = (header(request::AUTHORITY), header(request::PATH));
                denied.own.borrow_mut().add(decision, &host, &path);
            }
        }
        if let Some(unused) = &self.usage
            && decision.allows_origin()
            && unused.usage.borrow_mut().mark(decision.policy(), decision.origin())
        {
            unused.news.set(true);
        }
    }

    /// Brings out what was noted since the last time.
    pub fn tick(&self) {
        for (policy, counts) in self.policies.deciding().zip(&self.counts) {
            for (outcome, number) in Outcome::ALL.into_iter().zip(counts) {
                if number.get() > 0 {
                    count(policy, outcome, number.take());
                }
            }
        }
        if let Some(denied) = &self.denied {
            denied.exchange();
        }
        if let Some(unused) = &self.usage {
            unused.exchange(&self.policies);
        }
    }
}

/// Adds to the counter of an outcome.
fn count(policy: &Policy, outcome: Outcome, by: i64) {
    thread_local! {
        /// The numbers of the counters that this VM has defined: each time, a
        /// counter gets another.
        static COUNTERS: RefCell<HashMap<String, u32>> = RefCell::default();
    }
    let name = format!("envoy_cors.{}", outcome.label(policy));
    let id = COUNTERS.with_borrow_mut(|counters| match counters.get(&name) {
        Some(id) => Some(*id),
        None => define_counter(&name).inspect(|id| {
            counters.insert(name, *id);
        }),
    });
    if let Some(id) = id.filter(|_| by > 0) {
        increment_counter(id, by);
    }
}

impl Denied {
    fn new(milliseconds: u32) -> Self {
        let shared = shared("denied");
        // Where there is a value, no VM overwrites what another has written.
        shared.update(|value| value.is_empty().then(|| b"0\n".to_vec()));
        Self { interval: u64::from(milliseconds) * 1_000_000, own: RefCell::default(), shared }
    }

    /// Adds this VM's denials to those of all, and logs the report if it is
    /// due.
    fn exchange(&self) {
        let now = now();
        let mut own = self.own.borrow_mut();
        let mut report = None;
        let done = self.shared.update(|value| {
            let text = std::str::from_utf8(value).unwrap_or_default();
            let (due, denials) = text.split_once('\n').unwrap_or_default();
            let due = due.parse().unwrap_or_default();
            let mut all = Denials::default();
            all.merge(denials);
            let is_due = is_due(now, due, self.interval);
            if own.is_empty() && (all.is_empty() || !is_due) {
                report = None;
                return None;
            }
            all.merge(&own.to_text());
            report = is_due.then(|| all.report());
            let (due, left) = match report {
                Some(_) => (now + self.interval, String::new()),
                None => (due, all.to_text()),
            };
            Some(format!("{due}\n{left}").into_bytes())
        });
        if done {
            *own = Denials::default();
            if let Some(report) = report {
                warn!("{report}");
            }
        }
    }
}

impl Unused {
    fn new(fingerprint: u64, first: bool) -> Self {
        let shared = shared("usage");
        if first {
            let due = now() + USAGE_INTERVAL;
            shared.update(|_| Some([fingerprint.to_le_bytes(), due.to_le_bytes()].concat()));
        }
        Self { usage: RefCell::default(), news: Cell::new(false), fingerprint, shared }
    }

    /// Adds the entries that this VM saw in use to those of all, and logs the
    /// report if it is due.
    fn exchange(&self, policies: &Policies) {
        let now = now();
        let mut usage = self.usage.borrow_mut();
        let mut is_our_turn = false;
        let done = self.shared.update(|value| {
            is_our_turn = false;
            let (fingerprint, value) = value.split_first_chunk()?;
            let (due, used) = value.split_first_chunk()?;
            if u64::from_le_bytes(*fingerprint) != self.fingerprint {
                return None;
            }
            let due = u64::from_le_bytes(*due);
            is_our_turn = is_due(now, due, USAGE_INTERVAL);
            if !is_our_turn && !self.news.get() {
                return None;
            }
            usage.merge(used);
            let due = if is_our_turn { now + USAGE_INTERVAL } else { due };
            let used = usage.to_bytes();
            Some([&self.fingerprint.to_le_bytes()[..], &due.to_le_bytes(), &used].concat())
        });
        if done {
            self.news.set(false);
            if is_our_turn {
                usage.report(policies).for_each(|line| warn!("{line}"));
            }
        }
    }
}

/// Whether it is time; also if it is further away than an interval, because the
/// clock was set back.
fn is_due(now: u64, due: u64, interval: u64) -> bool {
    now >= due || due > now + interval
}
