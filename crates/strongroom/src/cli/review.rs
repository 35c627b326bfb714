//! `review`: the periodic review of access.

use super::audit_query::data;
use super::error::CliError;
use super::format::{self, Format, go_text};
use super::grammar::{Command, Exit, valued};
use super::moment::Reference;
use super::request::Request;
use super::session::Session;
use serde_json::{Map, Value};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "review",
    usage: "[flags]",
    about: "Review access: secrets nobody reads, rules and rights nobody uses",
    details: "\n    $ strongroom review -since=2160h -format=markdown > review.md\n\n\
              Needs `read` on sys/trail/review; rules and principals need `sudo` there too.",
    flags: &[
        valued("since", "time", "Reads before then count as none: 2026-01-01, or 2160h for ninety days ago"),
        valued("tz", "zone", "The zone in which -since is read"),
    ],
    count: (0, 0),
    run: review,
}];

fn review(session: &mut Session) -> Result<Exit, CliError> {
    let mut request = Request::native("trail/review");
    let reference = Reference::new(session.parsed.text("tz"), None, jiff::Timestamp::now())?;
    if let Some(text) = session.parsed.text("since") {
        request = request.query("since", reference.read("since", text)?);
    }
    let found = data(session, &request, "Error reviewing access")?;
    let chosen = session.settings.format;
    match chosen {
        Format::Table | Format::Markdown | Format::Csv => {
            let text = page(&found, chosen);
            session.out.line(&text);
        }
        _ => drop(session.show_value(&Value::Object(found), String::new)?),
    }
    Ok(Exit::Good)
}

fn page(found: &Map<String, Value>, chosen: Format) -> String {
    let text = |name: &str| found.get(name).map(go_text).unwrap_or_default();
    let title = |text: &str| if chosen == Format::Markdown { format!("## {text}") } else { text.to_owned() };
    let mut parts = Vec::new();
    let since = match text("since") {
        since if since.is_empty() => String::new(),
        since => format!(", reads before {since} left out of account"),
    };
    let top = if chosen == Format::Markdown { "# " } else { "" };
    parts.push(format!("{top}Review of access at {}", text("time")));
    parts.push(format!("{} secrets and {} principals{since}.", text("secrets"), text("principals")));
    for (name, heading, columns, fields) in [
        ("unused_secrets", "Secrets that nobody read", &["Path", "Last read"][..], &["path", "last_read"][..]),
        (
            "unused_rules",
            "Rules that let nobody through",
            &["Policy", "Line", "Pattern"],
            &["policy", "line", "pattern"],
        ),
        ("unused_access", "Rights that were not used", &["Principal", "Path"], &["principal", "paths"]),
    ] {
        let rows = rows(found.get(name), fields);
        parts.push(title(&format!("{heading}: {}", rows.len())));
        parts.extend(format::rows(chosen, columns, &rows).filter(|_| !rows.is_empty()));
    }
    let limits = found.get("limits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    parts.extend(limits.iter().map(|limit| format!("Note: {}.", go_text(limit))));
    parts.join("\n\n")
}

/// One row per item; one per path where an item has several.
fn rows(list: Option<&Value>, fields: &[&str]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for item in list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
        let text = |name: &&str| item.get(*name).map(go_text).unwrap_or_default();
        match item.get("paths").and_then(Value::as_array) {
            Some(paths) => rows.extend(paths.iter().map(|path| vec![text(&"principal"), go_text(path)])),
            None => rows.push(fields.iter().map(text).collect()),
        }
    }
    rows
}
