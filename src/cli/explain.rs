//! `envoy-cors explain`: what a rule of `lint` is about.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::lint::rules::{RULES, Rule, rule};

/// What to explain, and how.
#[derive(clap::Args)]
#[command(arg_required_else_help = true)]
pub struct Arguments {
    /// The page of a rule: what it finds, why, and what to write instead
    #[arg(long, value_name = "ID", value_parser = super::lint::rules::known)]
    rule: Option<String>,
    /// List the rules
    #[arg(long, conflicts_with = "rule")]
    rules: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Prints a page, or the list of them.
///
/// # Errors
///
/// What the operating system says of standard output.
pub fn run(arguments: &Arguments) -> io::Result<ExitCode> {
    let chosen = arguments.rule.as_deref().and_then(rule);
    let mut stdout = anstream::stdout().lock();
    match (arguments.format, chosen) {
        (Format::Text, Some(rule)) => write_page(rule, &mut stdout)?,
        (Format::Text, None) => write_list(&mut stdout)?,
        (Format::Json, Some(rule)) => writeln!(stdout, "{:#}", to_json(rule))?,
        (Format::Json, None) => {
            writeln!(stdout, "{:#}", RULES.iter().map(to_json).collect::<Value>())?;
        }
    }
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
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
