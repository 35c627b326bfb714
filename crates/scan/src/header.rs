//! Values of an `Authorization` header that stand alone: `Bearer TOKEN` and `Basic BASE64` (RFC 6750, RFC 7617). The words
//! alone tell little, so a token must look random and the base64 must hold a name and a password.

use crate::placeholder::{is_placeholder, is_reference};
use crate::random::is_random;
use crate::{Finding, Kind};
use regex::Regex;
use std::sync::LazyLock;

static SCHEMES: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let tokens = r"bearer[ \t]+(?P<token>[a-z0-9._~+/-]{16,4096}=*)";
    let pairs = r"basic[ \t]+(?P<pair>[a-z0-9+/]{4,4096}={0,2})";
    Regex::new(&format!(r#"(?i)(?:^|[\s"'=:,])(?:{tokens}|{pairs})(?:$|[\s"',;])"#)).ok()
});

/// Tokens and passwords behind their scheme.
pub(crate) fn find(text: &str) -> Vec<Finding> {
    let Some(schemes) = SCHEMES.as_ref() else { return Vec::new() };
    let judge = |found: regex::Captures<'_>| {
        let (range, tells) = match (found.name("token"), found.name("pair")) {
            (Some(token), _) => (token.range(), is_token(token.as_str())),
            (None, pair) => (pair?.range(), is_pair(pair?.as_str())),
        };
        tells.then_some(Finding { kind: Kind::KnownFormat, what: "the value of an Authorization header", range })
    };
    schemes.captures_iter(text).filter_map(judge).collect()
}

fn is_token(text: &str) -> bool {
    is_random(text.trim_end_matches('='), 16) && !is_placeholder(text.as_bytes())
}

/// Whether base64 holds `NAME:PASSWORD`.
fn is_pair(text: &str) -> bool {
    let plain = decoded(text).and_then(|bytes| String::from_utf8(bytes).ok());
    plain.is_some_and(|plain| {
        let seen = !plain.chars().any(char::is_control);
        seen && plain.split_once(':').is_some_and(|(_, password)| !password.is_empty() && !is_reference(password))
    })
}

/// What base64 stands for; padding may be missing.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(text.len()), 0_u32, 0_u32);
    for letter in text.bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        (bits, held) = ((bits << 6) | u32::from(six), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
    }
    (text.len() % 4 != 1).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_told_from_sentences_about_them() {
        let is_one = |text: &str| !find(text).is_empty();
        for text in [
            "Basic YXBwOmh1bnRlcjI=",
            "basic YXBwOmh1bnRlcjI",
            "Bearer tqOz1xVbN8rYcKm4pL2s",
            "authorization=Bearer tqOz1xVbN8rYcKm4pL2s==",
            "{\"header\": \"Bearer 9f86d081884c7d659a2feaa0c55ad015\"}",
        ] {
            assert!(is_one(text), "{text}");
        }
        for text in [
            "Bearer",
            "Bearer authentication-is-required",
            "Basic authentication",
            "Basic plan",
            "basic auth: enabled",
            "Bearer ${ACCESS_TOKEN_OF_SERVICE}",
            "Bearer xxxxxxxxxxxxxxxxxxxxxxxx",
            // `app:`, `app:${PASSWORD}`.
            "Basic YXBwOg==",
            "Basic YXBwOiR7UEFTU1dPUkR9",
        ] {
            assert!(!is_one(text), "{text}");
        }
    }
}
