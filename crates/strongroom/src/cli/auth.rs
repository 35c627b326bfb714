//! Auth methods.

use super::error::{CliError, Doing};
use super::format::go_text;
use super::grammar::{Command, Exit};
use super::mounts::{self, Noun};
use super::path;
use super::request::Request;
use super::session::Session;

const METHOD: Noun = Noun { door: "sys/auth", name: "auth method", prefix: "auth/" };

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "auth list",
        usage: "[flags]",
        about: "List the auth methods",
        details: "",
        flags: &[mounts::DETAILED],
        count: (0, 0),
        run: |session| mounts::list(session, &METHOD),
    },
    Command {
        words: "auth enable",
        usage: "[flags] TYPE",
        about: "Enable an auth method",
        details: "\n    $ strongroom auth enable -path=people userpass",
        flags: &[
            mounts::PATH,
            mounts::DESCRIPTION,
            mounts::DEFAULT_TTL,
            mounts::MAX_TTL,
            mounts::OPTIONS,
            mounts::VERSION,
            mounts::VISIBILITY,
            mounts::TOKEN_TYPE,
            mounts::AUDIT_REQUEST,
            mounts::AUDIT_RESPONSE,
            mounts::REQUEST_HEADERS,
            mounts::RESPONSE_HEADERS,
            mounts::LOCKOUT_THRESHOLD,
            mounts::LOCKOUT_DURATION,
            mounts::LOCKOUT_RESET,
            mounts::LOCKOUT_DISABLE,
            mounts::LOCAL,
            mounts::SEAL_WRAP,
        ],
        count: (1, 1),
        run: |session| mounts::enable(session, &METHOD),
    },
    Command {
        words: "auth disable",
        usage: "[flags] PATH",
        about: "Disable an auth method and revoke its tokens",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| mounts::disable(session, &METHOD),
    },
    Command {
        words: "auth tune",
        usage: "[flags] PATH",
        about: "Change the settings of an auth method",
        details: "\n    $ strongroom auth tune -user-lockout-threshold=10 -user-lockout-duration=10m people\n\n\
                  What is not given stays as it is.",
        flags: &[
            mounts::DESCRIPTION,
            mounts::DEFAULT_TTL,
            mounts::MAX_TTL,
            mounts::OPTIONS,
            mounts::VERSION,
            mounts::VISIBILITY,
            mounts::TOKEN_TYPE,
            mounts::AUDIT_REQUEST,
            mounts::AUDIT_RESPONSE,
            mounts::REQUEST_HEADERS,
            mounts::RESPONSE_HEADERS,
            mounts::LOCKOUT_THRESHOLD,
            mounts::LOCKOUT_DURATION,
            mounts::LOCKOUT_RESET,
            mounts::LOCKOUT_DISABLE,
        ],
        count: (1, 1),
        run: |session| mounts::tune(session, &METHOD),
    },
    Command {
        words: "auth move",
        usage: "[flags] SOURCE DESTINATION",
        about: "Move an auth method to another path",
        details: "",
        flags: &[],
        count: (2, 2),
        run: |session| mounts::relocate(session, &METHOD),
    },
    Command {
        words: "auth help",
        usage: "[flags] TYPE | PATH",
        about: "Print how to log in with an auth method",
        details: "",
        flags: &[],
        count: (1, 1),
        run: help,
    },
];

/// How to log in, by type.
const LOGINS: &[(&str, &str)] = &[
    ("token", "$ strongroom login\n\nThe token is asked for; `login -` reads it from standard input."),
    (
        "userpass",
        "$ strongroom login -method=userpass username=NAME\n\nThe password is asked for; password=- reads it from standard input.",
    ),
    (
        "ldap",
        "$ strongroom login -method=ldap username=NAME\n\nThe password is asked for; password=- reads it from standard input.",
    ),
    ("approle", "$ strongroom login -method=approle role_id=ID secret_id=-"),
    ("jwt", "$ strongroom login -method=jwt role=ROLE jwt=@FILE"),
    ("kubernetes", "$ strongroom login -method=kubernetes role=ROLE\n\nIn a pod; elsewhere give jwt=@FILE."),
    ("cert", "$ strongroom login -method=cert -client-cert=FILE -client-key=FILE name=ROLE"),
    ("github", "$ strongroom login -method=github token=-"),
];

fn help(session: &mut Session) -> Result<Exit, CliError> {
    let asked = path::trimmed(session.parsed.arg(0)).to_owned();
    let of = |kind: &str| LOGINS.iter().find(|(name, _)| *name == kind).map(|(_, text)| *text);
    if let Some(text) = of(&asked) {
        session.out.line(text);
        return Ok(Exit::Good);
    }
    let secret = session.read(&Request::get("sys/auth")).doing(|| "Error listing auth methods".to_owned())?;
    let mount = path::mount(&asked);
    let Some(entry) = secret.get(&mount) else {
        return Err(CliError::usage(format!("there is no auth method at {mount}; see `strongroom auth list`")));
    };
    let kind = entry.get("type").map(go_text).unwrap_or_default();
    let text = match of(&kind) {
        Some(text) if asked != kind => {
            text.replacen(&format!("-method={kind}"), &format!("-method={kind} -path={asked}"), 1)
        }
        Some(text) => text.to_owned(),
        None => {
            format!("$ strongroom login -method={kind} -path={asked} K=V...\n\nSends the fields to auth/{asked}/login.")
        }
    };
    session.out.line(&text);
    Ok(Exit::Good)
}
