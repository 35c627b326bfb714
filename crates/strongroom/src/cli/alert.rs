//! Suspicions of misuse: list them, mute them, take a mute back.

use super::audit_query::data;
use super::error::Doing;
use super::format::go_text;
use super::grammar::{Command, Exit, valued};
use super::request::{Request, object};
use serde_json::Value;

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "alert list",
        usage: "[flags]",
        about: "List the latest alerts on misuse",
        details: "\nThe mutes are in -format=json. Ends with 2 when there is none.",
        flags: &[],
        count: (0, 0),
        run: |session| {
            let found = data(session, &Request::native("alerts"), "Error listing alerts")?;
            let alerts = found.get("alerts").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let cell = |one: &Value, name: &str| one.get(name).map(go_text).unwrap_or_default();
            let row = |one: &Value| ["time", "kind", "text"].map(|name| cell(one, name)).to_vec();
            let rows: Vec<Vec<String>> = alerts.iter().map(row).collect();
            session.show_listing(&found, "alerts", &["Time", "Kind", "What"], &rows, "There is none.")?;
            super::audit_absent::say(session, &found);
            Ok(if rows.is_empty() { Exit::Negative } else { Exit::Good })
        },
    },
    Command {
        words: "alert mute",
        usage: "[flags] NAME",
        about: "Mute alerts until a time, with a reason",
        details: "\n    $ strongroom alert mute -kind=first-read -reason=rollout \\\n\
                  \x20       -until=2026-04-11T00:00:00Z rollout",
        flags: &[
            valued("kind", "name", "first-read, new-network, denial-burst, ...; all when not given"),
            valued("prefix", "path", "The beginning of paths"),
            valued("principal", "name", "Who, as alerts name them"),
            valued("reason", "text", "Why"),
            valued("until", "time", "In RFC 3339, within 90 days"),
        ],
        count: (1, 1),
        run: |session| {
            let name = session.parsed.arg(0).trim().to_owned();
            let text = |flag: &str| session.parsed.text(flag).map(Value::from);
            let flags = ["kind", "prefix", "principal", "reason", "until"];
            let body = object(flags.map(|flag| (flag, text(flag))));
            let request =
                Request { method: "POST", body: Some(body.into()), ..Request::native(format!("alerts/mutes/{name}")) };
            let reply = session.send(&request).doing(|| format!("Error muting {name}"))?;
            session.warn_natively(&reply);
            session.success(&format!("Success! Muted: {name}"));
            Ok(Exit::Good)
        },
    },
    Command {
        words: "alert unmute",
        usage: "[flags] NAME",
        about: "Take a mute back",
        details: "",
        flags: &[],
        count: (1, 1),
        run: |session| {
            let name = session.parsed.arg(0).trim().to_owned();
            let request = Request { method: "DELETE", ..Request::native(format!("alerts/mutes/{name}")) };
            session.send(&request).doing(|| format!("Error taking back {name}"))?;
            session.success(&format!("Success! Took back: {name}"));
            Ok(Exit::Good)
        },
    },
];
