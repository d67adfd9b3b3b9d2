//! Several policies of several sources as one configuration.

use std::collections::{BTreeSet, HashSet};

use serde::Serialize;

use super::account::Account;
use super::cors::{Cors, names};
use super::remark::Remark;
use super::scope::{Path, Stated, covers, host_covers};
use crate::cli::tree::Node;

/// A configuration of the filter.
#[derive(Debug, Default, Serialize)]
pub struct Configuration {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    policies: Vec<Policy>,
    /// What no other policy matches.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    default: Option<Cors>,
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
struct Scope<'s, 'd> {
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
    pub fn of(all: &[Stated<'_>], account: &mut Account) -> Self {
        let (scopes, lost) = distinct(reached(scopes(all)));
        remark(&scopes, &lost, account);
        let mut configuration = Self::default();
        for (index, stated) in all.iter().enumerate() {
            let mut of_stated: Vec<_> =
                scopes.iter().filter(|scope| std::ptr::eq(scope.stated, stated)).collect();
            // Where no policy is around, nothing is in force, as before.
            of_stated.retain(|one| stated.cors.is_some() || is_inside(one, &scopes));
            let cors = stated.cors.clone().unwrap_or_else(Cors::left_alone);
            let named = configuration.add(&stated.name, &cors, &of_stated);
            if stated.cors.is_some() {
                continue;
            }
            if let Some(policy) = named {
                account.add(&stated.aside);
                account.note(&stated.field, &Remark::LeftAlone { policy });
            }
            let own = scopes.iter().chain(said_elsewhere(&lost));
            let mut own = own.filter(|scope| std::ptr::eq(scope.stated, stated));
            let later = all.get(index..).unwrap_or_default();
            if let Some(other) = own.find_map(|one| overtaking(one, later, &scopes)) {
                let other = other.stated.field.path.clone();
                account.note(&stated.field, &Remark::Absorbed { other });
            }
        }
        configuration
    }

    /// Adds a policy for some scopes, and gives its name.
    fn add(&mut self, name: &str, cors: &Cors, scopes: &[&Scope<'_, '_>]) -> Option<String> {
        let mut hosts: Vec<Option<&str>> = Vec::new();
        for scope in scopes {
            if !hosts.contains(&scope.host) {
                hosts.push(scope.host);
            }
        }
        let mut matches: Vec<Match> = Vec::new();
        for host in hosts {
            let of_host = scopes.iter().filter(|scope| scope.host == host);
            let paths: BTreeSet<&str> = of_host.map(|scope| scope.path.prefix()).collect();
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
            .find(|known| known.cors == cors && known.matched.hosts == matched.hosts);
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

    /// A name that no policy has.
    fn unused(&self, name: &str) -> String {
        let is_used = |name: &str| {
            name == "default" || self.policies.iter().any(|policy| policy.name == name)
        };
        let numbered = (2..).map(|n: usize| {
            let end = format!("-{n}");
            let longest = LONGEST_NAME - end.len();
            format!("{}{end}", name.get(..longest).unwrap_or(name))
        });
        std::iter::once(name.to_owned())
            .chain(numbered)
            .find(|name| !is_used(name))
            .unwrap_or_default()
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

fn scopes<'s, 'd>(stated: &'s [Stated<'d>]) -> Vec<Scope<'s, 'd>> {
    let mut scopes = Vec::new();
    for stated in stated {
        let every = [None];
        let hosts: Vec<Option<&str>> = stated.hosts.iter().map(|host| Some(&**host)).collect();
        for host in if hosts.is_empty() { &every[..] } else { &hosts } {
            scopes.extend(stated.paths.iter().map(|path| Scope { stated, host: *host, path }));
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
fn reached<'s, 'd>(scopes: Vec<Scope<'s, 'd>>) -> Kept<'s, 'd> {
    let (mut reached, mut lost): Kept<'s, 'd> = (Vec::new(), Vec::new());
    for scope in scopes {
        let earlier = reached.iter().find(|earlier| {
            scope.stated.list.is_some()
                && earlier.stated.list == scope.stated.list
                && !std::ptr::eq(earlier.stated, scope.stated)
                && earlier.host == scope.host
                && earlier.path.takes(scope.path)
        });
        match earlier.map(|earlier| earlier.stated.field.path.clone()) {
            None => reached.push(scope),
            Some(earlier) => lost.push((scope, Some(Remark::Unreachable { earlier }))),
        }
    }
    (reached, lost)
}

/// Those of which no two are for the same host and path prefix.
fn distinct<'s, 'd>((scopes, mut lost): Kept<'s, 'd>) -> Kept<'s, 'd> {
    let mut distinct: Vec<Scope<'s, 'd>> = Vec::new();
    for mut scope in scopes {
        let same = distinct
            .iter_mut()
            .find(|known| known.host == scope.host && known.path.prefix() == scope.path.prefix());
        let Some(known) = same else {
            distinct.push(scope);
            continue;
        };
        // What is for a part only gives way.
        if known.path.is_part_of(scope.path) {
            std::mem::swap(known, &mut scope);
        }
        let other = known.stated.field.path.clone();
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

fn said_elsewhere<'a, 's, 'd>(lost: &'a [Lost<'s, 'd>]) -> impl Iterator<Item = &'a Scope<'s, 'd>> {
    lost.iter().filter(|(_, remark)| remark.is_none()).map(|(scope, _)| scope)
}

/// Says what is lost: of a policy for which no request is left, all; else the path.
fn remark(kept: &[Scope<'_, '_>], lost: &[Lost<'_, '_>], account: &mut Account) {
    let kept: Vec<&Scope<'_, '_>> = kept.iter().chain(said_elsewhere(lost)).collect();
    let mut withdrawn = HashSet::new();
    for (scope, remark) in lost {
        let Some(remark) = remark else { continue };
        let of_policy = || kept.iter().filter(|kept| std::ptr::eq(kept.stated, scope.stated));
        let is_lost = of_policy().next().is_none();
        let has_path = of_policy().any(|kept| std::ptr::eq(kept.path, scope.path));
        let field = if is_lost { &scope.stated.field } else { &scope.path.field };
        if scope.stated.cors.is_none() && matches!(remark, Remark::Unreachable { .. }) {
            account.forget(field);
        } else if has_path || !withdrawn.insert(std::ptr::from_ref(field.node)) {
            account.note(field, remark);
        } else {
            account.withdraw(field, remark);
        }
        if is_lost && scope.stated.cors.is_some() {
            withdraw_inherited(scope.stated, &kept, account);
        }
    }
}

/// What a lost policy takes from elsewhere is lost too, if nobody else takes it.
fn withdraw_inherited(lost: &Stated<'_>, kept: &[&Scope<'_, '_>], account: &mut Account) {
    let others = kept.iter().filter(|kept| kept.stated.cors.is_some());
    let taken: HashSet<*const Node> = others
        .flat_map(|kept| &kept.stated.inherited)
        .map(|field| std::ptr::from_ref(field.node))
        .collect();
    for field in &lost.inherited {
        if !taken.contains(&std::ptr::from_ref(field.node)) {
            let why = "what it is for is not carried over";
            account.withdraw(field, &Remark::Ignored { why });
        }
    }
}

/// The policy of a later rule of the same list that is in force now for requests that
/// a rule without CORS took, since no prefix tells them apart.
fn overtaking<'s, 'a, 'd>(
    scope: &Scope<'_, '_>,
    later: &[Stated<'_>],
    all: &'a [Scope<'s, 'd>],
) -> Option<&'a Scope<'s, 'd>> {
    all.iter().find(|other| {
        other.stated.cors.is_some()
            && other.stated.list.is_some()
            && other.stated.list == scope.stated.list
            && other.host == scope.host
            && later.as_ptr_range().contains(&std::ptr::from_ref(other.stated))
            && !covers(other.path.prefix(), scope.path.prefix())
            && scope.path.takes_some(other.path)
    })
}

/// Whether a policy would be in force for requests of a scope that has none.
fn is_inside(scope: &Scope<'_, '_>, all: &[Scope<'_, '_>]) -> bool {
    all.iter().any(|other| {
        other.stated.cors.is_some()
            && host_covers(other.host, scope.host)
            && (other.host != scope.host || covers(other.path.prefix(), scope.path.prefix()))
    })
}
