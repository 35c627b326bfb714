//! Incidents: the list, one of them, its report for people and programs, and taking it back.

use super::audit_query::data;
use super::error::CliError;
use super::format::{self, Format, go_text, human_span};
use super::grammar::{Command, Exit, valued};
use super::request::Request;
use super::session::Session;
use serde_json::{Map, Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "incident list",
        usage: "[flags]",
        about: "List what was cut off, the latest first",
        details: "",
        flags: &[],
        count: (0, 0),
        run: list,
    },
    Command {
        words: "incident show",
        usage: "[flags] ID",
        about: "Show how far an incident is, and what was measured",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let path = format!("incidents/{}", session.parsed.arg(0).trim());
            let found = data(session, &Request::native(path), "Error reading the incident")?;
            session.show_answer(&found, || summary(&found))
        },
    },
    Command {
        words: "incident report",
        usage: "[flags] ID",
        about: "Write the report of an incident: timeline, figures, stragglers",
        details: "\n    $ strongroom incident report -format=markdown ID > incident.md\n\n\
                  Markdown unless -format=json or yaml.",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let path = format!("incidents/{}/report", session.parsed.arg(0).trim());
            let found = data(session, &Request::native(path), "Error reading the incident")?;
            match session.settings.format {
                Format::Table | Format::Markdown => {
                    session.out.line(&markdown(&found));
                    Ok(Exit::Good)
                }
                _ => session.show_value(&Value::Object(found), String::new),
            }
        },
    },
    Command {
        words: "incident lift",
        usage: "[flags] ID",
        about: "Take back what can be: the version, the principal, the block",
        details: "\n    Tokens and leases stay revoked. Needs `update` and `sudo` on sys/incidents/ID/lift.",
        flags: &[valued("reason", "text", "Why")],
        count: (1, 1),
        run: |session| {
            let id = session.parsed.arg(0).trim().to_owned();
            let reason = session.parsed.text("reason").unwrap_or_default().to_owned();
            let body = json!({ "reason": reason });
            let request =
                Request { method: "POST", body: Some(body), ..Request::native(format!("incidents/{id}/lift")) };
            let found = data(session, &request, "Error lifting the incident")?;
            session.show_answer(&found, || summary(&found))
        },
    },
];

fn list(session: &mut Session) -> Result<Exit, CliError> {
    let found = data(session, &Request::native("incidents"), "Error listing incidents")?;
    let incidents = items(found.get("incidents"));
    let rows: Vec<Vec<String>> = incidents
        .iter()
        .map(|one| {
            let text = |pointer: &str| one.pointer(pointer).map(go_text).unwrap_or_default();
            vec![
                text("/id"),
                text("/state"),
                text("/opened"),
                text("/target/kind"),
                text("/name"),
                text("/by/name"),
                text("/reason"),
            ]
        })
        .collect();
    let heading = ["Id", "State", "Opened", "Kind", "Target", "By", "Reason"];
    session.show_listing(&found, "incidents", &heading, &rows, "There are no incidents that you may know of.")?;
    Ok(if rows.is_empty() { Exit::Negative } else { Exit::Good })
}

/// What makes use fail, in words.
pub(super) fn cut_text(found: &Map<String, Value>) -> String {
    let how = found.get("incident").and_then(|incident| incident.pointer("/cut/how")).map(go_text);
    how.unwrap_or_else(|| "not cut off yet".to_owned())
}

/// What could not be done yet, each with what to do next.
pub(super) fn failures(incident: &Value) -> Vec<String> {
    let steps = items(incident.get("steps"));
    let open = steps.iter().filter(|step| step.get("ended").is_none_or(Value::is_null));
    let failures = open.flat_map(|step| items(step.get("failures")));
    let text = |failure: &Value, name: &str| failure.get(name).map(go_text).unwrap_or_default();
    failures.map(|one| format!("{}: {}; {}", text(&one, "what"), text(&one, "why"), text(&one, "next"))).collect()
}

/// An incident and its figures on one screen.
pub(super) fn summary(found: &Map<String, Value>) -> String {
    let incident = found.get("incident").cloned().unwrap_or_default();
    let text =
        |pointer: &str| incident.pointer(pointer).filter(|value| !value.is_null()).map(go_text).unwrap_or_default();
    let mut rows = vec![
        ("Incident".to_owned(), text("/id")),
        ("State".to_owned(), text("/state")),
        ("Target".to_owned(), format!("{} {}", text("/target/kind"), text("/name"))),
        ("Reason".to_owned(), text("/reason")),
        ("Ordered by".to_owned(), format!("{} from {}", text("/by/name"), text("/by/address"))),
        ("Opened".to_owned(), text("/opened")),
        ("Cut".to_owned(), text("/cut/how")),
    ];
    for step in items(incident.get("steps")) {
        let part = |name: &str| step.get(name).filter(|value| !value.is_null()).map(go_text).unwrap_or_default();
        let state = if part("ended").is_empty() { "so far" } else { "done" };
        rows.push((part("what"), format!("{} of {} {state}", part("done"), part("total"))));
    }
    if let Some(figures) = found.get("figures") {
        rows.extend(figure_rows(figures));
    }
    let restored = items(incident.pointer("/lifted/restored"));
    if !restored.is_empty() {
        rows.push(("Given back".to_owned(), restored.iter().map(go_text).collect::<Vec<_>>().join(", ")));
    }
    let mut parts: Vec<String> = format::key_values(rows).into_iter().collect();
    let consumers = found.get("figures").map(consumer_rows).unwrap_or_default();
    if !consumers.is_empty() {
        parts.push(format::table(CONSUMERS, &consumers));
    }
    parts.extend(failures(&incident));
    let steps = items(incident.get("steps"));
    parts.extend(steps.iter().flat_map(|step| items(step.get("beyond"))).map(|beyond| go_text(&beyond)));
    parts.extend(items(incident.pointer("/lifted/lost")).iter().map(go_text));
    parts.join("\n\n")
}

const CONSUMERS: &[&str] = &["Consumer", "Path", "Reads", "Last accepted", "After the order", "Last refused", "State"];

fn figure_rows(figures: &Value) -> Vec<(String, String)> {
    let span = |name: &str| figures.get(name).and_then(Value::as_u64).map(micros);
    let count = |name: &str| figures.get(name).map(go_text).unwrap_or_default();
    let mut rows = Vec::new();
    let names = [
        ("cut_us", "Cut after"),
        ("refusal_in_force_us", "Refusal in force after"),
        ("last_accepted_us", "Last accepted use after"),
        ("finished_us", "Nothing left after"),
    ];
    rows.extend(names.iter().filter_map(|(name, title)| Some(((*title).to_owned(), span(name)?))));
    let is_counted = figures.get("accepted_after").is_some_and(Value::is_u64);
    let unknown = unknown(figures);
    let is_lost = figures.pointer("/unknown/uses") == Some(&Value::Bool(true));
    let uses = match (&unknown, is_counted) {
        (Some(unknown), false) if is_lost => unknown.clone(),
        (_, false) => "not counted: the trail does not name them".to_owned(),
        (_, true) if figures.get("more") == Some(&Value::Bool(true)) => {
            format!("at least {} accepted, {} refused", count("accepted_after"), count("refused_after"))
        }
        (_, true) => format!("{} accepted, {} refused", count("accepted_after"), count("refused_after")),
    };
    rows.push(("Uses after the order".to_owned(), uses));
    if let (Some(unknown), false) = (unknown, is_lost) {
        rows.push(("Who used it before, and not since".to_owned(), unknown));
    }
    rows
}

/// What the figures say cannot be told.
fn unknown(figures: &Value) -> Option<String> {
    figures.pointer("/unknown/text").map(go_text)
}

fn consumer_rows(figures: &Value) -> Vec<Vec<String>> {
    let row = |one: &Value| {
        let text = |name: &str| one.get(name).filter(|value| !value.is_null()).map(go_text).unwrap_or_default();
        let after = one.get("last_accepted_us").and_then(Value::as_u64).filter(|us| *us > 0).map(micros);
        vec![
            text("principal"),
            text("path"),
            text("habit"),
            text("last_accepted"),
            after.unwrap_or_else(|| "none".to_owned()),
            text("refused"),
            text("state"),
        ]
    };
    items(figures.get("consumers")).iter().map(row).collect()
}

/// The report for people.
fn markdown(found: &Map<String, Value>) -> String {
    let incident = found.get("incident").cloned().unwrap_or_default();
    let text =
        |pointer: &str| incident.pointer(pointer).filter(|value| !value.is_null()).map(go_text).unwrap_or_default();
    let mut parts = vec![format!("# Incident {}", text("/id"))];
    let mut rows = vec![
        vec!["Target".to_owned(), format!("{} `{}`", text("/target/kind"), text("/name"))],
        vec!["State".to_owned(), text("/state")],
        vec!["Reason".to_owned(), text("/reason")],
        vec!["Ordered by".to_owned(), format!("{} from {}", text("/by/name"), text("/by/address"))],
        vec!["Opened".to_owned(), text("/opened")],
        vec!["Finished".to_owned(), text("/finished")],
        vec!["Lifted".to_owned(), text("/lifted/at")],
        vec!["Cut".to_owned(), text("/cut/how")],
    ];
    let figures = found.get("figures").cloned().unwrap_or_default();
    rows.extend(figure_rows(&figures).into_iter().map(|(name, value)| vec![name, value]));
    let write = |heading: &[&str], rows: &[Vec<String>]| format::rows(Format::Markdown, heading, rows);
    parts.extend(write(&["What", "Value"], &rows));
    let consumers = consumer_rows(&figures);
    if !consumers.is_empty() {
        parts.push("## Consumers".to_owned());
        parts.extend(write(CONSUMERS, &consumers));
    }
    parts.push("## Stragglers".to_owned());
    let stragglers = items(found.get("stragglers"));
    match stragglers.is_empty() {
        true => parts.push("None.".to_owned()),
        false => parts.push(stragglers.iter().map(|one| format!("- {}", go_text(one))).collect::<Vec<_>>().join("\n")),
    }
    parts.push("## Timeline".to_owned());
    let timeline = items(found.get("timeline"));
    let rows: Vec<Vec<String>> = timeline.iter().map(timeline_row).collect();
    parts.extend(write(&["Time", "What", "Who", "From", "Path", "Result"], &rows));
    if found.get("timeline_more") == Some(&Value::Bool(true)) {
        parts.push(
            "There were more uses before the first or after the last one here: `audit query` has them.".to_owned(),
        );
    }
    parts.extend(unknown(&figures).map(|text| format!("Not all of it: {text}.")));
    parts.join("\n\n")
}

fn timeline_row(row: &Value) -> Vec<String> {
    let text = |name: &str| row.get(name).filter(|value| !value.is_null()).map(go_text).unwrap_or_default();
    let what = match text("note") {
        note if note.is_empty() => text("operation"),
        note => note,
    };
    let who = match text("name") {
        name if name.is_empty() => text("principal"),
        name => name,
    };
    vec![text("time"), what, who, text("address"), text("path"), text("result")]
}

pub(super) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        1_000_000..60_000_000 => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        _ => human_span(us / 1_000_000),
    }
}

fn items(value: Option<&Value>) -> Vec<Value> {
    value.and_then(Value::as_array).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `0 accepted` and `None.` stood there of an incident whose entries were archived.
    #[test]
    fn what_is_not_known_is_never_written_as_none() {
        let figures = json!({
            "accepted_after": null, "refused_after": null, "last_accepted_us": null, "consumers": [],
            "unknown": {"uses": true, "up_to": "2026-04-10T14:00:00Z", "text": "unknown: archived up to 2026-04-10T14:00:00Z"},
        });
        let found = json!({
            "incident": {"id": "x", "target": {"kind": "secret"}, "steps": []}, "figures": figures,
            "stragglers": ["who used it since the order: unknown: archived up to 2026-04-10T14:00:00Z"], "timeline": [],
        });
        let found = found.as_object().unwrap();
        for text in [summary(found), markdown(found)] {
            assert!(text.contains("unknown: archived up to 2026-04-10T14:00:00Z"), "{text}");
            assert!(!text.contains("0 accepted") && !text.contains("None."), "{text}");
        }
        // Leases and auth mounts: the trail does not name their uses, and nobody claims that there were none.
        let rows = figure_rows(&json!({"accepted_after": null, "refused_after": null}));
        assert!(rows.iter().any(|(name, value)| name == "Uses after the order" && value.starts_with("not counted")));
        let rows = figure_rows(&json!({"accepted_after": 2, "refused_after": 3, "more": true}));
        assert!(rows.iter().any(|(_, value)| value == "at least 2 accepted, 3 refused"), "{rows:?}");
    }
}
