//! The files that commands read.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest text that is read, in bytes: more than any gateway's configuration.
const LONGEST: usize = 64 * 1024 * 1024;

/// Reads a file, or standard input for `-`.
///
/// # Errors
///
/// What the operating system says, and a sentence of ours on a folder and on
/// more than 64 MiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if path == Path::new("-") {
        return bounded(io::stdin().lock());
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::Error::other("is a folder; name the files in it"));
    }
    bounded(file)
}

/// The name of a file as messages show it.
pub fn name(path: &Path) -> String {
    if path == Path::new("-") { "<stdin>".to_owned() } else { path.display().to_string() }
}

/// What is longer is not read to its end, which may never come.
fn bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > LONGEST {
        let sentence = "is larger than 64 MiB; cut out the part that holds the policy";
        return Err(io::Error::other(sentence));
    }
    Ok(bytes)
}
