//! `diff`: what changed between two versions of a secret. Values are not shown unless asked for: each is told by a short
//! keyed fingerprint whose key is drawn anew for each run, so that equal values look equal within one output, and
//! nothing can be tried against it afterwards. Lengths are not told either.

use super::error::CliError;
use super::format::{Format, go_text, table};
use super::grammar::{Command, Exit, switch, valued};
use super::history::{Version, metadata, versions};
use super::kv::{MOUNT, Place, read};
use super::session::Session;
use aws_lc_rs::{hmac, rand};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "diff",
    usage: "[flags] PATH",
    about: "Show which fields of a secret changed between two versions",
    details: "\nWithout flags the newest version is compared with the one before it. Values are shown as\n\
              fingerprints, which can be compared within one output and mean nothing beyond it.\n\n    \
              $ strongroom diff -v1=2 -v2=5 secret/app/db",
    flags: &[
        MOUNT,
        valued("v1", "n", "The older version; without it the one before -v2 that is still there"),
        valued("v2", "n", "The newer version; without it the newest"),
        switch("show-values", "Print the values themselves"),
    ],
    count: (1, 1),
    run: diff,
}];

fn diff(session: &mut Session) -> Result<Exit, CliError> {
    session.refuse_single_request_flags("diff")?;
    let number = |name: &str| match session.parsed.number(name)?.map(u64::try_from) {
        None => Ok(None),
        Some(Ok(n)) if n > 0 => Ok(Some(n)),
        Some(_) => Err(CliError::usage(format!("flag -{name} wants a version, from 1 on"))),
    };
    let (older, newer, in_clear) = (number("v1")?, number("v2")?, session.parsed.is_on("show-values"));
    let place = Place::find_versioned(session, "Diff is")?;
    let (older, newer) = match (older, newer) {
        (Some(older), Some(newer)) => (older, newer),
        (older, newer) => chosen(session, &place, older, newer)?,
    };
    let (before, after) = (value(session, &place, older)?, value(session, &place, newer)?);
    let mask = if in_clear { None } else { Some(Mask::new()?) };
    let changes = changes(&before, &after);
    show(session, &place, (older, newer), &changes, mask.as_ref())
}

/// The versions meant when one or both are not given.
fn chosen(
    session: &mut Session,
    place: &Place,
    older: Option<u64>,
    newer: Option<u64>,
) -> Result<(u64, u64), CliError> {
    let now = jiff::Timestamp::now().to_string();
    let here = |version: &Version| version.is_here(Some(&now)).then_some(version.number);
    let here: Vec<u64> = versions(&metadata(session, place)?).iter().filter_map(here).collect();
    let newer = newer.or_else(|| here.last().copied());
    let older = older.or_else(|| here.iter().rev().find(|n| newer.is_some_and(|newer| **n < newer)).copied());
    older.zip(newer).ok_or_else(|| CliError::NoValue {
        path: place.data(),
        note: "There are no two versions to compare; `strongroom history` shows those there are.".to_owned(),
    })
}

fn value(session: &mut Session, place: &Place, version: u64) -> Result<Map<String, Value>, CliError> {
    let secret = read(session, place, i64::try_from(version).ok())?;
    secret.object("data").cloned().ok_or_else(|| CliError::NoValue {
        path: place.data(),
        note: format!("Version {version} was deleted or destroyed; `strongroom history` shows which are there."),
    })
}

/// One field in both versions.
struct Change<'a> {
    field: &'a str,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

impl Change<'_> {
    fn word(&self) -> &'static str {
        match (self.before, self.after) {
            (None, _) => "added",
            (_, None) => "removed",
            (before, after) if before == after => "same",
            _ => "changed",
        }
    }
}

fn changes<'a>(before: &'a Map<String, Value>, after: &'a Map<String, Value>) -> Vec<Change<'a>> {
    let fields: BTreeSet<&str> = before.keys().chain(after.keys()).map(String::as_str).collect();
    let change = |field| Change { field, before: before.get(field), after: after.get(field) };
    fields.into_iter().map(change).collect()
}

/// Tells values apart without showing them. Not `Debug`: it holds a key.
struct Mask(hmac::Key);

impl Mask {
    fn new() -> Result<Self, CliError> {
        let mut key = zeroize::Zeroizing::new([0; 32]);
        rand::fill(&mut *key).map_err(|_| CliError::usage("the system gives no random bytes"))?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &*key)))
    }

    /// Eight digits: enough to tell the fields of one secret apart.
    fn of(&self, value: &Value) -> String {
        let tag = hmac::sign(&self.0, value.to_string().as_bytes());
        format!("#{}", hex::encode(tag.as_ref().get(..4).unwrap_or_default()))
    }
}

fn show(
    session: &mut Session,
    place: &Place,
    (older, newer): (u64, u64),
    changes: &[Change<'_>],
    mask: Option<&Mask>,
) -> Result<Exit, CliError> {
    let side = |value: Option<&Value>| match (value, mask) {
        (None, _) => None,
        (Some(value), Some(mask)) => Some(Value::from(mask.of(value))),
        (Some(value), None) => Some(value.clone()),
    };
    let entry = |change: &Change<'_>| {
        let (before, after) = (side(change.before), side(change.after));
        json!({ "field": change.field, "change": change.word(), "before": before, "after": after })
    };
    let entries: Vec<Value> = changes.iter().map(entry).collect();
    if session.settings.format != Format::Table {
        let masked = mask.is_some();
        let all = json!({ "path": place.data(), "v1": older, "v2": newer, "masked": masked, "fields": entries });
        return session.show_value(&all, String::new);
    }
    let text = |value: Option<Value>| value.as_ref().map_or_else(|| "-".to_owned(), go_text);
    let row = |change: &Change<'_>| {
        vec![change.field.to_owned(), change.word().to_owned(), text(side(change.before)), text(side(change.after))]
    };
    let rows: Vec<Vec<String>> = changes.iter().map(row).collect();
    let (v1, v2) = (format!("Version {older}"), format!("Version {newer}"));
    session.out.line(&table(&["Field", "Change", &v1, &v2], &rows));
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_look_equal_within_one_output_only() {
        let (one, other) = (Mask::new().unwrap(), Mask::new().unwrap());
        let (secret, another) = (json!("hunter2"), json!("hunter3"));
        assert_eq!(one.of(&secret), one.of(&secret.clone()));
        assert_ne!(one.of(&secret), one.of(&another));
        assert_ne!(one.of(&secret), other.of(&secret));
        assert_eq!(one.of(&json!("")).len(), one.of(&json!("a long value of many characters")).len());
    }

    #[test]
    fn every_field_of_either_version_is_told() {
        let (before, after) = (json!({"a": 1, "b": 2, "c": 3}), json!({"b": 2, "c": 4, "d": 5}));
        let changes = changes(before.as_object().unwrap(), after.as_object().unwrap());
        let words: Vec<_> = changes.iter().map(|change| (change.field, change.word())).collect();
        assert_eq!(words, [("a", "removed"), ("b", "same"), ("c", "changed"), ("d", "added")]);
    }
}
