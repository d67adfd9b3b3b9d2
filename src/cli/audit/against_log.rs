//! How decisions compare with those that a log tells of.

use envoy_cors::Decision;
use envoy_cors::config::Mode;

use super::frequent::{Entry, Frequent};
use super::key::{Key, parts};
use super::record::{Field, Record};
use super::tally::TABLE;

/// The comparison of all requests of a log.
pub struct AgainstLog {
    told: Counts,
    /// Of requests whose response code details would not tell of the refusal.
    silent: Counts,
    /// Whether a line has the key of the filter state, which tells of each.
    tells_all: bool,
    /// By what the log says, what is decided now, and whether it is silent.
    changes: Frequent,
    /// By these, and the origin.
    origins: Frequent,
    key: Key,
}

/// How many requests are decided as before, and how many otherwise.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    /// Requests of which the log says whether they were refused.
    pub compared: u64,
    /// Refused now, and not then.
    pub newly_refused: u64,
    /// Refused then, and not now.
    pub newly_allowed: u64,
    /// Refused both times or neither, by another policy or for another reason.
    pub otherwise: u64,
}

impl Default for AgainstLog {
    fn default() -> Self {
        Self {
            told: Counts::default(),
            silent: Counts::default(),
            tells_all: false,
            changes: Frequent::new(TABLE),
            // A few of them are told.
            origins: Frequent::new(TABLE / 8),
            key: Key::default(),
        }
    }
}

impl AgainstLog {
    /// Compares what is decided on a request now with what the log says of it.
    /// `denied` is a denial and what a log calls it.
    pub fn compare(&mut self, denied: Option<(&Decision, &str)>, record: &Record<'_>) {
        let tells_all = record.has(Field::Denied);
        self.tells_all |= tells_all;
        if !tells_all && !record.has(Field::Details) {
            return;
        }
        let enforced = denied.is_some_and(|(d, _)| d.policy().mode() == Mode::Enforce);
        let then = Then::of(record);
        // Details tell of the filter's own answers alone.
        let silent = !tells_all
            && matches!(then, Then::Nothing)
            && denied.is_some_and(|(decision, _)| decision.reply().is_none());
        let counts = if silent { &mut self.silent } else { &mut self.told };
        counts.compared += 1;
        let (_, label) = denied.unzip();
        let label = label.unwrap_or_default();
        if then.is(label) {
            return;
        }
        *match (then.is_refusal(), enforced) {
            (false, true) => &mut counts.newly_refused,
            (true, false) => &mut counts.newly_allowed,
            _ => &mut counts.otherwise,
        } += 1;
        let origin = record.get(Field::Origin).unwrap_or_default();
        let kind = if silent { SILENT } else { TOLD };
        let [log, now] = [then.label(), label].map(str::as_bytes);
        self.changes.add(self.key.of(&[kind, log, now]), 1);
        self.origins.add(self.key.of(&[kind, log, now, origin.as_bytes()]), 1);
    }

    /// The numbers. A log that has the filter state leaves it out of lines where
    /// it is empty, if it leaves out what is empty.
    pub fn counts(&self) -> Counts {
        let Self { told, silent, .. } = self;
        if !self.tells_all {
            return *told;
        }
        Counts {
            compared: told.compared + silent.compared,
            newly_refused: told.newly_refused + silent.newly_refused,
            newly_allowed: told.newly_allowed + silent.newly_allowed,
            otherwise: told.otherwise + silent.otherwise,
        }
    }

    fn is_counted(&self, kind: &[u8]) -> bool {
        self.tells_all || kind == TOLD
    }

    /// What the log says and what is decided now, where they differ.
    pub fn changes(&self) -> impl Iterator<Item = ([&[u8]; 2], &Entry<()>)> {
        self.changes.iter().filter_map(|(key, entry)| {
            let [kind, log, now] = parts(key)?;
            self.is_counted(kind).then_some(([log, now], entry))
        })
    }

    /// The same for each origin.
    pub fn origins(&self) -> impl Iterator<Item = ([&[u8]; 2], &[u8], &Entry<()>)> {
        self.origins.iter().filter_map(|(key, entry)| {
            let [kind, log, now, origin] = parts(key)?;
            self.is_counted(kind).then_some(([log, now], origin, entry))
        })
    }

    /// By how much the counts of changes may be too small.
    pub fn error(&self) -> u64 {
        self.changes.error()
    }
}

const TOLD: &[u8] = b"told";
const SILENT: &[u8] = b"silent";

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

    /// Whether it is what is decided now. Policies that only watch answer
    /// nothing, so that no details tell of them.
    fn is(&self, label: &str) -> bool {
        match self {
            Self::Label(then) => *then == label,
            Self::Details(outcome) => {
                let enforced = label.strip_prefix("policy.");
                enforced.and_then(|label| label.rsplit('.').next()) == Some(*outcome)
            }
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
