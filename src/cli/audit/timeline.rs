//! How many requests were allowed and blocked, over the time of a log.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Most periods that are kept. More of them are joined into longer ones.
const MOST: usize = 300;

/// Lengths of a period, in seconds; beyond them they double.
const LENGTHS: [i64; 10] =
    [60, 300, 900, 1_800, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600, 86_400, 7 * 86_400];

/// Numbers of requests in periods of the same length.
pub struct Timeline {
    length: i64,
    /// By the start of a period, in seconds since 1970, over its length.
    periods: BTreeMap<i64, Period>,
    first: Option<i64>,
    last: Option<i64>,
    /// Times of the same minute are alike in their first bytes.
    minute: ([u8; MINUTE], i64),
}

/// `2026-11-22T18:29:`
const MINUTE: usize = 17;

/// What happened in a period.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Period {
    pub allowed: u64,
    pub blocked: u64,
}

impl Default for Timeline {
    fn default() -> Self {
        let periods = BTreeMap::new();
        Self { length: LENGTHS[0], periods, first: None, last: None, minute: ([0; MINUTE], 0) }
    }
}

impl Timeline {
    /// Counts a request that was `blocked`, or allowed; `None` if it needed no
    /// permission. Nothing happens where the time cannot be read.
    pub fn add(&mut self, time: &str, blocked: Option<bool>) -> bool {
        let Some(seconds) = self.seconds(time) else { return false };
        self.first = Some(self.first.map_or(seconds, |first| first.min(seconds)));
        self.last = Some(self.last.map_or(seconds, |last| last.max(seconds)));
        let Some(blocked) = blocked else { return true };
        let period = self.periods.entry(seconds.div_euclid(self.length)).or_default();
        *(if blocked { &mut period.blocked } else { &mut period.allowed }) += 1;
        while self.periods.len() > MOST {
            self.lengthen();
        }
        true
    }

    /// Seconds since 1970, in UTC times to the minute.
    fn seconds(&mut self, time: &str) -> Option<i64> {
        let minute = time.as_bytes().first_chunk::<MINUTE>().filter(|_| time.ends_with('Z'));
        if minute.is_some_and(|minute| *minute == self.minute.0) {
            return Some(self.minute.1);
        }
        let seconds = match time.parse::<Timestamp>() {
            Ok(time) => time.as_second(),
            Err(_) => from_number(time)?,
        };
        if let Some(minute) = minute {
            self.minute = (*minute, seconds - seconds.rem_euclid(60));
        }
        Some(seconds)
    }

    fn lengthen(&mut self) {
        let longer = longer(self.length);
        let mut periods = BTreeMap::<i64, Period>::new();
        for (start, period) in &self.periods {
            let joined = periods.entry((start * self.length).div_euclid(longer)).or_default();
            joined.allowed += period.allowed;
            joined.blocked += period.blocked;
        }
        self.length = longer;
        self.periods = periods;
    }

    /// The length of a period, in seconds.
    pub fn length(&self) -> i64 {
        self.length
    }

    /// The times of the first and the last request, within a minute.
    pub fn range(&self) -> Option<(Timestamp, Timestamp)> {
        let time = |seconds| Timestamp::from_second(seconds).ok();
        time(self.first?).zip(time(self.last?))
    }

    /// All periods in order, from the first to the last one in which something
    /// happened; gaps are left out. With each comes its start in seconds.
    pub fn periods(&self) -> impl DoubleEndedIterator<Item = (i64, Period)> {
        self.periods.iter().map(|(start, period)| (start * self.length, *period))
    }
}

/// The next length of a period, in seconds.
pub fn longer(length: i64) -> i64 {
    LENGTHS.into_iter().find(|longer| *longer > length).unwrap_or(length.saturating_mul(2))
}

/// Seconds or milliseconds since 1970.
fn from_number(text: &str) -> Option<i64> {
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    let seconds = if number.abs() >= 1e11 { number / 1e3 } else { number };
    // Where this rounds or saturates, the time is none.
    #[allow(clippy::cast_possible_truncation)]
    let seconds = seconds.floor() as i64;
    Timestamp::from_second(seconds).ok().map(Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_several_spellings() {
        for (time, seconds) in [
            ("2026-11-22T18:29:05.123Z", Some(1_795_372_145)),
            ("2026-11-22T19:29:05+01:00", Some(1_795_372_145)),
            ("1795372145", Some(1_795_372_145)),
            ("1795372145.9", Some(1_795_372_145)),
            ("1795372145900", Some(1_795_372_145)),
            ("-1", Some(-1)),
            ("22/Nov/2026:18:29:05 +0000", None),
            ("", None),
            ("NaN", None),
            ("1e300", None),
            ("2026-11-22T18:29:99Z", None),
        ] {
            assert_eq!(Timeline::default().seconds(time), seconds, "{time}");
        }
    }

    #[test]
    fn periods_grow_with_the_time_of_the_log() {
        let mut timeline = Timeline::default();
        for day in 1..=20 {
            for hour in 0..24 {
                for minute in 0..60 {
                    let time = format!("2026-11-{day:02}T{hour:02}:{minute:02}:30Z");
                    assert!(timeline.add(&time, Some(minute == 0)));
                }
            }
        }
        assert_eq!(timeline.length(), 3 * 3_600);
        let periods: Vec<_> = timeline.periods().collect();
        assert_eq!(periods.len(), 160);
        assert!(periods.iter().all(|(_, period)| *period == Period { allowed: 177, blocked: 3 }));
        let (first, last) = timeline.range().unwrap();
        assert_eq!(first.to_string(), "2026-11-01T00:00:30Z");
        assert_eq!(last.to_string(), "2026-11-20T23:59:30Z");
    }
}
