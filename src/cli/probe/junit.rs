//! The report for pipelines: a suite for each URL, a case for each check.

use std::io;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::outcome::{Found, Outcome};
use super::text;
use crate::cli::report::Severity;

/// Writes the XML that build servers read.
///
/// # Errors
///
/// What the writer says.
pub fn write(outcomes: &[Outcome], to: &mut impl io::Write) -> io::Result<()> {
    let mut report = Report::new("envoy-cors probe");
    report.add_test_suites(outcomes.iter().map(suite));
    report.serialize(&mut *to).map_err(io::Error::other)?;
    writeln!(to)
}

fn suite(outcome: &Outcome) -> TestSuite {
    let mut suite = TestSuite::new(&*outcome.name);
    if let Some(error) = &outcome.error {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(error.as_str());
        suite.add_test_case(case(outcome, "answers", status));
    }
    for check in &outcome.checks {
        let found: Vec<_> =
            outcome.findings.iter().filter(|found| found.checks.contains(check)).collect();
        suite.add_test_case(checked(outcome, check, &found));
    }
    suite
}

fn case(outcome: &Outcome, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(&*outcome.url);
    case
}

/// A check fails by its errors and warnings; notes are what it prints.
fn checked(outcome: &Outcome, name: &str, found: &[&Found]) -> TestCase {
    let (bad, notes): (Vec<&Found>, Vec<&Found>) =
        found.iter().partition(|found| found.severity < Severity::Note);
    let status = match bad.first() {
        None => TestCaseStatus::success(),
        Some(first) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            let rules: Vec<_> = bad.iter().map(|found| found.rule).collect();
            status.set_type(rules.join(" "));
            status.set_message(&*first.message);
            status.set_description(told(&bad));
            status
        }
    };
    let mut case = case(outcome, name, status);
    if !notes.is_empty() {
        case.set_system_out(told(&notes));
    }
    case
}

fn told(found: &[&Found]) -> String {
    let mut plain = anstream::StripStream::new(Vec::new());
    for found in found {
        // Writing to a vector cannot fail.
        let _ = text::write_found(found, &mut plain);
    }
    String::from_utf8_lossy(&plain.into_inner()).trim_end().to_owned()
}
