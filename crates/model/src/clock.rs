use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use std::fmt;
use std::time::Duration;

/// Tells the time. The binary passes the wall clock in; tests pass one that they turn by hand.
pub trait Clock: Send + Sync {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// A moment in UTC, in nanoseconds since 1970-01-01 (good until the year 2554).
///
/// Written and read as RFC 3339 with up to nine decimals and no trailing zeros, as Go's `RFC3339Nano` does, because
/// Vault's clients parse that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The moment that many nanoseconds after 1970-01-01T00:00:00Z.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment that many whole seconds after 1970-01-01T00:00:00Z.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// This moment plus a span; the far end of time instead of an overflow.
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// Reads an RFC 3339 time in any offset. `None` when it is not one or lies before 1970.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(usual) = Self::parse_usual(text.as_bytes()) {
            return Some(usual);
        }
        let moment: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(moment.as_nanosecond()).ok().map(Self)
    }

    /// Reads the one spelling that we write, digit by digit: each line of the trail is read so twice. `None` for every
    /// other, and for what is no time, which is the library's to judge.
    fn parse_usual(text: &[u8]) -> Option<Self> {
        let (civil, rest) = text.split_first_chunk::<19>()?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2] = *civil else {
            return None;
        };
        let two = |tens: u8, ones: u8| {
            let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
            (tens < 10 && ones < 10).then(|| i8::try_from(tens * 10 + ones).ok())?
        };
        let year = i16::from(two(y1, y2)?) * 100 + i16::from(two(y3, y4)?);
        // A minute may have 61 seconds in a text, but never here.
        let second = two(s1, s2).filter(|second| *second < 60)?;
        let fraction = match rest {
            b"Z" => 0,
            [b'.', digits @ .., b'Z'] if (1..=9).contains(&digits.len()) => {
                let number = digits.iter().try_fold(0_u64, |number, digit| {
                    let digit = digit.wrapping_sub(b'0');
                    (digit < 10).then_some(number * 10 + u64::from(digit))
                })?;
                number * 10_u64.pow(9 - u32::try_from(digits.len()).ok()?)
            }
            _ => return None,
        };
        let civil = DateTime::new(year, two(m1, m2)?, two(d1, d2)?, two(h1, h2)?, two(i1, i2)?, second, 0).ok()?;
        let secs = TimeZone::UTC.to_timestamp(civil).ok()?.as_second();
        Some(Self(u64::try_from(secs).ok()?.checked_mul(1_000_000_000)?.checked_add(fraction)?))
    }
}

/// The longest spelling: `2554-07-21T23:34:33.709551615Z`.
const LONGEST: usize = 30;

/// A moment in words, without a detour over the formatting machinery: every entry of the trail has several.
struct Spelt {
    bytes: [u8; LONGEST],
    len: usize,
}

impl Spelt {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// So many decimal digits of a number, the last ones.
    fn digits(&mut self, number: u32, many: u32) {
        for place in (0..many).rev() {
            let digit = number / 10_u32.pow(place) % 10;
            self.push(b'0' + u8::try_from(digit).unwrap_or_default());
        }
    }

    fn text(&self) -> &str {
        // Digits and signs of ASCII alone were pushed.
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Timestamp {
    fn spelt(self) -> Option<Spelt> {
        let moment = jiff::Timestamp::from_nanosecond(i128::from(self.0)).ok()?;
        let civil = TimeZone::UTC.to_datetime(moment);
        let two = |number: i8| u32::from(number.unsigned_abs());
        let mut spelt = Spelt { bytes: [0; LONGEST], len: 0 };
        spelt.digits(u32::from(civil.year().unsigned_abs()), 4);
        let parts = [(b'-', civil.month()), (b'-', civil.day()), (b'T', civil.hour()), (b':', civil.minute())];
        for (sign, number) in parts.into_iter().chain([(b':', civil.second())]) {
            spelt.push(sign);
            spelt.digits(two(number), 2);
        }
        let nanos = civil.subsec_nanosecond().unsigned_abs();
        if nanos != 0 {
            spelt.push(b'.');
            spelt.digits(nanos, 9);
            while spelt.bytes.get(spelt.len - 1) == Some(&b'0') {
                spelt.len -= 1;
            }
        }
        spelt.push(b'Z');
        Some(spelt)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelt().ok_or(fmt::Error)?.text())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let spelt = self.spelt().ok_or_else(|| ser::Error::custom("a time that no calendar has"))?;
        serializer.serialize_str(spelt.text())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("not an RFC 3339 time after 1970"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_go_does() {
        assert_eq!(Timestamp::from_secs(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp::from_nanos(1_763_703_296_120_000_000).to_string(), "2025-11-21T05:34:56.12Z");
        assert_eq!(Timestamp::from_nanos(1).to_string(), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(Timestamp::from_nanos(u64::MAX).to_string(), "2554-07-21T23:34:33.709551615Z");
        assert_eq!(Timestamp::from_nanos(951_868_799_000_000_000).to_string(), "2000-02-29T23:59:59Z");
    }

    #[test]
    fn reads_back_what_it_prints_and_other_offsets() {
        let moment = Timestamp::from_nanos(1_763_703_296_120_000_001);
        assert_eq!(Timestamp::parse(&moment.to_string()), Some(moment));
        assert_eq!(Timestamp::parse("1970-01-01T01:00:00+01:00"), Some(Timestamp::from_secs(0)));
        assert_eq!(Timestamp::parse("yesterday"), None);
        assert_eq!(Timestamp::parse("1969-12-31T23:59:59Z"), None);
    }

    #[test]
    fn the_short_way_reads_what_the_library_reads() {
        let library = |text: &str| {
            text.parse()
                .ok()
                .and_then(|moment: jiff::Timestamp| u64::try_from(moment.as_nanosecond()).ok().map(Timestamp))
        };
        let usual = "2024-02-29T23:59:58.120034Z";
        assert!(Timestamp::parse_usual(usual.as_bytes()).is_some());
        for at in 0..usual.len() {
            for sign in ["", "0", "1", "3", "6", "9", ":", "-", "T", "Z", ".", " ", "+", "00"] {
                let text = format!("{}{sign}{}", &usual[..at], &usual[at + 1..]);
                assert_eq!(Timestamp::parse(&text), library(&text), "{text}");
            }
        }
        for text in [
            "1969-12-31T23:59:59.5Z",
            "2554-07-21T23:34:33.709551615Z",
            "2554-07-21T23:34:33.709551616Z",
            "9999-12-31T23:59:59Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00.1234567891Z",
            "2016-12-31T23:59:60Z",
        ] {
            assert_eq!(Timestamp::parse(text), library(text), "{text}");
        }
    }

    #[test]
    fn arithmetic_never_wraps() {
        assert_eq!(Timestamp::from_nanos(u64::MAX).plus(Duration::from_secs(1)).nanos(), u64::MAX);
        assert_eq!(Timestamp::from_secs(1).since(Timestamp::from_secs(2)), Duration::ZERO);
    }
}
