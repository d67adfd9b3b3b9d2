//! The pages of `lint`'s rules.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::Format;
use crate::cli::lint::rules::{RULES, Rule};

/// Writes the page of a rule, or the list of all.
///
/// # Errors
///
/// What the writer says.
pub fn write(rule: Option<&Rule>, format: Format, to: &mut impl Write) -> io::Result<()> {
    match (format, rule) {
        (Format::Text, Some(rule)) => write_page(rule, to),
        (Format::Text, None) => write_list(to),
        (Format::Json, Some(rule)) => writeln!(to, "{:#}", to_json(rule)),
        (Format::Json, None) => {
            writeln!(to, "{:#}", RULES.iter().map(to_json).collect::<Value>())
        }
    }
}

fn write_page(rule: &Rule, to: &mut impl Write) -> io::Result<()> {
    let bold = anstyle::Style::new().bold();
    writeln!(to, "{bold}{}{bold:#} ({})", rule.id, rule.severity.name())?;
    writeln!(to, "{}\n\n{}", rule.title(), rule.page())?;
    write_example("Found in:", rule.bad, to)?;
    write_example("Put right:", rule.good, to)
}

fn write_example(title: &str, text: &str, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "\n{title}\n")?;
    text.lines().try_for_each(|line| writeln!(to, "{}", format!("    {line}").trim_end()))
}

fn write_list(to: &mut impl Write) -> io::Result<()> {
    let bold = anstyle::Style::new().bold();
    for rule in RULES {
        writeln!(to, "{:8} {bold}{}{bold:#}", rule.severity.name(), rule.id)?;
        writeln!(to, "         {}", rule.title())?;
    }
    Ok(())
}

fn to_json(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "severity": rule.severity.name(),
        "title": rule.title(),
        "page": rule.page(),
        "bad": rule.bad,
        "good": rule.good,
    })
}
