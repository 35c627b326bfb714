//! `kv metadata`: what is kept about a secret beside its values.

use super::place::Place;
use super::{MOUNT, show_path};
use crate::cli::error::{CliError, Doing};
use crate::cli::format::{Format, section_of};
use crate::cli::grammar::{Command, Exit, Flag, switch, valued};
use crate::cli::request::{Request, object};
use crate::cli::secret::Secret;
use crate::cli::session::Session;
use serde_json::{Map, Value, json};

const MAX_VERSIONS: Flag = valued("max-versions", "n", "How many versions are kept; 0: as the engine says");
const CAS_REQUIRED: Flag = switch("cas-required", "Refuse writes without -cas");
const DELETE_AFTER: Flag = valued("delete-version-after", "span", "How long a version lives");
const CUSTOM: Flag = valued("custom-metadata", "key=value", "What people note about it; may be repeated");

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "kv metadata get",
        usage: "[flags] KEY",
        about: "Print the metadata and the versions of a secret",
        details: "",
        flags: &[MOUNT],
        count: (1, 1),
        run: get,
    },
    Command {
        words: "kv metadata put",
        usage: "[flags] KEY",
        about: "Write the metadata of a secret",
        details: "",
        flags: &[MOUNT, MAX_VERSIONS, CAS_REQUIRED, DELETE_AFTER, CUSTOM],
        count: (1, 1),
        run: |session| change(session, Request::put),
    },
    Command {
        words: "kv metadata patch",
        usage: "[flags] KEY",
        about: "Change a part of the metadata of a secret",
        details: "",
        flags: &[
            MOUNT,
            MAX_VERSIONS,
            CAS_REQUIRED,
            DELETE_AFTER,
            CUSTOM,
            valued("remove-custom-metadata", "key", "Remove this key; may be repeated"),
        ],
        count: (1, 1),
        run: |session| change(session, Request::patch),
    },
    Command {
        words: "kv metadata delete",
        usage: "[flags] KEY",
        about: "Remove a secret for ever, with all its versions",
        details: "",
        flags: &[MOUNT],
        count: (1, 1),
        run: |session| {
            let path = Place::find_versioned(session, "Metadata")?.under("metadata");
            let secret = session.ask(&Request::delete(path.clone())).doing(|| format!("Error deleting {path}"))?;
            session.show_or_say(secret, &format!("Success! Data deleted (if it existed) at: {path}"))
        },
    },
];

fn get(session: &mut Session) -> Result<Exit, CliError> {
    let place = Place::find_versioned(session, "Metadata")?;
    let path = place.under("metadata");
    let mut secret = match session.read(&Request::get(path.clone())).doing(|| format!("Error reading {path}")) {
        Err(CliError::NoValue { path, .. }) => return Err(CliError::NoValue { path, note: place.note() }),
        found => found?,
    };
    if session.settings.field.is_some() || secret.wrap_info.is_some() || session.settings.format != Format::Table {
        return session.show(&secret);
    }
    let versions = secret.data.as_mut().and_then(|data| data.remove("versions"));
    show_path(session, "Metadata Path", &path);
    session.out.line(&section_of("Metadata", secret.data.as_ref().unwrap_or(&Map::new())));
    session.show(&secret)?;
    show_versions(session, versions.as_ref())
}

fn show_versions(session: &mut Session, versions: Option<&Value>) -> Result<Exit, CliError> {
    let versions = versions.and_then(Value::as_object).into_iter().flatten();
    let mut versions: Vec<(u64, &Map<String, Value>)> =
        versions.filter_map(|(number, entry)| Some((number.parse().ok()?, entry.as_object()?))).collect();
    versions.sort_unstable_by_key(|(number, _)| *number);
    for (number, entry) in versions {
        session.out.line(&format!("\n{}", section_of(&format!("Version {number}"), entry)));
        session.show_object(entry)?;
    }
    Ok(Exit::Good)
}

fn change(session: &mut Session, request: fn(String, Value) -> Request) -> Result<Exit, CliError> {
    let parsed = &session.parsed;
    let mut custom: Map<String, Value> =
        parsed.map("custom-metadata")?.into_iter().map(|(key, value)| (key, value.into())).collect();
    // RFC 7396: null removes the key.
    custom.extend(parsed.list("remove-custom-metadata").into_iter().map(|key| (key, Value::Null)));
    let body = object([
        ("max_versions", parsed.number("max-versions")?.filter(|most| *most >= 0).map(Value::from)),
        ("cas_required", parsed.switch("cas-required").map(Value::from)),
        ("delete_version_after", parsed.span("delete-version-after")?.map(Value::from)),
        ("custom_metadata", (!custom.is_empty()).then(|| json!(custom))),
    ]);
    let path = Place::find_versioned(session, "Metadata")?.under("metadata");
    let sent: Result<Option<Secret>, CliError> = session.ask(&request(path.clone(), body.into()));
    let secret = sent.doing(|| format!("Error writing data to {path}"))?;
    session.show_or_say(secret, &format!("Success! Data written to: {path}"))
}
