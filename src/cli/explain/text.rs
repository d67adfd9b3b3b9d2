//! An explanation for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use envoy_cors::browser::{self, Browser, Credentials, Response, ResponseType, max_age};
use envoy_cors::config::Mode;
use envoy_cors::header::response;

use super::change::{Instead, Part, Remedy};
use super::checks::{Check, recognised};
use super::course::{End, Exchange, Lines};
use super::edit::{Edit, What};
use super::explanation::Explanation;
use super::selection::name;
use super::source::Source;

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Writes an explanation, from the request to the remedy.
///
/// # Errors
///
/// What the writer says.
pub fn write(
    explanation: &Explanation<'_>,
    source: &Source<'_>,
    to: &mut impl Write,
) -> io::Result<()> {
    write_page(explanation, to)?;
    write_policy(explanation, source, to)?;
    if let Some(preflight) = &explanation.course.preflight {
        writeln!(to, "\n{HEADING}Preflight{HEADING:#}, for the browser asks first")?;
        write_exchange(explanation, preflight, true, to)?;
    }
    if let Some(actual) = &explanation.course.actual {
        writeln!(to, "\n{HEADING}Request{HEADING:#}")?;
        write_exchange(explanation, actual, false, to)?;
    }
    write_end(explanation, to)?;
    write_remedy(explanation, source, to)
}

fn write_page(explanation: &Explanation<'_>, to: &mut impl Write) -> io::Result<()> {
    let asked = explanation.asked;
    let request = &asked.request;
    let credentials = match request.credentials {
        Credentials::Include => ", with credentials",
        Credentials::SameOrigin | Credentials::Omit => "",
    };
    let (page, method, url) = (&request.page, safe(request.sent_method()), &asked.url);
    writeln!(to, "A {HEADING}page{HEADING:#} of {page} asks {method} {url}{credentials}")?;
    for (name, value) in &request.headers {
        writeln!(to, "  {}: {}", safe(name), value.escape_ascii())?;
    }
    let dropped: Vec<_> = request.dropped_headers().collect();
    if !dropped.is_empty() {
        writeln!(to, "  (the browser does not let a page set {})", safe(&dropped.join(", ")))?;
    }
    asked.notes.iter().try_for_each(|note| writeln!(to, "  ({})", safe(note)))
}

fn write_policy(
    explanation: &Explanation<'_>,
    source: &Source<'_>,
    to: &mut impl Write,
) -> io::Result<()> {
    let Some(selection) = &explanation.selection else { return Ok(()) };
    match selection.policy {
        Some(policy) => {
            let (name, place) = (name(policy), source.place(&policy.at));
            let environment =
                explanation.environment.map(|name| format!(", environment {}", safe(name)));
            let environment = environment.unwrap_or_default();
            let shadow = if policy.mode == Mode::Shadow { ", mode shadow" } else { "" };
            writeln!(to, "\n{HEADING}Policy{HEADING:#} {name} ({place}{environment}{shadow})")?;
        }
        None => writeln!(to, "\n{HEADING}No policy{HEADING:#}")?,
    }
    selection.because.iter().try_for_each(|clause| writeln!(to, "  {}", safe(clause)))
}

fn write_exchange(
    explanation: &Explanation<'_>,
    exchange: &Exchange,
    is_preflight: bool,
    to: &mut impl Write,
) -> io::Result<()> {
    write_sent(&exchange.sent, to)?;
    if let Some(decision) = &exchange.decision {
        writeln!(to, "  The gateway takes it for {}", recognised(decision.outcome()))?;
        write_checks(&explanation.gateway(exchange), to)?;
        writeln!(to, "    -> {}", decision.label())?;
    }
    writeln!(to, "  {}", answered_by(exchange))?;
    write_response(exchange, to)?;
    let checks = explanation.browser(exchange, is_preflight);
    let lead = match explanation.asked.request.mode {
        _ if !checks.is_empty() => "The browser checks",
        browser::Mode::NoCors => "The browser checks nothing in mode no-cors",
        _ => "The browser checks nothing, for the page asks its own origin",
    };
    writeln!(to, "  {lead}")?;
    write_checks(&checks, to)?;
    if is_preflight && checks.iter().all(|check| check.passed) {
        write_max_age(&exchange.response, to)?;
    }
    Ok(())
}

fn write_sent(sent: &Lines, to: &mut impl Write) -> io::Result<()> {
    let pseudo = |name: &str| {
        let line = sent.iter().find(|(other, _)| other == name);
        line.map(|(_, value)| value.escape_ascii().to_string()).unwrap_or_default()
    };
    writeln!(to, "  > {} {}", pseudo(":method"), pseudo(":path"))?;
    writeln!(to, "  > host: {}", pseudo(":authority"))?;
    for (name, value) in sent.iter().filter(|(name, _)| !name.starts_with(':')) {
        writeln!(to, "  > {name}: {}", value.escape_ascii())?;
    }
    Ok(())
}

fn answered_by(exchange: &Exchange) -> String {
    const UPSTREAM: &str = "upstream answers, here with 200 and nothing about CORS";
    match (exchange.details, &exchange.decision) {
        (Some(details), _) => format!("It answers by itself ({details})"),
        (None, None) => format!("The gateway touches nothing; {UPSTREAM}"),
        (None, Some(decision)) if decision.policy().mode() == Mode::Shadow => {
            format!("It counts that, and touches nothing; {UPSTREAM}")
        }
        _ => format!("It forwards it; {UPSTREAM}"),
    }
}

fn write_response(exchange: &Exchange, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "  < {}", exchange.response.status)?;
    for (name, value) in &exchange.response.headers {
        writeln!(to, "  < {name}: {}", value.escape_ascii())?;
    }
    if !exchange.removed.is_empty() {
        writeln!(to, "  < without {}", exchange.removed.join(", "))?;
    }
    Ok(())
}

fn write_checks(checks: &[Check], to: &mut impl Write) -> io::Result<()> {
    for Check { name, passed, because } in checks {
        let (style, mark) = if *passed { (GOOD, "ok") } else { (BAD, "NO") };
        writeln!(to, "    {style}{mark}{style:#}  {name:11}  {}", safe(because))?;
    }
    Ok(())
}

fn write_max_age(answer: &Response, to: &mut impl Write) -> io::Result<()> {
    let [chromium, firefox, webkit] = [Browser::Chromium, Browser::Firefox, Browser::WebKit]
        .map(|browser| max_age(answer, browser));
    writeln!(
        to,
        "  and remembers the answer for {chromium} s (Chromium), {firefox} s (Firefox), {webkit} s (Safari)"
    )
}

const MIXED_CONTENT: &str = "the browser does not send this request: the page came over TLS, and the URL has none (mixed content)";

fn write_end(explanation: &Explanation<'_>, to: &mut impl Write) -> io::Result<()> {
    let asked = explanation.asked;
    let (verdict, sentence) = match &explanation.course.end {
        End::Readable(readable) => {
            let sentence = match readable.kind {
                ResponseType::Basic => {
                    "the page can read the response, for it is its own".to_owned()
                }
                ResponseType::Cors => {
                    format!("the page can read the response{}", exposed(explanation))
                }
                ResponseType::Opaque => {
                    "but mode no-cors hides all of the response from the page".to_owned()
                }
            };
            (format!("{GOOD}Allowed{GOOD:#}"), sentence)
        }
        End::Refused(failure) => (format!("{BAD}Denied{BAD:#}"), failure.to_string()),
        End::MixedContent => (format!("{BAD}Denied{BAD:#}"), MIXED_CONTENT.to_owned()),
        End::Rejected => {
            let sentence = "the gateway refuses the request before upstream sees it".to_owned();
            (format!("{BAD}Denied{BAD:#}"), sentence)
        }
    };
    writeln!(to, "\n{verdict}: {sentence}")?;
    if let End::Refused(failure) = &explanation.course.end
        && let Some(phrase) = failure.console_phrase()
    {
        let (url, page) = (&asked.url, &asked.request.page);
        writeln!(
            to,
            "  Chromium's console: Access to fetch at '{url}' from origin '{page}' has been blocked by CORS policy: … {phrase} …"
        )?;
    }
    Ok(())
}

fn exposed(explanation: &Explanation<'_>) -> String {
    let answer = explanation.course.actual.as_ref().map(|actual| &actual.response);
    let mut headers = answer.into_iter().flat_map(|answer| &answer.headers);
    let exposed = headers.find(|(name, _)| name == response::EXPOSE_HEADERS);
    match exposed.map(|(_, value)| String::from_utf8_lossy(value)).as_deref() {
        None => " and its safelisted headers".to_owned(),
        Some("*") => " and all its headers".to_owned(),
        Some(names) => format!(", its safelisted headers and {}", names.replace(',', ", ")),
    }
}

fn write_remedy(
    explanation: &Explanation<'_>,
    source: &Source<'_>,
    to: &mut impl Write,
) -> io::Result<()> {
    let Some((remedy, instead)) = &explanation.remedy else { return Ok(()) };
    match remedy {
        Remedy::Change(parts) => {
            writeln!(to, "\n{HEADING}The smallest change{HEADING:#} that allows it, tried out:")?;
            write_edits(explanation, source, parts, to)?;
        }
        Remedy::Refused { parts, problems } => {
            writeln!(to, "\n{HEADING}The smallest change{HEADING:#} is refused by the filter:")?;
            write_edits(explanation, source, parts, to)?;
            for problem in problems {
                writeln!(to, "  {BAD}error{BAD:#}: {problem}")?;
            }
        }
        Remedy::Nothing => {
            let ambiguous = explanation.selection.as_ref().is_some_and(|chosen| chosen.ambiguous);
            writeln!(to, "\n{HEADING}No change{HEADING:#} of the policy allows it")?;
            if ambiguous {
                writeln!(
                    to,
                    "  Ask for a path without \"//\", dot segments, backslashes, and the encoded forms of characters that need none"
                )?;
            }
        }
    }
    for Instead { what, parts, .. } in instead {
        let change = if parts.is_empty() { "; this policy allows that" } else { ", and change:" };
        writeln!(to, "{HEADING}Or{HEADING:#} {what}{change}")?;
        write_edits(explanation, source, parts, to)?;
    }
    Ok(())
}

/// Each field, what happens to it, and how it then reads.
fn write_edits(
    explanation: &Explanation<'_>,
    source: &Source<'_>,
    parts: &[Part],
    to: &mut impl Write,
) -> io::Result<()> {
    for Edit { field, what } in explanation.edits(parts) {
        let place = source.place(&field);
        let field = safe(&field);
        let key = field.rsplit('.').next().unwrap_or_default();
        let key = if source.is_json() { format!("{key:?}") } else { key.to_owned() };
        match what {
            What::Set(value) => {
                writeln!(to, "  {field} ({place}): set it")?;
                writeln!(to, "    {key}: {value}")?;
            }
            What::List { remove, append, now } => {
                let mut steps = Vec::new();
                if !remove.is_empty() {
                    steps.push(format!("remove {}", remove.join(", ")));
                }
                if !append.is_empty() {
                    steps.push(format!("add {}", append.join(", ")));
                }
                writeln!(to, "  {field} ({place}): {}", safe(&steps.join(" and ")))?;
                writeln!(to, "    {key}: {}", shortened(&now, append.len()))?;
            }
            What::Policy(fields) => {
                writeln!(to, "  {field} ({place}): add a policy")?;
                write_policy_fields(&fields, source.is_json(), to)?;
            }
        }
    }
    Ok(())
}

fn write_policy_fields(
    fields: &[(&str, serde_json::Value)],
    is_json: bool,
    to: &mut impl Write,
) -> io::Result<()> {
    let field = |(name, value): &(&str, serde_json::Value)| match is_json {
        true => format!("\"{name}\": {value}"),
        false => format!("{name}: {value}"),
    };
    let fields: Vec<_> = fields.iter().map(field).collect();
    match is_json {
        true => writeln!(to, "    {{ {} }}", fields.join(", ")),
        false => writeln!(to, "    - {}", fields.join("\n      ")),
    }
}

/// A text that does nothing to a terminal.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Most elements of a list that are shown before new ones.
const MOST_SHOWN: usize = 8;

fn shortened(list: &[serde_json::Value], new: usize) -> String {
    let known = list.len().saturating_sub(new);
    let left_out = if known > MOST_SHOWN { known } else { 0 };
    let more = (left_out > 0).then(|| format!("… {left_out} as they are …"));
    let shown = list.iter().skip(left_out).map(ToString::to_string);
    format!("[{}]", more.into_iter().chain(shown).collect::<Vec<_>>().join(", "))
}
