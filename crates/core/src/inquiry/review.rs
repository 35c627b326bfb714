//! The periodic review of access: secrets that nobody reads, rules that never let anybody through, and principals who may
//! read a secret and never did.

use super::Inquiry;
use super::sight::{Sight, secret_path};
use crate::{CoreError, Grant};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use strongroom_audit::{Absence, Use, object_of};
use strongroom_model::policy::{Acl, Policy, Question};
use strongroom_model::{Capability, PolicyName, RequestPath, Timestamp};

/// A review looks at no more secrets, and at no more pairs of principal and secret.
const MOST_SECRETS: usize = 20_000;
const MOST_PAIRS: usize = 500_000;

/// What a review found.
#[derive(Clone, Debug, Serialize)]
pub struct Review {
    /// When it was made.
    pub time: Timestamp,
    /// Reads before this count as none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// How many secrets were looked at.
    pub secrets: usize,
    /// How many principals.
    pub principals: usize,
    /// Secrets that nobody read.
    pub unused_secrets: Vec<UnusedSecret>,
    /// Rules of policies that never decided that somebody may.
    pub unused_rules: Vec<IdleRule>,
    /// Principals who may read a secret and did not.
    pub unused_access: Vec<IdleAccess>,
    /// Reads that do not count, since they are not in the trail any more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub absent: Vec<Absence>,
    /// What was left out because there is too much of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
}

/// A secret that nobody read.
#[derive(Clone, Debug, Serialize)]
pub struct UnusedSecret {
    /// The path that policies speak of.
    pub path: String,
    /// When it was last read, if it ever was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_read: Option<Timestamp>,
}

/// A rule that never let anybody through.
#[derive(Clone, Debug, Serialize)]
pub struct IdleRule {
    /// The policy.
    pub policy: String,
    /// The pattern.
    pub pattern: String,
    /// Its line.
    pub line: u32,
}

/// Somebody who may read secrets and did not.
#[derive(Clone, Debug, Serialize)]
pub struct IdleAccess {
    /// The entity's name.
    pub principal: String,
    /// Its id.
    pub entity: String,
    /// The paths.
    pub paths: Vec<String>,
}

/// A secret under review.
struct Reviewed {
    object: String,
    path: RequestPath,
}

impl Inquiry {
    /// Reviews what the caller may know of. Rules and principals are for who may see everything.
    pub async fn review(&self, grant: &Grant, since: Option<Timestamp>) -> Result<Review, CoreError> {
        let sight = Sight::of(grant, &self.mounts)?;
        let mut limits = Vec::new();
        let secrets = self.reviewed(&sight, &mut limits).await?;
        let uses = self.all_uses().await?;
        let mut review = Review {
            time: self.clock.now(),
            since,
            secrets: secrets.len(),
            principals: 0,
            unused_secrets: unused(&secrets, &uses, since),
            unused_rules: Vec::new(),
            unused_access: Vec::new(),
            absent: self.trail.absent().await?,
            limits,
        };
        if sight.is_whole() {
            review.unused_rules = self.unused_rules().await?;
            self.review_access(&secrets, &uses, &mut review).await?;
        } else {
            review.limits.push("rules and principals are left out: they need sudo on this path".to_owned());
        }
        Ok(review)
    }

    async fn reviewed(&self, sight: &Sight, limits: &mut Vec<String>) -> Result<Vec<Reviewed>, CoreError> {
        let mut secrets = Vec::new();
        for mount in sight.table().of(crate::mount::MountClass::Secret) {
            if mount.kind != "kv" {
                continue;
            }
            let (names, more) = self.secrets.outline(&mount, MOST_SECRETS - secrets.len()).await?;
            for name in names.iter().filter(|name| sight.shows_secret(&mount, name.as_str())) {
                let path = RequestPath::parse(&secret_path(&mount, name.as_str()))?;
                secrets.push(Reviewed { object: object_of(&mount.accessor, name.as_str()), path });
            }
            if more || secrets.len() >= MOST_SECRETS {
                limits.push(format!("only the first {MOST_SECRETS} secrets were looked at"));
                break;
            }
        }
        Ok(secrets)
    }

    async fn unused_rules(&self) -> Result<Vec<IdleRule>, CoreError> {
        let used = self.trail.rules_used().await?;
        let mut idle = Vec::new();
        for name in self.policies.names().await? {
            let name = PolicyName::parse(&name)?;
            let Some(source) = self.policies.source(&name).await?.filter(|_| !name.is_root()) else { continue };
            let Ok(policy) = Policy::parse(name, &source) else { continue };
            // The trail has the pattern of a template as it was filled in, for each principal another one.
            for rule in policy.rules.iter().filter(|rule| !rule.pattern.contains("{{")) {
                if !used.contains_key(&(policy.name.to_string(), rule.pattern.to_string())) {
                    let (policy, pattern) = (policy.name.to_string(), rule.pattern.to_string());
                    idle.push(IdleRule { policy, pattern, line: rule.line });
                }
            }
        }
        Ok(idle)
    }

    /// What a principal may do is what its policies say now: those of the entity, and those of its last token.
    async fn review_access(
        &self,
        secrets: &[Reviewed],
        uses: &HashMap<String, Vec<Use>>,
        review: &mut Review,
    ) -> Result<(), CoreError> {
        let mut pairs = 0;
        for entity in self.identity.list().await? {
            let id = entity.id.to_string();
            pairs += secrets.len();
            if pairs > MOST_PAIRS {
                review.limits.push(format!("only the first {} principals were looked at", review.principals));
                break;
            }
            review.principals += 1;
            let mut names = entity.policies.clone();
            names.extend(self.trail.last_policies(&id).await?.iter().filter_map(|name| PolicyName::parse(name).ok()));
            names.sort();
            names.dedup();
            let acl = self.policies.acl(&names, Some(&entity), &self.identity).await?;
            let paths = idle_paths(&acl, &id, secrets, uses, review.since);
            if !paths.is_empty() {
                review.unused_access.push(IdleAccess {
                    principal: entity.title(&self.mounts.table()),
                    entity: id,
                    paths,
                });
            }
        }
        Ok(())
    }
}

fn idle_paths(
    acl: &Arc<Acl>,
    entity: &str,
    secrets: &[Reviewed],
    uses: &HashMap<String, Vec<Use>>,
    since: Option<Timestamp>,
) -> Vec<String> {
    let reads = |one: &Use| one.consumer == entity && is_recent(one, since);
    let may = |path: &RequestPath| {
        let question = Question { path, capability: Capability::Read, sudo: false, parameters: None, wrap_ttl: None };
        acl.decide(&question).granted
    };
    let idle = secrets.iter().filter(|secret| may(&secret.path));
    let idle = idle.filter(|secret| !uses.get(&secret.object).is_some_and(|known| known.iter().any(reads)));
    idle.map(|secret| secret.path.to_string()).collect()
}

fn is_recent(one: &Use, since: Option<Timestamp>) -> bool {
    one.reads > 0 && since.is_none_or(|since| one.last >= since.nanos())
}

fn unused(secrets: &[Reviewed], uses: &HashMap<String, Vec<Use>>, since: Option<Timestamp>) -> Vec<UnusedSecret> {
    let mut found: BTreeMap<String, Option<Timestamp>> = BTreeMap::new();
    for secret in secrets {
        let known = uses.get(&secret.object).map(Vec::as_slice).unwrap_or_default();
        if !known.iter().any(|one| is_recent(one, since)) {
            let last = known.iter().filter(|one| one.reads > 0).map(|one| one.last).max();
            found.insert(secret.path.to_string(), last.map(Timestamp::from_nanos));
        }
    }
    found.into_iter().map(|(path, last_read)| UnusedSecret { path, last_read }).collect()
}
