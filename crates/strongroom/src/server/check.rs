//! `strongroom server -check`: whether a server would start with this configuration, and what it would warn of. Reads the
//! configuration and the certificates and keys that it names. Opens no port and no store, so it may run beside a server,
//! and what only an opened store shows (the wrong key, an older store) it cannot tell.

use super::{log, production};
use crate::cli::ServerArgs;
use std::process::ExitCode;

/// Says what it found; fails when the server would not start.
pub(super) fn run(args: &ServerArgs) -> ExitCode {
    let (warnings, mistakes) = look(args);
    for warning in &warnings {
        log::say(&format!("Warning: {warning}\n"));
    }
    for mistake in &mistakes {
        log::complain(&format!("Error: {mistake}\n"));
    }
    if !mistakes.is_empty() {
        return ExitCode::FAILURE;
    }
    log::say(match warnings.len() {
        0 => "The configuration is good.\n",
        _ => "The configuration is good, save for the warnings.\n",
    });
    ExitCode::SUCCESS
}

/// Warnings and mistakes: of the configuration the first, of the files it names all.
fn look(args: &ServerArgs) -> (Vec<String>, Vec<String>) {
    let (plan, warnings) = match production::plan(args) {
        Ok(found) => found,
        Err(error) => return (Vec::new(), vec![format!("{error:#}")]),
    };
    let level = log::level(&plan.log.level).err().map(|error| error.to_string());
    let tls = plan.binds.iter().filter_map(|bind| bind.tls.as_ref());
    let certificates = tls.filter_map(|files| files.check().err()).map(|error| error.to_string());
    (warnings, level.into_iter().chain(certificates).collect())
}
