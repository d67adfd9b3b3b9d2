//! The configuration as it was written: JSON (or, for `lint`, YAML) read into
//! fields of the right type. What the values mean is [`crate::policy`]'s to say.
//!
//! Nothing here stops at the first mistake: a field that cannot be read is
//! reported and left at its default, so that the rest is checked as well.

mod fields;
mod value;

use std::borrow::Cow;

use crate::diagnostic::{Diagnostic, Diagnostics, Problem};
use fields::Fields;
pub use fields::snake_case;
pub use value::Value;

/// Whether a policy acts (`enforce`) or only decides (`shadow`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Answers preflights and owns the response headers.
    #[default]
    Enforce,
    /// Touches nothing.
    Shadow,
}

impl Mode {
    /// Its word in configurations and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
        }
    }
}

/// What becomes of an actual request from an origin that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DisallowedRequests {
    /// It goes upstream, and its response is stripped.
    #[default]
    Forward,
    /// It is refused with 403 before upstream sees it.
    Reject,
}

/// What becomes of a preflight from an origin that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnmatchedPreflights {
    /// It is refused with 403.
    #[default]
    Reject,
    /// It is upstream's to answer.
    Forward,
}

/// Who owns ACAO, ACAC and ACEH on responses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamHeaders {
    /// The filter: upstream's are replaced or removed.
    #[default]
    Replace,
    /// Upstream, on a response that already has ACAO.
    Keep,
}

/// A whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Config<'t> {
    /// `environment`
    pub environment: Option<Text>,
    /// `flushInterval`, `reportInterval`, `usageReport`
    pub settings: Settings,
    /// `policies`
    pub policies: Vec<PolicyConfig<'t>>,
    /// The policy fields at the top level, unless there is none beside `policies`.
    pub default: Option<PolicyConfig<'t>>,
}

/// What operators see of the decisions, and how often. For all policies.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `flushInterval`: how long counts may wait in the VM, in milliseconds.
    pub flush_interval: u32,
    /// `reportInterval`: the time between two denied-origin reports, in
    /// milliseconds; 0 for none.
    pub report_interval: u32,
    /// `usageReport`: whether unused entries of allowlists are reported.
    pub usage_report: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { flush_interval: 1_000, report_interval: 10_000, usage_report: false }
    }
}

impl Settings {
    const FIELDS: [&str; 3] = ["flushInterval", "reportInterval", "usageReport"];

    fn from_fields(fields: &mut Fields<'_, '_>) -> Self {
        const SECOND: u32 = 1_000;
        const HOUR: u32 = 3_600 * SECOND;
        let default = Self::default();
        let flush = |time| (SECOND / 10..=HOUR).contains(&time);
        let report = |time| time == 0 || (SECOND..=24 * HOUR).contains(&time);
        Self {
            flush_interval: fields
                .interval("flushInterval", flush, Problem::FlushInterval)
                .unwrap_or(default.flush_interval),
            report_interval: fields
                .interval("reportInterval", report, Problem::ReportInterval)
                .unwrap_or(default.report_interval),
            usage_report: fields.flag("usageReport"),
        }
    }
}

/// The fields of one policy.
#[derive(Clone, Debug, Default)]
pub struct PolicyConfig<'t> {
    /// Its place: `policies[0]`, or nothing for the top level.
    pub at: String,
    /// `name`
    pub name: Option<Text>,
    /// `match`
    pub scope: Option<ScopeConfig<'t>>,
    /// `allowOrigins`
    pub allow_origins: Option<OriginsConfig<'t>>,
    /// `allowMethods`
    pub allow_methods: List<'t>,
    /// `allowHeaders`
    pub allow_headers: List<'t>,
    /// `exposeHeaders`
    pub expose_headers: List<'t>,
    /// `maxAge`, in seconds
    pub max_age: Option<u32>,
    /// `allowCredentials`
    pub allow_credentials: bool,
    /// `mode`
    pub mode: Mode,
    /// `disallowedRequests`
    pub disallowed_requests: DisallowedRequests,
    /// `unmatchedPreflights`
    pub unmatched_preflights: UnmatchedPreflights,
    /// `upstreamHeaders`
    pub upstream_headers: UpstreamHeaders,
    /// `dangerouslyAllowInsecureOrigins`
    pub dangerously_allow_insecure_origins: bool,
    /// `dangerouslyAllowPublicSuffixes`
    pub dangerously_allow_public_suffixes: bool,
}

/// `match`: the requests that a named policy is for.
#[derive(Clone, Debug, Default)]
pub struct ScopeConfig<'t> {
    /// Its place.
    pub at: String,
    /// `hosts`
    pub hosts: Option<List<'t>>,
    /// `pathPrefixes`
    pub path_prefixes: Option<List<'t>>,
}

/// `allowOrigins`, in either of its forms.
#[derive(Clone, Debug)]
pub enum OriginsConfig<'t> {
    /// One list for every environment.
    Same(List<'t>),
    /// A list an environment.
    PerEnvironment {
        /// Its place.
        at: String,
        /// Environments by name, in the order they were written.
        lists: Vec<(String, List<'t>)>,
    },
}

/// A text and its place.
#[derive(Clone, Debug)]
pub struct Text {
    /// The path of the field.
    pub at: String,
    /// What it says.
    pub text: String,
}

/// A list of texts and its place.
#[derive(Clone, Debug, Default)]
pub struct List<'t> {
    /// The path of the field.
    pub at: String,
    /// The texts with their index in the list: elements of another type were
    /// reported and left out. They borrow from the configuration: a list may
    /// have a hundred thousand.
    pub items: Vec<(usize, Cow<'t, str>)>,
}

impl List<'_> {
    /// The path of the element that stands at `index`.
    #[must_use]
    pub fn path(&self, index: usize) -> String {
        element_path(&self.at, index)
    }
}

/// The path of a field of the object at `at`, as in `policies[0].match`. The
/// whole configuration is at the empty path.
#[must_use]
pub fn field_path(at: &str, field: &str) -> String {
    if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") }
}

/// The path of an element of the list at `at`, as in `policies[0]`.
#[must_use]
pub fn element_path(at: &str, index: usize) -> String {
    format!("{at}[{index}]")
}

/// Longest time that a browser may be asked to cache a preflight for, in
/// seconds: no browser goes beyond a day.
pub const MAX_MAX_AGE: u32 = 86_400;

impl<'t> Config<'t> {
    /// Reads the bytes that Envoy hands over.
    ///
    /// Problems are added to `problems`. `None` means that the text cannot be
    /// read as JSON at all.
    #[must_use]
    pub fn from_json(bytes: &'t [u8], problems: &mut Diagnostics) -> Option<Self> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.trim_ascii().is_empty() {
            problems.push(Diagnostic::new("", Problem::Empty));
            return None;
        }
        match serde_json::from_slice(bytes) {
            Ok(value) => Self::from_value(value, problems),
            Err(_) if is_struct(bytes) => {
                problems.push(Diagnostic::new("", Problem::StructBytes));
                None
            }
            Err(error) => {
                problems.push(Diagnostic::new("", Problem::NotJson(error.to_string())));
                None
            }
        }
    }

    /// Reads a tree that was parsed from JSON or YAML.
    #[must_use]
    pub fn from_value(value: Value<'t>, problems: &mut Diagnostics) -> Option<Self> {
        if value == Value::Null {
            problems.push(Diagnostic::new("", Problem::Empty));
            return None;
        }
        let mut fields = Fields::of(String::new(), value, problems)?;
        let environment = fields.text("environment");
        let settings = Settings::from_fields(&mut fields);
        let policies = fields.take("policies").map(|(at, value)| {
            let policies = fields.elements(&at, value);
            if policies.as_ref().is_some_and(Vec::is_empty) {
                fields.report(&at, Problem::EmptyPolicies);
            }
            policies.unwrap_or_default()
        });
        let is_default = policies.is_none() || fields.any_of(&POLICY_FIELDS);
        let default = PolicyConfig::from_fields(&mut fields);
        fields.finish(
            "the top level",
            &[&["environment", "policies"], &POLICY_FIELDS, &Settings::FIELDS],
        );
        Some(Self {
            environment,
            settings,
            policies: policies
                .unwrap_or_default()
                .into_iter()
                .filter_map(|(at, value)| PolicyConfig::named(at, value, problems))
                .collect(),
            default: is_default.then_some(default),
        })
    }
}

/// The fields that every policy may have.
const POLICY_FIELDS: [&str; 12] = [
    "allowOrigins",
    "allowMethods",
    "allowHeaders",
    "exposeHeaders",
    "maxAge",
    "allowCredentials",
    "mode",
    "disallowedRequests",
    "unmatchedPreflights",
    "upstreamHeaders",
    "dangerouslyAllowInsecureOrigins",
    "dangerouslyAllowPublicSuffixes",
];

impl<'t> PolicyConfig<'t> {
    fn named(at: String, value: Value<'t>, problems: &mut Diagnostics) -> Option<Self> {
        let mut fields = Fields::of(at, value, problems)?;
        let name = fields.text("name");
        let scope = fields.take("match");
        let policy = Self { name, ..Self::from_fields(&mut fields) };
        fields.finish("a policy", &[&["name", "match"], &POLICY_FIELDS]);
        let scope = scope.map(|(at, value)| ScopeConfig::from_value(at, value, problems));
        Some(Self { scope, ..policy })
    }

    fn from_fields(fields: &mut Fields<'_, 't>) -> Self {
        Self {
            at: fields.at.clone(),
            name: None,
            scope: None,
            allow_origins: fields.origins("allowOrigins"),
            allow_methods: fields.list("allowMethods").unwrap_or_default(),
            allow_headers: fields.list("allowHeaders").unwrap_or_default(),
            expose_headers: fields.list("exposeHeaders").unwrap_or_default(),
            max_age: fields.max_age("maxAge"),
            allow_credentials: fields.flag("allowCredentials"),
            mode: fields.one_of("mode", &[("enforce", Mode::Enforce), ("shadow", Mode::Shadow)]),
            disallowed_requests: fields.one_of(
                "disallowedRequests",
                &[("forward", DisallowedRequests::Forward), ("reject", DisallowedRequests::Reject)],
            ),
            unmatched_preflights: fields.one_of(
                "unmatchedPreflights",
                &[
                    ("reject", UnmatchedPreflights::Reject),
                    ("forward", UnmatchedPreflights::Forward),
                ],
            ),
            upstream_headers: fields.one_of(
                "upstreamHeaders",
                &[("replace", UpstreamHeaders::Replace), ("keep", UpstreamHeaders::Keep)],
            ),
            dangerously_allow_insecure_origins: fields.flag("dangerouslyAllowInsecureOrigins"),
            dangerously_allow_public_suffixes: fields.flag("dangerouslyAllowPublicSuffixes"),
        }
    }
}

impl<'t> ScopeConfig<'t> {
    fn from_value(at: String, value: Value<'t>, problems: &mut Diagnostics) -> Self {
        let Some(mut fields) = Fields::of(at.clone(), value, problems) else {
            return Self { at, ..Self::default() };
        };
        let hosts = fields.list("hosts");
        let path_prefixes = fields.list("pathPrefixes");
        fields.finish("match", &[&["hosts", "pathPrefixes"]]);
        Self { at, hosts, path_prefixes }
    }
}

/// Whether the bytes look like a binary `google.protobuf.Struct`: field 1, a
/// map entry, whose own field 1 is the key.
fn is_struct(bytes: &[u8]) -> bool {
    let Some(length) = bytes.strip_prefix(b"\x0a") else { return false };
    let varint = length.iter().take_while(|b| **b >= 0x80).count() + 1;
    length.get(varint) == Some(&0x0a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_struct_is_told_from_json_that_begins_with_a_line_feed() {
        // {"a": "b"} as protobuf writes it.
        assert!(is_struct(b"\x0a\x08\x0a\x01a\x12\x03\x1a\x01b"));
        let long = [&b"\x0a\x86\x02\x0a\x80\x02"[..], &[b'a'; 256], b"\x12\x00"].concat();
        assert!(is_struct(&long));
        assert!(!is_struct(b"\n{\"allowOrigins\": "));
        assert!(!is_struct(b"{"));
        assert!(!is_struct(b""));
    }
}
