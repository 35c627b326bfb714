//! The server as it tells of itself to anybody (`sys/health`), and the token that would be sent to it.

use super::Finding;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::format::{go_text, human_span};
use crate::cli::request::Request;
use crate::cli::secret::Secret;
use crate::cli::session::Session;
use crate::cli::token_file::TokenFile;
use serde_json::{Map, Value};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use strongroom_model::SecretString;

/// For one answer; a doctor does not wait a minute.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clocks that differ by more make tokens and certificates end at the wrong time.
const MOST_SKEW_SECS: i64 = 30;
/// A token that ends before this is worth a warning.
const SOON_SECS: u64 = 15 * 60;

/// Looks at all of it.
pub(super) fn look(session: &mut Session) -> Vec<Finding> {
    session.settings.timeout = session.settings.timeout.min(PATIENCE);
    session.settings.retries = 0;
    let client = match Client::new(&session.settings) {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::problem("server", error.to_string(), "correct the flag or variable named there")];
        }
    };
    let health = match health(&client) {
        Ok(health) => health,
        Err(finding) => return vec![finding],
    };
    let is_on = |name: &str| health.get(name).and_then(Value::as_bool);
    let mut findings = vec![seal(is_on("initialized"), is_on("sealed"))];
    findings.extend(storage_and_trail(&health));
    findings.push(version(&health));
    findings.extend(clock(&health, jiff::Timestamp::now().as_second()));
    findings.extend(token_file(session));
    findings.push(match is_on("sealed") {
        Some(false) => token(session, &client),
        _ => Finding::unknown("token", "a sealed server cannot tell"),
    });
    findings
}

fn health(client: &Client) -> Result<Map<String, Value>, Finding> {
    let request = Request::get("sys/health").in_root().query("standbyok", "true").query("perfstandbyok", "true");
    let reply = client.exchange(&request, None).map_err(|error| match error {
        CliError::Transport { why, advice, .. } => Finding::problem("server", why, advice),
        error => Finding::problem("server", error.to_string(), "look at the server's log"),
    })?;
    if reply.status == 400 && String::from_utf8_lossy(&reply.body).contains("HTTPS") {
        let mend = format!("export VAULT_ADDR={}", client.base().replacen("http:", "https:", 1));
        return Err(Finding::problem("server", "the server speaks TLS there, and was asked without", mend));
    }
    let body = Secret::parse(&reply.body).ok().flatten().and_then(|answer| answer.data);
    body.filter(|body| body.contains_key("initialized")).ok_or_else(|| {
        let what = format!("what answers there (status {}) is neither a Strongroom nor a Vault", reply.status);
        Finding::problem(
            "server",
            what,
            "export VAULT_ADDR=... with the address of the server, not of something before it",
        )
    })
}

fn seal(initialized: Option<bool>, sealed: Option<bool>) -> Finding {
    match (initialized, sealed) {
        (Some(false), _) => Finding::problem("seal", "the server was never initialised", "strongroom operator init"),
        (_, Some(false)) => Finding::good("seal", "unsealed"),
        _ => Finding::problem("seal", "the server is sealed", "strongroom operator unseal"),
    }
}

fn storage_and_trail(health: &Map<String, Value>) -> Vec<Finding> {
    let told = |name: &str| health.get(name).and_then(Value::as_bool);
    let storage = match told("storage_writable") {
        Some(true) => Finding::good("storage", "can be written"),
        Some(false) => Finding::problem(
            "storage",
            "the store cannot be written, so nothing can be changed",
            "df -h   (on the server, for the folder of its `storage` stanza); then look at the server's log",
        ),
        None => Finding::unknown("storage", "this server does not tell"),
    };
    let trail = match (told("trail_writable"), told("trail_intact")) {
        (Some(false), _) => Finding::problem(
            "trail",
            "the audit trail cannot be written, so every request is refused",
            "df -h   (on the server, for the folder of its trail); then look at the server's log",
        ),
        (_, Some(false)) => Finding::problem(
            "trail",
            "an error was met in the audit trail",
            "strongroom audit verify FOLDER   (on the server)",
        ),
        (Some(true), _) => Finding::good("trail", "can be written"),
        (None, _) => Finding::unknown("trail", "this server does not tell"),
    };
    vec![storage, trail]
}

fn version(health: &Map<String, Value>) -> Finding {
    let version = health.get("version").map(go_text).unwrap_or_default();
    // Only ours tells of its trail.
    let is_ours = health.contains_key("trail_writable");
    let kind = if is_ours { "Strongroom, which answers as Vault" } else { "Vault" };
    Finding::good("version", format!("the server is {kind} {version}; this program is {}", env!("CARGO_PKG_VERSION")))
}

fn clock(health: &Map<String, Value>, own: i64) -> Option<Finding> {
    let theirs = health.get("server_time_utc").and_then(Value::as_i64)?;
    let ahead = own - theirs;
    let which = if ahead > 0 { "ahead of" } else { "behind" };
    Some(match ahead.abs() {
        off if off <= MOST_SKEW_SECS => Finding::good("clock", format!("{off} s from the server's")),
        off => Finding::problem(
            "clock",
            format!(
                "this machine's clock is {off} s {which} the server's, so times of tokens and certificates are wrong"
            ),
            "timedatectl set-ntp true   (on the machine whose clock is wrong)",
        ),
    })
}

/// A token file that others may read is theirs too.
fn token_file(session: &Session) -> Option<Finding> {
    let file = TokenFile::of(&session.env)?;
    let mode = std::fs::metadata(file.path()).ok()?.permissions().mode() & 0o777;
    let path = file.path().display().to_string();
    (mode & 0o077 != 0).then(|| {
        let what = format!("others on this machine can get at the token in {path} (mode {mode:04o})");
        Finding::warning("token file", what, format!("chmod 600 {path}"))
    })
}

fn token(session: &mut Session, client: &Client) -> Finding {
    let from = match (&session.settings.token, session.env.named("TOKEN")) {
        (Some(_), Some((name, _))) => name,
        _ => TokenFile::of(&session.env).map_or_else(String::new, |file| file.path().display().to_string()),
    };
    let token = match session.own_token() {
        Ok(Some(token)) => token.duplicate(),
        Ok(None) => {
            return Finding::problem("token", "there is none, neither in VAULT_TOKEN nor in the token file", LOGIN);
        }
        Err(error) => return Finding::problem("token", error.to_string(), LOGIN),
    };
    looked_up(client, &token, &from)
}

const LOGIN: &str = "strongroom login";

fn looked_up(client: &Client, token: &SecretString, from: &str) -> Finding {
    let looked = client.look(&Request::get("auth/token/lookup-self"), Some(token));
    let secret = match looked {
        Ok(Some(secret)) => secret,
        Ok(None) => return Finding::unknown("token", "the server says nothing about it"),
        Err(error) if error.status() == Some(403) => {
            let what = format!("the token from {from} is refused: it ended, was revoked, or may not look at itself");
            return Finding::problem("token", what, format!("{LOGIN}   (unset VAULT_TOKEN first, if it is set)"));
        }
        Err(error) => return Finding::problem("token", error.to_string(), "look at the server's log"),
    };
    of_token(&secret, from)
}

fn of_token(secret: &Secret, from: &str) -> Finding {
    let policies = secret.get("policies").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let policies: Vec<String> = policies.iter().map(go_text).collect();
    let ttl = secret.get("ttl").and_then(Value::as_u64).unwrap_or(0);
    let renewable = secret.get("renewable") == Some(&Value::Bool(true));
    let life = if ttl == 0 { "without end".to_owned() } else { format!("for {} more", human_span(ttl)) };
    let what = format!("valid {life}, from {from}, with the policies {}", policies.join(", "));
    match ttl {
        1..SOON_SECS if renewable => Finding::warning("token", what, "strongroom token renew"),
        1..SOON_SECS => Finding::warning("token", what, LOGIN),
        _ if policies.iter().any(|policy| policy == "root") => Finding::warning(
            "token",
            format!("{what}: a root token may do everything, and is not for every day"),
            "strongroom token create -policy=NAME; then log in with that, and revoke the root token",
        ),
        _ => Finding::good("token", what),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_server_tells_is_judged() {
        let ill = json!({"initialized": true, "sealed": false, "storage_writable": false, "trail_writable": true,
            "trail_intact": false, "server_time_utc": 1_000, "version": "1.16.3"});
        let ill = ill.as_object().unwrap();
        let states: Vec<State> = storage_and_trail(ill).iter().map(|finding| finding.state).collect();
        assert_eq!(states, [State::Problem, State::Problem]);
        assert!(clock(ill, 1_400).unwrap().what.contains("400 s ahead of"));
        assert_eq!(clock(ill, 990).unwrap().state, State::Good);
        assert_eq!(clock(&Map::new(), 990).map(|finding| finding.state), None);
        assert_eq!(seal(Some(false), Some(true)).mend, "strongroom operator init");
        assert_eq!(seal(Some(true), Some(true)).mend, "strongroom operator unseal");
        assert!(version(ill).what.contains("Strongroom") && !version(&Map::new()).what.contains("Strongroom"));
    }

    #[test]
    fn a_token_that_ends_soon_is_renewed_or_replaced() {
        let mend = |answer: Value| of_token(&Secret::from_value(json!({ "data": answer })).unwrap(), "x").mend;
        assert_eq!(mend(json!({"ttl": 60, "renewable": true, "policies": ["default"]})), "strongroom token renew");
        assert_eq!(mend(json!({"ttl": 60, "renewable": false, "policies": ["default"]})), "strongroom login");
        assert_eq!(mend(json!({"ttl": 86_400, "policies": ["default"]})), "");
        assert!(mend(json!({"ttl": 0, "policies": ["root"]})).contains("token create"));
    }
}
