//! `rotate`: how and when a secret rotates, and where a rotation under way is.

use super::audit_query::data;
use super::error::CliError;
use super::format::{go_text, table};
use super::grammar::{Command, Exit, switch, valued};
use super::kv::Place;
use super::path::trimmed;
use super::request::{Need, Request};
use super::session::Session;
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "rotate start",
        usage: "[flags] PATH",
        about: "Rotate a secret now, and follow its phases",
        details: "\n    $ strongroom rotate start secret/prod/db\n\n\
                  Needs `update` on the secret. The plan is what `rotate schedule` said. Ends with 2\n\
                  when the rotation was rolled back; the former value is in force then. With `-leaked`\n\
                  a former login that would have stayed good for a while is shut out or dropped.",
        flags: &[
            switch("detach", "Do not wait for the end"),
            switch("leaked", "Others know the value in force: make it worthless at once, whoever still uses it"),
            valued("reason", "text", "Why; kept in the history and in the trail"),
        ],
        count: (1, 1),
        run: start,
    },
    Command {
        words: "rotate status",
        usage: "[flags] PATH",
        about: "Show how a secret rotates, where a rotation is, and what holds it up",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let found = ask(session, &Request::native(path("status", session)), "Error asking for the rotation")?;
            show(session, &found)
        },
    },
    Command {
        words: "rotate schedule",
        usage: "[flags] PATH",
        about: "Say how and when a secret rotates",
        details: "\n    $ strongroom rotate schedule -method=postgres-alternating -admin=prod/db-admin \\\n\
                  \x20       -every='rate(30 days)' secret/prod/db\n\n\
                  What is not given stays. Nothing rotates by this before its time.",
        flags: &[
            valued("method", "name", "The way to rotate; without one the secret's field engine decides"),
            valued("admin", "path", "The secret, in the same mount, with a login that may change others"),
            valued("every", "schedule", "rate(N days), rate(N hours) or cron(0 8 1 * ? *), in UTC; empty: on demand"),
            valued("window", "hours", "Hours in which it may begin, such as 3h"),
            switch("when-disabled", "Rotate also when somebody who read the value in force is cut off"),
            valued("option", "name=value", "What the way to rotate is told; may be given several times"),
        ],
        count: (1, 1),
        run: schedule,
    },
    Command {
        words: "rotate cancel",
        usage: "[flags] PATH",
        about: "End a secret's schedule, and a rotation under way",
        details: "\nA rotation whose new value is not in force yet is rolled back. One whose rolling back\n\
                  fails ends as it stands: the outside system may have either value then, and both are\n\
                  kept. One whose new value is in force ends with that, and what only the former value\n\
                  needed stays for now; where others know that, it goes on, and this ends with 2.",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let request = post(path("cancel", session), Map::new());
            let found = ask(session, &request, "Error cancelling the rotation")?;
            let exit = show(session, &found)?;
            let result = found.get("cancelled").and_then(|said| said.get("result")).and_then(Value::as_str);
            let is_late = matches!(result, Some("too-late" | "known"));
            Ok(if is_late { Exit::Negative } else { exit })
        },
    },
    Command {
        words: "rotate history",
        usage: "[flags] PATH",
        about: "List the rotations of a secret that ended",
        details: "",
        flags: &[],
        count: (1, 1),
        run: history,
    },
];

/// How often a rotation that is followed is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How long one is followed while it waits for something outside.
const FOLLOW: Duration = Duration::from_secs(300);

fn start(session: &mut Session) -> Result<Exit, CliError> {
    let mut body = Map::new();
    if session.parsed.is_on("leaked") {
        body.insert("leaked".to_owned(), Value::Bool(true));
    }
    if let Some(reason) = session.parsed.text("reason") {
        body.insert("reason".to_owned(), Value::String(reason.to_owned()));
    }
    let follows = !session.parsed.is_on("detach");
    if session.wants_policy() && follows {
        let place = Place::find(session)?;
        let looking = Need::at(place.under("metadata"), &["read"]);
        return Err(session.print_needs(&[Need::at(place.data(), &["update"]), looking]));
    }
    let request = post(path("start", session), body);
    let mut found = ask(session, &request, "Error starting the rotation")?;
    let Some(wanted) = found.get("running").and_then(|running| running.get("version_id")).cloned() else {
        return show(session, &found);
    };
    if !follows {
        return show(session, &found);
    }
    let (begun, mut said) = (Instant::now(), String::new());
    while running(&found).is_some_and(|now| now.get("version_id") == Some(&wanted)) && begun.elapsed() < FOLLOW {
        let line = running(&found).map(progress).unwrap_or_default();
        if line != said {
            session.out.say(&line);
            said = line;
        }
        std::thread::sleep(LOOK);
        found = ask(session, &Request::native(path("status", session)), "Error asking for the rotation")?;
    }
    let exit = show(session, &found)?;
    let rolled_back = running(&found).is_none() && before(&found, "result") == "rolled-back";
    Ok(if rolled_back { Exit::Negative } else { exit })
}

fn schedule(session: &mut Session) -> Result<Exit, CliError> {
    let mut body = Map::new();
    for (flag, field) in [("method", "method"), ("admin", "admin"), ("every", "schedule"), ("window", "window")] {
        if let Some(text) = session.parsed.text(flag) {
            body.insert(field.to_owned(), Value::String(text.to_owned()));
        }
    }
    if let Some(on) = session.parsed.switch("when-disabled") {
        body.insert("when_disabled".to_owned(), Value::Bool(on));
    }
    let mut options = Map::new();
    for pair in session.parsed.each("option").to_vec() {
        let (name, value) = pair.split_once('=').ok_or_else(|| CliError::usage("-option takes name=value"))?;
        match options.get_mut(name) {
            // The same name again makes a list, as for statements.
            Some(Value::Array(list)) => list.push(Value::String(value.to_owned())),
            Some(other) => *other = Value::Array(vec![other.take(), Value::String(value.to_owned())]),
            None => drop(options.insert(name.to_owned(), Value::String(value.to_owned()))),
        }
    }
    if !options.is_empty() {
        body.insert("options".to_owned(), Value::Object(options));
    }
    let found = ask(session, &post(path("schedule", session), body), "Error writing the plan")?;
    show(session, &found)
}

fn history(session: &mut Session) -> Result<Exit, CliError> {
    let found = ask(session, &Request::native(path("history", session)), "Error asking for the history")?;
    let past = found.get("rotations").cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = past
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| {
            let text = |pointer: &str| one.pointer(pointer).map(go_text).unwrap_or_default();
            let why = [text("/outcome/phase"), text("/outcome/why")].join(" ");
            vec![text("/begun"), text("/trigger"), text("/outcome/result"), phases(one), why.trim().to_owned()]
        })
        .collect();
    let heading = ["Begun", "By", "Outcome", "Phases", "Why"];
    session
        .show_value(&past, || if rows.is_empty() { "It was never rotated.".to_owned() } else { table(&heading, &rows) })
}

fn show(session: &mut Session, found: &Map<String, Value>) -> Result<Exit, CliError> {
    let whole = Value::Object(found.clone());
    let text = |pointer: &str| whole.pointer(pointer).filter(|value| !value.is_null()).map(go_text).unwrap_or_default();
    let mut rows = vec![
        ("Secret", text("/path")),
        ("Method", text("/plan/method")),
        (
            "Schedule",
            if text("/plan/schedule/text").is_empty() { "on demand".to_owned() } else { text("/plan/schedule/text") },
        ),
        ("By itself", text("/enabled")),
        ("Last", text("/last")),
        ("Next", text("/next")),
    ];
    rows.push(("Cancelled", text("/cancelled/text")));
    match running(found) {
        Some(now) => {
            rows.push(("Under way", progress(now)));
            rows.push(("Since", text("/running/since")));
            rows.push(("Held up by", text("/running/error")));
            rows.push(("Goes on", text("/running/next_try")));
            rows.push(("What to do", text("/running/advice")));
        }
        None => {
            rows.push(("Before", text("/before/outcome/result")));
            rows.push(("Failed while", text("/before/outcome/phase")));
            rows.push(("Why", text("/before/outcome/why")));
            rows.push(("Left", text("/before/left")));
            rows.push(("What to do", text("/advice")));
        }
    }
    let rows: Vec<Vec<String>> =
        rows.into_iter().filter(|row| !row.1.is_empty()).map(|row| vec![row.0.to_owned(), row.1]).collect();
    session.show_value(&whole, || table(&["Rotation", "Value"], &rows))
}

/// `creating 3 ms, setting 8 ms, testing ...`
fn progress(now: &Value) -> String {
    let phase = now.get("phase").map(go_text).unwrap_or_default();
    let done = phases(now);
    if done.is_empty() { format!("{phase} ...") } else { format!("{done}, {phase} ...") }
}

fn phases(one: &Value) -> String {
    let list = one.get("phases").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let each = list.iter().map(|pair| {
        let part = |at: usize| pair.get(at).map(go_text).unwrap_or_default();
        format!("{} {} ms", part(0), part(1))
    });
    each.collect::<Vec<_>>().join(", ")
}

fn running(found: &Map<String, Value>) -> Option<&Value> {
    found.get("running").filter(|running| !running.is_null())
}

fn before(found: &Map<String, Value>, field: &str) -> String {
    let outcome = found.get("before").and_then(|before| before.get("outcome"));
    outcome.and_then(|outcome| outcome.get(field)).map(go_text).unwrap_or_default()
}

fn path(verb: &str, session: &Session) -> String {
    format!("rotation/{verb}/{}", trimmed(session.parsed.arg(0)))
}

fn post(path: String, body: Map<String, Value>) -> Request {
    Request { method: "POST", body: Some(Value::Object(body)), ..Request::native(path) }
}

fn ask(session: &mut Session, request: &Request, doing: &'static str) -> Result<Map<String, Value>, CliError> {
    data(session, request, doing)
}
