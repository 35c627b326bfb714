//! `operator verify`: whether the store is as it was written. The server reads all of it, since it alone has the keys.

use super::error::{CliError, Doing};
use super::format::{go_text, table};
use super::grammar::{Command, Exit};
use super::request::Request;
use super::session::Session;
use serde_json::{Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "operator verify",
    usage: "[flags]",
    about: "Read the whole store, and name what is not as it was written",
    details: "\nFinds what was altered, moved, added or removed behind the server's back, also where\n\
              nobody has asked yet. The server goes on serving. Takes time in proportion to the\n\
              data: raise VAULT_CLIENT_TIMEOUT for large stores. Needs sudo on\n\
              sys/strongroom/verify. Ends with 2 when something is damaged.",
    flags: &[],
    count: (0, 0),
    run: verify,
}];

fn verify(session: &mut Session) -> Result<Exit, CliError> {
    let request = Request::put("sys/strongroom/verify", json!({}));
    let secret = session.read(&request).doing(|| "Error verifying the store".to_owned())?;
    let data = secret.data.unwrap_or_default();
    let intact = data.get("intact").and_then(Value::as_bool).unwrap_or_default();
    let shown = Value::Object(data);
    session.show_value(&shown, || if intact { INTACT.to_owned() } else { findings(&shown) })?;
    Ok(if intact { Exit::Good } else { Exit::Negative })
}

const INTACT: &str = "The store is as it was written.";

fn findings(data: &Value) -> String {
    let text = |found: &Value, name: &str| found.get(name).map(go_text).unwrap_or_default();
    let found = data.get("findings").and_then(Value::as_array);
    let rows: Vec<Vec<String>> = found
        .into_iter()
        .flatten()
        .map(|found| vec![text(found, "kind"), text(found, "how"), text(found, "key")])
        .collect();
    let count = data.get("damaged").map(go_text).unwrap_or_default();
    let advice = "Restore a snapshot, or write what is damaged anew; find out who reached the store.";
    format!("{}\n\nDamaged: {count}. {advice}", table(&["Record", "Has been", "Key in the store"], &rows))
}
