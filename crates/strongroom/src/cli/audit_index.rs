//! The index of the trail, offline: check it against the trail, make it anew; and the check of a proof.

use super::error::CliError;
use super::grammar::{Command, Exit, switch, valued};
use super::request::object;
use super::session::Session;
use std::path::Path;
use strongroom_audit::{IndexReport, check_index, rebuild_index};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "audit index",
        usage: "[flags] FOLDER",
        about: "Check the trail's index against the trail, or make it anew",
        details: "\nReads the files and needs no server. Ends with 2 when a file is not what the trail\n\
                  makes it. Stop the server before -rebuild.",
        flags: &[switch("rebuild", "Remove the index and make it anew")],
        count: (1, 1),
        run: index,
    },
    Command {
        words: "audit prove-check",
        usage: "[flags] FILE",
        about: "Check a proof of `audit query -proof`: the entries stand in the trail",
        details: "\nNeeds no server. Without -key any key is believed; compare the one that is shown.\n\
                  Ends with 2 when the proof does not hold.",
        flags: &[valued("key", "hex", "Public key that may have signed; may be repeated")],
        count: (1, 1),
        run: prove_check,
    },
];

fn index(session: &mut Session) -> Result<Exit, CliError> {
    let folder = Path::new(session.parsed.arg(0)).to_owned();
    if !session.parsed.is_on("rebuild") {
        return say(session, &folder);
    }
    let made = rebuild_index(&folder).map_err(|error| CliError::usage(whole(&error)))?;
    session
        .success(&format!("Success! Made the index of {made} segments; a server adds that of the last one in memory."));
    Ok(Exit::Good)
}

/// Checks the index and says how it is.
pub(super) fn say(session: &mut Session, folder: &Path) -> Result<Exit, CliError> {
    let report = check_index(folder).map_err(|error| CliError::usage(whole(&error)))?;
    let IndexReport { good, missing, first_bad } = report;
    match first_bad {
        None => {
            session.out.say(&format!(
                "The index holds: {good} files are what the trail makes them, {missing} are yet to be made."
            ));
            Ok(Exit::Good)
        }
        Some(bad) => {
            let first = bad.first;
            session.out.say(&format!(
                "The index does not hold at {} (lines from {first} on): {}. `strongroom audit index -rebuild` makes it anew.",
                bad.file, bad.what
            ));
            Ok(Exit::Negative)
        }
    }
}

fn whole(error: &strongroom_audit::TrailError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn prove_check(session: &mut Session) -> Result<Exit, CliError> {
    let file = session.parsed.arg(0).to_owned();
    let text = std::fs::read(&file).map_err(|error| CliError::usage(format!("{file} cannot be read: {error}")))?;
    let key = |text: &String| hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    let keys: Option<Vec<[u8; 32]>> = session.parsed.list("key").iter().map(key).collect();
    let keys = keys.ok_or_else(|| CliError::usage("flag -key wants 64 hexadecimal digits"))?;
    match strongroom_proof::check(&text, &keys) {
        Ok(checked) => {
            let shown = object([
                ("entries", Some(checked.lines.len().into())),
                ("trail_lines", Some(checked.size.into())),
                ("signed", Some(checked.time.into())),
                ("key", Some(checked.key.into())),
                ("key_trusted", Some((!keys.is_empty()).into())),
            ]);
            session.show_object(&shown)?;
            session.success("\nSuccess! All entries stand in the trail.");
            Ok(Exit::Good)
        }
        Err(error) => {
            session.out.say(&format!("The proof does not hold: {error}"));
            Ok(Exit::Negative)
        }
    }
}
