//! The origins that browsers can send, as a regular language.

use std::sync::LazyLock;

use envoy_cors::origin::{MAX_HOST, MAX_LABEL, MAX_SCHEME};
use regex_automata::Anchored;
use regex_automata::MatchKind;
use regex_automata::dfa::{Automaton as _, StartKind, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};

/// Every byte that an origin can hold, the plainest first.
pub const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz.:/0123456789-_+[]";

/// Origins and `null`. What it leaves to [`Lengths`] and to
/// [`Origin::parse`](envoy_cors::origin::Origin::parse) are limits of lengths,
/// and how IPv6 addresses are compressed: there it holds more than browsers send.
pub struct Universe {
    /// Parts and their bytes.
    shape: Automaton,
    /// Of these, what browsers write in another way or not at all.
    excluded: Automaton,
    /// Hosts that end in a number, which are IPv4 addresses or nothing.
    number: Automaton,
    ipv4: Automaton,
}

/// Where the automata are.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct State {
    shape: StateID,
    excluded: StateID,
    number: StateID,
    ipv4: StateID,
}

impl Universe {
    /// The only one. `None` would mean that it is too large to be built.
    pub fn get() -> Option<&'static Self> {
        static UNIVERSE: LazyLock<Option<Universe>> = LazyLock::new(Universe::build);
        UNIVERSE.as_ref()
    }

    fn build() -> Option<Self> {
        let label = "[a-z0-9_-]+";
        let (group, nonzero) = ("(0|[1-9a-f][0-9a-f]{0,3})", "[1-9a-f][0-9a-f]{0,3}");
        let ipv6 =
            format!("{group}(:{group}){{7}}|(({group}:)*{nonzero})?::({nonzero}(:{group})*)?");
        let port = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])";
        let byte = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
        let default_port = "(http|ws)://.*:80|(https|wss)://.*:443|ftp://.*:21";
        let a_label = r"[^/]*//([^:]*\.)?xn--([^.:]*-)?([.:].*)?";
        Some(Self {
            shape: Automaton::build(&format!(
                r"null|[a-z][a-z0-9+.-]*://({label}(\.{label})*\.?|\[({ipv6})\])(:{port})?"
            ))?,
            excluded: Automaton::build(&format!("file://.*|{default_port}|{a_label}"))?,
            number: Automaton::build(r"[^/]*//([^:]*\.)?([0-9]+|0x[0-9a-f]*)\.?(:.*)?")?,
            ipv4: Automaton::build(&format!(r"[^/]*//{byte}(\.{byte}){{3}}(:.*)?"))?,
        })
    }

    /// Where all origins begin.
    pub fn start(&self) -> State {
        State {
            shape: self.shape.start,
            excluded: self.excluded.start,
            number: self.number.start,
            ipv4: self.ipv4.start,
        }
    }

    /// The state behind a byte; `None` if no origin goes on so.
    pub fn next(&self, state: State, byte: u8) -> Option<State> {
        let shape = self.shape.dfa.next_state(state.shape, byte);
        (!self.shape.dfa.is_dead_state(shape)).then(|| State {
            shape,
            excluded: self.excluded.dfa.next_state(state.excluded, byte),
            number: self.number.dfa.next_state(state.number, byte),
            ipv4: self.ipv4.dfa.next_state(state.ipv4, byte),
        })
    }

    /// Bytes of one class lead to the same states.
    pub fn class(&self, byte: u8) -> [u8; 4] {
        [&self.shape, &self.excluded, &self.number, &self.ipv4]
            .map(|automaton| automaton.dfa.byte_classes().get(byte))
    }

    /// Whether an origin ends here.
    pub fn ends(&self, state: State) -> bool {
        self.shape.ends(state.shape)
            && !self.excluded.ends(state.excluded)
            && (!self.number.ends(state.number) || self.ipv4.ends(state.ipv4))
    }
}

/// The automaton of an expression that whole texts match.
struct Automaton {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Automaton {
    fn build(expression: &str) -> Option<Self> {
        let config =
            dense::Config::new().match_kind(MatchKind::All).start_kind(StartKind::Anchored);
        let dfa = dense::Builder::new()
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .configure(config)
            .build(expression)
            .ok()?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Self { dfa, start })
    }

    fn ends(&self, state: StateID) -> bool {
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
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

#[cfg(test)]
mod tests {
    use envoy_cors::origin::Origin;
    use proptest::prelude::*;

    use super::*;

    fn contains(text: &str) -> bool {
        let universe = Universe::get().unwrap();
        let start = (universe.start(), Lengths::default());
        let end = text.bytes().try_fold(start, |(state, lengths), byte| {
            Some((universe.next(state, byte)?, lengths.next(byte)?))
        });
        end.is_some_and(|(state, _)| universe.ends(state))
    }

    fn is_origin(text: &str) -> bool {
        text == "null" || Origin::parse(text).is_ok()
    }

    #[test]
    fn limits_of_lengths() {
        let label = "a".repeat(MAX_LABEL);
        let host = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        let scheme = "a".repeat(MAX_SCHEME);
        for (text, expected) in [
            (format!("{scheme}://{host}:65535"), true),
            (format!("{scheme}a://{host}"), false),
            (format!("https://{host}a"), false),
            (format!("https://{label}a.example"), false),
            (format!("https://a.{label}a:1"), false),
        ] {
            assert_eq!(is_origin(&text), expected, "{text}");
            assert_eq!(contains(&text), expected, "{text}");
        }
    }

    /// Texts that are origins half of the time.
    fn text() -> impl Strategy<Value = String> {
        let scheme = "https?|wss?|ftp|file|a[1+.-]?|httpsa?|1|";
        let label = "[a-z0-9_-]{1,3}|[0-9]{1,3}|xn--[a-b-]{0,2}|0x[0-9a-g]{0,2}|";
        let address = "([0-9]{1,2}|1[0-9]{2}|2[0-7][0-9])(\\.([0-9]{1,2}|2[0-7][0-9])){2,4}";
        let host = prop_oneof![
            3 => prop::collection::vec(label, 1..5).prop_map(|labels| labels.join(".")),
            1 => address,
        ];
        let port = "(:([0-9]{1,3}|80|443|21|6[0-9]{4}|[0-9]{5,6}|))?";
        (scheme, host, port, "[./:@-]?")
            .prop_map(|(scheme, host, port, end)| format!("{scheme}://{host}{port}{end}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn it_holds_what_browsers_send(text in text()) {
            prop_assert_eq!(contains(&text), is_origin(&text));
        }

        #[test]
        fn it_holds_every_ipv6_address(groups: [u16; 8], zeros: u8, port in "(:[1-9][0-9]{0,3})?") {
            let group = |n: usize| if zeros >> n & 1 == 1 { 0 } else { groups[n] };
            let address = std::net::Ipv6Addr::from(std::array::from_fn(group));
            let text = format!("app://[{address}]{port}");
            prop_assert_eq!(contains(&text), is_origin(&text));
        }
    }

    #[test]
    fn it_holds_every_port_but_the_default() {
        let ports = |scheme, ports: &mut dyn Iterator<Item = u32>| {
            for port in ports {
                let text = format!("{scheme}://a:{port}");
                assert_eq!(contains(&text), is_origin(&text), "{text}");
            }
        };
        ports("app", &mut (0..70_000));
        for scheme in ["http", "https", "ws", "wss", "ftp"] {
            ports(scheme, &mut [21, 80, 443, 8080, 2180, 4430].into_iter());
        }
    }
}
