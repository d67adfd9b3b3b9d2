//! A pasted call of `fetch()`, as browsers' developer tools copy it.

use serde_json::Value;

use super::pasted::Pasted;

/// Reads the arguments of the first call in a text. They are plain data, in the
/// form of JSON5: names need no quotes, and quotes may be single.
///
/// # Errors
///
/// Why it is no call, with what to paste instead.
pub fn parse(text: &str) -> Result<Pasted, String> {
    let (_, call) = text
        .split_once("fetch(")
        .ok_or("there is no call of fetch(); paste one as developer tools copy it")?;
    let arguments = arguments(call).ok_or(
        "the call of fetch() is not closed, or is nested more deeply than any; paste all of it",
    )?;
    let arguments: Vec<Value> = json5::from_str(&format!("[{arguments}]")).map_err(|error| {
        format!(
            "the arguments of fetch() are not plain data ({error}); write out what they compute"
        )
    })?;
    let mut arguments = arguments.into_iter();
    let url = match arguments.next() {
        Some(Value::String(url)) => url,
        _ => return Err("fetch() is called without a URL; write it in quotes".to_owned()),
    };
    let mut pasted = Pasted { url: Some(url), ..Pasted::default() };
    match arguments.next() {
        None => {}
        Some(Value::Object(options)) => {
            options.into_iter().try_for_each(|(name, value)| option(&mut pasted, name, value))?;
        }
        Some(_) => return Err("the second argument of fetch() is no object".to_owned()),
    }
    Ok(pasted)
}

/// [RequestInit](https://fetch.spec.whatwg.org/#requestinit)
fn option(pasted: &mut Pasted, name: String, value: Value) -> Result<(), String> {
    let field = match name.as_str() {
        "method" => &mut pasted.method,
        "mode" => &mut pasted.mode,
        "credentials" => &mut pasted.credentials,
        "referrer" => &mut pasted.referrer,
        "headers" => {
            pasted.headers = headers(value).ok_or(
                "the headers of fetch() are neither an object nor a list of pairs of strings",
            )?;
            return Ok(());
        }
        // These change nothing about CORS.
        "body" | "cache" | "duplex" | "integrity" | "keepalive" | "priority" | "redirect"
        | "referrerPolicy" | "signal" => return Ok(()),
        _ => {
            pasted.not_understood.push(name);
            return Ok(());
        }
    };
    match value {
        // `about:client` is the page itself, an empty referrer nobody.
        Value::String(text)
            if name == "referrer" && (text.is_empty() || text.starts_with("about:")) => {}
        Value::String(text) => *field = Some(text),
        Value::Null => {}
        _ => return Err(format!("the option {name:?} of fetch() is no string")),
    }
    Ok(())
}

fn headers(value: Value) -> Option<Vec<(String, String)>> {
    let text = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value {
        Value::Object(object) => {
            object.into_iter().map(|(name, value)| Some((name, text(value)?))).collect()
        }
        Value::Array(pairs) => pairs
            .into_iter()
            .map(|pair| match pair {
                Value::Array(pair) => {
                    let mut pair = pair.into_iter();
                    Some((text(pair.next()?)?, text(pair.next()?)?))
                }
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// Most brackets in brackets, so that reading them cannot exhaust the stack.
const MAX_DEPTH: usize = 100;

/// What stands before the parenthesis that closes a call.
fn arguments(call: &str) -> Option<&str> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut characters = call.char_indices();
    while let Some((at, c)) = characters.next() {
        match (quote, c) {
            (Some(_), '\\') => drop(characters.next()),
            (Some(open), _) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, ')') if depth == 0 => return call.get(..at),
            (None, '(' | '[' | '{') if depth == MAX_DEPTH => return None,
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, _) => {}
        }
    }
    None
}
