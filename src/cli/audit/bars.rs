//! The part of a log's time that is drawn, in periods that are wide enough.

use std::collections::BTreeMap;

use super::report::{Period, Timeline};
use super::timeline::longer;

/// Most bars beside each other: each has some pixels.
const MOST: i64 = 200;

/// Few requests at a wrong time do not make the picture: one in so many.
const FEW: u64 = 20;

/// Half of what is drawn in any case, in seconds.
const SHORT: i64 = 3_600;

/// Bars of a picture.
pub struct Bars {
    /// The length of a period, in seconds.
    pub seconds: i64,
    /// In order; where nothing happened, there is none.
    pub periods: Vec<Period>,
    /// So many requests are before the first bar or behind the last one.
    pub outside: u64,
}

impl Bars {
    pub fn new(timeline: &Timeline) -> Self {
        let (periods, outside) = without_outliers(&timeline.periods);
        let starts = periods.first().zip(periods.last());
        let range = starts.map_or(0, |(first, last)| last.start - first.start);
        let mut seconds = timeline.seconds;
        while range / seconds + 1 >= MOST {
            seconds = longer(seconds);
        }
        let mut joined = BTreeMap::<i64, Period>::new();
        for period in periods {
            let start = period.start.div_euclid(seconds) * seconds;
            let bar = joined.entry(start).or_insert(Period { start, allowed: 0, blocked: 0 });
            bar.allowed += period.allowed;
            bar.blocked += period.blocked;
        }
        Self { seconds, periods: joined.into_values().collect(), outside }
    }
}

/// Leaves out what is far from nearly everything: a clock that was wrong makes
/// one period in 1970. And how many requests that are.
fn without_outliers(periods: &[Period]) -> (&[Period], u64) {
    let requests = |periods: &[Period]| periods.iter().map(|p| p.allowed + p.blocked).sum::<u64>();
    let range = |periods: &[Period]| {
        periods.first().zip(periods.last()).map_or(0, |(first, last)| last.start - first.start)
    };
    let total = requests(periods);
    let outside = |part: &[Period]| total - requests(part);
    // Of many periods, few may be far away.
    let most = (periods.len() / 20).max(2);
    let cuts = (0..=most).flat_map(|left| (0..=most - left).map(move |right| (left, right)));
    let parts = cuts.filter_map(|(left, right)| {
        let part = periods.get(left..periods.len().checked_sub(right)?)?;
        let enough = !part.is_empty() && outside(part).saturating_mul(FEW) <= total;
        enough.then_some(part)
    });
    let parts: Vec<&[Period]> = parts.collect();
    let shortest = parts.iter().map(|part| range(part)).min().unwrap_or_default();
    // Of those that are about as short, the one that leaves out least.
    let near = parts.into_iter().filter(|part| range(part) / 2 <= shortest.max(SHORT));
    let part = near.min_by_key(|part| outside(part)).unwrap_or(periods);
    (part, outside(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    /// 2026-11-22.
    const START: i64 = 1_795_305_600;

    fn of(times: impl IntoIterator<Item = i64>) -> Bars {
        let period = |start| Period { start, allowed: 1, blocked: 1 };
        let periods = times.into_iter().map(period).collect();
        Bars::new(&Timeline { seconds: 60, periods })
    }

    #[test]
    fn periods_and_what_is_outside() {
        let minutes = |range: std::ops::Range<i64>| range.map(|n| START + n * 60);
        let week = |n: i64| START + n * 7 * DAY;
        for (case, bars, expected) in [
            ("nothing", of([]), (60, 0, 0)),
            ("one minute", of([START]), (60, 1, 0)),
            ("two hours", of(minutes(0..120)), (60, 120, 0)),
            ("five hours", of(minutes(0..300)), (300, 60, 0)),
            ("one in 50 minutes", of((0..200).map(|n| START + n * 3_000)), (HOUR, 166, 0)),
            ("one in a week", of((0..52).map(week)), (7 * DAY, 52, 0)),
            ("a clock at its start", of([0].into_iter().chain(minutes(0..120))), (60, 120, 2)),
            (
                "clocks on both sides",
                of([0].into_iter().chain(minutes(0..120)).chain([2 * START])),
                (60, 120, 4),
            ),
            ("two requests", of([0, START]), (16 * 7 * DAY, 2, 0)),
            ("not far away", of(minutes(0..120).chain([START + 3 * HOUR])), (60, 121, 0)),
            (
                "not few",
                of((0..20).map(week).chain((0..120).map(|n| week(20) + n * 60))),
                (DAY, 21, 0),
            ),
        ] {
            assert_eq!((bars.seconds, bars.periods.len(), bars.outside), expected, "{case}");
            let slots = bars.periods.first().zip(bars.periods.last());
            let slots = slots.map_or(0, |(first, last)| (last.start - first.start) / bars.seconds);
            assert!(slots < MOST, "{case}: {slots}");
        }
    }
}
