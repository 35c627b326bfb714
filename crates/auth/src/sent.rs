//! Reads values that several methods take, with the limits that hold for all of them.

use strongroom_core::{CoreError, Fields};
use strongroom_model::{PolicyName, SecretString, Ttl};

/// A span in whole seconds. One that is not zero but below a second is refused: stored as seconds it would be zero,
/// and zero means "without end".
pub(crate) fn seconds(sent: &Fields, field: &str) -> Result<Option<Ttl>, CoreError> {
    let Some(span) = sent.ttl(field)? else { return Ok(None) };
    if span.secs() == 0 && !span.is_zero() {
        return Err(CoreError::Field {
            field: field.to_owned(),
            problem: "must be zero or at least one second".to_owned(),
        });
    }
    Ok(Some(Ttl::from_secs(span.secs())))
}

/// Names of policies, each once, in the order in which they were sent. `root` is refused here rather than at each login.
pub(crate) fn policies(sent: &Fields, field: &str) -> Result<Option<Vec<PolicyName>>, CoreError> {
    let Some(texts) = sent.list(field)? else { return Ok(None) };
    let mut policies: Vec<PolicyName> = Vec::with_capacity(texts.len());
    for text in texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let policy = PolicyName::parse(text)?;
        if policy.is_root() {
            let problem = "cannot hold `root`: auth methods cannot create root tokens".to_owned();
            return Err(CoreError::Field { field: field.to_owned(), problem });
        }
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    Ok(Some(policies))
}

/// The longest id or secret that is taken, in bytes. Vault's limit.
const LONGEST: usize = 4_096;

/// A secret without blanks around it, which clients pick up from files and terminals. None when nothing is left.
pub(crate) fn secret(sent: &Fields, field: &'static str) -> Result<Option<SecretString>, CoreError> {
    let Some(secret) = sent.secret(field)? else { return Ok(None) };
    let trimmed = SecretString::new(secret.expose().trim().to_owned());
    within_limit(field, trimmed.expose())?;
    Ok(Some(trimmed).filter(|secret| !secret.is_empty()))
}

/// An id, read as [`secret`] reads secrets; it is not one, but must not break lines in trails and logs.
pub(crate) fn id(sent: &Fields, field: &'static str) -> Result<Option<String>, CoreError> {
    let Some(text) = sent.text(field)? else { return Ok(None) };
    let text = text.trim();
    within_limit(field, text)?;
    if text.chars().any(char::is_control) {
        return Err(CoreError::Field { field: field.to_owned(), problem: "cannot hold control characters".to_owned() });
    }
    Ok(Some(text.to_owned()).filter(|text| !text.is_empty()))
}

fn within_limit(field: &'static str, text: &str) -> Result<(), CoreError> {
    let problem = || format!("is longer than the maximum of {LONGEST} bytes");
    if text.len() > LONGEST { Err(CoreError::Field { field: field.to_owned(), problem: problem() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn one(value: Value) -> Fields {
        [("f".to_owned(), value)].into_iter().collect()
    }

    #[test]
    fn a_span_below_a_second_does_not_become_endless() {
        assert!(seconds(&one(json!("250ms")), "f").is_err());
        assert_eq!(seconds(&one(json!("1500ms")), "f").unwrap(), Some(Ttl::from_secs(1)));
        assert_eq!(seconds(&one(json!(0)), "f").unwrap(), Some(Ttl::ZERO));
        assert_eq!(seconds(&one(Value::Null), "f").unwrap(), None);
    }

    #[test]
    fn root_in_any_spelling_is_no_policy_of_a_role() {
        for value in [json!("root"), json!(["web", " RooT "])] {
            let text = policies(&one(value), "f").unwrap_err().to_string();
            assert!(text.contains("root tokens"), "{text}");
        }
        let read = policies(&one(json!(["b", "A", " b", ""])), "f").unwrap().unwrap();
        assert_eq!(read.iter().map(PolicyName::as_str).collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn secrets_lose_their_outer_blanks_and_have_a_limit() {
        assert_eq!(secret(&one(json!(" s3cret\n")), "f").unwrap().unwrap().expose(), "s3cret");
        assert!(secret(&one(json!(" \n")), "f").unwrap().is_none());
        assert!(secret(&one(json!("x".repeat(4_096))), "f").is_ok());
        assert!(secret(&one(json!("x".repeat(4_097))), "f").is_err());
        assert!(id(&one(json!("a\nb")), "f").is_err());
        assert_eq!(id(&one(json!(" a b ")), "f").unwrap().as_deref(), Some("a b"));
    }
}
