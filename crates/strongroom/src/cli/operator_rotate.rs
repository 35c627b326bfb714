//! The term of the key under which everything is sealed: a new one, and what is known of the present one.

use super::error::{CliError, Doing};
use super::format::{columns, go_text};
use super::grammar::{Command, Exit};
use super::request::Request;
use super::session::Session;
use serde_json::Value;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "operator key-status",
        usage: "[flags]",
        about: "Print the term of the encryption key in use",
        details: "",
        flags: &[],
        count: (0, 0),
        run: |session| show(session, ""),
    },
    Command {
        words: "operator rotate",
        usage: "[flags]",
        about: "Begin a new term of the encryption key",
        details: "\nWhat is sealed from now on is sealed under a fresh key; the rest follows in the\n\
                  background, which `operator key-status` shows. Unseal keys stay as they are: see\n\
                  `operator rekey`.",
        flags: &[],
        count: (0, 0),
        run: |session| {
            session.ask(&Request::put_nothing("sys/rotate")).doing(|| "Error rotating key".to_owned())?;
            show(session, "Success! Rotated key\n\n")
        },
    },
];

fn show(session: &mut Session, before: &str) -> Result<Exit, CliError> {
    let request = Request::get("sys/key-status");
    let request = if before.is_empty() { request } else { request.preliminary() };
    let secret = match session.read(&request) {
        // Who may begin a term need not be allowed to look at it.
        Err(CliError::Api(refusal)) if !before.is_empty() && refusal.code == 403 => {
            session.success(before.trim_end());
            return Ok(Exit::Good);
        }
        read => read.doing(|| "Error reading key status".to_owned())?,
    };
    let data = secret.data.unwrap_or_default();
    if session.settings.field.is_some() {
        return session.show_object(&data);
    }
    let names = [("Key Term", "term"), ("Install Time", "install_time"), ("Encryption Count", "encryptions")];
    let mut rows: Vec<Vec<String>> =
        names.iter().filter_map(|(shown, name)| Some(vec![(*shown).to_owned(), go_text(data.get(*name)?)])).collect();
    if let Some(Value::Object(rewrap)) = data.get("rewrap") {
        let count = |name: &str| rewrap.get(name).map(go_text).unwrap_or_default();
        rows.push(vec!["Resealed".to_owned(), format!("{} of {}", count("done"), count("total"))]);
    }
    session.show_value(&Value::Object(data), || format!("{before}{}", columns(&rows)))
}
