//! Audit devices, and the check of the trail itself.

use super::args::read_texts;
use super::audit_index;
use super::error::{CliError, Doing};
use super::format::{go_text, table};
use super::grammar::{Command, Exit, MANY, switch, valued};
use super::path::{mount, trimmed};
use super::request::{Request, object};
use super::session::Session;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use strongroom_audit::{Finding, Report, VerifyOptions};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "audit list",
        usage: "[flags]",
        about: "List the audit devices",
        details: "\nEnds with 2 when there is none.",
        flags: &[switch("detailed", "Print their options too")],
        count: (0, 0),
        run: list,
    },
    Command {
        words: "audit enable",
        usage: "[flags] TYPE [K=V...]",
        about: "Enable an audit device",
        details: "\n    $ strongroom audit enable file file_path=/var/log/strongroom/audit.log",
        flags: &[
            valued("path", "path", "Where to enable it; its type when not given"),
            valued("description", "text", "What people write about it"),
            switch("local", "Not replicated to other clusters"),
        ],
        count: (1, MANY),
        run: enable,
    },
    Command {
        words: "audit disable",
        usage: "[flags] PATH",
        about: "Disable an audit device",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let path = trimmed(session.parsed.arg(0)).to_owned();
            let request = Request::delete(format!("sys/audit/{path}"));
            session.ask(&request).doing(|| "Error disabling audit device".to_owned())?;
            session.success(&format!("Success! Disabled audit device (if it was enabled) at: {}", mount(&path)));
            Ok(Exit::Good)
        },
    },
    Command {
        words: "audit verify",
        usage: "[flags] [FOLDER]",
        about: "Check the audit trail in a folder, or archives: nothing changed, removed or inserted",
        details: "\nReads the files and needs no server. Ends with 0 when every line holds, with 2 at\n\
                  the first that does not. Without -key a forger who signs everything anew is not\n\
                  found; without -expected lines cut off at the end are not found. Lines that were\n\
                  archived are counted by the signed manifests in the folder; their files are checked\n\
                  with -archive, wherever they are.",
        flags: &[
            valued("key", "hex", "Public key that may have signed; may be repeated"),
            valued("expected", "n:hex", "Size and head of a checkpoint kept elsewhere, which the trail must have"),
            switch("pruned", "The oldest segments were removed by hand: begin with the oldest there is"),
            valued("archive", "file", "Check this archive of the trail; may be repeated"),
        ],
        count: (0, 1),
        run: verify,
    },
];

fn verify(session: &mut Session) -> Result<Exit, CliError> {
    let keys = session.parsed.list("key").iter().map(|key| read_hash("key", key)).collect::<Result<Vec<_>, _>>()?;
    for file in session.parsed.list("archive").to_vec() {
        if !verify_archive(session, &file, &keys)? {
            return Ok(Exit::Negative);
        }
    }
    match session.parsed.arg(0) {
        "" if session.parsed.list("archive").is_empty() => {
            Err(CliError::usage("a trail's folder is needed, or an archive with -archive"))
        }
        "" => Ok(Exit::Good),
        _ => verify_folder(session, keys),
    }
}

/// Whether an archive holds.
fn verify_archive(session: &mut Session, file: &str, keys: &[[u8; 32]]) -> Result<bool, CliError> {
    let opened = File::open(file).map_err(|error| CliError::usage(format!("{file} cannot be read: {error}")))?;
    let mut lines = 0_u64;
    match strongroom_proof::check_archive(BufReader::new(opened), keys, &mut |_| lines += 1) {
        Err(error) => {
            session.out.say(&format!("The archive {file} does not hold: {error}"));
            Ok(false)
        }
        Ok(manifest) => {
            let ends = manifest.segments.first().zip(manifest.segments.last());
            let shown = object([
                ("archive", Some(file.into())),
                ("lines", Some(lines.into())),
                ("starts_at", Some(manifest.first().into())),
                ("before", ends.map(|(first, _)| first.before.as_str().into())),
                ("head", ends.map(|(_, last)| format!("{}:{}", last.next, last.head).into())),
                ("signed", Some(manifest.time.as_str().into())),
                ("key", Some(manifest.key.as_str().into())),
            ]);
            session.show_object(&shown)?;
            session.success(&format!("\nSuccess! All {lines} lines of the archive hold."));
            Ok(true)
        }
    }
}

fn verify_folder(session: &mut Session, keys: Vec<[u8; 32]>) -> Result<Exit, CliError> {
    let given = Path::new(session.parsed.arg(0)).to_owned();
    let folder = if given.is_file() { given.parent().unwrap_or(Path::new(".")) } else { &given };
    let options = VerifyOptions {
        keys,
        expected: session.parsed.text("expected").map(read_expected).transpose()?,
        pruned: session.parsed.is_on("pruned"),
    };
    let report = strongroom_audit::verify(folder, &options).map_err(|error| CliError::usage(error.to_string()))?;
    let shown = report_of(&report);
    session.show_object(&shown)?;
    for note in &report.notes {
        session.out.say(&format!("Note: line {} of {} (number {}): {}.", note.line, note.segment, note.seq, note.what));
    }
    let Some(bad) = &report.first_bad else {
        if report.lines == 0 {
            session.out.say("There is no audit trail in that folder.");
            return Ok(Exit::Negative);
        }
        session.success(&format!("\nSuccess! All {} lines hold.", report.lines));
        return audit_index::say(session, folder);
    };
    session.out.say(&format!(
        "\nThe trail does not hold at line {} of {} (number {}): {}",
        bad.line, bad.segment, bad.seq, bad.what
    ));
    Ok(Exit::Negative)
}

fn read_hash(flag: &str, text: &str) -> Result<[u8; 32], CliError> {
    let bytes = hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| CliError::usage(format!("flag -{flag} wants 64 hexadecimal digits")))
}

fn read_expected(text: &str) -> Result<(u64, [u8; 32]), CliError> {
    let (size, head) = text.split_once(':').unwrap_or_default();
    let size = size.parse().map_err(|_| CliError::usage("flag -expected wants size:head, as 1200:ab12..."))?;
    Ok((size, read_hash("expected", head)?))
}

fn report_of(report: &Report) -> Map<String, Value> {
    let checkpoint = report.last_checkpoint.as_ref();
    let found = |at: &Finding| json!({ "seq": at.seq, "segment": at.segment, "line": at.line, "what": at.what });
    let first_bad = report.first_bad.as_ref().map(found);
    let notes: Vec<Value> = report.notes.iter().map(found).collect();
    object([
        ("lines", Some(report.lines.into())),
        ("entries", Some(report.entries.into())),
        ("checkpoints", Some(report.checkpoints.into())),
        ("starts_at", Some(report.starts_at.into())),
        ("archived", Some(report.archived.into())),
        ("unsigned_tail", Some(report.unsigned_tail.into())),
        ("key", report.key.map(|key| hex::encode(key).into())),
        ("last_checkpoint", checkpoint.map(|last| format!("{}:{}", last.size, hex::encode(last.head)).into())),
        ("notes", (!notes.is_empty()).then(|| notes.into())),
        ("first_bad", first_bad),
    ])
}

fn enable(session: &mut Session) -> Result<Exit, CliError> {
    let options = read_texts(session.parsed.args_from(1), &mut session.input)?;
    let options: BTreeMap<String, String> = options.into_iter().collect();
    let parsed = &session.parsed;
    let kind = parsed.arg(0).trim().to_owned();
    let path = trimmed(parsed.text("path").unwrap_or(&kind)).to_owned();
    let body = object([
        ("type", Some(kind.as_str().into())),
        ("description", parsed.text("description").map(Value::from)),
        ("options", Some(json!(options))),
        ("local", parsed.switch("local").map(Value::from)),
    ]);
    let request = Request::put(format!("sys/audit/{path}"), body.into());
    session.ask(&request).doing(|| "Error enabling audit device".to_owned())?;
    session.success(&format!("Success! Enabled the {kind} audit device at: {}", mount(&path)));
    Ok(Exit::Good)
}

fn list(session: &mut Session) -> Result<Exit, CliError> {
    let secret = session.ask(&Request::get("sys/audit")).doing(|| "Error listing audits".to_owned())?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let detailed = session.parsed.is_on("detailed");
    let rows = rows(&data, detailed);
    let heading: &[&str] = if detailed {
        &["Path", "Type", "Description", "Replication", "Options"]
    } else {
        &["Path", "Type", "Description"]
    };
    let none = rows.is_empty();
    session.show_value(&Value::Object(data), || {
        if none { "No audit devices are enabled.".to_owned() } else { table(heading, &rows) }
    })?;
    Ok(if none { Exit::Negative } else { Exit::Good })
}

fn rows(data: &Map<String, Value>, detailed: bool) -> Vec<Vec<String>> {
    let row = |(path, entry): (&String, &Value)| {
        entry.get("type")?;
        let text = |name: &str| entry.get(name).map(go_text).unwrap_or_default();
        let mut cells = vec![path.clone(), text("type"), text("description")];
        if detailed {
            let options = entry.get("options").and_then(Value::as_object).into_iter().flatten();
            let options: Vec<String> = options.map(|(key, value)| format!("{key}={}", go_text(value))).collect();
            let local = entry.get("local") == Some(&Value::Bool(true));
            cells.extend([if local { "local" } else { "replicated" }.to_owned(), options.join(" ")]);
        }
        Some(cells)
    };
    data.iter().filter_map(row).collect()
}
