#![allow(dead_code)] // until all sources are read
//! What `import` says about a field that it does not carry over as it is. Every
//! sentence stands here.

use envoy_cors::diagnostic::{Diagnostic, Problem, Quoted};
use envoy_cors::pattern::InvalidPattern;

use super::account::Field;
use crate::cli::lint;
use crate::cli::report::{Finding, Severity};

/// Something to say about a field of a source.
#[derive(Clone, Debug)]
pub enum Remark {
    /// Nothing here knows the field.
    UnknownField,
    /// A field that is given again.
    Twice,
    /// The filter refuses the value, in its own words.
    Refused(Diagnostic),
    /// The value does nothing in the filter, in its own words.
    Idle(Diagnostic),
    /// The value is carried over, and the filter warns about it.
    Warned(Diagnostic),
    /// A matcher of origins that no patterns come to.
    InexactOrigin {
        what: &'static str,
        text: String,
        nearest: Vec<String>,
        more: Option<String>,
        fewer: Option<String>,
    },
    /// A matcher of origins that cannot be read.
    UnreadableOrigin { what: &'static str, text: String, why: String },
    /// A text that is no origin, or a matcher that none meets, as the filter says it.
    NoOrigin { text: String, why: Option<InvalidPattern>, meant: Option<String> },
    /// A matcher that accepts `*`, by which Envoy lets every origin in.
    OpenToAll { text: String, carried: bool },
    /// `*` beside names and credentials.
    AnyBesideNames,
    /// A method that the filter takes for the one in upper case.
    UpperCased { name: String },
    /// There are no matchers of origins.
    NoOrigins,
    /// Preflights from other origins went to upstream: because the field says so,
    /// or because it does not say otherwise.
    ForwardedPreflights { written: bool },
    /// More than a day.
    LongMaxAge { age: String },
    /// A path compared byte by byte.
    TextPrefix { prefix: String },
    /// A single path.
    ExactPath { path: String },
    /// A path by an expression, or something else that no prefix says.
    InexactPath { what: &'static str, text: String },
    /// A path of a route without CORS, which no prefix says.
    LostPath { what: &'static str, text: String },
    /// A host that the filter does not take, with its own words or ours.
    InexactHost { text: String, why: String },
    /// Paths were compared without case.
    PathCase,
    /// A route that asks for more than host and path.
    Condition { what: String },
    /// Where the route is in force.
    Placement { what: &'static str },
    /// A rule behind one that takes all of its requests.
    Unreachable { earlier: String },
    /// Two policies for the same requests.
    SameScope { host: String, prefix: String, other: String },
    /// A route without CORS that is for a part of what another is for, where no
    /// prefix tells them apart.
    Absorbed { other: String },
    /// A route without CORS below one that has it.
    LeftAlone { policy: String },
    /// A field that has no say.
    Ignored { why: &'static str },
    /// What a policy is attached to is not among the files.
    MissingTarget { targets: Vec<String> },
    /// No host is written, and what it is attached to is not among the files.
    EveryHost { parent: String },
    /// `*`, in which Istio does not count `null`.
    Null,
    /// CORS for one of several backends.
    OfBackend,
    /// A wildcard that stands for a single label.
    OneLabel { host: String },
    /// `*` with credentials, of which browsers make `*` without.
    DeadCredentials,
    /// What is not written has values all the same.
    Defaults { values: Vec<(&'static str, &'static str)> },
    /// A value that the source does not take, and what it takes instead, if anything.
    Invalid { text: String, instead: String },
    /// A list of origins that opens everything, since it is invalid.
    InvalidOrigins { text: String },
    /// Origins of which only the end is compared.
    OpenStart { text: String, example: String },
    /// CORS headers in the server's own configuration.
    Snippet,
    /// A header of CORS that the source writes without a policy.
    OwnHeader { name: String },
    /// A policy that a part of the requests was under.
    Share { percent: f64 },
    /// A key under which what a field says can be changed while Envoy runs.
    RuntimeKey,
    /// Policies of clusters among which chance decides.
    Weighted,
    /// A policy under another name than the filter's.
    OtherFilter { name: String },
    /// Routes of a listener that does not load Envoy's filter.
    NotLoaded,
    /// A policy without anything that says what it is for.
    Alone,
    /// Rules of which nothing says for which hosts they are.
    NoHosts,
    /// A policy where import looks for none.
    Elsewhere,
    /// A host of which one port alone was meant.
    Port { host: String },
    /// A rule that hands over to what is not among the files.
    MissingDelegate { name: String },
    /// A host of one label, which stands for others too.
    ShortHost { text: String, names: Vec<String> },
}

impl Remark {
    /// A path of a route, with CORS or without it, that no prefix says.
    pub fn inexact_path(what: &'static str, text: String, has_cors: bool) -> Self {
        if has_cors { Self::InexactPath { what, text } } else { Self::LostPath { what, text } }
    }

    /// The remark as a finding about a field.
    pub fn finding(&self, field: &Field<'_>) -> Finding {
        let (clause, remedy) = self.sentence();
        let path = if field.path.is_empty() { "document" } else { &field.path };
        Finding {
            rule: self.rule(),
            severity: self.severity(),
            message: format!("{}: {clause}", path.escape_debug()),
            at: field.path.clone(),
            remedy,
            span: field.node.span.clone(),
            string_start: None,
        }
    }

    fn rule(&self) -> &'static str {
        match self {
            Self::UnknownField => "unknown-field",
            Self::Twice => "duplicate-field",
            Self::Refused(said) | Self::Idle(said) | Self::Warned(said) => {
                lint::filter::rule(&said.problem)
            }
            Self::InexactOrigin { .. } => "inexact-origin",
            Self::UnreadableOrigin { .. } => "unreadable-origin",
            Self::NoOrigin { .. } => "invalid-origin",
            Self::OpenToAll { .. } => "open-to-all",
            Self::AnyBesideNames => "any-beside-names",
            Self::UpperCased { .. } => "method-upper-cased",
            Self::NoOrigins => "no-origins",
            Self::ForwardedPreflights { .. } => "forwarded-preflights",
            Self::LongMaxAge { .. } => "long-max-age",
            Self::TextPrefix { .. } => "text-prefix",
            Self::ExactPath { .. } => "exact-path",
            Self::InexactPath { .. } | Self::LostPath { .. } => "inexact-path",
            Self::InexactHost { .. } => "inexact-host",
            Self::PathCase => "path-case",
            Self::Condition { .. } => "condition",
            Self::Placement { .. } => "placement",
            Self::Unreachable { .. } => "unreachable",
            Self::SameScope { .. } | Self::Absorbed { .. } => "same-scope",
            Self::LeftAlone { .. } => "left-alone",
            Self::Ignored { .. } => "ignored",
            Self::MissingTarget { .. } => "missing-target",
            Self::EveryHost { .. } => "every-host",
            Self::Null => "null-origin",
            Self::OfBackend => "of-backend",
            Self::OneLabel { .. } => "one-label",
            Self::DeadCredentials => "dead-credentials",
            Self::Defaults { .. } => "default-value",
            Self::Invalid { .. } => "invalid-value",
            Self::InvalidOrigins { .. } => "open-to-all",
            Self::OpenStart { .. } => "open-start",
            Self::Snippet => "snippet",
            Self::OwnHeader { .. } => "own-header",
            Self::Share { .. } => "share",
            Self::RuntimeKey => "runtime-key",
            Self::Weighted => "weighted",
            Self::OtherFilter { .. } => "other-filter",
            Self::NotLoaded => "not-loaded",
            Self::Alone => "alone",
            Self::NoHosts => "no-hosts",
            Self::Elsewhere => "elsewhere",
            Self::Port { .. } => "port",
            Self::MissingDelegate { .. } => "missing-delegate",
            Self::ShortHost { .. } => "short-host",
        }
    }

    /// Errors: something is left out that was allowed, or that was unsafe.
    /// Warnings: other requests are concerned than before. Notes: the rest.
    fn severity(&self) -> Severity {
        match self {
            Self::Refused(_)
            | Self::InexactOrigin { .. }
            | Self::UnreadableOrigin { .. }
            | Self::OpenToAll { carried: false, .. }
            | Self::AnyBesideNames
            | Self::InexactPath { .. }
            | Self::InexactHost { .. }
            | Self::SameScope { .. }
            | Self::MissingTarget { .. }
            | Self::OfBackend
            | Self::InvalidOrigins { .. }
            | Self::Snippet
            | Self::OwnHeader { .. }
            | Self::Weighted
            | Self::OtherFilter { .. }
            | Self::Elsewhere => Severity::Error,
            Self::UnknownField
            | Self::Twice
            | Self::Warned(_)
            | Self::NoOrigin { .. }
            | Self::OpenToAll { carried: true, .. }
            | Self::UpperCased { .. }
            | Self::NoOrigins
            | Self::ForwardedPreflights { written: true }
            | Self::ExactPath { .. }
            | Self::LostPath { .. }
            | Self::Absorbed { .. }
            | Self::PathCase
            | Self::Condition { .. }
            | Self::EveryHost { .. }
            | Self::OneLabel { .. }
            | Self::DeadCredentials
            | Self::Invalid { .. }
            | Self::Share { .. }
            | Self::NotLoaded
            | Self::Alone
            | Self::NoHosts
            | Self::Port { .. }
            | Self::MissingDelegate { .. }
            | Self::ShortHost { .. } => Severity::Warning,
            Self::Idle(_)
            | Self::ForwardedPreflights { written: false }
            | Self::LongMaxAge { .. }
            | Self::TextPrefix { .. }
            | Self::Placement { .. }
            | Self::Unreachable { .. }
            | Self::LeftAlone { .. }
            | Self::Ignored { .. }
            | Self::Null
            | Self::Defaults { .. }
            | Self::OpenStart { .. }
            | Self::RuntimeKey => Severity::Note,
        }
    }

    /// What became of the field and why, and what to write instead.
    fn sentence(&self) -> (String, String) {
        let (clause, remedy): (String, &str) = match self {
            Self::Twice => (
                "not carried over: the field is given twice, and the first is read".to_owned(),
                "remove one of them",
            ),
            Self::UnknownField => (
                "import does not know what this says, so it is not carried over".to_owned(),
                "check by hand whether it concerns CORS",
            ),
            Self::Refused(said) => return of_filter(said, "not carried over"),
            Self::Idle(said) => return (of_filter(said, "left out").0, String::new()),
            Self::Warned(said) => return of_filter(said, "carried over"),
            Self::InexactOrigin { what, text, nearest, more, fewer } => {
                return inexact(what, text, nearest, more.as_deref(), fewer.as_deref());
            }
            Self::UnreadableOrigin { what, text, why } => (
                format!("not carried over: the {what} {} {why}", Quoted(text)),
                "list the origins that are meant",
            ),
            Self::NoOrigin { text, why, meant } => return no_origin(text, *why, meant.clone()),
            Self::OpenToAll { text, carried: true } => (
                format!("{} opens the policy to every origin; carried over as \"*\"", Quoted(text)),
                "list the origins, if not everybody is meant",
            ),
            Self::OpenToAll { text, carried: false } => (
                format!(
                    "not carried over: {} accepts the text \"*\" too, and Envoy's filter takes such a matcher for every origin",
                    Quoted(text)
                ),
                "list the origins that are meant, or write \"*\" if everybody is",
            ),
            Self::AnyBesideNames => (
                "not carried over: beside other names, \"*\" was sent as it stands, and with credentials browsers take it for a name".to_owned(),
                "write \"*\" alone, if everything is meant",
            ),
            Self::UpperCased { name } => (
                format!(
                    "carried over: browsers ask for {}, which {} did not allow; it is allowed now",
                    name.to_ascii_uppercase(),
                    Quoted(name),
                ),
                "remove it, if no page needs it",
            ),
            Self::NoOrigins => (
                "no origin is listed, so the policy grants nobody; upstream's own CORS headers are removed now".to_owned(),
                "list origins, or remove the policy if upstream speaks CORS itself",
            ),
            Self::ForwardedPreflights { written } => (
                format!(
                    "preflights from other origins went to upstream{}, which may allow what this policy does not; they get 403 now",
                    if *written { "" } else { ", since nothing else was said" }
                ),
                "add unmatchedPreflights: forward and upstreamHeaders: keep, if upstream answers them on purpose",
            ),
            Self::LongMaxAge { age } => (
                format!("{age} is more than a day, which no browser honours; 86400 is written"),
                "",
            ),
            Self::TextPrefix { prefix } => return text_prefix(prefix),
            Self::ExactPath { path } => (
                format!("{} alone was meant; what is below it falls under the policy now too", Quoted(path)),
                "check that nothing else is served there",
            ),
            Self::InexactPath { what, text } => (
                format!("not carried over: no path prefix says what the {what} {} says", Quoted(text)),
                "write a policy with the path prefixes that are meant",
            ),
            Self::LostPath { what, text } => (
                format!(
                    "no CORS policy was in force here, and no path prefix says what the {what} {} says; where another policy is for these paths, it is in force now",
                    Quoted(text)
                ),
                "write a policy in shadow mode with the path prefixes that are meant, if they are to be left alone",
            ),
            Self::InexactHost { text, why } => {
                (format!("not carried over: {}: {why}", Quoted(text)), "")
            }
            Self::PathCase => (
                "paths were compared without case, and are compared with it now".to_owned(),
                "write a policy for each spelling that clients use",
            ),
            Self::Condition { what } => (
                format!("{what} decided too; the policy is for every request to these hosts and paths now"),
                "check that no other request goes there",
            ),
            Self::Placement { what } => (
                format!("{what}; the policy is in force where the filter is loaded"),
                "",
            ),
            Self::Unreachable { earlier } => {
                (format!("left out: {earlier} comes first and takes these requests"), "")
            }
            Self::SameScope { host, prefix, other } => (
                format!(
                    "not carried over: {other} says something else for {prefix}{}{host}",
                    if prefix.is_empty() { "" } else { " of " },
                ),
                "decide which of the two is meant",
            ),
            Self::Absorbed { other } => (
                format!("no CORS policy was in force here; {other} is for the same host and paths, or some of them, so its policy is in force there now"),
                "check that nothing here is to be left alone",
            ),
            Self::LeftAlone { policy } => (
                format!(
                    "no CORS policy was in force here, so the answers were left alone; the policy {} is in shadow mode, which touches nothing, to keep it so",
                    Quoted(policy)
                ),
                "remove its mode, if nobody is to read these responses; remove it, if the policy around it is to apply",
            ),
            Self::Ignored { why } => (format!("left out: {why}"), ""),
            Self::MissingTarget { targets } if targets.is_empty() => {
                ("not carried over: the policy is attached to nothing".to_owned(), "name its targets")
            }
            Self::MissingTarget { targets } => (
                format!(
                    "not carried over: what it is attached to says for which hosts and paths it is, and is not among these files: {}",
                    targets.join(", ")
                ),
                "import it together with them",
            ),
            Self::EveryHost { parent } => (
                format!(
                    "no host is named, and {}, whose listeners may name some, is not among these files; the policy is for every host now",
                    Quoted(parent)
                ),
                "import it together with that, or name the hosts",
            ),
            Self::Null => (
                "\"*\" is for null too, which sandboxed pages and files send; Envoy Gateway lets it in, and Istio did not".to_owned(),
                "list the origins, if not everybody is meant",
            ),
            Self::OfBackend => (
                "not carried over: a policy is for hosts and paths, whatever backend is chosen".to_owned(),
                "check by hand what is meant, and write it for the rule",
            ),
            Self::OneLabel { host } => (
                format!("{} stood for one label, and stands for several now too", Quoted(host)),
                "name the hosts, if those below them are served otherwise",
            ),
            Self::DeadCredentials => (
                "every origin is let in with the answer \"*\", beside which browsers refuse credentials; carried over without them".to_owned(),
                "list the origins and allow credentials, if they are meant",
            ),
            Self::Defaults { values } => {
                let values: Vec<String> =
                    values.iter().map(|(name, value)| format!("{name} ({value})")).collect();
                let values = values.join(", ");
                (format!("what is not written has a value all the same, and it is carried over: {values}"), "")
            }
            Self::Invalid { text, instead } if instead.is_empty() => {
                (format!("left out, as in the source: {} is invalid", Quoted(text)), "write what is meant")
            }
            Self::Invalid { text, instead } => (
                format!("{} is invalid, and what the source takes instead is carried over: {instead}", Quoted(text)),
                "write what is meant",
            ),
            Self::InvalidOrigins { text } => (
                format!("not carried over: {} is invalid, and ingress-nginx lets every origin in for it", Quoted(text)),
                "list the origins that are meant, or write \"*\" if everybody is",
            ),
            Self::OpenStart { text, example } => (
                format!("only the end of an origin was compared with {}, so that {} was let in too; it is not now", Quoted(text), Quoted(example)),
                "",
            ),
            Self::Snippet => (
                "not carried over: the snippet sets headers of CORS by itself".to_owned(),
                "write in the policy what it is to do",
            ),
            Self::OwnHeader { name } => (
                format!("not carried over: {name} is set here by itself"),
                "write in the policy what it is to do, and remove it here: it is added to the filter's own answers too",
            ),
            Self::Share { percent } => (
                format!("{percent} % of the requests were under this policy; all are now"),
                "set mode: shadow first, if that is too soon",
            ),
            Self::RuntimeKey => (
                "left out: what Envoy's runtime says under this key is not known here".to_owned(),
                "check that nothing is set there",
            ),
            Self::Weighted => (
                "not carried over: the policy depended on the cluster, which chance decides; what stands around it is in force for all".to_owned(),
                "write one policy for the route",
            ),
            Self::OtherFilter { name } => (
                format!(
                    "not carried over: this is for a filter of another name than {}, and one of the two is not in force",
                    Quoted(name)
                ),
                "remove the one that is not, and import again",
            ),
            Self::NotLoaded => (
                "http_filters does not list Envoy's CORS filter, so none of these policies was in force".to_owned(),
                "check that they are meant to be",
            ),
            Self::Alone => (
                "the policy stands by itself, so it is for every host and path".to_owned(),
                "add a match, or import the route configuration that it belongs to",
            ),
            Self::NoHosts => (
                "no host is named, so the policies are for every host".to_owned(),
                "add the hosts to their match",
            ),
            Self::Elsewhere => (
                "not carried over: import does not know which requests this policy is for".to_owned(),
                "write a policy with the hosts and path prefixes that are meant",
            ),
            Self::Port { host } => (
                format!("one port alone was meant; the policy is for all ports of {} now", Quoted(host)),
                "check that nothing else is served there",
            ),
            Self::MissingDelegate { name } => (
                format!(
                    "nothing is carried over: the rules of {}, which are in force here, are not among these files; where another policy is for these paths, it is in force now",
                    Quoted(name)
                ),
                "import it together with that VirtualService",
            ),
            Self::ShortHost { text, names } => (
                format!(
                    "Istio takes {} for {}, too; the policy is for {} alone",
                    Quoted(text),
                    names.join(", "),
                    Quoted(text)
                ),
                "add those that clients use to the match of the policy",
            ),
        };
        (clause, remedy.to_owned())
    }
}

fn no_origin(text: &str, why: Option<InvalidPattern>, meant: Option<String>) -> (String, String) {
    let left_out = format!("left out: no page has the origin {}", Quoted(text));
    if text.contains(',') {
        let clause = format!("{left_out}: several stand in one text");
        return (clause, "write each of them by itself".to_owned());
    }
    let Some(why) = why else {
        let meant = meant.map(|meant| format!("write {}, if that is meant", Quoted(&meant)));
        return (left_out, meant.unwrap_or_default());
    };
    let problem = Problem::Pattern(why, meant).to_string();
    let (clause, remedy) = problem.rsplit_once("; ").unwrap_or((&problem, ""));
    (format!("{left_out}: {clause}"), remedy.to_owned())
}

fn of_filter(said: &Diagnostic, became: &str) -> (String, String) {
    let problem = said.problem.to_string();
    let (clause, remedy) = problem.rsplit_once("; ").unwrap_or((&problem, ""));
    let value = said.value.as_deref().map(|value| format!("{}: ", Quoted(value)));
    (format!("{became}: {}{clause}", value.unwrap_or_default()), remedy.to_owned())
}

fn inexact(
    what: &str,
    text: &str,
    nearest: &[String],
    more: Option<&str>,
    fewer: Option<&str>,
) -> (String, String) {
    let clause =
        format!("not carried over: no origin pattern says what the {what} {} says", Quoted(text));
    let quoted: Vec<String> = nearest.iter().map(|one| Quoted(one).to_string()).collect();
    let nearest = quoted.join(" and ");
    let remedy = match (more, fewer) {
        _ if nearest.is_empty() => "list the origins that are meant".to_owned(),
        (Some(more), Some(fewer)) => {
            format!("write {nearest} if that is meant: it allows {more} too, and {fewer} no longer")
        }
        (Some(more), None) => format!("write {nearest} if that is meant: it allows {more} too"),
        (None, Some(fewer)) => {
            format!(
                "write {nearest} if that is meant: it does not allow {fewer}, which was allowed"
            )
        }
        (None, None) => format!("write {nearest}"),
    };
    (clause, remedy)
}

fn text_prefix(prefix: &str) -> (String, String) {
    let clause = match prefix.strip_suffix('/') {
        Some(path) => {
            format!("the policy is for {} too now, and not only for what is below it", Quoted(path))
        }
        None => format!(
            "paths were compared byte by byte, so that {} was meant too; it is {} and what is below it now",
            Quoted(&format!("{prefix}x")),
            Quoted(prefix),
        ),
    };
    (clause, String::new())
}
