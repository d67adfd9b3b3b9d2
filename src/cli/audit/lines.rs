//! The lines of log files, compressed or not, in constant memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use indicatif::ProgressBar;

/// Bytes that are read at a time.
const CHUNK: usize = 256 * 1024;

/// Longest line that is kept. Envoy's own limit for all headers of a request
/// is 60 KiB unless it is raised, to 8 MiB at most.
const LONGEST: usize = 1024 * 1024;

/// A file, or standard input, with what of it is in memory.
pub struct Lines {
    reader: Box<dyn Read>,
    buffer: Vec<u8>,
    /// The part of the buffer that was not given out.
    start: usize,
    end: usize,
    done: bool,
    /// How many lines were too long, and left out.
    pub too_long: u64,
}

impl Lines {
    /// Opens a file, or standard input for `-`. `bar` is told of the bytes that
    /// are read.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn open(path: &Path, bar: &ProgressBar) -> io::Result<Self> {
        let file: Box<dyn Read> = if path == Path::new("-") {
            Box::new(io::stdin())
        } else {
            Box::new(File::open(path)?)
        };
        Self::new(bar.wrap_read(file))
    }

    fn new(file: impl Read + 'static) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(CHUNK, file);
        let compressed = file.fill_buf()?.starts_with(b"\x1f\x8b");
        let reader: Box<dyn Read> =
            if compressed { Box::new(Members(Some(GzDecoder::new(file)))) } else { Box::new(file) };
        Ok(Self { reader, buffer: vec![0; CHUNK], start: 0, end: 0, done: false, too_long: 0 })
    }

    /// The next line, without its end.
    ///
    /// # Errors
    ///
    /// What the operating system says, or that compressed data are broken or cut
    /// off. Lines before that place were given out.
    pub fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut searched = 0;
        let mut skipping = false;
        loop {
            let held = self.buffer.get(self.start..self.end).unwrap_or_default();
            let found = memchr::memchr(b'\n', held.get(searched..).unwrap_or_default());
            let line = match found {
                Some(at) => Some((searched + at, searched + at + 1)),
                None if self.done && !held.is_empty() => Some((held.len(), held.len())),
                None => None,
            };
            if let Some((length, taken)) = line {
                let start = self.start;
                self.start += taken;
                searched = 0;
                if std::mem::take(&mut skipping) {
                    continue;
                }
                let line = self.buffer.get(start..start + length).unwrap_or_default();
                return Ok(Some(line.strip_suffix(b"\r").unwrap_or(line)));
            }
            if self.done {
                return Ok(None);
            }
            searched = held.len();
            if searched > LONGEST {
                self.too_long += u64::from(!skipping);
                skipping = true;
                self.start = self.end;
                searched = 0;
            }
            self.fill()?;
        }
    }

    /// Reads more behind what is held.
    fn fill(&mut self) -> io::Result<()> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.end * 2, 0);
        }
        let read = self.reader.read(self.buffer.get_mut(self.end..).unwrap_or_default());
        match read {
            Ok(0) => self.done = true,
            Ok(bytes) => self.end += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                self.done = true;
                return Err(error);
            }
        }
        Ok(())
    }
}

/// Compressed files behind each other, as gzip(1) reads them: zeros behind the
/// last one fill a block of a tape or of a disk.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.0.take() {
            let read = member.read(buffer);
            if !matches!(read, Ok(0)) || buffer.is_empty() {
                self.0 = Some(member);
                return read;
            }
            let mut file = member.into_inner();
            if has_more(&mut file)? {
                self.0 = Some(GzDecoder::new(file));
            }
        }
        Ok(0)
    }
}

/// Whether there is anything but zeros, which are skipped.
fn has_more(file: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let held = match file.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            held => held?,
        };
        let zeros = held.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(!held.is_empty());
        }
        file.consume(zeros);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::cli::hostile;

    fn lines(bytes: &[u8]) -> (Vec<String>, u64, Option<io::ErrorKind>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        let mut lines = Lines::open(file.path(), &ProgressBar::hidden()).unwrap();
        let mut texts = Vec::new();
        loop {
            match lines.next() {
                Ok(Some(line)) => texts.push(String::from_utf8_lossy(line).into_owned()),
                Ok(None) => return (texts, lines.too_long, None),
                Err(error) => {
                    while let Ok(Some(line)) = lines.next() {
                        texts.push(String::from_utf8_lossy(line).into_owned());
                    }
                    return (texts, lines.too_long, Some(error.kind()));
                }
            }
        }
    }

    fn compressed(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lines_end_where_they_end() {
        for (text, expected) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\r\nb", &["a", "b"]),
            ("\n\na", &["", "", "a"]),
        ] {
            assert_eq!(
                lines(text.as_bytes()),
                (expected.iter().map(|s| (*s).into()).collect(), 0, None)
            );
        }
    }

    #[test]
    fn long_lines() {
        let long = "x".repeat(LONGEST - 10);
        let longer = "y".repeat(LONGEST * 3);
        let text = format!("{long}\n{longer}\na\n{longer}");
        assert_eq!(lines(text.as_bytes()), (vec![long, "a".into()], 2, None));
    }

    #[test]
    fn compressed_files() {
        let text = "one\ntwo\n".repeat(100_000);
        let all = [compressed(text.as_bytes()), compressed(b"three")].concat();
        let (read_all, _, error) = lines(&all);
        assert_eq!((read_all.len(), read_all[200_000].as_str(), error), (200_001, "three", None));
        let (read, _, error) = lines(&all[..all.len() / 2]);
        assert!(read.len() > 1_000, "{}", read.len());
        assert_eq!(error, Some(io::ErrorKind::UnexpectedEof));
        for (padding, error) in
            [(&[0; 512][..], None), (b"\0more", Some(io::ErrorKind::UnexpectedEof))]
        {
            assert_eq!(lines(&[&all, padding].concat()), (read_all.clone(), 0, error));
        }
        let mut broken = all;
        broken[20] ^= 0xff;
        assert!(lines(&broken).2.is_some());
    }

    #[test]
    fn a_log_never_panics() {
        let text = b"one\ntwo\r\n\nthree";
        let packed = compressed(text);
        let samples = [text.to_vec(), [&packed[..], &packed].concat(), packed];
        hostile::each(&samples, &["\x1f", "\x08"], |bytes| {
            let mut read = Lines::new(io::Cursor::new(bytes.to_vec())).unwrap();
            let (mut lines, mut broken) = (Vec::new(), false);
            loop {
                match read.next() {
                    Ok(Some(line)) => lines.push(line.to_vec()),
                    Ok(None) => break,
                    Err(_) => {
                        assert!(!broken, "an error follows an error");
                        broken = true;
                    }
                }
            }
            assert!(lines.iter().all(|line| !line.contains(&b'\n')));
            if !bytes.starts_with(b"\x1f\x8b") {
                let mut expected: Vec<_> = bytes.split(|b| *b == b'\n').collect();
                // What ends with a line feed has no line behind it.
                expected.pop_if(|last| last.is_empty());
                let without_cr = |line: &&[u8]| line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                assert_eq!(lines, expected.iter().map(without_cr).collect::<Vec<_>>());
                assert!(!broken);
            }
            !broken
        });
    }
}
