//! Whether an expression and a list of patterns allow the same origins, and by
//! which origins they differ.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use envoy_cors::allowlist::Allowlist;
use envoy_cors::origin::Origin;
use envoy_cors::pattern::OriginPattern;
use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};
use regex_automata::hybrid::LazyStateID;
use regex_syntax::hir::Hir;

use super::language::{Languages, TooLarge, of_pattern};
use super::universe::{ALPHABET, Lengths, State, Universe};

/// How an expression differs from patterns.
pub struct Comparison {
    /// Not at all: proven for every origin.
    pub equal: bool,
    /// The expression matches no origin: proven, too.
    pub nothing: bool,
    /// The plainest origin that the patterns alone allow, if one was found.
    pub more: Option<String>,
    /// The plainest origin that the expression alone allows, if one was found.
    pub fewer: Option<String>,
}

/// Places of the walk.
const MOST_STEPS: usize = 200_000;

/// Compares an expression with patterns, over all origins that browsers can
/// send.
///
/// # Errors
///
/// It would take too much time or memory, and no difference was found before.
pub fn compare(expression: &Hir, patterns: &[OriginPattern<'_>]) -> Result<Comparison, TooLarge> {
    let ours = Hir::alternation(patterns.iter().map(of_pattern).collect());
    let walk = Walk {
        universe: Universe::get().ok_or(TooLarge)?,
        languages: Languages::new(&[expression, &ours])?,
        allowlist: patterns.iter().copied().collect(),
        steps: Vec::new(),
        queue: BinaryHeap::new(),
        last: HashMap::new(),
    };
    walk.run()
}

/// The beginnings of origins, from the plainest on.
struct Walk {
    universe: &'static Universe,
    languages: Languages,
    allowlist: Allowlist,
    steps: Vec<Step>,
    /// The steps to be taken next, by their costs.
    queue: BinaryHeap<Reverse<(u32, usize)>>,
    /// The step that came last to a place.
    last: HashMap<(State, LazyStateID), usize>,
}

/// The beginning of an origin.
#[derive(Clone, Copy)]
struct Step {
    universe: State,
    languages: LazyStateID,
    lengths: Lengths,
    cost: u32,
    /// What it has before its last byte: another step, or one of [`SEEDS`].
    before: Before,
    byte: u8,
    /// The step that came to the same place before.
    earlier: Option<usize>,
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
        let bytes = self.bytes();
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
            self.go_on(index, &step, &bytes)?;
        }
        Ok(())
    }

    /// The plainest byte of each class: the others lead to the same places.
    fn bytes(&self) -> Vec<u8> {
        let mut classes = HashSet::new();
        let class = |byte| (self.universe.class(byte), self.languages.class(byte));
        ALPHABET.iter().copied().filter(|byte| classes.insert(class(*byte))).collect()
    }

    fn begin(&mut self, seed: &'static str, cost: u32) -> Result<(), TooLarge> {
        let mut universe = self.universe.start();
        let mut lengths = Lengths::default();
        for byte in seed.bytes() {
            universe = self.universe.next(universe, byte).ok_or(TooLarge)?;
            lengths = lengths.next(byte).ok_or(TooLarge)?;
        }
        let languages = self.languages.read(seed)?;
        let before = Before::Seed(seed);
        self.push(Step { universe, languages, lengths, cost, before, byte: 0, earlier: None })
    }

    /// Takes note of a step, if it leads to anything new.
    fn push(&mut self, mut step: Step) -> Result<(), TooLarge> {
        if step.languages.is_dead() {
            return Ok(());
        }
        let index = self.steps.len();
        let place = self.last.entry((step.universe, step.languages));
        let earlier = match &place {
            Entry::Occupied(last) => Some(*last.get()),
            Entry::Vacant(_) => None,
        };
        let mut there = std::iter::successors(earlier.and_then(|at| self.steps.get(at)), |step| {
            self.steps.get(step.earlier?)
        });
        if there.any(|there| there.lengths.leave_as_much_as(&step.lengths)) {
            return Ok(());
        }
        if index == MOST_STEPS {
            return Err(TooLarge);
        }
        place.insert(index);
        step.earlier = earlier;
        self.queue.push(Reverse((step.cost, index)));
        self.steps.push(step);
        Ok(())
    }

    fn go_on(&mut self, index: usize, step: &Step, bytes: &[u8]) -> Result<(), TooLarge> {
        for &byte in bytes {
            let Some(universe) = self.universe.next(step.universe, byte) else { continue };
            let Some(lengths) = step.lengths.next(byte) else { continue };
            let languages = self.languages.next(step.languages, byte)?;
            let cost = step.cost + cost(byte);
            let before = Before::Step(index);
            self.push(Step { universe, languages, lengths, cost, before, byte, earlier: None })?;
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
