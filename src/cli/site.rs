//! How a page and the URL that it asks stand to each other, beside their origins.

use envoy_cors::origin::{self, Origin};
use url::Url;

/// Whether browsers refuse to ask at all: a page that came over TLS asks for an
/// URL without. The user's own machine is as good as TLS
/// ([Mixed Content](https://w3c.github.io/webappsec-mixed-content/#should-block-fetch)).
pub fn is_mixed_content(page: &str, url: &Url) -> bool {
    page.starts_with("https://") && !is_trustworthy(url)
}

/// Whether nobody on the way can change what an URL gives.
pub fn is_trustworthy(url: &Url) -> bool {
    url.scheme() == "https" || url.host_str().is_some_and(origin::is_loopback)
}

/// [`Sec-Fetch-Site`](https://w3c.github.io/webappsec-fetch-metadata/#sec-fetch-site-header)
pub fn site(page: &str, url: &Url) -> &'static str {
    let target = url.origin().ascii_serialization();
    if page == target {
        return "same-origin";
    }
    let registrable = |origin: &str| {
        let Origin { scheme, host, .. } = Origin::parse(origin).ok()?;
        let domain = psl::domain_str(host).filter(|_| !origin::is_address(host));
        Some((scheme.to_owned(), domain.unwrap_or(host).to_owned()))
    };
    match (registrable(page), registrable(&target)) {
        (Some(page), Some(target)) if page == target => "same-site",
        _ => "cross-site",
    }
}
