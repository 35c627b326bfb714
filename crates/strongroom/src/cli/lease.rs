//! Leases: look up, renew, revoke. A lease id goes into the body; a prefix is a part of the path, as the API has it.

use super::error::{CliError, Doing};
use super::grammar::{Command, Exit, Flag, switch};
use super::path::trimmed;
use super::request::Request;
use super::session::Session;
use serde_json::json;

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
            switch("sync", "Wait until it is done"),
        ],
        count: (1, 1),
        run: revoke,
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
