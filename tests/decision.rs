//! Every row of `tests/cases`, decided natively.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod table;

use std::process::ExitCode;
use std::sync::Arc;

use envoy_cors::{Edit, Policies, decide};
use libtest_mimic::{Arguments, Failed, Trial};
use table::{Answer, Case, Group, Outcome, Request, Runner, Source};

fn main() -> ExitCode {
    let trials = table::load().into_iter().flat_map(trials).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trials(group: Group) -> Vec<Trial> {
    let group = Arc::new(group);
    let native = |index: &usize| group.cases[*index].runs_on(Runner::Native);
    (0..group.cases.len())
        .filter(native)
        .map(|index| {
            let group = Arc::clone(&group);
            Trial::test(group.cases[index].name.clone(), move || check(&group, index))
        })
        .collect()
}

fn check(group: &Group, index: usize) -> Result<(), Failed> {
    let case = &group.cases[index];
    let json = group.policy.as_ref().unwrap().to_string();
    let (policies, problems) = Policies::from_json(json.as_bytes(), group.environment.as_deref());
    let Some(policies) = policies else {
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Err(format!("the policy is refused: {problems:#?}").into());
    };
    let (outcome, answer) = answer(&policies, case);
    let mut found = case.get.differences(&answer);
    let outcome: Outcome = serde_json::from_value(outcome.into()).unwrap();
    if case.outcome != Some(outcome) {
        found.push(format!("outcome: expected {:?}, got {outcome:?}", case.outcome));
    }
    if found.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n\n{case}\n\ngot: {answer}\npolicy: {json:.3000}", found.join("\n")).into())
}

/// What Envoy makes of a decision.
fn answer(policies: &Policies, case: &Case) -> (&'static str, Answer) {
    let mut lines: Vec<_> =
        case.upstream.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let upstream = |lines: &[(&str, Vec<u8>)]| {
        let lines = lines.iter().map(|(name, value)| (*name, value.as_slice()));
        Answer::new(case.upstream.status, Source::Upstream, lines)
    };
    let Some(decision) = decide(policies, |name| header(&case.send, name)) else {
        return ("untouched", upstream(&lines));
    };
    if let Some(reply) = decision.reply() {
        let lines = reply.headers.iter().map(|(name, value)| (*name, &**value));
        let status = reply.status.try_into().unwrap();
        return (decision.outcome().name(), Answer::new(status, Source::Filter, lines));
    }
    let sent = lines.clone();
    for edit in decision.edits(|name| joined(&sent, name)) {
        match edit {
            Edit::Append(name, value) => lines.push((name, value.to_vec())),
            Edit::Remove(name) => lines.retain(|(other, _)| *other != name),
            Edit::Set(name, value) => {
                lines.retain(|(other, _)| *other != name);
                lines.push((name, value.to_vec()));
            }
        }
    }
    (decision.outcome().name(), upstream(&lines))
}

fn header(request: &Request, name: &str) -> Option<Vec<u8>> {
    match name {
        ":method" => Some(request.method.clone()),
        ":scheme" => Some(request.scheme.clone()),
        ":authority" => Some(request.authority.clone()),
        ":path" => Some(request.path.clone()),
        _ => {
            let lines: Vec<_> =
                request.headers.iter().map(|(name, value)| (&**name, value.clone())).collect();
            joined(&lines, name)
        }
    }
}

/// Envoy joins the lines of the headers that are asked for.
fn joined(lines: &[(&str, Vec<u8>)], name: &str) -> Option<Vec<u8>> {
    let values: Vec<_> = lines
        .iter()
        .filter(|(other, _)| *other == name)
        .map(|(_, value)| value.as_slice())
        .collect();
    (!values.is_empty()).then(|| {
        let values: Vec<_> = values.into_iter().filter(|value| !value.is_empty()).collect();
        values.join(&b","[..])
    })
}
