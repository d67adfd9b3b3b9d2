//! The report as one page: nothing to load, no scripts, everything escaped.

use std::io;

use askama::Template;

use super::outcome::Outcome;

/// Writes the page.
///
/// # Errors
///
/// What the writer says.
pub fn write(outcomes: &[Outcome], to: &mut impl io::Write) -> io::Result<()> {
    Page { outcomes, version: env!("CARGO_PKG_VERSION") }.write_into(to)?;
    writeln!(to)
}

/// It is well-formed XML as well.
#[derive(Template)]
#[template(
    ext = "html",
    whitespace = "minimize",
    source = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<title>CORS: what pages can do</title>
<style>
:root { --line: #c8c8c8; --soft: #595959; --good: #1a6b2f; --bad: #b3161b; --warn: #7a5200; --panel: #f5f5f5 }
@media (prefers-color-scheme: dark) {
  :root { --line: #4a4a4a; --soft: #a8a8a8; --good: #7fd394; --bad: #ff9a94; --warn: #e8bb5c; --panel: #242424 }
}
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; overflow-wrap: anywhere }
h1, h2, h3 { line-height: 1.2 }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem }
table { border-collapse: collapse; width: 100% }
caption { text-align: left; font-weight: bold; padding: .5rem 0 }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; border-top: 1px solid var(--line) }
pre { background: var(--panel); padding: .6rem .8rem; white-space: pre-wrap }
footer, .soft { color: var(--soft) }
.good { color: var(--good) }
.bad, .error { color: var(--bad) }
.warning { color: var(--warn) }
</style>
</head>
<body>
<header><h1>CORS: what pages can do</h1></header>
<main>
{% for outcome in outcomes %}
<section>
<h2>{{ outcome.name }}</h2>
{% if outcome.name != outcome.url %}<p>{{ outcome.url }}</p>{% endif %}
{% if let Some(error) = outcome.error %}
<p class="bad">Not probed: {{ error }}</p>
{% else %}
<p>{{ outcome.counts() }}</p>
{% if !outcome.pages.is_empty() %}
<table>
<caption>Pages that should be allowed</caption>
<thead><tr><th scope="col">Origin</th><th scope="col">Method</th><th scope="col">Allowed</th><th scope="col">What comes of it</th></tr></thead>
<tbody>
{% for page in outcome.pages %}
<tr>
<th scope="row">{{ page.origin }}{% if page.credentials %}<br/><span class="soft">with credentials</span>{% endif %}</th>
<td>{{ page.method }}</td>
{% if page.allowed %}<td class="good">yes</td>{% else %}<td class="bad">no</td>{% endif %}
<td>{{ page.told() }}
{% if let Some(age) = page.max_age %}<br/><span class="soft">{{ age.told() }}</span>{% endif %}
</td>
</tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% if outcome.strangers.tried > 0 %}
<p>Strangers: {{ outcome.strangers.tried }} origins tried, {{ outcome.strangers.allowed.len() }} allowed.</p>
{% endif %}
{% if !outcome.strangers.allowed.is_empty() %}
<table>
<caption>Strangers that are allowed</caption>
<thead><tr><th scope="col">Origin</th><th scope="col">With credentials</th></tr></thead>
<tbody>
{% for allowed in outcome.strangers.allowed %}
<tr><th scope="row">{{ allowed.origin }}</th><td>{% if allowed.credentials %}yes{% else %}no{% endif %}</td></tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% for found in outcome.findings %}
<article>
<h3><span class="{{ found.severity.name() }}">{{ found.severity.name() }}</span>: {{ found.message }}</h3>
{% for shown in found.exchanges %}
<pre>{% for (sign, line) in shown.lines() %}{{ sign }} {{ line }}
{% endfor %}</pre>
{% endfor %}
<p>{{ found.why }} <strong>To do:</strong> {{ found.remedy }}. <span class="soft">({{ found.rule }})</span></p>
</article>
{% endfor %}
{% endif %}
</section>
{% endfor %}
</main>
<footer><p>envoy-cors {{ version }}</p></footer>
</body>
</html>"#
)]
struct Page<'o> {
    outcomes: &'o [Outcome],
    version: &'static str,
}
