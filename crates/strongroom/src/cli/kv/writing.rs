//! `kv put`, `patch`, `rollback`, `delete`, `undelete`, `destroy`. A new version never depends on one that changed in
//! between: what is read before a write is named in the write (check-and-set).

use super::place::Place;
use super::reading::read;
use super::{MOUNT, VERSIONS, show_written, versions};
use crate::cli::args::read_data;
use crate::cli::error::{CliError, Doing};
use crate::cli::grammar::{Command, Exit, MANY, valued};
use crate::cli::request::{Need, Request};
use crate::cli::secret::Secret;
use crate::cli::session::Session;
use serde_json::{Map, Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "kv put",
        usage: "[flags] KEY DATA...",
        about: "Write a secret; of a versioned one a new version",
        details: "\nDATA is key=value, key=@file, key=- (standard input), @file.json, or - for a JSON object on\n\
                  standard input. A value on the line can be seen in the list of processes; a file cannot.\n\n\
                  \x20   $ strongroom kv put -mount=secret web user=web password=-",
        flags: &[MOUNT, valued("cas", "n", "Only if the newest version is n; 0: only if there is none")],
        count: (1, MANY),
        run: put,
    },
    Command {
        words: "kv patch",
        usage: "[flags] KEY DATA...",
        about: "Change some keys of a secret and keep the others",
        details: "\nDATA is given as with `kv put`.",
        flags: &[
            MOUNT,
            valued("cas", "n", "Only if the newest version is n"),
            valued("method", "m", "patch: let the server do it; rw: read and write; both in turn unless given"),
            valued("remove-data", "key", "Remove this key; may be repeated"),
        ],
        count: (1, MANY),
        run: patch,
    },
    Command {
        words: "kv rollback",
        usage: "[flags] KEY",
        about: "Make an old version the newest again",
        details: "",
        flags: &[MOUNT, valued("version", "n", "The version to go back to")],
        count: (1, 1),
        run: rollback,
    },
    Command {
        words: "kv delete",
        usage: "[flags] KEY",
        about: "Delete the newest version, or those given; undelete brings them back",
        details: "",
        flags: &[MOUNT, VERSIONS],
        count: (1, 1),
        run: delete,
    },
    Command {
        words: "kv undelete",
        usage: "[flags] KEY",
        about: "Bring deleted versions back",
        details: "",
        flags: &[MOUNT, VERSIONS],
        count: (1, 1),
        run: |session| on_versions(session, "undelete"),
    },
    Command {
        words: "kv destroy",
        usage: "[flags] KEY",
        about: "Remove versions for ever",
        details: "",
        flags: &[MOUNT, VERSIONS],
        count: (1, 1),
        run: |session| on_versions(session, "destroy"),
    },
];

/// The body of a write to a versioned engine.
fn body(data: Map<String, Value>, cas: Option<Value>) -> Value {
    let options = cas.map_or_else(|| json!({}), |cas| json!({ "cas": cas }));
    json!({ "data": data, "options": options })
}

fn write(session: &mut Session, request: &Request) -> Result<Option<Secret>, CliError> {
    session.ask(request).doing(|| format!("Error writing data to {}", request.path))
}

fn put(session: &mut Session) -> Result<Exit, CliError> {
    if session.parsed.args_from(1).is_empty() {
        return Err(CliError::usage("Must supply data: key=value, key=@file, key=-, @file.json or -"));
    }
    let cas = session.parsed.number("cas")?.filter(|cas| *cas >= 0);
    let data = read_data(session.parsed.args_from(1), &mut session.input)?;
    let place = Place::find(session)?;
    let path = place.data();
    let value = if place.versioned { body(data, cas.map(Value::from)) } else { Value::Object(data) };
    let secret = write(session, &Request::put(path.clone(), value))?;
    show_written(session, secret, &path)
}

fn patch(session: &mut Session) -> Result<Exit, CliError> {
    let removed = session.parsed.list("remove-data");
    if session.parsed.args_from(1).is_empty() && removed.is_empty() {
        return Err(CliError::usage("Must supply data, or -remove-data"));
    }
    let cas = session.parsed.number("cas")?.filter(|cas| *cas > 0);
    let mut change = read_data(session.parsed.args_from(1), &mut session.input)?;
    // RFC 7396: null removes the key.
    change.extend(removed.into_iter().map(|key| (key, Value::Null)));
    let method = session.parsed.text("method").unwrap_or_default().to_owned();
    let place = Place::find_versioned(session, "Patch")?;
    let secret = match method.as_str() {
        "rw" => read_and_write(session, &place, change, cas)?,
        "patch" => merge_on_server(session, &place, change, cas)?,
        "" => match merge_on_server(session, &place, change.clone(), cas) {
            // 405: an old server. 403: a policy from before there was the capability `patch`.
            Err(error) if matches!(error.status(), Some(403 | 405)) => {
                session.out.say("The server refused PATCH (capability `patch`); reading and writing instead.");
                read_and_write(session, &place, change, cas)?
            }
            done => done?,
        },
        other => {
            return Err(CliError::usage(format!(
                "Unsupported method provided to -method flag: {other}; it is patch or rw"
            )));
        }
    };
    show_written(session, secret, &place.data())
}

fn merge_on_server(
    session: &mut Session,
    place: &Place,
    change: Map<String, Value>,
    cas: Option<i64>,
) -> Result<Option<Secret>, CliError> {
    let request = Request::patch(place.data(), body(change, cas.map(Value::from)));
    match write(session, &request) {
        Err(error) if error.means_nothing_there() => {
            Err(CliError::NoValue { path: request.path, note: "patch only works on existing data".to_owned() })
        }
        done => done,
    }
}

fn read_and_write(
    session: &mut Session,
    place: &Place,
    change: Map<String, Value>,
    cas: Option<i64>,
) -> Result<Option<Secret>, CliError> {
    only_known(session, "kv patch -method=rw", place)?;
    let (mut data, version) = read_whole(session, place, None)?;
    merge(&mut data, change);
    let cas = cas.map_or(version, Value::from);
    write(session, &Request::put(place.data(), body(data, Some(cas))))
}

/// For what reads before it writes: prints what it takes to write anew what is there, where that was asked for.
fn only_known(session: &mut Session, command: &str, place: &Place) -> Result<(), CliError> {
    session.refuse_curl(command)?;
    if session.wants_policy() {
        return Err(session.print_needs(&[Need::at(place.data(), &["read", "update"])]));
    }
    Ok(())
}

/// The value of a version that exists, with its number.
fn read_whole(
    session: &mut Session,
    place: &Place,
    version: Option<i64>,
) -> Result<(Map<String, Value>, Value), CliError> {
    let secret = read(session, place, version)?;
    let number = secret.object("metadata").and_then(|metadata| metadata.get("version")).cloned();
    match (secret.object("data"), number) {
        (Some(data), Some(number)) => Ok((data.clone(), number)),
        _ => Err(CliError::NoValue { path: place.data(), note: "That version was deleted or destroyed.".to_owned() }),
    }
}

/// RFC 7396, so that both methods end the same.
fn merge(data: &mut Map<String, Value>, change: Map<String, Value>) {
    for (key, value) in change {
        match (data.get_mut(&key), value) {
            (_, Value::Null) => drop(data.remove(&key)),
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, Value::Object(new)) => {
                let mut fresh = Map::new();
                merge(&mut fresh, new);
                data.insert(key, Value::Object(fresh));
            }
            (_, value) => drop(data.insert(key, value)),
        }
    }
}

/// Writes an old version's value as a new one, unless somebody writes in between.
pub(crate) fn rollback(session: &mut Session) -> Result<Exit, CliError> {
    let Some(version) = session.parsed.number("version")? else {
        return Err(CliError::usage("Version flag must be specified: -version=n"));
    };
    if version <= 0 {
        return Err(CliError::usage(format!("Invalid value {version} for the version flag")));
    }
    let place = Place::find_versioned(session, "Rollback")?;
    only_known(session, "kv rollback", &place)?;
    let newest = newest_version(session, &place)?;
    let (data, _) = read_whole(session, &place, Some(version))?;
    let secret = write(session, &Request::put(place.data(), body(data, Some(newest))))?;
    show_written(session, secret, &place.data())
}

/// The number of the newest version, which may be a deleted one.
fn newest_version(session: &mut Session, place: &Place) -> Result<Value, CliError> {
    let secret = read(session, place, None)?;
    let number = secret.object("metadata").and_then(|metadata| metadata.get("version")).cloned();
    number.ok_or_else(|| CliError::NoValue {
        path: place.data(),
        note: "rollback only works on existing data".to_owned(),
    })
}

fn delete(session: &mut Session) -> Result<Exit, CliError> {
    let versions = versions(session)?;
    let place = Place::find(session)?;
    let request = match (place.versioned, versions.is_empty()) {
        (true, false) => Request::put(place.under("delete"), json!({ "versions": versions })),
        (false, false) => return Err(CliError::usage("-versions is not supported on KV Version 1")),
        (_, true) => Request::delete(place.data()),
    };
    let secret = session.ask(&request).doing(|| format!("Error deleting {}", place.data()))?;
    session.show_or_say(secret, &format!("Success! Data deleted (if it existed) at: {}", place.data()))
}

fn on_versions(session: &mut Session, verb: &str) -> Result<Exit, CliError> {
    let versions = versions(session)?;
    if versions.is_empty() {
        return Err(CliError::usage(format!(
            "No versions provided, use the \"-versions\" flag to specify what to {verb}."
        )));
    }
    let place = Place::find_versioned(session, verb)?;
    let path = place.under(verb);
    let secret = write(session, &Request::put(path.clone(), json!({ "versions": versions })))?;
    session.show_or_say(secret, &format!("Success! Data written to: {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_keeps_removes_and_goes_deep() {
        let Value::Object(mut data) = json!({"a": 1, "b": 2, "n": {"x": 1, "y": 2}}) else { panic!() };
        let Value::Object(change) = json!({"b": null, "c": 3, "n": {"x": null, "z": 3}, "m": {"k": null, "l": 1}})
        else {
            panic!()
        };
        merge(&mut data, change);
        assert_eq!(Value::Object(data), json!({"a": 1, "c": 3, "n": {"y": 2, "z": 3}, "m": {"l": 1}}));
    }
}
