//! `watch`: what changes, as it changes. Asks again and again from where it was, so that nothing is missed over a lost
//! connection; what the server no longer has is said to be missed.

use super::audit_query::data;
use super::error::CliError;
use super::format::{Format, go_text};
use super::grammar::{Command, Exit, valued};
use super::request::Request;
use super::session::Session;
use serde_json::Value;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "watch",
    usage: "[flags] [PATH]",
    about: "Show what changes below a path as it changes: versions, deletions, leases, revocations",
    details: "\n    $ strongroom watch secret/prod\n\n\
              Needs `read` on sys/events and shows what your policies show; no value is shown.\n\
              With -format=json one line for each event. `resync` means that something was missed:\n\
              read anew what you watch.",
    flags: &[
        valued("type", "word", "Only these: secret-written, secret-deleted, lease-cut, token-revoked ..."),
        valued("after", "id", "Begin behind this event, or at the `oldest` that the server has"),
        valued("count", "n", "End after so many events"),
    ],
    count: (0, 1),
    run: watch,
}];

fn watch(session: &mut Session) -> Result<Exit, CliError> {
    let prefix = session.parsed.arg(0).trim_matches('/').to_owned();
    let types = session.parsed.text("type").map(str::to_owned);
    let mut after = session.parsed.text("after").map(str::to_owned);
    let mut left = session.parsed.number("count")?;
    loop {
        let mut request = Request::native("events").query("prefix", prefix.as_str()).query("wait", "50s");
        if let Some(types) = &types {
            request = request.query("type", types.as_str());
        }
        if let Some(after) = &after {
            request = request.query("after", after.as_str());
        }
        let found = data(session, &request, "Error waiting for events")?;
        after = found.get("after").map(go_text);
        if found.get("resync").and_then(Value::as_bool).unwrap_or_default() {
            session.out.say("resync: something was missed; read anew what you watch");
        }
        for event in found.get("events").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default() {
            show(session, event);
            left = left.map(|left| left - 1);
            if left.is_some_and(|left| left <= 0) {
                return Ok(Exit::Good);
            }
        }
    }
}

fn show(session: &mut Session, event: &Value) {
    if session.settings.format == Format::Json {
        return session.out.line(&event.to_string());
    }
    let text = |name: &str| event.get(name).map(go_text).filter(|text| !text.is_empty());
    let mut parts: Vec<String> = ["time", "type", "path"].iter().filter_map(|name| text(name)).collect();
    parts.extend(text("version").map(|version| format!("version {version}")));
    parts.extend(["lease", "accessor", "detail"].iter().filter_map(|name| text(name)));
    session.out.line(&parts.join("  "));
}
