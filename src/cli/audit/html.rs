//! The report as one page: nothing to load, no scripts, everything escaped.

use std::io;

use askama::Template;

use super::bars::Bars;
use super::chart;
use super::report::Report;

/// Writes the page.
///
/// # Errors
///
/// What the writer says.
pub fn write(report: &Report, to: &mut impl io::Write) -> io::Result<()> {
    let bars = Bars::new(&report.timeline);
    let chart = chart::svg(&bars);
    let style = concat!(include_str!("../page.css"), include_str!("chart.css"));
    Page { report, bars, chart, style, version: env!("CARGO_PKG_VERSION") }.write_into(to)?;
    writeln!(to)
}

/// It is well-formed XML as well.
#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>CORS: what became of requests</title>
<style>
{{ style|safe }}</style>
</head>
<body>
<header><h1>CORS: what became of requests</h1></header>
<main>
<p>{{ report.told() }}</p>
{%- if let Some(told) = report.left_out() %}
<p class="soft">{{ told }}</p>
{%- endif %}
{%- for file in report.files %}
{%- if let Some(error) = file.error %}
<p class="bad">{{ file.name }}: {{ error }}</p>
{%- endif %}
{%- endfor %}
{%- if let Some(chart) = chart %}
<figure>
<div role="img" aria-label="Two charts: allowed and blocked requests over time">
{{ chart|safe }}</div>
<figcaption class="soft">Requests in each {{ bars.told() }}</figcaption>
</figure>
{%- endif %}
{%- for policy in report.policies %}
<section>
<h2>Policy {{ policy.name }}</h2>
<p>{{ policy.told() }}</p>
{%- if !policy.origins.is_empty() %}
<table>
<caption>{{ policy.origins_told(report.error)|capitalize }}</caption>
<thead><tr><th scope="col">Origin</th><th scope="col">Requests</th><th scope="col">Where</th><th scope="col">Closest entry</th></tr></thead>
<tbody>
{%- for blocked in policy.origins %}
<tr><th scope="row">{{ blocked.origin }}</th><td>{{ blocked.count }}</td><td>{{ blocked.told() }}</td><td>{% if let Some(near) = blocked.near %}{{ near.told() }}{% endif %}</td></tr>
{%- endfor %}
</tbody>
</table>
{%- endif %}
{%- if !policy.preflights.is_empty() %}
<table>
<caption>Preflights from allowed origins that were refused</caption>
<thead><tr><th scope="col">For</th><th scope="col">Requests</th><th scope="col">Where</th><th scope="col">Remedy</th></tr></thead>
<tbody>
{%- for refused in policy.preflights %}
<tr><th scope="row">{{ refused.told() }}</th><td>{{ refused.count }}</td><td>{{ refused.paths_told() }}</td><td>{{ refused.remedy() }}</td></tr>
{%- endfor %}
</tbody>
</table>
{%- endif %}
{%- if !policy.unused.is_empty() %}
<details>
<summary>{{ policy.unused_told()|capitalize }}</summary>
<ul>
{%- for entry in policy.unused %}
<li>{{ entry }}</li>
{%- endfor %}
</ul>
</details>
{%- endif %}
</section>
{%- endfor %}
<section>
<h2>Against the log</h2>
<p>{{ report.against_told()|capitalize }}</p>
{%- if !report.against_log.changes.is_empty() %}
<table>
<caption>Requests that the policy decides otherwise than the log says</caption>
<thead><tr><th scope="col">Difference</th><th scope="col">Requests</th><th scope="col">Origins</th></tr></thead>
<tbody>
{%- for change in report.against_log.changes %}
<tr><th scope="row">{{ change.told() }}</th><td>{{ change.count }}</td><td>{{ change.origins_told() }}</td></tr>
{%- endfor %}
</tbody>
</table>
{%- endif %}
</section>
{%- if report.uncovered > 0 %}
<p>No policy is for {{ report.uncovered }} of the requests.</p>
{%- endif %}
{%- if let Some(told) = report.inexact() %}
<p class="soft">{{ told }}</p>
{%- endif %}
</main>
<footer><p>envoy-cors {{ version }}</p></footer>
</body>
</html>"#
)]
struct Page<'r> {
    report: &'r Report,
    bars: Bars,
    chart: Option<String>,
    style: &'static str,
    version: &'static str,
}
