//! Policies: write, read, list, delete, and a file put into its usual shape.

use super::error::{CliError, Doing};
use super::format::{Format, go_text};
use super::grammar::{Command, Exit};
use super::hcl;
use super::request::Request;
use super::session::Session;
use serde_json::{Value, json};
use std::path::Path;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "policy write",
        usage: "[flags] NAME FILE",
        about: "Write a policy from a file, or - for standard input",
        details: "\n    $ strongroom policy write web web.hcl",
        flags: &[],
        count: (2, 2),
        run: write,
    },
    Command {
        words: "policy read",
        usage: "[flags] NAME",
        about: "Print a policy",
        details: "",
        flags: &[],
        count: (1, 1),
        run: read,
    },
    Command {
        words: "policy list",
        usage: "[flags]",
        about: "List the policies",
        details: "",
        flags: &[],
        count: (0, 0),
        run: list,
    },
    Command {
        words: "policy delete",
        usage: "[flags] NAME",
        about: "Delete a policy",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let name = name(session);
            let request = Request::delete(format!("sys/policies/acl/{name}"));
            session.ask(&request).doing(|| format!("Error deleting {name}"))?;
            session.success(&format!("Success! Deleted policy: {name}"));
            Ok(Exit::Good)
        },
    },
    Command {
        words: "policy fmt",
        usage: "FILE",
        about: "Put a policy file into its usual shape",
        details: "\nChanges blanks and line ends only; a file that the server would not read is left alone.",
        flags: &[],
        count: (1, 1),
        run: reshape,
    },
];

/// Names of policies are lower case (Vault documentation, "Policies").
fn name(session: &Session) -> String {
    session.parsed.arg(0).trim().to_lowercase()
}

fn write(session: &mut Session) -> Result<Exit, CliError> {
    let name = name(session);
    let file = session.parsed.arg(1).trim().to_owned();
    let bytes = if file == "-" { session.input.all()? } else { session.input.file(Path::new(&file))? };
    let text = std::str::from_utf8(&bytes).map_err(|_| CliError::usage(format!("{file} is not UTF-8 text")))?;
    let request = Request::put(format!("sys/policies/acl/{name}"), json!({ "policy": text }));
    session.ask(&request).doing(|| "Error uploading policy".to_owned())?;
    if name != session.parsed.arg(0) {
        session.out.say(&format!("The name of the policy was made lower case: {name}"));
    }
    session.success(&format!("Success! Uploaded policy: {name}"));
    Ok(Exit::Good)
}

fn read(session: &mut Session) -> Result<Exit, CliError> {
    let name = name(session);
    let found = session.read(&Request::get(format!("sys/policies/acl/{name}")));
    let secret = match found.doing(|| format!("Error reading policy named {name}")) {
        Err(CliError::NoValue { path, .. }) => {
            return Err(CliError::NoValue { path, note: format!("No policy named: {name}") });
        }
        found => found?,
    };
    let policy = secret.get("policy").or_else(|| secret.get("rules")).cloned().unwrap_or_default();
    let text = policy.as_str().unwrap_or_default().trim().to_owned();
    if session.settings.field.is_some() {
        return session.show(&secret);
    }
    session.show_value(&json!({ "policy": policy }), || text)
}

fn list(session: &mut Session) -> Result<Exit, CliError> {
    let secret = session.read(&Request::list("sys/policies/acl")).doing(|| "Error listing policies".to_owned())?;
    let keys = secret.keys().unwrap_or_default();
    match session.settings.format {
        Format::Table => keys.iter().for_each(|key| session.out.line(&go_text(key))),
        _ => {
            session.show_value(&Value::Array(keys.to_vec()), String::new)?;
        }
    }
    Ok(Exit::Good)
}

fn reshape(session: &mut Session) -> Result<Exit, CliError> {
    let shown = session.parsed.arg(0).trim().to_owned();
    let path = Path::new(&shown);
    let bytes = session.input.file(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| CliError::usage(format!("{shown} is not UTF-8 text")))?;
    let shaped = hcl::reshape(text).map_err(|why| CliError::usage(format!("{shown}: {why}")))?;
    if shaped != text {
        std::fs::write(path, shaped).map_err(|source| CliError::File {
            what: "cannot write",
            path: path.to_owned(),
            source,
        })?;
    }
    session.success(&format!("Success! Formatted policy: {shown}"));
    Ok(Exit::Good)
}
