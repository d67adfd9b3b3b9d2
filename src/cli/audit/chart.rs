//! The picture of allowed and blocked requests over time, as SVG.

use jiff::Timestamp;
use plotters::prelude::*;

use super::report::{Period, Timeline};

/// The style of the page gives these colours another meaning in the dark.
const ALLOWED: RGBColor = RGBColor(0x1a, 0x6b, 0x2f);
const BLOCKED: RGBColor = RGBColor(0xb3, 0x16, 0x1b);

const SIZE: (u32, u32) = (960, 420);

/// Two charts, one above the other, since blocked requests are few beside the
/// allowed ones; `None` if there is nothing to show.
pub fn svg(timeline: &Timeline) -> Option<String> {
    let (first, last) = (timeline.periods.first()?, timeline.periods.last()?);
    let range = first.start..last.start + timeline.seconds;
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let (above, below) = root.split_vertically(i32::try_from(SIZE.1 / 2).ok()?);
        let draw = |area, name, color, count| bars(&area, name, color, timeline, &range, count);
        draw(above, "allowed", ALLOWED, |period| period.allowed)?;
        draw(below, "blocked", BLOCKED, |period| period.blocked)?;
        root.present().ok()?;
    }
    Some(svg)
}

type Area<'s> = DrawingArea<SVGBackend<'s>, plotters::coord::Shift>;

fn bars(
    area: &Area<'_>,
    name: &str,
    color: RGBColor,
    timeline: &Timeline,
    range: &std::ops::Range<i64>,
    count: fn(&Period) -> u64,
) -> Option<()> {
    let highest = timeline.periods.iter().map(count).max().unwrap_or_default().max(1);
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
        .x_label_formatter(&|seconds| label(*seconds))
        .label_style(("sans-serif", 13))
        .axis_desc_style(("sans-serif", 14))
        .draw()
        .ok()?;
    let bar = |period: &Period| {
        let end = period.start + timeline.seconds;
        Rectangle::new([(period.start, 0), (end, count(period))], color.filled())
    };
    let some = timeline.periods.iter().filter(|period| count(period) > 0);
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

fn label(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds);
    time.map(|time| time.strftime("%m-%d %H:%M").to_string()).unwrap_or_default()
}
