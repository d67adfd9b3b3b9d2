//! What holds for every source, however broken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use envoy_cors::Policies;

use super::Imported;
use crate::cli::document::Document;
use crate::cli::tree::{Content, Node};

/// Sources of all kinds with changes that a hand, a merge or a disk makes.
/// `FUZZ_INPUTS` says how many; ten million passed.
#[test]
fn no_source_panics_and_the_filter_takes_what_it_comes_to() {
    let sources = sources();
    assert!(sources.len() > 15, "only {} sources", sources.len());
    let number = std::env::var("FUZZ_INPUTS").map_or(20_000, |number| number.parse().unwrap());
    let (mut read, mut come_to_policies) = (0, 0);
    for seed in 1..=number {
        let mut random = Random::new(seed);
        let source = &sources[random.below(sources.len())];
        let input = if random.below(2) == 0 {
            let other = &sources[random.below(sources.len())];
            Document::parse(name(), changed(&source.text, &other.text, &mut random))
        } else {
            let (text, mut roots) = (source.text.clone(), source.roots.clone());
            for _ in 0..=random.below(3) {
                change_node(&mut roots, &mut random);
            }
            Ok(Document { name: name(), text, roots })
        };
        match input {
            Err((document, error)) => assert!(error.at <= document.text.len(), "seed {seed}"),
            Ok(document) => {
                read += 1;
                let text = document.text.clone();
                let check = AssertUnwindSafe(|| check(document));
                let Ok(comes_to_policies) = catch_unwind(check) else {
                    panic!("seed {seed}:\n{text}");
                };
                come_to_policies += u64::from(comes_to_policies);
            }
        }
    }
    assert!(read > number / 2 && come_to_policies > number / 4, "{read}, {come_to_policies}");
}

/// Whether a source comes to a policy.
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

fn name() -> String {
    "source.yaml".to_owned()
}

/// The documents of all golden sources.
fn sources() -> Vec<Document> {
    let folders = |of: PathBuf| {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(of).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    };
    let kinds = folders(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import"));
    let files = kinds.into_iter().flat_map(folders).flat_map(folders);
    let is_source =
        |file: &PathBuf| file.file_stem().unwrap().to_str().unwrap().starts_with("source");
    let texts = files.filter(is_source).map(|file| std::fs::read_to_string(file).unwrap());
    let parse = |text: &str| Document::parse(name(), text.into()).map_err(|_| ()).unwrap();
    texts.flat_map(|text| text.split("\n---\n").map(parse).collect::<Vec<_>>()).collect()
}

/// A text with some of its bytes or lines changed, those of another put into it, or
/// its end cut off.
fn changed(text: &str, other: &str, random: &mut Random) -> Vec<u8> {
    let lines = |text: &[u8]| -> Vec<Vec<u8>> {
        text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (mut text, other) = (text.as_bytes().to_vec(), lines(other.as_bytes()));
    for _ in 0..=random.below(3) {
        if random.below(2) == 0 {
            let at = random.below(text.len() + 1);
            let byte = BYTES[random.below(BYTES.len())];
            match random.below(8) {
                0..3 => text.insert(at, byte),
                3..7 => text.iter_mut().skip(at).take(1).for_each(|place| *place = byte),
                _ => text.truncate(at),
            }
        } else {
            let mut all = lines(&text);
            let at = random.below(all.len() + 1);
            match random.below(4) {
                0 => all.insert(at, other[random.below(other.len())].clone()),
                1 if at < all.len() => all.insert(at, all[at].clone()),
                2 if at < all.len() => drop(all.remove(at)),
                _ if at + 1 < all.len() => all.swap(at, at + 1),
                _ => {}
            }
            text = all.concat();
        }
    }
    text
}

const BYTES: &[u8] = b"\"'{}[],:-*&!|>#%@`~?/.\\^$()+ \n\t\0\x1b\x7f\x80\xc3\xffaAzZ019";

/// Puts one node in the place of another, or a value of another type, or none.
fn change_node(roots: &mut [Node], random: &mut Random) {
    let mut all = Vec::new();
    for root in roots.iter() {
        root.walk(&mut |node| all.push(node.content.clone()));
    }
    let content = match random.below(10) {
        0 => Content::Null,
        1 => Content::Bool(random.below(2) == 0),
        2 => Content::Number([0.0, -1.0, 0.5, 1e300, 86_401.0][random.below(5)]),
        3 => Content::Text(WORDS[random.below(WORDS.len())].to_owned()),
        4 => Content::List(Vec::new()),
        5 => Content::Map(Vec::new()),
        _ => all[random.below(all.len())].clone(),
    };
    let mut at = random.below(all.len());
    for root in roots {
        put(root, &mut at, &content);
    }
}

/// What has a meaning somewhere.
const WORDS: &[&str] = &[
    "",
    "*",
    "/",
    "null",
    "https://*.example.com",
    "http://localhost:*",
    "https://EXAMPLE.com/",
    "https://münchen.example",
    ".*",
    "(",
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

/// Puts a content into the node of that number, counted from the root.
fn put(node: &mut Node, at: &mut usize, content: &Content) {
    if *at == 0 {
        node.content = content.clone();
    }
    // Below zero, that of no node.
    *at = at.wrapping_sub(1);
    match &mut node.content {
        Content::List(elements) => elements.iter_mut().for_each(|node| put(node, at, content)),
        Content::Map(entries) => entries.iter_mut().for_each(|(_, node)| put(node, at, content)),
        _ => {}
    }
}

/// Marsaglia, "Xorshift RNGs", 2003.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, number: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 1).unwrap() % number
    }
}
