//! The frame of the command: help, exit status, colours, completions, manual.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::{Command, Output};

use serde_json::Value;

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(arguments).envs(variables.iter().copied()).output().unwrap()
}

fn command(arguments: &[&str]) -> Command {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lint/null-origin");
    let mut command = Command::new(env!("CARGO_BIN_EXE_envoy-cors"));
    command.args(arguments).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command.current_dir(folder);
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn exit_status() {
    for (arguments, status) in [
        (&["lint", "good.yaml"][..], 0),
        (&["lint", "../max-age-capped/bad.yaml"], 0),
        (&["lint", "bad.yaml"], 1),
        (&["lint", "good.yaml", "bad.yaml"], 1),
        (&["lint", "bad.yaml", "--allow=null-origin"], 0),
        (&["lint", "bad.yaml", "nowhere.yaml"], 2),
        (&["lint"], 2),
        (&["lint", "--enviroment=production", "good.yaml"], 2),
        (&["lint", "--allow=nothing", "good.yaml"], 2),
        (&["explain", "--rule=null-origin"], 0),
        (&["explain", "--rule=nothing"], 2),
        (&["explain"], 2),
        (&["man", "nothing"], 2),
        (&["--help"], 0),
        (&["--version"], 0),
        (&[], 2),
    ] {
        assert_eq!(run(arguments, &[]).status.code(), Some(status), "{arguments:?}");
    }
}

/// The verdict of a gate does not depend on who reads what it prints, as in
/// `envoy-cors diff … | head -1`. What cannot be kept is another matter.
#[test]
fn exit_status_without_a_reader() {
    const EXPLAINED: &[&str] = &[
        "explain",
        "good.yaml",
        "--",
        "curl",
        "https://a.example",
        "-H",
        "Origin: https://x.example",
    ];
    for arguments in [
        &["lint", "bad.yaml"][..],
        &["diff", "good.yaml", "bad.yaml", "--deny-widening"],
        &["audit", "good.yaml", "../../audit/log.json", "--deny-new-refusals"],
        EXPLAINED,
    ] {
        let read = run(arguments, &[]);
        assert_eq!(read.status.code(), Some(1), "{arguments:?}");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let unread = command(arguments).stdout(writer).output().unwrap();
        assert_eq!(unread.status.code(), Some(1), "{arguments:?}");
        assert_eq!(text(&unread.stderr), "", "{arguments:?}");
        let full = std::fs::File::create("/dev/full").unwrap();
        let full = command(arguments).stdout(full).output().unwrap();
        assert_eq!(full.status.code(), Some(2), "{arguments:?}");
    }
    // Nor on who reads its complaints.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let refused = ["diff", "good.yaml", "../invalid-origin/bad.yaml"];
    let unread = command(&refused).stderr(writer).output().unwrap();
    assert_eq!(unread.status.code(), Some(2));
}

#[test]
fn mistakes_are_answered_with_what_was_meant() {
    for (arguments, says) in [
        (&["lint", "--enviroment=x", "good.yaml"][..], "'--environment'"),
        (&["explain", "--rule=loopback"], "did you mean loopback-in-production?"),
        (&["lint", "--allow=everything", "x"], "`envoy-cors explain --rules` lists them"),
        (&["man", "nothing"], "there is no command \"nothing\""),
    ] {
        let complaint = text(&run(arguments, &[]).stderr);
        assert!(complaint.contains(says), "{complaint}");
    }
}

/// Output that is no terminal is plain unless colours are asked for.
#[test]
fn colours() {
    let force = ("CLICOLOR_FORCE", "1");
    for (arguments, variables, coloured) in [
        (&[][..], &[][..], false),
        (&["--color=always"], &[], true),
        (&["--color=never"], &[force], false),
        (&[], &[force], true),
        (&[], &[("NO_COLOR", "1")], false),
        (&["--color=always"], &[("NO_COLOR", "1")], true),
    ] {
        for command in [&["lint", "bad.yaml"][..], &["explain", "--rule=null-origin"]] {
            let printed = run(&[command, arguments].concat(), variables).stdout;
            assert_eq!(printed.contains(&0x1b), coloured, "{arguments:?} {variables:?}");
        }
    }
    for format in ["json", "sarif"] {
        let arguments = ["lint", "bad.yaml", "--color=always", "--format", format];
        let printed = run(&arguments, &[]).stdout;
        serde_json::from_slice::<Value>(&printed).unwrap();
    }
}

#[test]
fn help_names_every_command_and_shows_examples() {
    let help = text(&run(&["--help"], &[]).stdout);
    for word in ["lint", "explain", "completions", "man", "Exit status: 0", "config_dump |"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    let help = text(&run(&["lint", "--help"], &[]).stdout);
    for word in ["--environment", "--allow", "--format", "WasmPlugin", "`# envoy-cors:"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}

#[test]
fn completions_and_manual() {
    for (shell, says) in [
        ("bash", "envoy-cors"),
        ("zsh", "#compdef envoy-cors"),
        ("fish", "complete -c envoy-cors"),
        ("elvish", "edit:completion"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = text(&run(&["completions", shell], &[]).stdout);
        assert!(script.contains(says) && script.contains("lint"), "{script}");
    }
    for (arguments, title) in
        [(&["man"][..], ".TH envoy-cors 1"), (&["man", "lint"], ".TH envoy-cors-lint 1")]
    {
        let page = text(&run(arguments, &[]).stdout);
        assert!(page.contains(title), "{page}");
    }
}

/// The date of the public suffix list is that of the package that holds it.
#[test]
fn the_version_dates_the_public_suffix_list() {
    let lock = include_str!("../Cargo.lock");
    let (_, package) = lock.split_once("name = \"psl\"\nversion = \"").unwrap();
    let (version, _) = package.split_once('"').unwrap();
    let printed = text(&run(&["--version"], &[]).stdout);
    let (_, list) = printed.split_once("public suffix list: ").unwrap();
    assert!(
        list.trim_end().ends_with(&format!(" (psl {version})")),
        "{list}: write the day on which psl {version} was published into src/main.rs"
    );
}
