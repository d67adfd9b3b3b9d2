//! What holds for every source, however broken.

use std::path::{Path, PathBuf};

use envoy_cors::Policies;

use super::Imported;
use crate::cli::document::Document;
use crate::cli::hostile;

#[test]
fn a_source_never_panics() {
    let samples = hostile::samples(sources());
    assert!(samples.len() > 30, "only {} sources", samples.len());
    hostile::each(&samples, WORDS, |source| {
        Document::parse("source.yaml".to_owned(), source.to_vec()).is_ok_and(check)
    });
}

/// Checks that findings stand in the text, and that the filter takes the policy.
/// Gives whether there is one.
fn check(document: Document) -> bool {
    let imported = Imported::of(vec![document]);
    let text = &imported.documents[0].text;
    for finding in imported.findings() {
        assert!(text.get(finding.span.clone()).is_some(), "{finding:?} is not in the text");
    }
    if imported.configuration.is_empty() {
        return false;
    }
    let policy = serde_json::to_string(&imported.configuration).unwrap();
    let (policies, problems) = Policies::from_json(policy.as_bytes(), None);
    assert!(policies.is_some(), "{problems:?}\n{policy}");
    true
}

/// The golden sources, a document each.
fn sources() -> Vec<String> {
    let entries = |of: PathBuf| {
        let of = std::fs::read_dir(of).into_iter().flatten();
        let mut entries: Vec<PathBuf> = of.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    };
    let kinds = entries(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import"));
    let files = kinds.into_iter().flat_map(entries).flat_map(entries);
    let is_source =
        |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().starts_with("source");
    let texts = files.filter(is_source).map(|file| std::fs::read_to_string(file).unwrap());
    texts.flat_map(|text| text.split("\n---\n").map(str::to_owned).collect::<Vec<_>>()).collect()
}

/// What has a meaning somewhere.
const WORDS: &[&str] = &[
    "https://*.example.com",
    "http://localhost:*",
    "https://EXAMPLE.com/",
    ".*",
    "PUT, *, get",
    "x-a,,cookie",
    "86401",
    "1.5s",
    "*.example.com",
    "example.*",
    "a:80",
    "/a/../b",
    "TEN_THOUSAND",
    "IGNORE",
    "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
];
