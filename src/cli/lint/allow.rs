//! Findings that somebody decided to live with, and said why:
//! `# envoy-cors: allow RULE: REASON`.

use super::Finding;
use super::rules;
use super::smell::Smell;
use crate::cli::document::Document;
use crate::cli::report;
use crate::cli::tree::{Content, Span};

/// An allowance.
struct Allow<'d> {
    rule: &'d str,
    has_reason: bool,
    /// The comment.
    span: Span,
    /// The bytes of the line that it is for.
    line: Span,
    /// A finding was taken out for it.
    used: bool,
    /// An error of the filter stands on the line, and stays.
    refused: bool,
}

const MARK: &str = "envoy-cors: allow ";

/// A finding that was taken out.
pub struct Allowed<'d> {
    pub finding: report::Finding,
    /// The comment that allows it; `None` where an argument does.
    pub comment: Option<&'d str>,
}

/// Takes the findings out that are allowed, by comments or by the rules in
/// `by_arguments`, and adds what is wrong with the comments. Gives the findings
/// that were taken out.
pub fn apply<'d>(
    document: &'d Document,
    by_arguments: &[String],
    findings: &mut Vec<Finding>,
) -> Vec<Allowed<'d>> {
    let mut allows = comments(document);
    let by_argument = |rule: &str| by_arguments.iter().any(|allowed| allowed == rule);
    let mut allowed = Vec::new();
    findings.retain(|finding| {
        let report::Finding { rule, span, string_start, .. } = &finding.found;
        let mut comment = None;
        for at in [Some(span.start), *string_start].into_iter().flatten() {
            for allow in allows_at(&mut allows, at).filter(|allow| allow.rule == *rule) {
                allow.refused |= finding.refused;
                allow.used |= !finding.refused;
                comment = document.text.get(allow.span.clone());
            }
        }
        let stays = finding.refused || !(comment.is_some() || by_argument(rule));
        if !stays {
            allowed.push(Allowed { finding: finding.found.clone(), comment });
        }
        stays
    });
    for allow in allows {
        if let Some(smell) = allow.smell().filter(|smell| !by_argument(smell.rule())) {
            findings.push(Finding::plain(allow.span, &smell));
        }
    }
    allowed
}

/// The allowances for the line that a byte stands in.
fn allows_at<'a, 'd>(
    allows: &'a mut [Allow<'d>],
    at: usize,
) -> impl Iterator<Item = &'a mut Allow<'d>> {
    let end = allows.partition_point(|allow| allow.line.start <= at);
    let before = allows.iter_mut().take(end).rev();
    before.take_while(move |allow| allow.line.contains(&at))
}

impl Allow<'_> {
    /// What is wrong with it.
    fn smell(&self) -> Option<Smell> {
        let rule = self.rule.to_owned();
        if rules::rule(self.rule).is_none() {
            return Some(Smell::UnknownAllow { resembles: rules::resembling(self.rule), rule });
        }
        match self {
            Self { refused: true, .. } => Some(Smell::RefusedAllow { rule }),
            Self { used: false, .. } => Some(Smell::UnusedAllow { rule }),
            Self { has_reason: false, .. } => Some(Smell::AllowWithoutReason { rule }),
            _ => None,
        }
    }
}

/// The allowances of a document, in its order. A comment is for its own line, or
/// for the next one that has anything else on it.
fn comments(document: &Document) -> Vec<Allow<'_>> {
    if !document.text.contains(MARK) {
        return Vec::new();
    }
    let strings = strings(document);
    let (mut allows, mut start) = (Vec::<Allow<'_>>::new(), 0);
    let mut without_line = 0;
    for text in document.text.split_inclusive('\n') {
        let line = start..start + text.len();
        allows.extend(comment(text, &line).filter(|allow| !is_in(&strings, allow.span.start)));
        if !text.trim_start().is_empty() && !text.trim_start().starts_with('#') {
            for allow in allows.iter_mut().skip(without_line) {
                allow.line = line.clone();
            }
            without_line = allows.len();
        }
        start = line.end;
    }
    allows
}

fn comment<'d>(text: &'d str, line: &Span) -> Option<Allow<'d>> {
    let (before, said) = text.split_once(MARK)?;
    let before = before.trim_end().strip_suffix('#')?;
    if !before.is_empty() && !before.ends_with([' ', '\t']) {
        return None;
    }
    let said = said.trim_end();
    let (rule, reason) = said.split_once(':').unwrap_or((said, ""));
    Some(Allow {
        rule: rule.trim(),
        has_reason: !reason.trim().is_empty(),
        span: line.start + before.len()..line.start + text.trim_end().len(),
        line: line.end..line.end,
        used: false,
        refused: false,
    })
}

/// Where the strings of a document stand, in order: what looks like a comment in
/// there is none.
fn strings(document: &Document) -> Vec<Span> {
    let mut spans = Vec::new();
    for root in &document.roots {
        root.walk(&mut |node| {
            if let Content::Text(_) = node.content {
                spans.push(node.span.clone());
            }
        });
    }
    spans.sort_unstable_by_key(|span| span.start);
    spans
}

fn is_in(strings: &[Span], at: usize) -> bool {
    let before = strings.partition_point(|span| span.start <= at);
    strings.get(before.wrapping_sub(1)).is_some_and(|span| span.contains(&at))
}
