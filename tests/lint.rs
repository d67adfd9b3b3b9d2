//! `envoy-cors lint`, the real binary on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::Command;

struct Row {
    case: &'static str,
    file: &'static str,
    text: &'static [u8],
    arguments: &'static [&'static str],
    status: i32,
    /// Every line, without the name of the file.
    prints: &'static [&'static str],
}

const ROWS: &[Row] = &[
    Row {
        case: "nothing to say",
        file: "cors.yaml",
        text: b"allowOrigins: [https://app.example.com] # reviewed\nmaxAge: 2h\n",
        arguments: &[],
        status: 0,
        prints: &[": 0 errors, 0 warnings"],
    },
    Row {
        case: "warnings alone",
        file: "cors.yaml",
        text: b"allowOrigins:\n- https://app.example.com\n- https://app.example.com\n",
        arguments: &[],
        status: 0,
        prints: &[
            ":3:3: warning: allowOrigins[1]: \"https://app.example.com\": stands at allowOrigins[0] already; remove it",
            ": 0 errors, 1 warning",
        ],
    },
    Row {
        case: "errors in the order of the file",
        file: "cors.yaml",
        text: b"policies:\n  - name: api\n    allow_origins: ['*']\n    allowCredentials: true\n\
            alowOrigins: []\nallowOrigins: []\n",
        arguments: &[],
        status: 1,
        prints: &[
            ":2:5: error: policies[0]: has no match, so no request would be its own; add \"match\" with \"hosts\", \"pathPrefixes\" or both, or move its fields to the top level",
            ":3:21: error: policies[0].allow_origins[0]: \"*\": every site could act as the user who is logged in; list the origins, or leave allowCredentials out",
            ":5:14: error: alowOrigins: the top level has no field \"alowOrigins\"; did you mean \"allowOrigins\"?",
            ": 3 errors, 0 warnings",
        ],
    },
    Row {
        case: "JSON",
        file: "cors.json",
        text: b"{\n  \"allowOrigins\": [\n    \"https://app.example.com/\"\n  ]\n}\n",
        arguments: &[],
        status: 1,
        prints: &[
            ":3:5: error: allowOrigins[0]: \"https://app.example.com/\": an origin does not end in a slash; write \"https://app.example.com\"",
            ": 1 error, 0 warnings",
        ],
    },
    Row {
        case: "a field given twice in JSON",
        file: "cors.json",
        text: b"{\"maxAge\": 1,\n\"allowOrigins\": [],\n\"maxAge\": 2}",
        arguments: &[],
        status: 1,
        prints: &[
            ":1:12: error: maxAge: given twice, first as \"maxAge\"; keep one of them",
            ": 1 error, 0 warnings",
        ],
    },
    Row {
        case: "JSON that ends too soon",
        file: "cors.json",
        text: b"{\"allowOrigins\": [",
        arguments: &[],
        status: 1,
        prints: &[
            ": error: configuration: not valid JSON (EOF while parsing a list at line 1 column 18); write the policy as JSON text in a google.protobuf.StringValue",
            ": 1 error, 0 warnings",
        ],
    },
    Row {
        case: "an empty file",
        file: "cors.yaml",
        text: b"",
        arguments: &[],
        status: 1,
        prints: &[
            ":1:1: error: configuration: there is none, and a filter without a policy would protect nothing; write a policy as JSON text, at least {\"allowOrigins\": []}, which grants nobody",
            ": 1 error, 0 warnings",
        ],
    },
    Row {
        case: "YAML that is none",
        file: "cors.yaml",
        text: b"allowOrigins: [a\nb: 3: 4",
        arguments: &[],
        status: 1,
        prints: &[
            ": error: not valid YAML (illegal placement of ':' indicator at line 2, column 2)",
        ],
    },
    Row {
        case: "bytes that are no text",
        file: "cors.yaml",
        text: b"allowOrigins: [\xff]",
        arguments: &[],
        status: 1,
        prints: &[": error: not valid YAML (invalid utf-8 sequence of 1 bytes from index 15)"],
    },
    Row {
        case: "an environment by argument",
        file: "cors.yaml",
        text: b"allowOrigins: {staging: [], production: [https://app.example.com]}",
        arguments: &["--environment", "production"],
        status: 0,
        prints: &[": 0 errors, 0 warnings"],
    },
    Row {
        case: "an environment that is not there",
        file: "cors.yaml",
        text: b"allowOrigins: {staging: []}",
        arguments: &["--environment", "production"],
        status: 1,
        prints: &[
            ":1:15: error: allowOrigins: has no list for the environment \"production\", only for \"staging\"; add one (`[]` grants nobody) or choose another environment",
            ": 1 error, 0 warnings",
        ],
    },
];

fn lint(arguments: &[&str], file: &Path) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
        .arg("lint")
        .args(arguments)
        .arg(file)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn files_and_what_is_printed() {
    for row in ROWS {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(row.file);
        std::fs::write(&file, row.text).unwrap();
        let (status, printed, complaints) = lint(row.arguments, &file);
        let expected: String =
            row.prints.iter().map(|line| format!("{}{line}\n", file.display())).collect();
        assert_eq!(printed, expected, "{}", row.case);
        assert_eq!((status, complaints.as_str()), (row.status, ""), "{}", row.case);
    }
}

#[test]
fn a_file_that_is_not_there() {
    let (status, printed, complaint) = lint(&[], Path::new("no/such/file.yaml"));
    assert_eq!((status, printed.as_str()), (2, ""));
    assert!(complaint.starts_with("envoy-cors: no/such/file.yaml: No such file"), "{complaint}");
}

#[test]
fn arguments_that_are_wrong() {
    let (status, _, complaint) = lint(&["--enviroment=production"], Path::new("cors.yaml"));
    assert_eq!(status, 2);
    assert!(complaint.contains("--environment"), "{complaint}");
}

const README: &str = include_str!("../README.md");

#[test]
fn the_readmes_transcript_is_what_is_printed() {
    let (_, transcript) = README.split_once("    $ cat cors.yaml\n").unwrap();
    let (file, printed) = transcript.split_once("    $ dist/envoy-cors lint cors.yaml\n").unwrap();
    let unindented = |text: &str| -> String {
        let lines = text.lines().map_while(|line| line.strip_prefix("    "));
        lines.flat_map(|line| [line, "\n"]).collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cors.yaml");
    std::fs::write(&path, unindented(file)).unwrap();
    let (_, actual, _) = lint(&[], &path);
    assert_eq!(actual.replace(path.to_str().unwrap(), "cors.yaml"), unindented(printed));
}

#[test]
fn the_readmes_policies_load() {
    let blocks: Vec<&str> = README.split("```").skip(1).step_by(2).collect();
    let json = blocks.iter().filter_map(|block| block.strip_prefix("json\n"));
    // What stands below these fields in a manifest is ours.
    let fields = ["pluginConfig:", "config: # the policy"];
    let yaml = blocks.iter().filter_map(|block| block.strip_prefix("yaml\n"));
    let embedded = yaml.flat_map(|block| {
        fields.into_iter().filter_map(move |field| {
            let (before, after) = block.split_once(field)?;
            let indent = before.lines().last()?.len();
            let below = |line: &&str| line.len() - line.trim_start().len() > indent;
            Some(after.lines().skip(1).take_while(below).flat_map(|line| [line, "\n"]).collect())
        })
    });
    let policies: Vec<(&str, String)> = json
        .map(|policy| ("policy.json", (*policy).to_owned()))
        .chain(embedded.map(|policy: String| ("policy.yaml", policy)))
        .collect();
    assert_eq!(policies.len(), 3);
    for (name, policy) in policies {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, &policy).unwrap();
        let (status, printed, _) = lint(&["--environment=production"], &file);
        assert_eq!(status, 0, "{printed}{policy}");
        assert!(printed.ends_with(": 0 errors, 0 warnings\n"), "{printed}{policy}");
    }
}
