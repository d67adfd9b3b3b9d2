//! The request to explain, put together from arguments and a pasted command.

use envoy_cors::browser::{Credentials, Mode, Request};
use envoy_cors::origin::Origin;
use url::{Position, Url};

use super::pasted::{Command, Pasted};

/// A request as a page makes it.
#[derive(Debug)]
pub struct Asked {
    pub request: Request,
    pub url: Url,
    /// What was made of the command, where that is not plain.
    pub notes: Vec<String>,
}

/// What the arguments say, which wins over a pasted command.
#[derive(Default)]
pub struct Given {
    pub origin: Option<String>,
    pub url: Option<String>,
    pub method: Option<String>,
    pub headers: Vec<(String, String)>,
    pub credentials: Option<Credentials>,
}

impl Asked {
    /// Puts a request together.
    ///
    /// # Errors
    ///
    /// Everything that is missing or wrong, a sentence each.
    pub fn new(given: Given, pasted: Pasted) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let mut notes = Vec::new();
        let include = pasted.credentials.as_deref() == Some("include");
        let command = Command::read(pasted, &mut notes);
        if include && given.credentials.is_none() && command.has_authorization() {
            notes.push(
                "developer tools write \"include\" for every request with an authorization header; \
                 --credentials=omit explains it without credentials"
                    .to_owned(),
            );
        }

        let url = match given.url.or(command.url) {
            None => {
                Err("there is no URL; add --url, as in --url https://api.example.com/v1".into())
            }
            Some(url) => parse_url(&url, command.host.as_deref(), &mut notes),
        };
        let page = match given.origin.or(command.page) {
            None => Err("the page's origin is not known; add --origin, as in --origin https://app.example.com".into()),
            Some(page) => parse_page(&page, &mut notes),
        };
        let mode = command.mode.as_deref().map_or(Ok(Mode::Cors), parse_mode);
        let credentials = match (given.credentials, &command.credentials) {
            (Some(given), _) => Ok(given),
            (None, Some(written)) => parse_credentials(written),
            (None, None) => Ok(Credentials::SameOrigin),
        };
        let mut keep = |problem: String| problems.push(problem);
        let (url, page) = (url.map_err(&mut keep).ok(), page.map_err(&mut keep).ok());
        let (mode, credentials) = (mode.map_err(&mut keep).ok(), credentials.map_err(keep).ok());
        let (Some(url), Some(page), Some(mode), Some(credentials)) = (url, page, mode, credentials)
        else {
            return Err(problems);
        };

        let headers = command.headers.into_iter().chain(given.headers);
        let request = Request {
            page,
            target: url.origin().ascii_serialization(),
            method: given.method.or(command.method).unwrap_or_else(|| "GET".to_owned()),
            headers: headers.map(|(name, value)| (name, value.into_bytes())).collect(),
            mode,
            credentials,
        };
        Ok(Self { request, url, notes })
    }
}

fn parse_url(text: &str, host: Option<&str>, notes: &mut Vec<String>) -> Result<Url, String> {
    let whole = "write it as in https://api.example.com/v1";
    let mut url =
        Url::parse(text).map_err(|error| format!("{text:?} is no URL: {error}; {whole}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{text:?}: CORS is for http and https only; {whole}"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("{text:?}: no page can ask for a URL with a user name; {whole}"));
    }
    if let Some(host) = host {
        let moved = format!("{}://{host}{}", url.scheme(), &url[Position::BeforePath..]);
        let moved = Url::parse(&moved).ok().filter(|_| !host.contains(['/', '?', '#', '@', '\\']));
        url = moved.ok_or_else(|| format!("the header host: {host:?} is no host"))?;
        let origin = url.origin().ascii_serialization();
        notes.push(format!("asked of {origin}, as the header host says"));
    }
    url.set_fragment(None);
    Ok(url)
}

/// The origin of a page, from itself or from a URL of the page.
fn parse_page(text: &str, notes: &mut Vec<String>) -> Result<String, String> {
    if text == "null" || Origin::parse(text).is_ok() {
        return Ok(text.to_owned());
    }
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(url) = url else {
        return Err(format!(
            "{text:?} is no origin; write it as in https://app.example.com, or null"
        ));
    };
    let origin = url.origin().ascii_serialization();
    if text.strip_suffix('/') != Some(&origin) {
        notes.push(format!("the browser sends {origin} as the origin of {text}"));
    }
    Ok(origin)
}

fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "cors" => Ok(Mode::Cors),
        "no-cors" => Ok(Mode::NoCors),
        "same-origin" => Ok(Mode::SameOrigin),
        _ => Err(format!("{text:?} is no mode of fetch(); it has cors, no-cors and same-origin")),
    }
}

/// Reads a credentials mode.
///
/// # Errors
///
/// If it is none of the three.
pub fn parse_credentials(text: &str) -> Result<Credentials, String> {
    match text {
        "include" => Ok(Credentials::Include),
        "same-origin" => Ok(Credentials::SameOrigin),
        "omit" => Ok(Credentials::Omit),
        _ => Err(format!("{text:?} is no credentials mode; write include, same-origin or omit")),
    }
}

/// Reads `Name: value`.
///
/// # Errors
///
/// If there is no colon.
pub fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once(':').ok_or("write it as in \"content-type: application/json\"")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}
