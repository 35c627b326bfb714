//! What secrets engines and auth methods have in common on the line: both are mounts, enabled, tuned, listed and moved
//! the same way, under `sys/mounts` and `sys/auth`. The nouns themselves are in `secrets` and `auth`.

use super::error::{CliError, Doing};
use super::format::{go_text, table};
use super::grammar::{Exit, Flag, Parsed, read_span, switch, valued};
use super::path::{mount, trimmed};
use super::request::{Need, Request, object};
use super::session::Session;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// A kind of mount.
pub(crate) struct Noun {
    /// The path all of them are under, as `sys/mounts`.
    pub(crate) door: &'static str,
    /// What people call it.
    pub(crate) name: &'static str,
    /// What goes before the path when it is moved.
    pub(crate) prefix: &'static str,
}

pub(crate) const DESCRIPTION: Flag = valued("description", "text", "What people write about it");
pub(crate) const PATH: Flag = valued("path", "path", "Where to enable it; its type when not given");
pub(crate) const DEFAULT_TTL: Flag =
    valued("default-lease-ttl", "span", "How long leases live unless they say otherwise; -1 for as the system says");
pub(crate) const MAX_TTL: Flag =
    valued("max-lease-ttl", "span", "How long leases live at most; -1 for as the system says");
pub(crate) const OPTIONS: Flag = valued("options", "key=value", "An option of the type; may be repeated");
pub(crate) const VERSION: Flag =
    valued("version", "n", "Version of the type, as 2 for versioned kv; the same as -options=version=n");
pub(crate) const VISIBILITY: Flag =
    valued("listing-visibility", "v", "unauth shows the mount to those who have not logged in; hidden does not");
pub(crate) const AUDIT_REQUEST: Flag =
    valued("audit-non-hmac-request-keys", "key", "Key of requests that the audit shows in clear; may be repeated");
pub(crate) const AUDIT_RESPONSE: Flag = valued("audit-non-hmac-response-keys", "key", "The same for answers");
pub(crate) const REQUEST_HEADERS: Flag =
    valued("passthrough-request-headers", "name", "Header handed to the mount; may be repeated");
pub(crate) const RESPONSE_HEADERS: Flag =
    valued("allowed-response-headers", "name", "Header the mount may answer with; may be repeated");
pub(crate) const TOKEN_TYPE: Flag = valued("token-type", "type", "service, batch, default-service or default-batch");
pub(crate) const LOCKOUT_THRESHOLD: Flag =
    valued("user-lockout-threshold", "n", "So many failed logins in a row shut a user out; 0 for as usual");
pub(crate) const LOCKOUT_DURATION: Flag =
    valued("user-lockout-duration", "span", "For so long somebody is shut out; -1 for as usual");
pub(crate) const LOCKOUT_RESET: Flag =
    valued("user-lockout-counter-reset-duration", "span", "For so long a failed login counts; -1 for as usual");
pub(crate) const LOCKOUT_DISABLE: Flag = switch("user-lockout-disable", "Shut nobody out");
pub(crate) const DETAILED: Flag = switch("detailed", "Print everything that is known");
pub(crate) const LOCAL: Flag = switch("local", "Not replicated to other clusters");
pub(crate) const SEAL_WRAP: Flag = switch("seal-wrap", "Accepted: everything is encrypted anyway");

/// What is tuned, from the flags that were given.
fn config(parsed: &Parsed) -> Result<Map<String, Value>, CliError> {
    let span = |name: &str| Ok::<_, CliError>(span_or_system(parsed, name)?.map(Value::from));
    let list = |name: &str| parsed.text(name).map(|_| json!(parsed.list(name)));
    let text = |name: &str| parsed.text(name).map(Value::from);
    Ok(object([
        ("default_lease_ttl", span("default-lease-ttl")?),
        ("max_lease_ttl", span("max-lease-ttl")?),
        ("force_no_cache", parsed.switch("force-no-cache").map(Value::from)),
        ("listing_visibility", text("listing-visibility")),
        ("token_type", text("token-type")),
        ("audit_non_hmac_request_keys", list("audit-non-hmac-request-keys")),
        ("audit_non_hmac_response_keys", list("audit-non-hmac-response-keys")),
        ("passthrough_request_headers", list("passthrough-request-headers")),
        ("allowed_response_headers", list("allowed-response-headers")),
        ("user_lockout_config", lockout(parsed)?),
    ]))
}

/// When failed logins shut somebody out, as Vault's command line sends it: the number as text.
fn lockout(parsed: &Parsed) -> Result<Option<Value>, CliError> {
    let span = |name: &str| Ok::<_, CliError>(span_or_system(parsed, name)?.map(Value::from));
    let threshold = parsed.count("user-lockout-threshold", 0)?;
    let sent = object([
        ("lockout_threshold", threshold.map(|number| number.to_string().into())),
        ("lockout_duration", span("user-lockout-duration")?),
        ("lockout_counter_reset_duration", span("user-lockout-counter-reset-duration")?),
        ("lockout_disable", parsed.switch("user-lockout-disable").map(Value::from)),
    ]);
    Ok((!sent.is_empty()).then(|| sent.into()))
}

/// A span; one below zero stands for what holds without any, as in Vault, whose command line sends a word for it.
fn span_or_system(parsed: &Parsed, name: &str) -> Result<Option<String>, CliError> {
    match parsed.text(name).and_then(|text| text.trim().strip_prefix('-')) {
        Some(below) => read_span(&format!("flag -{name}"), below).map(|_| Some("system".to_owned())),
        None => parsed.span(name),
    }
}

fn options(parsed: &Parsed) -> Result<Option<Value>, CliError> {
    let mut options = parsed.map("options")?;
    if let Some(version) = parsed.number("version")?.filter(|version| *version > 0) {
        options.insert("version".to_owned(), version.to_string());
    }
    Ok((!options.is_empty()).then(|| json!(options)))
}

/// Enables one.
pub(crate) fn enable(session: &mut Session, noun: &Noun) -> Result<Exit, CliError> {
    let parsed = &session.parsed;
    let kind = parsed.arg(0).trim().to_owned();
    let path = trimmed(parsed.text("path").unwrap_or(&kind)).to_owned();
    let config = config(parsed)?;
    let body = object([
        ("type", Some(kind.as_str().into())),
        ("description", parsed.text("description").map(Value::from)),
        ("options", options(parsed)?),
        ("config", (!config.is_empty()).then(|| config.into())),
        ("local", parsed.switch("local").map(Value::from)),
        ("seal_wrap", parsed.switch("seal-wrap").map(Value::from)),
    ]);
    let request = Request::post(format!("{}/{path}", noun.door), body.into());
    session.ask(&request).doing(|| format!("Error enabling {kind}"))?;
    session.success(&format!("Success! Enabled the {kind} {} at: {}", noun.name, mount(&path)));
    Ok(Exit::Good)
}

/// Disables one, with everything in it.
pub(crate) fn disable(session: &mut Session, noun: &Noun) -> Result<Exit, CliError> {
    let path = trimmed(session.parsed.arg(0)).to_owned();
    let request = Request::delete(format!("{}/{path}", noun.door));
    session.ask(&request).doing(|| format!("Error disabling {} at {}", noun.name, mount(&path)))?;
    session.success(&format!("Success! Disabled the {} (if it existed) at: {}", noun.name, mount(&path)));
    Ok(Exit::Good)
}

/// Changes its settings.
pub(crate) fn tune(session: &mut Session, noun: &Noun) -> Result<Exit, CliError> {
    let path = trimmed(session.parsed.arg(0)).to_owned();
    let mut body = config(&session.parsed)?;
    if let Some(options) = options(&session.parsed)? {
        body.insert("options".to_owned(), options);
    }
    if let Some(text) = session.parsed.text("description") {
        body.insert("description".to_owned(), text.into());
    }
    tune_with(session, noun, &path, body)
}

/// Changes these settings of it.
pub(crate) fn tune_with(
    session: &mut Session,
    noun: &Noun,
    path: &str,
    body: Map<String, Value>,
) -> Result<Exit, CliError> {
    let request = Request::post(format!("{}/{path}/tune", noun.door), body.into());
    session.ask(&request).doing(|| format!("Error tuning {} {}", noun.name, mount(path)))?;
    session.success(&format!("Success! Tuned the {} at: {}", noun.name, mount(path)));
    Ok(Exit::Good)
}

/// How often a move is looked at, and for how long, before it is left to the server.
const LOOKS: u32 = 600;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Moves one to another path and waits until it is there.
pub(crate) fn relocate(session: &mut Session, noun: &Noun) -> Result<Exit, CliError> {
    let (from, to) = (mount(session.parsed.arg(0)), mount(session.parsed.arg(1)));
    let body = json!({ "from": format!("{}{from}", noun.prefix), "to": format!("{}{to}", noun.prefix) });
    if session.wants_policy() {
        let moving = Need::at("sys/remount", &["update", "sudo"]);
        return Err(session.print_needs(&[moving, Need::each("sys/remount/status/+", &["read"])]));
    }
    let started = session
        .ask(&Request::post("sys/remount", body))
        .doing(|| format!("Error moving {} {from} to {to}", noun.name))?;
    let id = started.and_then(|secret| secret.get("migration_id").map(go_text));
    if let Some(id) = id {
        wait_for_move(session, &id)?;
    }
    session.success(&format!("Success! Finished moving {} {from} to {to}", noun.name));
    Ok(Exit::Good)
}

fn wait_for_move(session: &mut Session, id: &str) -> Result<(), CliError> {
    for _ in 0..LOOKS {
        let request = Request::get(format!("sys/remount/status/{id}"));
        let found = match session.read(&request) {
            // A server that cannot be asked how a move goes on (ours, and Vault before 1.10) is done when it answers.
            Err(error) if error.means_unknown_address() => return Ok(()),
            found => found.doing(|| "Error checking the move".to_owned())?,
        };
        match found.object("migration_info").and_then(|info| info.get("status")).and_then(Value::as_str) {
            Some("success") => return Ok(()),
            Some("failure") => {
                return Err(CliError::Answer(format!("the move {id} failed; the server's log says why")));
            }
            _ => std::thread::sleep(BETWEEN_LOOKS),
        }
    }
    Err(CliError::Answer(format!("the move {id} goes on; see `strongroom read sys/remount/status/{id}`")))
}

/// Lists them.
pub(crate) fn list(session: &mut Session, noun: &Noun) -> Result<Exit, CliError> {
    let secret = session.read(&Request::get(noun.door)).doing(|| format!("Error listing {}s", noun.name))?;
    let data = secret.data.unwrap_or_default();
    let detailed = session.parsed.is_on("detailed");
    session
        .show_value(&Value::Object(data.clone()), || if detailed { detailed_table(&data) } else { simple_table(&data) })
}

fn simple_table(data: &Map<String, Value>) -> String {
    let rows: Vec<Vec<String>> =
        entries(data).map(|(path, entry)| row(path, entry, &["type", "accessor", "description"])).collect();
    table(&["Path", "Type", "Accessor", "Description"], &rows)
}

fn detailed_table(data: &Map<String, Value>) -> String {
    let rows: Vec<Vec<String>> = entries(data)
        .map(|(path, entry)| {
            let config = entry.get("config").cloned().unwrap_or_default();
            let span = |name: &str| match config.get(name).and_then(Value::as_u64) {
                None | Some(0) => "system".to_owned(),
                Some(secs) => secs.to_string(),
            };
            let local = entry.get("local") == Some(&Value::Bool(true));
            let mut cells = row(path, entry, &["type", "accessor"]);
            cells.extend([span("default_lease_ttl"), span("max_lease_ttl")]);
            cells.push(if local { "local" } else { "replicated" }.to_owned());
            cells.push(entry.get("options").map_or_else(|| "map[]".to_owned(), options_text));
            cells.extend(["description", "uuid"].map(|name| text_of(entry, name)));
            cells
        })
        .collect();
    table(
        &["Path", "Plugin", "Accessor", "Default TTL", "Max TTL", "Replication", "Options", "Description", "UUID"],
        &rows,
    )
}

fn options_text(options: &Value) -> String {
    if options.is_null() { "map[]".to_owned() } else { go_text(options) }
}

/// The entries that are mounts: an old answer carries other things beside them.
fn entries(data: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    data.iter().filter(|(_, entry)| entry.get("type").is_some())
}

fn row(path: &str, entry: &Value, names: &[&str]) -> Vec<String> {
    std::iter::once(path.to_owned()).chain(names.iter().map(|name| text_of(entry, name))).collect()
}

fn text_of(entry: &Value, name: &str) -> String {
    entry.get(name).filter(|value| !value.is_null()).map(go_text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_shows_mounts_and_nothing_else() {
        let data = json!({"secret/": {"type": "kv", "accessor": "kv_1", "description": ""}, "request_id": "x",
            "sys/": {"type": "system", "accessor": "system_1", "description": "its own", "config": {"max_lease_ttl": 60}}});
        let data = data.as_object().unwrap();
        assert_eq!(
            simple_table(data),
            "Path       Type      Accessor    Description\n----       ----      --------    -----------\n\
             secret/    kv        kv_1        n/a\nsys/       system    system_1    its own"
        );
        assert!(detailed_table(data).contains("system         60"), "{}", detailed_table(data));
    }
}
