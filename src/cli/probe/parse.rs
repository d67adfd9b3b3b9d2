//! What a user may write, on the command line or in a suite. Errors are a
//! clause and, where there is one, a remedy behind a semicolon.

use std::net::SocketAddr;
use std::time::Duration;

use envoy_cors::diagnostic::Problem;
use envoy_cors::header;
use envoy_cors::origin::Origin;
use envoy_cors::pattern::InvalidPattern;
use url::{ParseError, Url};

use super::client::Address;

/// A URL that a page asks.
pub fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => {
            "it is no URL; write a whole one, as in https://api.example.com/items".to_owned()
        }
        error => error.to_string(),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("only http and https can be probed".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("pages cannot ask a URL with a user name or a password; take it out".into());
    }
    Ok(url)
}

/// What paths are relative to: scheme and host, maybe with the beginning of a
/// path.
pub fn base(text: &str) -> Result<Url, String> {
    let url = url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("paths cannot be added to a query; end it with the path".into());
    }
    Ok(url)
}

/// A URL, or a path below the base.
pub fn target(base: Option<&Url>, text: &str) -> Result<Url, String> {
    match base {
        Some(base) if text.starts_with('/') => below(base, text),
        None if text.starts_with('/') => {
            Err("it is a path; write a whole URL, or say what it is relative to".into())
        }
        _ => url(text),
    }
}

/// A path beside a URL, below the base if that has one.
pub fn beside(base: Option<&Url>, url: &Url, path: &str) -> Result<Url, String> {
    let mut root = url.clone();
    root.set_path("/");
    below(base.unwrap_or(&root), path)
}

fn below(base: &Url, path: &str) -> Result<Url, String> {
    let refused = || format!("{path:?} is no path; begin it with a slash, as in /no/such/page");
    if !path.starts_with('/') || path.starts_with("//") || path.starts_with("/\\") {
        return Err(refused());
    }
    let whole = format!("{}{path}", base.path().trim_end_matches('/'));
    let joined = base.join(&whole).map_err(|_| refused())?;
    if joined.origin() == base.origin() { Ok(joined) } else { Err(refused()) }
}

/// An origin as browsers write it.
pub fn origin(text: &str) -> Result<String, String> {
    match Origin::parse(text) {
        Err(why) if text != "null" => {
            Err(Problem::Pattern(InvalidPattern::Malformed(why), None).to_string())
        }
        _ => Ok(text.to_owned()),
    }
}

/// A method as a page writes it. Whether browsers send it is for them to say.
pub fn method(text: &str) -> Result<String, String> {
    if header::is_token(text.as_bytes()) {
        Ok(text.to_owned())
    } else {
        Err("it is no method".into())
    }
}

/// The name of a header, in lower case.
pub fn header_name(text: &str) -> Result<String, String> {
    if header::is_token(text.as_bytes()) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("it is no header name".into())
    }
}

/// `NAME: VALUE`, or a name alone.
pub fn header_line(text: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let name = header_name(name.trim()).map_err(|_| "write `NAME: VALUE`")?;
    Ok((name, value.trim().as_bytes().to_vec()))
}

/// A duration in seconds.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    // What is less than a nanosecond is rounded to nothing.
    duration.filter(|duration| !duration.is_zero()).ok_or_else(|| "write a number above 0".into())
}

/// `HOST:PORT:ADDRESS`, with IPv6 in brackets.
pub fn address(text: &str) -> Result<Address, String> {
    let parts = || {
        let end = text.find("]:").map_or_else(|| text.find(':'), |end| Some(end + 1))?;
        let (host, rest) = text.split_at_checked(end)?;
        let (port, address) = rest.strip_prefix(':')?.split_once(':')?;
        let port = port.parse().ok()?;
        let address = address.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        let host = host.to_ascii_lowercase();
        Some(Address { host, port, address: SocketAddr::new(address, port) })
    };
    parts().ok_or_else(|| "write it as in api.example.com:443:127.0.0.1".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::hostile;

    #[test]
    fn an_argument_never_panics() {
        const WORDS: &[&str] = &["http://", "[::1]", "]:", "//", "/\\", "1.5", "NaN", "inf", ": "];
        let texts = [
            "https://api.example.com/v1/items?page=1",
            "/items",
            "https://app.example.com",
            "Content-Type: application/json",
            "M-SEARCH",
            "0.25",
            "api.example.com:443:127.0.0.1",
            "[::1]:443:[::1]",
        ];
        let root = Url::parse("https://staging.example.com/v2").unwrap();
        hostile::each(&hostile::samples(texts), WORDS, |bytes| {
            let text = &String::from_utf8_lossy(bytes);
            let target = target(Some(&root), text).ok();
            let beside = beside(None, &root, text).ok();
            assert!(beside.is_none_or(|url| url.origin() == root.origin()));
            let base = base(text).ok();
            assert!(base.is_none_or(|url| url.has_host() && url.query().is_none()));
            assert!(seconds(text).ok().is_none_or(|duration| duration > Duration::ZERO));
            let word =
                [origin(text), method(text), header_name(text)].into_iter().any(|it| it.is_ok());
            let (line, address) = (header_line(text), address(text));
            assert!(line.is_err() || !text.is_empty());
            target.is_some() || word || address.is_ok()
        });
    }
}
