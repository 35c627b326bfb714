//! `revoke`: shows what it would touch, asks for the target to be typed, cuts it off, and shows how far it is until
//! nothing is left.

use super::audit_query::data;
use super::error::CliError;
use super::format::{self, Format, go_text};
use super::grammar::{Command, Exit, switch, valued};
use super::incident;
use super::kv::Place;
use super::request::{Need, Request};
use super::session::Session;
use serde_json::{Map, Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "revoke",
    usage: "[flags]",
    about: "Cut off a secret, principal, leases, mount or network from everyone, now",
    details: "\n    $ strongroom revoke -secret=secret/prod/db -reason=\"key in a public repository\"\n\n\
              Shows what it would touch first, and asks you to type the target. When it answers,\n\
              use is refused; revoking tokens and leases goes on, also after a crash. The record\n\
              stays: `incident report`. What can be taken back is taken back by `incident lift`.\n\
              Needs `update` and `sudo` on sys/revoke and sys/revoke/preview, and to see the target.",
    flags: &[
        valued("secret", "path", "A secret: its version in force is put out of use"),
        valued(
            "principal",
            "name",
            "An entity (name, id, or as the trail prints it), an access key, a token by its accessor",
        ),
        valued("lease-prefix", "path", "The beginning of ids of leases"),
        valued("mount", "path", "A mount; auth/... for an auth method"),
        valued("source", "cidr", "A network, or an address"),
        valued("reason", "text", "Why, for those who read the record later"),
        switch("dry-run", "Show what it would touch, and touch nothing"),
        switch("yes", "Do not ask"),
        switch("no-wait", "Return when use is refused, while revoking goes on"),
    ],
    count: (0, 0),
    run: revoke,
}];

/// Flags and the names of the API.
const TARGETS: [(&str, &str); 5] = [
    ("secret", "secret"),
    ("principal", "principal"),
    ("lease-prefix", "lease_prefix"),
    ("mount", "mount"),
    ("source", "address"),
];

fn revoke(session: &mut Session) -> Result<Exit, CliError> {
    let mut body = target(session)?;
    let reason = session.parsed.text("reason").unwrap_or_default().trim().to_owned();
    let dry = session.parsed.is_on("dry-run");
    if reason.is_empty() && !dry {
        return Err(CliError::usage("-reason is needed: say why, for those who read the record later"));
    }
    session.refuse_curl("revoke")?;
    if session.wants_policy() {
        let needs = needs(session, dry)?;
        return Err(session.print_needs(&needs));
    }
    let asked = post("revoke/preview", body.clone());
    let preview = data(session, &asked, "Error asking what would be touched")?;
    if dry {
        session.show_value(&Value::Object(preview.clone()), || table_of(&preview))?;
        return Ok(Exit::Good);
    }
    session.out.say(&table_of(&preview));
    let typed = preview.get("target").map(go_text).unwrap_or_default();
    if !session.parsed.is_on("yes") {
        let question = format!("Type {typed} to cut it off");
        let answer = session.input.line(&question, "give -yes to do it without being asked")?;
        if answer != typed {
            return Err(CliError::usage("that is not the target; nothing was done"));
        }
    }
    body.insert("reason".to_owned(), json!(reason));
    let done = data(session, &post("revoke", body), "Error revoking")?;
    let id = done.get("incident").and_then(|incident| incident.get("id")).map(go_text).unwrap_or_default();
    session.out.say(&format!("Incident {id}: {}", incident::cut_text(&done)));
    let done = if session.parsed.is_on("no-wait") { done } else { follow(session, &id)? };
    match session.settings.format {
        Format::Table => session.out.line(&incident::summary(&done)),
        _ => drop(session.show_value(&Value::Object(done.clone()), String::new)?),
    }
    Ok(Exit::Good)
}

fn target(session: &Session) -> Result<Map<String, Value>, CliError> {
    super::audit_query::check_source(&session.parsed)?;
    let given = TARGETS.iter().filter_map(|(flag, name)| Some(((*name).to_owned(), json!(session.parsed.text(flag)?))));
    let body: Map<String, Value> = given.collect();
    match body.len() {
        1 => Ok(body),
        _ => Err(CliError::usage("give exactly one of -secret, -principal, -lease-prefix, -mount and -source")),
    }
}

/// What looking at it, ordering it and following it need, and seeing the target.
fn needs(session: &mut Session, dry: bool) -> Result<Vec<Need>, CliError> {
    const ORDER: &[&str] = &["update", "sudo"];
    const READ: &[&str] = &["read"];
    let mut needs = vec![Need::at("sys/revoke/preview", ORDER)];
    if !dry {
        needs.push(Need::at("sys/revoke", ORDER));
    }
    needs.extend(sight(session)?.map(|path| Need::at(path, READ)));
    if !dry && !session.parsed.is_on("no-wait") {
        needs.extend([Need::at("sys/events", READ), Need::each("sys/incidents/+", READ)]);
    }
    Ok(needs)
}

/// A path that shows the target to who may read it, where there must be one: of a secret what is known beside its value.
fn sight(session: &mut Session) -> Result<Option<String>, CliError> {
    let given =
        TARGETS.iter().find_map(|(flag, _)| Some((*flag, session.parsed.text(flag)?.trim_matches('/').to_owned())));
    Ok(match given {
        Some(("secret", path)) => {
            let place = Place::of(session, &path)?;
            Some(if place.versioned { place.under("metadata") } else { place.data() })
        }
        Some(("lease-prefix", prefix)) => Some(format!("sys/leases/lookup/{prefix}")),
        Some(("mount", path)) => Some(
            path.strip_prefix("auth/").map_or_else(|| format!("sys/mounts/{path}"), |path| format!("sys/auth/{path}")),
        ),
        // Keys are written as AWS writes them, ids of entities with hyphens, accessors as one run of letters and digits.
        Some(("principal", who)) if is_key(&who) => Some(format!("sys/access-keys/{who}")),
        Some(("principal", who)) if is_accessor(&who) => Some("auth/token/accessors".to_owned()),
        Some(("principal", who)) if is_id(&who) => Some(format!("identity/entity/id/{who}")),
        Some(("principal", who)) => Some(format!("identity/entity/name/{who}")),
        _ => None,
    })
}

fn is_key(who: &str) -> bool {
    who.len() == 20 && (who.starts_with("AKIA") || who.starts_with("ASIA"))
}

fn is_accessor(who: &str) -> bool {
    who.len() == 24 && who.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_id(who: &str) -> bool {
    who.len() == 36 && who.bytes().filter(|byte| *byte == b'-').count() == 4
}

/// Shows how far it is until nothing is left; what fails is shown once, and goes on by itself.
fn follow(session: &mut Session, id: &str) -> Result<Map<String, Value>, CliError> {
    let mut after = "oldest".to_owned();
    let prefix = format!("sys/incidents/{id}");
    let mut told = String::new();
    loop {
        let found = data(session, &Request::native(format!("incidents/{id}")), "Error reading the incident")?;
        let incident = found.get("incident").cloned().unwrap_or_default();
        if incident.get("finished").is_some_and(|at| !at.is_null()) {
            return Ok(found);
        }
        let failures = incident::failures(&incident);
        if !failures.is_empty() {
            session.out.say(&failures.join("\n"));
            session.out.say(&format!("It is tried again until it works; see `strongroom incident show {id}`."));
            return Ok(found);
        }
        let request = Request::native("events").query("prefix", prefix.as_str()).query("after", after.as_str());
        let events = data(session, &request.query("wait", "1s"), "Error waiting for events")?;
        after = events.get("after").map(go_text).unwrap_or_default();
        for event in events.get("events").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            let detail = event.get("detail").map(go_text).unwrap_or_default();
            if detail != told {
                session.out.say(&detail);
                told = detail;
            }
        }
    }
}

fn post(path: &str, body: Map<String, Value>) -> Request {
    Request { method: "POST", body: Some(body.into()), ..Request::native(path) }
}

fn table_of(preview: &Map<String, Value>) -> String {
    let touches = preview.get("touches").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = touches
        .iter()
        .map(|touch| {
            let text = |name: &str| touch.get(name).map(go_text).unwrap_or_default();
            let names = touch.get("names").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let names = names.iter().map(go_text).collect::<Vec<_>>().join(" ");
            let count = if text("what") == "requests" { "all".to_owned() } else { text("count") };
            vec![text("what"), count, text("effect"), names]
        })
        .collect();
    let table = format::table(&["What", "Count", "Becomes", "Names that you may know"], &rows);
    let lacks = touches.iter().filter_map(|touch| {
        let text = |name: &str| touch.get(name).map(go_text);
        Some(format!("{}: {}.", text("what")?, text("lacks")?))
    });
    std::iter::once(table).chain(lacks).collect::<Vec<_>>().join("\n")
}
