//! What an audit found, ready to be printed: every text of the log is made safe
//! here.

use std::collections::BTreeMap;

use envoy_cors::denials::printable;
use envoy_cors::header::{is_forbidden_request_name, is_prohibited, is_token};
use envoy_cors::method::is_requestable;
use envoy_cors::{Outcome, Policies, Policy};
use serde::Serialize;

use super::against_log;
use super::frequent::Entry;
use super::nearest::{Near, nearest};
use super::paths::Paths;
use super::tally::{Counts, Tally};

/// Everything.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub files: Vec<File>,
    /// The first and the last minute of the log, in UTC.
    pub from: Option<String>,
    pub to: Option<String>,
    pub lines: Lines,
    /// Requests that no policy is for.
    pub uncovered: u64,
    pub policies: Vec<PolicyReport>,
    pub error: Errors,
    pub against_log: AgainstLog,
    pub timeline: Timeline,
}

/// By how much counts may be too small.
#[derive(Clone, Copy, Serialize)]
pub struct Errors {
    /// Of blocked origins.
    pub origins: u64,
    /// Of methods and headers that were refused.
    pub names: u64,
    /// Of requests that are decided otherwise than the log says.
    pub changes: u64,
}

/// A file that was read.
#[derive(Serialize)]
pub struct File {
    pub name: String,
    /// Why the rest of it could not be read.
    pub error: Option<String>,
}

/// What became of the lines.
#[derive(Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Lines {
    pub requests: u64,
    /// The time of these requests could not be read.
    pub untimed: u64,
    /// No JSON.
    pub other: u64,
    /// JSON that is cut off, or that names no method.
    pub broken: u64,
    pub too_long: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReport {
    pub name: String,
    pub mode: &'static str,
    /// It is not in the file: what no policy is for, on ambiguous paths.
    pub ambiguous: bool,
    pub outcomes: BTreeMap<&'static str, u64>,
    pub requests: u64,
    pub allowed: u64,
    pub blocked: u64,
    pub entries: usize,
    /// Entries of `allowOrigins` that allowed nobody.
    pub unused: Vec<String>,
    /// How many origins were blocked; at least so many if counts may be too
    /// small.
    pub blocked_origins: usize,
    pub origins: Vec<Blocked>,
    pub preflights: Vec<Refused>,
}

/// An origin that is not allowed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    pub origin: String,
    pub count: u64,
    /// So many of them were preflights.
    pub preflights: u64,
    pub paths: Vec<PathCount>,
    /// On paths that were too many to be told apart.
    pub other_paths: u64,
    pub near: Option<Near>,
}

/// A method or a header that preflights asked for in vain.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    pub kind: &'static str,
    /// Empty for a list of headers that cannot be read.
    pub name: String,
    pub count: u64,
    pub paths: Vec<PathCount>,
    pub other_paths: u64,
    /// The field to add it to; nothing if no browser sends it.
    pub field: Option<String>,
}

/// The first two segments of a path, or all paths below the first one: `/a/*`.
#[derive(Serialize)]
pub struct PathCount {
    pub path: String,
    pub count: u64,
}

/// How decisions compare with those that the log tells of.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgainstLog {
    pub compared: u64,
    pub newly_refused: u64,
    pub newly_allowed: u64,
    pub otherwise: u64,
    pub changes: Vec<Change>,
}

/// Requests on which the log and the policy differ in the same way.
#[derive(Serialize)]
pub struct Change {
    /// What the log says: `policy.<name>.<outcome>`, or empty for no refusal.
    pub log: String,
    /// What is decided now.
    pub now: String,
    pub count: u64,
    pub origins: Vec<OriginCount>,
}

#[derive(Serialize)]
pub struct OriginCount {
    pub origin: String,
    pub count: u64,
    /// By how much the count may be too small.
    pub error: u64,
}

/// Requests that were allowed and blocked.
#[derive(Serialize)]
pub struct Timeline {
    /// The length of a period, in seconds.
    pub seconds: i64,
    pub periods: Vec<Period>,
}

#[derive(Serialize)]
pub struct Period {
    /// In seconds since 1970.
    pub start: i64,
    pub allowed: u64,
    pub blocked: u64,
}

/// What a report needs to know beside the counts.
pub struct Settings<'s> {
    /// The paths of the policies' fields, by index.
    pub places: &'s [String],
    /// The same policies in other environments.
    pub elsewhere: &'s [(String, Policies)],
    /// How many origins, methods and headers of a policy are told.
    pub top: usize,
}

/// Most paths and origins that are told beside a count.
const BESIDE: usize = 3;

impl Report {
    pub fn new(tally: &Tally<'_>, files: Vec<File>, lines: Lines, settings: &Settings<'_>) -> Self {
        let (from, to) = tally.timeline.range().unzip();
        let minute = |time: jiff::Timestamp| time.strftime("%Y-%m-%d %H:%M").to_string();
        let policies = tally.policies().filter(|counts| {
            // Those for ambiguous paths, which no file names.
            counts.policy.index() < settings.places.len() || counts.sum(|_| true) > 0
        });
        let policies = policies.map(|counts| PolicyReport::new(counts, tally, settings)).collect();
        let mut lines = lines;
        lines.untimed = tally.untimed;
        let periods = tally.timeline.periods();
        let [origins, names, changes] = tally.errors();
        Self {
            files,
            from: from.map(minute),
            to: to.map(minute),
            lines,
            uncovered: tally.uncovered,
            policies,
            error: Errors { origins, names, changes },
            against_log: AgainstLog::new(&tally.against_log, settings.top),
            timeline: Timeline {
                seconds: tally.timeline.length(),
                periods: periods
                    .map(|(start, p)| Period { start, allowed: p.allowed, blocked: p.blocked })
                    .collect(),
            },
        }
    }
}

impl PolicyReport {
    fn new(counts: &Counts<'_>, tally: &Tally<'_>, settings: &Settings<'_>) -> Self {
        let policy = counts.policy;
        let outcomes = Outcome::ALL.map(|outcome| (outcome.name(), counts.of(outcome)));
        let allows =
            |outcome| matches!(outcome, Outcome::ActualAllowed | Outcome::PreflightAllowed);
        let mut unused: Vec<String> =
            tally.usage().unused(policy).map(|entry| entry.to_string()).collect();
        unused.sort_unstable();
        let (blocked_origins, origins) = blocked(policy, tally, settings);
        Self {
            name: policy.name().to_owned(),
            mode: policy.mode().name(),
            ambiguous: policy.index() >= settings.places.len(),
            outcomes: outcomes.into_iter().filter(|(_, count)| *count > 0).collect(),
            requests: counts.sum(|_| true),
            allowed: counts.sum(allows),
            blocked: counts.sum(Outcome::is_denial),
            entries: policy.origins().len(),
            unused,
            blocked_origins,
            origins,
            preflights: refused(policy, tally, settings),
        }
    }
}

fn blocked(policy: &Policy, tally: &Tally<'_>, settings: &Settings<'_>) -> (usize, Vec<Blocked>) {
    let top = top(tally.blocked(policy), settings.top, |(_, entry)| entry.count);
    let blocked = top.into_iter().map(|(origin, Entry { count, value, .. })| Blocked {
        origin: printable(origin),
        count: *count,
        preflights: value.preflights,
        paths: paths(&value.paths),
        other_paths: value.paths.others,
        near: nearest(std::str::from_utf8(origin).unwrap_or_default(), policy, settings.elsewhere),
    });
    (tally.blocked(policy).count(), blocked.collect())
}

fn refused(policy: &Policy, tally: &Tally<'_>, settings: &Settings<'_>) -> Vec<Refused> {
    let top = top(tally.refused(policy), settings.top, |(_, entry)| entry.count);
    let refused = top.into_iter().map(|((is_method, name), Entry { count, value, .. })| {
        let (kind, field) =
            if is_method { ("method", "allowMethods") } else { ("header", "allowHeaders") };
        let sendable = if is_method {
            is_requestable(name)
        } else {
            let text = std::str::from_utf8(name).unwrap_or_default();
            is_token(name) && !is_forbidden_request_name(text) && !is_prohibited(text)
        };
        let place = settings.places.get(policy.index()).filter(|_| sendable);
        Refused {
            kind,
            name: printable(name),
            count: *count,
            paths: paths(value),
            other_paths: value.others,
            field: place.map(|at| envoy_cors::config::field_path(at, field)),
        }
    });
    refused.collect()
}

fn paths(paths: &Paths) -> Vec<PathCount> {
    let top = top(paths.iter(), BESIDE, |(_, count)| *count).into_iter();
    let told = top.map(|(path, count)| {
        let all_below = if path.len() > 1 && path.ends_with(b"/") { "*" } else { "" };
        PathCount { path: printable(path) + all_below, count }
    });
    told.collect()
}

/// Whether most of what there is was counted.
fn is_telling(entry: &Entry<()>) -> bool {
    entry.count > entry.missing
}

/// The entries with the highest counts, the highest first.
fn top<K: Ord, V>(
    entries: impl IntoIterator<Item = (K, V)>,
    most: usize,
    count: impl Fn(&(K, V)) -> u64,
) -> Vec<(K, V)> {
    let mut entries: Vec<(K, V)> = entries.into_iter().collect();
    entries.sort_unstable_by(|one, other| {
        count(other).cmp(&count(one)).then_with(|| one.0.cmp(&other.0))
    });
    entries.truncate(most);
    entries
}

impl AgainstLog {
    fn new(against: &against_log::AgainstLog, most: usize) -> Self {
        // What is silent and what is not may come to the same.
        let mut counts: BTreeMap<[&[u8]; 2], u64> = BTreeMap::new();
        for (change, entry) in against.changes() {
            *counts.entry(change).or_default() += entry.count;
        }
        let changes = top(counts, most, |(_, count)| *count).into_iter();
        let changes = changes.map(|(change @ [log, now], count)| Change {
            log: printable(log),
            now: printable(now),
            count,
            origins: origins(against, change),
        });
        let changes = changes.collect();
        let against_log::Counts { compared, newly_refused, newly_allowed, otherwise } =
            against.counts();
        Self { compared, newly_refused, newly_allowed, otherwise, changes }
    }
}

fn origins(against: &against_log::AgainstLog, change: [&[u8]; 2]) -> Vec<OriginCount> {
    let mut counts: BTreeMap<&[u8], Entry<()>> = BTreeMap::new();
    for (_, origin, entry) in against.origins().filter(|(other, ..)| *other == change) {
        let sum = counts.entry(origin).or_default();
        sum.count += entry.count;
        sum.missing += entry.missing;
    }
    let telling = counts.into_iter().filter(|(_, entry)| is_telling(entry));
    let told = top(telling, BESIDE, |(_, entry)| entry.count).into_iter();
    let told = told.map(|(origin, entry)| OriginCount {
        origin: printable(origin),
        count: entry.count,
        error: entry.missing,
    });
    told.collect()
}
