//! A suite: endpoints, and what pages should be able to do with each of them.

use envoy_cors::config::snake_case;
use url::Url;

use super::endpoint::{self, Endpoint, Refused};
use super::{finding, parse, strangers};
use crate::cli::report::{Finding, Severity};
use crate::cli::tree::{self, Content, Node, Span};

/// Reads a suite. Paths in it are relative to `base`, or else to its own.
///
/// # Errors
///
/// Everything that is wrong with it, in the order of the text.
pub fn read(text: &str, base: Option<&Url>) -> Result<Vec<Endpoint>, Vec<Finding>> {
    let mut reader = Reader { problems: Vec::new() };
    let endpoints = reader.suite(text, base);
    let mut problems = reader.problems;
    problems.sort_by_key(|problem| problem.span.start);
    if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
}

struct Reader {
    problems: Vec<Finding>,
}

type Parse<T> = fn(&str) -> Result<T, String>;

impl Reader {
    fn suite(&mut self, text: &str, base: Option<&Url>) -> Vec<Endpoint> {
        let documents = match tree::documents(text) {
            Ok(documents) => documents,
            Err(error) => {
                self.say(&(error.at..error.at), "", &format!("not valid YAML: {}", error.message));
                return Vec::new();
            }
        };
        let [root] = documents.as_slice() else {
            let sentence = "a suite is one YAML document; write `endpoints:` and a list";
            self.say(&(0..0), "", sentence);
            return Vec::new();
        };
        self.fields(root, "", &["base", "origins", "endpoints"]);
        let own = self.value(root, "", "base", parse::base);
        let base = base.cloned().or(own);
        let origins = self.texts(root, "", "origins", parse::origin);
        let mut endpoints = Vec::new();
        for (index, node) in self.list(root, "", "endpoints").iter().enumerate() {
            let at = format!("endpoints[{index}]");
            endpoints.extend(self.endpoint(node, &at, base.as_ref(), &origins));
        }
        if root.get("endpoints").is_none_or(|list| list.elements().is_empty()) {
            self.say(
                &root.span,
                "endpoints",
                "there are none; write a list of them, each with `url`",
            );
        }
        endpoints
    }

    fn endpoint(
        &mut self,
        node: &Node,
        at: &str,
        base: Option<&Url>,
        origins: &[String],
    ) -> Option<Endpoint> {
        const FIELDS: &[&str] = &[
            "name",
            "url",
            "origins",
            "public",
            "methods",
            "headers",
            "credentials",
            "reads",
            "refuse",
            "notFound",
            "unauthorized",
            "allow",
        ];
        self.fields(node, at, FIELDS);
        let name = self.value(node, at, "name", any);
        let methods = self.methods(node, at);
        let headers = self.headers(node, at);
        let public = self.flag(node, at, "public");
        let credentials = self.flag(node, at, "credentials");
        let reads = self.texts(node, at, "reads", parse::header_name);
        let own = self.texts(node, at, "origins", parse::origin);
        let mut origins = if node.get("origins").is_some() { own } else { origins.to_vec() };
        if public && origins.is_empty() {
            origins.push(strangers::stranger());
        }
        if let Some(node) = node.get("public").filter(|_| public && credentials) {
            let sentence = "no endpoint may be open to every site with credentials; \
                            leave one of them out";
            self.say(&node.span, &format!("{at}.public"), sentence);
        }
        let refused = self.refused(node, at, &origins, &methods);
        let allowed = self.allowed(node, at);
        let Some(text) = self.value(node, at, "url", any) else {
            if node.get("url").is_none() {
                self.say(&node.span, at, "there is no `url`; write one, or a path below `base`");
            }
            return None;
        };
        let url = self.checked(node, at, "url", parse::target(base, &text))?;
        let mut beside = |field: &str| {
            let path = self.value(node, at, field, any)?;
            // With a base its path goes first, as for the URL.
            let base = base.filter(|base| base.origin() == url.origin());
            self.checked(node, at, field, parse::beside(base, &url, &path))
        };
        let (not_found, unauthorized) = (beside("notFound"), beside("unauthorized"));
        Some(Endpoint {
            name: name.unwrap_or_else(|| endpoint::name(&text, &url)),
            url,
            origins,
            public,
            methods,
            headers,
            credentials,
            reads,
            refused,
            not_found,
            unauthorized,
            allowed,
        })
    }

    /// GET, if nothing is said.
    fn methods(&mut self, node: &Node, at: &str) -> Vec<String> {
        let methods = self.texts(node, at, "methods", parse::method);
        if node.get("methods").is_some() { methods } else { vec!["GET".into()] }
    }

    fn headers(&mut self, node: &Node, at: &str) -> Vec<(String, Vec<u8>)> {
        self.pairs(node, at, "headers", parse::header_name)
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect()
    }

    /// Origins and methods are those of the endpoint, if nothing is said.
    fn refused(
        &mut self,
        node: &Node,
        at: &str,
        origins: &[String],
        methods: &[String],
    ) -> Vec<Refused> {
        let mut refused = Vec::new();
        for (index, node) in self.list(node, at, "refuse").iter().enumerate() {
            let at = format!("{at}.refuse[{index}]");
            self.fields(node, &at, &["origins", "methods", "headers"]);
            let own = self.texts(node, &at, "origins", parse::origin);
            let is_said = |field| node.get(field).is_some();
            refused.push(Refused {
                origins: if is_said("origins") { own } else { origins.to_vec() },
                methods: if is_said("methods") {
                    self.texts(node, &at, "methods", parse::method)
                } else {
                    methods.to_vec()
                },
                headers: self.headers(node, &at),
            });
            if !["origins", "methods", "headers"].into_iter().any(is_said) {
                let sentence = "this refuses what the endpoint allows; write `origins`, `methods` or `headers`";
                self.say(&node.span, &at, sentence);
            }
        }
        refused
    }

    fn allowed(&mut self, node: &Node, at: &str) -> Vec<(String, String)> {
        let allowed = self.pairs(node, at, "allow", finding::known);
        for (rule, reason) in &allowed {
            if reason.trim().is_empty()
                && let Some(node) = node.at(&["allow", rule])
            {
                let sentence = "there is no reason; write why the finding is meant";
                self.say(&node.span, &format!("{at}.allow.{rule}"), sentence);
            }
        }
        allowed
    }

    /// Reports fields that do not exist, and those that are given twice.
    fn fields(&mut self, node: &Node, at: &str, known: &[&str]) {
        if !matches!(node.content, Content::Map(_)) {
            self.say(&node.span, at, "it is no object; write fields and values");
        }
        let mut seen = Vec::new();
        for (key, _) in node.entries() {
            let spells = |name: &&&str| key.text == **name || key.text == snake_case(name);
            match known.iter().find(spells) {
                None => {
                    let sentence =
                        format!("there is no such field; there are {}", known.join(", "));
                    self.say(&key.span, &join(at, &key.text), &sentence);
                }
                Some(name) if seen.contains(name) => {
                    self.say(
                        &key.span,
                        &join(at, &key.text),
                        "it is given twice; keep one of them",
                    );
                }
                Some(name) => seen.push(name),
            }
        }
    }

    fn list<'n>(&mut self, node: &'n Node, at: &str, field: &str) -> &'n [Node] {
        let Some(list) = node.get(field) else { return &[] };
        if !matches!(list.content, Content::List(_)) {
            self.say(&list.span, &join(at, field), "it is no list; write one in brackets");
        }
        list.elements()
    }

    /// A list of strings, each of which `parse` accepts.
    fn texts(&mut self, node: &Node, at: &str, field: &str, parse: Parse<String>) -> Vec<String> {
        let list = self.list(node, at, field).iter().enumerate();
        list.filter_map(|(index, node)| {
            self.parsed(node, &format!("{}[{index}]", join(at, field)), parse)
        })
        .collect()
    }

    /// An object of strings, whose keys `parse` accepts.
    fn pairs(
        &mut self,
        node: &Node,
        at: &str,
        field: &str,
        parse: Parse<String>,
    ) -> Vec<(String, String)> {
        let Some(object) = node.get(field) else { return Vec::new() };
        let at = join(at, field);
        if !matches!(object.content, Content::Map(_)) {
            self.say(&object.span, &at, "it is no object; write names and values");
        }
        let mut pairs = Vec::new();
        for (key, value) in object.entries() {
            let at = join(&at, &key.text);
            match parse(&key.text) {
                Ok(name) => {
                    pairs.extend(self.parsed(value, &at, any).map(|value| (name, value)));
                }
                Err(sentence) => self.say(&key.span, &at, &sentence),
            }
        }
        pairs
    }

    fn flag(&mut self, node: &Node, at: &str, field: &str) -> bool {
        match node.get(field).map(|node| (&node.content, &node.span)) {
            Some((Content::Bool(flag), _)) => *flag,
            Some((_, span)) => {
                self.say(span, &join(at, field), "write true or false");
                false
            }
            None => false,
        }
    }

    /// A string that `parse` accepts.
    fn value<T>(&mut self, node: &Node, at: &str, field: &str, parse: Parse<T>) -> Option<T> {
        self.parsed(node.get(field)?, &join(at, field), parse)
    }

    fn parsed<T>(&mut self, node: &Node, at: &str, parse: Parse<T>) -> Option<T> {
        let Some(text) = node.text() else {
            let null = matches!(node.content, Content::Null);
            let sentence = if null {
                "it is empty; write a string (the origin null in quotes)"
            } else {
                "it is no string; write it in quotes"
            };
            self.say(&node.span, at, sentence);
            return None;
        };
        parse(text).map_err(|sentence| self.say(&node.span, at, &sentence)).ok()
    }

    fn checked<T>(
        &mut self,
        node: &Node,
        at: &str,
        field: &str,
        result: Result<T, String>,
    ) -> Option<T> {
        let span = node.get(field).map_or(0..0, |node| node.span.clone());
        result.map_err(|sentence| self.say(&span, &join(at, field), &sentence)).ok()
    }

    /// `sentence` is a clause, and after a semicolon the remedy.
    fn say(&mut self, span: &Span, at: &str, sentence: &str) {
        let (clause, remedy) = sentence.split_once("; ").unwrap_or((sentence, ""));
        let place = if at.is_empty() { String::new() } else { format!("{}: ", at.escape_debug()) };
        self.problems.push(Finding {
            rule: "suite",
            severity: Severity::Error,
            at: at.to_owned(),
            message: format!("{place}{clause}"),
            remedy: remedy.to_owned(),
            span: span.clone(),
            string_start: None,
        });
    }
}

fn join(at: &str, field: &str) -> String {
    if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") }
}

fn any(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::hostile;

    const SUITE: &str = "
base: http://production.invalid/v1
origins: [https://app.example.com, 'null']
endpoints:
  - name: items
    url: /items?page=1
    methods: [GET, PUT]
    headers: { Content-Type: application/json }
    credentials: true
    reads: [X-Request-ID]
    not_found: /none
    unauthorized: /login
    refuse:
      - { methods: [DELETE] }
      - origins: [https://old.example.com]
    allow:
      error-without-cors: known
  - url: https://api.example.com/public
    public: true
";

    #[test]
    fn a_suite_never_panics() {
        const WORDS: &[&str] = &[
            "base: ",
            "endpoints:\n",
            "- url: ",
            "public: true\n",
            "notFound: //a\n",
            "/\\",
            "https://[::1]:8080/",
            "http://user@host",
            "refuse: [{}]\n",
            "*a",
            "&a ",
        ];
        let (_, help) = super::super::EXAMPLES.split_once("A suite:\n").unwrap();
        let (first, second) = SUITE.split_once("  - url").unwrap();
        let second = format!("endpoints:\n  - url{second}");
        let samples = hostile::samples([help, SUITE, first, &*second]);
        let base = Url::parse("https://staging.example.com/v2").unwrap();
        hostile::each(&samples, WORDS, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let base = Some(&base).filter(|_| bytes.len().is_multiple_of(2));
            let endpoints = match read(&text, base) {
                Ok(endpoints) => endpoints,
                Err(problems) => {
                    assert!(!problems.is_empty());
                    for Finding { span, message, .. } in &problems {
                        assert!(text.get(span.clone()).is_some(), "{span:?}");
                        assert!(!message.contains(char::is_control), "{message}");
                    }
                    return false;
                }
            };
            for Endpoint { url, not_found, unauthorized, .. } in &endpoints {
                assert!(matches!(url.scheme(), "http" | "https"), "{url}");
                // What is asked beside an endpoint leads to no other host.
                for beside in [not_found, unauthorized].into_iter().flatten() {
                    assert_eq!(beside.origin(), url.origin());
                }
            }
            !endpoints.is_empty()
        });
    }
}
