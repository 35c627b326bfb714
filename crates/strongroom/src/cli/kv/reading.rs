//! `kv get` and `kv list`.

use super::place::Place;
use super::{MOUNT, show_path};
use crate::cli::error::{CliError, Doing};
use crate::cli::format::{Format, section_of};
use crate::cli::grammar::{Command, Exit, valued};
use crate::cli::logical;
use crate::cli::request::Request;
use crate::cli::secret::Secret;
use crate::cli::session::Session;
use serde_json::Value;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "kv get",
        usage: "[flags] KEY",
        about: "Print a secret",
        details: "\n    $ strongroom kv get -mount=secret web\n    $ strongroom kv get -field=password secret/web",
        flags: &[MOUNT, valued("version", "n", "That version and not the newest")],
        count: (1, 1),
        run: get,
    },
    Command {
        words: "kv list",
        usage: "[flags] PATH",
        about: "List secrets and folders",
        details: "\nA folder ends with a slash.",
        flags: &[MOUNT],
        count: (0, 1),
        run: list,
    },
];

/// Reads a secret's value; `None` version is the newest.
pub(crate) fn read(session: &mut Session, place: &Place, version: Option<i64>) -> Result<Secret, CliError> {
    let path = place.data();
    let mut request = Request::get(path.clone());
    if let Some(version) = version.filter(|version| *version > 0 && place.versioned) {
        request = request.query("version", version.to_string());
    }
    match session.read(&request).doing(|| format!("Error reading {path}")) {
        Err(CliError::NoValue { path, .. }) => Err(CliError::NoValue { path, note: place.note() }),
        found => found,
    }
}

fn get(session: &mut Session) -> Result<Exit, CliError> {
    let version = session.parsed.number("version")?;
    let place = Place::find(session)?;
    let secret = read(session, &place, version)?;
    if session.settings.field.is_some() {
        return if place.versioned && secret.wrap_info.is_none() {
            show_field(session, &secret, &place)
        } else {
            session.show(&secret)
        };
    }
    if secret.wrap_info.is_some() || session.settings.format != Format::Table {
        return session.show(&secret);
    }
    session.warn(&secret);
    if !place.versioned {
        if let Some(data) = &secret.data {
            session.out.line(&section_of("Data", data));
            session.show_object(data)?;
        }
        return Ok(Exit::Good);
    }
    show_path(session, "Secret Path", &place.data());
    if let Some(metadata) = secret.object("metadata") {
        session.out.line(&section_of("Metadata", metadata));
        session.show_object(metadata)?;
    }
    if let Some(data) = secret.object("data") {
        session.out.line("");
        session.out.line(&section_of("Data", data));
        session.show_object(data)?;
    }
    Ok(Exit::Good)
}

/// A field of the value. `data` may be a field of it, and is otherwise the whole of it.
fn show_field(session: &mut Session, secret: &Secret, place: &Place) -> Result<Exit, CliError> {
    let Some(data) = secret.object("data") else {
        let note = "This version was deleted; `strongroom kv undelete` may bring it back.".to_owned();
        return Err(CliError::NoValue { path: place.data(), note });
    };
    session.show_field(
        |field| match data.get(field) {
            None if field == "data" => Some(Value::Object(data.clone())),
            value => value.cloned(),
        },
        "secret",
    )
}

fn list(session: &mut Session) -> Result<Exit, CliError> {
    if session.parsed.args().is_empty() && session.parsed.text("mount").is_none() {
        return Err(CliError::usage(
            "Not enough arguments (expected 1, got 0)\nusage: strongroom kv list [flags] PATH",
        ));
    }
    let place = Place::find(session)?;
    let path = if place.versioned { place.under("metadata") } else { place.data() };
    logical::list(session, &path)
}
