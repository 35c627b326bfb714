//! Secrets as people name them: `secret/web` or `-mount=secret web`, where the API of versioned engines wants
//! `secret/data/web`. Each command first asks the server which engine the path belongs to, and adds that part itself.

mod metadata;
mod place;
mod reading;
mod writing;

pub(crate) use metadata::COMMANDS as METADATA;
pub(crate) use place::Place;
pub(crate) use reading::COMMANDS as READING;
pub(crate) use reading::read;
pub(crate) use writing::{COMMANDS as WRITING, rollback};

use super::error::CliError;
use super::format::{Format, section, section_of};
use super::grammar::{Exit, Flag, valued};
use super::secret::Secret;
use super::session::Session;

pub(crate) const MOUNT: Flag = valued("mount", "path", "The engine's path; the argument is then the name below it");
pub(crate) const VERSIONS: Flag = valued("versions", "n,n", "The versions; may be repeated");

/// Prints what a write answers: where it went, and the new version's metadata.
fn show_written(session: &mut Session, secret: Option<Secret>, path: &str) -> Result<Exit, CliError> {
    let Some(secret) = secret else {
        session.success(&format!("Success! Data written to: {path}"));
        return Ok(Exit::Good);
    };
    let plain = session.settings.field.is_none() && session.settings.format == Format::Table;
    match &secret.data {
        Some(data) if plain && secret.wrap_info.is_none() => {
            session.warn(&secret);
            show_path(session, "Secret Path", path);
            session.out.line(&section_of("Metadata", data));
            session.show_object(data)
        }
        _ => session.show(&secret),
    }
}

fn show_path(session: &mut Session, title: &str, path: &str) {
    session.out.line(&format!("{}\n{path}\n", section(title, path.chars().count())));
}

/// The versions given with `-versions`.
fn versions(session: &Session) -> Result<Vec<u64>, CliError> {
    let read = |text: &String| {
        text.parse().ok().filter(|version| *version > 0).ok_or_else(|| {
            CliError::usage("flag -versions wants numbers from 1 on, separated by commas: -versions=1,2")
        })
    };
    session.parsed.list("versions").iter().map(read).collect()
}
