//! `audit query`: who did what, when, from where, by which rule.

use super::audit_absent;
use super::error::{CliError, Doing};
use super::format::{self, Format, go_text};
use super::grammar::{Command, Exit, Parsed, switch, valued};
use super::moment::Reference;
use super::request::Request;
use super::session::Session;
use serde_json::{Map, Value};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::time::Duration;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "audit query",
    usage: "[flags]",
    about: "Ask the trail who did what, when, from where, and by which rule",
    details: "\n    $ strongroom audit query -path=secret/prod/db -from=14:00 -to=15:00 -date=2026-04-10\n\n\
              Times are UTC unless -tz names a zone; json has them in UTC. Filters that take several\n\
              values, paths too, take them with commas. -field prints one of each entry, a line each.\n\
              Needs `read` on sys/trail/query and shows what your policies show; with `sudo` on that\n\
              path, everything. Ends with 3 when nothing was found.",
    flags: &[
        valued("path", "path", "Paths in any spelling: as in policies, as for kv, or ARNs"),
        valued("prefix", "path", "Beginnings of paths"),
        valued("principal", "name", "Names, ids or display names of entities, or accessors"),
        valued("operation", "word", "read, create, update, patch, delete, list, or an act such as read-metadata"),
        valued("outcome", "word", "ok, failed, or the kind of an error, such as denied"),
        valued("dialect", "word", "vault, aws, native; internal for what the server met on its own"),
        valued("source", "cidr", "The network or address that requests came from"),
        valued("lease", "id", "The lease that was handed out, prolonged or ended"),
        valued("subject", "name", "The name of a login in its database; with its events"),
        valued("request", "id", "The id of a request"),
        valued("in-namespace", "path", "The namespace"),
        valued("kind", "word", "outcome, intent, event; outcome when not given, event too with -subject or internal"),
        valued("from", "time", "From then on: 14:00, 2026-04-10T14:00, or 2h for two hours ago"),
        valued("to", "time", "Before then"),
        valued("date", "date", "The date of -from and -to; without them, that whole day"),
        valued("tz", "zone", "The zone in which times are read and shown, as Europe/Berlin"),
        valued("order", "word", "oldest or newest first"),
        valued("limit", "n", "Entries to show; 100 when not given"),
        valued("page", "n", "Where to begin, as the page before said"),
        switch("stale", "Take what the index has reached after a second, and say how far that is behind"),
        switch("follow", "Go on showing what comes"),
        valued("proof", "file", "Write a proof that the entries stand in the trail; needs sudo"),
    ],
    count: (0, 0),
    run: query,
}];

const HEADING: &[&str] = &[
    "Time",
    "Principal",
    "Address",
    "Dialect",
    "Operation",
    "Path",
    "Version",
    "Result",
    "Rule",
    "Duration",
    "Request",
    "Subject",
    "Event",
];
/// How long to wait before looking for more.
const PAUSE: Duration = Duration::from_secs(1);
/// Questions that whoever follows knows as their own; the entry of one comes with the next page or soon after.
const REMEMBERED: usize = 64;
/// The longest page the server gives.
const PAGE: usize = 1_000;

/// A page as the server gave it.
struct Page {
    entries: Vec<Value>,
    next: Option<u64>,
    end: u64,
    /// What it lacks.
    lacks: Map<String, Value>,
    /// The id of the request that asked for it.
    request: String,
    /// What the server says beside it.
    warnings: Vec<String>,
}

fn query(session: &mut Session) -> Result<Exit, CliError> {
    let filters = filters(session)?;
    let (limit, mut start) = (session.parsed.count("limit", 1)?.unwrap_or(100), session.parsed.count("page", 0)?);
    if session.parsed.text("proof").is_some() {
        return prove(session, &filters, limit, start);
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (mut entries, mut own): (Vec<Value>, Vec<String>) = Default::default();
    let mut lacks = None;
    let end = loop {
        let wanted = (limit - entries.len()).min(PAGE);
        let (page, _) = ask(session, &filters, wanted as u64, start, false)?;
        // Later pages say what the first one does.
        if own.is_empty() {
            session.warn_of(&page.warnings);
        }
        entries.extend(page.entries);
        // Later pages lack what the first one does, or less.
        lacks.get_or_insert(page.lacks);
        own.push(page.request);
        start = page.next;
        if start.is_none() || entries.len() >= limit {
            break page.end;
        }
    };
    let (none, lacks) = (entries.is_empty(), lacks.unwrap_or_default());
    let follows = session.parsed.is_on("follow");
    match session.parsed.is_on("stale") && !follows {
        true => show_with(session, &entries, &lacks)?,
        // What a program follows is one line for each entry, from the first one on.
        false => show(session, &entries, !follows || format::rows(session.settings.format, &[], &[]).is_some())?,
    }
    audit_absent::say(session, &lacks);
    if follows {
        // What did not fit comes first, unless the newest were shown and the rest is older.
        let newest = session.parsed.text("order") == Some("newest");
        return follow(session, &filters, start.filter(|_| !newest).unwrap_or(end), own);
    }
    if let Some(next) = start {
        session.out.say(&format!("There is more: -page={next}"));
    }
    if none {
        session.out.say("No entry that you may see answers this.");
    }
    Ok(if none { Exit::Nothing } else { Exit::Good })
}

fn filters(session: &Session) -> Result<Vec<(&'static str, String)>, CliError> {
    let parsed = &session.parsed;
    check_source(parsed)?;
    let mut filters = Vec::new();
    for (flag, name) in [
        ("path", "path"),
        ("prefix", "prefix"),
        ("principal", "principal"),
        ("operation", "operation"),
        ("outcome", "outcome"),
        ("dialect", "dialect"),
        ("source", "address"),
        ("lease", "lease"),
        ("subject", "subject"),
        ("request", "request"),
        ("in-namespace", "namespace"),
        ("kind", "kind"),
        ("order", "order"),
    ] {
        filters.extend(parsed.text(flag).map(|text| (name, text.to_owned())));
    }
    if parsed.is_on("stale") {
        filters.push(("stale", "true".to_owned()));
    }
    let reference = Reference::new(parsed.text("tz"), parsed.text("date"), jiff::Timestamp::now())?;
    let (from, to) = (parsed.text("from"), parsed.text("to"));
    match (from, to, reference.whole_day()?) {
        (None, None, Some((begin, end))) => filters.extend([("from", begin), ("to", end)]),
        _ => {
            for (name, text) in [("from", from), ("to", to)] {
                filters.extend(text.map(|text| reference.read(name, text).map(|time| (name, time))).transpose()?);
            }
        }
    }
    Ok(filters)
}

/// The server speaks of an address, which is another flag here.
pub(super) fn check_source(parsed: &Parsed) -> Result<(), CliError> {
    let Some(text) = parsed.text("source") else { return Ok(()) };
    match strongroom_core::Cidr::parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(CliError::usage(format!("flag -source is {error}"))),
    }
}

fn ask(
    session: &mut Session,
    filters: &[(&'static str, String)],
    limit: u64,
    start: Option<u64>,
    proof: bool,
) -> Result<(Page, Option<Value>), CliError> {
    let mut request = Request::native("trail/query").query("limit", limit.to_string());
    for (name, text) in filters {
        request = request.query(name, text.as_str());
    }
    if let Some(start) = start {
        request = request.query("start", start.to_string());
    }
    if proof {
        request = request.query("proof", "true");
    }
    let Answered { request, mut data, warnings } = answered(session, &request, "Error asking the trail")?;
    let number = |data: &Map<String, Value>, name: &str| data.get(name).and_then(Value::as_u64);
    let (next, end) = (number(&data, "next"), number(&data, "end").unwrap_or_default());
    let lacks = audit_absent::FIELDS.into_iter().filter_map(|name| data.remove_entry(name)).collect();
    let entries = match data.remove("entries") {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    };
    Ok((Page { entries, next, end, lacks, request, warnings }, data.remove("proof")))
}

/// The data of a native answer.
pub(super) fn data(session: &mut Session, request: &Request, doing: &str) -> Result<Map<String, Value>, CliError> {
    let answered = answered(session, request, doing)?;
    session.warn_of(&answered.warnings);
    Ok(answered.data)
}

/// A native answer.
struct Answered {
    /// The id of the request.
    request: String,
    data: Map<String, Value>,
    warnings: Vec<String>,
}

fn answered(session: &mut Session, request: &Request, doing: &str) -> Result<Answered, CliError> {
    let reply = session.send(request).doing(|| doing.to_owned())?;
    let body: Value = serde_json::from_slice(&reply.body).map_err(|error| {
        CliError::Answer(format!("it is not JSON (line {}, column {})", error.line(), error.column()))
    })?;
    let warnings = format::warnings(&body);
    match body {
        Value::Object(mut fields) => match fields.remove("data") {
            Some(Value::Object(data)) => {
                Ok(Answered { request: fields.get("request").map(go_text).unwrap_or_default(), data, warnings })
            }
            _ => Err(CliError::Answer("it has no data; is this a Strongroom?".to_owned())),
        },
        _ => Err(CliError::Answer("it is no object; is this a Strongroom?".to_owned())),
    }
}

fn show(session: &mut Session, entries: &[Value], heading: bool) -> Result<(), CliError> {
    let chosen = session.settings.format;
    if let Some(field) = session.settings.field.clone() {
        return show_each(session, entries, field);
    }
    let zone = match session.parsed.text("tz") {
        Some(name) => Some(Reference::new(Some(name), None, jiff::Timestamp::now())?),
        None => None,
    };
    let rows: Vec<Vec<String>> = entries.iter().map(|entry| row(entry, zone.as_ref())).collect();
    match format::rows(chosen, HEADING, &rows) {
        Some(_) if rows.is_empty() => {}
        Some(text) if heading => session.out.line(&text),
        Some(text) => {
            let lines = if chosen == Format::Csv { 1 } else { 2 };
            let text = text.lines().skip(lines).collect::<Vec<_>>().join("\n");
            session.out.line(&text);
        }
        None if heading => drop(session.show_value(&Value::Array(entries.to_vec()), String::new)?),
        // Whoever follows reads one entry after the other.
        None => entries.iter().for_each(|entry| session.out.line(&entry.to_string())),
    }
    Ok(())
}

/// The one field of each entry, a line each, which is empty where an entry has no such field.
fn show_each(session: &mut Session, entries: &[Value], field: String) -> Result<(), CliError> {
    let is_absent = entries.iter().all(|entry| entry.get(&field).is_none());
    if is_absent && !entries.is_empty() && !session.parsed.is_on("follow") {
        return Err(CliError::FieldAbsent { field, place: "entries" });
    }
    entries.iter().for_each(|entry| session.field_line(entry.get(&field)));
    Ok(())
}

/// As [`show`]; what programs read has the answer's shortcomings in it.
fn show_with(session: &mut Session, entries: &[Value], lacks: &Map<String, Value>) -> Result<(), CliError> {
    if session.settings.field.is_some() || format::rows(session.settings.format, &[], &[]).is_some() {
        return show(session, entries, true);
    }
    let mut whole = lacks.clone();
    whole.insert("entries".to_owned(), entries.to_vec().into());
    session.show_value(&Value::Object(whole), String::new).map(|_| ())
}

fn row(entry: &Value, zone: Option<&Reference>) -> Vec<String> {
    let text = |name: &str| entry.get(name).map(go_text).unwrap_or_default();
    let micros = entry.get("duration_us").and_then(Value::as_u64).unwrap_or_default();
    let operation = match text("act") {
        act if act.is_empty() => text("operation"),
        act => act,
    };
    let rule = match text("rule") {
        rule if rule.is_empty() => text("reason"),
        rule => rule,
    };
    let who = match text("name") {
        name if name.is_empty() => text("principal"),
        name => name,
    };
    let time = text("time");
    vec![
        zone.map_or_else(|| time.clone(), |zone| zone.shown(&time)),
        who,
        text("address"),
        text("dialect"),
        operation,
        text("path"),
        text("version"),
        text("result"),
        rule,
        format!("{}.{:03} ms", micros / 1_000, micros % 1_000),
        text("request"),
        text("subject"),
        text("note"),
    ]
}

/// Shows what comes, except what `own` questions left in the trail: they would be all there is to see.
fn follow(
    session: &mut Session,
    filters: &[(&'static str, String)],
    from: u64,
    mut own: Vec<String>,
) -> Result<Exit, CliError> {
    let newest = |filter: &&(&'static str, String)| filter.0 != "order";
    let filters: Vec<_> = filters.iter().filter(newest).cloned().collect();
    let mut start = from;
    loop {
        std::thread::sleep(PAUSE);
        let (mut page, _) = ask(session, &filters, PAGE as u64, Some(start), false)?;
        page.entries.retain(|entry| {
            let asked = entry.get("request").and_then(Value::as_str).unwrap_or_default();
            !own.iter().any(|own| own == asked)
        });
        own.drain(..own.len().saturating_sub(REMEMBERED));
        own.push(page.request);
        show(session, &page.entries, false)?;
        start = page.next.unwrap_or(page.end);
    }
}

fn prove(
    session: &mut Session,
    filters: &[(&'static str, String)],
    limit: u64,
    start: Option<u64>,
) -> Result<Exit, CliError> {
    let file = session.parsed.text("proof").unwrap_or_default().to_owned();
    let (page, proof) = ask(session, filters, limit, start, true)?;
    session.warn_of(&page.warnings);
    let Some(proof) = proof else { return Err(CliError::Answer("it carries no proof".to_owned())) };
    let written = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&file);
    let written = written.and_then(|mut to| to.write_all(proof.to_string().as_bytes()));
    written.map_err(|error| CliError::usage(format!("{file} cannot be written: {error}")))?;
    show(session, &page.entries, true)?;
    audit_absent::say(session, &page.lacks);
    session.out.say(&format!(
        "The proof of these {} entries is in {file}; `audit prove-check` checks it.",
        page.entries.len()
    ));
    if let Some(next) = page.next {
        session.out.say(&format!("There is more: -page={next}"));
    }
    Ok(if page.entries.is_empty() { Exit::Nothing } else { Exit::Good })
}
