//! Access keys, which programs sign their requests with that speak AWS's API.

use super::error::{CliError, Doing};
use super::format::{Format, go_text, table};
use super::grammar::{Command, Exit, switch, valued};
use super::request::{Request, object};
use super::session::Session;
use serde_json::{Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "access-key create",
        usage: "[flags] NAME",
        about: "Make an access key; its secret is printed this once",
        details: "\n    $ strongroom access-key create -entity=billing billing\n\n\
                  Without -entity and -policy it is for the entity of the user's own token.",
        flags: &[
            valued("entity", "name", "The entity that it stands for, by name or id"),
            valued("policy", "name", "A policy of the key; may be repeated"),
            valued("ttl", "span", "How long it lives; without, until it is revoked"),
            valued("cidr", "network", "A network that it may be used from; may be repeated"),
        ],
        count: (1, 1),
        run: create,
    },
    Command {
        words: "access-key list",
        usage: "[flags]",
        about: "List the access keys",
        details: "\nWith sudo all, otherwise those of the own entity. Ends with 2 when there is none.",
        flags: &[],
        count: (0, 0),
        run: list,
    },
    Command {
        words: "access-key read",
        usage: "[flags] ID",
        about: "Print what is known about an access key",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let request = Request::get(place(session));
            let secret = session.read(&request).doing(|| "Error reading access key".to_owned())?;
            session.show(&secret)
        },
    },
    Command {
        words: "access-key rotate",
        usage: "[flags] ID",
        about: "Make a second access key for the same holder, and end the first",
        details: "\nThe secret of the new one is printed this once.",
        flags: &[valued("overlap", "span", "How long both are good; without, the first ends at once")],
        count: (1, 1),
        run: |session| {
            let overlap = session.parsed.text("overlap").map(|span| json!(span));
            let request = Request::put(format!("{}/rotate", place(session)), object([("overlap", overlap)]).into());
            let secret = session.read(&request).doing(|| "Error rotating access key".to_owned())?;
            session.show(&secret)
        },
    },
    Command {
        words: "access-key disable",
        usage: "[flags] ID",
        about: "Put an access key out of use, or with -undo back in",
        details: "",
        flags: &[switch("undo", "Put it back in use")],
        count: (1, 1),
        run: |session| {
            let disabled = !session.parsed.is_on("undo");
            let request = Request::put(place(session), json!({ "disabled": disabled }));
            session.ask(&request).doing(|| "Error changing access key".to_owned())?;
            session.success(if disabled { "Success! Disabled access key" } else { "Success! Enabled access key" });
            Ok(Exit::Good)
        },
    },
    Command {
        words: "access-key revoke",
        usage: "[flags] ID",
        about: "End an access key and the sessions that were made with it",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let request = Request::delete(place(session));
            session.ask(&request).doing(|| "Error revoking access key".to_owned())?;
            session.success("Success! Revoked access key");
            Ok(Exit::Good)
        },
    },
];

fn place(session: &Session) -> String {
    format!("sys/access-keys/{}", session.parsed.arg(0).trim())
}

fn create(session: &mut Session) -> Result<Exit, CliError> {
    let parsed = &session.parsed;
    let texts =
        |flag: &str| Some(json!(parsed.each(flag))).filter(|list| list.as_array().is_some_and(|list| !list.is_empty()));
    let text = |flag: &str| parsed.text(flag).map(|text| json!(text));
    let body = object([
        ("name", Some(json!(parsed.arg(0)))),
        ("entity", text("entity")),
        ("policies", texts("policy")),
        ("ttl", text("ttl")),
        ("bound_cidrs", texts("cidr")),
    ]);
    let request = Request::put("sys/access-keys", Value::Object(body));
    let secret = session.read(&request).doing(|| "Error making access key".to_owned())?;
    session.show(&secret)
}

fn list(session: &mut Session) -> Result<Exit, CliError> {
    let secret = session.read(&Request::list("sys/access-keys")).doing(|| "Error listing access keys".to_owned())?;
    let info = secret.get("key_info").cloned().unwrap_or_default();
    if !matches!(session.settings.format, Format::Table) {
        return session.show_value(&info, String::new);
    }
    let cell = |key: &Value, name: &str| key.get(name).map(go_text).unwrap_or_default();
    let row = |(id, key): (&String, &Value)| {
        let state = if cell(key, "disabled") == "true" { "disabled" } else { "in use" };
        vec![id.clone(), cell(key, "name"), state.to_owned(), cell(key, "last_used"), cell(key, "expire_time")]
    };
    let rows: Vec<Vec<String>> = info.as_object().into_iter().flatten().map(row).collect();
    session.out.line(&table(&["ID", "Name", "State", "Last used", "Ends"], &rows));
    Ok(Exit::Good)
}
