//! The version. Called `vault`, the program answers as Vault does, because clients take the second word as the version
//! they talk to (hvac's test suite does, and switches tests off by it).

use super::error::CliError;
use super::grammar::{Command, Exit};
use super::output::Output;
use super::session::Session;

/// The version of Vault whose API and command line this one follows.
const VAULT: &str = "1.16.3";
const OURS: &str = env!("CARGO_PKG_VERSION");
/// The day of the release, in the form Vault prints.
const BUILT: &str = "2026-11-21T00:00:00Z";

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "version",
        usage: "",
        about: "Print the version; also -version and -v",
        details: "",
        flags: &[],
        count: (0, 0),
        run: |session| {
            print(&mut session.out, "strongroom");
            Ok(Exit::Good)
        },
    },
    Command {
        words: "print token",
        usage: "",
        about: "Print the token that would be sent",
        details: "",
        flags: &[],
        count: (0, 0),
        run: print_token,
    },
];

/// Prints it for the name the program was called by.
pub(crate) fn print(out: &mut Output, program: &str) {
    out.line(&text(program));
}

fn text(program: &str) -> String {
    match program {
        "vault" => format!("Vault v{VAULT} (strongroom {OURS}), built {BUILT}"),
        _ => format!(
            "Strongroom v{OURS} (compatible with Vault {})",
            VAULT.rsplit_once('.').map_or(VAULT, |(line, _)| line)
        ),
    }
}

fn print_token(session: &mut Session) -> Result<Exit, CliError> {
    let token = session.own_token()?.map(strongroom_model::SecretString::duplicate);
    match token {
        Some(token) => session.out.line(token.expose()),
        None => return Err(CliError::usage("there is no token; log in with `strongroom login`, or set VAULT_TOKEN")),
    }
    Ok(Exit::Good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_word_is_the_version_for_those_who_call_vault() {
        assert_eq!(text("vault"), "Vault v1.16.3 (strongroom 0.1.0), built 2026-11-21T00:00:00Z");
        assert_eq!(text("strongroom"), "Strongroom v0.1.0 (compatible with Vault 1.16)");
    }
}
