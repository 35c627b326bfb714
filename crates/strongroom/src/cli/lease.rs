//! Leases: look up, renew, revoke. A lease id goes into the body; a prefix is a part of the path, as the API has it.

use super::error::{CliError, Doing};
use super::format::table;
use super::grammar::{Command, Exit, Flag, switch};
use super::path::trimmed;
use super::request::Request;
use super::session::Session;
use serde_json::{Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "lease lookup",
        usage: "[flags] ID",
        about: "Print what is known about a lease",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let id = session.parsed.arg(0).trim().to_owned();
            let request = Request::put("sys/leases/lookup", json!({ "lease_id": id }));
            let secret = session.ask(&request).doing(|| format!("Error looking up lease {id}"))?;
            session.show_or_say(secret, "Success! The lease exists")
        },
    },
    Command {
        words: "lease renew",
        usage: "[flags] ID",
        about: "Prolong a lease",
        details: "",
        flags: &[Flag {
            name: "increment",
            alias: "i",
            value: "span",
            about: "For how long; the server may grant less",
        }],
        count: (1, 1),
        run: renew,
    },
    Command {
        words: "lease revoke",
        usage: "[flags] ID",
        about: "Revoke a lease and the credential behind it",
        details: "",
        flags: &[
            switch("prefix", "The argument is a prefix: revoke every lease that begins with it"),
            Flag {
                name: "force",
                alias: "f",
                value: "",
                about: "With -prefix: forget the leases even if revoking the credentials fails",
            },
            switch("entity", "The argument is the id of an entity: revoke every lease that it asked for"),
            switch("sync", "Wait until it is done; not with -entity"),
        ],
        count: (1, 1),
        run: revoke,
    },
    Command {
        words: "lease list",
        usage: "[flags] [PREFIX]",
        about: "List leases and folders below a prefix, or those that could not be revoked",
        details: "",
        flags: &[switch("failing", "List the leases that could not be revoked so far, and how that failed")],
        count: (0, 1),
        run: list,
    },
    Command {
        words: "lease count",
        usage: "[flags]",
        about: "Count leases by mount",
        details: "",
        flags: &[switch("failing", "Count those that could not be revoked so far, by the accessor of their mount")],
        count: (0, 0),
        run: |session| {
            let kind = if session.parsed.is_on("failing") { "irrevocable" } else { "all" };
            let request = Request::get("sys/leases/count").query("type", kind);
            let secret = session.ask(&request).doing(|| "Error counting leases".to_owned())?;
            session.show_or_say(secret, "There are no leases")
        },
    },
    Command {
        words: "lease tidy",
        usage: "[flags]",
        about: "Try at once to revoke what is put off",
        details: "",
        flags: &[],
        count: (0, 0),
        run: |session| {
            let request = Request::put("sys/leases/tidy", json!({}));
            session.ask(&request).doing(|| "Error tidying leases".to_owned())?;
            session.success("What could not be revoked so far is tried again now.");
            Ok(Exit::Good)
        },
    },
];

fn renew(session: &mut Session) -> Result<Exit, CliError> {
    let id = session.parsed.arg(0).trim().to_owned();
    let body = match session.parsed.span("increment")? {
        Some(span) => json!({ "lease_id": id, "increment": span }),
        None => json!({ "lease_id": id }),
    };
    let secret = session.ask(&Request::put("sys/leases/renew", body)).doing(|| format!("Error renewing {id}"))?;
    session.show_or_say(secret, "Success! Renewed the lease")
}

fn revoke(session: &mut Session) -> Result<Exit, CliError> {
    let (prefix, force, sync) =
        (session.parsed.is_on("prefix"), session.parsed.is_on("force"), session.parsed.is_on("sync"));
    let id = trimmed(session.parsed.arg(0)).to_owned();
    if force && !prefix {
        return Err(CliError::usage("Specifying -force requires also specifying -prefix"));
    }
    if session.parsed.is_on("entity") {
        return revoke_entity(session, &id, prefix || sync);
    }
    let (request, done) = match (prefix, force) {
        (true, true) => {
            session.out.say("Warning! Forced revocation forgets leases whose credentials may live on.");
            let request = Request::put(format!("sys/leases/revoke-force/{id}"), json!({}));
            (request, format!("Success! Force revoked any leases with prefix: {id}"))
        }
        (true, false) => {
            let request = Request::put(format!("sys/leases/revoke-prefix/{id}"), json!({ "sync": sync }));
            (request, format!("Success! Revoked any leases with prefix: {id}"))
        }
        _ => {
            let request = Request::put("sys/leases/revoke", json!({ "lease_id": id, "sync": sync }));
            (request, format!("Success! Revoked lease: {id}"))
        }
    };
    session.ask(&request).doing(|| format!("Error revoking {id}"))?;
    session.success(if sync || force { &done } else { "All revocation operations queued successfully!" });
    Ok(Exit::Good)
}

fn revoke_entity(session: &mut Session, id: &str, mixed: bool) -> Result<Exit, CliError> {
    if mixed {
        return Err(CliError::usage("-entity stands alone: leave -prefix, -force and -sync out"));
    }
    let request = Request::put(format!("sys/leases/revoke-entity/{id}"), json!({}));
    let secret = session.ask(&request).doing(|| format!("Error revoking the leases of entity {id}"))?;
    let marked = secret.as_ref().and_then(|secret| secret.field("lease_count")).unwrap_or_default();
    session.success(&format!("Success! {marked} leases of entity {id} are being revoked."));
    Ok(Exit::Good)
}

fn list(session: &mut Session) -> Result<Exit, CliError> {
    let prefix = trimmed(session.parsed.arg(0)).to_owned();
    if !session.parsed.is_on("failing") {
        let path = format!("sys/leases/lookup/{prefix}");
        return super::logical::list(session, path.trim_end_matches('/'));
    }
    if !prefix.is_empty() {
        return Err(CliError::usage("With -failing all leases that could not be revoked are listed: leave PREFIX out"));
    }
    let request = Request::get("sys/leases").query("type", "irrevocable");
    let secret = session.read(&request).doing(|| "Error listing leases".to_owned())?;
    session.warn(&secret);
    let leases = secret.field("leases").unwrap_or_default();
    session.show_value(&leases, || failing_table(&leases))
}

fn failing_table(leases: &Value) -> String {
    let text = |lease: &Value, field: &str| lease.get(field).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = leases
        .as_array()
        .into_iter()
        .flatten()
        .map(|lease| vec![text(lease, "lease_id"), text(lease, "error")])
        .collect();
    if rows.is_empty() { "Every lease could be revoked.".to_owned() } else { table(&["Lease", "Error"], &rows) }
}
