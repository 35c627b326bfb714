//! When an auth method shuts out whoever fails to log in: what a mount was tuned to, with Vault's defaults for the rest.
//!
//! Knows no name and counts nothing: methods do.

use crate::{CoreError, Fields};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Vault's defaults: so many failures in a row, and so long.
const THRESHOLD: u64 = 5;
const SPAN: u64 = 15 * 60;
/// The longest for which somebody is shut out, and for which a failure counts, in seconds. Methods keep records for as
/// long, also of names that strangers make up.
const LONGEST_LOCK: u64 = 30 * 86_400;
const LONGEST_COUNT: u64 = 86_400;

/// What a mount was tuned to (Vault: `user_lockout_config`). Zero means: as usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockoutConfig {
    threshold: u64,
    duration: u64,
    counter_reset: u64,
    disabled: bool,
}

/// When a method shuts somebody out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockoutLimits {
    /// So many failures in a row do.
    pub threshold: u64,
    /// For so long after the last one.
    pub duration: Duration,
    /// So long after a failure it counts no more.
    pub counter_reset: Duration,
    /// Nobody is shut out, and nothing is counted.
    pub disabled: bool,
    /// Whether the mount was tuned at all.
    pub tuned: bool,
}

impl LockoutConfig {
    /// Takes over what was sent; what was not sent, or sent empty, stays. `system` means as usual.
    pub(super) fn update(&mut self, sent: &Fields) -> Result<(), CoreError> {
        let span = |field: &str, now: u64, longest: u64| match sent.text(field)?.as_deref() {
            None | Some("") => Ok(now),
            Some("system") => Ok(0),
            Some(_) => {
                let span = sent.ttl(field)?.map_or(now, |ttl| ttl.secs());
                if span <= longest {
                    return Ok(span);
                }
                let problem = format!(
                    "is longer than {longest} seconds: failed logins are kept for as long, also those under names that \
                     strangers make up; choose a shorter span"
                );
                Err(CoreError::Field { field: field.to_owned(), problem })
            }
        };
        if sent.text("lockout_threshold")?.is_some_and(|text| !text.is_empty()) {
            self.threshold = sent.count("lockout_threshold")?.unwrap_or(self.threshold);
        }
        self.duration = span("lockout_duration", self.duration, LONGEST_LOCK)?;
        let field = "lockout_counter_reset_duration";
        self.counter_reset = span(field, self.counter_reset, LONGEST_COUNT)?;
        self.disabled = sent.flag("lockout_disable")?.unwrap_or(self.disabled);
        Ok(())
    }

    /// As `tune` reads it back.
    pub fn shown(&self) -> Map<String, Value> {
        let fields = [
            ("user_lockout_counter_reset_duration", json!(self.counter_reset)),
            ("user_lockout_disable", json!(self.disabled)),
            ("user_lockout_duration", json!(self.duration)),
            ("user_lockout_threshold", json!(self.threshold)),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl LockoutLimits {
    /// What holds for a mount that was tuned to this, or not at all.
    pub(crate) fn of(config: Option<LockoutConfig>) -> Self {
        let LockoutConfig { threshold, duration, counter_reset, disabled } = config.unwrap_or_default();
        let or = |own: u64, usual: u64| if own == 0 { usual } else { own };
        Self {
            threshold: or(threshold, THRESHOLD),
            duration: Duration::from_secs(or(duration, SPAN)),
            counter_reset: Duration::from_secs(or(counter_reset, SPAN)),
            disabled,
            tuned: config.is_some(),
        }
    }
}
