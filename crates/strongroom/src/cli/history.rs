//! `history` and `rollback`: the versions of a secret, when each was made, by whom as far as the server says, and what
//! became of it. Shows no value.

use super::error::{CliError, Doing};
use super::format::{Format, go_text, table};
use super::grammar::{Command, Exit, valued};
use super::kv::{self, MOUNT, Place};
use super::request::Request;
use super::secret::Secret;
use super::session::Session;
use serde_json::{Map, Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "history",
        usage: "[flags] PATH",
        about: "List the versions of a secret",
        details: "\nStates: current, older, deleted (`kv undelete` brings it back), destroyed. Who wrote a version\n\
                  stands in the audit trail; the server's answer seldom has it.",
        flags: &[MOUNT],
        count: (1, 1),
        run: history,
    },
    Command {
        words: "rollback",
        usage: "[flags] PATH",
        about: "Write an old version of a secret as its newest",
        details: "\nThe same as `kv rollback`. Refused when somebody writes in between.\n\n    \
                  $ strongroom rollback -version=2 secret/app/db",
        flags: &[MOUNT, valued("version", "n", "The version whose value is taken")],
        count: (1, 1),
        run: kv::rollback,
    },
];

/// One version, without its value.
pub(crate) struct Version {
    /// From 1 on.
    pub(crate) number: u64,
    created: String,
    deleted: String,
    /// Shredded.
    pub(crate) destroyed: bool,
    by: Option<String>,
}

impl Version {
    /// Whether its value can be read: neither hidden nor shredded. A time in the future is a version that will be hidden.
    pub(crate) fn is_here(&self, now: Option<&str>) -> bool {
        let hidden = !self.deleted.is_empty() && now.is_none_or(|now| is_past(&self.deleted, now));
        !self.destroyed && !hidden
    }

    fn state(&self, newest: u64, now: Option<&str>) -> &'static str {
        match (self.destroyed, self.is_here(now), self.number == newest) {
            (true, _, _) => "destroyed",
            (_, false, _) => "deleted",
            (_, _, true) => "current",
            _ => "older",
        }
    }
}

fn is_past(time: &str, now: &str) -> bool {
    match (time.parse::<jiff::Timestamp>(), now.parse::<jiff::Timestamp>()) {
        (Ok(time), Ok(now)) => time <= now,
        _ => true,
    }
}

/// The versions in the metadata of a secret, oldest first.
pub(crate) fn versions(metadata: &Secret) -> Vec<Version> {
    let version = |(number, entry): (&String, &Value)| {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        Some(Version {
            number: number.parse().ok()?,
            created: text("created_time"),
            deleted: text("deletion_time"),
            destroyed: entry.get("destroyed") == Some(&Value::Bool(true)),
            by: writer(entry),
        })
    };
    let mut versions: Vec<Version> = metadata.object("versions").into_iter().flatten().filter_map(version).collect();
    versions.sort_unstable_by_key(|version| version.number);
    versions
}

/// Vault tells it from version 1.20 on, as an object.
fn writer(entry: &Value) -> Option<String> {
    match entry.get("created_by")? {
        Value::String(name) if !name.is_empty() => Some(name.clone()),
        Value::Object(who) => ["actor", "entity_id", "client_id", "operation"]
            .iter()
            .find_map(|name| who.get(*name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)),
        _ => None,
    }
}

/// The metadata of a secret.
pub(crate) fn metadata(session: &mut Session, place: &Place) -> Result<Secret, CliError> {
    let path = place.under("metadata");
    match session.read(&Request::get(path.clone())).doing(|| format!("Error reading {path}")) {
        Err(CliError::NoValue { path, .. }) => Err(CliError::NoValue { path, note: place.note() }),
        found => found,
    }
}

fn history(session: &mut Session) -> Result<Exit, CliError> {
    let place = Place::find_versioned(session, "History is")?;
    let secret = metadata(session, &place)?;
    if secret.wrap_info.is_some() || session.settings.field.is_some() {
        return session.show(&secret);
    }
    let newest = secret.get("current_version").and_then(Value::as_u64).unwrap_or(0);
    let now = jiff::Timestamp::now().to_string();
    let mut versions = versions(&secret);
    versions.reverse();
    let entry = |version: &Version| {
        let mut entry = Map::new();
        entry.insert("version".to_owned(), version.number.into());
        entry.insert("created_time".to_owned(), version.created.clone().into());
        entry.insert("state".to_owned(), version.state(newest, Some(&now)).into());
        entry.insert("deletion_time".to_owned(), version.deleted.clone().into());
        version.by.as_ref().map(|by| entry.insert("created_by".to_owned(), by.clone().into()));
        Value::Object(entry)
    };
    let entries: Vec<Value> = versions.iter().map(entry).collect();
    let custom = secret.get("custom_metadata").cloned().unwrap_or_default();
    let all =
        json!({ "path": place.data(), "current_version": newest, "custom_metadata": custom, "versions": entries });
    if session.settings.format == Format::Table
        && let Some(custom) = custom.as_object().filter(|custom| !custom.is_empty())
    {
        session.out.say(&format!("Noted about it: {}", go_text(&Value::Object(custom.clone()))));
    }
    session.show_value(&all, || shown(&versions, newest, &now))
}

fn shown(versions: &[Version], newest: u64, now: &str) -> String {
    let told = versions.iter().any(|version| version.by.is_some());
    let row = |version: &Version| {
        let mut row = vec![
            version.number.to_string(),
            version.state(newest, Some(now)).to_owned(),
            version.created.clone(),
            version.deleted.clone(),
        ];
        told.then(|| row.push(version.by.clone().unwrap_or_default()));
        row
    };
    let rows: Vec<Vec<String>> = versions.iter().map(row).collect();
    let heading = ["Version", "State", "Created", "Deleted", "By"];
    table(heading.get(..if told { 5 } else { 4 }).unwrap_or_default(), &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_says_what_became_of_it() {
        let answer = json!({"data": {"current_version": 4, "versions": {
            "10": {"created_time": "j", "deletion_time": "", "destroyed": false},
            "2": {"created_time": "b", "deletion_time": "2020-01-01T00:00:00Z", "destroyed": false},
            "1": {"created_time": "a", "deletion_time": "", "destroyed": true},
            "3": {"created_time": "c", "deletion_time": "2999-01-01T00:00:00Z", "destroyed": false,
                  "created_by": {"actor": "alice"}}}}});
        let versions = versions(&Secret::from_value(answer).unwrap());
        let states: Vec<_> = versions.iter().map(|v| (v.number, v.state(10, Some("2026-01-01T00:00:00Z")))).collect();
        assert_eq!(states, [(1, "destroyed"), (2, "deleted"), (3, "older"), (10, "current")]);
        assert_eq!(versions[2].by.as_deref(), Some("alice"));
    }
}
