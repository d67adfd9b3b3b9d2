//! Texts inside of texts: where the JSON of a YAML string stands in the file.

use super::tree::Span;

/// Where a scalar's text stands in its source: pieces that are the same in
/// both, as (start in the text, start in the source), in order.
pub struct Places(Vec<(usize, usize)>);

impl Places {
    /// Lays the text of a scalar over the bytes that it was read from. `None`
    /// where the two differ in more than indentation and escapes, as in folded
    /// scalars.
    pub fn of(text: &str, source: &str, span: &Span) -> Option<Self> {
        let written = source.get(span.clone())?;
        let quoted = |quote| written.strip_prefix(quote)?.strip_suffix(quote);
        let pieces = literal(text, source, span.start)
            .or_else(|| double_quoted(text, quoted('"')?, span.start + 1))
            .or_else(|| single_quoted(text, quoted('\'')?, span.start + 1))?;
        Some(Self(pieces))
    }

    /// The bytes of the source for those of the text.
    pub fn place(&self, span: &Span) -> Span {
        self.offset(span.start)..self.offset(span.end)
    }

    fn offset(&self, at: usize) -> usize {
        let piece = self.0.partition_point(|(text, _)| *text <= at);
        let (text, source) = self.0.get(piece.saturating_sub(1)).copied().unwrap_or_default();
        source + (at - text)
    }
}

type Pieces = Vec<(usize, usize)>;

/// A text that stands in its source as it is, but for the indentation of every
/// line.
fn literal(text: &str, source: &str, start: usize) -> Option<Pieces> {
    let line_start = source.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let indentation = start - line_start;
    let (mut pieces, mut read, mut at) = (Vec::new(), 0, start);
    for line in text.split_inclusive('\n') {
        let rest = source.get(at..)?;
        let visible = line.trim_end_matches('\n');
        pieces.push((read, at));
        read += line.len();
        if !rest.starts_with(visible) {
            return None;
        }
        let break_at = rest.find('\n').unwrap_or(rest.len());
        // What ends the line in the source is the end of the line in the text.
        let after = rest.get(visible.len()..break_at)?;
        if line.ends_with('\n') && !after.trim_end_matches('\r').is_empty() {
            return None;
        }
        let Some(next) = rest.get(break_at + 1..) else {
            // The text may have a line break more than its source.
            at = source.len();
            pieces.push((read, at));
            continue;
        };
        let spaces = next.bytes().take(indentation).take_while(|b| *b == b' ').count();
        at += break_at + 1 + spaces;
    }
    Some(pieces)
}

/// A text in double quotes on one line, with the escapes of JSON and YAML.
fn double_quoted(text: &str, written: &str, start: usize) -> Option<Pieces> {
    let mut pieces = vec![(0, start)];
    let (mut read, mut at) = (0, 0);
    for c in text.chars() {
        let rest = written.get(at..)?;
        let length = match rest.strip_prefix('\\') {
            Some(escape) => escape_length(escape)?,
            None if rest.starts_with(c) && c != '\n' => c.len_utf8(),
            None => return None,
        };
        at += length;
        read += c.len_utf8();
        if length != c.len_utf8() {
            pieces.push((read, start + at));
        }
    }
    (at == written.len()).then_some(pieces)
}

/// Bytes of an escape sequence with its backslash.
fn escape_length(escape: &str) -> Option<usize> {
    let digits = |length: usize| escape.is_char_boundary(length + 1).then_some(2 + length);
    match escape.chars().next()? {
        'x' => digits(2),
        // A character outside the basic plane takes two.
        'u' if is_high_surrogate(escape.get(1..5)?) => Some(12),
        'u' => digits(4),
        'U' => digits(8),
        '\n' | '\r' => None,
        c => Some(1 + c.len_utf8()),
    }
}

fn is_high_surrogate(digits: &str) -> bool {
    u16::from_str_radix(digits, 16).is_ok_and(|unit| (0xd800..0xdc00).contains(&unit))
}

/// A text in single quotes on one line, in which a quote is written twice.
fn single_quoted(text: &str, written: &str, start: usize) -> Option<Pieces> {
    if written.replace("''", "'") != text || written.contains('\n') {
        return None;
    }
    let quotes = text.char_indices().filter(|(_, c)| *c == '\'');
    let after = quotes.enumerate().map(|(n, (at, _))| (at + 1, start + at + n + 2));
    Some(std::iter::once((0, start)).chain(after).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tree;
    use super::*;

    /// Every character of a text, and the characters of the source that it is from.
    fn laid_over(source: &str) -> Option<Vec<(char, &str)>> {
        let document = tree::documents(source).unwrap().remove(0);
        let node = document.get("a").unwrap();
        let text = node.text().unwrap();
        let places = Places::of(text, source, &node.span)?;
        assert!(source.get(places.place(&(0..text.len()))).is_some(), "{source}");
        let place = |(at, c): (usize, char)| {
            (c, source.get(places.place(&(at..at + c.len_utf8()))).unwrap())
        };
        Some(text.char_indices().map(place).filter(|(c, _)| *c != '\n').collect())
    }

    #[test]
    fn each_character_has_a_place() {
        for (source, expected) in [
            ("a: xé", &[('x', "x"), ('é', "é")][..]),
            (
                "a: |\n  x\n\n    é\n  z\n",
                &[('x', "x"), (' ', " "), (' ', " "), ('é', "é"), ('z', "z")],
            ),
            ("a: |-\r\n  x\r\n  y", &[('x', "x"), ('y', "y")]),
            // Without a line feed at the end the text has one all the same.
            ("a: |\n  xé", &[('x', "x"), ('é', "é")]),
            ("a: |\n  \"x\"\n", &[('"', "\""), ('x', "x"), ('"', "\"")]),
            ("a: 'x''''y'", &[('x', "x"), ('\'', "''"), ('\'', "''"), ('y', "y")]),
            (
                "a: \"\\\"x\\u00e9\\ud83d\\ude00y\"",
                &[
                    ('"', "\\\""),
                    ('x', "x"),
                    ('é', "\\u00e9"),
                    ('😀', "\\ud83d\\ude00"),
                    ('y', "y"),
                ],
            ),
            ("a: \"\\x41\\tb\"", &[('A', "\\x41"), ('\t', "\\t"), ('b', "b")]),
        ] {
            assert_eq!(laid_over(source).as_deref(), Some(expected), "{source}");
        }
    }

    #[test]
    fn folded_texts_have_none() {
        for source in ["a: >\n  x\n  y\n", "a: x\n  y", "a: \"x\n  y\"", "a: 'x\n  y'"] {
            assert!(laid_over(source).is_none(), "{source}");
        }
    }
}
