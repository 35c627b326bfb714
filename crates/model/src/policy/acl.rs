use super::parse::Policy;
use crate::{Capabilities, Capability, PolicyName, RequestPath};
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// Several policies compiled into one answerer.
pub struct Acl {
    policies: Vec<Arc<Policy>>,
}

/// What is asked of an [`Acl`].
pub struct Question<'a> {
    /// The canonical path.
    pub path: &'a RequestPath,
    /// The capability needed. For `List` the folder spelling (`path/`) is considered too.
    pub capability: Capability,
    /// Whether the endpoint is reserved for operators, so that `sudo` is needed as well.
    pub sudo: bool,
    /// The parameters sent; only looked at for create, update and patch.
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

impl Acl {
    /// Compiles the policies. A policy named `root` among the names makes everything allowed.
    pub fn new(_policies: Vec<Arc<Policy>>) -> Self {
        unimplemented!()
    }

    /// Whether the root policy is in it.
    pub fn is_root(&self) -> bool {
        unimplemented!()
    }

    /// Decides one question.
    pub fn decide(&self, _question: &Question<'_>) -> Decision {
        unimplemented!()
    }

    /// What the best matching rule allows on a path (`sys/capabilities`): only `Deny` when denied or nothing matches.
    pub fn capabilities(&self, _path: &RequestPath) -> Capabilities {
        unimplemented!()
    }

    /// Whether anything at or below this path is allowed (not only denied): decides if a mount shows in
    /// `sys/internal/ui/mounts`.
    pub fn touches(&self, _prefix: &str) -> bool {
        unimplemented!()
    }

    /// The policies it was compiled from.
    pub fn policies(&self) -> &[Arc<Policy>] {
        &self.policies
    }
}
