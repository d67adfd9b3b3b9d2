//! The report for people, in a terminal or a file.

use std::io::{self, Write};

use super::report::{
    AgainstLog, Blocked, Change, PathCount, PolicyReport, Refused, Report, Timeline,
};

/// Most unused entries of a policy that are named here.
const UNUSED: usize = 50;

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
        write_policy(policy, to)?;
    }
    if report.uncovered > 0 {
        writeln!(to, "\nno policy: {}", counted(report.uncovered, "request"))?;
    }
    write_changes(&report.against_log, to)?;
    if let Some(told) = report.inexact() {
        writeln!(to, "\n{told}")?;
    }
    Ok(())
}

fn write_policy(policy: &PolicyReport, to: &mut impl Write) -> io::Result<()> {
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
        writeln!(to, "  {}:", policy.origins_told())?;
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
        writeln!(to, "             {}", paths(&refused.paths))?;
    }
    Ok(())
}

fn write_changes(against: &AgainstLog, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "\n{}", against.told())?;
    for change in &against.changes {
        writeln!(to, "  {:>9}  {}", change.count, change.told())?;
        writeln!(to, "             {}", change.origins_told())?;
    }
    Ok(())
}

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn paths(paths: &[PathCount]) -> String {
    let paths: Vec<_> = paths.iter().map(|p| format!("{} ({})", p.path, p.count)).collect();
    format!("on {}", paths.join(", "))
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

    /// Whether some counts are too small.
    pub fn inexact(&self) -> Option<String> {
        (self.error > 0).then(|| {
            format!(
                "There were so many different origins that counts of single ones may be too small, \
                 by {} at most.",
                self.error
            )
        })
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

    pub fn origins_told(&self) -> String {
        let shown = self.origins.len();
        let of = if shown < self.blocked_origins {
            format!(", {shown} of {}", self.blocked_origins)
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
        format!("{}{preflights}", paths(&self.paths))
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
        paths(&self.paths)
    }
}

impl AgainstLog {
    /// What the policy would have done otherwise.
    pub fn told(&self) -> String {
        if self.compared == 0 {
            return "the log does not say what was decided".to_owned();
        }
        if self.changes.is_empty() {
            return "the log says the same of every request".to_owned();
        }
        let (refused, allowed, otherwise) =
            (self.newly_refused, self.newly_allowed, self.otherwise);
        format!(
            "against the log: {refused} newly refused, {allowed} no longer refused, {otherwise} \
             otherwise different"
        )
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
        let origins: Vec<_> =
            self.origins.iter().map(|o| format!("{} ({})", o.origin, o.count)).collect();
        format!("from {}", origins.join(", "))
    }
}

impl Timeline {
    /// The length of a period.
    pub fn told(&self) -> String {
        let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
        let unit = units.into_iter().find(|(length, _)| self.seconds % length == 0);
        let (length, noun) = unit.unwrap_or((1, "second"));
        match self.seconds / length {
            1 => noun.to_owned(),
            n => format!("{n} {noun}s"),
        }
    }
}
