use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::time::Duration;
use thiserror::Error;

/// A span of time as Vault's clients write it: `60`, `"60"`, `"1h30m"`, `"1.5h"`, `"1d"`. Whole seconds when given
/// back as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Ttl(pub Duration);

/// Why a span of time could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TtlError {
    /// Not a number and not of the form `1h30m`.
    #[error("`{0}` is not a duration: write seconds (`90`) or a number with a unit, as `1h30m` or `7d`")]
    Malformed(String),
    /// Below zero.
    #[error("`{0}` is negative, and a duration cannot be")]
    Negative(String),
    /// More than a century.
    #[error("`{0}` is too long: at most 100 years")]
    TooLong(String),
}

/// A century: longer spans are typing errors, and adding them to a time would leave its range.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Ttl {
    /// No time at all; in most places it means "not set".
    pub const ZERO: Ttl = Ttl(Duration::ZERO);

    /// That many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// Whole seconds, rounded down, as Vault's answers give them.
    pub const fn secs(self) -> u64 {
        self.0.as_secs()
    }

    /// Whether this is no time at all.
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Reads the text form. An empty text is zero, as Vault takes it.
    pub fn parse(text: &str) -> Result<Self, TtlError> {
        let trimmed = text.trim();
        if trimmed.starts_with('-') && trimmed.len() > 1 {
            return Err(TtlError::Negative(shorten(text)));
        }
        let span = match trimmed {
            "" => Some(Duration::ZERO),
            _ if trimmed.bytes().all(|byte| byte.is_ascii_digit()) => trimmed.parse().ok().map(Duration::from_secs),
            _ => parse_units(trimmed),
        };
        let span = span.ok_or_else(|| TtlError::Malformed(shorten(text)))?;
        if span > LONGEST { Err(TtlError::TooLong(shorten(text))) } else { Ok(Self(span)) }
    }

    /// Reads a JSON number of seconds or the text form; `null` is zero.
    pub fn from_json(value: &Value) -> Result<Self, TtlError> {
        match value {
            Value::Null => Ok(Self::ZERO),
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            other => Err(TtlError::Malformed(shorten(&other.to_string()))),
        }
    }
}

/// Stored as whole seconds.
impl Serialize for Ttl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.secs())
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u64::deserialize(deserializer).map(Self::from_secs)
    }
}

/// Sums `1h30m`-like parts: Go's units and `d` for 24 hours (Vault's `parseutil.ParseDurationSecond`).
fn parse_units(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let unit_at = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, tail) = rest.split_at_checked(unit_at)?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at_checked(end)?;
        total = total.checked_add(span_of(number, unit)?)?;
        rest = next;
    }
    Some(total)
}

fn span_of(number: &str, unit: &str) -> Option<Duration> {
    let nanos_per_unit: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return Some(Duration::from_nanos(whole.checked_mul(nanos_per_unit)?));
    }
    let fraction: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(fraction * (nanos_per_unit as f64) / 1e9).ok()
}

/// The text as it may stand in an error: a value sent to the wrong field may be a secret, so only its beginning.
fn shorten(text: &str) -> String {
    let mut short: String = text.chars().take(12).collect();
    if text.chars().nth(12).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn secs(value: serde_json::Value) -> u64 {
        Ttl::from_json(&value).unwrap().secs()
    }

    #[test]
    fn reads_every_form_that_clients_send() {
        assert_eq!(secs(json!(60)), 60);
        assert_eq!(secs(json!("60")), 60);
        assert_eq!(secs(json!("1h30m")), 5_400);
        assert_eq!(secs(json!("1.5h")), 5_400);
        assert_eq!(secs(json!("2d")), 172_800);
        assert_eq!(secs(json!("768h0m0s")), 2_764_800);
        assert_eq!(secs(json!("")), 0);
        assert_eq!(secs(json!(null)), 0);
        assert_eq!(Ttl::parse("250ms").unwrap().0, Duration::from_millis(250));
    }

    #[test]
    fn refuses_what_is_not_a_span() {
        for bad in ["h", "1", "-1s", "1x", "1h-2m", "ten", "1e9999s", "..s", "99999999999999999999", "40000d"] {
            let read = Ttl::parse(bad);
            assert!(read.is_err() || bad == "1", "{bad}");
        }
        assert!(matches!(Ttl::from_json(&json!(-5)), Err(TtlError::Negative(_))));
        assert!(matches!(Ttl::from_json(&json!([1])), Err(TtlError::Malformed(_))));
    }

    #[test]
    fn an_error_does_not_repeat_a_whole_value() {
        let error = Ttl::parse("correct-horse-battery-staple").unwrap_err().to_string();
        assert!(!error.contains("battery"), "{error}");
    }
}
