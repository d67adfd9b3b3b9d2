//! Several policies of several sources as one configuration.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;

use super::account::{Account, Field};
use super::cors::{Cors, names};
use super::remark::Remark;
use super::scope::{Path, Stated, covers, host_covers, or_every};
use crate::cli::document::Document;
use crate::cli::tree::Node;

/// A configuration of the filter.
#[derive(Debug, Default, Serialize)]
pub struct Configuration {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<Policy>,
    /// What no other policy matches.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    default: Option<Cors>,
    /// The number that the next policy of a name gets.
    #[serde(skip)]
    numbers: HashMap<String, usize>,
}

#[derive(Debug, Serialize)]
struct Policy {
    name: String,
    #[serde(rename = "match")]
    matched: Match,
    #[serde(flatten)]
    cors: Cors,
}

#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Match {
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "names")]
    hosts: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "names")]
    path_prefixes: Vec<String>,
}

/// The requests of one host and path prefix, and what is said about them.
#[derive(Clone, Copy)]
struct Scope<'s, 'd> {
    /// Where what is said stands among the others.
    index: usize,
    stated: &'s Stated<'d>,
    host: Option<&'s str>,
    path: &'s Path<'d>,
}

impl Configuration {
    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.default.is_none()
    }

    /// Puts all policies into one configuration.
    pub fn of(all: &[Stated<'_>], documents: &[Document], account: &mut Account) -> Self {
        let lines = Lines::of(documents);
        let (kept, lost) = distinct(reached(scopes(all), &lines), &lines);
        remark(&kept, &lost, account);
        let with_cors: Vec<Scope<'_, '_>> =
            kept.iter().filter(|scope| scope.stated.cors.is_some()).copied().collect();
        let of_stated = by_stated(kept.iter());
        let said_elsewhere = by_stated(said_elsewhere(&lost));
        let mut configuration = Self::default();
        for (index, stated) in all.iter().enumerate() {
            let own = of_stated.get(&index).map(Vec::as_slice).unwrap_or_default();
            if let Some(cors) = &stated.cors {
                configuration.add(&stated.name, cors, own);
                continue;
            }
            // Where no policy is around, nothing is in force, as before.
            let inside: Vec<_> =
                own.iter().filter(|one| is_inside(one, &with_cors)).copied().collect();
            if let Some(policy) = configuration.add(&stated.name, &Cors::left_alone(), &inside) {
                account.add(&stated.aside);
                account.note(&stated.field, &Remark::LeftAlone { policy });
            }
            let elsewhere = said_elsewhere.get(&index).into_iter().flatten();
            let mut all = own.iter().chain(elsewhere);
            if let Some(other) = all.find_map(|one| overtaking(one, &with_cors)) {
                let other = lines.place(&other.stated.field);
                account.note(&stated.field, &Remark::Absorbed { other });
            }
        }
        configuration
    }

    /// Adds a policy for some scopes, and gives its name.
    fn add(&mut self, name: &str, cors: &Cors, scopes: &[Scope<'_, '_>]) -> Option<String> {
        let mut hosts: Vec<Option<&str>> = Vec::new();
        let mut paths: HashMap<Option<&str>, BTreeSet<&str>> = HashMap::new();
        for scope in scopes {
            let of_host = paths.entry(scope.host).or_insert_with(|| {
                hosts.push(scope.host);
                BTreeSet::new()
            });
            of_host.insert(scope.path.prefix());
        }
        let mut matches: Vec<Match> = Vec::new();
        for host in hosts {
            let paths = paths.remove(&host).unwrap_or_default();
            // A host with the same paths as another goes with it.
            let paths =
                if paths.contains("") && paths.len() == 1 { BTreeSet::new() } else { paths };
            let path_prefixes: Vec<String> = paths
                .iter()
                .map(|path| if path.is_empty() { "/" } else { path }.to_owned())
                .collect();
            match matches.iter_mut().find(|known| known.path_prefixes == path_prefixes) {
                Some(known) => known.hosts.extend(host.map(str::to_owned)),
                None => matches.push(Match {
                    hosts: host.map(str::to_owned).into_iter().collect(),
                    path_prefixes,
                }),
            }
        }
        let mut first = None;
        for matched in matches {
            let named = self.insert(name, cors.clone(), matched);
            first.get_or_insert(named);
        }
        first
    }

    fn insert(&mut self, name: &str, cors: Cors, mut matched: Match) -> String {
        if matched.hosts.is_empty() && matched.path_prefixes.iter().all(|path| path == "/") {
            self.default = Some(cors);
            return "default".to_owned();
        }
        // The top level takes what is said for every host and path.
        if matched.hosts.is_empty() && matched.path_prefixes.iter().any(|path| path == "/") {
            matched.path_prefixes.retain(|path| path != "/");
            self.default = Some(cors.clone());
        }
        let same = self
            .policies
            .iter_mut()
            .find(|known| known.matched.hosts == matched.hosts && known.cors == cors);
        if let Some(known) = same
            && !known.matched.path_prefixes.is_empty()
            && !matched.path_prefixes.is_empty()
        {
            known.matched.path_prefixes.extend(matched.path_prefixes);
            return known.name.clone();
        }
        let name = self.unused(&slug(name));
        self.policies.push(Policy { name: name.clone(), matched, cors });
        name
    }

    /// A name that no policy has: the one given, or with a number.
    fn unused(&mut self, name: &str) -> String {
        let numbered = |n: usize| {
            let end = if n == 1 { String::new() } else { format!("-{n}") };
            let longest = LONGEST_NAME - end.len();
            format!("{}{end}", name.get(..longest).unwrap_or(name))
        };
        let is_used = |name: &str| {
            name == "default" || self.policies.iter().any(|policy| policy.name == name)
        };
        let mut n = self.numbers.get(name).copied().unwrap_or(1);
        while is_used(&numbered(n)) {
            n += 1;
        }
        self.numbers.insert(name.to_owned(), n + 1);
        numbered(n)
    }
}

/// Bytes of a policy's name.
const LONGEST_NAME: usize = 63;

/// A name that counters and log lines can have.
fn slug(name: &str) -> String {
    let fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_');
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> = lower.split(|c| !fits(c)).filter(|word| !word.is_empty()).collect();
    let slug = words.join("-");
    match slug.get(..LONGEST_NAME) {
        Some(cut) => cut.to_owned(),
        None if slug.is_empty() => "policy".to_owned(),
        None => slug,
    }
}

/// Where the lines of all documents end.
struct Lines<'a> {
    documents: &'a [Document],
    ends: Vec<Vec<usize>>,
}

impl<'a> Lines<'a> {
    fn of(documents: &'a [Document]) -> Self {
        let ends = |document: &Document| {
            document.text.match_indices('\n').map(|(end, _)| end).collect::<Vec<_>>()
        };
        Self { documents, ends: documents.iter().map(ends).collect() }
    }

    /// A field, and where it stands.
    fn place(&self, field: &Field<'_>) -> String {
        let document = self.documents.get(field.document).zip(self.ends.get(field.document));
        let Some((document, ends)) = document else { return field.path.clone() };
        let line = ends.partition_point(|end| *end < field.node.span.start) + 1;
        format!("{} ({}:{line})", field.path, document.name)
    }
}

fn scopes<'s, 'd>(stated: &'s [Stated<'d>]) -> Vec<Scope<'s, 'd>> {
    let mut scopes = Vec::new();
    for (index, stated) in stated.iter().enumerate() {
        for host in or_every(&stated.hosts) {
            scopes.extend(stated.paths.iter().map(|path| Scope { index, stated, host, path }));
        }
    }
    scopes
}

/// Scopes that are kept, and the others, each with the reason. There is none where
/// another says the same.
type Kept<'s, 'd> = (Vec<Scope<'s, 'd>>, Vec<Lost<'s, 'd>>);
type Lost<'s, 'd> = (Scope<'s, 'd>, Option<Remark>);

/// Those that some request reaches: none of an earlier rule of the same list takes
/// them all.
fn reached<'s, 'd>(scopes: Vec<Scope<'s, 'd>>, lines: &Lines<'_>) -> Kept<'s, 'd> {
    let (mut reached, mut lost): Kept<'s, 'd> = (Vec::new(), Vec::new());
    let mut of_list: HashMap<(usize, Option<&str>), Vec<Scope<'s, 'd>>> = HashMap::new();
    for scope in scopes {
        let Some(list) = scope.stated.list else {
            reached.push(scope);
            continue;
        };
        let before = of_list.entry((list, scope.host)).or_default();
        let earlier = before
            .iter()
            .find(|earlier| earlier.index != scope.index && earlier.path.takes(scope.path));
        if let Some(earlier) = earlier {
            let earlier = lines.place(&earlier.stated.field);
            lost.push((scope, Some(Remark::Unreachable { earlier })));
        } else {
            before.push(scope);
            reached.push(scope);
        }
    }
    (reached, lost)
}

/// Those of which no two are for the same host and path prefix.
fn distinct<'s, 'd>((scopes, mut lost): Kept<'s, 'd>, lines: &Lines<'_>) -> Kept<'s, 'd> {
    let mut distinct: Vec<Scope<'s, 'd>> = Vec::new();
    let mut places: HashMap<(Option<&str>, &str), usize> = HashMap::new();
    for mut scope in scopes {
        let place = match places.entry((scope.host, scope.path.prefix())) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => *free.insert(distinct.len()),
        };
        let Some(known) = distinct.get_mut(place) else {
            distinct.push(scope);
            continue;
        };
        // What is for a part only gives way.
        if known.path.is_part_of(scope.path) {
            std::mem::swap(known, &mut scope);
        }
        let other = lines.place(&known.stated.field);
        let remark = match &scope.stated.cors {
            cors if *cors == known.stated.cors => None,
            None => Some(Remark::Absorbed { other }),
            Some(_) => {
                let host = scope.host.unwrap_or("every host").to_owned();
                Some(Remark::SameScope { host, prefix: scope.path.text.clone(), other })
            }
        };
        lost.push((scope, remark));
    }
    (distinct, lost)
}

/// Those of which another says the same.
fn said_elsewhere<'a, 's, 'd>(lost: &'a [Lost<'s, 'd>]) -> impl Iterator<Item = &'a Scope<'s, 'd>> {
    lost.iter().filter(|(_, remark)| remark.is_none()).map(|(scope, _)| scope)
}

/// Scopes by the index of what is said about them.
fn by_stated<'a, 's: 'a, 'd: 'a>(
    scopes: impl Iterator<Item = &'a Scope<'s, 'd>>,
) -> HashMap<usize, Vec<Scope<'s, 'd>>> {
    let mut grouped: HashMap<usize, Vec<Scope<'s, 'd>>> = HashMap::new();
    for scope in scopes {
        grouped.entry(scope.index).or_default().push(*scope);
    }
    grouped
}

/// Says what is lost: of a policy for which no request is left, all; else the path.
fn remark(kept: &[Scope<'_, '_>], lost: &[Lost<'_, '_>], account: &mut Account) {
    let kept = by_stated(kept.iter().chain(said_elsewhere(lost)));
    let mut withdrawn = HashSet::new();
    for (scope, remark) in lost {
        let Some(remark) = remark else { continue };
        let of_policy = kept.get(&scope.index).map(Vec::as_slice).unwrap_or_default();
        let is_lost = of_policy.is_empty();
        let has_path = of_policy.iter().any(|kept| std::ptr::eq(kept.path, scope.path));
        let field = if is_lost { &scope.stated.field } else { &scope.path.field };
        if scope.stated.cors.is_none() && matches!(remark, Remark::Unreachable { .. }) {
            account.forget(field);
        } else if has_path || !withdrawn.insert(std::ptr::from_ref(field.node)) {
            account.note(field, remark);
        } else {
            account.withdraw(field, remark);
        }
    }
    withdraw_inherited(lost, &kept, account);
}

/// What lost policies take from elsewhere is lost too, if nobody else takes it.
fn withdraw_inherited(
    lost: &[Lost<'_, '_>],
    kept: &HashMap<usize, Vec<Scope<'_, '_>>>,
    account: &mut Account,
) {
    let others = kept.values().filter_map(|scopes| scopes.first());
    let taken: HashSet<*const Node> = others
        .filter(|scope| scope.stated.cors.is_some())
        .flat_map(|scope| &scope.stated.inherited)
        .map(|field| std::ptr::from_ref(field.node))
        .collect();
    for (scope, remark) in lost {
        if remark.is_none() || scope.stated.cors.is_none() || kept.contains_key(&scope.index) {
            continue;
        }
        for field in &scope.stated.inherited {
            if !taken.contains(&std::ptr::from_ref(field.node)) {
                let why = "what it is for is not carried over";
                account.withdraw(field, &Remark::Ignored { why });
            }
        }
    }
}

/// The policy of a later rule of the same list that is in force now for requests that
/// a rule without CORS took, since no prefix tells them apart.
fn overtaking<'a, 's, 'd>(
    scope: &Scope<'_, '_>,
    with_cors: &'a [Scope<'s, 'd>],
) -> Option<&'a Scope<'s, 'd>> {
    with_cors.iter().find(|other| {
        other.stated.list.is_some()
            && other.stated.list == scope.stated.list
            && other.index > scope.index
            && other.host == scope.host
            && !covers(other.path.prefix(), scope.path.prefix())
            && scope.path.takes_some(other.path)
    })
}

/// Whether a policy would be in force for requests of a scope that has none.
fn is_inside(scope: &Scope<'_, '_>, with_cors: &[Scope<'_, '_>]) -> bool {
    with_cors.iter().any(|other| {
        host_covers(other.host, scope.host)
            && (other.host != scope.host || covers(other.path.prefix(), scope.path.prefix()))
    })
}
