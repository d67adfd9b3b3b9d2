//! Changes in words and as JSON.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use envoy_cors::config::Mode;
use serde_json::{Map, Value, json};

use super::compare::{Grant, Kind, Side};
use super::request::Request;
use super::scopes::{Host, Paths, Region};
use super::{Example, Section, Views};

/// Whether anything is granted in force.
pub fn widens(sections: &[Section]) -> bool {
    in_force(sections).any(|section| !section.changes.granted.is_empty())
}

fn in_force(sections: &[Section]) -> impl Iterator<Item = &Section> {
    sections.iter().filter(|section| !section.changes.shadow)
}

/// Regions as people read them, whole hosts where all of their paths are there.
pub fn regions(regions: &[&Region], all: &[Region]) -> Vec<String> {
    if regions.len() == all.len() {
        return vec!["every request".to_owned()];
    }
    let only_host = all.iter().all(|region| region.host == Host::Anywhere);
    let mut texts: Vec<String> = Vec::new();
    for region in regions {
        let of_host = |other: &&Region| other.host == region.host;
        let whole = regions.iter().filter(|other| of_host(other)).count()
            == all.iter().filter(of_host).count();
        let host = match &region.host {
            Host::Exact(name) => name.clone(),
            Host::Below(domain) => format!("*.{domain}"),
            Host::Anywhere if only_host => "every host".to_owned(),
            Host::Anywhere => "every other host".to_owned(),
        };
        let text = match (&region.paths, &region.host) {
            _ if whole => host,
            (Paths::Below(prefix), Host::Anywhere) if !prefix.is_empty() => {
                format!("{prefix} on {host}")
            }
            (Paths::Below(prefix), _) if prefix.is_empty() => format!("other paths on {host}"),
            (Paths::Below(prefix), _) => format!("{host}{prefix}"),
            (Paths::Ambiguous, _) => {
                format!("paths on {host} that servers may read in several ways, such as //")
            }
        };
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
    texts
}

/// What differs and neither grants nor takes away.
pub fn other(old: &Side<'_>, new: &Side<'_>) -> Vec<String> {
    let (Side::Policy { policy: old, ambiguous }, Side::Policy { policy: new, .. }) = (old, new)
    else {
        let watched = |side: &Side<'_>| side.is_shadow();
        return match (watched(old), watched(new)) {
            (false, true) => vec!["a policy in shadow mode watches".to_owned()],
            (true, false) => vec!["no policy in shadow mode watches any more".to_owned()],
            _ => Vec::new(),
        };
    };
    let mut differences = Vec::new();
    if old.mode() != new.mode() {
        let words = |mode| match mode {
            Mode::Enforce => "enforced",
            Mode::Shadow => "in shadow mode: it decides, and touches nothing",
        };
        differences.push(format!("the policy is {}", words(new.mode())));
    }
    let granting = !ambiguous && !old.origins().is_empty() && !new.origins().is_empty();
    if granting && old.max_age() != new.max_age() {
        let words = |age: Option<u32>| match age {
            Some(0) => "not remembered".to_owned(),
            Some(seconds) => format!("remembered for {seconds} s"),
            None => "remembered as long as browsers choose".to_owned(),
        };
        let (was, is) = (words(old.max_age()), words(new.max_age()));
        differences.push(format!("preflights are {is}; they were {was}"));
    }
    differences
}

/// For people.
///
/// # Errors
///
/// What the writer says.
pub fn text(sections: &[Section], views: &Views, to: &mut impl Write) -> io::Result<()> {
    for section in sections {
        let Section { changes, .. } = section;
        writeln!(to, "{}", heading(section, views))?;
        let marked =
            [('+', AnsiColor::Green, &changes.granted), ('-', AnsiColor::Red, &changes.taken)];
        for (mark, color, examples) in marked {
            let style = Style::new().fg_color(Some(color.into()));
            for example in examples {
                let words = words(example);
                writeln!(to, "  {style}{mark} {words}{style:#}")?;
                writeln!(to, "      {}", example.grant.example.text())?;
            }
        }
        for words in &changes.other {
            writeln!(to, "  ~ {words}")?;
        }
        writeln!(to)?;
    }
    writeln!(to, "{}", summary(sections))
}

fn heading(section: &Section, views: &Views) -> String {
    let [old_loads, new_loads] = section.loads;
    let without = |loads, words| if loads { words } else { "refused" };
    let policies = match &section.policies {
        [Some(old), Some(new)] if old == new => format!("policy {new}"),
        [Some(old), Some(new)] => format!("policy {new}, before {old}"),
        [Some(old), None] => format!("{}, before {old}", without(new_loads, "no policy")),
        [None, Some(new)] => format!("policy {new}, before {}", without(old_loads, "none")),
        [None, None] if old_loads == new_loads => "no policy".to_owned(),
        [None, None] => {
            format!("{}, before {}", without(new_loads, "no policy"), without(old_loads, "none"))
        }
    };
    let named = section.environments.iter().flatten();
    let named: Vec<String> = named.map(|name| name.escape_debug().to_string()).collect();
    let mut place = match named.len() {
        0 => String::new(),
        n if n > 1 && section.environments.len() == views.all.len() => {
            ", in every environment".into()
        }
        _ => format!(", in {}", named.join(", ")),
    };
    if section.environments.contains(&None) {
        place.push_str(if views.chosen {
            ", in the environment that each file chooses"
        } else {
            ", without CORS_ENVIRONMENT"
        });
    }
    let shadow = if section.changes.shadow { ", in shadow mode" } else { "" };
    let Some((first, more)) = section.regions.split_first() else { return policies };
    let shown: Vec<&str> =
        std::iter::once(first).chain(more.iter().take(4)).map(String::as_str).collect();
    let hidden = section.regions.len() - shown.len();
    let more = if hidden == 0 { String::new() } else { format!(" and {hidden} more") };
    format!("{policies}{place}{shadow}: {}{more}", shown.join(", "))
}

fn words(example: &Example) -> String {
    let Grant { kind, value, .. } = &example.grant;
    let every = value == "*";
    match kind {
        Kind::Origin => {
            let origin = if every { "every origin".to_owned() } else { format!("origin {value}") };
            let credentials = if example.credentials { ", with credentials" } else { "" };
            format!("{origin}{credentials}")
        }
        Kind::Method if every => "every method".to_owned(),
        Kind::Method => format!("method {value}"),
        Kind::RequestHeader if every => "every request header".to_owned(),
        Kind::RequestHeader => format!("request header {value}"),
        Kind::ResponseHeader if every => "every response header can be read".to_owned(),
        Kind::ResponseHeader => format!("response header {value} can be read"),
        Kind::Credentials => "credentials".to_owned(),
        Kind::ForwardedRequests => "requests from other origins reach upstream".to_owned(),
        Kind::ForwardedPreflights => "upstream answers preflights from other origins".to_owned(),
        Kind::UpstreamHeaders => "upstream's own CORS headers are kept".to_owned(),
        Kind::PolicyHeaders => "the policy's CORS headers replace upstream's own".to_owned(),
        Kind::Upstream => "upstream alone decides".to_owned(),
    }
}

fn summary(sections: &[Section]) -> String {
    let count = |side: fn(&Section) -> usize| in_force(sections).map(side).sum::<usize>();
    let granted = count(|section| section.changes.granted.len());
    let taken = count(|section| section.changes.taken.len());
    match (granted, taken) {
        (0, 0) => "nothing is granted, nothing is taken away".to_owned(),
        (granted, 0) => format!("{granted} granted, nothing taken away"),
        (0, taken) => format!("nothing granted, {taken} taken away"),
        (granted, taken) => format!("{granted} granted, {taken} taken away"),
    }
}

/// For programs.
pub fn json(sections: &[Section]) -> Value {
    let changes: Vec<Value> = sections.iter().flat_map(changes).collect();
    json!({ "widens": widens(sections), "changes": changes })
}

fn changes(section: &Section) -> Vec<Value> {
    let Section { environments, regions, policies: [old, new], changes, .. } = section;
    let change = |effect: &str, kind: &str, value: &str, example: Value| {
        json!({
            "environments": environments,
            "requests": regions,
            "oldPolicy": old,
            "newPolicy": new,
            "shadow": changes.shadow,
            "effect": effect,
            "kind": kind,
            "value": value,
            "example": example,
        })
    };
    let examples = [("granted", &changes.granted), ("taken", &changes.taken)];
    let examples = examples.into_iter().flat_map(|(effect, all)| {
        all.iter().map(move |example| {
            let Grant { kind, value, .. } = &example.grant;
            change(effect, kind.name(), value, shown(example))
        })
    });
    let other = changes.other.iter().map(|words| change("other", "note", words, Value::Null));
    examples.chain(other).collect()
}

fn shown(Example { grant, outcomes: [old, new], .. }: &Example) -> Value {
    let Request { host, path, .. } = &grant.example;
    let headers: Map<String, Value> = grant
        .example
        .headers()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    json!({
        "method": grant.example.method(),
        "url": format!("https://{host}{path}"),
        "headers": headers,
        "oldOutcome": old,
        "newOutcome": new,
    })
}
