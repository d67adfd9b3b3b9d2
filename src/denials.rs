//! The denied-origin report: who was refused, by which policy, why and how
//! often, in bounded memory.
//!
//! The table is Space-Saving: Metwally, Agrawal and El Abbadi, "Efficient
//! Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005. Of
//! all denials together, whatever makes up more than one in [`CAPACITY`] is in
//! it, and no count is too small. Tables of several workers are merged as
//! "Mergeable Summaries" (Agarwal et al., PODS 2012) does.

use std::cmp::Reverse;
use std::fmt::Write;

use hashbrown::HashMap;

use crate::decision::Decision;

/// How many different denials are counted at a time.
pub const CAPACITY: usize = 128;

/// How many are in one report, the most frequent ones.
pub const REPORTED: usize = 20;

/// Longest text of a request that is kept, in bytes.
const LONGEST: usize = 128;

/// Denials and how often they happened.
#[derive(Default)]
pub struct Denials {
    /// By their fields, with tabs between them.
    tallies: HashMap<Box<str>, Tally>,
    /// Of all denials, counted exactly.
    total: u64,
}

#[derive(Clone, Copy)]
struct Tally {
    count: u64,
    /// By how much `count` may be too large.
    error: u64,
}

/// What a denial is known by. `refused` is the method or the header that a
/// preflight asked for in vain.
const FIELDS: [&str; 7] = ["mode", "policy", "outcome", "refused", "origin", "host", "path"];

impl Denials {
    /// Whether nobody was refused.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Counts a denial. Any bytes may come in.
    pub fn add(&mut self, decision: &Decision, host: &[u8], path: &[u8]) {
        let texts = [decision.refused(), decision.origin(), host, first_segments(path)];
        let [refused, origin, host, path] = texts.map(printable);
        let policy = decision.policy();
        let (mode, outcome) = (policy.mode().name(), decision.outcome().name());
        let key = [mode, policy.name(), outcome, &refused, &origin, &host, &path].join("\t");
        self.total += 1;
        self.count(&key, Tally { count: 1, error: 0 });
    }

    fn count(&mut self, key: &str, tally: Tally) {
        if let Some(known) = self.tallies.get_mut(key) {
            known.count += tally.count;
            known.error += tally.error;
            return;
        }
        let mut floor = 0;
        if self.tallies.len() >= CAPACITY
            && let Some(rarest) = self.rarest()
        {
            floor = self.tallies.remove(&rarest).map_or(0, |tally| tally.count);
        }
        let tally = Tally { count: tally.count + floor, error: tally.error + floor };
        self.tallies.insert(key.into(), tally);
    }

    fn rarest(&self) -> Option<Box<str>> {
        self.tallies.iter().min_by_key(|(_, tally)| tally.count).map(|(key, _)| key.clone())
    }

    /// Adds the denials that [`Denials::to_text`] wrote elsewhere; lines of
    /// another form are skipped.
    pub fn merge(&mut self, text: &str) {
        let mut lines = text.lines();
        self.total += lines.next().and_then(|total| total.parse::<u64>().ok()).unwrap_or_default();
        for line in lines {
            let mut parts = line.splitn(3, '\t');
            let mut number = || parts.next()?.parse().ok();
            if let (Some(count), Some(error), Some(key)) = (number(), number(), parts.next()) {
                self.count(key, Tally { count, error });
            }
        }
    }

    /// The denials in a form that another VM can read.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!("{}\n", self.total);
        for (key, Tally { count, error }) in &self.tallies {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{count}\t{error}\t{key}");
        }
        text
    }

    /// The report, one line of JSON.
    #[must_use]
    pub fn report(&self) -> String {
        let mut left: Vec<_> = self.tallies.iter().collect();
        let mut line = format!("{{\"envoy_cors\":\"denied\",\"total\":{},\"denied\":[", self.total);
        for index in 0..REPORTED {
            // Sorting all of them would bring 11 KiB of code into the module.
            let next = left
                .iter()
                .enumerate()
                .max_by_key(|(_, (key, tally))| (tally.count, Reverse(*key)));
            let Some((place, _)) = next else { break };
            let (key, Tally { count, error }) = left.swap_remove(place);
            line.push_str(if index == 0 { "{" } else { ",{" });
            // Names are safe, and `printable` leaves nothing to escape.
            for (field, value) in FIELDS.iter().zip(key.split('\t')).filter(|(_, v)| !v.is_empty())
            {
                let _ = write!(line, "\"{field}\":\"{value}\",");
            }
            let _ = write!(line, "\"count\":{count}");
            if *error > 0 {
                let _ = write!(line, ",\"error\":{error}");
            }
            line.push('}');
        }
        line.push_str("]}");
        line
    }
}

/// The first two segments of a path: what is behind them are names of things
/// rather than of endpoints, and a query may hold secrets.
#[must_use]
pub fn first_segments(path: &[u8]) -> &[u8] {
    let path = path.split(|b| matches!(b, b'?' | b'#')).next().unwrap_or_default();
    let third_slash = path.iter().enumerate().filter(|(_, b)| **b == b'/').nth(2);
    third_slash.and_then(|(index, _)| path.get(..index)).unwrap_or(path)
}

/// A text that is safe in a log and in a JSON string, and of bounded length:
/// printable ASCII but for quotation mark and backslash, all else
/// percent-encoded.
#[must_use]
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        if text.len() >= LONGEST {
            text.push_str("...");
            break;
        }
        match byte {
            b'"' | b'\\' | ..b' ' | 0x7f.. => {
                let _ = write!(text, "%{byte:02X}");
            }
            _ => text.push(char::from(byte)),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_requests_are_made_safe() {
        let long = "a".repeat(60_000);
        for (bytes, text) in [
            (&b""[..], ""),
            (b"https://app.example.com", "https://app.example.com"),
            (b"https://a\"b\\c\td\x1b[31m\x7f", "https://a%22b%5Cc%09d%1B[31m%7F"),
            (
                "https://b\u{fc}cher.example\u{202e}".as_bytes(),
                "https://b%C3%BCcher.example%E2%80%AE",
            ),
            (b"\xff\x00\r\n{}", "%FF%00%0D%0A{}"),
            (long.as_bytes(), &format!("{}...", "a".repeat(LONGEST))),
        ] {
            assert_eq!(printable(bytes), text);
        }
    }

    #[test]
    fn paths_are_cut_behind_two_segments() {
        for (path, first) in [
            ("", ""),
            ("*", "*"),
            ("/", "/"),
            ("/a", "/a"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b"),
            ("/a/b/c/d", "/a/b"),
            ("/a?token=/x/y/z", "/a"),
            ("/a/b/c#d", "/a/b"),
            ("//a/b", "//a"),
        ] {
            assert_eq!(first_segments(path.as_bytes()), first.as_bytes(), "{path}");
        }
    }

    fn one(count: u64) -> Tally {
        Tally { count, error: 0 }
    }

    /// The guarantees of the algorithm, for one table and for merged ones.
    #[test]
    fn frequent_ones_stay_among_ten_thousand_others() {
        let mut workers = [Denials::default(), Denials::default()];
        for n in 0..20_000_u64 {
            let worker = &mut workers[usize::try_from(n % 2).unwrap()];
            worker.total += 2;
            worker.count(&format!("once {n}"), one(1));
            worker.count(if n % 3 == 0 { "often" } else { "most often" }, one(1));
            assert!(worker.tallies.len() <= CAPACITY);
        }
        let [mut all, other] = workers;
        all.merge(&other.to_text());
        assert_eq!(all.total, 40_000);
        assert_eq!(all.tallies.len(), CAPACITY);
        for (key, times) in [("often", 6_667), ("most often", 13_333)] {
            let Tally { count, error } = all.tallies[key];
            assert!(count >= times && count - error <= times, "{key}: {count} - {error}");
        }
        let mut counts: Vec<_> = all.tallies.iter().map(|(key, t)| (t.count, &**key)).collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!([counts[0].1, counts[1].1], ["most often", "often"]);
    }

    #[test]
    fn what_was_written_is_read_again() {
        let mut denials = Denials { total: 5, ..Denials::default() };
        denials.count("enforce\tdefault\tactual_denied\t\ta\tb\tc", one(3));
        denials
            .count("shadow\tx\tpreflight_denied_headers\tx-a\t\t\t", Tally { count: 2, error: 1 });
        let mut again = Denials::default();
        again.merge(&denials.to_text());
        assert_eq!(again.report(), denials.report());
        assert_eq!(
            again.report(),
            r#"{"envoy_cors":"denied","total":5,"denied":[{"mode":"enforce","policy":"default","outcome":"actual_denied","origin":"a","host":"b","path":"c","count":3},{"mode":"shadow","policy":"x","outcome":"preflight_denied_headers","refused":"x-a","count":2,"error":1}]}"#
        );
        for text in ["", "x", "\n1\t2", "-1\n-1\t0\ta", "1\n1\tx\ta\n\n"] {
            let mut denials = Denials::default();
            denials.merge(text);
            assert!(denials.tallies.is_empty(), "{text:?}");
        }
    }
}
