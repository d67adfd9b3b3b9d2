//! Rules without CORS of their own, which have that of their Gateway, or none: where
//! what stands around them says the same, nothing need be said.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::cli::import::account::{Account, Field};
use crate::cli::import::cors::Cors;
use crate::cli::import::gateway_api::Lost;
use crate::cli::import::remark::Remark;
use crate::cli::import::scope::{Stated, covers, is_literal, or_every};

/// A rule on listeners that have the same policy.
pub struct Inherited<'d> {
    pub stated: Stated<'d>,
    /// That policy.
    pub policy: Option<usize>,
    /// Where that is attached, if the rule has listeners with another one.
    pub reference: Option<Field<'d>>,
    /// What is lost of its paths.
    pub lost: Lost<'d>,
}

/// Of a rule the scope of a host and a path, by their places in its lists.
type Member = (usize, usize, usize);

/// Those that must be said beside what is said already, with policies first.
pub fn needed<'d>(
    rules: Vec<Inherited<'d>>,
    stated: &[Stated<'d>],
    account: &mut Account,
) -> Vec<Inherited<'d>> {
    let mut said = Said::default();
    for one in stated {
        for (_, host) in hosts(one) {
            let add = |prefix| said.add(host, prefix, one.cors.as_ref());
            one.paths.iter().map(|path| path.prefix()).for_each(add);
        }
    }
    let mut kept: HashSet<Member> = HashSet::new();
    for ((_, host, _, prefix), members) in from_outside(&rules) {
        let cors = |(rule, ..): &Member| rules.get(*rule).and_then(|one| one.stated.cors.as_ref());
        let node =
            |(rule, ..): &Member| rules.get(*rule).map(|one| &raw const *one.stated.field.node);
        let there = said.exactly(host, prefix).to_vec();
        let around = said.around(host, prefix);
        let is_in_force = |one: &Member| around.first().copied().flatten() == cors(one);
        // That another listener of the rule has something else is told there already.
        let is_told = |one: &Member| {
            let mut same = members.iter().filter(|other| node(other) == node(one));
            around.contains(&cors(one)) && same.any(is_in_force)
        };
        let is_needed = |one: &Member| {
            !is_in_force(one) && !is_told(one) || said.differs_below(host, prefix, cors(one))
        };
        let is_one_needed = members.iter().any(is_needed);
        let mut needed = members;
        needed.retain(
            |one| {
                if there.is_empty() { is_one_needed } else { !there.contains(&cors(one)) }
            },
        );
        needed.iter().for_each(|one| said.add(host, prefix, cors(one)));
        kept.extend(needed);
    }
    for rule in &rules {
        remark_lost(rule, &said, account);
    }
    let parts = |(index, rule)| parts(index, rule, &kept, account);
    let mut needed: Vec<_> = rules.into_iter().enumerate().flat_map(parts).collect();
    needed.sort_by_key(|one| one.stated.cors.is_none());
    needed
}

/// The scopes of all rules: those that may stand around others first.
fn from_outside<'r>(
    rules: &'r [Inherited<'_>],
) -> BTreeMap<(usize, Option<&'r str>, usize, &'r str), Vec<Member>> {
    let mut scopes: BTreeMap<_, Vec<Member>> = BTreeMap::new();
    for (rule, one) in rules.iter().enumerate() {
        for (at, host) in hosts(&one.stated) {
            let rank = match host {
                None => 0,
                Some(host) if host.starts_with('*') => host.len(),
                Some(_) => usize::MAX,
            };
            for (path, prefix) in one.stated.paths.iter().map(|path| path.prefix()).enumerate() {
                let key = (rank, host, prefix.len(), prefix);
                scopes.entry(key).or_default().push((rule, at, path));
            }
        }
    }
    scopes
}

/// Remarks on paths that no prefix says, where something else is said around them:
/// it is in force there, too.
fn remark_lost<'s>(rule: &'s Inherited<'_>, said: &Said<'s>, account: &mut Account) {
    let cors = rule.stated.cors.as_ref();
    let differs = |start: &str| {
        // Its last segment may go on.
        let above = start.rfind('/').and_then(|at| start.get(..at)).unwrap_or_default();
        hosts(&rule.stated).any(|(_, host)| {
            let in_force = |path: &&str| said.around(host, path).first().copied().flatten();
            [start, above].iter().any(|path| in_force(path) != cors)
                || said.differs_at(host, start, cors)
        })
    };
    for (field, remark) in &rule.lost {
        let Remark::InexactPath { what, text } = remark else { continue };
        if differs(start(text)) {
            let lost = || Remark::LostPath { what, text: text.clone() };
            account.note(field, &if cors.is_none() { lost() } else { remark.clone() });
        }
    }
    let all = rule.stated.field.list("matches").len();
    if rule.stated.paths.len() + rule.lost.len() < all && differs("") {
        account.add(&rule.stated.aside);
    }
}

/// How every text begins that an expression matches.
fn start(expression: &str) -> &str {
    let text = expression.strip_prefix('^').unwrap_or(expression);
    let (start, rest) = text.split_at(text.find(|c| !is_literal(c)).unwrap_or(text.len()));
    if text.contains('|') {
        return "";
    }
    let is_repeated = rest.starts_with(['*', '?', '{']);
    let end = start.len().saturating_sub(usize::from(is_repeated));
    start.get(..end).unwrap_or_default()
}

/// The parts of a rule that are kept: hosts with the same paths together.
fn parts<'d>(
    index: usize,
    rule: Inherited<'d>,
    kept: &HashSet<Member>,
    account: &mut Account,
) -> Vec<Inherited<'d>> {
    let Inherited { stated, policy, reference, .. } = rule;
    let mut together: Vec<(Vec<usize>, Vec<String>)> = Vec::new();
    for (at, host) in hosts(&stated) {
        let all = 0..stated.paths.len();
        let paths: Vec<usize> = all.filter(|path| kept.contains(&(index, at, *path))).collect();
        let host = host.map(str::to_owned);
        match together.iter_mut().find(|(known, _)| *known == paths) {
            _ if paths.is_empty() => {}
            Some((_, hosts)) => hosts.extend(host),
            None => together.push((paths, host.into_iter().collect())),
        }
    }
    let mut aside = stated.aside;
    if stated.cors.is_some() && !together.is_empty() {
        account.add(&std::mem::take(&mut aside));
    }
    let part = |(paths, hosts): (Vec<usize>, Vec<String>)| Inherited {
        stated: Stated {
            name: stated.name.clone(),
            field: reference.clone().unwrap_or_else(|| stated.field.clone()),
            hosts,
            paths: paths.iter().filter_map(|path| stated.paths.get(*path)).cloned().collect(),
            list: None,
            cors: stated.cors.clone(),
            aside: std::mem::take(&mut aside),
            inherited: stated.inherited.clone(),
        },
        policy,
        reference: None,
        lost: Vec::new(),
    };
    together.into_iter().map(part).collect()
}

/// The hosts of something said, with their places; `None` is every host.
fn hosts<'s>(stated: &'s Stated<'_>) -> impl Iterator<Item = (usize, Option<&'s str>)> + use<'s> {
    or_every(&stated.hosts).enumerate()
}

/// What is said, by host and path prefix.
#[derive(Default)]
struct Said<'s>(HashMap<Hosts<'s>, BTreeMap<&'s str, Vec<Option<&'s Cors>>>>);

/// Hosts that something is said for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Hosts<'s> {
    One(&'s str),
    /// All with this end, which begins with a dot.
    Below(&'s str),
    Every,
}

impl<'s> Hosts<'s> {
    fn of(host: Option<&'s str>) -> Self {
        match host {
            None => Self::Every,
            Some(host) => host.strip_prefix('*').map_or(Self::One(host), Self::Below),
        }
    }

    /// All that take every one of these, these first.
    fn around(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |hosts| match hosts {
            Self::One(host) => Some(host.find('.').map_or(Self::Every, |at| Self::end(host, at))),
            Self::Below(end) => {
                let at = end.get(1..).and_then(|rest| rest.find('.'));
                Some(at.map_or(Self::Every, |at| Self::end(end, at + 1)))
            }
            Self::Every => None,
        })
    }

    fn end(host: &'s str, at: usize) -> Self {
        host.get(at..).map_or(Self::Every, Self::Below)
    }
}

impl<'s> Said<'s> {
    fn add(&mut self, host: Option<&'s str>, prefix: &'s str, cors: Option<&'s Cors>) {
        self.0.entry(Hosts::of(host)).or_default().entry(prefix).or_default().push(cors);
    }

    /// What is said for just these requests.
    fn exactly(&self, host: Option<&'s str>, prefix: &'s str) -> &[Option<&'s Cors>] {
        let paths = self.0.get(&Hosts::of(host));
        paths.and_then(|paths| paths.get(prefix)).map_or(&[], Vec::as_slice)
    }

    /// What is said for all of these requests: the first is in force.
    fn around(&self, host: Option<&'s str>, prefix: &str) -> &[Option<&'s Cors>] {
        let above = |path: &&'_ str| path.rfind('/').and_then(|at| prefix.get(..at));
        let of_hosts = |hosts| {
            let paths = self.0.get(&hosts)?;
            std::iter::successors(Some(prefix), above).find_map(|path| paths.get(path))
        };
        Hosts::of(host).around().find_map(of_hosts).map_or(&[], Vec::as_slice)
    }

    /// Whether the filter has something else for some of these requests, since it is
    /// said for more hosts.
    fn differs_below(&self, host: Option<&str>, prefix: &str, cors: Option<&Cors>) -> bool {
        let mut others = Hosts::of(host).around().skip(1).filter_map(|hosts| self.0.get(&hosts));
        others.any(|paths| {
            let below = paths.range(prefix..).take_while(|(path, _)| path.starts_with(prefix));
            let mut below = below.filter(|(path, _)| path.len() > prefix.len());
            below.any(|(path, said)| covers(prefix, path) && !said.contains(&cors))
        })
    }

    /// Whether something else is said for some requests to a host with a path that
    /// begins so.
    fn differs_at(&self, host: Option<&str>, start: &str, cors: Option<&Cors>) -> bool {
        let mut all = Hosts::of(host).around().filter_map(|hosts| self.0.get(&hosts));
        all.any(|paths| {
            let mut paths = paths.range(start..).take_while(|(path, _)| path.starts_with(start));
            paths.any(|(_, said)| !said.contains(&cors))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_texts_of_an_expression_begin_with() {
        for (expression, expected) in [
            ("/v[0-9]", "/v"),
            ("^/api/.*", "/api/"),
            ("/ab?c", "/a"),
            ("/ab+c", "/ab"),
            ("/a|/b", ""),
            ("(/a)?/b", ""),
            ("/*/Watch", ""),
            ("*", ""),
        ] {
            assert_eq!(start(expression), expected, "{expression}");
        }
    }

    #[test]
    fn hosts_stand_inside_of_wildcards() {
        for (host, around) in [
            (Some("a.b.c"), &[Hosts::One("a.b.c"), Hosts::Below(".b.c"), Hosts::Below(".c")][..]),
            (Some("*.b.c"), &[Hosts::Below(".b.c"), Hosts::Below(".c")]),
            (Some("a"), &[Hosts::One("a")]),
            (None, &[]),
        ] {
            let found: Vec<Hosts<'_>> = Hosts::of(host).around().collect();
            let (last, others) = found.split_last().unwrap();
            assert!(*last == Hosts::Every && others == around, "{host:?}");
        }
    }
}
