//! `who-reads` and its reverse, `reads-what`: who uses a secret, how, and whether they have its current version.

use super::audit_query::data;
use super::error::CliError;
use super::format::go_text;
use super::grammar::{Command, Exit};
use super::request::Request;
use super::session::Session;
use serde_json::{Map, Value};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "who-reads",
        usage: "[flags] PATH",
        about: "Show who reads a secret, how often and how, and who has its current version",
        details: "\n    $ strongroom who-reads secret/prod/db\n\n\
                  How somebody reads is judged from their reads; -format=json has the evidence, and\n\
                  -field=principal prints that field of each, a line each.\n\
                  Needs `read` on sys/trail/who-reads. Ends with 3 when nobody reads it.",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let request = Request::native("trail/who-reads").query("path", session.parsed.arg(0));
            let found = data(session, &request, "Error asking who reads this")?;
            show(session, found, "consumers", "principal", "Nobody reads it, as far as the trail tells.")
        },
    },
    Command {
        words: "reads-what",
        usage: "[flags] PRINCIPAL",
        about: "Show which secrets a principal reads, and how",
        details: "\n    $ strongroom reads-what billing\n\n\
                  PRINCIPAL is the name, id or display name of an entity, or an accessor. Needs\n\
                  `read` on sys/trail/reads-what; shows what your policies show, or with `sudo` all.\n\
                  -field=path prints that field of each, a line each.\n\
                  Ends with 3 when it reads nothing.",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let request = Request::native("trail/reads-what").query("principal", session.parsed.arg(0));
            let found = data(session, &request, "Error asking what is read")?;
            show(session, found, "uses", "path", "It reads nothing that you may know of.")
        },
    },
];

fn show(
    session: &mut Session,
    found: Map<String, Value>,
    list: &str,
    first: &str,
    nothing: &str,
) -> Result<Exit, CliError> {
    let uses = found.get(list).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let rows: Vec<Vec<String>> = uses.iter().map(|one| row(one, first)).collect();
    let title = if first == "path" { "Path" } else { "Principal" };
    let heading = [title, "Reads", "Refused", "Per day", "First", "Last", "Version", "State", "How", "From", "Through"];
    super::audit_absent::say(session, &found);
    session.show_listing(&found, list, &heading, &rows, nothing)?;
    Ok(if rows.is_empty() { Exit::Nothing } else { Exit::Good })
}

fn row(one: &Value, first: &str) -> Vec<String> {
    let text = |pointer: &str| one.pointer(pointer).map(go_text).unwrap_or_default();
    let list = |name: &str| {
        let items = one.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        items.iter().map(go_text).collect::<Vec<_>>().join(" ")
    };
    let state = match (text("/freshness/state"), text("/freshness/at"), text("/freshness/since")) {
        (state, at, _) if !at.is_empty() => format!("{state} at {at}"),
        (state, _, since) if !since.is_empty() => format!("{state} since {since}"),
        (state, ..) => state,
    };
    let how = match text("/habit/period_seconds") {
        period if period.is_empty() => text("/habit/pattern"),
        period => format!("{} every {period} s", text("/habit/pattern")),
    };
    vec![
        text(&format!("/{first}")),
        text("/reads"),
        text("/refused"),
        text("/per_day"),
        text("/first"),
        text("/last"),
        text("/last_version"),
        state,
        how,
        list("addresses"),
        list("dialects"),
    ]
}
