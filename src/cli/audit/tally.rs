//! What the requests of a log come to. Memory does not grow with the log.

use std::collections::HashSet;

use envoy_cors::config::Mode;
use envoy_cors::denials::first_segments;
use envoy_cors::header::{request, requested_names};
use envoy_cors::usage::Usage;
use envoy_cors::{Decision, Outcome, Policies, Policy, decide};

use super::frequent::Frequent;
use super::record::{Field, Record};
use super::timeline::Timeline;

/// Most keys of a table of frequent things: some MiB.
const TABLE: usize = 8_192;

/// Most origins that are remembered for having used an entry.
const REMEMBERED: usize = 16_384;

/// Longest text of a request in a key, in bytes: no valid origin is longer.
const LONGEST: usize = 330;

/// Counts of everything.
pub struct Tally<'p> {
    policies: &'p Policies,
    deciding: Vec<Counts<'p>>,
    /// Requests that no policy is for.
    pub uncovered: u64,
    usage: Usage,
    /// Policies and origins whose entry was marked already.
    marked: HashSet<Box<[u8]>>,
    /// Policy, origin, first segments of the path, `preflight` or nothing.
    blocked: Frequent,
    /// Policy, `method` or `header`, its name, first segments of the path.
    refused: Frequent,
    /// What the log says, what is decided now, origin.
    changed: Frequent,
    pub against_log: AgainstLog,
    pub timeline: Timeline,
    /// Requests whose time cannot be read.
    pub untimed: u64,
    /// Where keys are made.
    key: Vec<u8>,
}

/// Of one policy.
pub struct Counts<'p> {
    pub policy: &'p Policy,
    outcomes: [u64; Outcome::ALL.len()],
}

/// How decisions compare with those that the log tells of.
#[derive(Clone, Copy, Default)]
pub struct AgainstLog {
    /// Requests of which the log says whether they were refused.
    pub compared: u64,
    /// Refused now, and not then.
    pub newly_refused: u64,
    /// Refused then, and not now.
    pub newly_allowed: u64,
    /// Refused both times or neither, by another policy or for another reason.
    pub otherwise: u64,
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
        let counts = |policy| Counts { policy, outcomes: [0; Outcome::ALL.len()] };
        Self {
            policies,
            deciding: policies.deciding().map(counts).collect(),
            uncovered: 0,
            usage: Usage::default(),
            marked: HashSet::new(),
            blocked: Frequent::new(TABLE),
            refused: Frequent::new(TABLE),
            changed: Frequent::new(TABLE),
            against_log: AgainstLog::default(),
            timeline: Timeline::default(),
            untimed: 0,
            key: Vec::new(),
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
        self.compare(decision.as_ref(), record);
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
        make_key(&mut self.key, &[&policy.index().to_le_bytes(), origin]);
        if !self.marked.contains(&*self.key) {
            self.usage.mark(policy, decision.origin());
            if self.marked.len() >= REMEMBERED {
                self.marked.clear();
            }
            self.marked.insert(self.key.as_slice().into());
        }
    }

    fn add_blocked(&mut self, decision: &Decision, record: &Record<'_>) {
        let policy = decision.policy();
        let index = policy.index().to_le_bytes();
        let path = first_segments(record.get(Field::Path).unwrap_or_default().as_bytes());
        let outcome = decision.outcome();
        if matches!(outcome, Outcome::PreflightDeniedMethod | Outcome::PreflightDeniedHeaders) {
            let mut add = |kind: &[u8], name: &[u8]| {
                make_key(&mut self.key, &[&index, kind, name, path]);
                self.refused.add(&self.key);
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
            let preflight =
                matches!(outcome, Outcome::PreflightDeniedOrigin | Outcome::PreflightForwarded);
            let kind: &[u8] = if preflight { PREFLIGHT } else { b"" };
            make_key(&mut self.key, &[&index, decision.origin(), path, kind]);
            self.blocked.add(&self.key);
        }
    }

    fn compare(&mut self, decision: Option<&Decision>, record: &Record<'_>) {
        if !record.has(Field::Denied) && !record.has(Field::Details) {
            return;
        }
        self.against_log.compared += 1;
        let denied = decision.filter(|decision| decision.outcome().is_denial());
        let enforced = denied.is_some_and(|d| d.policy().mode() == Mode::Enforce);
        let then = Then::of(record);
        let label = denied.map(Decision::label).unwrap_or_default();
        if then.is(&label) {
            return;
        }
        let counts = &mut self.against_log;
        *match (then.is_refusal(), enforced) {
            (false, true) => &mut counts.newly_refused,
            (true, false) => &mut counts.newly_allowed,
            _ => &mut counts.otherwise,
        } += 1;
        let origin = record.get(Field::Origin).unwrap_or_default();
        let parts = [then.label().as_bytes(), label.as_bytes(), origin.as_bytes()];
        make_key(&mut self.key, &parts);
        self.changed.add(&self.key);
    }

    /// The policies and their numbers.
    pub fn policies(&self) -> impl Iterator<Item = &Counts<'p>> {
        self.deciding.iter()
    }

    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// Each with its policy's index, origin, first segments of the path, and
    /// whether it is a preflight.
    pub fn blocked(&self) -> impl Iterator<Item = (usize, &[u8], &[u8], bool, u64)> {
        self.blocked.iter().filter_map(|(key, count)| {
            let [index, origin, path, kind] = parts(key)?;
            Some((number(index)?, origin, path, kind == PREFLIGHT, count))
        })
    }

    /// Each with its policy's index, whether it is a method, its name, and the
    /// first segments of the path.
    pub fn refused(&self) -> impl Iterator<Item = (usize, bool, &[u8], &[u8], u64)> {
        self.refused.iter().filter_map(|(key, count)| {
            let [index, kind, name, path] = parts(key)?;
            Some((number(index)?, kind == METHOD, name, path, count))
        })
    }

    /// What the log says, what is decided now, and the origin.
    pub fn changed(&self) -> impl Iterator<Item = ([&[u8]; 3], u64)> {
        self.changed.iter().filter_map(|(key, count)| Some((parts(key)?, count)))
    }

    /// By how much the counts of frequent things may be too small.
    pub fn error(&self) -> u64 {
        self.blocked.error().max(self.refused.error()).max(self.changed.error())
    }
}

const METHOD: &[u8] = b"method";
const HEADER: &[u8] = b"header";
const PREFLIGHT: &[u8] = b"preflight";

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

/// What the log says of a decision.
enum Then<'r> {
    /// That the policy withheld something: `policy.<name>.<outcome>`.
    Label(&'r str),
    /// That the filter refused it, by the response code details alone.
    Details(&'r str),
    Nothing,
}

impl<'r> Then<'r> {
    fn of(record: &'r Record<'_>) -> Self {
        let details = record.get(Field::Details).and_then(|details| details.strip_prefix("cors_"));
        match (record.get(Field::Denied), details) {
            (Some(label), _) => Self::Label(label),
            (None, Some("origin_rejected")) => Self::Details("actual_rejected"),
            (None, Some(details)) if details != "preflight" => Self::Details(details),
            _ => Self::Nothing,
        }
    }

    fn label(&self) -> &'r str {
        match self {
            Self::Label(text) | Self::Details(text) => text,
            Self::Nothing => "",
        }
    }

    /// Whether it is what is decided now.
    fn is(&self, label: &str) -> bool {
        match self {
            Self::Label(then) => *then == label,
            Self::Details(outcome) => label.rsplit('.').next() == Some(*outcome),
            Self::Nothing => label.is_empty(),
        }
    }

    fn is_refusal(&self) -> bool {
        match self {
            Self::Label(label) => !label.starts_with("shadow."),
            Self::Details(_) => true,
            Self::Nothing => false,
        }
    }
}

/// Writes texts behind each other, each with its length before it.
fn make_key(key: &mut Vec<u8>, parts: &[&[u8]]) {
    key.clear();
    for part in parts {
        let part = part.get(..LONGEST).unwrap_or(part);
        // It fits, by the line above.
        key.extend(u16::try_from(part.len()).unwrap_or_default().to_le_bytes());
        key.extend_from_slice(part);
    }
}

/// The texts of a key.
fn parts<const N: usize>(mut key: &[u8]) -> Option<[&[u8]; N]> {
    let mut parts = [&[][..]; N];
    for part in &mut parts {
        let (length, rest) = key.split_first_chunk()?;
        (*part, key) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    }
    Some(parts)
}

fn number(bytes: &[u8]) -> Option<usize> {
    bytes.try_into().ok().map(usize::from_le_bytes)
}
