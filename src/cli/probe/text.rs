//! The report for people.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};

use super::finding::RULES;
use super::outcome::{Found, Outcome, Page, Shown};
use crate::cli::report::Severity;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// Writes what pages can do, the findings, and a line that counts them.
///
/// # Errors
///
/// What the writer says.
pub fn write(outcomes: &[Outcome], to: &mut impl Write) -> io::Result<()> {
    for outcome in outcomes {
        writeln!(to, "{BOLD}{}{BOLD:#}", outcome.name)?;
        if outcome.name != outcome.url {
            writeln!(to, "  {}", outcome.url)?;
        }
        if let Some(error) = &outcome.error {
            writeln!(to, "  not probed: {error}\n")?;
            continue;
        }
        write_pages(&outcome.pages, to)?;
        write_strangers(outcome, to)?;
        writeln!(to)?;
        for found in &outcome.findings {
            write_found(found, to)?;
        }
        writeln!(to, "{}: {}\n", outcome.name, outcome.counts())?;
    }
    Ok(())
}

fn write_pages(pages: &[Page], to: &mut impl Write) -> io::Result<()> {
    let mut last = "";
    let width = pages.iter().map(|page| page.method.len()).max().unwrap_or_default();
    for page in pages {
        if page.origin != last {
            let with = if page.credentials { ", with credentials" } else { "" };
            writeln!(to, "  a page of {}{with}", page.origin)?;
            last = &page.origin;
        }
        let color = if page.allowed { AnsiColor::Green } else { AnsiColor::Red };
        let style = color.on_default();
        let sign = if page.allowed { '+' } else { '-' };
        writeln!(to, "    {style}{sign} {:width$}  {}{style:#}", page.method, page.told())?;
        if let Some(age) = &page.max_age {
            writeln!(to, "      {:width$}  {}", "", age.told())?;
        }
    }
    Ok(())
}

fn write_strangers(outcome: &Outcome, to: &mut impl Write) -> io::Result<()> {
    let strangers = &outcome.strangers;
    match (strangers.tried, strangers.allowed.len()) {
        (0, _) => Ok(()),
        (tried, 0) => writeln!(to, "  strangers: {tried} origins tried, none allowed"),
        (tried, allowed) if tried == allowed => {
            let with = strangers.allowed.iter().all(|allowed| allowed.credentials);
            let with = if with { ", with credentials" } else { "" };
            writeln!(to, "  strangers: {tried} origins tried, all allowed{with}")
        }
        (tried, _) => {
            writeln!(to, "  strangers: {tried} origins tried, allowed are")?;
            strangers.allowed.iter().try_for_each(|allowed| {
                let with = if allowed.credentials { ", with credentials" } else { "" };
                writeln!(to, "    {}{with}", allowed.origin)
            })
        }
    }
}

/// Writes a finding with the exchanges that show it.
///
/// # Errors
///
/// What the writer says.
pub fn write_found(found: &Found, to: &mut impl Write) -> io::Result<()> {
    let color = match found.severity {
        Severity::Error => AnsiColor::Red,
        Severity::Warning => AnsiColor::Yellow,
        Severity::Note => AnsiColor::Green,
    };
    let style = color.on_default().bold();
    let severity = found.severity.name();
    writeln!(to, "{style}{severity}[{}]{style:#}{BOLD}: {}{BOLD:#}", found.rule, found.message)?;
    for (sign, line) in found.exchanges.iter().flat_map(Shown::lines) {
        writeln!(to, "  {DIM}{sign}{DIM:#} {line}")?;
    }
    writeln!(to, "  why:  {}", found.why)?;
    writeln!(to, "  help: {}\n", found.remedy)
}

/// Writes what each rule is about.
///
/// # Errors
///
/// What the writer says.
pub fn write_rules(to: &mut impl Write) -> io::Result<()> {
    RULES.iter().try_for_each(|rule| {
        writeln!(to, "{:8} {BOLD}{}{BOLD:#}", rule.severity.name(), rule.id)?;
        writeln!(to, "         {}", rule.why)
    })
}
