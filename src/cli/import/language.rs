//! Sets of texts: those that an expression matches, and the origins of a pattern.

use envoy_cors::pattern::{HostPattern, OriginPattern, PortPattern};
use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::start;
use regex_automata::{Anchored, MatchKind};
use regex_syntax::hir::{Class, ClassBytes, ClassBytesRange, Dot, Hir, Repetition};

/// The origins of a pattern, and other texts that are no origins.
pub fn of_pattern(pattern: &OriginPattern<'_>) -> Hir {
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

/// Whether an expression matches a text. One that is too large matches nothing.
pub fn matches(expression: &Hir, text: &str) -> bool {
    let matched = || {
        let mut languages = Languages::new(&[expression])?;
        let state = languages.read(text)?;
        languages.accept(state)
    };
    matched().is_ok_and(|[matched, _]| matched)
}

/// An automaton would be too large, or a walk over it.
#[derive(Debug)]
pub struct TooLarge;

/// Bytes of the automaton that is built first.
const MOST_NFA_BYTES: usize = 1 << 20;
/// Bytes of the one that is made from it while walking.
const MOST_DFA_BYTES: usize = 4 << 20;

/// Expressions as one automaton, which is built as far as it is walked on.
pub struct Languages {
    dfa: DFA,
    cache: dfa::Cache,
}

impl Languages {
    pub fn new(expressions: &[&Hir]) -> Result<Self, TooLarge> {
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

    /// The state behind a text.
    pub fn read(&mut self, text: &str) -> Result<LazyStateID, TooLarge> {
        let start = start::Config::new().anchored(Anchored::Yes);
        let start = self.dfa.start_state(&mut self.cache, &start).map_err(|_| TooLarge)?;
        text.bytes().try_fold(start, |state, byte| self.next(state, byte))
    }

    /// The state behind one more byte.
    pub fn next(&mut self, state: LazyStateID, byte: u8) -> Result<LazyStateID, TooLarge> {
        self.dfa.next_state(&mut self.cache, state, byte).map_err(|_| TooLarge)
    }

    /// Bytes of one class lead to the same states.
    pub fn class(&self, byte: u8) -> u8 {
        self.dfa.byte_classes().get(byte)
    }

    /// Whether a text that ends here is of the first and of the second language.
    pub fn accept(&mut self, state: LazyStateID) -> Result<[bool; 2], TooLarge> {
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
