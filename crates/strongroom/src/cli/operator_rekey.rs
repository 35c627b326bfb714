//! New unseal keys: who may starts it, those who hold the present keys agree, the new ones are shown once, and with
//! `-verify` their holders show that they have them before anything changes.

use super::error::{CliError, Doing};
use super::format::{columns, go_text};
use super::grammar::{Command, Exit, Flag, switch, valued};
use super::request::{Request, object};
use super::session::Session;
use serde_json::{Map, Value, json};

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "operator rekey",
    usage: "[flags] [KEY]",
    about: "Replace the unseal keys",
    details: "\nBegin with -init, which needs a token with sudo. Each holder of a present key then\n\
              gives it:\n\
              \n    strongroom operator rekey -nonce=NONCE\n\
              \nThe last one gets the new keys. With -init -verify they are in force only after enough\n\
              of them were given with -verify. Without KEY it is asked for without echo, or taken\n\
              from standard input.",
    flags: &[
        switch("init", "Start; fails while another rekey is under way"),
        Flag { name: "key-shares", alias: "n", value: "n", about: "With -init: how many new keys; 5 unless given" },
        Flag { name: "key-threshold", alias: "t", value: "n", about: "With -init: how many unseal; 3 unless given" },
        valued("nonce", "text", "Names the rekey or the verification"),
        switch("verify", "With -init: the new keys must be verified. Else: act on that"),
        switch("status", "Show how far it is"),
        switch("cancel", "End it; with -verify: forget the new keys given so far"),
        valued("target", "barrier", "Only barrier: there are no recovery keys"),
    ],
    count: (0, 1),
    run: rekey,
}];

fn rekey(session: &mut Session) -> Result<Exit, CliError> {
    if !matches!(session.parsed.text("target"), None | Some("barrier")) {
        return Err(CliError::usage("-target: this server has unseal keys and no recovery keys"));
    }
    let verify = session.parsed.is_on("verify");
    match ["init", "cancel", "status"].map(|name| session.parsed.is_on(name)) {
        [true, false, false] => init(session, verify),
        [false, true, false] => cancel(session, verify),
        [false, false, true] => status(session, verify),
        [false, false, false] => provide(session, verify),
        _ => Err(CliError::usage("only one of -init, -cancel and -status can be given")),
    }
}

/// Where the present keys are collected, and where the new ones are.
fn place(verify: bool) -> &'static str {
    if verify { "sys/rekey/verify" } else { "sys/rekey/init" }
}

fn init(session: &mut Session, verify: bool) -> Result<Exit, CliError> {
    let body = object([
        ("secret_shares", Some(session.parsed.number("key-shares")?.unwrap_or(5).into())),
        ("secret_threshold", Some(session.parsed.number("key-threshold")?.unwrap_or(3).into())),
        ("require_verification", Some(verify.into())),
    ]);
    let request = Request::put("sys/rekey/init", body.into()).in_root();
    let secret = session.ask(&request).doing(|| "Error initializing rekey".to_owned())?;
    show(session, secret.and_then(|secret| secret.data).unwrap_or_default())
}

fn cancel(session: &mut Session, verify: bool) -> Result<Exit, CliError> {
    let mut request = Request::delete(place(verify)).in_root();
    if let Some(nonce) = session.parsed.text("nonce") {
        request = request.query("nonce", nonce);
    }
    session.ask(&request).doing(|| "Error canceling rekey".to_owned())?;
    session.success("Success! Canceled rekeying (if it was started)");
    Ok(Exit::Good)
}

fn status(session: &mut Session, verify: bool) -> Result<Exit, CliError> {
    let secret =
        session.read(&Request::get(place(verify)).in_root()).doing(|| "Error reading rekey status".to_owned())?;
    show(session, secret.data.unwrap_or_default())
}

fn provide(session: &mut Session, verify: bool) -> Result<Exit, CliError> {
    let (key, nonce) = key_and_nonce(session, place(verify))?;
    let request = if verify {
        Request::put("sys/rekey/verify", json!({ "key": key, "nonce": nonce }))
    } else {
        Request::put("sys/rekey/update", json!({ "key": key, "nonce": nonce }))
    };
    let secret = session.ask(&request.in_root()).doing(|| "Error posting unseal key".to_owned())?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    match (data.get("complete") == Some(&Value::Bool(true)), verify) {
        (false, _) => show(session, data),
        (true, true) => {
            session.success(
                "Rekey verification successful. The rekey operation is complete and the new keys are now active.",
            );
            Ok(Exit::Good)
        }
        (true, false) => {
            let told = told(&data);
            session.show_value(&Value::Object(data), || told)
        }
    }
}

/// One unseal key, and the nonce that it goes with: the one given, else, when the key is asked for, the one that the
/// server tells to who may know it.
pub(crate) fn key_and_nonce(session: &mut Session, status: &str) -> Result<(String, String), CliError> {
    let mut nonce = session.parsed.text("nonce").unwrap_or_default().to_owned();
    if nonce.is_empty() && session.parsed.arg(0).is_empty() {
        let request = Request::get(status).in_root().preliminary();
        let told = session.ask(&request).ok().flatten().and_then(|secret| secret.get("nonce").cloned());
        nonce = told.and_then(|nonce| nonce.as_str().map(str::to_owned)).unwrap_or_default();
        if !nonce.is_empty() {
            session.out.say(&format!("Operation nonce: {nonce}"));
        }
    }
    if nonce.is_empty() {
        return Err(CliError::usage("Missing nonce value: specify it via the -nonce flag"));
    }
    let key = match session.parsed.arg(0) {
        "" | "-" => session.input.ask("Unseal Key", "give the key on standard input, or as an argument")?.to_string(),
        key => key.to_owned(),
    };
    Ok((key.trim().to_owned(), nonce))
}

fn show(session: &mut Session, data: Map<String, Value>) -> Result<Exit, CliError> {
    if session.settings.field.is_some() {
        return session.show_object(&data);
    }
    let table = columns(&rows(&data));
    session.show_value(&Value::Object(data), || table)
}

fn rows(data: &Map<String, Value>) -> Vec<Vec<String>> {
    let text = |name: &str| data.get(name).map(go_text).unwrap_or_default();
    let required = if data.contains_key("required") { text("required") } else { text("t") };
    let mut rows = vec![vec!["Nonce".to_owned(), text("nonce")], vec!["Started".to_owned(), text("started")]];
    if data.get("started") == Some(&Value::Bool(true)) {
        rows.push(vec!["Rekey Progress".to_owned(), format!("{}/{required}", text("progress"))]);
        rows.push(vec!["New Shares".to_owned(), text("n")]);
        rows.push(vec!["New Threshold".to_owned(), text("t")]);
    }
    if data.get("verification_required") == Some(&Value::Bool(true)) {
        rows.push(vec!["Verification Required".to_owned(), "true".to_owned()]);
    }
    if !text("verification_nonce").is_empty() {
        rows.push(vec!["Verification Nonce".to_owned(), text("verification_nonce")]);
    }
    rows
}

/// The new keys, and what to do with them.
fn told(data: &Map<String, Value>) -> String {
    let keys = data.get("keys_base64").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines: Vec<String> =
        keys.iter().enumerate().map(|(n, key)| format!("Key {}: {}", n + 1, go_text(key))).collect();
    let text = |name: &str| data.get(name).map(go_text).unwrap_or_default();
    lines.push(format!("\nOperation nonce: {}\n", text("nonce")));
    if text("verification_nonce").is_empty() {
        lines.push(
            "The keys above are in force, and the former ones open nothing any more. Give each to another person or\n\
             place: nobody can print them again."
                .to_owned(),
        );
    } else {
        lines.push(format!(
            "The keys above are NOT in force yet: keep the former ones. Give each to its holder, and let them show that\n\
             they have it:\n\n    strongroom operator rekey -verify -nonce={}\n\n\
             Until then `strongroom operator rekey -cancel` leaves everything as it was.",
            text("verification_nonce")
        ));
    }
    lines.join("\n")
}
