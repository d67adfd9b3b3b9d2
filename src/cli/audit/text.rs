//! The report for people, in a terminal or a file.

use std::io::{self, Write};

use super::bars::Bars;
use super::report::{
    AgainstLog, Blocked, Change, Errors, OriginCount, PathCount, PolicyReport, Refused, Report,
};

/// Most unused entries of a policy that are named here.
const UNUSED: usize = 50;

/// Said of a log that there is nothing to compare in.
pub const NOT_COMPARED: &str = "the log does not say what was decided";

/// Writes the report.
///
/// # Errors
///
/// What the writer says.
pub fn write(report: &Report, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "{}", report.told())?;
    if let Some(told) = report.left_out() {
        writeln!(to, "{told}")?;
    }
    for file in &report.files {
        if let Some(error) = &file.error {
            writeln!(to, "{}: {error}", file.name)?;
        }
    }
    for policy in &report.policies {
        write_policy(policy, &report.error, to)?;
    }
    if report.uncovered > 0 {
        writeln!(to, "\nno policy: {}", counted(report.uncovered, "request"))?;
    }
    write_changes(report, to)?;
    if let Some(told) = report.inexact() {
        writeln!(to, "\n{told}")?;
    }
    Ok(())
}

fn write_policy(policy: &PolicyReport, errors: &Errors, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "\npolicy {}: {}", policy.name, policy.told())?;
    if !policy.unused.is_empty() {
        writeln!(to, "  {}:", policy.unused_told())?;
        for entry in policy.unused.iter().take(UNUSED) {
            writeln!(to, "    {entry}")?;
        }
        if policy.unused.len() > UNUSED {
            writeln!(to, "    and {} more", policy.unused.len() - UNUSED)?;
        }
    }
    if !policy.origins.is_empty() {
        writeln!(to, "  {}:", policy.origins_told(errors))?;
    }
    for blocked in &policy.origins {
        writeln!(to, "  {:>9}  {}", blocked.count, blocked.origin)?;
        if let Some(near) = &blocked.near {
            writeln!(to, "             {}", near.told())?;
        }
        writeln!(to, "             {}", blocked.told())?;
    }
    if !policy.preflights.is_empty() {
        writeln!(to, "  preflights from allowed origins that were refused for:")?;
    }
    for refused in &policy.preflights {
        writeln!(to, "  {:>9}  {}", refused.count, refused.told())?;
        writeln!(to, "             {}", refused.remedy())?;
        writeln!(to, "             {}", refused.paths_told())?;
    }
    Ok(())
}

fn write_changes(report: &Report, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "\n{}", report.against_told())?;
    for change in &report.against_log.changes {
        writeln!(to, "  {:>9}  {}", change.count, change.told())?;
        writeln!(to, "             {}", change.origins_told())?;
    }
    Ok(())
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn paths(paths: &[PathCount], others: u64) -> String {
    let paths = paths.iter().map(|p| format!("{} ({})", p.path, p.count));
    let others = (others > 0).then(|| format!("other paths ({others})"));
    let told: Vec<_> = paths.chain(others).collect();
    format!("on {}", told.join(", "))
}

impl Report {
    /// How much was read.
    pub fn told(&self) -> String {
        let requests = counted(self.lines.requests, "request");
        match (&self.from, &self.to) {
            (Some(from), Some(to)) => format!("{requests} from {from} to {to} UTC"),
            _ => requests,
        }
    }

    /// What was not.
    pub fn left_out(&self) -> Option<String> {
        let lines = &self.lines;
        let kinds = [
            (lines.other, "no JSON"),
            (lines.broken, "broken, or without a method"),
            (lines.too_long, "too long"),
        ];
        let total: u64 = kinds.iter().map(|(count, _)| count).sum();
        let kinds: Vec<_> = kinds
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect();
        let left_out = (total > 0)
            .then(|| format!("{} left out: {}", counted(total, "line"), kinds.join(", ")));
        let untimed = (lines.untimed > 0).then(|| {
            format!("{} without a time that can be read", counted(lines.untimed, "request"))
        });
        let told: Vec<_> = left_out.into_iter().chain(untimed).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// What the policy would have done otherwise.
    pub fn against_told(&self) -> String {
        let AgainstLog { compared, newly_refused, newly_allowed, otherwise, changes } =
            &self.against_log;
        if *compared == 0 {
            return NOT_COMPARED.to_owned();
        }
        let told = if changes.is_empty() {
            let every = if self.silent() == 0 { "every request" } else { "the others" };
            format!("the log says the same of {every}")
        } else {
            format!(
                "against the log: {newly_refused} newly refused, {newly_allowed} no longer \
                 refused, {otherwise} otherwise different"
            )
        };
        match self.silent() {
            0 => told,
            n => format!(
                "the log does not say what was decided on {}; {told}",
                counted(n, "request")
            ),
        }
    }

    /// Of how many requests the log does not say what was decided.
    fn silent(&self) -> u64 {
        self.lines.requests.saturating_sub(self.against_log.compared)
    }

    /// Which counts may be too small.
    pub fn inexact(&self) -> Option<String> {
        let Errors { origins, names, changes } = self.error;
        let kinds = [
            (origins, "blocked origins"),
            (names, "methods and headers"),
            (changes, "differences from the log"),
        ];
        let inexact = kinds.into_iter().filter(|(error, _)| *error > 0).map(|(error, kind)| {
            format!(
                "There were so many different {kind} that counts of single ones may be too small, \
                 by {error} at most."
            )
        });
        let sentences: Vec<_> = inexact.collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }
}

impl PolicyReport {
    /// Its numbers.
    pub fn told(&self) -> String {
        let of = |name: &str| self.outcomes.get(name).copied().unwrap_or_default();
        let (own, none) = (of("same_origin"), of("not_cors"));
        let mode = if self.mode == "shadow" { " (shadow mode)" } else { "" };
        let own =
            if own > 0 { format!(", {own} from the gateway's own origin") } else { String::new() };
        let ambiguous = if self.ambiguous {
            "; no policy is for these requests, and their paths can be read in several ways"
        } else {
            ""
        };
        format!(
            "{} allowed, {} blocked{mode}{own}, {none} without Origin{ambiguous}",
            self.allowed, self.blocked
        )
    }

    pub fn unused_told(&self) -> String {
        format!("unused, {} of {}", self.unused.len(), count_entries(self.entries))
    }

    pub fn origins_told(&self, errors: &Errors) -> String {
        let shown = self.origins.len();
        let of = if shown < self.blocked_origins {
            let at_least = if errors.origins > 0 { "at least " } else { "" };
            format!(", {shown} of {at_least}{}", self.blocked_origins)
        } else {
            String::new()
        };
        format!("blocked origins{of}")
    }
}

fn count_entries(entries: usize) -> String {
    format!("{entries} {}", if entries == 1 { "entry" } else { "entries" })
}

impl Blocked {
    /// Where it was blocked.
    pub fn told(&self) -> String {
        let preflights = match self.preflights {
            0 => String::new(),
            n => format!("; {}", counted(n, "preflight")),
        };
        format!("{}{preflights}", paths(&self.paths, self.other_paths))
    }
}

impl Refused {
    pub fn told(&self) -> String {
        match (self.kind, self.name.as_str()) {
            (kind, "") => format!("a list of {kind}s that cannot be read"),
            (kind, name) => format!("{kind} {name}"),
        }
    }

    pub fn remedy(&self) -> String {
        match &self.field {
            Some(field) => format!("to allow it, add {:?} to {field}", self.name),
            None => "no browser sends this".to_owned(),
        }
    }

    pub fn paths_told(&self) -> String {
        paths(&self.paths, self.other_paths)
    }
}

impl Change {
    pub fn told(&self) -> String {
        let words = |label: &str| {
            if label.is_empty() { "not refused".to_owned() } else { label.to_owned() }
        };
        format!("now {}; the log says {}", words(&self.now), words(&self.log))
    }

    pub fn origins_told(&self) -> String {
        let origins = self.origins.iter().map(|OriginCount { origin, count, error }| {
            let at_least = if *error > 0 { "at least " } else { "" };
            format!("{origin} ({at_least}{count})")
        });
        let told: Vec<_> = origins.collect();
        format!("from {}", if told.is_empty() { "many origins".into() } else { told.join(", ") })
    }
}

impl Bars {
    /// The length of a period, and what is not drawn.
    pub fn told(&self) -> String {
        let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
        let unit = units.into_iter().find(|(length, _)| self.seconds % length == 0);
        let (length, noun) = unit.unwrap_or((1, "second"));
        let length = match self.seconds / length {
            1 => noun.to_owned(),
            n => format!("{n} {noun}s"),
        };
        let outside = match self.outside {
            0 => String::new(),
            n => format!("; {} far before or behind", counted(n, "request")),
        };
        format!("{length}, in UTC{outside}")
    }
}
