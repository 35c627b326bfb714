//! Where a secret is: the mount, whether it is versioned, and the name below it. Learnt from the server
//! (`sys/internal/ui/mounts`), because only it knows where a mount ends and a name begins. A server that does not know
//! that address (404, in the words for a path without a handler or without any) is an old one with plain secrets.

use crate::cli::error::{CliError, Doing};
use crate::cli::path::{join, trimmed};
use crate::cli::request::Request;
use crate::cli::session::Session;
use crate::cli::walk::Engine;
use serde_json::Value;

/// Where a secret is.
pub(crate) struct Place {
    /// The engine's path, without slashes at its ends.
    pub(crate) mount: String,
    /// The name below it.
    pub(crate) name: String,
    /// Whether the engine keeps versions.
    pub(crate) versioned: bool,
}

impl Place {
    /// Asks the server about the command's argument.
    pub(crate) fn find(session: &mut Session) -> Result<Self, CliError> {
        let arg = session.parsed.arg(0).to_owned();
        Self::of(session, &arg)
    }

    /// Asks the server about a path; `-mount` counts where the command has it.
    pub(crate) fn of(session: &mut Session, path: &str) -> Result<Self, CliError> {
        let arg = trimmed(path).to_owned();
        let given =
            session.parsed.text("mount").map(|mount| trimmed(mount).to_owned()).filter(|mount| !mount.is_empty());
        let asked = given.as_deref().unwrap_or(&arg);
        let (found, versioned) = preflight(session, asked)?;
        Ok(match given {
            Some(given) => Self { mount: if found.is_empty() { given } else { found }, name: arg, versioned },
            None => {
                let (mount, name) = split(&arg, &found);
                Self { mount, name, versioned }
            }
        })
    }

    /// The same, but only for an engine that keeps versions.
    pub(crate) fn find_versioned(session: &mut Session, what: &str) -> Result<Self, CliError> {
        let place = Self::find(session)?;
        if place.versioned {
            return Ok(place);
        }
        Err(CliError::usage(format!(
            "{what} not supported on KV Version 1; `strongroom kv enable-versioning {}` makes it version 2",
            if place.mount.is_empty() { "PATH" } else { &place.mount }
        )))
    }

    /// The path of its value.
    pub(crate) fn data(&self) -> String {
        if self.versioned { self.under("data") } else { join(&[&self.mount, &self.name]) }
    }

    /// The path under one of the versioned engine's branches, as `metadata`.
    pub(crate) fn under(&self, branch: &str) -> String {
        join(&[&self.mount, branch, &self.name])
    }

    /// What may be the reason that there is nothing: the API's spelling where the people's is wanted.
    pub(crate) fn note(&self) -> String {
        let branch = ["data/", "metadata/"].into_iter().find_map(|branch| self.name.strip_prefix(branch));
        match branch {
            Some(name) if self.versioned => format!(
                "`kv` adds that part of the path itself; did you mean `strongroom kv get -mount={} {name}`?",
                self.mount
            ),
            _ => String::new(),
        }
    }
}

fn preflight(session: &mut Session, path: &str) -> Result<(String, bool), CliError> {
    let request = Request::get(format!("sys/internal/ui/mounts/{path}")).preliminary();
    let found = match session.read(&request) {
        // Any other 404, as of a namespace that does not exist, is no word about versions.
        Err(error) if error.means_nothing_there() || error.means_unknown_address() => {
            return Ok((String::new(), false));
        }
        found => found.doing(|| format!("Error finding the engine of {path}"))?,
    };
    let mount = found.get("path").and_then(Value::as_str).map(trimmed).unwrap_or_default().to_owned();
    Ok((mount, Engine::is_versioned(&found)))
}

/// Splits a path into mount and name. A server may name the mount with the namespace in front, which the user's path
/// does not have; then the mount is what remains of it.
fn split(path: &str, mount: &str) -> (String, String) {
    let mut mount = mount;
    loop {
        if path == mount {
            return (mount.to_owned(), String::new());
        }
        if let Some(name) = path.strip_prefix(mount).and_then(|rest| rest.strip_prefix('/')) {
            return (mount.to_owned(), name.to_owned());
        }
        match mount.split_once('/') {
            Some((_, tail)) => mount = tail,
            None => return (String::new(), path.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str, mount: &str) -> Place {
        let (mount, name) = split(path, mount);
        Place { mount, name, versioned: true }
    }

    #[test]
    fn the_branch_goes_between_mount_and_name() {
        assert_eq!(place("secret/web/db", "secret").data(), "secret/data/web/db");
        assert_eq!(place("team/kv/x", "team/kv").under("metadata"), "team/kv/metadata/x");
        assert_eq!(place("secret", "secret").under("metadata"), "secret/metadata");
        assert_eq!(place("secretive/x", "secret").data(), "data/secretive/x");
    }

    #[test]
    fn a_namespace_in_front_of_the_mount_is_dropped() {
        assert_eq!(place("secret/x", "team/a/secret").data(), "secret/data/x");
    }

    #[test]
    fn the_apis_spelling_gets_a_hint() {
        assert!(place("secret/data/x", "secret").note().contains("-mount=secret x"));
        assert_eq!(place("secret/x", "secret").note(), "");
    }
}
