//! Tokens: create, look up, renew, revoke, and what one may do. Tokens stand in bodies, never in paths, where proxies
//! would log them.

use super::error::{CliError, Doing};
use super::grammar::{Command, Exit, Flag, switch, valued};
use super::path::trimmed;
use super::request::{Request, object};
use super::session::Session;
use serde_json::{Value, json};
use strongroom_model::SecretString;

const ACCESSOR: Flag = switch("accessor", "The argument is an accessor and not a token");

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "token create",
        usage: "[flags]",
        about: "Create a token",
        details: "\n    $ strongroom token create -policy=web -ttl=1h",
        flags: &[
            valued("policy", "name", "A policy of the token; may be repeated"),
            valued("ttl", "span", "How long it lives before it must be renewed"),
            valued("explicit-max-ttl", "span", "How long it lives at most"),
            valued("period", "span", "Makes it periodic: renewed within this span it lives for ever"),
            switch("renewable", "Whether it can be renewed; on unless =false"),
            switch("orphan", "Without parent, so that it outlives the token that makes it"),
            switch("no-default-policy", "Without the policy `default`"),
            valued("use-limit", "n", "How often it can be used; 0 is without limit"),
            valued("display-name", "name", "The name it is shown under"),
            valued("metadata", "key=value", "What is recorded with it; may be repeated"),
            valued("type", "type", "service or batch"),
            valued("role", "name", "The token role to make it by"),
            valued("id", "id", "Its value; for root tokens only"),
            valued("entity-alias", "name", "The entity alias to tie it to, with -role"),
        ],
        count: (0, 0),
        run: create,
    },
    Command {
        words: "token lookup",
        usage: "[flags] [TOKEN]",
        about: "Print what is known about a token",
        details: "\nWithout TOKEN about the user's own; - reads it from standard input.",
        flags: &[ACCESSOR],
        count: (0, 1),
        run: lookup,
    },
    Command {
        words: "token renew",
        usage: "[flags] [TOKEN]",
        about: "Prolong a token",
        details: "\nWithout TOKEN the user's own; - reads it from standard input.",
        flags: &[
            ACCESSOR,
            Flag { name: "increment", alias: "i", value: "span", about: "For how long; the server may grant less" },
        ],
        count: (0, 1),
        run: renew,
    },
    Command {
        words: "token revoke",
        usage: "[flags] [TOKEN]",
        about: "Revoke a token and what was made with it",
        details: "\n- reads the token from standard input.",
        flags: &[
            ACCESSOR,
            switch("self", "The user's own token"),
            valued(
                "mode",
                "mode",
                "orphan: spare its children; path: the argument is a prefix of what issued the tokens",
            ),
        ],
        count: (0, 1),
        run: revoke,
    },
    Command {
        words: "token capabilities",
        usage: "[flags] [TOKEN] PATH",
        about: "Print what a token may do on a path",
        details: "\nWithout TOKEN the user's own.",
        flags: &[ACCESSOR],
        count: (1, 2),
        run: capabilities,
    },
];

fn create(session: &mut Session) -> Result<Exit, CliError> {
    let parsed = &session.parsed;
    let text = |name: &str| parsed.text(name).map(Value::from);
    let span = |name: &str| Ok::<_, CliError>(parsed.span(name)?.map(Value::from));
    let switched = |name: &str| parsed.is_on(name).then(|| Value::from(true));
    let policies = parsed.list("policy");
    let metadata = parsed.map("metadata")?;
    let renewable = parsed.switch("renewable").unwrap_or(true) && parsed.text("type") != Some("batch");
    let body = object([
        ("policies", (!policies.is_empty()).then(|| json!(policies))),
        ("ttl", span("ttl")?),
        ("explicit_max_ttl", span("explicit-max-ttl")?),
        ("period", span("period")?),
        ("renewable", Some(renewable.into())),
        ("no_parent", switched("orphan")),
        ("no_default_policy", switched("no-default-policy")),
        ("num_uses", parsed.number("use-limit")?.map(Value::from)),
        ("display_name", text("display-name")),
        ("meta", (!metadata.is_empty()).then(|| json!(metadata))),
        ("type", text("type")),
        ("id", text("id")),
        ("entity_alias", text("entity-alias")),
    ]);
    let path = match parsed.text("role") {
        Some(role) => format!("auth/token/create/{role}"),
        None => "auth/token/create".to_owned(),
    };
    let secret = session.ask(&Request::post(path, body.into())).doing(|| "Error creating token".to_owned())?;
    session.show_or_say(secret, "Success! Created the token")
}

/// The token or accessor given as an argument; `-` reads it from standard input.
fn given(session: &mut Session) -> Result<Option<SecretString>, CliError> {
    match session.parsed.arg(0) {
        "" => Ok(None),
        "-" => Ok(Some(session.input.ask("Token", "give it as an argument")?.trim().to_owned().into())),
        token => Ok(Some(SecretString::new(token.trim().to_owned()))),
    }
}

/// Where a request about a token goes and what it says: about the own one, another, or one known by its accessor.
fn about(session: &mut Session, verb: &str) -> Result<(String, serde_json::Map<String, Value>), CliError> {
    let token = given(session)?;
    let token = token.as_ref().map(SecretString::expose);
    match (token, session.parsed.is_on("accessor")) {
        (None, true) => Err(CliError::usage("Not enough arguments with -accessor (expected 1, got 0)")),
        (None, false) => Ok((format!("auth/token/{verb}-self"), object([]))),
        (Some(accessor), true) => {
            Ok((format!("auth/token/{verb}-accessor"), object([("accessor", Some(accessor.into()))])))
        }
        (Some(token), false) => Ok((format!("auth/token/{verb}"), object([("token", Some(token.into()))]))),
    }
}

fn lookup(session: &mut Session) -> Result<Exit, CliError> {
    let (path, body) = about(session, "lookup")?;
    let request = if body.is_empty() { Request::get(path) } else { Request::post(path, body.into()) };
    let secret = session.read(&request).doing(|| "Error looking up token".to_owned())?;
    session.show(&secret)
}

fn renew(session: &mut Session) -> Result<Exit, CliError> {
    let (path, mut body) = about(session, "renew")?;
    if let Some(span) = session.parsed.span("increment")? {
        body.insert("increment".to_owned(), span.into());
    }
    let secret = session.ask(&Request::put(path, body.into())).doing(|| "Error renewing token".to_owned())?;
    session.show_or_say(secret, "Success! Renewed the token")
}

fn revoke(session: &mut Session) -> Result<Exit, CliError> {
    let (own, accessor) = (session.parsed.is_on("self"), session.parsed.is_on("accessor"));
    let mode = session.parsed.text("mode").unwrap_or_default().to_owned();
    let arg = session.parsed.arg(0).to_owned();
    let wrong = match (own, arg.is_empty()) {
        (true, false) => Some("Too many arguments with -self (expected 0, got 1)".to_owned()),
        (false, true) => Some("Not enough arguments (expected 1 or -self, got 0)".to_owned()),
        _ if own && (accessor || !mode.is_empty()) => Some("-self goes with neither -accessor nor -mode".to_owned()),
        _ if accessor && !mode.is_empty() => Some(format!("-accessor does not go with -mode={mode}")),
        _ if !matches!(mode.as_str(), "" | "orphan" | "path") => {
            Some(format!("Invalid mode: {mode}; it is orphan or path"))
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(CliError::usage(wrong));
    }
    let request = match mode.as_str() {
        "path" => Request::put(format!("sys/leases/revoke-prefix/{}", trimmed(&arg)), json!({})),
        mode => {
            let (path, body) = about(session, "revoke")?;
            let path = if mode == "orphan" { "auth/token/revoke-orphan".to_owned() } else { path };
            Request::put(path, body.into())
        }
    };
    session.ask(&request).doing(|| "Error revoking token".to_owned())?;
    session.success("Success! Revoked token (if it existed)");
    Ok(Exit::Good)
}

fn capabilities(session: &mut Session) -> Result<Exit, CliError> {
    let accessor = session.parsed.is_on("accessor");
    let (path, who) = match session.parsed.args() {
        [who, path] => (path.clone(), Some(Value::from(who.trim()))),
        _ => (session.parsed.arg(0).to_owned(), None),
    };
    let (door, name) = match (&who, accessor) {
        (None, true) => return Err(CliError::usage("Not enough arguments with -accessor (expected 2, got 1)")),
        (None, false) => ("sys/capabilities-self", "token"),
        (Some(_), true) => ("sys/capabilities-accessor", "accessor"),
        (Some(_), false) => ("sys/capabilities", "token"),
    };
    let body = object([(name, who), ("paths", Some(json!([path])))]);
    let secret = session.ask(&Request::post(door, body.into())).doing(|| "Error listing capabilities".to_owned())?;
    let found = secret.and_then(|secret| secret.get(&path).or_else(|| secret.get("capabilities")).cloned());
    let Some(Value::Array(list)) = found else {
        return Err(CliError::Answer("it has no capabilities in it".to_owned()));
    };
    let mut words: Vec<String> = list.iter().map(super::format::go_text).collect();
    words.sort();
    session.show_value(&Value::Array(list), || words.join(", "))
}
