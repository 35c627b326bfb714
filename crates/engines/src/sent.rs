//! Readers of values that several paths and engines take.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serializer;
use serde_json::Value;
use strongroom_core::{Captures, CoreError, Fields, Reply};
use strongroom_model::{RoleName, SecretString};

/// The name in the path.
pub(crate) fn name(captures: &Captures) -> Result<RoleName, CoreError> {
    Ok(RoleName::parse(captures.get("name"))?)
}

/// Statements: a list, or one text. A comma does not part them. What is base64 of text is taken for that, as Vault does
/// with one text; a statement has blanks, which base64 has not.
pub(crate) fn statements(sent: &Fields, field: &str) -> Result<Option<Vec<String>>, CoreError> {
    let texts = match sent.value(field) {
        None => return Ok(None),
        Some(Value::String(text)) => vec![decoded(text)],
        Some(Value::Array(items)) => {
            let text = |item: &Value| item.as_str().map(decoded).ok_or_else(|| wrong(field));
            items.iter().map(text).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong(field)),
    };
    Ok(Some(texts.into_iter().filter(|text| !text.trim().is_empty()).collect()))
}

fn decoded(text: &str) -> String {
    let bytes = STANDARD.decode(text.trim()).ok().filter(|bytes| !bytes.is_empty());
    let inner = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    inner.filter(|inner| inner.contains(char::is_whitespace)).unwrap_or_else(|| text.to_owned())
}

/// `credential_type` and `credential_config`: what makes passwords. `None`: nothing was sent about it.
pub(crate) fn password_settings(sent: &Fields) -> Result<Option<Option<RoleName>>, CoreError> {
    match sent.text("credential_type")?.as_deref() {
        None | Some("" | "password") => {}
        Some(_) => {
            let problem = "must be `password`; this version makes no other kind".to_owned();
            return Err(CoreError::Field { field: "credential_type".to_owned(), problem });
        }
    }
    let Some(settings) = sent.text_map("credential_config")? else { return Ok(None) };
    let policy = settings.get("password_policy").filter(|policy| !policy.is_empty());
    Ok(Some(policy.map(|policy| RoleName::parse(policy)).transpose()?))
}

fn wrong(field: &str) -> CoreError {
    CoreError::Field { field: field.to_owned(), problem: "must be a statement or a list of statements".to_owned() }
}

/// An answer without data that names what was sent under a name that nobody reads, as Vault does: a limit that was
/// misspelt would be none.
pub(crate) fn done(sent: &Fields, known: &[&str]) -> Reply {
    let ignored: Vec<&str> = sent.map().keys().map(String::as_str).filter(|field| !known.contains(field)).collect();
    match ignored.is_empty() {
        true => Reply::empty(),
        false => {
            Reply::empty().warn(format!("Endpoint ignored these unrecognized parameters: [{}]", ignored.join(" ")))
        }
    }
}

/// Takes over a value that was sent.
pub(crate) fn replace<T>(kept: &mut T, sent: Option<T>) {
    if let Some(sent) = sent {
        *kept = sent;
    }
}

/// Writes a secret into a record, which is sealed as a whole.
pub(crate) fn expose<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}
