//! What is frequent among any number of different things, in bounded memory.

use std::collections::HashMap;

/// Counts of the most frequent keys: Misra and Gries, "Finding repeated
/// elements", 1982, which drops many keys at a time as in Anderson et al., "A
/// High-Performance Algorithm for Identifying Frequent Items in Data Streams",
/// IMC 2017.
///
/// Each count may be too small, by [`Frequent::error`] at most. A key that was
/// added more often than that is there.
pub struct Frequent {
    counts: HashMap<Box<[u8]>, u64>,
    capacity: usize,
    error: u64,
}

impl Frequent {
    /// A table of at most so many keys.
    pub fn new(capacity: usize) -> Self {
        Self { counts: HashMap::new(), capacity, error: 0 }
    }

    /// Counts a key once.
    pub fn add(&mut self, key: &[u8]) {
        if let Some(count) = self.counts.get_mut(key) {
            *count += 1;
            return;
        }
        if self.counts.len() >= self.capacity {
            self.shrink();
        }
        self.counts.insert(key.into(), 1);
    }

    /// Makes room for half of the keys.
    fn shrink(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        self.error += median;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(median);
            *count > 0
        });
    }

    /// By how much counts may be too small.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// The keys and their counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.counts.iter().map(|(key, count)| (&**key, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut frequent = Frequent::new(3);
        for key in ["a", "b", "a", "c", "a", "b"] {
            frequent.add(key.as_bytes());
        }
        let mut counts: Vec<_> = frequent.iter().collect();
        counts.sort_unstable();
        assert_eq!(counts, [(&b"a"[..], 3), (b"b", 2), (b"c", 1)]);
        assert_eq!(frequent.error(), 0);
    }

    #[test]
    fn the_frequent_stay_among_a_million_others() {
        let mut frequent = Frequent::new(64);
        for n in 0..1_000_000_u32 {
            frequent.add(&n.to_le_bytes());
            if n % 10 == 0 {
                frequent.add(b"often");
            }
            assert!(frequent.counts.len() <= 64);
        }
        let (_, count) = frequent.iter().find(|(key, _)| *key == b"often").unwrap();
        assert!(count <= 100_000 && count + frequent.error() >= 100_000);
        // The guarantee: all that was added, in equal shares of half the table.
        assert!(frequent.error() <= 1_100_000 / 32);
    }
}
