//! `review`: the periodic review of access.

use super::audit_absent;
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
              -field=path prints the secrets that nobody read, a line each; so do other fields.\n\
              Needs `read` on sys/trail/review; rules and principals need `sudo` there too.",
    flags: &[
        valued("since", "time", "Reads before then count as none: 2026-01-01, or 2160h for ninety days ago"),
        valued("tz", "zone", "The zone in which -since is read"),
    ],
    count: (0, 0),
    run: review,
}];

/// The columns of a review as csv.
const CSV: &[&str] = &["Finding", "Principal", "Path", "Last read", "Policy", "Line"];

fn review(session: &mut Session) -> Result<Exit, CliError> {
    let mut request = Request::native("trail/review");
    let reference = Reference::new(session.parsed.text("tz"), None, jiff::Timestamp::now())?;
    if let Some(text) = session.parsed.text("since") {
        request = request.query("since", reference.read("since", text)?);
    }
    let found = data(session, &request, "Error reviewing access")?;
    if session.settings.field.is_some() {
        session.show_fields(&found, &["unused_secrets", "unused_rules", "unused_access"])?;
        remarks(&found).iter().for_each(|text| session.out.say(text));
        return Ok(Exit::Good);
    }
    let chosen = session.settings.format;
    match chosen {
        Format::Csv => {
            let text = format::rows(chosen, CSV, &csv(&found)).unwrap_or_default();
            session.out.line(&text);
            remarks(&found).iter().for_each(|text| session.out.say(text));
        }
        Format::Table | Format::Markdown => {
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
    parts.extend(remarks(found));
    parts.join("\n\n")
}

/// What the review leaves out, and what left the trail: a secret whose reads are archived is not one that nobody read.
fn remarks(found: &Map<String, Value>) -> Vec<String> {
    let limits = found.get("limits").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let limits = limits.iter().map(|limit| format!("{}.", go_text(limit)));
    limits.chain(audit_absent::remarks(found)).map(|text| format!("Note: {text}")).collect()
}

/// One table of all findings: a file that programs read has one heading.
fn csv(found: &Map<String, Value>) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (name, finding, fields) in [
        ("unused_secrets", "unused secret", ["", "path", "last_read", "", ""]),
        ("unused_rules", "unused rule", ["", "pattern", "", "policy", "line"]),
    ] {
        let rows = rows(found.get(name), &fields);
        all.extend(rows.into_iter().map(|row| [vec![finding.to_owned()], row].concat()));
    }
    let access = rows(found.get("unused_access"), &[]);
    all.extend(access.into_iter().map(|mut row| {
        row.insert(0, "unused right".to_owned());
        row.resize(CSV.len(), String::new());
        row
    }));
    all
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Secrets whose reads had been archived were listed as those that nobody read, without a word.
    #[test]
    fn a_review_says_that_reads_which_were_archived_are_not_counted() {
        let found = json!({
            "unused_secrets": [{"path": "secret/data/a"}],
            "limits": ["rules are left out"],
            "absent": [{"first": 0, "next": 10, "from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "archived": true}],
        });
        let found = found.as_object().unwrap();
        let [limit, absent] = &remarks(found)[..] else { panic!("two remarks") };
        assert_eq!(limit, "Note: rules are left out.");
        assert!(absent.starts_with("Note: Entries up to 2026-01-02T00:00:00Z are archived"), "{absent}");
        for chosen in [Format::Table, Format::Markdown] {
            assert!(page(found, chosen).ends_with(absent.as_str()));
        }
    }

    /// Prose and three headings came out as csv.
    #[test]
    fn a_review_as_csv_is_one_table_of_all_findings() {
        let found = json!({
            "unused_secrets": [{"path": "secret/data/a", "last_read": "2026-04-10T14:00:00Z"}, {"path": "secret/data/b"}],
            "unused_rules": [{"policy": "app", "line": 3, "pattern": "secret/data/c/*"}],
            "unused_access": [{"principal": "billing", "entity": "x", "paths": ["secret/data/a", "secret/data/b"]}],
        });
        let rows = csv(found.as_object().unwrap());
        assert!(rows.iter().all(|row| row.len() == CSV.len()), "{rows:?}");
        let text = format::rows(Format::Csv, CSV, &rows).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "Finding,Principal,Path,Last read,Policy,Line",
                "unused secret,,secret/data/a,2026-04-10T14:00:00Z,,",
                "unused secret,,secret/data/b,,,",
                "unused rule,,secret/data/c/*,,app,3",
                "unused right,billing,secret/data/a,,,",
                "unused right,billing,secret/data/b,,,",
            ]
        );
    }
}
