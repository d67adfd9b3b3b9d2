//! What is asked of one URL.

use envoy_cors::browser::{Credentials, Mode, Request};
use url::Url;

/// A URL, and what pages should be able to do there.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// How reports call it: its URL, if it has no other name.
    pub name: String,
    pub url: Url,
    /// The origins of the pages that should be allowed.
    pub origins: Vec<String>,
    /// Every page should be allowed, without credentials: `origins` are examples.
    pub public: bool,
    /// As pages write them.
    pub methods: Vec<String>,
    /// The headers that pages set.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Pages ask with the user's credentials.
    pub credentials: bool,
    /// Response headers that pages should be able to read, in lower case.
    pub reads: Vec<String>,
    /// What should be refused, beside the strangers.
    pub refused: Vec<Refused>,
    /// A URL of the same host that gives an error, 404 as a rule.
    pub not_found: Option<Url>,
    /// A URL of the same host that demands a login.
    pub unauthorized: Option<Url>,
    /// Rules whose findings are known and meant, each with the reason.
    pub allowed: Vec<(String, String)>,
}

/// Requests that should be refused: of every one of the origins with every one
/// of the methods.
#[derive(Clone, Debug)]
pub struct Refused {
    pub origins: Vec<String>,
    pub methods: Vec<String>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Endpoint {
    /// What a page asks.
    pub fn request(&self, origin: &str, method: &str, headers: &[(String, Vec<u8>)]) -> Request {
        Request {
            page: origin.to_owned(),
            target: self.url.origin().ascii_serialization(),
            method: method.to_owned(),
            headers: headers.to_vec(),
            mode: Mode::Cors,
            credentials: if self.credentials {
                Credentials::Include
            } else {
                Credentials::SameOrigin
            },
        }
    }
}

/// The name of an endpoint without one: the path, if it was written as one.
pub fn name(text: &str, url: &Url) -> String {
    if text.starts_with('/') { text.to_owned() } else { url.to_string() }
}
