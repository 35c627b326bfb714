//! `can`: whether somebody may do something, and which rule of which policy decides. The server decides; this only asks
//! and shows. What a token is must not stand in the list of processes, so `-` reads it from standard input.

use super::error::{CliError, Doing};
use super::format::{Format, go_text};
use super::grammar::{Command, Exit};
use super::request::{Request, object};
use super::secret::Secret;
use super::session::Session;
use serde_json::{Map, Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "can",
    usage: "[flags] [TOKEN|PRINCIPAL] CAPABILITY PATH",
    about: "Tell whether somebody may do something, and which rule decides",
    details: "\nWithout TOKEN or PRINCIPAL it is about your own token. CAPABILITY is create, read, update,\n\
              patch, delete, list or sudo. Others are named by\n\n    -                from standard input: a token\n    \
              hvs.x, token:x   a token\n    accessor:x       the token behind an accessor\n    \
              policy:a,b       whoever has these policies\n    entity:web, web  the entity of that name\n\n\
              About others it needs sudo on sys/strongroom/can. Ends with 0 for yes and 2 for no.\n\n    \
              $ strongroom can read secret/app/db\n    $ strongroom can web update secret/app/db",
    flags: &[],
    count: (2, 3),
    run: can,
}];

fn can(session: &mut Session) -> Result<Exit, CliError> {
    let (who, at) = match session.parsed.args().len() {
        3 => (Some(session.parsed.arg(0).to_owned()), 1),
        _ => (None, 0),
    };
    let capability = session.parsed.arg(at).to_lowercase();
    let path = session.parsed.arg(at + 1).to_owned();
    let mut body = object([("capability", Some(capability.into())), ("path", Some(path.into()))]);
    let door = match who {
        None => "sys/strongroom/can-self",
        Some(who) => {
            let (kind, value) = named(session, &who)?;
            body.insert(kind.to_owned(), value);
            "sys/strongroom/can"
        }
    };
    let found = session.ask(&Request::post(door, body.into()));
    let found = match found {
        Err(error) if error.means_unknown_address() => Err(CliError::usage(
            "this server cannot explain its decisions; `strongroom token capabilities` shows what it can tell",
        )),
        found => found.doing(|| "Error asking who may".to_owned()),
    }?;
    let Some(secret) = found else { return Err(CliError::Answer("it says nothing".to_owned())) };
    show(session, &secret)
}

/// Vault's tokens begin with `hvs.`, `hvb.` or, of old servers, `s.` and `b.`.
fn named(session: &mut Session, who: &str) -> Result<(&'static str, Value), CliError> {
    let token = |text: &str| ["hvs.", "hvb.", "hvr.", "s.", "b."].iter().any(|prefix| text.starts_with(prefix));
    match who.split_once(':') {
        _ if who == "-" => {
            let asked = session.input.ask("Token", "give it as an argument")?;
            Ok(("token", asked.trim().into()))
        }
        Some(("token", token)) => Ok(("token", token.into())),
        Some(("accessor", accessor)) => Ok(("accessor", accessor.into())),
        Some(("policy" | "policies", names)) => Ok(("policies", json!(names.split(',').collect::<Vec<_>>()))),
        Some(("entity", name)) => Ok(("entity", name.into())),
        _ if token(who) => Ok(("token", who.into())),
        _ => Ok(("entity", who.into())),
    }
}

fn show(session: &mut Session, secret: &Secret) -> Result<Exit, CliError> {
    if secret.wrap_info.is_some() || session.settings.field.is_some() {
        return session.show(secret);
    }
    let none = Map::new();
    let data = secret.data.as_ref().unwrap_or(&none);
    let granted = data.get("granted").and_then(Value::as_bool).unwrap_or(false);
    if session.settings.format == Format::Table {
        let text = |name: &str| data.get(name).map(go_text).unwrap_or_default();
        let verdict = if granted { "yes" } else { "no" };
        session.out.line(&format!("{verdict}: {} on {}: {}", text("capability"), text("path"), text("reason")));
        for note in data.get("notes").and_then(Value::as_array).into_iter().flatten() {
            session.out.say(&format!("note: {}", go_text(note)));
        }
    } else {
        session.show_object(data)?;
    }
    Ok(if granted { Exit::Good } else { Exit::Negative })
}
