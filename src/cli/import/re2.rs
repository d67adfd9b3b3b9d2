//! Regular expressions as Envoy reads them: in RE2's syntax, by way of a parser
//! of Rust's, which is nearly the same.

use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{
    self, AssertionKind, Ast, ClassBracketed, ClassSet, ClassSetItem, Flag, Flags, FlagsItemKind,
    GroupKind, HexLiteralKind, LiteralKind, Repetition, RepetitionKind, RepetitionRange, Visitor,
};
use regex_syntax::hir::Hir;
use regex_syntax::hir::translate::TranslatorBuilder;

/// Most bytes of an expression.
const LONGEST: usize = 8 * 1024;
/// Most groups and repetitions around each other.
const DEEPEST: u32 = 100;
/// Most repetitions that RE2 counts, in nested ones altogether.
const MOST_REPEATED: u32 = 1000;

/// Reads an expression ([RE2's syntax](https://github.com/google/re2/wiki/Syntax)).
/// Classes hold bytes, as far as they are ASCII; origins are no more.
///
/// # Errors
///
/// Why it cannot be read: RE2 refuses it, or reads something else than Rust's
/// parser does.
pub fn parse(expression: &str) -> Result<Hir, String> {
    if expression.len() > LONGEST {
        return Err(format!("the expression is longer than {LONGEST} bytes"));
    }
    let expression = &*with_escaped_hyphens(expression);
    let ast = ParserBuilder::new()
        .nest_limit(DEEPEST)
        .build()
        .parse(expression)
        .map_err(|error| error.kind().to_string())?;
    ast::visit(&ast, Dialect { expression, repeated: 1 }).map_err(str::to_owned)?;
    TranslatorBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .translate(expression, &ast)
        .map_err(|error| error.kind().to_string())
}

/// `[\w-.]` as `[\w\-.]`, which both parsers take, and for the same.
fn with_escaped_hyphens(expression: &str) -> String {
    let (mut escaped, mut behind_class) = (String::new(), false);
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        if c == '-' && behind_class {
            escaped.push('\\');
        }
        escaped.push(c);
        behind_class = false;
        if let ('\\', Some(next)) = (c, chars.clone().next()) {
            chars.next();
            escaped.push(next);
            behind_class = matches!(next, 'd' | 'D' | 's' | 'S' | 'w' | 'W');
        }
    }
    escaped
}

/// Finds what the two parsers read differently.
struct Dialect<'e> {
    expression: &'e str,
    /// How often the repetitions around a part repeat it.
    repeated: u32,
}

impl Visitor for Dialect<'_> {
    type Output = ();
    type Err = &'static str;

    fn finish(self) -> Result<(), Self::Err> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        match ast {
            Ast::Flags(set) => check_flags(&set.flags),
            Ast::Literal(literal) => check_literal(literal),
            Ast::Assertion(assertion) => check_assertion(&assertion.kind),
            Ast::ClassUnicode(_) => Err(UNICODE_CLASS),
            Ast::ClassBracketed(class) => check_class(class),
            Ast::Repetition(repetition) => self.check_repetition(repetition),
            Ast::Group(group) => match &group.kind {
                GroupKind::CaptureName { name, .. }
                    if !name.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
                {
                    Err("the name of a group holds other characters than letters, digits and _")
                }
                GroupKind::NonCapturing(flags) => check_flags(flags),
                _ => Ok(()),
            },
            Ast::Empty(_)
            | Ast::Dot(_)
            | Ast::ClassPerl(_)
            | Ast::Alternation(_)
            | Ast::Concat(_) => Ok(()),
        }
    }

    fn visit_post(&mut self, ast: &Ast) -> Result<(), Self::Err> {
        if let Ast::Repetition(repetition) = ast {
            self.repeated /= counted(repetition);
        }
        Ok(())
    }

    fn visit_class_set_item_pre(&mut self, item: &ClassSetItem) -> Result<(), Self::Err> {
        match item {
            ClassSetItem::Literal(literal) => check_literal(literal),
            ClassSetItem::Range(range) => {
                check_literal(&range.start).and_then(|()| check_literal(&range.end))
            }
            ClassSetItem::Unicode(_) => Err(UNICODE_CLASS),
            ClassSetItem::Bracketed(_) => Err("a bracket inside a class that is not escaped"),
            ClassSetItem::Empty(_)
            | ClassSetItem::Ascii(_)
            | ClassSetItem::Perl(_)
            | ClassSetItem::Union(_) => Ok(()),
        }
    }

    fn visit_class_set_binary_op_pre(
        &mut self,
        _: &ast::ClassSetBinaryOp,
    ) -> Result<(), Self::Err> {
        Err("\"&&\", \"--\" or \"~~\" inside a class that is not escaped")
    }
}

const UNICODE_CLASS: &str = "classes of Unicode characters are not compared";

impl Dialect<'_> {
    fn check_repetition(&mut self, repetition: &Repetition) -> Result<(), &'static str> {
        if matches!(*repetition.ast, Ast::Repetition(_)) {
            return Err("a repetition directly behind a repetition");
        }
        // RE2 takes other spellings for the characters that they are made of.
        let canonical = match repetition.op.kind {
            RepetitionKind::Range(RepetitionRange::Exactly(n)) => Some(format!("{{{n}}}")),
            RepetitionKind::Range(RepetitionRange::AtLeast(n)) => Some(format!("{{{n},}}")),
            RepetitionKind::Range(RepetitionRange::Bounded(n, m)) => Some(format!("{{{n},{m}}}")),
            _ => None,
        };
        let span = &repetition.op.span;
        let written = self.expression.get(span.start.offset..span.end.offset).unwrap_or_default();
        let written = if repetition.greedy { written } else { written.trim_end_matches('?') };
        if canonical.is_some_and(|canonical| canonical != written) {
            return Err("a repetition that is not written as in \"{2}\", \"{2,}\" or \"{2,5}\"");
        }
        self.repeated = self.repeated.saturating_mul(counted(repetition));
        if self.repeated > MOST_REPEATED {
            return Err("something is repeated more than 1000 times");
        }
        Ok(())
    }
}

/// How much a repetition adds to what RE2 bounds.
fn counted(repetition: &Repetition) -> u32 {
    let RepetitionKind::Range(range) = &repetition.op.kind else { return 1 };
    match *range {
        RepetitionRange::Exactly(n)
        | RepetitionRange::AtLeast(n)
        | RepetitionRange::Bounded(_, n) => n.max(1),
    }
}

fn check_flags(flags: &Flags) -> Result<(), &'static str> {
    let known = |kind: &FlagsItemKind| match kind {
        FlagsItemKind::Negation => true,
        FlagsItemKind::Flag(flag) => {
            !matches!(flag, Flag::Unicode | Flag::CRLF | Flag::IgnoreWhitespace)
        }
    };
    if flags.items.iter().all(|item| known(&item.kind)) {
        Ok(())
    } else {
        Err("a flag that is none of i, m, s and U")
    }
}

fn check_literal(literal: &ast::Literal) -> Result<(), &'static str> {
    match literal.kind {
        LiteralKind::Octal
        | LiteralKind::HexFixed(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong)
        | LiteralKind::HexBrace(HexLiteralKind::UnicodeShort | HexLiteralKind::UnicodeLong) => {
            Err("an escaped character that is not written as in \"\\x41\"")
        }
        _ => Ok(()),
    }
}

fn check_assertion(kind: &AssertionKind) -> Result<(), &'static str> {
    match kind {
        AssertionKind::StartLine
        | AssertionKind::EndLine
        | AssertionKind::StartText
        | AssertionKind::EndText
        | AssertionKind::WordBoundary
        | AssertionKind::NotWordBoundary => Ok(()),
        _ => Err("\"\\<\", \"\\>\" or \"\\b{\""),
    }
}

/// RE2 takes a hyphen behind the first character for a range, whatever that is.
fn check_class(class: &ClassBracketed) -> Result<(), &'static str> {
    let ClassSet::Item(ClassSetItem::Union(union)) = &class.kind else { return Ok(()) };
    let is = |item: &ClassSetItem, c| matches!(item, ClassSetItem::Literal(literal) if literal.c == c && literal.kind == LiteralKind::Verbatim);
    match &*union.items {
        [first, hyphen, _, ..] if (is(first, '-') || is(first, ']')) && is(hyphen, '-') => {
            Err("a hyphen inside a class that is not escaped")
        }
        _ => Ok(()),
    }
}
