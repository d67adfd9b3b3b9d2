//! Where the module is fetched from, and what its bytes must be.

use envoy_cors::diagnostic::Quoted;
use ring::digest::{SHA256, digest};
use url::Url;

use super::{Arguments, Target};
use crate::cli::input;

/// The module, as manifests name it.
pub struct Module<'a> {
    pub location: Location<'a>,
    /// In 64 lower-case hexadecimal digits; of the image where that is what is
    /// fetched. Absent for a file only.
    pub sha256: Option<String>,
}

/// Where the module is.
#[derive(Clone, Copy)]
pub enum Location<'a> {
    /// In an image of a registry: its reference, without a scheme.
    Image(&'a str),
    /// At a URL.
    Http(&'a str),
    /// A file on the proxy's machine.
    File(&'a str),
}

/// The module that the arguments name.
///
/// # Errors
///
/// All that is wrong with them, a sentence each.
pub fn of(arguments: &Arguments) -> Result<Module<'_>, Vec<String>> {
    let mut problems = Vec::new();
    let location = locate(arguments).map_err(|problem| problems.push(problem)).ok();
    let sha256 = checksum(arguments, location).map_err(|problem| problems.push(problem)).ok();
    match (location, &arguments.cluster) {
        (Some(Location::Http(url)), None) if arguments.to == Target::Envoy => {
            problems.push(format!(
                "--url {}: Envoy fetches it through a cluster of its configuration; add --cluster NAME",
                Quoted(url)
            ));
        }
        (Some(Location::File(_)), Some(cluster)) if arguments.to == Target::Envoy => {
            problems.push(format!(
                "--cluster {}: a file is not fetched; leave it out",
                Quoted(cluster)
            ));
        }
        _ => {}
    }
    match (location, sha256) {
        (Some(location), Some(sha256)) if problems.is_empty() => Ok(Module { location, sha256 }),
        _ => Err(problems),
    }
}

fn locate(arguments: &Arguments) -> Result<Location<'_>, String> {
    let url = arguments.url.as_str();
    let wrong = |why: &str| format!("--url {}: {why}", Quoted(url));
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) || url.is_empty() {
        return Err(wrong(
            "is empty, or has a space or a control character in it; write it without",
        ));
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return match arguments.to {
            Target::Envoy => Ok(Location::File(url)),
            _ => Err(wrong(
                "has no scheme; write oci:// before the name of an image, https:// before the URL of a module",
            )),
        };
    };
    match (scheme, arguments.to) {
        ("http" | "https", _) => {
            let is_whole = |url: &Url| {
                let is_anonymous = url.username().is_empty() && url.password().is_none();
                url.has_host() && is_anonymous && url.path() != "/"
            };
            match Url::parse(url) {
                Ok(parsed) if is_whole(&parsed) => Ok(Location::Http(url)),
                Ok(_) => Err(wrong(
                    "has no path, or a user name or password; write it as in https://files.example.com/envoy_cors.wasm",
                )),
                Err(error) => Err(wrong(&format!(
                    "{error}; write it as in https://files.example.com/envoy_cors.wasm"
                ))),
            }
        }
        ("oci", Target::Envoy) => Err(wrong(
            "Envoy itself fetches no images; write the path of the module, or its https:// URL with --cluster",
        )),
        ("oci", _) => match rest.split_once('/') {
            Some((host, path)) if !host.is_empty() && !path.is_empty() => Ok(Location::Image(rest)),
            _ => Err(wrong(
                "names no image; write it as in oci://registry.example.com/envoy-cors:0.1.0",
            )),
        },
        ("file", Target::IstioGateway | Target::IstioWorkload) if rest.starts_with('/') => {
            Ok(Location::File(rest))
        }
        ("file", Target::IstioGateway | Target::IstioWorkload) => {
            Err(wrong("names no file; write it as in file:///etc/envoy_cors.wasm"))
        }
        ("file", Target::Envoy) => Err(wrong("is no path; write it without file://")),
        ("file", Target::EnvoyGateway) => {
            Err(wrong("Envoy Gateway reads no files of the proxy; write oci:// or https://"))
        }
        _ => Err(wrong("has an unknown scheme; write oci://, https:// or http://")),
    }
}

/// The SHA-256 that the arguments give, in the URL, by itself or by the module.
fn checksum(
    arguments: &Arguments,
    location: Option<Location<'_>>,
) -> Result<Option<String>, String> {
    let url = arguments.url.as_str();
    let of_url = match location {
        Some(Location::Image(image)) => image.rsplit_once("@sha256:").map(|(_, hex)| hex),
        _ => None,
    };
    if let Some(hex) = of_url.filter(|hex| !is_sha256(hex)) {
        return Err(format!(
            "--url {}: {} is no SHA-256; write its 64 lower-case hexadecimal digits",
            Quoted(url),
            Quoted(hex)
        ));
    }
    if let Some(path) = &arguments.wasm {
        let of_wasm = |why: &str| format!("--wasm {}: {why}", Quoted(&path.display().to_string()));
        if let Some(Location::Image(_)) = location {
            return Err(of_wasm(
                "an image is known by its own digest, and not by that of the module in it; write --sha256 with the digest that `docker push` prints",
            ));
        }
        let bytes = input::read(path).map_err(|error| of_wasm(&error.to_string()))?;
        if !bytes.starts_with(b"\0asm") {
            return Err(of_wasm("is no Wasm module; write the file that `make wasm` makes"));
        }
        let digest = digest(&SHA256, &bytes);
        return Ok(Some(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()));
    }
    let Some(given) = &arguments.sha256 else {
        return match (of_url, location) {
            (Some(hex), _) => Ok(Some(hex.to_owned())),
            (None, Some(Location::Image(_))) => Err(format!(
                "--url {}: what is fetched must be known by its SHA-256; add --sha256 with the digest that `docker push` prints, or @sha256: and the digest to the URL",
                Quoted(url)
            )),
            (None, Some(Location::Http(_))) => Err(format!(
                "--url {}: what is fetched must be known by its SHA-256; add --wasm with the same module, or --sha256",
                Quoted(url)
            )),
            _ => Ok(None),
        };
    };
    let hex = given.strip_prefix("sha256:").unwrap_or(given).to_ascii_lowercase();
    if !is_sha256(&hex) {
        return Err(format!(
            "--sha256 {}: is no SHA-256; write its 64 hexadecimal digits",
            Quoted(given)
        ));
    }
    match of_url {
        Some(other) if other != hex => Err(format!(
            "--sha256 {}: the URL ends in another digest; leave one of them out",
            Quoted(given)
        )),
        _ => Ok(Some(hex)),
    }
}

fn is_sha256(hex: &str) -> bool {
    let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    hex.len() == 64 && hex.bytes().all(is_digit)
}
