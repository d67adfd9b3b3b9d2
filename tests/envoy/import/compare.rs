//! What two CORS layers answer to the same request, and why they differ.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::{self, Display, Formatter};

use envoy_cors::config::snake_case;
use serde_json::Value;

use super::requests::{
    Asked, Matcher, Route, Target, Texts, UNLISTED, is_of_domain, matches, serialized, without_port,
};
use crate::client::Response;
use crate::rows::answer;
use crate::table::{Answer, Source};

/// A request and both answers.
pub struct Exchange {
    pub asked: Asked,
    /// The headers that upstream answers with, if it gets the request.
    pub upstream: Vec<(String, Vec<u8>)>,
    pub native: Got,
    pub ours: Got,
}

/// An answer, and the details of one that Envoy gave by itself.
#[derive(Clone, PartialEq)]
pub struct Got {
    answer: Answer,
    details: String,
    /// The number of the route.
    route: Option<usize>,
}

impl Got {
    pub fn new(response: &Response) -> Self {
        let text = |name: &str| Some(response.headers.get(name)?.to_str().ok()?.to_owned());
        let details = text("x-details").unwrap_or_default();
        let route = text(ROUTE).and_then(|number| number.parse().ok());
        Self { answer: answer(response), details, route }
    }

    pub fn header(&self, name: &str) -> Option<String> {
        let value = self.answer.headers.get(name)?;
        Some(String::from_utf8_lossy(value).into_owned())
    }

    /// The elements of a list; names of headers in lower case.
    fn list(&self, name: &str) -> BTreeSet<String> {
        let value = self.header(name).unwrap_or_default();
        let fold = |it: &str| {
            if name == ACAM { it.to_owned() } else { it.to_ascii_lowercase() }
        };
        let elements = value.split(',').map(|it| fold(it.trim()));
        elements.filter(|it| !it.is_empty()).collect()
    }

    pub fn status(&self) -> u16 {
        self.answer.status
    }

    pub fn grants(&self) -> bool {
        self.header(ACAO).is_some()
    }

    pub fn is_from_upstream(&self) -> bool {
        self.answer.from == Source::Upstream
    }

    /// By Envoy, and not by a CORS filter.
    fn is_from_envoy(&self) -> bool {
        !self.details.is_empty() && !self.details.starts_with("cors_")
    }
}

/// The header with the number of the route that an upstream's answer came by.
pub const ROUTE: &str = "x-route";

pub const ACAO: &str = "access-control-allow-origin";
pub const ACAC: &str = "access-control-allow-credentials";
pub const ACAM: &str = "access-control-allow-methods";
pub const ACAH: &str = "access-control-allow-headers";
const ACEH: &str = "access-control-expose-headers";
pub const ACMA: &str = "access-control-max-age";

/// What is said about a field of the source.
#[derive(Debug)]
pub struct Finding {
    pub rule: String,
    pub field: String,
    pub message: String,
    /// What stands at its place.
    pub text: String,
}

impl Finding {
    fn key(&self) -> String {
        let last = self.field.rsplit('.').next().unwrap();
        snake_case(last.split('[').next().unwrap())
    }

    /// Whether it is about one of these matchers, and that one lets the origin in.
    fn lets_in(&self, origin: &str, matchers: &[Matcher]) -> bool {
        if !snake_case(&self.field).contains("allow_origin") {
            return false;
        }
        let kind = match &*self.key() {
            "prefix" | "suffix" | "contains" | "regex" | "exact" => self.key(),
            _ => "glob".to_owned(),
        };
        let named = Matcher { kind, text: self.text.clone(), ignore_case: false };
        // Who writes Envoy's matchers for others writes expressions for their wildcards.
        let example = match &*self.text {
            "*" => "https://a.example".to_owned(),
            text => text.replace('*', "a"),
        };
        let one_of_these = matchers.iter().any(|it| match &*named.kind {
            "glob" => it.text == named.text || it.allows(&example),
            _ => it.text == named.text,
        });
        one_of_these && named.allows(origin)
    }

    /// Whether it is about a name in the list that is sent as `header`.
    fn names(&self, header: &str, name: &str) -> bool {
        // Those of annotations have hyphens.
        let field = snake_case(&self.field).replace('-', "_");
        let concerns = match header {
            ACAM => field.contains("allow_methods"),
            ACAH => field.contains("allow_headers"),
            _ => field.contains("expose_headers"),
        };
        let (message, name) = (self.message.to_ascii_lowercase(), name.to_ascii_lowercase());
        let quoted = message.contains(&format!("\"{name}\""));
        // One of a list in a text.
        concerns && (quoted || self.rule == "ignored" && message.split(' ').any(|it| it == name))
    }

    /// The first text that it quotes.
    fn quoted(&self) -> Option<String> {
        let from = self.message.get(self.message.find('"')?..)?;
        serde_json::Deserializer::from_str(from).into_iter().next()?.ok()
    }

    /// The path that it speaks of; empty: every path.
    fn path(&self) -> &str {
        let (_, scope) = self.message.split_once("something else for ").unwrap_or_default();
        match scope.split_once(" of ") {
            _ if self.text.starts_with('/') => &self.text,
            Some((path, _)) if path.starts_with('/') => path.trim_end_matches('/'),
            _ => "",
        }
    }

    /// Whether it is about this path; `varies` where a condition decides.
    fn concerns(&self, target: &Target, texts: &Texts, varies: bool) -> bool {
        let path = path_of(target);
        let under = |text: &str| path.strip_prefix(text);
        let site = texts.sites.iter().filter(|site| site.is_for(&target.host));
        let special: Vec<_> = site.flat_map(|site| &site.special).collect();
        let is_special = |rule: &str| special.iter().any(|it| it.0 == rule && it.1.is_around(path));
        match &*self.rule {
            "text-prefix" => match self.text.strip_suffix('/') {
                Some(bare) => path == bare,
                None => {
                    under(&self.text).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
                }
            },
            "exact-path" => under(&self.text).is_some_and(|rest| rest.starts_with('/')),
            "inexact-path" => self.quoted().is_some_and(|text| matches(&text, path)),
            "path-case" => texts.sites.iter().flat_map(|site| &site.paths).any(|it| {
                let lower = it.text.to_ascii_lowercase();
                path.to_ascii_lowercase().starts_with(&lower) && under(&it.text).is_none()
            }),
            "condition" => varies || is_special("condition"),
            "weighted" => is_special("weighted"),
            "port" => {
                let (host, domain) = (without_port(&target.host), without_port(&self.text));
                is_of_domain(host, domain) && !is_of_domain(&target.host, &self.text)
            }
            "share" => is_special("share"),
            "invalid-match" if self.text.starts_with('/') => under(&self.text).is_some(),
            "invalid-match" => is_of_domain(&target.host, &self.text),
            "same-scope" => under(self.path()).is_some(),
            _ => false,
        }
    }
}

pub fn path_of(target: &Target) -> &str {
    target.path.split('?').next().unwrap()
}

/// A way in which two answers differ.
#[derive(Debug, PartialEq, Eq)]
pub struct Difference {
    pub field: &'static str,
    pub native: String,
    ours: String,
}

impl Exchange {
    /// Status, who answered, and every CORS header.
    pub fn differences(&self) -> Vec<Difference> {
        let (native, ours) = (&self.native, &self.ours);
        let from = |got: &Got| if got.is_from_upstream() { "upstream" } else { "the gateway" };
        let mut seen = vec![
            ("status", native.answer.status.to_string(), ours.answer.status.to_string()),
            ("from", from(native).to_owned(), from(ours).to_owned()),
        ];
        for name in [ACAO, ACAC, ACMA, "access-control-allow-private-network"] {
            let shown = |got: &Got| got.header(name).unwrap_or("none".to_owned());
            seen.push((name, shown(native), shown(ours)));
        }
        let vary = |got: &Got| Vec::from_iter(got.list("vary")).join(", ");
        seen.push(("vary", vary(native), vary(ours)));
        // The order of these does not matter to a browser.
        for list in [ACAM, ACAH, ACEH] {
            let (native, ours) = (native.list(list), ours.list(list));
            for name in native.symmetric_difference(&ours) {
                let shown = |names: &BTreeSet<String>| names.get(name).cloned().unwrap_or_default();
                seen.push((list, shown(&native), shown(&ours)));
            }
        }
        let differ = |(field, native, ours)| Difference { field, native, ours };
        seen.into_iter().map(differ).filter(|it| it.native != it.ours).collect()
    }
}

/// As a reader of a failed test wants it.
impl Display for Exchange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Asked { target, method, origin, acrm, acrh } = &self.asked;
        write!(
            f,
            "{method} {}{} {:?}\n  origin: {origin:?}",
            target.host, target.path, target.headers
        )?;
        write!(f, "\n  access-control-request-method: {acrm:?}, headers: {acrh:?}")?;
        write!(f, "\nupstream:")?;
        for (name, value) in &self.upstream {
            write!(f, "\n  {name}: {}", value.escape_ascii())?;
        }
        for (who, got) in [("native", &self.native), ("ours", &self.ours)] {
            write!(f, "\n{who} ({}): {}", got.details, got.answer)?;
        }
        Ok(())
    }
}

/// What is known of one import and of all its answers.
pub struct Known<'k> {
    texts: &'k Texts,
    findings: &'k [Finding],
    /// The answers of an upstream that says nothing about CORS.
    bare: HashMap<&'k Asked, &'k Exchange>,
    routes: HashMap<&'k Target, &'k Route>,
    /// Where a policy is in force.
    native: HashSet<&'k Target>,
    ours: HashSet<&'k Target>,
    /// Where, and in which list, Envoy's filter repeats whatever is asked for.
    echoed: HashSet<(&'k Target, &'static str)>,
    /// Hosts and paths at which something else decides too who is allowed.
    varied: HashSet<(&'k str, &'k str)>,
}

impl<'k> Known<'k> {
    pub fn of(texts: &'k Texts, findings: &'k [Finding], exchanges: &'k [Exchange]) -> Self {
        let bare = || exchanges.iter().filter(|it| it.upstream.is_empty());
        let place = |it: &'k Exchange| &it.asked.target;
        let decided = |got: &Got| {
            got.grants() || got.details.starts_with("cors_") || got.list("vary").contains("origin")
        };
        let route = |it: &Exchange| Some(&texts.routes[it.native.route?]);
        // Nothing shows a policy that lets nobody in.
        let lets_nobody_in = |it: &Exchange| {
            route(it).and_then(|it| it.0.as_ref()).is_some_and(|matchers| matchers.is_empty())
        };
        let in_force = |it: &&Exchange| it.native.grants() || lets_nobody_in(it);
        let native = bare().filter(in_force).map(place).collect();
        let mut grants: HashMap<_, bool> = HashMap::new();
        let mut varied = HashSet::new();
        for exchange in bare() {
            let Asked { target, origin, .. } = &exchange.asked;
            let (at, granted) = ((&*target.host, path_of(target)), exchange.native.grants());
            if *grants.entry((at, origin)).or_insert(granted) != granted {
                varied.insert(at);
            }
        }
        let echo = |it: &'k Exchange| {
            let (native, asked) = (&it.native, &it.asked);
            let method = native.list(ACAM).contains(UNLISTED[0]).then_some(ACAM);
            let header = native.list(ACAH).contains(UNLISTED[1]).then_some(ACAH);
            [method, header].into_iter().flatten().map(|list| (&asked.target, list))
        };
        let echoed = bare().filter(|it| it.asked.is_preflight()).flat_map(echo).collect();
        Self {
            texts,
            findings,
            echoed,
            routes: bare().filter_map(|it| Some((place(it), route(it)?))).collect(),
            bare: bare().map(|it| (&it.asked, it)).collect(),
            ours: bare().filter(|it| decided(&it.ours)).map(place).collect(),
            native,
            varied,
        }
    }

    /// The same request, where upstream says nothing about CORS.
    pub fn bare(&self, asked: &Asked) -> &'k Exchange {
        self.bare[asked]
    }

    /// The ids that say why both answers differ so; one, if all is well.
    pub fn reasons(&self, exchange: &Exchange, difference: &Difference) -> BTreeSet<&'k str> {
        let asked = &exchange.asked;
        if difference.field == "vary" && self.is_vary(exchange) {
            return ["vary"].into();
        }
        if exchange.native.is_from_envoy() {
            return ["replies-without-route"].into();
        }
        let by_place = || self.by_place(exchange);
        if self.native.contains(&asked.target) != self.ours.contains(&asked.target) {
            return by_place();
        }
        let bare = self.bare[asked];
        if bare.native.grants() != bare.ours.grants() && self.is_by_host(asked) {
            return ["host-form"].into();
        }
        // Also in the answers to preflights that our filter gives.
        let is_set = |got: &&Got| self.set(difference.field, got).contains(&true);
        if [&exchange.native, &exchange.ours].iter().any(is_set) {
            return self.rule("own-header");
        }
        let granted = [&bare.native, &bare.ours].map(|it| self.set(ACAO, it).contains(&false));
        let reasons = match granted.into() {
            (true, false) => self.by_origin(exchange),
            (false, true) => self.by_any_origin(exchange),
            (true, true) => self.by_form(exchange, difference),
            (false, false) => self.by_refusal(exchange, difference),
        };
        if reasons.is_empty() { by_place() } else { reasons }
    }

    /// `Vary` as it was, and what our answers vary on.
    pub fn is_vary(&self, exchange: &Exchange) -> bool {
        let mut added = vec!["origin"];
        if exchange.asked.is_preflight() && !exchange.ours.is_from_upstream() {
            added.extend(["access-control-request-method", "access-control-request-headers"]);
        }
        let added: BTreeSet<String> = added.into_iter().map(str::to_owned).collect();
        let before = match exchange.ours.is_from_upstream() {
            true => exchange.native.list("vary"),
            false => BTreeSet::new(),
        };
        exchange.ours.list("vary") == before.union(&added).cloned().collect()
    }

    /// Of each value of a header, whether a route set it.
    fn set(&self, name: &str, got: &Got) -> Vec<bool> {
        let value = got.header(name);
        let parts = value.iter().flat_map(|value| value.split(','));
        let parts = parts.map(|part| (name.to_owned(), part.trim().to_owned()));
        parts.map(|part| self.texts.set.contains(&part)).collect()
    }

    /// Whether Envoy takes the host for another one, for its port or the dot at its end.
    fn is_by_host(&self, asked: &Asked) -> bool {
        let host = without_port(&asked.target.host).trim_end_matches('.');
        let mut plain = asked.clone();
        plain.target.host = host.to_owned();
        let (here, there) = (self.bare[asked], self.bare.get(&plain));
        there.is_some_and(|there| here.native != there.native)
    }

    /// Why other requests are concerned than before.
    pub fn by_place(&self, exchange: &Exchange) -> BTreeSet<&'k str> {
        let target = &exchange.asked.target;
        if is_ambiguous(path_of(target)) {
            return ["ambiguous-paths"].into();
        }
        let varies = self.varied.contains(&(&*target.host, path_of(target)));
        let left_out = |it: &&Finding| {
            let of_rule = |one: &&Finding| one.rule == "unreachable";
            !self.findings.iter().filter(of_rule).any(|one| it.field.starts_with(&one.field))
        };
        let findings = self.findings.iter().filter(left_out);
        let here: Vec<_> = findings.filter(|it| it.concerns(target, self.texts, varies)).collect();
        // The longest path decides, as in both filters; a policy that is lost says more than how
        // its path was compared.
        let rank = |it: &Finding| (it.path().len(), it.rule == "same-scope");
        let first = here.iter().map(|it| rank(it)).max();
        let here = here.into_iter().filter(|it| Some(rank(it)) == first);
        let reasons: BTreeSet<&str> = here.map(|it| &*it.rule).collect();
        if reasons.is_empty() && self.is_by_host(&exchange.asked) {
            return ["host-form"].into();
        }
        reasons
    }

    /// Why an origin is allowed no longer.
    fn by_origin(&self, exchange: &Exchange) -> BTreeSet<&'k str> {
        if is_ambiguous(path_of(&exchange.asked.target)) {
            return ["ambiguous-paths"].into();
        }
        // Envoy reads several lines as one.
        let origin = exchange.asked.origin.join(",");
        let route = self.routes.get(&exchange.asked.target).and_then(|route| route.0.as_ref());
        let matchers = route.map_or(&[][..], |matchers| matchers);
        let about = self.findings.iter().filter(|it| it.lets_in(&origin, matchers));
        // Of several, the one that names it.
        let first = about.max_by_key(|it| it.text == origin);
        let reasons: BTreeSet<&str> = first.map(|it| &*it.rule).into_iter().collect();
        if reasons.is_empty() && !is_sendable(&origin) {
            ["unsendable-origins"].into()
        } else {
            reasons
        }
    }

    /// Why somebody is allowed who was not before: everybody is.
    fn by_any_origin(&self, exchange: &Exchange) -> BTreeSet<&'k str> {
        let origin = exchange.asked.origin.join(",");
        match exchange.ours.header(ACAO).as_deref() {
            Some("*") if origin.is_empty() => ["any-origin"].into(),
            Some("*") if origin == "null" => self.rule("null-origin"),
            Some("*") if !is_sendable(&origin) => ["unsendable-origins"].into(),
            _ => BTreeSet::new(),
        }
    }

    /// Why a refusal looks different.
    pub fn by_refusal(&self, exchange: &Exchange, difference: &Difference) -> BTreeSet<&'k str> {
        let (native, ours) = (&exchange.native, &exchange.ours);
        let is_no_grant = |name: &String| name == "vary" || !self.set(name, ours).contains(&false);
        let no_grant = ours.answer.headers.keys().all(is_no_grant);
        if exchange.asked.is_preflight() && ours.answer.status == 403 && no_grant {
            return if native.is_from_upstream() {
                self.rule("forwarded-preflights")
            } else {
                ["refused-preflights"].into()
            };
        }
        let removed = [ACAO, ACAC, ACEH].contains(&difference.field)
            && ours.header(difference.field).is_none()
            && native.header(difference.field) == self.of_upstream(exchange, difference.field);
        if removed { ["upstream-headers"].into() } else { BTreeSet::new() }
    }

    /// Why a grant looks different.
    pub fn by_form(&self, exchange: &Exchange, difference: &Difference) -> BTreeSet<&'k str> {
        let (native, ours, asked) = (&exchange.native, &exchange.ours, &exchange.asked);
        let field = difference.field;
        let origin = asked.origin.join(",");
        match field {
            "status" if asked.is_preflight() => {
                let statuses = (native.answer.status, ours.answer.status);
                if statuses == (200, 204) { ["preflight-answers"].into() } else { BTreeSet::new() }
            }
            ACEH if asked.is_preflight() && ours.header(ACEH).is_none() => {
                ["preflight-answers"].into()
            }
            ACAO if native.header(ACAO) == Some(spaced(&origin))
                && ours.header(ACAO).as_deref() == Some("*") =>
            {
                ["any-origin"].into()
            }
            ACAC | ACEH
                if !asked.is_preflight()
                    && native.header(field).is_some()
                    && native.header(field) == self.of_upstream(exchange, field) =>
            {
                ["upstream-headers"].into()
            }
            ACAM | ACAH | ACEH => self.by_name(exchange, difference),
            ACMA => self.by_age(exchange),
            _ => BTreeSet::new(),
        }
    }

    /// Why a name is in one of two lists only.
    fn by_name(&self, exchange: &Exchange, difference: &Difference) -> BTreeSet<&'k str> {
        let (field, native, ours) = (difference.field, &*difference.native, &*difference.ours);
        let name = if native.is_empty() { ours } else { native };
        let (before, now) = (exchange.native.list(field), exchange.ours.list(field));
        let echoed = self.echoed.contains(&(&exchange.asked.target, field));
        let any_before = echoed || before.contains("*");
        if any_before
            && now.contains("*")
            && (name == "*" || !ours.is_empty() || name != "authorization")
        {
            return ["any-name"].into();
        }
        if echoed && ours.is_empty() && is_unsendable(name) {
            return ["any-name"].into();
        }
        let about = self.findings.iter().filter(|it| it.names(field, name));
        about.map(|it| &*it.rule).collect()
    }

    /// Why a preflight may be remembered for another time.
    fn by_age(&self, exchange: &Exchange) -> BTreeSet<&'k str> {
        let number = |got: &Got| got.header(ACMA)?.parse::<u64>().ok();
        match (number(&exchange.native), number(&exchange.ours)) {
            (Some(native), Some(86_400)) if native > 86_400 => self.rule("long-max-age"),
            (_, Some(_)) => BTreeSet::new(),
            (_, None) => {
                let reasons = self.by_names_asked(exchange);
                if !reasons.is_empty() {
                    return reasons;
                }
                // A long one is shortened, and never left out.
                let ages = |it: &&Finding| it.key() == "max_age" && it.rule != "long-max-age";
                self.findings.iter().filter(ages).map(|it| &*it.rule).collect()
            }
        }
    }

    /// Why a method or a header that is asked for is not allowed.
    pub fn by_names_asked(&self, exchange: &Exchange) -> BTreeSet<&'k str> {
        let asked = &exchange.asked;
        let method = asked.acrm.iter().map(|it| (ACAM, it.clone()));
        let headers = asked.acrh.iter().flat_map(|it| it.split(','));
        let headers = headers.map(|it| (ACAH, it.trim().to_ascii_lowercase()));
        let mut first = None;
        for (list, name) in method.chain(headers).filter(|it| !it.1.is_empty()) {
            let (before, now) = (exchange.native.list(list), exchange.ours.list(list));
            let safelisted = list == ACAM && ["GET", "HEAD", "POST"].contains(&&*name);
            let any = now.contains("*") && name != "authorization" && !is_unsendable(&name);
            if safelisted || any || now.contains(&name) {
                continue;
            }
            let echoed = self.echoed.contains(&(&asked.target, list));
            if echoed && is_unsendable(&name) {
                first.get_or_insert("any-name");
            } else if before.contains(&name) {
                let about = self.findings.iter().find(|it| it.names(list, &name));
                first = first.or(about.map(|it| &*it.rule));
            } else {
                // Then nothing else matters.
                return ["checked-preflights"].into();
            }
        }
        first.into_iter().collect()
    }

    fn of_upstream(&self, exchange: &Exchange, name: &str) -> Option<String> {
        let of_name = exchange.upstream.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = of_name.map(|(_, value)| String::from_utf8_lossy(value)).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    /// A rule, if this import has a finding of it.
    fn rule(&self, rule: &str) -> BTreeSet<&'k str> {
        let of_rule = self.findings.iter().filter(|it| it.rule == rule);
        of_rule.map(|it| &*it.rule).collect()
    }
}

/// Whether a browser sends such an origin.
fn is_sendable(origin: &str) -> bool {
    origin == "null" || serialized(origin).is_some_and(|it| it == origin)
}

/// Whether no page can send a method or a header of this name.
fn is_unsendable(name: &str) -> bool {
    name == "TRACE" || name.contains(' ')
}

/// A list as it is compared.
fn spaced(list: &str) -> String {
    list.split(',').map(str::trim).collect::<Vec<_>>().join(", ")
}

/// Whether servers may read a path differently.
pub fn is_ambiguous(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    let segment = |it: &str| ["", ".", ".."].contains(&it.split(';').next().unwrap());
    let segments: Vec<&str> = lower.trim_start_matches('/').split('/').collect();
    let (last, inner) = segments.split_last().unwrap();
    path.starts_with("//")
        || inner.iter().any(|it| segment(it))
        || [".", ".."].contains(&last.split(';').next().unwrap())
        || ["%2e", "%2f", "%5c", "\\"].iter().any(|it| lower.contains(it))
}

/// The findings of an import, with the texts that they point to in `sources`.
pub fn findings(report: &Value, sources: &BTreeMap<String, String>) -> Vec<Finding> {
    let findings = report["findings"].as_array().unwrap().iter();
    let read = |it: &Value| {
        let text = |key: &str| it[key].as_str().unwrap().to_owned();
        let number = |key: &str| usize::try_from(it[key].as_u64().unwrap()).unwrap();
        let line = sources[&text("file")].lines().nth(number("line") - 1).unwrap();
        let (start, end) = (number("column"), number("endColumn"));
        let there: String = line.chars().skip(start - 1).take(end - start).collect();
        let scalar: Value = serde_saphyr::from_str(&there).unwrap_or(Value::Null);
        let there = scalar.as_str().map_or(there.clone(), str::to_owned);
        Finding { rule: text("rule"), field: text("field"), message: text("message"), text: there }
    };
    findings.map(read).collect()
}
