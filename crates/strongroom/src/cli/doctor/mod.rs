//! `doctor`: looks at everything that must be right for this command line and its server to work, from the address to
//! the trail, and says of each problem what causes it and which command mends it. Changes nothing. Goes on as far as it
//! can when something fails, and works when nothing is reachable.
//!
//! `network` looks at the way to the server, `certificate` at who it says to be, `server` at the server and the token.

mod certificate;
mod network;
mod server;

use super::error::CliError;
use super::format::Format;
use super::grammar::{Command, Exit};
use super::session::Session;
use serde_json::{Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "doctor",
    usage: "[flags]",
    about: "Look for what is wrong, and say what mends it",
    details: "\nLooks at address, connection, TLS, clock, seal, storage, trail, version and token. Ends with 0\n\
              when nothing is wrong and with 1 when something is. Changes nothing, but a token with a limited\n\
              number of uses loses one.",
    flags: &[],
    count: (0, 0),
    run: doctor,
}];

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Good,
    /// It works, but not for long or not well.
    Warning,
    Problem,
    /// It could not be looked at, because of a problem before it.
    Unknown,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            State::Good => "ok",
            State::Warning => "warning",
            State::Problem => "problem",
            State::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
struct Finding {
    about: &'static str,
    state: State,
    /// How it is, and what causes it.
    what: String,
    /// The command or the step that mends it; empty when nothing needs to be.
    mend: String,
}

impl Finding {
    fn good(about: &'static str, what: impl Into<String>) -> Self {
        Self { about, state: State::Good, what: what.into(), mend: String::new() }
    }
    fn warning(about: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { about, state: State::Warning, what: what.into(), mend: mend.into() }
    }
    fn problem(about: &'static str, what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { about, state: State::Problem, what: what.into(), mend: mend.into() }
    }
    fn unknown(about: &'static str, what: impl Into<String>) -> Self {
        Self { about, state: State::Unknown, what: what.into(), mend: String::new() }
    }
}

/// Everything that depends on the server answering.
const OF_THE_SERVER: [&str; 6] = ["seal", "storage", "trail", "version", "clock", "token"];

fn doctor(session: &mut Session) -> Result<Exit, CliError> {
    session.refuse_single_request_flags("doctor")?;
    let mut findings = network::look(session);
    if findings.iter().any(|finding| finding.state == State::Problem) {
        let waits = |about| Finding::unknown(about, "the server cannot be asked before the above is mended");
        findings.extend(OF_THE_SERVER.into_iter().map(waits));
    } else {
        findings.extend(server::look(session));
    }
    show(session, &findings)?;
    let bad = findings.iter().filter(|finding| finding.state == State::Problem).count();
    match bad {
        0 => Ok(Exit::Good),
        bad => Err(CliError::usage(format!("{bad} to mend"))),
    }
}

fn show(session: &mut Session, findings: &[Finding]) -> Result<(), CliError> {
    if session.settings.format != Format::Table {
        let entry = |finding: &Finding| json!({"about": finding.about, "state": finding.state.word(), "what": finding.what, "mend": finding.mend});
        let well = findings.iter().all(|finding| finding.state != State::Problem);
        let all: Vec<Value> = findings.iter().map(entry).collect();
        return session.show_value(&json!({ "well": well, "findings": all }), String::new).map(|_| ());
    }
    for Finding { about, state, what, mend } in findings {
        session.out.line(&format!("{:<9}{about:<12}{what}", state.word()));
        if !mend.is_empty() {
            session.out.line(&format!("{:<21}mend: {mend}", ""));
        }
    }
    Ok(())
}
