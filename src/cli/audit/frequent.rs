//! What is frequent among any number of different things, in bounded memory.

use hashbrown::HashMap;

/// The most frequent keys, each with its count and a value: Misra and Gries,
/// "Finding repeated elements", 1982, which drops many keys at a time as in
/// Anderson et al., "A High-Performance Algorithm for Identifying Frequent Items
/// in Data Streams", IMC 2017. Beside the estimates of these it has what was
/// counted since a key came, as in Manku and Motwani, "Approximate Frequency
/// Counts over Data Streams", VLDB 2002.
pub struct Frequent<V = ()> {
    entries: HashMap<Box<[u8]>, Entry<V>>,
    capacity: usize,
    error: u64,
}

/// How often a key was added since it came.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Entry<V> {
    pub count: u64,
    /// How often at most it was added, and dropped, before.
    pub missing: u64,
    pub value: V,
}

impl<V: Default> Frequent<V> {
    /// A table of at most so many keys, all of which are counted exactly.
    pub fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, error: 0 }
    }

    /// Counts a key so many times, and gives its value out.
    pub fn add(&mut self, key: &[u8], times: u64) -> &mut V {
        if self.lacks_room(key) {
            self.drop_rare();
        }
        let entry = self.entries.entry_ref(key).or_insert_with(|| Entry {
            count: 0,
            missing: self.error,
            value: V::default(),
        });
        entry.count += times;
        &mut entry.value
    }

    /// Whether there is no room for a key.
    pub fn lacks_room(&self, key: &[u8]) -> bool {
        self.entries.len() >= self.capacity && !self.entries.contains_key(key)
    }

    /// Makes room for half of the keys.
    fn drop_rare(&mut self) {
        let most = |entry: &Entry<V>| entry.count + entry.missing;
        let mut counts: Vec<u64> = self.entries.values().map(most).collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        self.error = *median;
        self.entries.retain(|_, entry| most(entry) > self.error);
    }
}

impl<V> Frequent<V> {
    /// How often a key that is not there was added at most, and by how much the
    /// count of one that is there may be too small.
    pub fn error(&self) -> u64 {
        self.error
    }

    /// The keys and their counts, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Entry<V>)> {
        self.entries.iter().map(|(key, entry)| (&**key, entry))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut frequent = Frequent::<()>::new(3);
        for key in ["a", "b", "a", "c", "a", "b"] {
            frequent.add(key.as_bytes(), 1);
        }
        let mut counts: Vec<_> = frequent.iter().map(|(key, entry)| (key, entry.count)).collect();
        counts.sort_unstable();
        assert_eq!(counts, [(&b"a"[..], 3), (b"b", 2), (b"c", 1)]);
        assert_eq!(frequent.error(), 0);
    }

    #[test]
    fn the_frequent_stay_among_a_million_others() {
        let mut frequent = Frequent::<u64>::new(64);
        for n in 0..1_000_000_u32 {
            *frequent.add(&n.to_le_bytes(), 1) += 1;
            if n % 10 == 0 {
                *frequent.add(b"often", 1) += 1;
            }
            assert!(frequent.entries.len() <= 64);
        }
        let (_, entry) = frequent.iter().find(|(key, _)| *key == b"often").unwrap();
        assert_eq!(*entry, Entry { count: 100_000, missing: 0, value: 100_000 });
        // The guarantee: all that was added, in equal shares of half the table.
        assert!(frequent.error() <= 1_100_000 / 32);
    }

    /// Whatever comes, in whatever order.
    #[test]
    fn counts_are_within_their_bounds() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut frequent, mut truth) = (Frequent::<()>::new(8), HashMap::<u8, u64>::new());
            let mut keys = 1;
            for _ in 0..2_000 {
                keys = if random.u8(0..50) == 0 { random.u8(1..60) } else { keys };
                let key = random.u8(0..keys);
                frequent.add(&[key], 1);
                *truth.entry(key).or_default() += 1;
            }
            let known: HashMap<u8, &Entry<()>> = frequent.iter().map(|(k, e)| (k[0], e)).collect();
            for (key, count) in truth {
                let (least, most) = known.get(&key).map_or((0, frequent.error()), |entry| {
                    assert!(entry.missing <= frequent.error());
                    (entry.count, entry.count + entry.missing)
                });
                assert!((least..=most).contains(&count), "{seed}: {least} {count} {most}");
            }
        }
    }
}
