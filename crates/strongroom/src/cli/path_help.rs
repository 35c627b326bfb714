//! What the server says about one of its paths.

use super::error::{CliError, Doing};
use super::format::{Format, go_text};
use super::grammar::{Command, Exit};
use super::path::trimmed;
use super::request::Request;
use super::session::Session;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "path-help",
    usage: "[flags] PATH",
    about: "Print the server's help for a path",
    details: "",
    flags: &[],
    count: (1, 1),
    run: path_help,
}];

fn path_help(session: &mut Session) -> Result<Exit, CliError> {
    let path = trimmed(session.parsed.arg(0)).to_owned();
    let secret = session.read(&Request::get(path).query("help", "1")).doing(|| "Error retrieving help".to_owned())?;
    match (session.settings.format, secret.get("openapi"), secret.get("help")) {
        (Format::Json | Format::Yaml, Some(openapi), _) => session.show_value(openapi, String::new),
        (_, _, Some(help)) => {
            session.out.line(go_text(help).trim_end());
            Ok(Exit::Good)
        }
        _ => session.show(&secret),
    }
}
