//! Every row of `diagnostics.yaml`: all that a user reads about a configuration.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod table;

use envoy_cors::Policies;
use envoy_cors::diagnostic::{Diagnostics, Severity};
use table::Diagnosed;

fn rows() -> Vec<Diagnosed> {
    table::read(&table::tests().join("diagnostics.yaml"))
}

fn texts(problems: &Diagnostics, severity: Severity) -> Vec<String> {
    let mut texts: Vec<_> = problems
        .iter()
        .filter(|problem| problem.severity() == severity)
        .map(ToString::to_string)
        .collect();
    texts.sort();
    texts
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[test]
fn each_configuration_is_diagnosed_whole() {
    let rows = rows();
    assert!(rows.len() > 90, "only {} rows", rows.len());
    for Diagnosed { case, config, says, warns, .. } in rows {
        let (policies, problems) = Policies::from_json(config.as_bytes(), None);
        assert_eq!(texts(&problems, Severity::Error), sorted(says.clone()), "{case}");
        assert_eq!(texts(&problems, Severity::Warning), sorted(warns), "{case}");
        assert_eq!(policies.is_none(), !says.is_empty(), "{case}");
    }
}

#[test]
fn bytes_that_are_no_text_are_told_apart() {
    for (bytes, says) in [
        (&b"\x0a\x12\x0a\x0callowOrigins\x12\x02\x32\x00"[..], "binary google.protobuf.Struct"),
        (b"{\"allowOrigins\": [\"\xff\"]}", "not valid JSON"),
        (b"\0asm", "not valid JSON"),
    ] {
        let (policies, problems) = Policies::from_json(bytes, None);
        assert!(policies.is_none());
        let [text] = &texts(&problems, Severity::Error)[..] else { panic!("not one error") };
        assert!(text.contains(says), "{text}");
    }
}

/// The VM's variable wins over the configuration.
#[test]
fn the_environment_is_chosen_by_the_vm_first() {
    let config = br#"{"environment": "a", "allowOrigins": {"a": ["https://a.example"], "b": []}}"#;
    for (environment, chosen, origins) in [(None, "a", 1), (Some("b"), "b", 0)] {
        let (policies, _) = Policies::from_json(config, environment);
        let policies = policies.unwrap();
        assert_eq!(policies.environment(), Some(chosen));
        assert_eq!(policies.iter().next().unwrap().origins().len(), origins);
    }
    let (policies, problems) = Policies::from_json(config, Some("c"));
    assert!(policies.is_none());
    assert_eq!(
        texts(&problems, Severity::Error),
        ["allowOrigins: has no list for the environment \"c\", only for \"a\" and \"b\"; \
          add one (`[]` grants nobody) or choose another environment"]
    );
}

/// Rules name what somebody would do next, in one line that can go to a log.
#[test]
fn each_line_has_a_place_a_reason_and_a_remedy() {
    for line in rows().into_iter().flat_map(|row| [row.says, row.warns].concat()) {
        assert!(line.contains(": ") && line.contains("; "), "{line}");
        assert!(!line.ends_with('.') && !line.contains(char::is_control), "{line}");
    }
}
