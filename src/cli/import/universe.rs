//! The origins that browsers can send, as a regular language.

use std::sync::LazyLock;

use envoy_cors::origin::{MAX_HOST, MAX_LABEL, MAX_SCHEME};
use regex_automata::Anchored;
use regex_automata::MatchKind;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};

/// Every byte that an origin can hold, the plainest first.
pub const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz.:/0123456789-_+[]";

/// Origins and `null`. What it leaves to [`Lengths`] and to
/// [`Origin::parse`](envoy_cors::origin::Origin::parse) are limits of lengths,
/// and some spellings of IPv6 addresses: there it holds more than browsers send.
pub struct Universe(dense::DFA<Vec<u32>>);

/// What the patterns of the automaton stand for.
const SHAPE: usize = 0;
const EXCLUDED: usize = 1;
const NUMBER: usize = 2;
const IPV4: usize = 3;

impl Universe {
    /// The only one. `None` would mean that it is too large to be built.
    pub fn get() -> Option<&'static Self> {
        static UNIVERSE: LazyLock<Option<Universe>> = LazyLock::new(Universe::build);
        UNIVERSE.as_ref()
    }

    fn build() -> Option<Self> {
        let label = "[a-z0-9_-]+";
        let (group, nonzero) = ("(0|[1-9a-f][0-9a-f]{0,3})", "[1-9a-f][0-9a-f]{0,3}");
        let ipv6 = format!(
            "{group}(:{group}){{7}}|(({group}:){{0,5}}{nonzero})?::({nonzero}(:{group}){{0,5}})?"
        );
        let port = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
        let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
        let shape =
            format!(r"null|[a-z][a-z0-9+.-]*://({label}(\.{label})*\.?|\[({ipv6})\])(:{port})?");
        let default_port = "(http|ws)://.*:80|(https|wss)://.*:443|ftp://.*:21";
        let a_label = r"[^/]*//([^:]*\.)?xn--([^.:]*-)?([.:].*)?";
        let patterns = [
            shape,
            format!("file://.*|{default_port}|{a_label}"),
            r"[^/]*//([^:]*\.)?([0-9]+|0x[0-9a-f]*)\.?(:.*)?".to_owned(),
            format!(r"[^/]*//{byte}(\.{byte}){{3}}(:.*)?"),
        ];
        let dfa = dense::Builder::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(
                dense::Config::new().match_kind(MatchKind::All).start_kind(StartKind::Anchored),
            )
            .build_many(&patterns);
        dfa.ok().map(Self)
    }

    pub fn start(&self) -> Option<StateID> {
        self.0.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()
    }

    /// The state behind a byte; `None` if no origin goes on so.
    pub fn next(&self, state: StateID, byte: u8) -> Option<StateID> {
        let next = self.0.next_state(state, byte);
        (!self.0.is_dead_state(next)).then_some(next)
    }

    /// Bytes of one class lead to the same states.
    pub fn class(&self, byte: u8) -> u8 {
        self.0.byte_classes().get(byte)
    }

    /// Whether an origin ends here.
    pub fn ends(&self, state: StateID) -> bool {
        let end = self.0.next_eoi_state(state);
        if !self.0.is_match_state(end) {
            return false;
        }
        let matched = |pattern: usize| {
            (0..self.0.match_len(end)).any(|n| self.0.match_pattern(end, n).as_usize() == pattern)
        };
        matched(SHAPE) && !matched(EXCLUDED) && (!matched(NUMBER) || matched(IPV4))
    }
}

/// How far the parts of an origin have come that must not grow too long. An
/// automaton that counted them would be large.
#[derive(Clone, Copy, Default)]
pub struct Lengths {
    part: Part,
    scheme: usize,
    host: usize,
    label: usize,
}

#[derive(Clone, Copy, Default)]
enum Part {
    #[default]
    Scheme,
    Host,
    /// An address in brackets, or a port.
    Rest,
}

impl Lengths {
    /// With one more byte; `None` if a part is too long.
    pub fn next(self, byte: u8) -> Option<Self> {
        let Self { part, scheme, host, label } = self;
        let next = match (part, byte) {
            (Part::Scheme, b'/') => Self { part: Part::Host, ..Self::default() },
            (Part::Scheme, b':') | (Part::Host, b'/') | (Part::Rest, _) => self,
            (Part::Scheme, _) => Self { scheme: scheme + 1, ..self },
            (Part::Host, b':' | b'[') => Self { part: Part::Rest, ..Self::default() },
            (Part::Host, b'.') => Self { host: host + 1, label: 0, ..self },
            (Part::Host, _) => Self { host: host + 1, label: label + 1, ..self },
        };
        let fits = next.scheme <= MAX_SCHEME && next.host <= MAX_HOST && next.label <= MAX_LABEL;
        fits.then_some(next)
    }

    /// Whether everything fits behind this that fits behind the other.
    pub fn leave_as_much_as(&self, other: &Self) -> bool {
        self.scheme <= other.scheme && self.host <= other.host && self.label <= other.label
    }
}
