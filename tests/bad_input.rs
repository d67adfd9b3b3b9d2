//! What the command does with files that are no policies at all: a clear message and the right exit
//! status, in bounded time and memory.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

const COMMAND: &str = env!("CARGO_BIN_EXE_envoy-cors");

/// Runs `lint` with a minute of CPU time and a gigabyte of memory, beyond which it is ended.
fn lint(arguments: &[&str], folder: &Path, stdin: Stdio) -> (Option<i32>, String, String) {
    let output = Command::new("sh")
        .args(["-c", "ulimit -t 60; ulimit -v 1000000; exec \"$0\" lint \"$@\"", COMMAND])
        .args(arguments)
        .current_dir(folder)
        .stdin(stdin)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A file's bytes, and the only finding in it: its line, column and title.
fn texts() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let bomb = |list: String, level: usize| {
        let above = format!("*a{}", level - 1);
        format!("{list}a{level}: &a{level} [{}]\n", [above.as_str(); 10].join(", "))
    };
    let bomb = (1..12).fold("a0: &a0 [x]\n".to_owned(), bomb);
    let deep = |open: &str| open.repeat(200_000).into_bytes();
    let stairs = (0..500).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<String>();
    let many = |lines, line: fn(usize) -> String| (0..lines).map(line).collect::<String>();
    let utf16 = "allowOrigins: []\n".encode_utf16().flat_map(u16::to_le_bytes);
    let no_policy = "1:1 there is no policy in this file";
    let too_large = "there are more than 20,000 fields, names and hosts, or more than 250,000 origins, so nothing of it was checked";
    let too_large = |line| &*format!("{line} {too_large}").leak();
    vec![
        ("empty.yaml", Vec::new(), no_policy),
        ("blank.yaml", b" \n\t\n".to_vec(), no_policy),
        ("mark.yaml", "\u{feff}".into(), no_policy),
        ("comments.yaml", deep("#\n"), no_policy),
        ("empty.json", Vec::new(), "1:1 not valid JSON: EOF while parsing a value"),
        (
            "cut.json",
            b"{\"allowOrigins\": [\n\"a".to_vec(),
            "2:2 not valid JSON: EOF while parsing a string",
        ),
        (
            "binary.yaml",
            b"\x7fELF\x02\x01\x01\0\0".to_vec(),
            "1:8 not valid YAML: holds a NUL byte, so it is no text",
        ),
        (
            "lines.yaml",
            "allowOrigins: [] # \u{2028}maxAge: 1".into(),
            "1:20 not valid YAML: holds U+0085, U+2028 or U+2029, which in YAML 1.1, as Kubernetes reads it, ends a line and so a comment; remove it",
        ),
        (
            "latin1.yaml",
            b"allowOrigins:\n# caf\xe9\n- a".to_vec(),
            "2:6 not valid YAML: is not UTF-8 from here on",
        ),
        (
            "utf16.yaml",
            b"\xff\xfe".iter().copied().chain(utf16).collect(),
            "1:1 not valid YAML: is not UTF-8 from here on",
        ),
        ("deep.yaml", deep("["), "1:101 not valid YAML: too many levels stand in each other"),
        ("deep.json", deep("["), "1:128 not valid JSON: too many levels stand in each other"),
        ("dashes.yaml", deep("- "), "1:201 not valid YAML: too many levels stand in each other"),
        (
            "stairs.yaml",
            stairs.into_bytes(),
            "101:101 not valid YAML: too many levels stand in each other",
        ),
        (
            "bomb.yaml",
            bomb.into_bytes(),
            "6:40 not valid YAML: there are more or larger aliases than in any configuration",
        ),
        ("fields.yaml", many(30_000, |n| format!("allow{n}: 1\n")).into(), too_large("1:1")),
        (
            "names.yaml",
            ["allowHeaders:\n", &many(30_000, |n| format!("- h{n}\n"))].concat().into(),
            too_large("1:1"),
        ),
        (
            "origins.yaml",
            ["allowOrigins:\n", &many(300_000, |n| format!("- https://h{n}.example\n"))]
                .concat()
                .into(),
            too_large("1:1"),
        ),
    ]
}

#[test]
fn texts_that_are_no_policies() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, expected) in texts() {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let (status, printed, complaint) =
            lint(&[name, "--format=json"], folder.path(), Stdio::null());
        assert_eq!((status, complaint.as_str()), (Some(1), ""), "{name}");
        let report: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let findings = report["findings"].as_array().unwrap();
        let [found] = &findings[..] else { panic!("{name}: {} findings", findings.len()) };
        let message = found["message"].as_str().unwrap();
        let found = format!("{}:{} {message}", found["line"], found["column"]);
        assert_eq!(found, expected, "{name}");
    }
}

/// One long line, and one finding in each of its many entries: nothing is walked over again for each.
#[test]
fn many_findings() {
    let folder = tempfile::tempdir().unwrap();
    let entries = (0..10_000).map(|n| format!("\"https://H{n}.example\",")).collect::<String>();
    let text =
        format!("allowOrigins: [{entries}]\n{}", "# envoy-cors: allow a: b\n".repeat(10_000));
    std::fs::write(folder.path().join("cors.yaml"), text).unwrap();
    for format in ["json", "sarif"] {
        let arguments = ["cors.yaml", "--format", format];
        let (status, printed, _) = lint(&arguments, folder.path(), Stdio::null());
        assert_eq!((status, printed.lines().count() > 20_000), (Some(1), true), "{format}");
    }
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    // 100 MiB, none of which takes room on the disk.
    File::create(folder.path().join("large")).unwrap().set_len(100 << 20).unwrap();
    let too_large = "is larger than 64 MiB; cut out the part that holds the policy";
    for (name, says) in [
        ("nowhere.yaml", "No such file or directory (os error 2)"),
        ("folder", "is a folder; name the files in it"),
        ("large", too_large),
        ("/dev/zero", too_large),
    ] {
        let (status, printed, complaint) = lint(&[name], folder.path(), Stdio::null());
        assert_eq!((status, printed.as_str()), (Some(2), ""), "{name}");
        assert_eq!(complaint, format!("envoy-cors: {name}: {says}\n"));
    }
    let endless = Stdio::from(File::open("/dev/zero").unwrap());
    let (status, _, complaint) = lint(&["-"], folder.path(), endless);
    assert_eq!((status, complaint), (Some(2), format!("envoy-cors: <stdin>: {too_large}\n")));
}

/// The others are checked all the same.
#[test]
fn one_file_of_two_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("cors.yaml"), "allowOrigins: []\n").unwrap();
    let (status, printed, complaint) =
        lint(&["nowhere.yaml", "cors.yaml"], folder.path(), Stdio::null());
    assert_eq!(status, Some(2));
    assert_eq!(printed, "checked 1 policy in 1 file: nothing found\n");
    assert!(complaint.starts_with("envoy-cors: nowhere.yaml: "), "{complaint}");
}
