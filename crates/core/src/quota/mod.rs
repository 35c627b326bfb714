//! Rate limits: how many requests a client may make in a span of time, over the whole server, on a mount, or on paths.
//!
//! Asked at the door, before a body is read, so that a flood costs next to nothing. Of the rules that fit a path the
//! most specific counts and no other, as in Vault. Counting is in memory: a restart forgives. Does not know HTTP, and
//! does not limit how many leases there are.

mod count;
mod rule;

use crate::configured::Configured;
use crate::records::Records;
use crate::visit::Source;
use crate::{CoreError, Grant};
use count::Counts;
pub use count::Verdict;
pub use rule::{QuotaConfig, RateLimit};
use std::collections::BTreeMap;
use std::sync::Arc;
use strongroom_model::{RequestPath, RoleName, Timestamp};

/// Keeps the rules and counts by them.
pub struct Quotas {
    rules: Configured<BTreeMap<String, RateLimit>>,
    /// How rules are applied.
    pub config: Configured<QuotaConfig>,
    counts: Counts,
}

impl Quotas {
    pub(crate) async fn load(records: &Arc<Records>) -> Result<Self, CoreError> {
        Ok(Self {
            rules: Configured::load(records, "rate-limits").await?,
            config: Configured::load(records, "quota-config").await?,
            counts: Counts::default(),
        })
    }

    /// Counts one request; `None` when no rule fits it.
    pub fn count(&self, path: &RequestPath, source: &Source, now: Timestamp) -> Option<Verdict> {
        let rules = self.rules.current();
        if rules.is_empty() || self.config.current().exempts(path) {
            return None;
        }
        let fits = rules.iter().filter(|(_, rule)| rule.fits(path));
        let (name, rule) = fits.max_by_key(|(_, rule)| rule.specificity())?;
        Some(self.counts.take(name, rule, source.address, now))
    }

    /// The names of all rules, sorted.
    pub fn names(&self) -> Vec<String> {
        self.rules.current().keys().cloned().collect()
    }

    /// A rule.
    pub fn rule(&self, name: &RoleName) -> Option<RateLimit> {
        self.rules.current().get(name.as_str()).cloned()
    }

    /// Writes a rule; what was counted by the old one is forgotten. Refused when another rule has the same path.
    pub async fn write(&self, grant: &Grant, name: &RoleName, rule: RateLimit) -> Result<(), CoreError> {
        let insert = |rules: &mut BTreeMap<String, RateLimit>| {
            let twin = rules.iter().find(|(other, known)| *other != name.as_str() && known.path == rule.path);
            if let Some((twin, _)) = twin {
                return Err(CoreError::Invalid(format!(
                    "quota rule with similar properties exists under the name \"{twin}\""
                )));
            }
            rules.insert(name.as_str().to_owned(), rule);
            Ok(())
        };
        self.rules.change(grant, insert).await?;
        self.counts.forget(name.as_str());
        Ok(())
    }

    /// Removes a rule.
    pub async fn delete(&self, grant: &Grant, name: &RoleName) -> Result<(), CoreError> {
        let remove = |rules: &mut BTreeMap<String, RateLimit>| {
            rules.remove(name.as_str());
            Ok(())
        };
        self.rules.change(grant, remove).await?;
        self.counts.forget(name.as_str());
        Ok(())
    }
}
