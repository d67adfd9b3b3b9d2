//! The report as one page: nothing to load, no scripts, everything escaped.

use std::io;

use askama::Template;

use super::compare::Comparison;
use super::outcome::Outcome;

/// Writes the page.
///
/// # Errors
///
/// What the writer says.
pub fn write(outcomes: &[Outcome], to: &mut impl io::Write) -> io::Result<()> {
    write_page("CORS: what pages can do", outcomes, None, to)
}

/// Writes the same of a comparison.
///
/// # Errors
///
/// What the writer says.
pub fn write_comparison(comparison: &Comparison, to: &mut impl io::Write) -> io::Result<()> {
    write_page("CORS: what differs", &[], Some(comparison), to)
}

fn write_page(
    title: &str,
    outcomes: &[Outcome],
    comparison: Option<&Comparison>,
    to: &mut impl io::Write,
) -> io::Result<()> {
    let style = include_str!("../page.css");
    let version = env!("CARGO_PKG_VERSION");
    Page { title, outcomes, comparison, style, version }.write_into(to)?;
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
<title>{{ title }}</title>
<style>
{{ style|safe }}</style>
</head>
<body>
<header><h1>{{ title }}</h1></header>
<main>
{%- if let Some(comparison) = comparison %}
<p>{{ comparison.summary() }}</p>
{%- for failed in comparison.errors() %}
<p class="bad">{{ failed.url }}: {{ failed.error }}</p>
{%- endfor %}
{%- if comparison.differences().next().is_some() %}
<table>
<caption>Answers that differ</caption>
<thead><tr><th scope="col">Endpoint</th><th scope="col">Who asks what</th><th scope="col">Answer</th>
{%- for base in comparison.bases %}<th scope="col">{{ base }}</th>{% endfor %}</tr></thead>
<tbody>
{%- for (name, difference) in comparison.differences() %}
<tr><th scope="row">{{ name }}</th><td>{{ difference.subject }}</td><td>{{ difference.field }}</td>
{%- for answer in difference.answers %}<td>{{ answer }}</td>{% endfor %}</tr>
{%- endfor %}
</tbody>
</table>
{%- endif %}
{%- endif %}
{%- for outcome in outcomes %}
<section>
<h2>{{ outcome.name }}</h2>
{%- if outcome.name != outcome.url %}<p>{{ outcome.url }}</p>{% endif %}
{%- if let Some(error) = outcome.error %}
<p class="bad">Not probed: {{ error }}</p>
{%- else %}
<p>{{ outcome.counts() }}</p>
{%- if !outcome.pages.is_empty() %}
<table>
<caption>Pages that should be allowed</caption>
<thead><tr><th scope="col">Origin</th><th scope="col">Method</th><th scope="col">Allowed</th><th scope="col">What comes of it</th></tr></thead>
<tbody>
{%- for page in outcome.pages %}
<tr>
<th scope="row">{{ page.origin }}{% if page.credentials %}<br/><span class="soft">with credentials</span>{% endif %}</th>
<td>{{ page.method }}</td>
{%- if page.allowed %}<td class="good">yes</td>{% else %}<td class="bad">no</td>{% endif %}
<td>{{ page.told() }}
{%- if let Some(age) = page.max_age %}<br/><span class="soft">{{ age.told() }}</span>{% endif %}
</td>
</tr>
{%- endfor %}
</tbody>
</table>
{%- endif %}
{%- if outcome.strangers.tried > 0 %}
<p>Strangers: {{ outcome.strangers.tried }} origins tried, {{ outcome.strangers.allowed.len() }} allowed.</p>
{%- endif %}
{%- if !outcome.strangers.allowed.is_empty() %}
<table>
<caption>Strangers that are allowed</caption>
<thead><tr><th scope="col">Origin</th><th scope="col">With credentials</th></tr></thead>
<tbody>
{%- for allowed in outcome.strangers.allowed %}
<tr><th scope="row">{{ allowed.origin }}</th><td>{% if allowed.credentials %}yes{% else %}no{% endif %}</td></tr>
{%- endfor %}
</tbody>
</table>
{%- endif %}
{%- for found in outcome.findings %}
<article>
<h3><span class="{{ found.severity.name() }}">{{ found.severity.name() }}</span>: {{ found.message }}</h3>
{%- for shown in found.exchanges %}
<pre>{% for (sign, line) in shown.lines() %}{{ sign }} {{ line }}
{% endfor %}</pre>
{%- endfor %}
<p>{{ found.why }} <strong>To do:</strong> {{ found.remedy }}. <span class="soft">({{ found.rule }})</span></p>
</article>
{%- endfor %}
{%- endif %}
</section>
{%- endfor %}
</main>
<footer><p>envoy-cors {{ version }}</p></footer>
</body>
</html>"#
)]
struct Page<'o> {
    title: &'o str,
    outcomes: &'o [Outcome],
    comparison: Option<&'o Comparison>,
    style: &'static str,
    version: &'static str,
}
