use super::judge::{Alert, Suspicion};
use crate::CoreError;
use crate::identity::Names;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_model::Timestamp;

/// A mute that never ends is a switched-off alert that nobody remembers.
const LONGEST: Duration = Duration::from_secs(90 * 86_400);
const MOST: usize = 256;

/// Alerts that are not told for some time. What is not given covers all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// Its name.
    pub name: String,
    /// Which suspicion.
    pub suspicion: Option<Suspicion>,
    /// The beginning of paths.
    pub prefix: Option<String>,
    /// Who, as alerts name them.
    pub principal: Option<String>,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: Timestamp,
}

impl Mute {
    pub(super) fn checked(self, now: Timestamp) -> Result<Self, CoreError> {
        let invalid = |why: &str| Err(CoreError::Invalid(why.to_owned()));
        if self.name.is_empty() || self.name.len() > 64 {
            return invalid("the name must have 1 to 64 characters");
        }
        if self.reason.trim().is_empty() {
            return invalid("a mute needs a reason, for whoever wonders why nothing was told");
        }
        if self.until <= now || self.until.since(now) > LONGEST {
            return invalid("a mute must end in the future, within 90 days");
        }
        Ok(self)
    }

    /// Whether it holds back an alert about somebody of these names. Only trusted ones count: else a principal would come
    /// under the mute of another by being called like it.
    pub(super) fn covers(&self, alert: &Alert, names: Option<&Names>) -> bool {
        let means = |who: &String| *who == alert.principal || names.is_some_and(|names| names.trusted.contains(who));
        self.suspicion.is_none_or(|suspicion| suspicion == alert.suspicion)
            && self.prefix.as_ref().is_none_or(|prefix| alert.path.starts_with(prefix.as_str()))
            && self.principal.as_ref().is_none_or(means)
    }
}

/// All mutes, by name.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Mutes(pub(super) BTreeMap<String, Mute>);

impl Mutes {
    /// Adds one and lets go of those that have ended.
    pub(super) fn put(&mut self, mute: Mute, now: Timestamp) -> Result<(), CoreError> {
        self.0.retain(|_, mute| mute.until > now);
        if self.0.len() >= MOST && !self.0.contains_key(&mute.name) {
            return Err(CoreError::TooLarge(format!("there are {MOST} mutes already; take one back first")));
        }
        self.0.insert(mute.name.clone(), mute);
        Ok(())
    }
}
