//! Secrets engines.

use super::grammar::{Command, switch};
use super::mounts::{self, Noun};

const ENGINE: Noun = Noun { door: "sys/mounts", name: "secrets engine", prefix: "" };

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "secrets list",
        usage: "[flags]",
        about: "List the secrets engines",
        details: "",
        flags: &[mounts::DETAILED],
        count: (0, 0),
        run: |session| mounts::list(session, &ENGINE),
    },
    Command {
        words: "secrets enable",
        usage: "[flags] TYPE",
        about: "Enable a secrets engine",
        details: "\n    $ strongroom secrets enable -path=team -version=2 kv",
        flags: &[
            mounts::PATH,
            mounts::DESCRIPTION,
            mounts::DEFAULT_TTL,
            mounts::MAX_TTL,
            mounts::OPTIONS,
            mounts::VERSION,
            mounts::VISIBILITY,
            mounts::AUDIT_REQUEST,
            mounts::AUDIT_RESPONSE,
            mounts::REQUEST_HEADERS,
            mounts::RESPONSE_HEADERS,
            mounts::LOCAL,
            mounts::SEAL_WRAP,
            switch("force-no-cache", "Accepted: nothing is cached"),
        ],
        count: (1, 1),
        run: |session| mounts::enable(session, &ENGINE),
    },
    Command {
        words: "secrets disable",
        usage: "[flags] PATH",
        about: "Disable a secrets engine and delete what is in it",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| mounts::disable(session, &ENGINE),
    },
    Command {
        words: "secrets tune",
        usage: "[flags] PATH",
        about: "Change the settings of a secrets engine",
        details: "",
        flags: &[
            mounts::DESCRIPTION,
            mounts::DEFAULT_TTL,
            mounts::MAX_TTL,
            mounts::OPTIONS,
            mounts::VERSION,
            mounts::VISIBILITY,
            mounts::AUDIT_REQUEST,
            mounts::AUDIT_RESPONSE,
            mounts::REQUEST_HEADERS,
            mounts::RESPONSE_HEADERS,
        ],
        count: (1, 1),
        run: |session| mounts::tune(session, &ENGINE),
    },
    Command {
        words: "secrets move",
        usage: "[flags] SOURCE DESTINATION",
        about: "Move a secrets engine to another path",
        details: "",
        flags: &[],
        count: (2, 2),
        run: |session| mounts::relocate(session, &ENGINE),
    },
    Command {
        words: "kv enable-versioning",
        usage: "[flags] PATH",
        about: "Make a plain kv engine a versioned one",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let path = super::path::trimmed(session.parsed.arg(0)).to_owned();
            let options = serde_json::json!({ "version": "2" });
            mounts::tune_with(session, &ENGINE, &path, super::request::object([("options", Some(options))]))
        },
    },
];
