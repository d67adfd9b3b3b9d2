//! The picture of allowed and blocked requests over time, as SVG.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use plotters::prelude::*;

use super::bars::Bars;
use super::report::Period;

/// The style of the page gives these colours another meaning in the dark.
const ALLOWED: RGBColor = RGBColor(0x1a, 0x6b, 0x2f);
const BLOCKED: RGBColor = RGBColor(0xb3, 0x16, 0x1b);

const SIZE: (u32, u32) = (960, 420);

/// Two charts, one above the other, since blocked requests are few beside the
/// allowed ones; `None` if there is nothing to show.
pub fn svg(bars: &Bars) -> Option<String> {
    let (first, last) = (bars.periods.first()?, bars.periods.last()?);
    let range = first.start..last.start + bars.seconds;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let (above, below) = root.split_vertically(i32::try_from(SIZE.1 / 2).ok()?);
        let of = |area, name, color, count| draw(&area, name, color, bars, &range, count);
        of(above, "allowed", ALLOWED, |period| period.allowed)?;
        of(below, "blocked", BLOCKED, |period| period.blocked)?;
        root.present().ok()?;
    }
    Some(svg)
}

type Area<'s> = DrawingArea<SVGBackend<'s>, plotters::coord::Shift>;

fn draw(
    area: &Area<'_>,
    name: &str,
    color: RGBColor,
    bars: &Bars,
    range: &std::ops::Range<i64>,
    count: fn(&Period) -> u64,
) -> Option<()> {
    let highest = bars.periods.iter().map(count).max().unwrap_or_default().max(1);
    let mut chart = ChartBuilder::on(area)
        .margin(10)
        .margin_right(60)
        .x_label_area_size(25)
        .y_label_area_size(80)
        .build_cartesian_2d(range.clone().with_key_points(round_times(range)), 0..highest)
        .ok()?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(10)
        .y_labels(4)
        .y_desc(name)
        .x_label_formatter(&|seconds| label(*seconds, range))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .draw()
        .ok()?;
    let bar = |period: &Period| {
        let end = period.start + bars.seconds;
        Rectangle::new([(period.start, 0), (end, count(period))], color.filled())
    };
    let some = bars.periods.iter().filter(|period| count(period) > 0);
    chart.draw_series(some.map(bar)).ok()?;
    Some(())
}

/// Most labels of the time axis.
const MOST_LABELS: i64 = 7;

/// Times between which there is a round number of minutes, hours or days.
fn round_times(range: &std::ops::Range<i64>) -> Vec<i64> {
    const HOUR: i64 = 3_600;
    let steps = [60, 300, 900, 1_800, HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR].into_iter();
    let days = std::iter::successors(Some(24 * HOUR), |step| step.checked_mul(2));
    let fits = |step: &i64| (range.end - range.start) / step < MOST_LABELS;
    let step = steps.chain(days).find(fits).unwrap_or(i64::MAX);
    let first = range.start.div_euclid(step) * step;
    (0..=MOST_LABELS)
        .filter_map(|n| first.checked_add(step.checked_mul(n)?))
        .filter(|time| range.contains(time))
        .collect()
}

/// With the year where the others do not tell it, without the time of day where
/// it is the same.
fn label(seconds: i64, range: &std::ops::Range<i64>) -> String {
    const DAY: i64 = 86_400;
    let of =
        |seconds| Timestamp::from_second(seconds).ok().map(|time| time.to_zoned(TimeZone::UTC));
    let Some(time) = of(seconds) else { return String::new() };
    let one_year = of(range.start).zip(of(range.end)).is_some_and(|(a, b)| a.year() == b.year());
    let form = match range.end - range.start {
        // Labels are whole days from here on.
        length if length >= MOST_LABELS * DAY => "%Y-%m-%d",
        _ if one_year => "%m-%d %H:%M",
        _ => "%Y-%m-%d %H:%M",
    };
    time.strftime(form).to_string()
}
