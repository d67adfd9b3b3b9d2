//! What commands print.

use std::io;

/// What became of printing, for a command whose exit status is known before:
/// whoever stopped reading has seen enough, and the status is for another reader.
///
/// # Errors
///
/// All others than a broken pipe: what should have been kept is lost.
pub fn even_unread(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}
