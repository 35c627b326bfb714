//! The commands of those who run the server: initialise, unseal, seal. Unseal keys are asked for without echo or read
//! from standard input; as an argument they work, as with Vault, but then they stand in the list of processes.

use super::error::{CliError, Doing};
use super::format::go_text;
use super::grammar::{Command, Exit, switch, valued};
use super::request::{Request, object};
use super::session::Session;
use super::status;
use serde_json::{Map, Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        words: "operator init",
        usage: "[flags]",
        about: "Initialise a new server",
        details: "\nPrints the unseal keys and the first root token, once. Nobody can print them again.",
        flags: &[
            super::grammar::Flag {
                name: "key-shares",
                alias: "n",
                value: "n",
                about: "Into how many shares the unseal key is split; 5 unless given",
            },
            super::grammar::Flag {
                name: "key-threshold",
                alias: "t",
                value: "n",
                about: "How many shares unseal; 3 unless given",
            },
            valued("recovery-shares", "n", "Shares of the recovery key, where the server unseals itself"),
            valued("recovery-threshold", "n", "How many of those are needed"),
            switch("status", "Only say whether it is initialised: 0 yes, 2 no, 1 unknown"),
        ],
        count: (0, 0),
        run: init,
    },
    Command {
        words: "operator unseal",
        usage: "[flags] [KEY]",
        about: "Give one unseal key to the server",
        details: "\nWithout KEY it is asked for without echo, or taken from standard input; - does the same.\n\
                  A key on the line can be seen in the list of processes.",
        flags: &[
            switch("reset", "Forget the keys given so far"),
            switch("migrate", "Refused: there is no other seal to move to"),
        ],
        count: (0, 1),
        run: unseal,
    },
    Command {
        words: "operator seal",
        usage: "[flags]",
        about: "Seal the server: it forgets its keys at once",
        details: "",
        flags: &[],
        count: (0, 0),
        run: |session| {
            session.ask(&Request::put_nothing("sys/seal").in_root()).doing(|| "Error sealing".to_owned())?;
            session.success("Success! The server is sealed.");
            Ok(Exit::Good)
        },
    },
    Command {
        words: "operator step-down",
        usage: "[flags]",
        about: "Make the active server a standby",
        details: "",
        flags: &[],
        count: (0, 0),
        run: |session| {
            session.ask(&Request::put_nothing("sys/step-down").in_root()).doing(|| "Error stepping down".to_owned())?;
            session.success("Success! The server stepped down.");
            Ok(Exit::Good)
        },
    },
];

const DEFAULT_SHARES: i64 = 5;
const DEFAULT_THRESHOLD: i64 = 3;

fn init(session: &mut Session) -> Result<Exit, CliError> {
    if session.parsed.is_on("status") {
        return init_status(session).map_err(|error| CliError::NotTwo(Box::new(error)));
    }
    let number = |name: &str| session.parsed.number(name);
    let (shares, threshold) = (number("key-shares")?, number("key-threshold")?);
    let (recovery_shares, recovery_threshold) = (number("recovery-shares")?, number("recovery-threshold")?);
    let (shares, threshold) = (shares.unwrap_or(DEFAULT_SHARES), threshold.unwrap_or(DEFAULT_THRESHOLD));
    let body = object([
        ("secret_shares", Some(shares.into())),
        ("secret_threshold", Some(threshold.into())),
        ("recovery_shares", recovery_shares.map(Value::from)),
        ("recovery_threshold", recovery_threshold.map(Value::from)),
    ]);
    let request = Request::put("sys/init", body.into()).in_root();
    let secret = session.ask(&request).doing(|| "Error initializing".to_owned())?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    let shown = json!({
        "unseal_keys_b64": list(&data, "keys_base64"),
        "unseal_keys_hex": list(&data, "keys"),
        "unseal_shares": shares,
        "unseal_threshold": threshold,
        "recovery_keys_b64": list(&data, "recovery_keys_base64"),
        "recovery_keys_hex": list(&data, "recovery_keys"),
        "recovery_keys_shares": recovery_shares.unwrap_or(0),
        "recovery_keys_threshold": recovery_threshold.unwrap_or(0),
        "root_token": data.get("root_token").cloned().unwrap_or_default(),
    });
    if session.settings.field.is_some() {
        return session.show_field(|field| shown.get(field).cloned(), "init");
    }
    session.show_value(&shown, || told(&data, threshold))
}

fn list(data: &Map<String, Value>, name: &str) -> Vec<Value> {
    data.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}

/// The keys and the token, and what to do with them.
fn told(data: &Map<String, Value>, threshold: i64) -> String {
    let mut lines = Vec::new();
    for (title, base64, hex) in
        [("Unseal", "keys_base64", "keys"), ("Recovery", "recovery_keys_base64", "recovery_keys")]
    {
        let keys = Some(list(data, base64)).filter(|keys| !keys.is_empty()).unwrap_or_else(|| list(data, hex));
        lines.extend(keys.iter().enumerate().map(|(n, key)| format!("{title} Key {}: {}", n + 1, go_text(key))));
    }
    lines.push(format!("\nInitial Root Token: {}\n", data.get("root_token").map(go_text).unwrap_or_default()));
    lines.push(format!(
        "Give each key to another person or place. Whenever the server was restarted or sealed, {threshold} of them\n\
         unseal it (`strongroom operator unseal`). Nobody can print them again: with fewer than {threshold} left, what\n\
         is stored is lost. Revoke the root token once there are others (`strongroom token revoke -self`)."
    ));
    lines.join("\n")
}

fn init_status(session: &mut Session) -> Result<Exit, CliError> {
    let secret = session.ask(&Request::get("sys/init").in_root()).doing(|| "Error checking init status".to_owned())?;
    let initialised = secret.and_then(|secret| secret.get("initialized")?.as_bool()).unwrap_or(false);
    session.show_value(&json!({ "initialized": initialised }), || {
        format!("The server is {}initialized", if initialised { "" } else { "not " })
    })?;
    Ok(if initialised { Exit::Good } else { Exit::Negative })
}

fn unseal(session: &mut Session) -> Result<Exit, CliError> {
    if session.parsed.is_on("migrate") {
        return Err(CliError::usage("-migrate: there is one kind of seal, so nothing can be moved to another"));
    }
    let body = if session.parsed.is_on("reset") {
        json!({ "reset": true })
    } else {
        let key = match session.parsed.arg(0) {
            "" | "-" => {
                session.input.ask("Unseal Key", "give the key on standard input, or as an argument")?.to_string()
            }
            key => key.to_owned(),
        };
        json!({ "key": key.trim() })
    };
    let secret = session.ask(&Request::put("sys/unseal", body).in_root()).doing(|| "Error unsealing".to_owned())?;
    let state = secret.and_then(|secret| secret.data).unwrap_or_default();
    status::show(session, &state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_token_stand_where_scripts_look_for_them() {
        let data = json!({"keys": ["aa", "bb"], "keys_base64": ["qg==", "uw=="], "root_token": "hvs.x"});
        let text = told(data.as_object().unwrap(), 2);
        assert!(text.starts_with("Unseal Key 1: qg==\nUnseal Key 2: uw==\n\nInitial Root Token: hvs.x\n"), "{text}");
        let hex = told(json!({"keys": ["aa"], "root_token": "hvs.x"}).as_object().unwrap(), 1);
        assert!(hex.starts_with("Unseal Key 1: aa\n"));
    }
}
