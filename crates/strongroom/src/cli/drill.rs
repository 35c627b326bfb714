//! `drill`: rehearses a revocation on canaries, and shows how fast it was, how that went over time, and what is planned.

use super::audit_absent;
use super::audit_query::data;
use super::error::{CliError, Doing};
use super::format::{self, go_text, human_span};
use super::grammar::{Command, Exit, switch, valued};
use super::incident::micros;
use super::kv::Place;
use super::path::trimmed;
use super::request::{Need, Request};
use super::session::Session;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "drill",
        usage: "[flags] PATH",
        about: "Rehearse cutting off a secret or a role on canaries, and measure how fast it is",
        details: "\n    $ strongroom drill secret/prod/db\n    $ strongroom drill database/creds/app\n\n\
                  Makes canaries of the same kind beside it, uses them as their users do, cuts them off\n\
                  as an emergency does, and tells how long they were still let in. They are taken away\n\
                  again, also after a crash. Nothing of yours is touched, unless -rotate asks for a real\n\
                  rotation of the secret. Needs `update` on sys/drills/run, and to be able to read PATH.\n\
                  Ends with 2 when the drill failed.",
        flags: &[
            valued("credentials", "words", "secret-version, token, principal, access-key, login; by commas"),
            valued("rounds", "n", "How often each is tried; 3 when not given"),
            switch("rotate", "Rotate the secret itself too, for good, and measure that"),
            switch("dry-run", "Show what it would make and change, and do nothing"),
            switch("yes", "Do not ask before a rotation"),
        ],
        count: (1, 1),
        run: drill,
    },
    Command {
        words: "drill history",
        usage: "[flags] PATH",
        about: "Show the drills of a secret or role, and how the figures went",
        details: "",
        flags: &[],
        count: (1, 1),
        run: history,
    },
    Command {
        words: "drill table",
        usage: "[flags] [PATH]",
        about: "Show how fast things can be cut off, by credential type and reading pattern",
        details: "\n    $ strongroom drill table -format=markdown >> decisions/revocation.md\n\n\
                  Denied is measured. When a consumer meets that is derived from how it reads, or unknown.\n\
                  Ends with 2 when there is nothing to show.",
        flags: &[],
        count: (0, 1),
        run: table,
    },
    Command {
        words: "drill schedule",
        usage: "[flags] PATH SCHEDULE",
        about: "Plan drills of a secret or role",
        details: "\n    $ strongroom drill schedule secret/prod/db 'rate(7 days)'\n\n\
                  rate(N days), rate(N hours) or cron(0 8 ? * MON *), in UTC. Never rotates.",
        flags: &[
            valued("credentials", "words", "secret-version, token, principal, access-key, login; by commas"),
            valued("rounds", "n", "How often each is tried; 3 when not given"),
            valued("window", "hours", "Hours in which it may begin, such as 3h"),
        ],
        count: (2, 2),
        run: schedule,
    },
    Command {
        words: "drill schedules",
        usage: "[flags]",
        about: "List what is planned, and what is overdue",
        details: "\n    Ends with 2 when something is overdue.",
        flags: &[],
        count: (0, 0),
        run: schedules,
    },
    Command {
        words: "drill unschedule",
        usage: "[flags] PATH",
        about: "End the planned drills of a secret or role; its history stays",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| end(session, false),
    },
    Command {
        words: "drill forget",
        usage: "[flags] PATH",
        about: "End the planned drills of a secret or role, and forget those that were",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| end(session, true),
    },
    Command {
        words: "drill max-age",
        usage: "[flags] [DURATION]",
        about: "Show or say how old the last drill of a target may be before that is told",
        details: "\n    $ strongroom drill max-age 720h\n\n    0: any age.",
        flags: &[],
        count: (0, 1),
        run: max_age,
    },
];

/// How often a drill that takes long is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// And for how long.
const FOLLOW: Duration = Duration::from_secs(600);

fn drill(session: &mut Session) -> Result<Exit, CliError> {
    let body = order(session)?;
    let rotates = session.parsed.is_on("rotate");
    if session.wants_policy() {
        let needs = needs(session, rotates)?;
        return Err(session.print_needs(&needs));
    }
    if rotates || session.parsed.is_on("dry-run") {
        let preview = data(session, &post("drills/preview", body.clone()), "Error asking what a drill would do")?;
        if session.parsed.is_on("dry-run") {
            return session.show_value(&Value::Object(preview.clone()), || preview_text(&preview));
        }
        session.out.say(&preview_text(&preview));
        let path = preview.get("path").map(go_text).unwrap_or_default();
        if !session.parsed.is_on("yes") {
            let question = format!("Type {path} to have it rotated");
            if session.input.line(&question, "give -yes to do it without being asked")? != path {
                return Err(CliError::usage("that is not the path; nothing was done"));
            }
        }
    }
    let done = data(session, &post("drills/run", body), "Error drilling")?;
    let done = follow(session, done.get("drill").cloned().unwrap_or_default())?;
    let state = text_of(&done, "state");
    session.show_value(&done, || drill_text(&done))?;
    Ok(if state == "done" { Exit::Good } else { Exit::Negative })
}

/// What looking at it, ordering it and following it need, and on the target what the canary is to do there.
fn needs(session: &mut Session, rotates: bool) -> Result<Vec<Need>, CliError> {
    let is_dry = session.parsed.is_on("dry-run");
    let target = Place::find(session)?.data();
    let mut needs = vec![Need::at(target, if rotates { &["read", "update"] } else { &["read"] })];
    if rotates || is_dry {
        needs.push(Need::at("sys/drills/preview", &["update"]));
    }
    if !is_dry {
        needs.extend([Need::at("sys/drills/run", &["update"]), Need::at("sys/drills/history", &["read"])]);
    }
    Ok(needs)
}

/// Waits for one that takes longer than its request.
fn follow(session: &mut Session, mut drill: Value) -> Result<Value, CliError> {
    let (id, begun) = (text_of(&drill, "id"), Instant::now());
    while matches!(text_of(&drill, "state").as_str(), "running" | "clearing") && begun.elapsed() < FOLLOW {
        std::thread::sleep(LOOK);
        let request = Request::native("drills/history").query("path", trimmed(session.parsed.arg(0)));
        let found = data(session, &request, "Error looking at the drill")?;
        let mut known = items(found.get("drills"));
        known.extend(found.get("running").cloned());
        if let Some(now) = known.into_iter().find(|one| text_of(one, "id") == id) {
            drill = now;
        }
        let stuck = text_of(&drill, "stuck");
        if !stuck.is_empty() {
            session
                .out
                .say(&format!("Not all canaries are taken away yet: {stuck}. It is tried again until it works."));
            break;
        }
    }
    Ok(drill)
}

fn order(session: &Session) -> Result<Map<String, Value>, CliError> {
    let mut body = Map::new();
    body.insert("path".to_owned(), json!(trimmed(session.parsed.arg(0))));
    if let Some(words) = session.parsed.text("credentials") {
        body.insert("credentials".to_owned(), json!(words));
    }
    if let Some(rounds) = session.parsed.text("rounds") {
        let rounds: u64 = rounds.parse().map_err(|_| CliError::usage("-rounds takes a number"))?;
        body.insert("rounds".to_owned(), json!(rounds));
    }
    if session.parsed.is_on("rotate") {
        body.insert("rotate".to_owned(), json!(true));
    }
    Ok(body)
}

fn preview_text(preview: &Map<String, Value>) -> String {
    let list = |name: &str| items(preview.get(name)).iter().map(go_text).collect::<Vec<_>>();
    let mut rows = vec![
        ("Path".to_owned(), preview.get("path").map(go_text).unwrap_or_default()),
        ("Tries".to_owned(), list("credentials").join(", ")),
        ("Rounds".to_owned(), preview.get("rounds").map(go_text).unwrap_or_default()),
    ];
    rows.extend(list("makes").into_iter().map(|line| ("Makes, and takes away".to_owned(), line)));
    match list("changes") {
        changes if changes.is_empty() => rows.push(("Changes".to_owned(), "nothing of yours".to_owned())),
        changes => rows.extend(changes.into_iter().map(|line| ("Changes".to_owned(), line))),
    }
    format::key_values(rows).unwrap_or_default()
}

const TRIALS: &[&str] =
    &["Credential", "Acknowledged", "Denied", "After the acknowledgement", "Let in after it", "Uses", "Hindered"];

fn drill_text(drill: &Value) -> String {
    let mut rows = vec![
        ("Drill".to_owned(), text_of(drill, "id")),
        ("Path".to_owned(), text_of(drill, "path")),
        ("State".to_owned(), text_of(drill, "state")),
    ];
    if let Some(why) = drill.pointer("/verdict/why") {
        rows.push(("Why".to_owned(), go_text(why)));
    }
    if let Some(rotation) = drill.get("rotation").filter(|rotation| !rotation.is_null()) {
        let took = span(rotation, "in_force_us");
        rows.push(("Rotated".to_owned(), format!("version {} in force after {took}", text_of(rotation, "version"))));
    }
    let trials: Vec<Vec<String>> = items(drill.get("trials"))
        .iter()
        .map(|one| {
            let denied = match span(one, "denied_us") {
                some if !some.is_empty() => some,
                _ if one.get("silent") == Some(&Value::Bool(true)) => "unknown: no answer".to_owned(),
                _ => "never".to_owned(),
            };
            vec![
                text_of(one, "credential"),
                span(one, "acknowledged_us"),
                denied,
                span(one, "after_acknowledgement_us"),
                text_of(one, "accepted_after"),
                text_of(one, "uses"),
                text_of(one, "hindered"),
            ]
        })
        .collect();
    let mut parts: Vec<String> = format::key_values(rows).into_iter().collect();
    if !trials.is_empty() {
        parts.push(format::table(TRIALS, &trials));
    }
    parts.join("\n\n")
}

fn history(session: &mut Session) -> Result<Exit, CliError> {
    let request = Request::native("drills/history").query("path", trimmed(session.parsed.arg(0)));
    let found = data(session, &request, "Error asking for the history")?;
    session.show_answer(&found, || history_text(&found))
}

fn history_text(found: &Map<String, Value>) -> String {
    let mut parts = Vec::new();
    let mut drills = items(found.get("drills"));
    drills.splice(0..0, found.get("running").filter(|running| !running.is_null()).cloned());
    let rows: Vec<Vec<String>> = drills
        .iter()
        .map(|one| {
            let why = one.get("stuck").or_else(|| one.pointer("/verdict/why")).map(go_text).unwrap_or_default();
            let trials = items(one.get("trials")).len().to_string();
            vec![text_of(one, "begun"), text_of(one, "trigger"), text_of(one, "state"), trials, why]
        })
        .collect();
    parts.push(format::table(&["Begun", "By", "State", "Trials", "Why"], &rows));
    let rows: Vec<Vec<String>> = items(found.get("trends"))
        .iter()
        .map(|trend| {
            let medians = items(trend.get("medians_us"));
            let medians: Vec<String> = medians.iter().filter_map(|pair| pair.get(1)?.as_u64()).map(micros).collect();
            let factor = trend.get("last_against_before").and_then(Value::as_f64);
            let factor = factor.map_or_else(String::new, |factor| format!("{factor:.2}"));
            vec![text_of(trend, "credential"), medians.join(", "), factor]
        })
        .collect();
    if !rows.is_empty() {
        parts.push(format::table(&["Credential", "Denied, median, oldest first", "Last against before"], &rows));
    }
    let rows: Vec<Vec<String>> = items(found.get("fetched"))
        .iter()
        .map(|one| {
            vec![text_of(one, "principal"), text_of(one, "pattern"), text_of(one, "state"), span(one, "after_us")]
        })
        .collect();
    if !rows.is_empty() {
        parts.push(format::table(&["Consumer", "Reads", "After the rotation", "After"], &rows));
    }
    parts.join("\n\n")
}

const TABLE: &[&str] = &[
    "Path",
    "Credential",
    "Consumers",
    "Reading pattern",
    "Denied p50",
    "Denied p99",
    "Denied last",
    "Measured",
    "A consumer meets that",
    "Which is",
    "Last drill",
    "State",
];

fn table(session: &mut Session) -> Result<Exit, CliError> {
    let mut request = Request::native("drills/table");
    if !session.parsed.args().is_empty() {
        request = request.query("path", trimmed(session.parsed.arg(0)));
    }
    let found = data(session, &request, "Error asking for the table")?;
    let rows: Vec<Vec<String>> = items(found.get("rows")).iter().map(row).collect();
    audit_absent::say(session, &found);
    session.show_listing(&found, "rows", TABLE, &rows, "There are no drills that you may know of.")?;
    Ok(if rows.is_empty() { Exit::Negative } else { Exit::Good })
}

fn row(one: &Value) -> Vec<String> {
    let learns = one.get("learns").cloned().unwrap_or_default();
    let within = span(&learns, "within_us");
    let meets = match within.is_empty() {
        true => text_of(&learns, "text"),
        false => format!("within {within}: {}", text_of(&learns, "text")),
    };
    let late = one.get("overdue").and_then(Value::as_bool).unwrap_or_default();
    let state = text_of(one, "last_state");
    vec![
        text_of(one, "path"),
        text_of(one, "credential"),
        text_of(one, "consumers"),
        text_of(one, "pattern"),
        span(one, "denied_p50_us"),
        span(one, "denied_p99_us"),
        span(one, "denied_last_us"),
        format!("{} times", text_of(one, "samples")),
        meets,
        text_of(&learns, "basis"),
        text_of(one, "last_drill"),
        if late { format!("{state}, overdue") } else { state },
    ]
}

fn schedule(session: &mut Session) -> Result<Exit, CliError> {
    let mut body = order(session)?;
    body.insert("schedule".to_owned(), json!(session.parsed.arg(1)));
    if let Some(window) = session.parsed.text("window") {
        body.insert("window".to_owned(), json!(window));
    }
    let found = data(session, &post("drills/schedules", body), "Error planning drills")?;
    show_planned(session, &found)?;
    Ok(Exit::Good)
}

fn schedules(session: &mut Session) -> Result<Exit, CliError> {
    let found = data(session, &Request::native("drills/schedules"), "Error asking what is planned")?;
    let late = items(found.get("schedules")).iter().any(|one| one.get("overdue") == Some(&json!(true)));
    show_planned(session, &found)?;
    Ok(if late { Exit::Negative } else { Exit::Good })
}

fn show_planned(session: &mut Session, found: &Map<String, Value>) -> Result<(), CliError> {
    let rows: Vec<Vec<String>> = items(found.get("schedules"))
        .iter()
        .map(|one| {
            let words = items(one.get("credentials")).iter().map(go_text).collect::<Vec<_>>().join(" ");
            let late = if one.get("overdue") == Some(&json!(true)) { "overdue" } else { "in time" };
            let text = |name: &str| text_of(one, name);
            vec![text("path"), text("schedule"), words, text("next"), text("last"), late.to_owned()]
        })
        .collect();
    let heading = ["Path", "Schedule", "Tries", "Next", "Last", "State"];
    session.show_listing(found, "schedules", &heading, &rows, "Nothing is planned that you may know of.")
}

fn end(session: &mut Session, forget: bool) -> Result<Exit, CliError> {
    let request = Request { method: "DELETE", ..Request::native("drills/schedules") };
    let mut request = request.query("path", trimmed(session.parsed.arg(0)));
    if forget {
        request = request.query("forget", "true");
    }
    session.send(&request).doing(|| "Error ending planned drills".to_owned())?;
    session.success(if forget { "Success! Its drills are forgotten." } else { "Success! No drill of it is planned." });
    Ok(Exit::Good)
}

fn max_age(session: &mut Session) -> Result<Exit, CliError> {
    let request = match session.parsed.args().first() {
        Some(age) => post("drills/settings", Map::from_iter([("max_age".to_owned(), json!(age))])),
        None => Request::native("drills/settings"),
    };
    let found = data(session, &request, "Error with the settings of drills")?;
    let age = found.get("max_age_seconds").and_then(Value::as_u64);
    let text = age.map_or_else(|| "any age".to_owned(), human_span);
    session.show_answer(&found, || format!("The last drill of a target may be this old: {text}"))
}

fn post(path: &str, body: Map<String, Value>) -> Request {
    Request { method: "POST", body: Some(Value::Object(body)), ..Request::native(path) }
}

fn text_of(one: &Value, name: &str) -> String {
    one.get(name).filter(|value| !value.is_null()).map(go_text).unwrap_or_default()
}

fn span(one: &Value, name: &str) -> String {
    one.get(name).and_then(Value::as_u64).map(micros).unwrap_or_default()
}

fn items(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}
