//! What a value must be: of a size that its tier has, of the kind that its writer says, and matching the expression that
//! its writer gave. Texts of refusals never repeat the value.

use crate::aws::refusal::Refusal;
use regex::RegexBuilder;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use strongroom_core::secret::{ParameterKind, VersionNotes};

/// The longest value of the smaller tier, in bytes.
pub(super) const STANDARD: usize = 4_096;
const ADVANCED: usize = 8_192;
/// Compiled, an expression takes at most that many bytes.
const LARGEST_PATTERN: usize = 1 << 18;

/// Refuses a value that does not fit what is noted with it.
pub(super) fn value(text: &str, notes: &VersionNotes) -> Result<(), Refusal> {
    if text.is_empty() {
        return Err(Refusal::validation("Parameter value can't be empty."));
    }
    let (tier, longest) = if notes.advanced { ("Advanced", ADVANCED) } else { ("Standard", STANDARD) };
    if text.len() > longest {
        let more = if notes.advanced {
            ""
        } else {
            " To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier."
        };
        return Err(Refusal::validation(format!(
            "{tier} tier parameters support a maximum parameter value of {longest} characters.{more}"
        )));
    }
    if text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}")) {
        return Err(Refusal::validation("Parameter value: can't contain {{}}, nor refer to another parameter in it."));
    }
    pattern(text, &notes.pattern)?;
    data_type(text, notes)
}

fn pattern(text: &str, pattern: &str) -> Result<(), Refusal> {
    if pattern.is_empty() {
        return Ok(());
    }
    // Linear in time, whatever the expression; what it cannot do (looking around, referring back) is refused.
    let compiled = RegexBuilder::new(pattern).size_limit(LARGEST_PATTERN).build().map_err(|_| {
        Refusal::said(
            "InvalidAllowedPatternException",
            "The request doesn't meet the regular expression requirement: AllowedPattern is no expression that can be \
             used here, without looking around and referring back.",
        )
    })?;
    if compiled.is_match(text) {
        return Ok(());
    }
    let text = format!("Parameter value, cannot be validated against allowedPattern: {pattern}");
    Err(Refusal::said("ParameterPatternMismatchException", text))
}

/// Refuses a value that is not what its writer says it is.
fn data_type(text: &str, notes: &VersionNotes) -> Result<(), Refusal> {
    let kind = notes.data_type.as_str();
    if kind != "text" && notes.kind != ParameterKind::String {
        return Err(Refusal::validation(format!("The data type {kind} is supported for String parameters only.")));
    }
    let fits = match kind {
        // Checked by who uses them; a JSON document with comments is left to its reader.
        "text" | "aws:ssm:integration" | "jsonc" => true,
        "aws:ec2:image" => text.strip_prefix("ami-").is_some_and(|id| matches!(id.len(), 8 | 17) && is_hex(id)),
        "aws:region" => {
            text.split('-').count() >= 3
                && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        }
        "aws:account:id" => text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()),
        "boolean" => matches!(text, "true" | "false"),
        "integer" => text.parse::<i64>().is_ok(),
        "float" => text.parse::<f64>().is_ok_and(f64::is_finite),
        "binary" => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(text).is_ok()
        }
        "hostname" => is_host(text),
        "email" => text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && is_host(host)),
        "ipv4-address" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6-address" => text.parse::<Ipv6Addr>().is_ok(),
        "ip-address" => text.parse::<IpAddr>().is_ok(),
        "url" => text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty()),
        "json" => serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
        _ => {
            return Err(Refusal::validation(format!(
                "The following data type is not supported: {kind} (Data type names are all lowercase.)"
            )));
        }
    };
    if fits {
        Ok(())
    } else {
        Err(Refusal::validation(format!("The parameter value isn't valid for the data type {kind}.")))
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(fits) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(data_type: &str, pattern: &str) -> VersionNotes {
        VersionNotes {
            kind: ParameterKind::String,
            data_type: data_type.to_owned(),
            pattern: pattern.to_owned(),
            ..VersionNotes::default()
        }
    }

    #[test]
    fn a_value_is_what_its_writer_says() {
        for (kind, good, bad) in [
            ("aws:ec2:image", "ami-0a1b2c3d4e5f67890", "ami-x"),
            ("boolean", "true", "yes"),
            ("integer", "-3", "3.5"),
            ("float", "3.5", "x"),
            ("hostname", "db-1.internal", "-a"),
            ("email", "a@b.example", "@b"),
            ("ipv4-address", "10.0.0.1", "10.0.0.256"),
            ("ipv6-address", "::1", "10.0.0.1"),
            ("json", "{\"a\": [1]}", "{"),
            ("aws:account:id", "123456789012", "12"),
        ] {
            assert!(value(good, &notes(kind, "")).is_ok(), "{kind}");
            assert_eq!(value(bad, &notes(kind, "")).err().unwrap().words().code, "ValidationException", "{kind}");
        }
        assert!(value("x", &notes("Text", "")).is_err());
    }

    #[test]
    fn a_value_matches_its_expression_and_fits_its_tier() {
        let code = |text: &str, notes: &VersionNotes| value(text, notes).err().map(|refusal| refusal.words().code);
        assert_eq!(code("42", &notes("text", r"^\d+$")), None);
        assert_eq!(code("x", &notes("text", r"^\d+$")), Some("ParameterPatternMismatchException"));
        for bad in ["(", "(?=x)", r"(a)\1", "(((a{1000}){1000}){1000})"] {
            assert_eq!(code("x", &notes("text", bad)), Some("InvalidAllowedPatternException"), "{bad}");
        }
        let large = VersionNotes { advanced: true, ..notes("text", "") };
        assert_eq!(code(&"x".repeat(4_096), &notes("text", "")), None);
        assert_eq!(code(&"x".repeat(4_097), &notes("text", "")), Some("ValidationException"));
        assert_eq!((code(&"x".repeat(8_192), &large), code(&"x".repeat(8_193), &large).is_some()), (None, true));
        assert!(code("a {{ssm:x}} b", &large).is_some() && code("", &large).is_some());
    }
}
