//! The parts of a line that the index and answers speak of. Reading borrows from the line: most of a line is passed over.

use super::skim::{self, Memory};
use crate::chain::Header;
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A text of a line: borrowed, unless it was written with escapes. (`Cow` alone always copies when it is read as a part of
/// something else.)
#[derive(Debug, PartialEq, Eq)]
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    pub(super) fn borrowed(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl PartialEq<&str> for Text<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl PartialEq<String> for Text<'_> {
    fn eq(&self, other: &String) -> bool {
        *self.0 == **other
    }
}

impl PartialEq<Text<'_>> for String {
    fn eq(&self, other: &Text<'_>) -> bool {
        **self == *other.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrowing;

        impl<'de> Visitor<'de> for Borrowing {
            type Value = Text<'de>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("a text")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Borrowing)
    }
}

/// An entry as the index sees it, and whoever follows the trail: the fields of [`Entry`](crate::Entry) by the same names.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of an entry")]
pub struct Line<'a> {
    pub seq: u64,
    #[serde(borrow)]
    pub time: Text<'a>,
    #[serde(borrow)]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub request: Text<'a>,
    #[serde(borrow)]
    pub dialect: Text<'a>,
    #[serde(borrow)]
    pub operation: Text<'a>,
    #[serde(borrow)]
    pub namespace: Text<'a>,
    #[serde(borrow, default)]
    pub mount: Option<Mount<'a>>,
    #[serde(borrow)]
    pub path: Text<'a>,
    #[serde(borrow, default)]
    pub secret: Option<Secret<'a>>,
    #[serde(borrow, default)]
    pub typed: Option<Text<'a>>,
    #[serde(default)]
    pub version: Option<u64>,
    #[serde(borrow, default)]
    pub principal: Option<Who<'a>>,
    #[serde(borrow, default)]
    pub token_hash: Option<Text<'a>>,
    #[serde(borrow)]
    pub source: Source<'a>,
    #[serde(borrow, default)]
    pub decision: Option<Decision<'a>>,
    #[serde(borrow, default)]
    pub outcome: Option<Outcome<'a>>,
    #[serde(borrow, default)]
    pub lease_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub subject: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub note: Option<Text<'a>>,
    #[serde(default)]
    pub duration_us: u64,
    #[serde(borrow, default)]
    pub response_auth: Option<Login<'a>>,
    #[serde(borrow, default)]
    pub wrap: Option<Wrap<'a>>,
}

/// A part of a [`Line`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Login<'a> {
    #[serde(borrow)]
    pub principal: Who<'a>,
}

/// A part of a [`Line`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Wrap<'a> {
    #[serde(borrow)]
    pub accessor: Text<'a>,
    #[serde(borrow, default)]
    pub wrapped_accessor: Option<Text<'a>>,
}

/// A part of a [`Line`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Mount<'a> {
    #[serde(borrow)]
    pub path: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub kind: Text<'a>,
    #[serde(borrow)]
    pub accessor: Text<'a>,
    #[serde(borrow)]
    pub class: Text<'a>,
}

/// A part of a [`Line`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Secret<'a> {
    #[serde(borrow)]
    pub name: Text<'a>,
    #[serde(borrow)]
    pub act: Text<'a>,
}

/// A part of a [`Line`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Who<'a> {
    #[serde(borrow, default)]
    pub entity: Option<Text<'a>>,
    #[serde(borrow)]
    pub accessor: Text<'a>,
    #[serde(borrow)]
    pub display_name: Text<'a>,
}

/// A part of a [`Line`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Source<'a> {
    #[serde(borrow)]
    pub address: Text<'a>,
}

/// A part of a [`Line`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Decision<'a> {
    pub granted: bool,
    #[serde(borrow, default)]
    pub policy: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub rule: Option<Text<'a>>,
    #[serde(default)]
    pub line: Option<u32>,
    #[serde(borrow)]
    pub reason: Text<'a>,
}

/// A part of a [`Line`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Outcome<'a> {
    #[serde(borrow)]
    pub result: Text<'a>,
    #[serde(borrow, default)]
    pub missing: Option<Text<'a>>,
}

/// Reads lines, one after the other, in less time than [`Line::parse`]: it remembers what is the same in most of them.
pub struct LineReader(Memory);

impl Default for LineReader {
    fn default() -> Self {
        Self(Memory::new())
    }
}

impl LineReader {
    /// Reads a line; `None` for one that is no entry.
    pub fn read<'a>(&mut self, line: &'a str) -> Option<Line<'a>> {
        read(line, &mut self.0)
    }

    /// Reads a line, as [`LineReader::read`] does, but for intents: most of what they say, the outcome behind them says too.
    pub fn read_but_intents<'a>(&mut self, line: &'a str) -> Option<Line<'a>> {
        let is_intent = Header::parse(line.as_bytes()).is_some_and(|header| header.is_intent);
        if is_intent { None } else { self.read(line) }
    }
}

fn read<'a>(line: &'a str, memory: &mut Memory) -> Option<Line<'a>> {
    skim::entry(line, memory).or_else(|| serde_json::from_str(line).ok())
}

impl<'a> Line<'a> {
    /// Reads a line; `None` for one that is no entry.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        read(std::str::from_utf8(line).ok()?, &mut Memory::none())
    }

    /// Writes the one name of what the entry is about: see [`object_of`] and [`path_object`].
    pub(crate) fn object_into(&self, name: &mut String) {
        name.clear();
        match (&self.mount, &self.secret) {
            (Some(mount), Some(secret)) => join(name, &mount.accessor, ':', &secret.name),
            (Some(mount), None) => join(name, &mount.accessor, '/', below(&self.path, &mount.path)),
            (None, _) => join(name, "", '/', &self.path),
        }
    }

    /// Whether somebody asked for a value: that of a versioned secret, or what an engine gives out.
    pub(crate) fn is_use(&self) -> bool {
        let Some(mount) = &self.mount else { return false };
        let engine = mount.class == "secret" && !matches!(&*mount.kind, "system" | "identity" | "cubbyhole" | "token");
        // Dialects have names of their own for reading a secret (`GetSecretValue`); the act is the same in all.
        let reads = match &self.secret {
            Some(secret) => secret.act == "read",
            None => self.operation == "read",
        };
        engine && reads && self.kind == "outcome"
    }

    /// The rule that let it through.
    pub(crate) fn deciding_rule(&self) -> Option<(&str, &str)> {
        let decision = self.decision.as_ref().filter(|decision| decision.granted)?;
        Some((decision.policy.as_deref()?, decision.rule.as_deref()?))
    }

    /// Whether it went well.
    pub fn is_ok(&self) -> bool {
        self.outcome.as_ref().is_some_and(|outcome| outcome.result == "ok")
    }

    /// Who asked, by a name that outlives tokens where there is one.
    pub(crate) fn consumer(&self) -> Option<&str> {
        let who = self.principal.as_ref()?;
        Some(who.entity.as_deref().unwrap_or(&who.accessor))
    }
}

fn join(name: &mut String, first: &str, joint: char, second: &str) {
    name.push_str(first);
    name.push(joint);
    name.push_str(second);
}

fn below<'p>(path: &'p str, mount: &str) -> &'p str {
    path.strip_prefix(mount).map_or(path, |rest| rest.trim_start_matches('/'))
}

/// The one name of a versioned secret: the mount's accessor, which a remount does not change, and the path below.
pub fn object_of(accessor: &str, secret: &str) -> String {
    format!("{accessor}:{secret}")
}

/// The one name of anything else on a mount.
pub fn path_object(accessor: &str, below: &str) -> String {
    format!("{accessor}/{below}")
}
