//! The parts of a line that the index and answers speak of. Reading borrows from the line: most of a line is passed over.

use serde::Deserialize;
use std::borrow::Cow;

type Text<'a> = Cow<'a, str>;

/// An entry as the index sees it.
#[derive(Deserialize)]
pub(crate) struct Line<'a> {
    pub(crate) seq: u64,
    #[serde(borrow)]
    pub(crate) time: Text<'a>,
    #[serde(borrow)]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) request: Text<'a>,
    #[serde(borrow)]
    pub(crate) dialect: Text<'a>,
    #[serde(borrow)]
    pub(crate) operation: Text<'a>,
    #[serde(borrow)]
    pub(crate) namespace: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) mount: Option<Mount<'a>>,
    #[serde(borrow)]
    pub(crate) path: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) secret: Option<Secret<'a>>,
    #[serde(borrow, default)]
    pub(crate) typed: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) version: Option<u64>,
    #[serde(borrow, default)]
    pub(crate) principal: Option<Who<'a>>,
    #[serde(borrow)]
    pub(crate) source: Source<'a>,
    #[serde(borrow, default)]
    pub(crate) decision: Option<Decision<'a>>,
    #[serde(borrow, default)]
    pub(crate) outcome: Option<Outcome<'a>>,
    #[serde(borrow, default)]
    pub(crate) lease_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) note: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) duration_us: u64,
}

#[derive(Deserialize)]
pub(crate) struct Mount<'a> {
    #[serde(borrow)]
    pub(crate) path: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(crate) kind: Text<'a>,
    #[serde(borrow)]
    pub(crate) accessor: Text<'a>,
    #[serde(borrow)]
    pub(crate) class: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Secret<'a> {
    #[serde(borrow)]
    pub(crate) name: Text<'a>,
    #[serde(borrow)]
    pub(crate) act: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Who<'a> {
    #[serde(borrow, default)]
    pub(crate) entity: Option<Text<'a>>,
    #[serde(borrow)]
    pub(crate) accessor: Text<'a>,
    #[serde(borrow)]
    pub(crate) display_name: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Source<'a> {
    #[serde(borrow)]
    pub(crate) address: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Decision<'a> {
    pub(crate) granted: bool,
    #[serde(borrow, default)]
    pub(crate) policy: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(crate) rule: Option<Text<'a>>,
    #[serde(default)]
    pub(crate) line: Option<u32>,
    #[serde(borrow)]
    pub(crate) reason: Text<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Outcome<'a> {
    #[serde(borrow)]
    pub(crate) result: Text<'a>,
}

impl<'a> Line<'a> {
    /// Reads a line; `None` for one that is no entry.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
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
        let act = self.secret.as_ref().is_none_or(|secret| secret.act == "read");
        engine && act && self.kind == "outcome" && self.operation == "read"
    }

    /// The rule that let it through.
    pub(crate) fn deciding_rule(&self) -> Option<(&str, &str)> {
        let decision = self.decision.as_ref().filter(|decision| decision.granted)?;
        Some((decision.policy.as_deref()?, decision.rule.as_deref()?))
    }

    /// Whether it went well.
    pub(crate) fn is_ok(&self) -> bool {
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
