//! What a pasted command says of a request, and what of it the page asked for.

use envoy_cors::header;

/// A request as a pasted command describes it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Pasted {
    pub url: Option<String>,
    pub method: Option<String>,
    pub headers: Vec<(String, String)>,
    /// The page, or its origin.
    pub referrer: Option<String>,
    pub mode: Option<String>,
    pub credentials: Option<String>,
    /// Options that nothing was made of.
    pub not_understood: Vec<String>,
}

/// A pasted command, with the headers told apart that are not the page's.
#[derive(Default)]
pub struct Command {
    pub url: Option<String>,
    pub host: Option<String>,
    pub page: Option<String>,
    pub method: Option<String>,
    pub headers: Vec<(String, String)>,
    pub mode: Option<String>,
    pub credentials: Option<String>,
}

impl Command {
    /// What was made of it goes into `notes`.
    pub fn read(pasted: Pasted, notes: &mut Vec<String>) -> Self {
        let mut read = Self {
            url: pasted.url,
            page: pasted.referrer,
            method: pasted.method,
            mode: pasted.mode,
            credentials: pasted.credentials,
            ..Self::default()
        };
        // Only browsers send these.
        let of_browser = pasted.headers.iter().any(|(name, _)| {
            let name = name.to_ascii_lowercase();
            name.starts_with("sec-fetch-") || name.starts_with("sec-ch-")
        });
        let mut browsers = Vec::new();
        let mut announced = (None, None);
        for (name, value) in pasted.headers {
            let lower = name.to_ascii_lowercase();
            match lower.as_str() {
                header::request::ORIGIN => read.page = Some(value),
                "referer" => {
                    read.page.get_or_insert(value);
                }
                "host" => read.host = Some(value),
                "cookie" => {
                    read.credentials.get_or_insert_with(|| "include".to_owned());
                }
                header::request::ACRM => announced.0 = Some(value),
                header::request::ACRH => announced.1 = Some(value),
                _ if is_of_browser(&lower, of_browser) => browsers.push(lower),
                _ => read.headers.push((name, value)),
            }
        }
        if let (Some("OPTIONS"), (Some(method), names)) = (read.method.as_deref(), announced) {
            notes.push("this is a preflight: what it announces is explained".to_owned());
            read.method = Some(method);
            read.headers = names.as_deref().map(announced_headers).unwrap_or_default();
        }
        if !browsers.is_empty() {
            let names = browsers.join(", ");
            notes.push(format!("taken for headers of the browser, not of the page: {names}"));
        }
        if !pasted.not_understood.is_empty() {
            let what = pasted.not_understood.join(", ");
            notes.push(format!("not understood, and left out: {what}"));
        }
        read
    }

    pub fn has_authorization(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    }
}

/// Whether a page would not set this header itself. Some belong to the browser
/// only in a command that a browser made: it adds them to every request, or
/// while its cache is in use or switched off.
fn is_of_browser(name: &str, of_browser: bool) -> bool {
    const ADDED: [&str; 7] = [
        "cache-control",
        "if-modified-since",
        "if-none-match",
        "pragma",
        "priority",
        "upgrade-insecure-requests",
        "user-agent",
    ];
    header::is_forbidden_request_name(name) || (of_browser && ADDED.contains(&name))
}

/// Headers with these names and values for which a browser asks.
fn announced_headers(names: &str) -> Vec<(String, String)> {
    let names = header::elements(names.as_bytes()).filter(|name| !name.is_empty());
    names.map(|name| (String::from_utf8_lossy(name).into_owned(), "\"".to_owned())).collect()
}
