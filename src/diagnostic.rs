//! What a user reads about a configuration. Every sentence stands here; the
//! filter logs them, `envoy-cors lint` prints them.

use std::fmt;

use crate::origin::Malformed;
use crate::pattern::InvalidPattern;

/// A problem, where it is, and the value that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The path of the field, as in `policies[1].allowOrigins[0]`; empty for
    /// the configuration as a whole.
    pub at: String,
    /// The offending text, where it is one.
    pub value: Option<String>,
    /// What is wrong.
    pub problem: Problem,
}

impl Diagnostic {
    /// A problem of a field.
    #[must_use]
    pub fn new(at: &str, problem: Problem) -> Self {
        Self { at: at.to_owned(), value: None, problem }
    }

    /// A problem of a text in a field.
    #[must_use]
    pub fn about(at: &str, value: &str, problem: Problem) -> Self {
        Self { value: Some(value.to_owned()), ..Self::new(at, problem) }
    }

    /// Whether the filter refuses the configuration for it.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.problem.severity()
    }
}

/// One line: the place, the value, a clause that says why, and the remedy.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = if self.at.is_empty() { "configuration" } else { &self.at };
        write!(f, "{}: ", at.escape_debug())?;
        if let Some(value) = &self.value {
            write!(f, "{}: ", Quoted(value))?;
        }
        write!(f, "{}", self.problem)
    }
}

/// What the filter does about a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It refuses the configuration.
    Error,
    /// It says so and goes on.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// All problems of one configuration, in the order they were found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.0.push(diagnostic);
    }

    /// Whether the configuration is refused.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
    }

    /// The problems.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What can be wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is no configuration.
    Empty,
    /// A binary `google.protobuf.Struct`.
    StructBytes,
    /// Not JSON, with the parser's own words.
    NotJson(String),
    /// A field that does not exist here.
    UnknownField {
        /// Its name.
        name: String,
        /// What kind of object it stands in.
        place: &'static str,
        /// The field that may have been meant.
        resembles: Option<&'static str>,
        /// All fields that exist here.
        known: Vec<&'static str>,
    },
    /// A field given before, maybe in the other spelling.
    FieldTwice {
        /// The first of them.
        first: String,
    },
    /// A value of another type.
    WrongType {
        /// What belongs here.
        expected: &'static str,
        /// What stands here.
        found: &'static str,
    },
    /// A word outside a fixed set.
    NotOneOf(Vec<&'static str>),
    /// Neither whole seconds nor a duration.
    MaxAge,
    /// More than a day.
    MaxAgeTooLarge,

    /// No time to flush counters after.
    FlushInterval,
    /// No time between two reports.
    ReportInterval,
    /// `policies` without a policy.
    EmptyPolicies,
    /// A named policy without a name.
    NoName,
    /// A name outside its grammar.
    InvalidName,
    /// The name of the top-level policy.
    ReservedName,
    /// A name given before, and where.
    NameTwice(String),
    /// A named policy without `match`.
    NoMatch,
    /// A `match` without hosts and path prefixes.
    EmptyMatch,
    /// An empty list of hosts or path prefixes.
    EmptyMatchList,
    /// Something that is not the name of a host.
    Host(InvalidHost),
    /// Something that is not the beginning of a path.
    PathPrefix(InvalidPathPrefix),
    /// The same host and path prefix in another policy, and where.
    SameScope(String),
    /// The same host or path prefix in the same list.
    ScopeTwice(String),
    /// Requests that no policy matches are left alone.
    NoDefault,

    /// A policy without `allowOrigins`.
    NoAllowOrigins,
    /// Origins per environment, and no environment.
    NoEnvironment,
    /// An environment that `allowOrigins` does not name.
    UnknownEnvironment {
        /// The environment.
        name: String,
        /// The ones that are named.
        known: Vec<String>,
    },
    /// Something that no browser sends, and what may have been meant.
    Pattern(InvalidPattern, Option<String>),
    /// `*` with credentials.
    AnyWithCredentials,
    /// `null` with credentials.
    NullWithCredentials,
    /// `http:` with credentials.
    InsecureWithCredentials,
    /// A wildcard on a public suffix with credentials.
    PublicSuffixWithCredentials,
    /// `null`
    Null,
    /// An origin beside `*`.
    BesideAny,
    /// An entry that stands in the list already, and where.
    EntryTwice(String),
    /// An origin that a wildcard of the same list contains.
    CoveredBy(String),

    /// A method that is not a token.
    InvalidMethod,
    /// A method that no page can send.
    ForbiddenMethod,
    /// A method that is never asked for.
    SafelistedMethod,
    /// A header name that is not a token.
    InvalidHeader,
    /// A request header that no page can set.
    ForbiddenRequestHeader,
    /// A response header that no page can read.
    ForbiddenResponseHeader,
    /// A response header that every page can read.
    SafelistedResponseHeader,
    /// A header of the CORS protocol.
    ProhibitedHeader,
    /// `*` in `exposeHeaders` with credentials.
    AnyExposedWithCredentials,
    /// `unmatchedPreflights: forward` with `upstreamHeaders: replace`.
    ForwardAndReplace,
}

/// Why a text is not a host of `match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHost {
    /// `*` alone.
    Any,
    /// A `*` elsewhere than in `*.` at the start.
    MisplacedWildcard,
    /// `*.` before an address.
    WildcardAddress,
    /// A scheme, or a whole URL.
    Scheme,
    /// A port.
    Port,
    /// Outside the grammar of hosts.
    Malformed(Malformed),
}

/// Why a text is not a path prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidPathPrefix {
    /// It does not begin with a slash.
    NoSlash,
    /// A `?` or `#`.
    Query,
    /// A `*`, which has no meaning here.
    Wildcard,
    /// A byte that browsers percent-encode.
    NotEncoded,
    /// Servers may read it differently.
    Ambiguous,
}

impl Problem {
    fn severity(&self) -> Severity {
        match self {
            Self::ScopeTwice(_)
            | Self::NoDefault
            | Self::Null
            | Self::BesideAny
            | Self::EntryTwice(_)
            | Self::CoveredBy(_)
            | Self::SafelistedMethod
            | Self::SafelistedResponseHeader
            | Self::ForwardAndReplace => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson(error) => write!(
                f,
                "not valid JSON ({error}); write the policy as JSON text in a google.protobuf.StringValue"
            ),
            Self::UnknownField { name, place, resembles, known } => {
                unknown_field(f, name, place, *resembles, known)
            }
            Self::FieldTwice { first } => {
                write!(f, "given twice, first as {}; keep one of them", Quoted(first))
            }
            Self::WrongType { expected, found: found @ "null" } if expected.contains("string") => {
                write!(f, "is {found}; write {expected}, in quotes if you mean the text \"null\"")
            }
            Self::WrongType { expected, found } => write!(f, "is {found}; write {expected}"),
            Self::NotOneOf(words) => {
                write!(f, "not a value of this field; write {}", Words(words, "or"))
            }
            Self::NameTwice(first) => {
                write!(f, "{first} has this name already; give each policy a name of its own")
            }
            Self::SameScope(other) => write!(
                f,
                "{other} matches the same requests, so neither is more specific; merge the two policies or narrow one"
            ),
            Self::ScopeTwice(other) | Self::EntryTwice(other) => {
                write!(f, "stands at {other} already; remove it")
            }
            Self::NoEnvironment => f.write_str(
                "lists origins per environment, but no environment is chosen; write \"environment\" at the top level or set CORS_ENVIRONMENT in the VM",
            ),
            Self::UnknownEnvironment { name, known } => {
                write!(f, "has no list for the environment {}", Quoted(name))?;
                if !known.is_empty() {
                    write!(f, ", only for {}", Words(known, "and"))?;
                }
                f.write_str("; add one (`[]` grants nobody) or choose another environment")
            }
            Self::Pattern(why, meant) => {
                let (clause, remedy) = invalid_pattern(*why);
                match meant {
                    Some(meant) => write!(f, "{clause}; write {}", Quoted(meant)),
                    None => write!(f, "{clause}; {remedy}"),
                }
            }
            Self::CoveredBy(pattern) => {
                write!(f, "already allowed by {}; remove one of them", Quoted(pattern))
            }
            Self::Host(why) => f.write_str(invalid_host(*why)),
            Self::PathPrefix(why) => f.write_str(invalid_path_prefix(*why)),
            Self::Empty => f.write_str("there is none, and a filter without a policy would protect nothing; write a policy as JSON text, at least {\"allowOrigins\": []}, which grants nobody"),
            Self::StructBytes => f.write_str("arrived as a binary google.protobuf.Struct, which Envoy does not turn into JSON for Wasm filters; write it as {\"@type\": \"type.googleapis.com/google.protobuf.StringValue\", \"value\": \"{…}\"} with the JSON text as the value"),
            Self::MaxAge => f.write_str("not a whole number of seconds; write seconds (7200) or a duration of h, m, s and ms (\"2h\", \"1h30m\")"),
            Self::MaxAgeTooLarge => f.write_str("more than a day, which no browser honours; write 86400 or less (Chromium honours 7200)"),
            Self::FlushInterval => f.write_str("not a time from 100ms to 1h; write seconds (1) or a duration of h, m, s and ms (\"1s\", \"500ms\")"),
            Self::ReportInterval => f.write_str("neither 0s, for no report, nor a time from 1s to 24h; write seconds (10) or a duration of h, m, s and ms (\"10s\", \"5m\")"),
            Self::EmptyPolicies => f.write_str("has no policy in it; add one, or leave the field out and write one policy at the top level"),
            Self::NoName => f.write_str("has no name; add \"name\": it names the policy's counters and log lines"),
            Self::InvalidName => f.write_str("not a name for counters and log lines; use 1 to 63 of a-z, 0-9, hyphen and underscore"),
            Self::ReservedName => f.write_str("means the policy at the top level; choose another name"),
            Self::NoMatch => f.write_str("has no match, so no request would be its own; add \"match\" with \"hosts\", \"pathPrefixes\" or both, or move its fields to the top level"),
            Self::EmptyMatch => f.write_str("matches no request; add \"hosts\", \"pathPrefixes\" or both"),
            Self::EmptyMatchList => f.write_str("matches no request; name at least one, or leave the field out to match all"),
            Self::NoDefault => f.write_str("requests that match no policy pass untouched, with the CORS headers that upstream gives them; add \"allowOrigins\": [] at the top level to grant them nothing"),
            Self::NoAllowOrigins => f.write_str("missing; list the origins that may read responses (`[]` grants nobody)"),
            Self::AnyWithCredentials => f.write_str("every site could act as the user who is logged in; list the origins, or leave allowCredentials out"),
            Self::NullWithCredentials => f.write_str("any page can send this origin from a sandboxed frame, and would act as the user who is logged in; list real origins, or leave allowCredentials out"),
            Self::InsecureWithCredentials => f.write_str("whoever is on the network path can run a script there and act as the user who is logged in; use https, or set dangerouslyAllowInsecureOrigins"),
            Self::PublicSuffixWithCredentials => f.write_str("anybody can register a name there and act as the user who is logged in; name the domain that you own, or set dangerouslyAllowPublicSuffixes"),
            Self::Null => f.write_str("any page can send this origin from a sandboxed frame, so it grants everybody; list real origins"),
            Self::BesideAny => f.write_str("does nothing beside \"*\"; remove it, or remove \"*\""),
            Self::InvalidMethod => f.write_str("not a method name; write one method an element, as in \"PATCH\""),
            Self::ForbiddenMethod => f.write_str("no page can send this method; remove it"),
            Self::SafelistedMethod => f.write_str("does nothing, browsers never ask for GET, HEAD and POST; remove it"),
            Self::InvalidHeader => f.write_str("not a header name; write one name an element, as in \"content-type\""),
            Self::ForbiddenRequestHeader => f.write_str("no page can set this header, the browser does; remove it"),
            Self::ForbiddenResponseHeader => f.write_str("no page can ever read this header; remove it"),
            Self::SafelistedResponseHeader => f.write_str("does nothing, every page can read this header; remove it"),
            Self::ProhibitedHeader => f.write_str("belongs to the CORS protocol, which browser and filter speak themselves; remove it"),
            Self::AnyExposedWithCredentials => f.write_str("browsers take \"*\" for a header of that name when there are credentials; list the headers"),
            Self::ForwardAndReplace => f.write_str("upstream may approve a preflight whose response is then stripped; set upstreamHeaders to \"keep\", or reject these preflights"),
        }
    }
}

fn unknown_field(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    place: &str,
    resembles: Option<&str>,
    known: &[&str],
) -> fmt::Result {
    write!(f, "{place} has no field {}; ", Quoted(name))?;
    match (name, resembles) {
        ("name" | "match", _) => f.write_str("it belongs to an element of \"policies\""),
        ("policies" | "environment" | "flushInterval" | "reportInterval" | "usageReport", _) => {
            f.write_str("it belongs to the top level")
        }
        (_, Some(meant)) => write!(f, "did you mean {}?", Quoted(meant)),
        _ => write!(f, "remove it, or use one of {}", Words(known, "and")),
    }
}

fn invalid_pattern(why: InvalidPattern) -> (&'static str, &'static str) {
    match why {
        InvalidPattern::Malformed(why) => malformed(why),
        InvalidPattern::MisplacedWildcard => (
            "a wildcard can only be a whole \"*.\" before the host or \":*\" for the port",
            "write a pattern like \"https://*.example.com\" or \"http://localhost:*\", or \"*\" alone for every origin",
        ),
        InvalidPattern::RegularExpression => (
            "a pattern is not a regular expression",
            "write one like \"https://*.example.com\" or \"http://localhost:*\", or list the origins",
        ),
        InvalidPattern::WildcardAddress => {
            ("an IP address has no sub-domains", "write the address without \"*.\"")
        }
    }
}

fn malformed(why: Malformed) -> (&'static str, &'static str) {
    match why {
        Malformed::UpperCase => ("browsers send origins in lower case", "write it in lower case"),
        Malformed::Unicode => (
            "browsers send the ASCII form of a host",
            "write its A-labels, as in \"https://xn--bcher-kva.example\"",
        ),
        Malformed::NoScheme => (
            "an origin begins with a scheme and \"://\"",
            "write it as in \"https://app.example.com\"",
        ),
        Malformed::Scheme => (
            "the scheme is not one",
            "begin with a letter, then letters, digits, \"+\", \"-\" and \".\", 64 at most",
        ),
        Malformed::FileScheme => {
            ("pages from files have the origin \"null\"", "serve the page over http or https")
        }
        Malformed::UserInfo => ("an origin holds no user name", "remove what stands before \"@\""),
        Malformed::TrailingSlash => ("an origin does not end in a slash", "remove it"),
        Malformed::Path => {
            ("an origin has no path, query or fragment", "end it behind the host or port")
        }
        Malformed::NoHost => ("there is no host", "write one behind \"://\""),
        Malformed::LongHost => {
            ("the host is longer than 253 bytes, so no name server knows it", "shorten it")
        }
        Malformed::EmptyLabel => {
            ("the host has two dots in a row, or one at its start", "remove one")
        }
        Malformed::LongLabel => ("a part of the host is longer than 63 bytes", "shorten it"),
        Malformed::HostByte => (
            "the host holds a character that is none of letter, digit, hyphen, underscore and dot",
            "remove it",
        ),
        Malformed::ALabel => (
            "a part of the host begins with \"xn--\" and is not the ASCII form of a name",
            "write the form that the browser's address bar gives when copied",
        ),
        Malformed::Ipv4 => (
            "a host that ends in a number is an IPv4 address in four decimals",
            "write it as in \"http://127.0.0.1\"",
        ),
        Malformed::Ipv6 => (
            "an address in brackets is IPv6, lower-case and compressed",
            "write it as in \"http://[::1]:8080\"",
        ),
        Malformed::Port => (
            "the port is not a number from 1 to 65535 without leading zeros",
            "write it as in \"http://localhost:3000\", or \":*\" for any port",
        ),
        Malformed::DefaultPort => {
            ("browsers leave the scheme's default port out", "remove the port")
        }
    }
}

fn invalid_host(why: InvalidHost) -> &'static str {
    match why {
        InvalidHost::Any => "would match every host; leave \"hosts\" out instead",
        InvalidHost::MisplacedWildcard => {
            "a wildcard can only be a whole \"*.\" at the start; write it as in \"*.example.com\""
        }
        InvalidHost::WildcardAddress => {
            "an IP address has no sub-domains; write the address without \"*.\""
        }
        InvalidHost::Scheme => {
            "a host has no scheme and no path; write it as in \"api.example.com\""
        }
        InvalidHost::Port => "a host is matched whatever the port; remove the port",
        InvalidHost::Malformed(Malformed::Unicode) => {
            "clients send the ASCII form of a host; write its A-labels, as in \"xn--bcher-kva.example\""
        }
        InvalidHost::Malformed(Malformed::Ipv4) => {
            "a host that ends in a number is an IPv4 address in four decimals; write it as in \"127.0.0.1\""
        }
        InvalidHost::Malformed(Malformed::Ipv6) => {
            "an address in brackets is IPv6; write it as in \"[::1]\""
        }
        InvalidHost::Malformed(_) => {
            "not the name of a host; write it as in \"api.example.com\" or \"*.example.com\""
        }
    }
}

fn invalid_path_prefix(why: InvalidPathPrefix) -> &'static str {
    match why {
        InvalidPathPrefix::NoSlash => "a path begins with a slash; write it as in \"/api\"",
        InvalidPathPrefix::Query => {
            "a policy is chosen by the path alone; end the prefix before \"?\" or \"#\""
        }
        InvalidPathPrefix::Wildcard => {
            "a prefix covers everything below it without a wildcard; remove the \"*\""
        }
        InvalidPathPrefix::NotEncoded => {
            "clients percent-encode this character; write it as in \"/caf%C3%A9\""
        }
        InvalidPathPrefix::Ambiguous => {
            "servers read this path in different ways; write it without \"//\", dot segments, backslashes, and the encoded forms of characters that need none"
        }
    }
}

/// A text in quotes, safe to print and of bounded length.
pub struct Quoted<'a>(
    /// The text.
    pub &'a str,
);

/// Longest text that is shown whole, in characters: enough for any origin.
const LONGEST_SHOWN: usize = 320;

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.char_indices().nth(LONGEST_SHOWN) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}…", self.0.get(..end).unwrap_or_default()),
        }
    }
}

/// Words in quotes: `"a", "b" or "c"`.
struct Words<'a, T>(&'a [T], &'static str);

impl<T: AsRef<str>> fmt::Display for Words<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.0.iter().enumerate() {
            match index {
                0 => {}
                _ if index + 1 == self.0.len() => write!(f, " {} ", self.1)?,
                _ => f.write_str(", ")?,
            }
            write!(f, "{}", Quoted(word.as_ref()))?;
        }
        Ok(())
    }
}
