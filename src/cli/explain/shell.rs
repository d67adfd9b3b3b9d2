//! Words of a shell command.

use std::iter::Peekable;
use std::str::Chars;

/// Splits a command as bash does, without expanding anything. `None` if a quote
/// is not closed.
pub fn split(command: &str) -> Option<Vec<String>> {
    shlex::split(&in_plain_quotes(&command.replace("\r\n", "\n"))?)
}

/// Writes `$'…'` in quotes that every shell knows: browsers' developer tools
/// use it for values that hold a quote or a line break.
fn in_plain_quotes(command: &str) -> Option<String> {
    let mut plain = String::with_capacity(command.len());
    let mut quote = None;
    let mut characters = command.chars().peekable();
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None | Some('"'), '\\') => {
                // A line that goes on in the next one.
                if characters.next_if_eq(&'\n').is_none() {
                    plain.push(c);
                    plain.extend(characters.next());
                }
                continue;
            }
            (None, '$') if characters.next_if_eq(&'\'').is_some() => {
                // No command can hold a NUL, and without one this cannot fail.
                let value = ansi_c(&mut characters)?.replace('\0', "");
                plain.push_str(&shlex::try_quote(&value).ok()?);
                continue;
            }
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
        plain.push(c);
    }
    Some(plain)
}

/// What stands behind `$'`, up to the closing quote: bash's
/// [ANSI-C quoting](https://www.gnu.org/software/bash/manual/html_node/ANSI_002dC-Quoting.html).
fn ansi_c(characters: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let c = match characters.next()? {
            '\'' => return Some(String::from_utf8_lossy(&bytes).into_owned()),
            '\\' if characters.peek().is_some_and(|c| c.is_digit(8)) => {
                // Bash takes the lowest eight bits.
                bytes.push((digits(characters, 8, 3) & 0xff) as u8);
                continue;
            }
            '\\' => match characters.next()? {
                'a' => '\x07',
                'b' => '\x08',
                'e' | 'E' => '\x1b',
                'f' => '\x0c',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\x0b',
                'u' => char::from_u32(digits(characters, 16, 4)).unwrap_or_default(),
                'U' => char::from_u32(digits(characters, 16, 8)).unwrap_or_default(),
                'x' => {
                    bytes.extend(u8::try_from(digits(characters, 16, 2)));
                    continue;
                }
                c => c,
            },
            c => c,
        };
        bytes.extend(c.encode_utf8(&mut [0; 4]).bytes());
    }
}

fn digits(characters: &mut Peekable<Chars<'_>>, radix: u32, most: usize) -> u32 {
    let mut number = 0;
    for _ in 0..most {
        let Some(digit) = characters.peek().and_then(|c| c.to_digit(radix)) else { break };
        number = number * radix + digit;
        characters.next();
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_bash_splits_them() {
        for (command, words) in [
            ("curl -H 'a: b' \\\r\n  \"c \\\nd\"", &["curl", "-H", "a: b", "c d"][..]),
            ("$'it\\'s\\n' x", &["it's\n", "x"]),
            ("$'\\u00e9\\xc3\\xa9\\303\\251\\t\\\\'", &["éé\u{e9}\t\\"]),
            ("a$'b'\"c\"'d'", &["abcd"]),
            ("\"$'x'\" '$' \\$\\'", &["$'x'", "$", "$'"]),
            ("$'\\0a'$'' b", &["a", "b"]),
        ] {
            assert_eq!(split(command).unwrap(), words, "{command}");
        }
        for open in ["'a", "\"a", "$'a", "$'a\\'", "a\\"] {
            assert_eq!(split(open), None, "{open}");
        }
    }
}
