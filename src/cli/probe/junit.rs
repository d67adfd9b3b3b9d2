//! The report for pipelines: a suite for each URL, a case for each check.

use std::io;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::compare::{Comparison, Difference};
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
    report.serialize(&mut *to).map_err(io::Error::other)
}

/// Writes the same of a comparison: a suite for each endpoint.
///
/// # Errors
///
/// What the writer says.
pub fn write_comparison(comparison: &Comparison, to: &mut impl io::Write) -> io::Result<()> {
    let mut report = Report::new("envoy-cors probe --compare");
    for endpoint in &comparison.endpoints {
        let mut suite = TestSuite::new(&*endpoint.name);
        for error in &endpoint.errors {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
            status.set_message(error.error.as_str());
            suite.add_test_case(case(&endpoint.name, &format!("{} answers", error.url), status));
        }
        for subject in &endpoint.subjects {
            let differences: Vec<_> =
                endpoint.differences.iter().filter(|it| it.subject == *subject).collect();
            let status = compared(comparison, &differences);
            suite.add_test_case(case(&endpoint.name, subject, status));
        }
        report.add_test_suite(suite);
    }
    report.serialize(&mut *to).map_err(io::Error::other)
}

fn compared(comparison: &Comparison, differences: &[&Difference]) -> TestCaseStatus {
    if differences.is_empty() {
        return TestCaseStatus::success();
    }
    let [one, other] = &comparison.bases;
    let line = |difference: &&Difference| {
        let Difference { field, answers: [a, b], .. } = difference;
        format!("{field}: {a} at {one}, {b} at {other}")
    };
    let lines: Vec<_> = differences.iter().map(line).collect();
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
    status.set_type("drift");
    status.set_message(lines.join("; "));
    status
}

fn suite(outcome: &Outcome) -> TestSuite {
    let mut suite = TestSuite::new(&*outcome.name);
    if let Some(error) = &outcome.error {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
        status.set_message(error.as_str());
        suite.add_test_case(case(&outcome.url, "answers", status));
    }
    for check in &outcome.checks {
        let found: Vec<_> =
            outcome.findings.iter().filter(|found| found.checks.contains(check)).collect();
        suite.add_test_case(checked(outcome, check, &found));
    }
    suite
}

fn case(class: &str, name: &str, status: TestCaseStatus) -> TestCase {
    let mut case = TestCase::new(name, status);
    case.set_classname(class);
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
    let mut case = case(&outcome.url, name, status);
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
