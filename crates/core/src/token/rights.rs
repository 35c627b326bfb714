//! Which policies a token that somebody makes may have (Vault: `resolveTokenPolicies`). Pure.

use super::entry::Token;
use super::role::TokenRole;
use crate::CoreError;
use strongroom_model::PolicyName;

/// What was asked for.
pub(super) struct Asked {
    /// Empty: what the role or the maker gives.
    pub(super) policies: Vec<PolicyName>,
    /// Leave `default` out, even if it is among the policies.
    pub(super) no_default: bool,
}

/// The policies of the new token, or why it cannot have those asked for. `sudo`: the maker's policies give it on the
/// path, so the maker may give what the maker does not have.
pub(super) fn resolve(
    asked: Asked,
    role: Option<&TokenRole>,
    maker: &Token,
    sudo: bool,
) -> Result<Vec<PolicyName>, CoreError> {
    let no_default = asked.no_default;
    let mut policies = match role.filter(|role| role.rules_policies()) {
        Some(role) => by_role(asked, role, maker)?,
        None => by_maker(asked, maker, sudo)?,
    };
    if no_default {
        policies.retain(|policy| *policy != PolicyName::default_policy());
    }
    // Not even sudo or a role makes root of something else.
    if policies.iter().any(PolicyName::is_root) && !maker.is_root() {
        return invalid("root tokens may not be created without parent token being root".to_owned());
    }
    Ok(policies)
}

/// A role that names policies rules alone: its tokens need have nothing in common with the maker's.
fn by_role(asked: Asked, role: &TokenRole, maker: &Token) -> Result<Vec<PolicyName>, CoreError> {
    let default = PolicyName::default_policy();
    let add_default = !asked.no_default && !role.no_default_policy && !role.disallows(&default);
    let allows_only = !role.allowed_policies.is_empty() || !role.allowed_policies_glob.is_empty();
    let allowed = settled(role.allowed_policies.clone(), add_default);
    let policies = match (asked.policies.is_empty(), allows_only) {
        (true, true) => allowed,
        (true, false) => settled(maker.policies.clone(), add_default),
        (false, _) => {
            let policies = settled(asked.policies, add_default);
            let may = |policy: &PolicyName| {
                allowed.contains(policy) || role.allowed_policies_glob.iter().any(|glob| glob.fits(policy))
            };
            if allows_only && !policies.iter().all(may) {
                return invalid(format!(
                    "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
                    quoted(&policies),
                    quoted(&allowed),
                    quoted(&role.allowed_policies_glob)
                ));
            }
            policies
        }
    };
    match policies.iter().find(|policy| role.disallows(policy)) {
        Some(policy) => invalid(format!("token policy \"{policy}\" is disallowed by this role")),
        None => Ok(policies),
    }
}

/// Without such a role, a child has at most the policies of its maker's token; those of the maker's entity do not count,
/// since the child may outlive them.
fn by_maker(asked: Asked, maker: &Token, sudo: bool) -> Result<Vec<PolicyName>, CoreError> {
    if asked.policies.is_empty() {
        return Ok(settled(maker.policies.clone(), false));
    }
    let has_default = maker.policies.contains(&PolicyName::default_policy());
    let policies = settled(asked.policies, false);
    if !sudo && !policies.iter().all(|policy| maker.policies.contains(policy)) {
        return invalid("child policies must be subset of parent".to_owned());
    }
    Ok(settled(policies, !asked.no_default && (sudo || has_default)))
}

/// Sorted, each once, with `default` if told so; a root token has nothing but `root`.
pub(super) fn settled(mut policies: Vec<PolicyName>, add_default: bool) -> Vec<PolicyName> {
    if policies.iter().any(PolicyName::is_root) {
        return vec![PolicyName::root()];
    }
    if add_default {
        policies.push(PolicyName::default_policy());
    }
    policies.sort();
    policies.dedup();
    policies
}

fn invalid<T>(text: String) -> Result<T, CoreError> {
    Err(CoreError::Invalid(text))
}

/// As Vault prints lists in errors.
fn quoted<T: ToString>(names: &[T]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{}\"", name.to_string())).collect();
    format!("[{}]", names.join(" "))
}
