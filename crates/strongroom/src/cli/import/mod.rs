//! `import`: brings secrets out of files and out of a running Vault. First everything is read and compared with what is
//! there, then shown, then written with check-and-set. What cannot be taken is named with the reason, and without
//! `-skip` nothing at all is written then. Never prints a value.
//!
//! `dotenv` and `document` read files, `vault` reads a server, `plan` compares, `apply` writes.

mod apply;
mod document;
mod dotenv;
mod file;
mod plan;
mod vault;

use super::error::CliError;
use super::format::{Format, table};
use super::grammar::{Command, Exit, switch, valued};
use super::kv::Place;
use super::path::trimmed;
use super::session::Session;
use plan::{Action, Row};
use serde_json::{Map, Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "import",
    usage: "[flags] FILE|URL",
    about: "Bring secrets from a file or a running Vault",
    details: "\nFILE is .env, JSON or YAML (- is standard input, with -type); it becomes the one secret -to, or\n\
              with -split one secret for each key at the top. URL is a Vault, as https://old:8200/secret/app;\n\
              its token comes from VAULT_SOURCE_TOKEN, -from-token-file, or is asked for.\n\n\
              Everything is looked at before anything is written. What cannot be taken is named, and then\n\
              nothing is written, unless -skip leaves those out. What is there already with another value\n\
              counts as such, unless -overwrite adds a new version of it. Values are never printed.\n\n    \
              $ strongroom import .env -to=secret/app -dry-run\n    \
              $ strongroom import https://old.example:8200/kv/app -to=secret/app -versions",
    flags: &[
        valued("to", "mount/path", "Where the secrets go; needed"),
        valued("type", "type", "env, json or yaml, where the name of the file does not tell"),
        switch("split", "Each key at the top of the file is a secret of its own"),
        valued("from-vault", "url", "Address of the Vault; the argument is then the path there"),
        valued("from-token-file", "file", "File with the Vault's token; - is standard input"),
        valued("from-namespace", "path", "Namespace in the Vault"),
        valued("from-ca-cert", "file", "Authorities to trust for the Vault; without it those of -ca-cert"),
        switch("versions", "Bring every version that is still there, not only the newest"),
        switch("overwrite", "Write a new version where another value is"),
        switch("skip", "Leave out what cannot be taken, and bring the rest"),
        switch("dry-run", "Show what would be done"),
    ],
    count: (1, 1),
    run: import,
}];

/// One secret to bring.
pub(super) struct Item {
    /// Below `-to`; empty for `-to` itself.
    name: String,
    /// The values, oldest first; at least one. Not `Debug`: they are secrets.
    versions: Vec<Map<String, Value>>,
    /// What else is known about it at the source, as the API writes it.
    metadata: Option<Map<String, Value>>,
}

/// Something that cannot be brought.
pub(super) struct Trouble {
    /// What it is called.
    what: String,
    /// Why.
    why: String,
}

impl Trouble {
    fn new(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

/// What a source gave.
#[derive(Default)]
pub(super) struct Brought {
    items: Vec<Item>,
    troubles: Vec<Trouble>,
    /// What is good to know and no trouble.
    notes: Vec<String>,
}

fn import(session: &mut Session) -> Result<Exit, CliError> {
    session.refuse_single_request_flags("import")?;
    let to = trimmed(session.parsed.text("to").unwrap_or_default()).to_owned();
    if to.is_empty() {
        return Err(CliError::usage("say where the secrets go: -to=secret/app"));
    }
    let source = session.parsed.arg(0).to_owned();
    let mut brought = match vault::Source::named(session, &source)? {
        Some(from) => vault::read(session, &from)?,
        None => file::read(session, &source)?,
    };
    let place = Place::of(session, &to)?;
    if place.mount.is_empty() {
        return Err(CliError::usage(format!("there is no engine for {to}; make one with `strongroom secrets enable`")));
    }
    if session.parsed.is_on("versions") && !place.versioned {
        return Err(CliError::usage(format!("{} keeps no versions, so -versions cannot be kept there", place.mount)));
    }
    let mut pool = session.pool()?;
    let overwrite = session.parsed.is_on("overwrite");
    let mut rows = plan::compare(&mut pool, &session.settings, &place, &mut brought, overwrite)?;
    let (lost, total) = (missing(&rows, &brought), rows.len() + brought.troubles.len());
    let blocked = lost > 0 && !session.parsed.is_on("skip");
    let dry = session.parsed.is_on("dry-run");
    if !dry && !blocked {
        apply::write(&mut pool, &session.settings, &place, &mut rows)?;
    }
    show(session, &rows, &brought, dry || blocked)?;
    finish(session, &rows, (lost, total), blocked)
}

/// How many are left out.
fn missing(rows: &[Row], brought: &Brought) -> usize {
    rows.iter().filter(|row| row.action == Action::Skip).count() + brought.troubles.len()
}

fn finish(session: &mut Session, rows: &[Row], (lost, total): (usize, usize), blocked: bool) -> Result<Exit, CliError> {
    let failed = rows.iter().filter(|row| row.action == Action::Failed).count();
    match (blocked, failed) {
        (true, _) => Err(CliError::usage(format!(
            "{lost} of {total} cannot be taken, so nothing was written; mend them, or leave them out with -skip"
        ))),
        (false, 0) => Ok(Exit::Good),
        (false, failed) => {
            session.out.say(&format!("{failed} of {total} could not be written; the rest is there. Run it again."));
            Ok(Exit::Negative)
        }
    }
}

fn show(session: &mut Session, rows: &[Row], brought: &Brought, pending: bool) -> Result<(), CliError> {
    if session.settings.format != Format::Table {
        let row = |row: &Row| {
            json!({"path": row.path, "action": row.action.word(pending), "fields": row.fields(),
                "versions": row.item.versions.len(), "reason": row.reason})
        };
        let trouble = |trouble: &Trouble| json!({"what": trouble.what, "why": trouble.why});
        let all = json!({
            "written": !pending,
            "secrets": rows.iter().map(row).collect::<Vec<_>>(),
            "not_taken": brought.troubles.iter().map(trouble).collect::<Vec<_>>(),
            "notes": brought.notes,
        });
        return session.show_value(&all, String::new).map(|_| ());
    }
    let row = |row: &Row| {
        let (fields, versions) = (row.fields().len().to_string(), row.item.versions.len().to_string());
        vec![row.path.clone(), row.action.word(pending).to_owned(), fields, versions, row.reason.clone()]
    };
    let trouble = |trouble: &Trouble| {
        let none = || "-".to_owned();
        vec![trouble.what.clone(), Action::Skip.word(pending).to_owned(), none(), none(), trouble.why.clone()]
    };
    let mut lines: Vec<Vec<String>> = rows.iter().map(row).collect();
    lines.extend(brought.troubles.iter().map(trouble));
    lines.iter_mut().filter_map(|line| line.last_mut()).filter(|why| why.is_empty()).for_each(|why| why.push('-'));
    if !lines.is_empty() {
        session.out.line(&table(&["Secret", "Action", "Fields", "Versions", "Reason"], &lines));
    }
    brought.notes.iter().for_each(|note| session.out.say(&format!("note: {note}")));
    Ok(())
}

/// Whether a name can stand below a mount.
fn is_name(name: &str) -> bool {
    let segment = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains(char::is_control);
    name.split('/').all(segment)
}
