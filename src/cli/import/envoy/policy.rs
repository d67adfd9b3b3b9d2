//! `CorsPolicy`
//! ([`extensions.filters.http.cors.v3`](https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/filters/http/cors/v3/cors.proto)),
//! of one level or of several.

use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::{Cors, Named, named};
use crate::cli::import::matcher::{Matcher, OriginMatcher};
use crate::cli::import::remark::Remark;
use crate::cli::tree::Content;

/// A policy by its type, which may be wrapped.
pub fn policy<'d>(any: &Field<'d>) -> Option<Field<'d>> {
    let url = any.text_at(&["@type"])?;
    match url {
        _ if url.ends_with(".CorsPolicy") => Some(any.clone()),
        _ if url.ends_with(".TypedStruct") => {
            let of_policy = any.text_at(&["typeUrl"])?.ends_with(".CorsPolicy");
            any.get("value").filter(|_| of_policy)
        }
        _ if is_wrapper(url) => policy(&any.get("config")?),
        _ => None,
    }
}

pub fn is_wrapper(url: &str) -> bool {
    url.ends_with("envoy.config.route.v3.FilterConfig")
}

/// Whether an object without a type is a policy: the fields of these names are in
/// nothing else.
pub fn is_bare_policy(field: &Field<'_>) -> bool {
    ["allowOriginStringMatch", "allowOriginRegex"].iter().any(|name| field.get(name).is_some())
}

pub const UNREAD: &str = "no route takes it from here";
pub const BESIDE_TYPED: &str = "Envoy does not read it beside typed_per_filter_config";
pub const OFF: &str = "http_filters has the filter disabled";

/// What policies come to, the most specific one first. `None` where the filter does
/// nothing.
pub fn in_force(policies: &[Field<'_>], account: &mut Account) -> Option<Cors> {
    let first = policies.first()?;
    let mut cors = Cors { mode: mode(first, account)?, ..Cors::default() };
    for policy in policies {
        policy.get("@type").inspect(|field| account.leave(field));
    }
    let first_set = |name: &str, is_set: fn(&Field<'_>) -> bool| {
        policies.iter().find_map(|policy| policy.get(name).filter(is_set))
    };
    let flag = |name: &str| first_set(name, |field| field.flag().is_some());
    let text =
        |name: &str| first_set(name, |field| field.text().is_some_and(|text| !text.is_empty()));

    if let Some(field) = flag("allowCredentials") {
        cors.set_credentials(&field, field.flag() == Some(true), account);
    }
    let has_origins = |policy: &&Field<'_>| {
        ORIGINS
            .iter()
            .any(|name| policy.get(name).is_some_and(|list| list.elements().next().is_some()))
    };
    match policies.iter().find(has_origins) {
        Some(policy) => {
            let matchers = origins(policy, account);
            cors.add_origins(&matchers, account);
        }
        None => account.note(first, &Remark::NoOrigins),
    }
    for (name, add) in [
        ("allowMethods", Cors::add_methods as fn(&mut Cors, &[Named<'_>], &mut Account)),
        ("allowHeaders", Cors::add_headers),
        ("exposeHeaders", Cors::add_exposed_headers),
    ] {
        if let Some(field) = text(name) {
            add(&mut cors, &named(&[field]), account);
        }
    }
    if let Some(field) = text("maxAge") {
        match field.text().and_then(|text| text.parse::<u64>().ok()) {
            Some(seconds) => cors.set_max_age(&field, seconds.into(), account),
            None => {
                let why = "browsers read nothing but whole seconds";
                account.remark(&field, &Remark::Ignored { why });
            }
        }
    }
    if let Some(field) = flag("allowPrivateNetworkAccess") {
        let why = "browsers have given Private Network Access up";
        account.remark(&field, &Remark::Ignored { why });
    }
    match flag("forwardNotMatchingPreflights") {
        Some(field) if cors.mode.is_some() => {
            account.remark(&field, &Remark::Ignored { why: "in shadow mode, all are forwarded" });
        }
        Some(field) if field.flag() == Some(false) => account.carry(&field),
        Some(field) => account.remark(&field, &Remark::ForwardedPreflights { written: true }),
        None if cors.mode.is_some() => {}
        None => account.note(first, &Remark::ForwardedPreflights { written: false }),
    }
    Some(cors)
}

/// The fields of a policy by their types, those of before included.
const ORIGINS: [&str; 3] = ["allowOriginStringMatch", "allowOrigin", "allowOriginRegex"];
const TEXTS: [&str; 4] = ["allowMethods", "allowHeaders", "exposeHeaders", "maxAge"];
const FLAGS: [&str; 4] =
    ["allowCredentials", "allowPrivateNetworkAccess", "forwardNotMatchingPreflights", "enabled"];
const SHARES: [&str; 2] = ["filterEnabled", "shadowEnabled"];

/// The matchers of a policy.
fn origins<'d>(policy: &Field<'d>, account: &mut Account) -> Vec<(Field<'d>, OriginMatcher<'d>)> {
    let mut matchers = Vec::new();
    for field in account.list(policy, "allowOriginStringMatch") {
        matchers.extend(string_matcher(&field, account));
    }
    for (name, matcher) in [
        ("allowOrigin", Matcher::Exact as fn(&'d str) -> Matcher<'d>),
        ("allowOriginRegex", Matcher::Regex),
    ] {
        let list = account.list(policy, name).into_iter();
        matchers.extend(list.filter_map(|field| {
            let matcher = OriginMatcher::new(matcher(field.text()?));
            Some((field, matcher))
        }));
    }
    matchers
}

/// `StringMatcher`
fn string_matcher<'d>(
    field: &Field<'d>,
    account: &mut Account,
) -> Option<(Field<'d>, OriginMatcher<'d>)> {
    let ignore_case = field.get("ignoreCase");
    let found = field.entries().find_map(|(key, value)| {
        let value =
            if matches!(key, "safeRegex" | "safe_regex") { value.get("regex")? } else { value };
        let text = value.text()?;
        let matcher = match key {
            "exact" => Matcher::Exact(text),
            "prefix" => Matcher::Prefix(text),
            "suffix" => Matcher::Suffix(text),
            "contains" => Matcher::Contains(text),
            "safeRegex" | "safe_regex" | "regex" => Matcher::Regex(text),
            _ => return None,
        };
        Some((value, OriginMatcher::new(matcher)))
    });
    let (value, mut matcher) = found?;
    if let Some(engine) = field.at(&["safeRegex", "googleRe2"]) {
        account.leave(&engine);
    }
    if let Some(field) = ignore_case {
        // Envoy's regular expressions have a case of their own.
        matcher.ignore_case =
            field.flag() == Some(true) && !matches!(matcher.matcher, Matcher::Regex(_));
        if matcher.ignore_case && matcher.text().contains(|c: char| c.is_ascii_uppercase()) {
            account.carry(&field);
        } else {
            account.remark(&field, &Remark::Ignored { why: "browsers send origins in lower case" });
        }
    }
    Some((value, matcher))
}

/// In which mode the filter is, by the most specific policy. `None`: in none.
fn mode(policy: &Field<'_>, account: &mut Account) -> Option<Option<&'static str>> {
    let (enabled, shadow) = (enabled(policy), policy.get("shadowEnabled"));
    let shadow_share = shadow.as_ref().map_or(Share::None, share);
    if let Some((field, share)) = &enabled {
        if *share == Share::None && matches!(shadow_share, Share::None | Share::Unreadable) {
            return None;
        }
        settle(field, *share, account);
    }
    let is_enabled = enabled.is_none_or(|(_, share)| share != Share::None);
    match shadow {
        Some(field) if is_enabled => {
            account.remark(&field, &Remark::Ignored { why: "the filter is enabled beside it" });
        }
        Some(field) => settle(&field, shadow_share, account),
        None => {}
    }
    Some((!is_enabled).then_some("shadow"))
}

/// Of how many requests something is true.
#[derive(Clone, Copy, PartialEq)]
enum Share {
    None,
    /// Per cent.
    Some(f64),
    All,
    /// Envoy does not read it either.
    Unreadable,
}

/// For how many requests a policy is enabled, if it says so.
fn enabled<'d>(policy: &Field<'d>) -> Option<(Field<'d>, Share)> {
    let of_fraction = || policy.get("filterEnabled").map(|field| (share(&field), field));
    let of_flag = || {
        let field = policy.get("enabled")?;
        Some((if field.flag()? { Share::All } else { Share::None }, field))
    };
    of_fraction().or_else(of_flag).map(|(share, field)| (field, share))
}

/// `RuntimeFractionalPercent`
fn share(field: &Field<'_>) -> Share {
    let number = |name: &str| match field.at(&["defaultValue", name]).map(|part| &part.node.content)
    {
        None => Some(0.0),
        Some(Content::Number(number)) => Some(*number),
        Some(Content::Text(text)) => text.parse().ok(),
        Some(_) => None,
    };
    let whole = match field.text_at(&["defaultValue", "denominator"]) {
        Some("HUNDRED") => Some(100.0),
        Some("TEN_THOUSAND") => Some(10_000.0),
        Some("MILLION") => Some(1_000_000.0),
        Some(_) => None,
        None => number("denominator").map(|power| 100.0_f64.powf(power + 1.0)),
    };
    match number("numerator").zip(whole).map(|(numerator, whole)| numerator / whole) {
        Some(share) if share >= 1.0 => Share::All,
        Some(share) if share > 0.0 => Share::Some(share * 100.0),
        Some(_) => Share::None,
        None => Share::Unreadable,
    }
}

fn settle(field: &Field<'_>, share: Share, account: &mut Account) {
    if let Some(key) = field.get("runtimeKey") {
        account.remark(&key, &Remark::RuntimeKey);
    }
    let value = field.get("defaultValue").unwrap_or_else(|| field.clone());
    match share {
        Share::Some(percent) => account.remark(&value, &Remark::Share { percent }),
        Share::None | Share::All => account.carry(&value),
        Share::Unreadable => {}
    }
}

/// Ends the reading of a policy: what no route has taken from it is ignored.
pub fn finish(policy: &Field<'_>, why: &'static str, account: &mut Account) {
    if account.is_settled(policy.node) {
        return;
    }
    let off = enabled(policy).is_some_and(|(_, share)| share == Share::None);
    let why = if off { "the filter is not enabled there" } else { why };
    if !account.any_settled(policy.node) {
        return account.remark(policy, &Remark::Ignored { why });
    }
    for name in ORIGINS.iter().chain(&TEXTS).chain(&FLAGS).chain(&SHARES) {
        if let Some(field) = policy.get(name)
            && is_read(name, &field)
            && !account.any_settled(field.node)
        {
            account.remark(&field, &Remark::Ignored { why });
        }
    }
    account.close(policy);
}

/// Whether a field of a policy has the type that Envoy reads.
fn is_read(name: &str, field: &Field<'_>) -> bool {
    match &field.node.content {
        Content::List(_) => ORIGINS.contains(&name),
        Content::Text(_) => TEXTS.contains(&name),
        Content::Bool(_) => FLAGS.contains(&name),
        Content::Map(_) => SHARES.contains(&name) && share(field) != Share::Unreadable,
        Content::Null | Content::Number(_) => false,
    }
}
