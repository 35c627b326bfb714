//! A root token from unseal keys, for who has lost all tokens. It comes encoded with a one-time password, so that who
//! gives the last key does not learn it; decoding needs no server.

use super::error::{CliError, Doing};
use super::format::{columns, go_text};
use super::grammar::{Command, Exit, switch, valued};
use super::operator_rekey::key_and_nonce;
use super::request::{Request, object};
use super::session::Session;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value, json};
use strongroom_barrier::SystemEntropy;
use strongroom_model::base62;
use zeroize::Zeroizing;

const ATTEMPT: &str = "sys/generate-root/attempt";

/// What there is.
pub(crate) const COMMANDS: &[Command] = &[Command {
    words: "operator generate-root",
    usage: "[flags] [KEY]",
    about: "Make a root token from unseal keys",
    details: "\nBegin with -init, which needs no token and prints a nonce and a one-time password. Each\n\
              holder of an unseal key then gives it:\n\
              \n    strongroom operator generate-root -nonce=NONCE\n\
              \nThe last one gets the encoded token, which the one-time password opens:\n\
              \n    strongroom operator generate-root -decode=ENCODED -otp=OTP\n\
              \nWithout KEY it is asked for without echo, or taken from standard input.",
    flags: &[
        switch("init", "Start; fails while another attempt is under way"),
        switch("generate-otp", "Print a one-time password that -init -otp takes"),
        valued("otp", "text", "The one-time password; -init makes one unless given"),
        valued("decode", "text", "Print the token in what the last holder got; - reads it"),
        valued("nonce", "text", "Names the attempt"),
        switch("status", "Show how far it is"),
        switch("cancel", "End it: needs -nonce, or a token with sudo"),
        valued("pgp-key", "file", "Refused: tokens are not encrypted with PGP"),
    ],
    count: (0, 1),
    run: generate_root,
}];

fn generate_root(session: &mut Session) -> Result<Exit, CliError> {
    if session.parsed.text("pgp-key").is_some() {
        return Err(CliError::usage("-pgp-key: tokens are not encrypted with PGP in this version; use -otp"));
    }
    if session.parsed.text("decode").is_some() {
        return decode(session);
    }
    match ["init", "cancel", "status", "generate-otp"].map(|name| session.parsed.is_on(name)) {
        [true, false, false, false] => init(session),
        [false, true, false, false] => cancel(session),
        [false, false, true, false] => status(session),
        [false, false, false, true] => generate_otp(session),
        [false, false, false, false] => provide(session),
        _ => Err(CliError::usage("only one of -init, -cancel, -status, -generate-otp and -decode can be given")),
    }
}

fn init(session: &mut Session) -> Result<Exit, CliError> {
    let body = object([("otp", session.parsed.text("otp").map(Value::from))]);
    let request = Request::put(ATTEMPT, body.into()).in_root();
    let secret = session.ask(&request).doing(|| "Error initializing root generation".to_owned())?;
    show(session, secret.and_then(|secret| secret.data).unwrap_or_default())
}

fn cancel(session: &mut Session) -> Result<Exit, CliError> {
    let mut request = Request::delete(ATTEMPT).in_root();
    if let Some(nonce) = session.parsed.text("nonce") {
        request = request.query("nonce", nonce);
    }
    session.ask(&request).doing(|| "Error canceling root token generation".to_owned())?;
    session.success("Success! Root token generation canceled (if it was started)");
    Ok(Exit::Good)
}

fn status(session: &mut Session) -> Result<Exit, CliError> {
    let data = read_status(session)?;
    show(session, data)
}

fn read_status(session: &mut Session) -> Result<Map<String, Value>, CliError> {
    let secret = session.read(&Request::get(ATTEMPT).in_root());
    Ok(secret.doing(|| "Error getting root generation status".to_owned())?.data.unwrap_or_default())
}

fn generate_otp(session: &mut Session) -> Result<Exit, CliError> {
    let status = read_status(session)?;
    let length = status.get("otp_length").and_then(Value::as_u64).and_then(|length| usize::try_from(length).ok());
    let length = length.filter(|length| (1..=1_024).contains(length));
    let length = length.ok_or_else(|| CliError::Answer("it does not say how long the password must be".to_owned()))?;
    let otp = base62::random(&SystemEntropy, length);
    let shown = json!({ "otp": otp, "otp_length": length });
    session.show_value(&shown, || otp)
}

fn decode(session: &mut Session) -> Result<Exit, CliError> {
    let otp = session.parsed.text("otp").unwrap_or_default().to_owned();
    if otp.is_empty() {
        return Err(CliError::usage("Missing otp: use -otp to supply it"));
    }
    let encoded = match session.parsed.text("decode").unwrap_or_default() {
        "-" => session.input.ask("Encoded token", "give it on standard input")?.to_string(),
        encoded => encoded.to_owned(),
    };
    let token = decoded(encoded.trim(), otp.as_bytes()).map_err(CliError::usage)?;
    let shown = json!({ "token": token.as_str() });
    session.show_value(&shown, || token.to_string())
}

fn decoded(encoded: &str, otp: &[u8]) -> Result<Zeroizing<String>, &'static str> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&STANDARD, config).decode(encoded);
    let bytes = Zeroizing::new(bytes.map_err(|_| "Error decoding root token: it is not base64; copy it again")?);
    if bytes.len() != otp.len() {
        return Err(
            "Error decoding root token: it and the one-time password differ in length, so they do not belong together",
        );
    }
    let token: Vec<u8> = bytes.iter().zip(otp).map(|(a, b)| a ^ b).collect();
    let text = String::from_utf8(token).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.map(Zeroizing::new).ok_or("Error decoding root token: it was not encoded with this one-time password")
}

fn provide(session: &mut Session) -> Result<Exit, CliError> {
    let (key, nonce) = key_and_nonce(session, ATTEMPT)?;
    let request = Request::put("sys/generate-root/update", json!({ "key": key, "nonce": nonce })).in_root();
    let secret = session.ask(&request).doing(|| "Error posting unseal key".to_owned())?;
    show(session, secret.and_then(|secret| secret.data).unwrap_or_default())
}

fn show(session: &mut Session, data: Map<String, Value>) -> Result<Exit, CliError> {
    if session.settings.field.is_some() {
        return session.show_object(&data);
    }
    let text = |name: &str| data.get(name).map(go_text).unwrap_or_default();
    if !text("otp").is_empty() && session.settings.format == super::format::Format::Table {
        session.out.say(
            "A one-time password was made and is shown as OTP. It is needed to decode the token, so keep it safe.",
        );
    }
    let mut rows = vec![
        vec!["Nonce".to_owned(), text("nonce")],
        vec!["Started".to_owned(), text("started")],
        vec!["Progress".to_owned(), format!("{}/{}", text("progress"), text("required"))],
        vec!["Complete".to_owned(), text("complete")],
    ];
    for (shown, name) in [("Encoded Token", "encoded_token"), ("OTP", "otp")] {
        if !text(name).is_empty() {
            rows.push(vec![shown.to_owned(), text(name)]);
        }
    }
    if !matches!(text("otp_length").as_str(), "" | "0") {
        rows.push(vec!["OTP Length".to_owned(), text("otp_length")]);
    }
    let table = columns(&rows);
    session.show_value(&Value::Object(data), || table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_vault_encoded_is_decoded() {
        let otp = b"BMjzW3wAsEzINXCM05Wbas3u9zSl";
        let token = b"hvs.ABCDEFGHIJKLMNOPQRSTUVWX";
        let bytes: Vec<u8> = token.iter().zip(otp).map(|(a, b)| a ^ b).collect();
        let encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes);
        assert_eq!(decoded(&encoded, otp).unwrap().as_bytes(), token);
        assert_eq!(decoded(&format!("{encoded}=="), otp).unwrap().as_bytes(), token);
        assert!(decoded(&encoded, &otp[1..]).unwrap_err().contains("differ in length"));
        assert!(decoded(&encoded, &[0xFF; 28]).unwrap_err().contains("not encoded with"));
        assert!(decoded("not base64!", otp).unwrap_err().contains("not base64"));
    }
}
