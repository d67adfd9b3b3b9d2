//! On which paths something happened.

/// Most paths that are told apart.
const MOST: usize = 8;

/// Longest path, in bytes: one more than is printed.
const LONGEST: usize = 129;

/// Paths by their first two segments, or by the first one where there are many,
/// as with ids in the second one. The first ones that came are counted, the
/// others together.
#[derive(Default)]
pub struct Paths {
    counts: Vec<(Box<[u8]>, u64)>,
    shortened: bool,
    pub others: u64,
}

impl Paths {
    /// Counts the first segments of a path.
    pub fn add(&mut self, path: &[u8]) {
        let path = path.get(..LONGEST).unwrap_or(path);
        if !self.shortened {
            if self.count(path, 1) {
                return;
            }
            self.shorten();
        }
        if !self.count(shortened(path), 1) {
            self.others += 1;
        }
    }

    /// Whether there was room for it.
    fn count(&mut self, path: &[u8], times: u64) -> bool {
        if let Some((_, count)) = self.counts.iter_mut().find(|(known, _)| **known == *path) {
            *count += times;
            return true;
        }
        let room = self.counts.len() < MOST;
        if room {
            self.counts.push((path.into(), times));
        }
        room
    }

    fn shorten(&mut self) {
        self.shortened = true;
        for (path, count) in std::mem::take(&mut self.counts) {
            // No more of them come out than went in.
            self.count(shortened(&path), count);
        }
    }

    /// The paths and their counts, in no order. What ends in a slash stands for
    /// all below it.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.counts.iter().map(|(path, count)| (&**path, *count))
    }
}

/// The first segment of a path with the slash behind it, if there is one.
fn shortened(path: &[u8]) -> &[u8] {
    let end = path.iter().skip(1).position(|byte| *byte == b'/');
    end.and_then(|end| path.get(..end + 2)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_every_kind() {
        type Row<'r> = (fn(usize) -> String, &'r [(&'r str, u64)], u64);
        let long = format!("/a/{}", "b".repeat(126));
        let rows: [Row<'_>; 6] = [
            (
                |n| ["/", "/a/b", "/a/b", "", "/a"][n % 5].into(),
                &[("", 200), ("/", 200), ("/a", 200), ("/a/b", 400)],
                0,
            ),
            (
                |n| if n % 2 == 0 { "/a".into() } else { format!("/a/{n}") },
                &[("/a", 500), ("/a/", 500)],
                0,
            ),
            (|n| format!("//{n}"), &[("//", 1_000)], 0),
            (
                |n| if n % 4 == 0 { format!("/{n}") } else { format!("/a/{}", n % 2) },
                &[
                    ("/0", 1),
                    ("/12", 1),
                    ("/16", 1),
                    ("/20", 1),
                    ("/24", 1),
                    ("/4", 1),
                    ("/8", 1),
                    ("/a/", 750),
                ],
                243,
            ),
            (
                |n| format!("/{}", n % 8),
                &[
                    ("/0", 125),
                    ("/1", 125),
                    ("/2", 125),
                    ("/3", 125),
                    ("/4", 125),
                    ("/5", 125),
                    ("/6", 125),
                    ("/7", 125),
                ],
                0,
            ),
            (|n| format!("/a/{}{n}", "b".repeat(126)), &[(&long, 1_000)], 0),
        ];
        for (make, expected, others) in rows {
            let mut paths = Paths::default();
            (0..1_000).for_each(|n| paths.add(make(n).as_bytes()));
            let mut counts: Vec<_> = paths.iter().collect();
            counts.sort_unstable();
            let expected: Vec<_> = expected.iter().map(|(p, n)| (p.as_bytes(), *n)).collect();
            assert_eq!((counts, paths.others), (expected, others));
        }
    }
}
