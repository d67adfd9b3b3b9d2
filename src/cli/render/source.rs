//! The policy's text as manifests take it: as it was written where that is
//! possible, else written anew.

use std::fmt::Write;

use crate::cli::document::{Configuration, Document, Kind};
use crate::cli::tree::{self, Content, Node, Span};

/// Texts in YAML for a policy, the best first. Each may turn out to be read as
/// something else where it is put; the last rarely does.
pub fn yaml(
    document: &Document,
    configuration: &Configuration<'_>,
    tree: &Node,
) -> [Option<String>; 2] {
    let kept = kept(document, configuration, tree);
    let kept = kept.and_then(|text| for_every_reader(&unindented(&text)?));
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    [kept, serde_saphyr::to_string_with_options(tree, options).ok()]
}

/// The same in JSON.
pub fn json(
    document: &Document,
    configuration: &Configuration<'_>,
    tree: &Node,
) -> [Option<String>; 2] {
    let kept = kept(document, configuration, tree);
    let kept = kept.filter(|text| tree::check_json(text).is_ok());
    let mut anew = String::new();
    write_json(tree, 0, &mut anew);
    [kept, Some(anew)]
}

/// A word or name as YAML, the same for every reader of it.
pub fn scalar(text: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if text.chars().all(is_safe) && is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// A string of JSON, which YAML reads alike, also where it stands in a block: with
/// escapes for what YAML takes for the end of a line, or for no text.
fn quoted(text: &str) -> String {
    let is_odd = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}');
    let json = serde_json::Value::from(text).to_string();
    let escaped = |c: char| if is_odd(c) { format!("\\u{:04x}", u32::from(c)) } else { c.into() };
    json.chars().map(escaped).collect()
}

/// Whether no reader takes a text without quotes for anything but itself. To
/// Kubernetes, whose YAML is 1.1, `no` is `false` and `1_0` is 10.
fn is_plain(text: &str) -> bool {
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let written = serde_saphyr::to_string_with_options(&text, options);
    written.is_ok_and(|written| written.trim_end() == text)
}

/// What was written for the policy, without what stands around it, if it can be
/// told where that begins and ends.
fn kept(document: &Document, configuration: &Configuration<'_>, tree: &Node) -> Option<String> {
    if let Some(text) = configuration.json() {
        return Some(text.replace("\r\n", "\n").trim().to_owned());
    }
    let text = document.text.as_str();
    let is_it = |text: &String| {
        tree::documents(text)
            .is_ok_and(|read| matches!(read.as_slice(), [one] if one.value() == tree.value()))
    };
    let kept = if configuration.kind == Kind::Policy {
        whole(text, tree.span.start).filter(is_it)
    } else {
        let parts = block(text, tree.span.start).into_iter().chain(flow(text, tree));
        parts.filter_map(|part| text.get(part).map(str::to_owned)).find(is_it)
    };
    let text = kept?.replace("\r\n", "\n");
    // Not the spaces before the first key: they are the first line's indentation.
    Some(text.trim_start_matches('\n').trim_end().to_owned())
}

/// The YAML document that a byte stands in, with the comments before its marker
/// and without that.
fn whole(text: &str, at: usize) -> Option<String> {
    let is_comment = |line: &str| line.trim_start().is_empty() || line.starts_with('#');
    let (mut comments, mut begin, mut line_start) = ("", 0, 0);
    let mut end = text.len();
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
        if rest.is_some_and(|rest| rest.trim_start().len() < rest.len() || rest.is_empty()) {
            if line_start > at {
                end = line_start;
                break;
            }
            comments = text.get(begin..line_start)?;
            let is_empty = rest.is_some_and(|rest| rest.trim_start().is_empty());
            begin = line_start + if is_empty { line.len() } else { 3 };
        }
        line_start += line.len();
    }
    let comments = comments.trim_start_matches('\u{feff}');
    let comments = if comments.lines().all(is_comment) { comments } else { "" };
    Some(comments.to_owned() + text.get(begin..end)?.trim_start_matches('\u{feff}'))
}

/// The block mapping whose first key begins at a byte, with the comments right
/// before it.
fn block(text: &str, first_key: usize) -> Option<Span> {
    let key_line = text.get(..first_key)?.rfind('\n').map_or(0, |at| at + 1);
    let indentation = first_key - key_line;
    let indent = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let is_comment =
        |line: &str| line.trim_start().is_empty() || line.trim_start().starts_with('#');
    if indent(text.get(key_line..)?) != indentation {
        return None;
    }
    let mut begin = key_line;
    for line in text.get(..key_line)?.split_inclusive('\n').rev() {
        if !is_comment(line) {
            break;
        }
        begin -= line.len();
    }
    let (mut end, mut line_start) = (key_line, key_line);
    for line in text.get(key_line..)?.split_inclusive('\n') {
        line_start += line.len();
        if indent(line) >= indentation && !line.trim_start().is_empty() {
            end = line_start;
        } else if !is_comment(line) {
            break;
        }
    }
    Some(begin..end)
}

/// Where a flow mapping may end: at one of the next braces behind its last value.
fn flow(text: &str, tree: &Node) -> Vec<Span> {
    /// As many objects as stand in each other, and some in comments.
    const MOST: usize = 16;

    let mut last = 0;
    tree.walk(&mut |node| last = last.max(node.span.end));
    let Some(begin) = text.get(..tree.span.start).and_then(|before| before.rfind('{')) else {
        return Vec::new();
    };
    let braces = text.get(last..).unwrap_or_default().match_indices('}').take(MOST);
    braces.map(|(at, _)| begin..last + at + 1).collect()
}

/// A text without the indentation that all of its lines have. What is cut out of
/// the middle of a line begins without any.
fn unindented(text: &str) -> Option<String> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let spaces = line.len() - line.trim_start_matches([' ', '\t']).len();
        let (indentation, rest) = line.split_at_checked(spaces)?;
        // A tab is no indentation, and behind a dash not everybody takes it; in JSON it
        // may be used as one.
        lines.push((indentation.replace('\t', "  "), rest.replace('\t', " ")));
    }
    let is_flow = text.starts_with(['{', '[']);
    let of_all = lines.iter().skip(usize::from(is_flow)).filter(|(_, rest)| !rest.is_empty());
    let common = of_all.map(|(spaces, _)| spaces.len()).min().unwrap_or_default();
    let mut unindented = String::new();
    for (spaces, rest) in &lines {
        let own = spaces.get(common..).unwrap_or_default();
        let own = if rest.is_empty() { "" } else { own };
        writeln!(unindented, "{own}{rest}").ok()?;
    }
    Some(unindented)
}

/// A policy's text with quotes around what YAML 1.1 takes for something else than
/// YAML 1.2, and numbers as both read them.
fn for_every_reader(text: &str) -> Option<String> {
    let documents = tree::documents(text).ok()?;
    let [root] = documents.as_slice() else { return None };
    let mut changes: Vec<(Span, String)> = Vec::new();
    root.walk(&mut |node| {
        let keys = node.entries().iter().map(|(key, _)| (&key.span, key.text.as_str()));
        let strings = keys.chain(node.text().map(|text| (&node.span, text)));
        let unquoted = strings.filter(|(span, value)| text.get((*span).clone()) == Some(*value));
        let unclear = unquoted.filter(|(_, value)| !is_plain(value));
        changes.extend(unclear.map(|(span, value)| (span.clone(), scalar(value))));
        if let Content::Number(_) = node.content
            && text.get(node.span.clone()).is_some_and(is_odd_number)
        {
            let number = serde_json::to_string(node).ok();
            changes.extend(number.map(|number| (node.span.clone(), number)));
        }
    });
    changes.sort_by_key(|(span, _)| span.start);
    let (mut changed, mut at) = (String::new(), 0);
    for (span, change) in changes {
        // An alias stands for many values.
        let Some(between) = text.get(at..span.start) else { continue };
        changed = changed + between + &change;
        at = span.end;
    }
    Some(changed + text.get(at..)?)
}

/// Whether a number is written in another way than JSON's, as in `010`, which to
/// some is 8, or with an exponent, which to some is a word.
fn is_odd_number(text: &str) -> bool {
    text.starts_with(['.', '+', '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        && (text.contains(['e', 'E']) || serde_json::from_str::<f64>(text).is_err())
}

/// Widest line of a list that is written anew.
const WIDEST: usize = 100;

/// Writes JSON, an entry a line, lists of names on one line where they are short.
fn write_json(node: &Node, indentation: usize, to: &mut String) {
    let inner = indentation + 2;
    let is_short = |list: &[Node]| {
        let widths = list.iter().map(|node| node.text().map_or(WIDEST, |text| text.len() + 4));
        widths.sum::<usize>() + inner < WIDEST
    };
    // A String takes whatever is written into it.
    let line = |to: &mut String, index: usize| {
        let comma = if index == 0 { "" } else { "," };
        let _ = write!(to, "{comma}\n{:inner$}", "");
    };
    match &node.content {
        Content::Map(entries) if !entries.is_empty() => {
            to.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                line(to, index);
                let _ = write!(to, "{}: ", quoted(&key.text));
                write_json(value, inner, to);
            }
            let _ = write!(to, "\n{:indentation$}}}", "");
        }
        Content::List(elements) if is_short(elements) => {
            to.push('[');
            for (index, element) in elements.iter().enumerate() {
                to.push_str(if index == 0 { "" } else { ", " });
                write_json(element, inner, to);
            }
            to.push(']');
        }
        Content::List(elements) => {
            to.push('[');
            for (index, element) in elements.iter().enumerate() {
                line(to, index);
                write_json(element, inner, to);
            }
            let _ = write!(to, "\n{:indentation$}]", "");
        }
        Content::Text(text) => to.push_str(&quoted(text)),
        // A tree holds nothing that JSON has no word for.
        _ => to.push_str(&serde_json::to_string(node).unwrap_or_default()),
    }
}
