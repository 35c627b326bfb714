//! Compares what was brought with what is there, and decides for each secret what to do. Writes nothing.

use super::{Brought, Item, Trouble, is_name};
use crate::cli::error::{CliError, Doing};
use crate::cli::flags::Settings;
use crate::cli::kv::Place;
use crate::cli::path::join;
use crate::cli::pool::{Looked, Pool};
use crate::cli::request::Request;
use crate::cli::secret::Secret;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What is done with a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing is there.
    Create,
    /// The same value is there.
    Same,
    /// Another value is there, and a new version comes on top of it.
    Change,
    /// It is left out.
    Skip,
    /// It could not be written.
    Failed,
}

impl Action {
    /// The word for it, before or after it was done.
    pub(super) fn word(self, pending: bool) -> &'static str {
        match (self, pending) {
            (Action::Create, true) => "create",
            (Action::Create, false) => "created",
            (Action::Same, _) => "same",
            (Action::Change, true) => "change",
            (Action::Change, false) => "changed",
            (Action::Skip, true) => "skip",
            (Action::Skip, false) => "skipped",
            (Action::Failed, _) => "failed",
        }
    }
}

/// One secret with what is to be done.
pub(super) struct Row {
    /// Where it goes, as people write it.
    pub(super) path: String,
    /// Below the engine.
    pub(super) name: String,
    pub(super) item: Item,
    pub(super) action: Action,
    /// The version on top of which it is written; 0 for none.
    pub(super) on_top_of: u64,
    pub(super) reason: String,
}

impl Row {
    /// The names of its fields, in all its versions.
    pub(super) fn fields(&self) -> BTreeSet<&str> {
        self.item.versions.iter().flat_map(|version| version.keys().map(String::as_str)).collect()
    }
}

/// Decides about everything that was brought.
pub(super) fn compare(
    pool: &mut Pool,
    settings: &Settings,
    place: &Place,
    brought: &mut Brought,
    overwrite: bool,
) -> Result<Vec<Row>, CliError> {
    let mut rows: Vec<Row> = Vec::new();
    for item in std::mem::take(&mut brought.items) {
        let name = join(&[&place.name, &item.name]);
        if !is_name(&name) {
            let path = join(&[&place.mount, &name]);
            brought
                .troubles
                .push(Trouble::new(path, "is the engine and no secret, or no name; give -to a path below it"));
            continue;
        }
        let (path, reason) = (join(&[&place.mount, &name]), String::new());
        rows.push(Row { path, name, item, action: Action::Create, on_top_of: 0, reason });
    }
    let at = |row: &Row| join(&[&place.mount, if place.versioned { "data" } else { "" }, &row.name]);
    let requests: Vec<Request> = rows.iter().map(|row| Request::get(at(row))).collect();
    for (row, looked) in rows.iter_mut().zip(pool.look_all(settings, &requests)?) {
        decide(row, there(looked, place.versioned, &row.path)?, overwrite);
    }
    if !place.versioned && rows.iter().any(|row| row.item.metadata.is_some()) {
        brought.notes.push(format!("{} keeps no metadata, so notes and limits stay behind", place.mount));
    }
    Ok(rows)
}

/// What is at the target.
enum There {
    Nothing,
    /// The value and its version, which is 0 in an engine without versions.
    Value(Map<String, Value>, u64),
    /// A hidden version.
    Deleted(u64),
    Refused,
}

fn there(looked: Looked, versioned: bool, path: &str) -> Result<There, CliError> {
    let secret = match looked {
        Err(error) if error.status() == Some(403) => return Ok(There::Refused),
        looked => looked.doing(|| format!("Error reading {path}"))?,
    };
    let Some(secret) = secret else { return Ok(There::Nothing) };
    if !versioned {
        return Ok(secret.data.map_or(There::Nothing, |data| There::Value(data, 0)));
    }
    let number = |secret: &Secret| secret.object("metadata")?.get("version")?.as_u64();
    let version = number(&secret).unwrap_or(0);
    Ok(match secret.object("data") {
        Some(data) => There::Value(data.clone(), version),
        None => There::Deleted(version),
    })
}

fn decide(row: &mut Row, there: There, overwrite: bool) {
    let newest = row.item.versions.last();
    let (action, reason) = match there {
        There::Nothing => (Action::Create, ""),
        There::Value(data, _) if newest == Some(&data) && row.item.versions.len() > 1 => {
            (Action::Same, "the newest version is the same; older ones were not compared")
        }
        There::Value(data, _) if newest == Some(&data) => (Action::Same, ""),
        There::Value(_, version) if overwrite => {
            row.on_top_of = version;
            (Action::Change, "")
        }
        There::Deleted(version) if overwrite => {
            row.on_top_of = version;
            (Action::Change, "it was deleted there")
        }
        There::Value(..) => (Action::Skip, "another value is there; -overwrite adds a version"),
        There::Deleted(_) => (Action::Skip, "it was deleted there; -overwrite adds a version"),
        There::Refused => (Action::Skip, "what is there may not be read, so it cannot be compared"),
    };
    (row.action, row.reason) = (action, reason.to_owned());
}
