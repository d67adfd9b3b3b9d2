//! `envoy-cors explain`, the real binary on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod run;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use run::run;

const FOLDER: &str = "tests/explain";

fn rows<T: DeserializeOwned>(file: &str) -> Vec<T> {
    let text = fs::read_to_string(Path::new(FOLDER).join(file)).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// Exit status, standard output and standard error.
fn explain(arguments: &[String], folder: &Path, stdin: &str) -> (i32, String, String) {
    let command = ["explain".to_owned()];
    run(&[&command, arguments].concat(), folder, stdin)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    case: String,
    arguments: Vec<String>,
    #[serde(default)]
    stdin: String,
    #[serde(default)]
    asks: BTreeMap<String, Value>,
}

#[test]
fn requests_are_understood() {
    let rows: Vec<Asked> = rows("requests.yaml");
    assert!(rows.len() > 20, "only {} rows", rows.len());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("cors.yaml"), "allowOrigins: []\n").unwrap();
    for Asked { case, arguments, stdin, asks } in rows {
        let all: Vec<String> = ["cors.yaml", "--format=json"]
            .map(str::to_owned)
            .into_iter()
            .chain(arguments)
            .collect();
        let (_, printed, complaint) = explain(&all, folder.path(), &stdin);
        assert_eq!(complaint, "", "{case}");
        let mut expected = json!({
            "origin": "https://app.example.com",
            "url": "https://api.example.com/",
            "method": "GET",
            "headers": [],
            "droppedHeaders": [],
            "mode": "cors",
            "credentials": "same-origin",
            "notes": [],
        });
        expected.as_object_mut().unwrap().extend(asks);
        let printed: Value = serde_json::from_str(&printed).unwrap();
        assert_eq!(printed["page"], expected, "{case}");
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Problem {
    case: String,
    arguments: Vec<String>,
    #[serde(default)]
    files: BTreeMap<String, String>,
    says: Vec<String>,
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let rows: Vec<Problem> = rows("problems.yaml");
    assert!(rows.len() > 20, "only {} rows", rows.len());
    for Problem { case, arguments, files, says } in rows {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cors.yaml"), "allowOrigins: []\n").unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (status, printed, complaint) = explain(&arguments, folder.path(), "");
        assert_eq!(complaint.lines().collect::<Vec<_>>(), says, "{case}");
        assert_eq!((status, printed.as_str()), (2, ""), "{case}");
    }
}

#[test]
fn nothing_reaches_the_terminal_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let policy = "allowOrigins: {\"a\\e[31m\": [\"https://a.example\"], c: []}\nenvironment: c\n";
    fs::write(folder.path().join("cors.yaml"), policy).unwrap();
    let curl = "curl https://b.example -H 'x-a: \x1b' -X 'G\x1b' --\x1b -H 'origin: https://a.example/\x1b'";
    for arguments in [&["cors.yaml", "--curl", curl][..], &["cors.yaml", "--curl", curl, "-XPUT"]] {
        let arguments: Vec<_> = arguments.iter().map(|text| (*text).to_owned()).collect();
        let (status, printed, complaint) = explain(&arguments, folder.path(), "");
        assert_eq!((status, complaint.as_str()), (1, ""));
        let unseen: Vec<_> =
            printed.lines().filter(|line| line.contains(char::is_control)).collect();
        assert_eq!(unseen, [""; 0], "{printed}");
    }
}

/// With `BLESS` in the environment, what is printed becomes what is expected.
#[test]
fn transcripts_are_what_is_printed() {
    let mut transcripts = 0;
    for file in fs::read_dir(FOLDER).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        transcripts += 1;
        let transcript = fs::read_to_string(&path).unwrap();
        let (command, _) = transcript.split_once("\n\n").unwrap();
        let words = shlex::split(command.strip_prefix("$ envoy-cors explain ").unwrap()).unwrap();
        let (status, printed, complaint) = explain(&words, Path::new(FOLDER), "");
        assert_eq!(complaint, "", "{command}");
        let actual = format!("{command}\n\n{printed}\n$ echo $?\n{status}\n");
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &actual).unwrap();
        }
        assert_eq!(actual, fs::read_to_string(&path).unwrap(), "{}", path.display());
    }
    assert!(transcripts > 10, "only {transcripts} transcripts");
}
