//! What `lint` says beyond the filter's own errors and warnings. Every sentence
//! stands here.

use envoy_cors::diagnostic::Quoted;

use super::rules;

/// A mistake that loads, or something that is worth knowing.
#[derive(Clone, Debug)]
pub enum Smell {
    /// A file without a policy.
    NoPolicy,
    /// A text that is neither YAML nor JSON, with the parser's words.
    Syntax { format: &'static str, message: String, templated: bool },

    /// More values than are compared with each other.
    TooLarge,

    /// A wildcard on a public suffix with credentials.
    PublicSuffixWithCredentials { suffix: String },
    /// A wildcard on a public suffix without credentials.
    PublicSuffix { suffix: String },
    /// A label that begins with `xn--` and that browsers refuse.
    InvalidALabel,
    /// The user's own machine.
    LoopbackInProduction { environment: String },
    /// `http:`
    InsecureInProduction { environment: String },

    /// A production origin that is named like another environment.
    OtherEnvironmentInProduction { other: String },
    /// Production has a wildcard, no other environment has.
    WiderInProduction { environment: String },
    /// Two lists with the same origins.
    IdenticalEnvironments { other: String },
    /// One list is far longer than all others.
    EnvironmentOutlier { entries: usize, longest_other: usize },

    /// A request header that browsers send without asking.
    SafelistedRequestHeader,
    /// A method in lower case that browsers leave as it is.
    MethodCase { upper: String },
    /// `OPTIONS`
    OptionsMethod,
    /// A method that sends content, and no `content-type`.
    ContentTypeNotAllowed,
    /// A method that changes something, and nothing to authenticate with.
    AuthorizationNotAllowed,
    /// `*` without credentials.
    AuthorizationNotCovered,
    /// Headers of gRPC-Web that are not listed.
    IncompleteGrpcWeb { field: &'static str, missing: Vec<&'static str> },
    /// Beyond what Chromium honours, in seconds.
    MaxAgeCapped { seconds: u32 },

    /// A filter that answers before this one, and whether it asks for
    /// credentials.
    FilterBefore { filter: String, authenticates: bool },
    /// A `WasmPlugin` outside the phase `AUTHN`.
    LatePhase { phase: Option<String> },
    /// An `EnvoyExtensionPolicy` without an order.
    GatewayFilterOrder,
    /// Something else that adds CORS headers.
    SecondCorsLayer { what: String },
    /// A module that fails open.
    FailOpen { field: String },

    /// An allowance without a reason.
    AllowWithoutReason { rule: String },
    /// An allowance that no finding is under.
    UnusedAllow { rule: String },
    /// An allowance for an error of the filter.
    RefusedAllow { rule: String },
    /// An allowance for a rule that does not exist.
    UnknownAllow { rule: String, resembles: Option<&'static str> },
}

impl Smell {
    /// The rule that is broken.
    pub fn rule(&self) -> &'static str {
        match self {
            Self::NoPolicy => rules::NO_POLICY,
            Self::Syntax { .. } | Self::TooLarge => rules::SYNTAX,
            Self::PublicSuffixWithCredentials { .. } => rules::PUBLIC_SUFFIX_WITH_CREDENTIALS,
            Self::PublicSuffix { .. } => rules::PUBLIC_SUFFIX,
            Self::InvalidALabel => rules::INVALID_A_LABEL,
            Self::LoopbackInProduction { .. } => rules::LOOPBACK_IN_PRODUCTION,
            Self::InsecureInProduction { .. } => rules::INSECURE_ORIGIN_IN_PRODUCTION,
            Self::OtherEnvironmentInProduction { .. } => rules::OTHER_ENVIRONMENT_IN_PRODUCTION,
            Self::WiderInProduction { .. } => rules::WIDER_IN_PRODUCTION,
            Self::IdenticalEnvironments { .. } => rules::IDENTICAL_ENVIRONMENTS,
            Self::EnvironmentOutlier { .. } => rules::ENVIRONMENT_OUTLIER,
            Self::SafelistedRequestHeader => rules::SAFELISTED_REQUEST_HEADER,
            Self::MethodCase { .. } => rules::METHOD_CASE,
            Self::OptionsMethod => rules::OPTIONS_METHOD,
            Self::ContentTypeNotAllowed => rules::CONTENT_TYPE_NOT_ALLOWED,
            Self::AuthorizationNotAllowed | Self::AuthorizationNotCovered => {
                rules::AUTHORIZATION_NOT_ALLOWED
            }
            Self::IncompleteGrpcWeb { .. } => rules::INCOMPLETE_GRPC_WEB,
            Self::MaxAgeCapped { .. } => rules::MAX_AGE_CAPPED,
            Self::FilterBefore { .. } | Self::LatePhase { .. } => rules::FILTER_BEFORE_CORS,
            Self::GatewayFilterOrder => rules::GATEWAY_FILTER_ORDER,
            Self::SecondCorsLayer { .. } => rules::SECOND_CORS_LAYER,
            Self::FailOpen { .. } => rules::FAIL_OPEN,
            Self::AllowWithoutReason { .. } => rules::ALLOW_WITHOUT_REASON,
            Self::UnusedAllow { .. } | Self::RefusedAllow { .. } | Self::UnknownAllow { .. } => {
                rules::UNUSED_ALLOW
            }
        }
    }

    /// What is wrong, and what to write instead.
    pub fn sentence(&self) -> (String, String) {
        let (clause, remedy): (&str, &str) = match self {
            Self::NoPolicy => (
                "there is no policy in this file",
                "write one (at least `allowOrigins: []`, which grants nobody), or name a file that has one: a bare policy, a WasmPlugin, an EnvoyExtensionPolicy, or an Envoy configuration with the Wasm filter envoy_cors.wasm",
            ),
            Self::Syntax { format, message, templated } => {
                let remedy = if *templated {
                    "a template has no policy yet: render it first, as in `helm template . | envoy-cors lint -`"
                } else {
                    ""
                };
                return (format!("not valid {format}: {message}"), remedy.to_owned());
            }
            Self::TooLarge => (
                "there are more than 20,000 fields, names and hosts, or more than 250,000 origins, so nothing of it was checked",
                "divide it",
            ),
            Self::PublicSuffixWithCredentials { suffix } => {
                return (
                    format!(
                        "anybody can register a name under {suffix} and act as the user who is logged in"
                    ),
                    "name the domain that you own, or set dangerouslyAllowPublicSuffixes"
                        .to_owned(),
                );
            }
            Self::PublicSuffix { suffix } => {
                return (
                    format!(
                        "anybody can register a name under {suffix}, so this is as open as \"*\""
                    ),
                    "name the domain that you own, or write \"*\" if everybody is meant".to_owned(),
                );
            }
            Self::InvalidALabel => (
                "browsers refuse this host, since what follows \"xn--\" is no name in Punycode, so no page has this origin",
                "write the form that the browser's address bar gives when copied",
            ),
            Self::LoopbackInProduction { environment } => {
                return (
                    format!(
                        "any program on a visitor's machine can serve this origin, and {} lets it read responses",
                        Quoted(environment)
                    ),
                    "remove it, or give development an environment of its own".to_owned(),
                );
            }
            Self::InsecureInProduction { environment } => {
                return (
                    format!(
                        "whoever is on the network path can run a script in this origin, and {} lets it read responses",
                        Quoted(environment)
                    ),
                    "use https".to_owned(),
                );
            }
            Self::OtherEnvironmentInProduction { other } => {
                return (
                    format!(
                        "looks like an origin of {}, but stands in the list of production",
                        Quoted(other)
                    ),
                    "remove it: what is tested there could read production's responses".to_owned(),
                );
            }
            Self::WiderInProduction { environment } => {
                return (
                    format!("{} has a wildcard, and no other environment has", Quoted(environment)),
                    "list the origins of production one by one, or test with a wildcard too"
                        .to_owned(),
                );
            }
            Self::IdenticalEnvironments { other } => {
                return (
                    format!("lists the same origins as {}", Quoted(other)),
                    "remove what belongs to the other environment, or write one list for all if that is meant".to_owned(),
                );
            }
            Self::EnvironmentOutlier { entries, longest_other } => {
                return (
                    format!(
                        "has {entries} origins, the longest list of another environment {longest_other}"
                    ),
                    "check that none was put here by mistake".to_owned(),
                );
            }
            Self::SafelistedRequestHeader => (
                "does nothing for ordinary values, browsers send them without asking",
                "remove it, unless scripts send values beyond 128 bytes or with unusual characters",
            ),
            Self::MethodCase { upper } => {
                return (
                    "method names are case-sensitive, and browsers upper-case only DELETE, GET, HEAD, OPTIONS, POST and PUT".to_owned(),
                    format!("write {}", Quoted(upper)),
                );
            }
            Self::OptionsMethod => (
                "is not needed for preflights, only for scripts that send OPTIONS themselves",
                "remove it, unless one does",
            ),
            Self::ContentTypeNotAllowed => (
                "allowed, but allowHeaders has no content-type, so no script can send JSON with it",
                "add \"content-type\" to allowHeaders, unless no content is sent",
            ),
            Self::AuthorizationNotAllowed => (
                "allowed, but there are neither credentials nor a header to authenticate with",
                "add \"authorization\" to allowHeaders, or set allowCredentials, unless strangers may do this",
            ),
            Self::AuthorizationNotCovered => (
                "covers every header but authorization",
                "add \"authorization\" beside it if scripts send tokens",
            ),
            Self::IncompleteGrpcWeb { field, missing } => {
                let names = missing.join(", ");
                return (
                    format!("this policy is for gRPC-Web, whose clients need more in {field}"),
                    format!("add {names}"),
                );
            }
            Self::MaxAgeCapped { seconds } => {
                return (
                    format!(
                        "{seconds} seconds are more than most browsers honour: Firefox 86400, Chromium 7200, Safari 600"
                    ),
                    "write 7200, and expect a preflight every ten minutes from Safari".to_owned(),
                );
            }
            Self::FilterBefore { filter, authenticates } => {
                let clause = if *authenticates {
                    format!(
                        "{filter} stands before the CORS filter: it refuses preflights, which carry no credentials, and its replies have no CORS headers"
                    )
                } else {
                    format!(
                        "{filter} stands before the CORS filter: its replies have no CORS headers, so no page can read them"
                    )
                };
                return (clause, "put the CORS filter first in the chain".to_owned());
            }
            Self::LatePhase { phase } => {
                let clause = match phase {
                    Some(phase) => format!("the phase {} comes after Istio's authentication, which refuses preflights", Quoted(phase)),
                    None => "without a phase, the filter comes after Istio's authentication, which refuses preflights".to_owned(),
                };
                return (clause, "write \"phase: AUTHN\"".to_owned());
            }
            Self::GatewayFilterOrder => (
                "Envoy Gateway puts Wasm filters behind its authentication, which refuses preflights, and no EnvoyProxy among the files says otherwise",
                "add an EnvoyProxy whose filterOrder puts envoy.filters.http.wasm before each kind of authentication in use",
            ),
            Self::SecondCorsLayer { what } => {
                return (
                    format!(
                        "{what} adds CORS headers too: browsers refuse two values, and the wider of two policies holds"
                    ),
                    "remove it, so that one place decides".to_owned(),
                );
            }
            Self::FailOpen { field } => {
                return (
                    format!(
                        "{field}: while the module is down, requests pass without it, and upstream's own CORS headers reach browsers"
                    ),
                    "write FAIL_RELOAD where Envoy has it, else fail closed".to_owned(),
                );
            }
            Self::AllowWithoutReason { rule } => {
                return (
                    format!("{rule} is allowed here, and nobody will know why"),
                    format!("write the reason behind it: \"# envoy-cors: allow {rule}: REASON\""),
                );
            }
            Self::UnusedAllow { rule } => {
                return (
                    format!("{rule} is allowed here, but is not found"),
                    "remove the comment, or put it on the line of the finding or right above it"
                        .to_owned(),
                );
            }
            Self::RefusedAllow { rule } => {
                return (
                    format!(
                        "{rule} cannot be allowed, since the filter refuses the configuration for it"
                    ),
                    "remove the comment and correct the configuration".to_owned(),
                );
            }
            Self::UnknownAllow { rule, resembles } => {
                let remedy = match resembles {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => "`envoy-cors explain --rules` lists them".to_owned(),
                };
                return (format!("there is no rule {}", Quoted(rule)), remedy);
            }
        };
        (clause.to_owned(), remedy.to_owned())
    }
}
