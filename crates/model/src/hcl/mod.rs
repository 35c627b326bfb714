//! Reads HCL version 1 and its JSON form: the language of Vault's policies and configuration files.
//!
//! The tree keeps order, repeated keys and lines, because a repeated `path` is a second rule and an error must say
//! where. Size and nesting are limited while reading, so a hostile text costs bounded memory and stack.
//! Does not evaluate anything: `${...}` stays text, as it does in Vault. HCL version 2 is another language: it refuses
//! quoted keys in a block, list items without commas and several attributes on a line, all of which policies in use
//! have. (hashicorp/hcl, branch hcl1: scanner/scanner.go, parser/parser.go.)

mod cursor;
mod json;
mod text;

use crate::{Kind, Kinded};
use cursor::Cursor;
use serde_json::{Map, Number, Value as Json};
use thiserror::Error;

/// The largest text that is read, in bytes.
pub const LARGEST: usize = 1 << 20;
/// How many brackets may be open at once.
pub const DEEPEST: usize = 64;

/// Why a text is not HCL. Never repeats a value, since a configuration file may hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct HclError {
    /// Line in the text, from 1.
    pub line: u32,
    /// What is wrong and what to write instead.
    pub what: String,
}

impl HclError {
    /// An error at a line; the words should say what to write instead.
    pub fn new(line: u32, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

impl Kinded for HclError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
}

/// One `name = value` or `name "label" { }`. Has no `Debug`: a configuration file may hold a secret.
pub struct Item {
    /// Line of the name.
    pub line: u32,
    /// The first key.
    pub name: String,
    /// The keys after the first, between it and the brace.
    pub labels: Vec<String>,
    /// What stands behind.
    pub value: Node,
}

/// A value and where it begins.
pub struct Node {
    /// Line of its first character.
    pub line: u32,
    /// The value itself.
    pub value: Value,
}

/// What a key can stand for.
pub enum Value {
    /// A string or a heredoc.
    Text(String),
    /// A number; hexadecimal and octal are already decimal.
    Number(Number),
    /// `true` or `false`.
    Bool(bool),
    /// `null`, in JSON only.
    Null,
    /// `[ ... ]`.
    List(Vec<Node>),
    /// `{ ... }`, repeated keys included.
    Object(Vec<Item>),
}

/// A named block, whichever way it was spelt: `path "x" { }`, `{"path": {"x": { }}}`, `{"path": [{"x": { }}]}`.
pub struct Block<'a> {
    /// Line of the name or label.
    pub line: u32,
    /// The label.
    pub label: &'a str,
    /// What stands between the braces.
    pub body: &'a [Item],
}

/// Reads a text. It is JSON when its first character is a brace, as in Vault. An empty text has no items.
pub fn parse(source: &str) -> Result<Vec<Item>, HclError> {
    if source.len() > LARGEST {
        return Err(HclError::new(1, format!("the text is larger than {LARGEST} bytes: split it")));
    }
    let source = source.strip_prefix('\u{FEFF}').unwrap_or(source);
    let cursor = Cursor::new(source);
    if source.trim_start().starts_with('{') { json::document(cursor) } else { text::document(cursor) }
}

impl Item {
    /// The labelled blocks under this key. Fails when there is no label, more than one, or something that is no block.
    pub fn blocks(&self) -> Result<Vec<Block<'_>>, HclError> {
        match (self.labels.as_slice(), &self.value.value) {
            ([label], Value::Object(body)) => Ok(vec![Block { line: self.line, label, body }]),
            ([], _) => {
                let mut blocks = Vec::new();
                for body in self.bodies()? {
                    for inner in body {
                        inner.push_as_label(&self.name, &mut blocks)?;
                    }
                }
                Ok(blocks)
            }
            _ => Err(self.no_block(&self.name)),
        }
    }

    fn push_as_label<'a>(&'a self, name: &str, blocks: &mut Vec<Block<'a>>) -> Result<(), HclError> {
        if !self.labels.is_empty() {
            return Err(self.no_block(name));
        }
        let bodies = self.bodies().map_err(|_| self.no_block(name))?;
        blocks.extend(bodies.into_iter().map(|body| Block { line: self.line, label: &self.name, body }));
        Ok(())
    }

    /// The blocks under a key without a label: `telemetry { }`, or a list of objects in JSON.
    pub fn bodies(&self) -> Result<Vec<&[Item]>, HclError> {
        match &self.value.value {
            Value::Object(body) if self.labels.is_empty() => Ok(vec![body]),
            Value::List(nodes) if self.labels.is_empty() => nodes.iter().map(|node| self.body_of(node)).collect(),
            _ => Err(HclError::new(self.line, format!("`{0}` is a block: write `{0} {{ ... }}`", self.name))),
        }
    }

    fn body_of<'a>(&self, node: &'a Node) -> Result<&'a [Item], HclError> {
        match &node.value {
            Value::Object(body) => Ok(body),
            other => {
                Err(HclError::new(node.line, format!("`{}` holds {} where a block belongs", self.name, other.sort())))
            }
        }
    }

    fn no_block(&self, name: &str) -> HclError {
        HclError::new(self.line, format!("`{name}` is a block with one label: write `{name} \"...\" {{ ... }}`"))
    }
}

impl Value {
    /// What sort of value it is, with its article, for errors.
    pub fn sort(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Number(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Null => "null",
            Value::List(_) => "a list",
            Value::Object(_) => "a block",
        }
    }

    /// The same value as JSON; of a repeated key the last one stays.
    pub fn to_json(&self) -> Json {
        match self {
            Value::Text(text) => Json::String(text.clone()),
            Value::Number(number) => Json::Number(number.clone()),
            Value::Bool(is) => Json::Bool(*is),
            Value::Null => Json::Null,
            Value::List(nodes) => Json::Array(nodes.iter().map(|node| node.value.to_json()).collect()),
            Value::Object(items) => Json::Object(items.iter().map(Item::to_pair).collect()),
        }
    }
}

impl Item {
    fn to_pair(&self) -> (String, Json) {
        let nest = |inner: Json, label: &String| Json::Object(Map::from_iter([(label.clone(), inner)]));
        (self.name.clone(), self.labels.iter().rev().fold(self.value.value.to_json(), nest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json_of(source: &str) -> Json {
        let items = parse(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        Value::Object(items).to_json()
    }

    #[test]
    fn reads_what_version_two_of_the_language_refuses() {
        assert_eq!(json_of(r#"a = 1 b = "x""#), json!({"a": 1, "b": "x"}));
        assert_eq!(json_of(r#"p { "a" = [] "*" = ["x",] }"#), json!({"p": {"a": [], "*": ["x"]}}));
        assert_eq!(json_of(r#""path" "x/*" { "c" = ["r"], }"#), json!({"path": {"x/*": {"c": ["r"]}}}));
    }

    #[test]
    fn comments_of_all_three_kinds_are_skipped() {
        assert_eq!(json_of("# x\na = 1 // y\n/* z\n */ b = 2 #"), json!({"a": 1, "b": 2}));
    }

    #[test]
    fn a_value_that_was_forgotten_is_missed_at_its_key() {
        let place = |source: &str| parse(source).err().unwrap().to_string();
        let missed = "line 2: a value belongs here, after `address =`: text in double quotes";
        assert!(place("l {\n  address = \n}").starts_with(missed), "{}", place("l {\n  address = \n}"));
        assert!(place("l {\n  address = # later\n  off = true\n}").starts_with(missed));
        assert!(place("\naddress =").starts_with(missed));
        assert!(place("a = word").starts_with("line 1: a word stands where a value belongs"));
        assert_eq!(json_of("a =\n true b =\n\"x\" c =\n 1"), json!({"a": true, "b": "x", "c": 1}));
    }
}
