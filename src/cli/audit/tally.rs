//! What the requests of a log come to. Memory does not grow with the log.

use envoy_cors::denials::first_segments;
use envoy_cors::header::{request, requested_names};
use envoy_cors::usage::Usage;
use envoy_cors::{Decision, Outcome, Policies, Policy, decide};
use hashbrown::HashSet;

use super::against_log::AgainstLog;
use super::frequent::{Entry, Frequent};
use super::key::{Key, number, parts};
use super::paths::Paths;
use super::record::{Field, Record};
use super::timeline::Timeline;

/// Most keys of a table of frequent things: some MiB.
pub const TABLE: usize = 8_192;

/// Most origins that are remembered for having used an entry.
const REMEMBERED: usize = 16_384;

/// Counts of everything.
pub struct Tally<'p> {
    policies: &'p Policies,
    deciding: Vec<Counts<'p>>,
    /// Requests that no policy is for.
    pub uncovered: u64,
    usage: Usage,
    /// Policies and origins whose entry was marked already.
    marked: HashSet<Box<[u8]>>,
    /// By policy and origin.
    blocked: Frequent<Blocked>,
    /// By policy, `method` or `header`, and its name.
    refused: Frequent<Paths>,
    pub against_log: AgainstLog,
    pub timeline: Timeline,
    /// Requests whose time cannot be read.
    pub untimed: u64,
    /// Where keys are made.
    key: Key,
}

/// Beside how often an origin was blocked.
#[derive(Default)]
pub struct Blocked {
    /// So many of the requests were preflights.
    pub preflights: u64,
    pub paths: Paths,
}

/// Of one policy.
pub struct Counts<'p> {
    pub policy: &'p Policy,
    outcomes: [u64; Outcome::ALL.len()],
    /// What the log calls them, made once.
    labels: [String; Outcome::ALL.len()],
}

impl Counts<'_> {
    pub fn of(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(outcome as usize).copied().unwrap_or_default()
    }

    /// Of all outcomes that a condition holds for.
    pub fn sum(&self, holds: impl Fn(Outcome) -> bool) -> u64 {
        Outcome::ALL.into_iter().filter(|outcome| holds(*outcome)).map(|o| self.of(o)).sum()
    }
}

impl<'p> Tally<'p> {
    pub fn new(policies: &'p Policies) -> Self {
        let counts = |policy| Counts {
            policy,
            outcomes: [0; Outcome::ALL.len()],
            labels: Outcome::ALL.map(|outcome| outcome.label(policy)),
        };
        Self {
            policies,
            deciding: policies.deciding().map(counts).collect(),
            uncovered: 0,
            usage: Usage::default(),
            marked: HashSet::new(),
            blocked: Frequent::new(TABLE),
            refused: Frequent::new(TABLE),
            against_log: AgainstLog::default(),
            timeline: Timeline::default(),
            untimed: 0,
            key: Key::default(),
        }
    }

    /// Decides on a request again, and counts it.
    pub fn add(&mut self, record: &Record<'_>) {
        let decision = decide(self.policies, |name| header(record, name));
        let outcome = decision.as_ref().map(Decision::outcome);
        let blocked = match outcome {
            Some(Outcome::ActualAllowed | Outcome::PreflightAllowed) => Some(false),
            Some(outcome) if outcome.is_denial() => Some(true),
            _ => None,
        };
        let time = record.get(Field::Time);
        if !time.is_some_and(|time| self.timeline.add(time, blocked)) {
            self.untimed += 1;
        }
        if let Some(decision) = &decision {
            self.count(decision);
            if decision.allows_origin() {
                self.mark(decision);
            }
            if blocked == Some(true) {
                self.add_blocked(decision, record);
            }
        } else {
            self.uncovered += 1;
        }
        let denied = decision.as_ref().filter(|decision| decision.outcome().is_denial());
        let denied = denied.and_then(|decision| {
            let counts = self.deciding.get(decision.policy().index())?;
            Some((decision, counts.labels.get(decision.outcome() as usize)?.as_str()))
        });
        self.against_log.compare(denied, record);
    }

    fn count(&mut self, decision: &Decision) {
        let counts = self.deciding.get_mut(decision.policy().index());
        let place = counts.and_then(|c| c.outcomes.get_mut(decision.outcome() as usize));
        if let Some(count) = place {
            *count += 1;
        }
    }

    fn mark(&mut self, decision: &Decision) {
        let policy = decision.policy();
        let any = policy.origins().is_any();
        let origin = if any { b"*" } else { decision.origin() };
        let key = self.key.of(&[&policy.index().to_le_bytes(), origin]);
        if !self.marked.contains(key) {
            self.usage.mark(policy, decision.origin());
            if self.marked.len() >= REMEMBERED {
                self.marked.clear();
            }
            self.marked.insert(key.into());
        }
    }

    fn add_blocked(&mut self, decision: &Decision, record: &Record<'_>) {
        let policy = decision.policy();
        let index = policy.index().to_le_bytes();
        let path = first_segments(record.get(Field::Path).unwrap_or_default().as_bytes());
        let outcome = decision.outcome();
        if matches!(outcome, Outcome::PreflightDeniedMethod | Outcome::PreflightDeniedHeaders) {
            let mut add = |kind: &[u8], name: &[u8]| {
                self.refused.add(self.key.of(&[&index, kind, name]), 1).add(path);
            };
            let method = record.get(Field::RequestMethod).unwrap_or_default().as_bytes();
            if !policy.allows_method(method) {
                add(METHOD, method);
            }
            let names = record.get(Field::RequestHeaders).unwrap_or_default().as_bytes();
            match requested_names(names) {
                Some(names) => names
                    .filter(|name| !policy.allows_header(name))
                    .for_each(|name| add(HEADER, &name.to_ascii_lowercase())),
                None => add(HEADER, b""),
            }
        } else {
            let blocked = self.blocked.add(self.key.of(&[&index, decision.origin()]), 1);
            let preflight =
                matches!(outcome, Outcome::PreflightDeniedOrigin | Outcome::PreflightForwarded);
            blocked.preflights += u64::from(preflight);
            blocked.paths.add(path);
        }
    }

    /// The policies and their numbers.
    pub fn policies(&self) -> impl Iterator<Item = &Counts<'p>> {
        self.deciding.iter()
    }

    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// The origins that a policy blocked.
    pub fn blocked(&self, policy: &Policy) -> impl Iterator<Item = (&[u8], &Entry<Blocked>)> {
        let of_policy = policy.index();
        self.blocked.iter().filter_map(move |(key, entry)| {
            let [index, origin] = parts(key)?;
            (number(index)? == of_policy).then_some((origin, entry))
        })
    }

    /// What preflights asked a policy for in vain: whether it is a method, and
    /// its name.
    pub fn refused(&self, policy: &Policy) -> impl Iterator<Item = ((bool, &[u8]), &Entry<Paths>)> {
        let of_policy = policy.index();
        self.refused.iter().filter_map(move |(key, entry)| {
            let [index, kind, name] = parts(key)?;
            (number(index)? == of_policy).then_some(((kind == METHOD, name), entry))
        })
    }

    /// By how much the counts of blocked origins, of refused names and of
    /// differences from the log may be too small.
    pub fn errors(&self) -> [u64; 3] {
        [self.blocked.error(), self.refused.error(), self.against_log.error()]
    }
}

const METHOD: &[u8] = b"method";
const HEADER: &[u8] = b"header";

/// What a decision asks of a request.
fn header(record: &Record<'_>, name: &str) -> Option<Vec<u8>> {
    let value = match name {
        request::METHOD => record.get(Field::Method),
        request::AUTHORITY => record.get(Field::Host),
        request::PATH => record.get(Field::Path),
        request::ORIGIN => record.get(Field::Origin),
        request::ACRM => record.get(Field::RequestMethod),
        request::ACRH => record.get(Field::RequestHeaders),
        request::SEC_FETCH_SITE => record.get(Field::FetchSite),
        // Only asked for a page on the gateway's own host. A log that does not
        // tell the scheme would make its requests look like strangers'.
        request::SCHEME => record.get(Field::Scheme).or_else(|| {
            let (scheme, _) = record.get(Field::Origin)?.split_once("://")?;
            Some(scheme)
        }),
        _ => None,
    };
    value.map(|value| value.as_bytes().to_vec())
}
