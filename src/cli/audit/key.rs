//! Texts put together to one key of a table.

/// Longest text of a request in a key, in bytes: no valid origin is longer.
const LONGEST: usize = 330;

/// Where keys are made.
#[derive(Default)]
pub struct Key(Vec<u8>);

impl Key {
    /// The texts behind each other, each with its length before it.
    pub fn of(&mut self, parts: &[&[u8]]) -> &[u8] {
        self.0.clear();
        for part in parts {
            let part = part.get(..LONGEST).unwrap_or(part);
            // It fits, by the line above.
            self.0.extend(u16::try_from(part.len()).unwrap_or_default().to_le_bytes());
            self.0.extend_from_slice(part);
        }
        &self.0
    }
}

/// The texts of a key.
pub fn parts<const N: usize>(mut key: &[u8]) -> Option<[&[u8]; N]> {
    let mut parts = [&[][..]; N];
    for part in &mut parts {
        let (length, rest) = key.split_first_chunk()?;
        (*part, key) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    }
    Some(parts)
}

/// A number that was made a text by its bytes.
pub fn number(bytes: &[u8]) -> Option<usize> {
    bytes.try_into().ok().map(usize::from_le_bytes)
}
