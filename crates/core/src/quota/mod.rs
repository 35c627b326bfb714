//! Limits: how many requests a client may make in a span of time, and how many leases there may be at once; over the
//! whole server, on a mount, or on paths.
//!
//! Of the rules of a kind that fit a path the most specific counts and no other, as in Vault. The rate is asked at the
//! door, before a body is read, so that a flood costs next to nothing, and counted in memory: a restart forgives. Leases
//! are counted by who records them. Does not know HTTP.

mod count;
mod lease;
mod rule;

use crate::configured::Configured;
use crate::lease::{Cap, Leases};
use crate::mount::Mount;
use crate::records::Records;
use crate::visit::Source;
use crate::{CoreError, Grant};
use count::Counts;
pub use count::Verdict;
pub use lease::LeaseCount;
pub use rule::{QuotaConfig, RateLimit};
use std::collections::BTreeMap;
use std::sync::Arc;
use strongroom_model::{RequestPath, RoleName, Timestamp};

/// Keeps the rules and counts by them.
pub struct Quotas {
    rules: Configured<BTreeMap<String, RateLimit>>,
    lease_rules: Configured<BTreeMap<String, LeaseCount>>,
    /// How rules are applied.
    pub config: Configured<QuotaConfig>,
    counts: Counts,
}

impl Quotas {
    pub(crate) async fn load(records: &Arc<Records>) -> Result<Self, CoreError> {
        Ok(Self {
            rules: Configured::load(records, "rate-limits").await?,
            lease_rules: Configured::load(records, "lease-limits").await?,
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

    /// The limit that a new lease on a path below a mount has to keep.
    pub(crate) fn lease_cap(&self, mount: &Mount, below: &str) -> Option<Cap> {
        let rules = self.lease_rules.current();
        if rules.is_empty() {
            return None;
        }
        let path = RequestPath::parse(&format!("{}/{below}", mount.path)).ok()?;
        let fits = rules.iter().filter(|(_, rule)| rule.fits(&path));
        let (name, rule) = fits.max_by_key(|(_, rule)| rule.specificity())?;
        Some(rule.cap(name, mount, &path))
    }

    /// The names of all limits on leases, sorted.
    pub fn lease_names(&self) -> Vec<String> {
        self.lease_rules.current().keys().cloned().collect()
    }

    /// A limit on leases, and how many leases count by it now.
    pub fn lease_rule(&self, name: &RoleName, leases: &Leases) -> Option<(LeaseCount, u64)> {
        let rule = self.lease_rules.current().get(name.as_str()).cloned()?;
        let counted = leases.counted(&rule);
        Some((rule, counted))
    }

    /// Writes a limit on leases. Leases that are over it stay; refused when another one has the same path and role.
    pub async fn write_lease_rule(&self, grant: &Grant, name: &RoleName, rule: LeaseCount) -> Result<(), CoreError> {
        let insert = |rules: &mut BTreeMap<String, LeaseCount>| {
            let is_twin = |known: &LeaseCount| known.path == rule.path && known.role == rule.role;
            let twin = rules.iter().find(|(other, known)| *other != name.as_str() && is_twin(known));
            if let Some((twin, _)) = twin {
                return Err(CoreError::Invalid(format!(
                    "quota rule with similar properties exists under the name \"{twin}\""
                )));
            }
            rules.insert(name.as_str().to_owned(), rule);
            Ok(())
        };
        self.lease_rules.change(grant, insert).await
    }

    /// Removes a limit on leases.
    pub async fn delete_lease_rule(&self, grant: &Grant, name: &RoleName) -> Result<(), CoreError> {
        let remove = |rules: &mut BTreeMap<String, LeaseCount>| {
            rules.remove(name.as_str());
            Ok(())
        };
        self.lease_rules.change(grant, remove).await
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
