//! The real command, run to its end.

use std::ffi::OsStr;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Exit status, standard output, standard error.
pub fn run<A: AsRef<OsStr>>(
    arguments: &[A],
    folder: &Path,
    stdin: impl AsRef<[u8]>,
) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_envoy-cors"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_ref());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
