//! Whether an expression and a list of patterns allow the same origins, and by
//! which origins they differ.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use envoy_cors::allowlist::Allowlist;
use envoy_cors::origin::Origin;
use envoy_cors::pattern::{HostPattern, OriginPattern, PortPattern};
use hashbrown::HashMap;
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Dot, Hir, Repetition};

use super::universe::{ALPHABET, Lengths, Universe};

/// How an expression differs from patterns.
pub struct Comparison {
    /// Not at all: proven for every origin.
    pub equal: bool,
    /// The expression matches no origin: proven, too.
    pub nothing: bool,
    /// The plainest origin that the patterns alone allow.
    pub more: Option<String>,
    /// The plainest origin that the expression alone allows.
    pub fewer: Option<String>,
}

/// The automata, or the walk over them, would be too large.
#[derive(Debug)]
pub struct TooLarge;

/// Bytes of the automaton that is built first.
const MOST_NFA_BYTES: usize = 1 << 20;
/// Bytes of the one that is made from it while walking.
const MOST_DFA_BYTES: usize = 4 << 20;
/// Places of the walk.
const MOST_STEPS: usize = 200_000;

/// Compares an expression with patterns, over all origins that browsers can
/// send.
///
/// # Errors
///
/// The comparison would take too much time or memory.
pub fn compare(expression: &Hir, patterns: &[OriginPattern<'_>]) -> Result<Comparison, TooLarge> {
    let ours = Hir::alternation(patterns.iter().map(language).collect());
    let walk = Walk {
        universe: Universe::get().ok_or(TooLarge)?,
        languages: Languages::new(&[expression, &ours])?,
        allowlist: patterns.iter().copied().collect(),
        steps: Vec::new(),
        queue: BinaryHeap::new(),
        seen: HashMap::new(),
    };
    walk.run()
}

/// Whether an expression matches a text. One that is too large matches nothing.
pub fn matches(expression: &Hir, text: &str) -> bool {
    let matched = || {
        let mut languages = Languages::new(&[expression])?;
        let state = languages.read(text)?;
        languages.accept(state)
    };
    matched().is_ok_and(|[matched, _]| matched)
}

/// The origins of a pattern, and other texts that are no origins.
fn language(pattern: &OriginPattern<'_>) -> Hir {
    let (scheme, host, port) = match pattern {
        OriginPattern::Any => return any(),
        OriginPattern::Null => return Hir::literal(*b"null"),
        OriginPattern::Tuple { scheme, host, port } => (scheme, host, port),
    };
    let below = match host {
        HostPattern::Exact(_) => Hir::empty(),
        HostPattern::Below(_) => {
            let host = class(&[(b'a', b'z'), (b'0', b'9'), (b'-', b'.'), (b'_', b'_')]);
            Hir::concat(vec![repeat(1, host), Hir::literal(*b".")])
        }
    };
    let port = match port {
        PortPattern::Exact(None) => Hir::empty(),
        PortPattern::Exact(Some(port)) => Hir::literal(format!(":{port}").into_bytes()),
        PortPattern::Any => {
            let port = Hir::concat(vec![Hir::literal(*b":"), repeat(1, class(&[(b'0', b'9')]))]);
            Hir::alternation(vec![Hir::empty(), port])
        }
    };
    Hir::concat(vec![
        Hir::literal(format!("{scheme}://").into_bytes()),
        below,
        Hir::literal(host.domain().as_bytes()),
        port,
    ])
}

/// Any text.
pub fn any() -> Hir {
    repeat(0, Hir::dot(Dot::AnyByte))
}

fn repeat(min: u32, sub: Hir) -> Hir {
    Hir::repetition(Repetition { min, max: None, greedy: true, sub: Box::new(sub) })
}

fn class(ranges: &[(u8, u8)]) -> Hir {
    let ranges = ranges.iter().map(|(start, end)| ClassBytesRange::new(*start, *end));
    Hir::class(Class::Bytes(ClassBytes::new(ranges)))
}

/// Expressions as one automaton, which is built as far as it is walked on.
struct Languages {
    dfa: DFA,
    cache: dfa::Cache,
}

impl Languages {
    fn new(expressions: &[&Hir]) -> Result<Self, TooLarge> {
        let nfa = thompson::Compiler::new()
            .configure(
                thompson::Config::new()
                    .utf8(false)
                    .which_captures(thompson::WhichCaptures::None)
                    .nfa_size_limit(Some(MOST_NFA_BYTES)),
            )
            .build_many_from_hir(expressions)
            .map_err(|_| TooLarge)?;
        let config = dfa::Config::new()
            .match_kind(MatchKind::All)
            .cache_capacity(MOST_DFA_BYTES)
            // States are kept: it gives up instead of forgetting them.
            .minimum_cache_clear_count(Some(0));
        let dfa =
            dfa::Builder::new().configure(config).build_from_nfa(nfa).map_err(|_| TooLarge)?;
        let cache = dfa.create_cache();
        Ok(Self { dfa, cache })
    }

    fn read(&mut self, text: &str) -> Result<LazyStateID, TooLarge> {
        let start = start::Config::new().anchored(Anchored::Yes);
        let start = self.dfa.start_state(&mut self.cache, &start).map_err(|_| TooLarge)?;
        text.bytes().try_fold(start, |state, byte| self.next(state, byte))
    }

    fn next(&mut self, state: LazyStateID, byte: u8) -> Result<LazyStateID, TooLarge> {
        self.dfa.next_state(&mut self.cache, state, byte).map_err(|_| TooLarge)
    }

    /// Whether a text that ends here is of the first and of the second language.
    fn accept(&mut self, state: LazyStateID) -> Result<[bool; 2], TooLarge> {
        let end = self.dfa.next_eoi_state(&mut self.cache, state).map_err(|_| TooLarge)?;
        let mut accepted = [false; 2];
        if end.is_match() {
            for n in 0..self.dfa.match_len(&self.cache, end) {
                let language = self.dfa.match_pattern(&self.cache, end, n).as_usize();
                if let Some(accepted) = accepted.get_mut(language) {
                    *accepted = true;
                }
            }
        }
        Ok(accepted)
    }
}

/// The beginnings of origins, from the plainest on.
struct Walk {
    universe: &'static Universe,
    languages: Languages,
    allowlist: Allowlist,
    steps: Vec<Step>,
    /// The steps to be taken next, by their costs.
    queue: BinaryHeap<Reverse<(u32, usize)>>,
    /// Where the walk came by, and how long the parts of the origin were.
    seen: HashMap<(StateID, LazyStateID), Vec<Lengths>>,
}

/// The beginning of an origin.
#[derive(Clone, Copy)]
struct Step {
    universe: StateID,
    languages: LazyStateID,
    lengths: Lengths,
    cost: u32,
    /// What it has before its last byte: another step, or one of [`SEEDS`].
    before: Before,
    byte: u8,
}

#[derive(Clone, Copy)]
enum Before {
    Step(usize),
    Seed(&'static str),
}

/// Where to begin, and what it costs: other schemes than these are news to most
/// readers, and said to differ only if nothing else does.
const SEEDS: [(&str, u32); 3] = [("https://", 0), ("http://", 2), ("", 50)];

impl Walk {
    fn run(mut self) -> Result<Comparison, TooLarge> {
        let mut found = Comparison { equal: true, nothing: true, more: None, fewer: None };
        match self.search(&mut found) {
            // A difference is one however many more there are.
            Err(TooLarge) if found.more.is_some() || found.fewer.is_some() => {
                found.nothing = false;
                Ok(found)
            }
            done => done.map(|()| found),
        }
    }

    fn search(&mut self, found: &mut Comparison) -> Result<(), TooLarge> {
        for (seed, cost) in SEEDS {
            self.begin(seed, cost)?;
        }
        while let Some(Reverse((_, index))) = self.queue.pop() {
            let Some(step) = self.steps.get(index).copied() else { break };
            if self.universe.ends(step.universe) {
                let [theirs, ours] = self.languages.accept(step.languages)?;
                found.nothing &= !theirs;
                found.equal &= theirs == ours;
                let place = if ours { &mut found.more } else { &mut found.fewer };
                if theirs != ours && place.is_none() {
                    *place = self.example(index, ours)?;
                }
            }
            if found.fewer.is_some() && (found.more.is_some() || self.allowlist.is_empty()) {
                break;
            }
            self.go_on(index, &step)?;
        }
        Ok(())
    }

    fn begin(&mut self, seed: &'static str, cost: u32) -> Result<(), TooLarge> {
        let mut universe = self.universe.start().ok_or(TooLarge)?;
        let mut lengths = Lengths::default();
        for byte in seed.bytes() {
            universe = self.universe.next(universe, byte).ok_or(TooLarge)?;
            lengths = lengths.next(byte).ok_or(TooLarge)?;
        }
        let languages = self.languages.read(seed)?;
        let before = Before::Seed(seed);
        self.push(Step { universe, languages, lengths, cost, before, byte: 0 })
    }

    /// Takes note of a step, if it leads to anything new.
    fn push(&mut self, step: Step) -> Result<(), TooLarge> {
        if step.languages.is_dead() {
            return Ok(());
        }
        let seen = self.seen.entry((step.universe, step.languages)).or_default();
        if seen.iter().any(|seen| seen.leave_as_much_as(&step.lengths)) {
            return Ok(());
        }
        if self.steps.len() == MOST_STEPS {
            return Err(TooLarge);
        }
        seen.push(step.lengths);
        self.queue.push(Reverse((step.cost, self.steps.len())));
        self.steps.push(step);
        Ok(())
    }

    fn go_on(&mut self, index: usize, step: &Step) -> Result<(), TooLarge> {
        let mut classes: Vec<(u8, u8)> = Vec::new();
        for &byte in ALPHABET {
            let class = (self.universe.class(byte), self.languages.dfa.byte_classes().get(byte));
            if classes.contains(&class) {
                continue;
            }
            classes.push(class);
            let Some(universe) = self.universe.next(step.universe, byte) else { continue };
            let Some(lengths) = step.lengths.next(byte) else { continue };
            let languages = self.languages.next(step.languages, byte)?;
            let cost = step.cost + cost(byte);
            let before = Before::Step(index);
            self.push(Step { universe, languages, lengths, cost, before, byte })?;
        }
        Ok(())
    }

    /// The text of a step, if it is an origin, and allowed by ours or not.
    fn example(&mut self, index: usize, ours: bool) -> Result<Option<String>, TooLarge> {
        let text = self.text(index);
        if !self.is_example(&text, ours)? {
            return Ok(None);
        }
        // Of several unescaped dots of the host one is enough to show it.
        let mut plainest = text.clone();
        let host = text.find("://").map_or(text.len(), |at| at + "://".len());
        for at in (host..text.len()).rev() {
            let (Some(before), Some(after)) = (plainest.get(..at), plainest.get(at + 1..)) else {
                continue;
            };
            let dotted = format!("{before}.{after}");
            if after.starts_with(|c: char| c.is_ascii_alphanumeric())
                && self.is_example(&dotted, ours)?
            {
                plainest = dotted;
            }
        }
        Ok(Some(plainest))
    }

    fn is_example(&mut self, text: &str, ours: bool) -> Result<bool, TooLarge> {
        let state = self.languages.read(text)?;
        let [theirs, _] = self.languages.accept(state)?;
        let is_origin = text == "null" || Origin::parse(text).is_ok();
        Ok(is_origin && self.allowlist.contains(text.as_bytes()) == ours && theirs != ours)
    }

    fn text(&self, mut index: usize) -> String {
        let mut bytes = Vec::new();
        let mut start = "";
        while let Some(step) = self.steps.get(index) {
            match step.before {
                Before::Step(before) => {
                    bytes.push(char::from(step.byte));
                    index = before;
                }
                Before::Seed(seed) => {
                    start = seed;
                    break;
                }
            }
        }
        start.chars().chain(bytes.into_iter().rev()).collect()
    }
}

/// What makes an origin less plain to a reader: `https://a.a.example.com` shows
/// more than `https://_.example.com`.
fn cost(byte: u8) -> u32 {
    match byte {
        b'/' => 0,
        b'a'..=b'z' | b'.' | b':' => 1,
        b'0'..=b'9' => 3,
        _ => 4,
    }
}
