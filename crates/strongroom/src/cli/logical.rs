//! The commands that work on any path: read, write, patch, delete, list, unwrap. They send what they are given to the
//! path they are given; nothing is added to it, as `kv` does.

use super::args::{read_data, read_texts};
use super::error::{CliError, Doing};
use super::format::Format;
use super::grammar::{Command, Exit, MANY, switch};
use super::path::trimmed;
use super::request::{Bearer, Request};
use super::secret::Secret;
use super::session::Session;
use serde_json::{Map, Value};
use strongroom_model::SecretString;

const FORCE: &[super::grammar::Flag] = &[super::grammar::Flag {
    name: "force",
    alias: "f",
    value: "",
    about: "Send the request although there is no data",
}];

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "read",
        usage: "[flags] PATH [K=V...]",
        about: "Read data",
        details: "\nFurther arguments become parameters of the query:\n\n    $ strongroom read secret/data/web version=2",
        flags: &[],
        count: (1, MANY),
        run: read,
    },
    Command {
        words: "write",
        usage: "[flags] PATH [DATA...]",
        about: "Write data, configuration, secrets",
        details: "\nDATA is key=value, key=@file, key=- (standard input), @file.json, or - for a JSON object on\n\
                  standard input. A value on the line can be seen in the list of processes; a file cannot.\n\n\
                  \x20   $ strongroom write auth/userpass/users/bob password=- policies=web",
        flags: FORCE,
        count: (1, MANY),
        run: |session| send_data(session, Request::put),
    },
    Command {
        words: "patch",
        usage: "[flags] PATH [DATA...]",
        about: "Change a part of what is at a path",
        details: "\nSends a JSON merge patch. DATA is given as with `write`.",
        flags: FORCE,
        count: (1, MANY),
        run: |session| send_data(session, Request::patch),
    },
    Command {
        words: "delete",
        usage: "[flags] PATH [K=V...]",
        about: "Delete secrets and configuration",
        details: "",
        flags: &[],
        count: (1, MANY),
        run: delete,
    },
    Command {
        words: "list",
        usage: "[flags] PATH",
        about: "List what is under a path",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let path = trimmed(session.parsed.arg(0)).to_owned();
            list(session, &path)
        },
    },
    Command {
        words: "unwrap",
        usage: "[flags] [TOKEN]",
        about: "Unwrap what was wrapped into a token",
        details: "\nWithout TOKEN the user's own token is taken for the wrapping token; - reads it\nfrom standard input.",
        flags: &[switch("list", "Accepted and ignored")],
        count: (0, 1),
        run: unwrap,
    },
];

fn read(session: &mut Session) -> Result<Exit, CliError> {
    let path = trimmed(session.parsed.arg(0)).to_owned();
    let query = read_texts(session.parsed.args_from(1), &mut session.input)?;
    let request = Request { query, ..Request::get(path.clone()) };
    if session.settings.format == Format::Raw && session.settings.field.is_none() {
        let reply = session.send(&request).doing(|| format!("Error reading {path}"))?;
        // Not every answer of a raw read is JSON (a certificate, for one).
        session.check_wrapped(&request, Secret::parse(&reply.body).ok().flatten().as_ref())?;
        session.out.line(&String::from_utf8_lossy(&reply.body));
        return Ok(Exit::Good);
    }
    let secret = session.read(&request).doing(|| format!("Error reading {path}"))?;
    session.show(&secret)
}

fn send_data(session: &mut Session, request: fn(String, Value) -> Request) -> Result<Exit, CliError> {
    let path = trimmed(session.parsed.arg(0)).to_owned();
    let items = session.parsed.args_from(1);
    if items.is_empty() && !session.parsed.is_on("force") {
        return Err(CliError::usage("Must supply data or use -force"));
    }
    let data = read_data(items, &mut session.input)?;
    let request = request(path.clone(), Value::Object(data));
    let secret = session.ask(&request).doing(|| format!("Error writing data to {path}"))?;
    session.show_or_say(secret, &format!("Success! Data written to: {path}"))
}

fn delete(session: &mut Session) -> Result<Exit, CliError> {
    let path = trimmed(session.parsed.arg(0)).to_owned();
    let query = read_texts(session.parsed.args_from(1), &mut session.input)?;
    let request = Request { query, ..Request::delete(path.clone()) };
    let secret = session.ask(&request).doing(|| format!("Error deleting {path}"))?;
    session.show_or_say(secret, &format!("Success! Data deleted (if it existed) at: {path}"))
}

/// Lists; nothing there is `{}` for programs and an error for people, both with 2.
pub(crate) fn list(session: &mut Session, path: &str) -> Result<Exit, CliError> {
    let found = session.read(&Request::list(path)).doing(|| format!("Error listing {path}"));
    let secret = match found {
        Err(CliError::NoValue { .. }) if session.settings.format != Format::Table => {
            session.show_value(&Value::Object(Map::new()), String::new)?;
            return Ok(Exit::Negative);
        }
        found => found?,
    };
    if secret.wrap_info.is_some() || session.settings.field.is_some() {
        return session.show(&secret);
    }
    match secret.keys() {
        Some(_) => session.show_list(&secret),
        None => Err(CliError::NoValue { path: path.to_owned(), note: "The answer is not a listing.".to_owned() }),
    }
}

fn unwrap(session: &mut Session) -> Result<Exit, CliError> {
    // The wrapping token opens its own content, so a stale token of the user's cannot stand in the way.
    let token = match session.parsed.arg(0) {
        "" => Bearer::Own,
        "-" => Bearer::Given(session.input.ask("Wrapping token", "give it as an argument")?.trim().to_owned().into()),
        token => Bearer::Given(SecretString::new(token.trim().to_owned())),
    };
    let request = Request::put_nothing("sys/wrapping/unwrap").bearer(token);
    let secret = session.ask(&request).doing(|| "Error unwrapping".to_owned())?;
    match secret {
        Some(secret) if secret.keys().is_some() && session.settings.field.is_none() => session.show_list(&secret),
        secret => session.show_or_say(secret, "Successfully unwrapped. There was no data in the wrapped secret."),
    }
}
