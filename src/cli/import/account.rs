//! What becomes of each field of a source: it is carried over, or there is a
//! finding. What is neither when a part has been read is found to be unknown, so
//! that nothing is lost in silence.

use std::collections::{HashMap, HashSet};

use super::remark::Remark;
use crate::cli::document::Document;
use crate::cli::report::Finding;
use crate::cli::tree::{Content, Node};

/// A value in a document, and how to get there.
#[derive(Clone, Debug)]
pub struct Field<'d> {
    /// The index of its document.
    pub document: usize,
    /// Its path from the root, as in `spec.http[0].corsPolicy`.
    pub path: String,
    /// What stands there.
    pub node: &'d Node,
}

impl<'d> Field<'d> {
    /// A field inside, in either spelling if `name` is in camelCase. One that is
    /// null says what its absence says.
    pub fn get(&self, name: &str) -> Option<Self> {
        let (key, node) = self.node.entry(name)?;
        let is_null = matches!(node.content, Content::Null);
        (!is_null).then(|| self.entry(&key.text, node))
    }

    /// A field inside a field inside a field.
    pub fn at(&self, names: &[&str]) -> Option<Self> {
        names.iter().try_fold(self.clone(), |field, name| field.get(name))
    }

    /// The entries of an object with their keys, or none.
    pub fn entries(&self) -> impl Iterator<Item = (&'d str, Self)> {
        self.node.entries().iter().map(|(key, node)| (&*key.text, self.entry(&key.text, node)))
    }

    /// The elements of a list, or none.
    pub fn elements(&self) -> impl Iterator<Item = Self> {
        let element = |(index, node)| {
            let path = format!("{}[{index}]", self.path);
            Self { document: self.document, path, node }
        };
        self.node.elements().iter().enumerate().map(element)
    }

    /// The elements of the list in a field; none where it is not there.
    pub fn list(&self, name: &str) -> Vec<Self> {
        self.get(name).map(|list| list.elements().collect()).unwrap_or_default()
    }

    /// The text of a string.
    pub fn text(&self) -> Option<&'d str> {
        self.node.text()
    }

    /// Whether it is true, if it is a truth value.
    pub fn flag(&self) -> Option<bool> {
        match self.node.content {
            Content::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    /// The text of a field that is a string.
    pub fn text_at(&self, names: &[&str]) -> Option<&'d str> {
        self.node.at(names)?.text()
    }

    fn entry(&self, key: &str, node: &'d Node) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        Self { document: self.document, path: format!("{}{dot}{key}", self.path), node }
    }
}

/// What was read from all documents.
#[derive(Clone, Debug, Default)]
pub struct Account {
    settled: HashSet<*const Node>,
    carried: HashMap<*const Node, Carried>,
    findings: HashMap<*const Node, Vec<(usize, Finding)>>,
}

/// A field that stands in the policy too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Carried {
    /// The index of its document.
    pub document: usize,
    start: usize,
    /// Its path from the root.
    pub path: String,
}

impl Account {
    /// The field, with all in it, stands in the policy too.
    pub fn carry(&mut self, field: &Field<'_>) {
        self.settled.insert(std::ptr::from_ref(field.node));
        let (document, start) = (field.document, field.node.span.start);
        let carried = Carried { document, start, path: field.path.clone() };
        self.carried.insert(std::ptr::from_ref(field.node), carried);
    }

    /// The field, with all in it, says nothing about CORS.
    pub fn leave(&mut self, field: &Field<'_>) {
        self.settled.insert(std::ptr::from_ref(field.node));
    }

    /// There is something to say about the field, with all in it.
    pub fn remark(&mut self, field: &Field<'_>, remark: &Remark) {
        self.settled.insert(std::ptr::from_ref(field.node));
        self.note(field, remark);
    }

    /// There is something to say about the field, beside what becomes of what is
    /// in it.
    pub fn note(&mut self, field: &Field<'_>, remark: &Remark) {
        let of_node = self.findings.entry(std::ptr::from_ref(field.node)).or_default();
        of_node.push((field.document, remark.finding(field)));
    }

    /// What was read from the field, with all in it, is not carried over after all:
    /// this is all that there is to say about it.
    pub fn withdraw(&mut self, field: &Field<'_>, remark: &Remark) {
        self.forget(field);
        self.remark(field, remark);
    }

    /// What was read from the field, with all in it, says nothing about CORS after
    /// all.
    pub fn forget(&mut self, field: &Field<'_>) {
        field.node.walk(&mut |node| {
            self.carried.remove(&std::ptr::from_ref(node));
            self.findings.remove(&std::ptr::from_ref(node));
        });
    }

    /// The elements of the list in a field. One that is empty says what its absence
    /// says.
    pub fn list<'d>(&mut self, field: &Field<'d>, name: &str) -> Vec<Field<'d>> {
        let Some(list) = field.get(name) else { return Vec::new() };
        if matches!(&list.node.content, Content::List(elements) if elements.is_empty()) {
            self.leave(&list);
        }
        list.elements().collect()
    }

    /// Adds all of another account.
    pub fn add(&mut self, other: &Self) {
        self.settled.extend(&other.settled);
        self.carried.extend(other.carried.iter().map(|(node, carried)| (*node, carried.clone())));
        for (node, findings) in &other.findings {
            self.findings.entry(*node).or_default().extend_from_slice(findings);
        }
    }

    /// Ends the reading of a part: whatever nobody settled in it is unknown.
    pub fn close(&mut self, field: &Field<'_>) {
        // In protobuf's JSON, null says what absence says.
        if self.is_settled(field.node) || matches!(field.node.content, Content::Null) {
            return;
        }
        if !self.any_settled(field.node) {
            self.remark(field, &Remark::UnknownField);
            return;
        }
        field.entries().for_each(|(_, field)| self.close(&field));
        field.elements().for_each(|field| self.close(&field));
    }

    /// Ends the reading of a whole resource: what is about CORS by its name, in a
    /// resource that nobody read, is unknown, and so is what is given again beside
    /// what was read.
    pub fn close_resource(&mut self, resource: &Field<'_>) {
        if self.any_settled(resource.node) {
            self.close_twice(resource);
        } else {
            self.close_unread(resource);
        }
    }

    fn close_twice(&mut self, field: &Field<'_>) {
        let mut seen: HashMap<&str, &Node> = HashMap::new();
        for (key, value) in field.entries() {
            let first = *seen.entry(key).or_insert(value.node);
            if std::ptr::eq(first, value.node) {
                self.close_twice(&value);
            } else if self.any_settled(first) {
                self.withdraw(&value, &Remark::Twice);
            }
        }
        field.elements().for_each(|element| self.close_twice(&element));
    }

    fn close_unread(&mut self, field: &Field<'_>) {
        for (key, value) in field.entries() {
            if key.to_ascii_lowercase().contains("cors") {
                self.remark(&value, &Remark::UnknownField);
            } else if key != "labels" {
                self.close_unread(&value);
            }
        }
        field.elements().for_each(|element| self.close_unread(&element));
    }

    /// The fields that were carried over, in the order of the texts.
    pub fn carried(&self) -> Vec<&Carried> {
        let mut carried: Vec<&Carried> = self.carried.values().collect();
        carried.sort();
        carried
    }

    /// The findings of a document, in the order of its text.
    pub fn findings(&self, document: usize) -> Vec<Finding> {
        let all = self.findings.values().flatten();
        let of_document = all.filter(|(index, _)| *index == document);
        let mut findings: Vec<_> = of_document.map(|(_, finding)| finding.clone()).collect();
        findings.sort_by(|one, other| {
            let key = |finding: &Finding| (finding.span.start, finding.severity, finding.rule);
            key(one).cmp(&key(other)).then_with(|| one.message.cmp(&other.message))
        });
        // An alias is read wherever it stands, and what routes inherit, for each.
        findings.dedup_by(|one, other| {
            (one.rule, &one.span) == (other.rule, &other.span) && one.message == other.message
        });
        findings
    }

    /// Whether it is known what becomes of the node, with all in it.
    pub fn is_settled(&self, node: &Node) -> bool {
        self.settled.contains(&std::ptr::from_ref(node))
    }

    /// Whether it is known what becomes of anything in the node.
    pub fn any_settled(&self, node: &Node) -> bool {
        let mut any = false;
        node.walk(&mut |node| any |= self.is_settled(node));
        any
    }
}

/// The resources of all documents, those in a list by themselves.
pub fn resources(documents: &[Document]) -> Vec<Field<'_>> {
    let mut found = Vec::new();
    for (document, read) in documents.iter().enumerate() {
        for node in &read.roots {
            collect(Field { document, path: String::new(), node }, &mut found);
        }
    }
    found
}

fn collect<'d>(root: Field<'d>, found: &mut Vec<Field<'d>>) {
    let is_resource = |element: &Field<'d>| element.get("kind").is_some();
    match (&root.node.content, root.text_at(&["kind"])) {
        (Content::Map(_), Some(kind)) if kind.ends_with("List") => {
            root.list("items").into_iter().for_each(|item| collect(item, found));
        }
        (Content::List(_), _) if root.elements().any(|element| is_resource(&element)) => {
            root.elements().for_each(|item| collect(item, found));
        }
        _ => found.push(root),
    }
}
