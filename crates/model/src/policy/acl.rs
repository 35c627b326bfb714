//! Decides whether a request may happen, from all policies of its caller together.
//!
//! The one pattern of highest priority decides, and nothing falls back to a lower one. Policies that have the same
//! pattern add up, and `deny` among them wins. What no pattern matches is denied.
//! Does not know who the caller is, and expects templates to be filled in ([`Policy::render`]).

use super::parameter::{Limits, limits_anything};
use super::parse::{Policy, Rule};
use super::pattern::{PatternId, PatternIndex, Rank};
use crate::{Capabilities, Capability, PolicyName, RequestPath};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// Several policies compiled into one answerer.
pub struct Acl {
    policies: Vec<Arc<Policy>>,
    permissions: Vec<Permission>,
    patterns: PatternIndex,
    is_root: bool,
}

/// What is asked of an [`Acl`].
pub struct Question<'a> {
    /// The canonical path.
    pub path: &'a RequestPath,
    /// The capability needed. For `List` the folder spelling (`path/`) is considered too.
    pub capability: Capability,
    /// Whether the endpoint is reserved for operators, so that `sudo` is needed as well.
    pub sudo: bool,
    /// The parameters sent; only looked at for create, update, patch and, as in Vault, read.
    pub parameters: Option<&'a Map<String, Value>>,
    /// The wrapping TTL asked for, if any.
    pub wrap_ttl: Option<Duration>,
}

/// The answer, with its reason, as the trail records it and `can` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may be done.
    pub granted: bool,
    /// The policy that decided; `None` when no rule matched.
    pub policy: Option<PolicyName>,
    /// The pattern of the deciding rule.
    pub rule: Option<String>,
    /// The line of the deciding rule in its policy.
    pub line: Option<u32>,
    /// Why.
    pub reason: Reason,
}

/// Why a decision fell as it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A root token.
    Root,
    /// The rule has the capability.
    Granted,
    /// No rule matches the path.
    NoRule,
    /// The best rule says `deny`.
    Denied,
    /// The best rule lacks this capability.
    Lacks(Capability),
    /// A parameter is not allowed, denied, or missing (its name; never its value).
    Parameter(String),
    /// The wrapping TTL is outside what the rule asks for.
    Wrapping,
}

/// What all policies together say about one pattern.
struct Permission {
    capabilities: Capabilities,
    /// The rules it was made of, in the order of the policies: number of the policy, number of the rule.
    sources: Vec<(u32, u32)>,
    limits: Option<Box<Limits>>,
}

impl Permission {
    fn denies(&self) -> bool {
        self.capabilities.contains(Capability::Deny)
    }

    fn allows_anything(&self) -> bool {
        !self.denies() && !self.capabilities.is_empty()
    }

    fn merge(&mut self, source: (u32, u32), rule: &Rule) {
        self.sources.push(source);
        self.capabilities = self.capabilities.union(rule.capabilities);
        if limits_anything(rule) {
            self.limits.get_or_insert_default().merge(rule);
        }
    }
}

impl Acl {
    /// Compiles the policies. A policy named `root` among them makes everything allowed.
    pub fn new(policies: Vec<Arc<Policy>>) -> Self {
        let is_root = policies.iter().any(|policy| policy.name.is_root());
        let mut permissions: Vec<Permission> = Vec::new();
        let mut by_pattern: HashMap<&str, u32> = HashMap::new();
        for (policy_number, policy) in (0..).zip(&policies) {
            for (rule_number, rule) in (0..).zip(&policy.rules) {
                let fresh = permissions.len() as u32;
                let id = *by_pattern.entry(&rule.pattern).or_insert(fresh);
                if id == fresh {
                    permissions.push(Permission {
                        capabilities: Capabilities::NONE,
                        sources: Vec::new(),
                        limits: None,
                    });
                }
                if let Some(permission) = permissions.get_mut(id as usize) {
                    permission.merge((policy_number, rule_number), rule);
                }
            }
        }
        let allows = |id: u32| permissions.get(id as usize).is_some_and(Permission::allows_anything);
        let patterns = PatternIndex::new(by_pattern.into_iter().map(|(pattern, id)| (pattern, id, allows(id))));
        Self { policies, permissions, patterns, is_root }
    }

    /// Whether the root policy is in it.
    pub fn is_root(&self) -> bool {
        self.is_root
    }

    /// Decides one question.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        if self.is_root {
            let policy = Some(PolicyName::root());
            return Decision { granted: true, policy, rule: None, line: None, reason: Reason::Root };
        }
        let Some(permission) = self.permission(question.path, question.capability) else {
            return Decision { granted: false, policy: None, rule: None, line: None, reason: Reason::NoRule };
        };
        match refusal(permission, question) {
            None => self.decision(permission, question.capability, Reason::Granted),
            Some(Reason::Denied) => self.decision(permission, Capability::Deny, Reason::Denied),
            Some(reason) => self.decision(permission, question.capability, reason),
        }
    }

    /// What the best matching rule allows on a path (`sys/capabilities`): only `Deny` when denied or nothing matches.
    /// `List` is in it exactly if listing would be granted, under either spelling of the folder.
    pub fn capabilities(&self, path: &RequestPath) -> Capabilities {
        let allowed = |capability| {
            self.permission(path, capability)
                .filter(|permission| permission.allows_anything())
                .map_or(Capabilities::NONE, |permission| permission.capabilities)
        };
        let (plain, folder) = (allowed(Capability::Read), allowed(Capability::List));
        // Sudo beside a lone `list` comes from the rule that lists.
        let sudo_of = if plain.is_empty() { folder } else { plain };
        let is_member = |capability: &Capability| match capability {
            Capability::List => folder.contains(Capability::List),
            Capability::Sudo => sudo_of.contains(Capability::Sudo),
            other => plain.contains(*other),
        };
        let members: Capabilities = Capability::ALL.into_iter().filter(is_member).collect();
        if members.is_empty() { Capabilities::only(Capability::Deny) } else { members }
    }

    /// Whether `sudo` is among what the best matching rule allows on a path: as [`capabilities`](Self::capabilities) says,
    /// for less work.
    pub fn has_sudo(&self, path: &RequestPath) -> bool {
        let allowed = |capability| self.permission(path, capability).filter(|permission| permission.allows_anything());
        let permission = allowed(Capability::Read).or_else(|| allowed(Capability::List));
        permission.is_some_and(|permission| permission.capabilities.contains(Capability::Sudo))
    }

    /// Whether anything at or below this path is allowed (not only denied): decides if a mount shows in
    /// `sys/internal/ui/mounts`. Takes the path with or without its trailing slash. A pattern that reaches below counts
    /// whatever its priority, as in Vault; of those that cover the whole path only the best.
    pub fn touches(&self, prefix: &str) -> bool {
        let folder = prefix.strip_suffix('/').unwrap_or(prefix);
        let covered = || {
            let best = self.patterns.best_cover(&format!("{folder}/"), &|id| self.pattern(id));
            best.and_then(|id| self.permissions.get(id as usize)).is_some_and(Permission::allows_anything)
        };
        self.is_root || self.patterns.grants_below(folder) || covered()
    }

    /// The policies it was compiled from.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }

    /// What decides on a path.
    ///
    /// A list is about a folder, which policies spell with or without its slash. As in Vault, an exact rule for either
    /// spelling comes first (the one with the slash before the other), then the best wildcard rule for the spelling
    /// with the slash, then for the one without. Stricter than Vault in one case, after GHSA-xp3c-3jw3-4vcr: when the
    /// wildcard rule for the spelling without the slash has the higher priority and denies, it decides.
    fn permission(&self, path: &RequestPath, capability: Capability) -> Option<&Permission> {
        let plain = self.best(path.as_str());
        let folder = if capability == Capability::List { self.best(&format!("{path}/")) } else { None };
        let plain_decides = match (&folder, &plain) {
            (Some((_, folder)), Some((permission, plain))) => {
                !folder.is_exact() && (plain.is_exact() || (permission.denies() && plain > folder))
            }
            (folder, _) => folder.is_none(),
        };
        let (permission, _) = if plain_decides { plain? } else { folder? };
        Some(permission)
    }

    fn best(&self, path: &str) -> Option<(&Permission, Rank<'_>)> {
        let (id, rank) = self.patterns.best(path, &|id| self.pattern(id))?;
        Some((self.permissions.get(id as usize)?, rank))
    }

    fn pattern(&self, id: PatternId) -> &str {
        let source = self.permissions.get(id as usize).and_then(|permission| permission.sources.first());
        source.and_then(|source| self.rule(*source)).map_or("", |(_, rule)| &rule.pattern)
    }

    fn rule(&self, (policy, rule): (u32, u32)) -> Option<(&Policy, &Rule)> {
        let policy = self.policies.get(policy as usize)?;
        Some((policy, policy.rules.get(rule as usize)?))
    }

    /// Names the first rule that has the capability, or the first of all when none has.
    fn decision(&self, permission: &Permission, capability: Capability, reason: Reason) -> Decision {
        let mut rules = permission.sources.iter().filter_map(|source| self.rule(*source));
        let first = rules.clone().next();
        let named = rules.find(|(_, rule)| rule.capabilities.contains(capability)).or(first);
        Decision {
            granted: reason == Reason::Granted,
            policy: named.map(|(policy, _)| policy.name.clone()),
            rule: named.map(|(_, rule)| rule.pattern.clone()),
            line: named.map(|(_, rule)| rule.line),
            reason,
        }
    }
}

/// Why the permission does not do for the question; `None` when it does.
fn refusal(permission: &Permission, question: &Question<'_>) -> Option<Reason> {
    if permission.denies() {
        return Some(Reason::Denied);
    }
    if !permission.capabilities.contains(question.capability) {
        return Some(Reason::Lacks(question.capability));
    }
    if question.sudo && !permission.capabilities.contains(Capability::Sudo) {
        return Some(Reason::Lacks(Capability::Sudo));
    }
    let limits = permission.limits.as_deref()?;
    if !limits.allows_wrapping(question.wrap_ttl) {
        return Some(Reason::Wrapping);
    }
    let looked_at = [Capability::Read, Capability::Create, Capability::Update, Capability::Patch];
    if !looked_at.contains(&question.capability) {
        return None;
    }
    let none = Map::new();
    limits.refused_parameter(question.parameters.unwrap_or(&none)).map(Reason::Parameter)
}

impl Decision {
    /// The reason in words, for errors and for people: names policy, rule and line, and never a value.
    pub fn explain(&self) -> String {
        let rule = self.rule_words();
        match &self.reason {
            Reason::Root => "the policy `root` allows everything".to_owned(),
            Reason::Granted => format!("{rule} allows it"),
            Reason::NoRule => "no policy has a rule for this path: ask an operator for one".to_owned(),
            Reason::Denied => format!("{rule} says `deny`, which nothing overrides"),
            Reason::Lacks(capability) => format!("{rule} lacks `{capability}`: ask an operator to add it"),
            Reason::Parameter(name) => {
                format!("{rule} and the parameters sent do not go together: `{name}` is missing, denied or not allowed")
            }
            Reason::Wrapping => format!("{rule} asks for response wrapping within its TTLs: send `X-Vault-Wrap-TTL`"),
        }
    }

    fn rule_words(&self) -> String {
        match (&self.policy, &self.rule, self.line) {
            (Some(policy), Some(rule), Some(line)) => format!("policy `{policy}`, line {line}, path `{rule}`,"),
            _ => "the policy".to_owned(),
        }
    }
}

#[cfg(test)]
#[path = "acl_tests.rs"]
mod tests;
