#![allow(dead_code)] // a stand-in
//! How other systems compare an origin.

/// A matcher of origins.
#[derive(Clone, Copy, Debug)]
pub enum Matcher<'s> {
    Exact(&'s str),
    Prefix(&'s str),
    Suffix(&'s str),
    Contains(&'s str),
    Regex(&'s str),
    Glob(&'s str),
}

/// A matcher with its case.
#[derive(Clone, Copy, Debug)]
pub struct OriginMatcher<'s> {
    pub matcher: Matcher<'s>,
    pub ignore_case: bool,
}

/// What a matcher comes to.
pub enum Conversion {
    Exact(Vec<String>),
    Inexact { nearest: Vec<String>, more: Option<String>, fewer: Option<String> },
    Nothing { why: String },
    Unreadable { why: String },
}

impl<'s> OriginMatcher<'s> {
    pub fn new(matcher: Matcher<'s>) -> Self {
        Self { matcher, ignore_case: false }
    }
    pub fn kind(&self) -> &'static str {
        match self.matcher {
            Matcher::Exact(_) => "text",
            Matcher::Prefix(_) => "prefix",
            Matcher::Suffix(_) => "suffix",
            Matcher::Contains(_) => "part",
            Matcher::Regex(_) => "regular expression",
            Matcher::Glob(_) => "wildcard",
        }
    }
    pub fn text(&self) -> &'s str {
        match self.matcher {
            Matcher::Exact(text)
            | Matcher::Prefix(text)
            | Matcher::Suffix(text)
            | Matcher::Contains(text)
            | Matcher::Regex(text)
            | Matcher::Glob(text) => text,
        }
    }
    pub fn accepts_star(&self) -> bool {
        self.text() == "*"
    }
    pub fn convert(&self) -> Conversion {
        match self.matcher {
            Matcher::Exact(text) => Conversion::Exact(vec![text.to_owned()]),
            _ => Conversion::Inexact { nearest: Vec::new(), more: None, fewer: None },
        }
    }
}
