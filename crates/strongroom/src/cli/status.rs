//! The state of the server: sealed or not, how many shares, which version. The one command whose exit code is its
//! result: 0 unsealed, 2 sealed, 1 when nobody knows.

use super::error::{CliError, Doing};
use super::format::{go_text, table};
use super::grammar::{Command, Exit};
use super::request::Request;
use super::secret::Secret;
use super::session::Session;
use serde_json::{Map, Value};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "status",
    usage: "[flags]",
    about: "Print whether the server is sealed",
    details: "\nEnds with 0 when it is unsealed, with 2 when it is sealed, with 1 when it cannot be reached.",
    flags: &[],
    count: (0, 0),
    run: |session| status(session).map_err(|error| CliError::NotTwo(Box::new(error))),
}];

fn status(session: &mut Session) -> Result<Exit, CliError> {
    let request = Request::get("sys/seal-status").in_root();
    let secret = session.ask(&request).doing(|| "Error checking seal status".to_owned())?;
    let mut state = secret.and_then(|secret| secret.data).unwrap_or_default();
    // Asked after the state, as Vault's command line does; a sealed server may refuse it, and an old one not know it.
    let leader = session.ask(&Request::get("sys/leader").in_root().preliminary()).ok().flatten();
    add_leader(&mut state, leader);
    show(session, &state)?;
    Ok(if is_sealed(&state) { Exit::Negative } else { Exit::Good })
}

fn add_leader(state: &mut Map<String, Value>, leader: Option<Secret>) {
    let leader = leader.and_then(|leader| leader.data).unwrap_or_default();
    let names = ["ha_enabled", "is_self", "active_time", "leader_address", "leader_cluster_address"];
    for name in names {
        if let Some(value) = leader.get(name).filter(|value| !matches!(value.as_str(), Some(""))) {
            state.insert(name.to_owned(), value.clone());
        }
    }
    state.entry("ha_enabled").or_insert(Value::Bool(false));
}

fn is_sealed(state: &Map<String, Value>) -> bool {
    state.get("sealed").and_then(Value::as_bool).unwrap_or(true)
}

/// Prints a state: that of `status`, or the one an unseal answers with.
pub(crate) fn show(session: &mut Session, state: &Map<String, Value>) -> Result<Exit, CliError> {
    if session.settings.field.is_some() {
        let mode = if state.get("is_self") == Some(&Value::Bool(true)) { "active" } else { "standby" };
        return session.show_field(
            |field| if field == "ha_mode" { Some(mode.into()) } else { state.get(field).cloned() },
            "seal status",
        );
    }
    session.show_value(&Value::Object(state.clone()), || table(&["Key", "Value"], &rows(state)))
}

fn rows(state: &Map<String, Value>) -> Vec<Vec<String>> {
    let text = |name: &str| state.get(name).map(go_text).unwrap_or_default();
    let sealed = is_sealed(state);
    let progress = format!("{}/{}", text("progress"), text("t"));
    let ha = state.get("ha_enabled") == Some(&Value::Bool(true));
    let mode = if state.get("is_self") == Some(&Value::Bool(true)) { "active" } else { "standby" };
    let row = |shown: &str, value: String| Some(vec![shown.to_owned(), value]);
    let given = |shown: &str, name: &str| if text(name).is_empty() { None } else { row(shown, text(name)) };
    let rows = [
        row("Seal Type", text("type")),
        row("Initialized", text("initialized")),
        row("Sealed", sealed.to_string()),
        row("Total Shares", text("n")),
        row("Threshold", text("t")),
        sealed.then(|| row("Unseal Progress", progress)).flatten(),
        sealed.then(|| row("Unseal Nonce", text("nonce"))).flatten(),
        given("Version", "version"),
        given("Build Date", "build_date"),
        given("Storage Type", "storage_type"),
        given("Cluster Name", "cluster_name"),
        given("Cluster ID", "cluster_id"),
        row("HA Enabled", ha.to_string()),
        (ha && !sealed).then(|| row("HA Cluster", text("leader_cluster_address"))).flatten(),
        (ha && !sealed).then(|| row("HA Mode", mode.to_owned())).flatten(),
        (ha && !sealed).then(|| given("Active Since", "active_time")).flatten(),
    ];
    rows.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(state: &Value) -> String {
        table(&["Key", "Value"], &rows(state.as_object().unwrap()))
    }

    #[test]
    fn an_unsealed_server_shows_no_progress() {
        let state = json!({"type": "shamir", "initialized": true, "sealed": false, "n": 5, "t": 3, "progress": 0, "nonce": "",
            "version": "1.16.3", "storage_type": "sqlite", "cluster_name": "c", "cluster_id": "i", "ha_enabled": false});
        let expected = "Key             Value\n---             -----\nSeal Type       shamir\nInitialized     true\n\
                        Sealed          false\nTotal Shares    5\nThreshold       3\nVersion         1.16.3\n\
                        Storage Type    sqlite\nCluster Name    c\nCluster ID      i\nHA Enabled      false";
        assert_eq!(shown(&state), expected);
    }

    #[test]
    fn a_sealed_server_shows_how_many_keys_it_has() {
        let state = json!({"type": "shamir", "initialized": true, "sealed": true, "n": 5, "t": 3, "progress": 1, "nonce": "abc"});
        let shown = shown(&state);
        assert!(shown.contains("Unseal Progress    1/3\n") && shown.contains("Unseal Nonce       abc\n"), "{shown}");
    }

    #[test]
    fn a_state_that_does_not_say_counts_as_sealed() {
        assert!(is_sealed(&Map::new()));
    }
}
