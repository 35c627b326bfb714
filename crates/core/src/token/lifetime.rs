//! How long a token lives: what was asked for, within what its maker, its mount and the system allow.
//!
//! One calculation for the first life and for every renewal (Vault: `framework.CalculateTTL`), so that no renewal can
//! give what creation refused. Pure: knows no token and no clock.

use crate::CoreError;
use std::time::Duration;
use strongroom_model::Ttl;

/// What a mount or the system says where nothing else is said.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) default: Ttl,
    pub(crate) longest: Ttl,
}

/// What is asked for a token; zero: nothing.
#[derive(Clone, Copy, Default)]
pub(crate) struct Wish {
    pub(crate) ttl: Ttl,
    /// When set, it is what is given, at creation and by each renewal, however old the token is.
    pub(crate) period: Ttl,
    /// Longest life over renewals.
    pub(crate) max_ttl: Ttl,
    /// Longest life that even a period cannot prolong.
    pub(crate) explicit_max_ttl: Ttl,
}

/// The time to live from now of a token of this age, with warnings about what was cut short. A refusal when it has
/// lived as long as it may.
pub(crate) fn settle(wish: &Wish, limits: Limits, age: Duration) -> Result<(Ttl, Vec<String>), CoreError> {
    let mut warnings = Vec::new();
    let longest = [wish.max_ttl, wish.explicit_max_ttl].into_iter().fold(limits.longest, lesser);
    let (mut ttl, end) = match (wish.period, wish.ttl) {
        (Ttl::ZERO, Ttl::ZERO) => (limits.default, longest),
        (Ttl::ZERO, asked) => (asked, longest),
        (period, _) => (lesser(period, longest), wish.explicit_max_ttl),
    };
    if ttl < wish.period {
        warnings.push(capped("period", "period", wish.period, longest));
    }
    if !end.is_zero() {
        let left = Ttl(end.0.saturating_sub(age));
        if left.is_zero() {
            return Err(CoreError::Invalid("past the max TTL, cannot renew; log in anew".to_owned()));
        }
        if ttl > left {
            warnings.push(capped("TTL", "TTL", ttl, left));
            ttl = left;
        }
    }
    Ok((ttl, warnings))
}

/// The lesser of two spans, where zero sets no limit.
pub(crate) fn lesser(one: Ttl, other: Ttl) -> Ttl {
    match (one, other) {
        (Ttl::ZERO, only) | (only, Ttl::ZERO) => only,
        (one, other) => one.min(other),
    }
}

fn capped(what: &str, again: &str, asked: Ttl, limit: Ttl) -> String {
    let (asked, limit) = (human(asked), human(limit));
    format!("{what} of \"{asked}\" exceeded the effective max_ttl of \"{limit}\"; {again} value is capped accordingly")
}

/// As Vault writes spans in warnings: `768h`, `1h30m`, `45s`.
fn human(span: Ttl) -> String {
    let secs = span.secs();
    let parts = [(secs / 3_600, 'h'), (secs / 60 % 60, 'm'), (secs % 60, 's')];
    let text: String = parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n}{unit}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { default: Ttl::from_secs(1_000), longest: Ttl::from_secs(10_000) };

    fn wish([ttl, period, max_ttl, explicit_max_ttl]: [u64; 4]) -> Wish {
        let secs = Ttl::from_secs;
        Wish { ttl: secs(ttl), period: secs(period), max_ttl: secs(max_ttl), explicit_max_ttl: secs(explicit_max_ttl) }
    }

    fn settled(asked: [u64; 4], age: u64) -> (u64, Vec<String>) {
        let (ttl, warnings) = settle(&wish(asked), LIMITS, Duration::from_secs(age)).unwrap();
        (ttl.secs(), warnings)
    }

    #[test]
    fn gives_what_is_asked_within_the_limits() {
        assert_eq!(settled([0, 0, 0, 0], 0), (1_000, vec![]));
        assert_eq!(settled([60, 0, 0, 0], 0), (60, vec![]));
        assert_eq!(settled([60, 0, 0, 0], 9_970).0, 30);
        assert_eq!(settled([60, 7_200, 0, 0], 1_000_000), (7_200, vec![]));
        assert_eq!(settled([0, 7_200, 0, 9_000], 8_000).0, 1_000);
        let text = "TTL of \"30m\" exceeded the effective max_ttl of \"5m\"; TTL value is capped accordingly";
        assert_eq!(settled([1_800, 0, 0, 300], 0), (300, vec![text.to_owned()]));
        let text =
            "period of \"5h33m20s\" exceeded the effective max_ttl of \"2h46m40s\"; period value is capped accordingly";
        assert_eq!(settled([0, 20_000, 0, 0], 5), (10_000, vec![text.to_owned()]));
    }

    #[test]
    fn refuses_to_renew_what_has_lived_long_enough() {
        let error = settle(&wish([60, 0, 0, 300]), LIMITS, Duration::from_secs(300)).unwrap_err();
        assert!(error.to_string().starts_with("past the max TTL, cannot renew"), "{error}");
    }

    #[test]
    fn spans_are_written_without_zero_parts() {
        let written = |secs| human(Ttl::from_secs(secs));
        assert_eq!([0, 45, 60, 3_605, 5_400, 2_764_800].map(written), ["0s", "45s", "1m", "1h5s", "1h30m", "768h"]);
    }

    proptest! {
        /// CVE-2021-32923: a renewal in the last second must not give a token without end.
        #[test]
        fn no_token_outlives_its_longest_life(asked in proptest::array::uniform4(0_u64..20_000), age in 0_u64..20_000) {
            if let Ok((ttl, _)) = settle(&wish(asked), LIMITS, Duration::from_secs(age)) {
                let [_, period, max, explicit] = asked;
                prop_assert!(!ttl.is_zero());
                prop_assert!(ttl <= LIMITS.longest);
                prop_assert!(explicit == 0 || age + ttl.secs() <= explicit);
                prop_assert!(period != 0 || age + ttl.secs() <= 10_000);
                prop_assert!(period != 0 || max == 0 || age + ttl.secs() <= max);
            }
        }
    }
}
