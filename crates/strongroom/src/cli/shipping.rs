//! Copies of the trail for collectors of logs, and messages to outside places: add, list, remove, send again.

use super::audit_query::data;
use super::error::{CliError, Doing};
use super::format::go_text;
use super::grammar::{Command, Exit, switch, valued};
use super::request::{Request, object};
use super::session::Session;
use serde_json::{Map, Value};
use std::fs;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "shipping add",
        usage: "[flags] NAME",
        about: "Send copies of the audit trail to a file, syslog, a socket or a webhook",
        details: "\n    $ strongroom shipping add -type=syslog -transport=tls -at=logs:6514 -as=ocsf siem\n\n\
                  Every entry is sent at least once, in order. Needs `sudo` on sys/shipping/NAME.",
        flags: &[
            valued("type", "kind", "file, syslog, socket or https"),
            valued("as", "form", "vault (usual), ecs, ocsf, cef or trail"),
            valued("file", "path", "The file, or the socket with -transport=unix"),
            valued("transport", "how", "Of syslog and socket: unix, udp, tcp or tls"),
            valued("at", "host:port", "Where it listens"),
            valued("url-file", "file", "Holds the URL that batches are posted to"),
            valued("ca-file", "file", "Who vouches for the receiver, in PEM"),
            valued("key-file", "file", "Holds the key that batches are signed with"),
            valued("auth-file", "file", "Holds the value of the header Authorization"),
            valued("facility", "name", "Of syslog: auth (usual), local0 ..."),
            valued("tag", "name", "Of syslog: the app-name (usual: strongroom)"),
            switch("internal", "Allow addresses of the server's own machine, link and metadata"),
            valued("from", "place", "Number of an entry, or a time; now when not given"),
        ],
        count: (1, 1),
        run: add,
    },
    Command {
        words: "shipping list",
        usage: "[flags]",
        about: "List where copies of the audit trail go",
        details: "\nEnds with 2 when there is none.",
        flags: &[],
        count: (0, 0),
        run: |session| show(session, &["Name", "To", "Format"], &["name", "to", "format"]),
    },
    Command {
        words: "shipping status",
        usage: "[flags]",
        about: "Show how far each copy of the audit trail is, and what hinders it",
        details: "\nEnds with 2 when there is none.",
        flags: &[],
        count: (0, 0),
        run: |session| {
            let heading = ["Name", "Next", "Behind", "Lag s", "Sent", "Dropped", "Last sent", "Error"];
            let fields = ["name", "next", "behind", "lag_seconds", "sent", "dropped", "last_sent", "error"];
            show(session, &heading, &fields)
        },
    },
    Command {
        words: "shipping remove",
        usage: "[flags] NAME",
        about: "Stop sending copies of the audit trail there",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let name = session.parsed.arg(0).trim().to_owned();
            let request = Request { method: "DELETE", ..Request::native(format!("shipping/{name}")) };
            session.send(&request).doing(|| format!("Error removing {name}"))?;
            session.success(&format!("Success! Removed the destination: {name}"));
            Ok(Exit::Good)
        },
    },
    Command {
        words: "shipping replay",
        usage: "[flags] NAME",
        about: "Send entries again from a number or a time on",
        details: "\n    $ strongroom shipping replay -from=2026-04-10T14:00:00Z siem",
        flags: &[valued("from", "place", "Number of an entry, or a time in RFC 3339")],
        count: (1, 1),
        run: |session| {
            let name = session.parsed.arg(0).trim().to_owned();
            let from = session.parsed.text("from").ok_or_else(|| CliError::usage("flag -from is needed"))?;
            let body = object([("from", Some(from.into()))]);
            let request = native_post(format!("shipping/{name}/replay"), body);
            let found = data(session, &request, "Error sending again")?;
            let from = found.get("from").map(go_text).unwrap_or_default();
            session.success(&format!("Success! Sending again from entry {from} on."));
            Ok(Exit::Good)
        },
    },
    Command {
        words: "webhook add",
        usage: "[flags] NAME",
        about: "Tell an outside place of alerts, rotations, incidents and drills",
        details: "\nPrints the key by which its messages are signed, once. Needs `sudo` on\n\
                  sys/webhooks/NAME.",
        flags: &[
            valued("url-file", "file", "Holds the URL; - for standard input is not taken"),
            valued("style", "form", "json (usual) or slack"),
            valued("topic", "name", "alert, rotation, incident, drill, parameter, server; may be repeated"),
            valued("ca-file", "file", "Who vouches for the receiver, in PEM"),
            valued("key-file", "file", "Holds the key that messages are signed with"),
            switch("internal", "Allow addresses of the server's own machine, link and metadata"),
        ],
        count: (1, 1),
        run: add_webhook,
    },
    Command {
        words: "webhook list",
        usage: "[flags]",
        about: "List the webhooks and how each does",
        details: "\nEnds with 2 when there is none.",
        flags: &[],
        count: (0, 0),
        run: |session| {
            let heading = ["Name", "Host", "Style", "Waiting", "Lost", "Last sent", "Error"];
            let fields = ["name", "host", "style", "waiting", "lost", "last_sent", "error"];
            show_from(session, "webhooks", "webhooks", &heading, &fields)
        },
    },
    Command {
        words: "webhook try",
        usage: "[flags] NAME",
        about: "Send a trial message to a webhook now",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let name = session.parsed.arg(0).trim().to_owned();
            let request = native_post(format!("webhooks/{name}/try"), Map::new());
            data(session, &request, "Error sending a trial message")?;
            session.success(&format!("Success! The receiver took the message: {name}"));
            Ok(Exit::Good)
        },
    },
    Command {
        words: "webhook remove",
        usage: "[flags] NAME",
        about: "Remove a webhook and what waits for it",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let name = session.parsed.arg(0).trim().to_owned();
            let request = Request { method: "DELETE", ..Request::native(format!("webhooks/{name}")) };
            session.send(&request).doing(|| format!("Error removing {name}"))?;
            session.success(&format!("Success! Removed the webhook: {name}"));
            Ok(Exit::Good)
        },
    },
];

fn native_post(path: String, body: Map<String, Value>) -> Request {
    Request { method: "POST", body: Some(body.into()), ..Request::native(path) }
}

/// What stands in the file that a flag names, without the line feed at its end.
fn held(session: &Session, flag: &str) -> Result<Option<Value>, CliError> {
    let Some(path) = session.parsed.text(flag) else { return Ok(None) };
    let text = fs::read_to_string(path)
        .map_err(|error| CliError::usage(format!("flag -{flag}: {path} cannot be read: {error}")))?;
    Ok(Some(text.trim_end().into()))
}

fn add(session: &mut Session) -> Result<Exit, CliError> {
    let text = |flag: &str| session.parsed.text(flag).map(Value::from);
    let body = object([
        ("type", text("type")),
        ("format", text("as")),
        ("path", text("file")),
        ("transport", text("transport")),
        ("address", text("at")),
        ("url", held(session, "url-file")?),
        ("ca", held(session, "ca-file")?),
        ("key", held(session, "key-file")?),
        ("authorization", held(session, "auth-file")?),
        ("facility", text("facility")),
        ("tag", text("tag")),
        ("internal", session.parsed.switch("internal").map(Value::from)),
        ("from", text("from")),
    ]);
    let name = session.parsed.arg(0).trim().to_owned();
    session.send(&native_post(format!("shipping/{name}"), body)).doing(|| format!("Error adding {name}"))?;
    session.success(&format!("Success! Sending copies of the audit trail to: {name}"));
    Ok(Exit::Good)
}

fn add_webhook(session: &mut Session) -> Result<Exit, CliError> {
    let topics = session.parsed.list("topic");
    let body = object([
        ("url", held(session, "url-file")?),
        ("style", session.parsed.text("style").map(Value::from)),
        ("topics", (!topics.is_empty()).then(|| topics.into())),
        ("ca", held(session, "ca-file")?),
        ("key", held(session, "key-file")?),
        ("internal", session.parsed.switch("internal").map(Value::from)),
    ]);
    let name = session.parsed.arg(0).trim().to_owned();
    let reply =
        session.send(&native_post(format!("webhooks/{name}"), body)).doing(|| format!("Error adding {name}"))?;
    let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    match answer.pointer("/data").and_then(Value::as_object) {
        Some(shown) if shown.contains_key("key") => session.show_object(shown),
        _ => {
            session.success(&format!("Success! The webhook is set: {name}"));
            Ok(Exit::Good)
        }
    }
}

fn show(session: &mut Session, heading: &[&str], fields: &[&str]) -> Result<Exit, CliError> {
    show_from(session, "shipping", "destinations", heading, fields)
}

fn show_from(
    session: &mut Session,
    path: &str,
    list: &str,
    heading: &[&str],
    fields: &[&str],
) -> Result<Exit, CliError> {
    let found = data(session, &Request::native(path), "Error listing")?;
    let all = found.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let cell = |one: &Value, field: &str| match one.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(value) => go_text(value),
    };
    let rows: Vec<Vec<String>> = all.iter().map(|one| fields.iter().map(|field| cell(one, field)).collect()).collect();
    session.show_listing(&found, list, heading, &rows, "There is none.")?;
    Ok(if rows.is_empty() { Exit::Negative } else { Exit::Good })
}
