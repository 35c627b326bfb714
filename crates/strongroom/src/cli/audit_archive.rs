//! How long the trail is kept: archive what is old, say for how long, place and lift legal holds.

use super::audit_query::data;
use super::error::{CliError, Doing};
use super::format::{self, go_text};
use super::grammar::{Command, Exit, valued};
use super::moment::Reference;
use super::request::{Request, object};
use super::session::Session;
use serde_json::{Map, Value};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "audit archive",
        usage: "[flags]",
        about: "Move old segments of the trail into signed archives",
        details: "\n    $ strongroom audit archive -before=2026-01-01 -out=/srv/archives\n\n\
                  Whole segments whose last entry is older leave the trail's folder; the rest goes on\n\
                  to verify. What is under a legal hold stays, and what a copy of the trail has not\n\
                  read yet. `audit verify -archive` checks what it made. Needs `sudo` on\n\
                  sys/trail/archive. Ends with 2 when nothing was to be moved.",
        flags: &[
            valued("before", "time", "2026-01-01, or 2160h ago; by `audit retention` when not given"),
            valued("tz", "zone", "The zone in which -before is read, as Europe/Berlin"),
            valued("out", "folder", "Where archives go, on the server: an absolute path"),
        ],
        count: (0, 0),
        run: archive,
    },
    Command {
        words: "audit retention",
        usage: "[flags]",
        about: "Show or set how long the trail is kept",
        details: "\n    $ strongroom audit retention -keep=90 -out=/srv/archives -archives-keep=3650\n\n\
                  Without flags it shows what is set, what is archived, and what stayed and why.\n\
                  Needs `sudo` on sys/trail/retention.",
        flags: &[
            valued("keep", "days", "Days after which segments leave for archives; 0 for never"),
            valued("out", "folder", "Where archives go, on the server: an absolute path"),
            valued("archives-keep", "days", "Days after which archives there are removed; 0 for never"),
        ],
        count: (0, 0),
        run: retention,
    },
    Command {
        words: "audit hold list",
        usage: "[flags]",
        about: "List the legal holds that stand",
        details: "\nEnds with 2 when there is none.",
        flags: &[],
        count: (0, 0),
        run: |session| {
            let found = data(session, &Request::native("trail/holds"), "Error listing holds")?;
            let fields = ["name", "prefix", "principal", "from", "to", "placed", "placed_by", "reason"];
            let heading = ["Name", "Prefix", "Principal", "From", "To", "Placed", "By", "Reason"];
            show(session, &found, "holds", &heading, &fields, "No hold stands.")
        },
    },
    Command {
        words: "audit hold place",
        usage: "[flags] NAME",
        about: "Place a legal hold: nothing that falls under it is removed while it stands",
        details: "\n    $ strongroom audit hold place -reason=\"case 4711\" -prefix=secret/hr/ case-4711\n\n\
                  Limits are joined: with a prefix and a principal, what that principal did there.\n\
                  Without any, everything is held. Needs `sudo` on sys/trail/holds/NAME.",
        flags: &[
            valued("reason", "text", "Why: a case, an order. Needed"),
            valued("prefix", "path", "The beginning of paths"),
            valued("principal", "name", "Name, id or display name of an entity, or an accessor"),
            valued("from", "time", "From then on: 2026-04-10, or with a time"),
            valued("to", "time", "Before then"),
            valued("tz", "zone", "The zone in which times are read, as Europe/Berlin"),
        ],
        count: (1, 1),
        run: place,
    },
    Command {
        words: "audit hold lift",
        usage: "[flags] NAME",
        about: "Lift a legal hold",
        details: "\nNeeds `sudo` on sys/trail/holds/NAME.",
        flags: &[valued("reason", "text", "Why. Needed")],
        count: (1, 1),
        run: |session| {
            let name = session.parsed.arg(0).trim().to_owned();
            let reason = session.parsed.text("reason").unwrap_or_default().to_owned();
            let request = Request { method: "DELETE", ..Request::native(format!("trail/holds/{name}")) };
            session.send(&request.query("reason", reason)).doing(|| format!("Error lifting {name}"))?;
            session.success(&format!("Success! Lifted the hold: {name}"));
            Ok(Exit::Good)
        },
    },
];

fn archive(session: &mut Session) -> Result<Exit, CliError> {
    let parsed = &session.parsed;
    let reference = Reference::new(parsed.text("tz"), None, jiff::Timestamp::now())?;
    let before = parsed.text("before").map(|text| reference.read("before", text)).transpose()?;
    let body = object([("before", before.map(Value::from)), ("folder", parsed.text("out").map(Value::from))]);
    let (mut archives, mut removed) = (Vec::new(), 0);
    let kept = loop {
        let mut part = data(session, &post("trail/archive", &body), "Error archiving the trail")?;
        if let Some(Value::Array(made)) = part.remove("archives") {
            archives.extend(made);
        }
        let now = part.get("removed").and_then(Value::as_u64).unwrap_or_default();
        removed += now;
        // A part that moved nothing would move nothing the next time.
        if part.get("more") != Some(&Value::Bool(true)) || now == 0 {
            break part.remove("kept").unwrap_or_default();
        }
    };
    let mut found = Map::new();
    found.insert("archives".to_owned(), archives.into());
    found.insert("removed".to_owned(), removed.into());
    found.insert("kept".to_owned(), kept.clone());
    let (heading, fields) = (["File", "First", "Behind", "Up to"], ["file", "first", "next", "to"]);
    show(session, &found, "archives", &heading, &fields, "No archive was made.")?;
    say_kept(session, &kept);
    session.out.say(&format!("{removed} segments left the trail's folder."));
    Ok(if removed == 0 { Exit::Negative } else { Exit::Good })
}

fn say_kept(session: &mut Session, kept: &Value) {
    for one in kept.as_array().map(Vec::as_slice).unwrap_or_default() {
        let text = |name: &str| one.get(name).map(go_text).unwrap_or_default();
        let last = one.get("next").and_then(Value::as_u64).unwrap_or_default().saturating_sub(1);
        session.out.say(&format!("Lines {} to {last} stay: {}.", text("first"), text("why")));
    }
}

fn retention(session: &mut Session) -> Result<Exit, CliError> {
    let parsed = &session.parsed;
    let days = |flag| parsed.number(flag).map(|days| days.map(Value::from));
    let body = object([
        ("keep_days", days("keep")?),
        ("folder", parsed.text("out").map(Value::from)),
        ("archives_keep_days", days("archives-keep")?),
    ]);
    if !body.is_empty() {
        session
            .send(&post("trail/retention", &body))
            .doing(|| "Error setting how long the trail is kept".to_owned())?;
        session.success("Success! It is kept so from now on.");
        return Ok(Exit::Good);
    }
    let found = data(session, &Request::native("trail/retention"), "Error asking how long the trail is kept")?;
    let last = found.get("last").cloned().unwrap_or_default();
    let of_last = |name: &str| last.get(name).filter(|value| !value.is_null()).cloned();
    let shown = object([
        ("keep_days", found.get("keep_days").cloned()),
        ("archives_keep_days", found.get("archives_keep_days").cloned()),
        ("folder", found.get("folder").cloned()),
        ("last_round", of_last("time")),
        ("last_error", of_last("error")),
    ]);
    if session.settings.format == format::Format::Table {
        session.show_object(&shown)?;
    } else {
        session.show_object(&found)?;
    }
    super::audit_absent::say(session, &found);
    say_kept(session, &of_last("kept").unwrap_or_default());
    Ok(Exit::Good)
}

fn place(session: &mut Session) -> Result<Exit, CliError> {
    let parsed = &session.parsed;
    let name = parsed.arg(0).trim().to_owned();
    let reference = Reference::new(parsed.text("tz"), None, jiff::Timestamp::now())?;
    let time = |flag: &str| parsed.text(flag).map(|text| reference.read(flag, text).map(Value::from)).transpose();
    let text = |flag: &str| parsed.text(flag).map(Value::from);
    let body = object([
        ("reason", text("reason")),
        ("prefix", text("prefix")),
        ("principal", text("principal")),
        ("from", time("from")?),
        ("to", time("to")?),
    ]);
    let reply = session.send(&post(&format!("trail/holds/{name}"), &body)).doing(|| format!("Error placing {name}"))?;
    session.warn_natively(&reply);
    session.success(&format!("Success! Placed the hold: {name}"));
    Ok(Exit::Good)
}

fn post(path: &str, body: &Map<String, Value>) -> Request {
    Request { method: "POST", body: Some(body.clone().into()), ..Request::native(path.to_owned()) }
}

fn show(
    session: &mut Session,
    found: &Map<String, Value>,
    list: &str,
    heading: &[&str],
    fields: &[&str],
    nothing: &str,
) -> Result<Exit, CliError> {
    let items = found.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let cell =
        |one: &Value, name: &str| one.get(name).filter(|value| !value.is_null()).map(go_text).unwrap_or_default();
    let row = |one: &Value| fields.iter().map(|name| cell(one, name)).collect();
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    session.show_listing(found, list, heading, &rows, nothing)?;
    Ok(if rows.is_empty() { Exit::Negative } else { Exit::Good })
}
