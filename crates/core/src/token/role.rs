//! Token roles: what may be asked for by who makes tokens through `auth/token/create/ROLE`, and what such tokens are
//! like.
//!
//! A role lets people make tokens that they could not make as children of their own: with policies they do not have,
//! without a parent, with a period. So whoever may write roles can reach what any policy gives. A token remembers the
//! name of its role only, and the role is read again at each renewal.

use super::glob::{self, PolicyGlob};
use super::kind::TypeRule;
use super::store::Tokens;
use crate::records::{PutRecord, Stored};
use crate::{Cidr, CoreError, Grant};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{NamespaceId, PolicyName, TokenRoleName, Ttl};

/// What tokens of a role are like.
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenRole {
    /// Its name.
    pub name: TokenRoleName,
    /// What may be asked for, and what is given when nothing is asked for. With all four lists empty, the maker's own
    /// policies are the limit, as without a role.
    pub allowed_policies: Vec<PolicyName>,
    /// What may be asked for beside that.
    pub allowed_policies_glob: Vec<PolicyGlob>,
    /// What may not be given, whatever the other lists say.
    pub disallowed_policies: Vec<PolicyName>,
    /// What may not be given, whatever the other lists say.
    pub disallowed_policies_glob: Vec<PolicyGlob>,
    /// Whether its tokens outlive their makers'.
    pub orphan: bool,
    /// Whether its tokens can be renewed, if they are asked to be.
    pub renewable: bool,
    /// Follows the role's name in the path of its tokens; tells one edition of a role from the next.
    pub path_suffix: String,
    /// Patterns of the aliases that may be asked for. Case counts, as it does in the identity store.
    pub allowed_entity_aliases: Vec<String>,
    /// The type of its tokens.
    pub token_type: TypeRule,
    /// Whether the policy `default` is left out unless it is asked for.
    pub no_default_policy: bool,
    /// Most uses of its tokens; 0: any number.
    pub num_uses: u64,
    /// When set, its tokens are periodic.
    pub period: Ttl,
    /// Longest life of its tokens; zero: none of its own.
    pub explicit_max_ttl: Ttl,
    /// Networks from which its tokens may be used; empty: any.
    pub bound_cidrs: Vec<Cidr>,
}

/// What to change about a role; what is `None` stays as it is, or as a new role has it.
#[derive(Clone, Default)]
#[allow(missing_docs, reason = "each is the field of the same name in `TokenRole`")]
pub struct RoleChange {
    pub allowed_policies: Option<Vec<PolicyName>>,
    pub allowed_policies_glob: Option<Vec<PolicyGlob>>,
    pub disallowed_policies: Option<Vec<PolicyName>>,
    pub disallowed_policies_glob: Option<Vec<PolicyGlob>>,
    pub orphan: Option<bool>,
    pub renewable: Option<bool>,
    pub path_suffix: Option<String>,
    pub allowed_entity_aliases: Option<Vec<String>>,
    pub token_type: Option<TypeRule>,
    pub no_default_policy: Option<bool>,
    pub num_uses: Option<u64>,
    pub period: Option<Ttl>,
    pub explicit_max_ttl: Option<Ttl>,
    pub bound_cidrs: Option<Vec<Cidr>>,
}

impl TokenRole {
    fn new(name: TokenRoleName) -> Self {
        Self {
            name,
            allowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            allowed_entity_aliases: Vec::new(),
            token_type: TypeRule::DefaultService,
            no_default_policy: false,
            num_uses: 0,
            period: Ttl::ZERO,
            explicit_max_ttl: Ttl::ZERO,
            bound_cidrs: Vec::new(),
        }
    }

    /// Whether it says itself which policies its tokens may have.
    pub(super) fn rules_policies(&self) -> bool {
        !(self.allowed_policies.is_empty()
            && self.allowed_policies_glob.is_empty()
            && self.disallowed_policies.is_empty()
            && self.disallowed_policies_glob.is_empty())
    }

    /// Whether it refuses a policy by name.
    pub(super) fn disallows(&self, policy: &PolicyName) -> bool {
        self.disallowed_policies.contains(policy) || self.disallowed_policies_glob.iter().any(|glob| glob.fits(policy))
    }

    /// Whether its tokens may act for the entity with that alias.
    pub(super) fn allows_alias(&self, alias: &str) -> bool {
        self.allowed_entity_aliases.iter().any(|pattern| glob::fits(pattern, alias))
    }

    /// The path that its tokens have, by which they are found in trails and revoked together.
    pub(super) fn path(&self) -> String {
        match self.path_suffix.as_str() {
            "" => format!("auth/token/create/{}", self.name),
            suffix => format!("auth/token/create/{}/{suffix}", self.name),
        }
    }

    /// Refuses what contradicts itself, with Vault's reasons.
    fn check(&self) -> Result<(), CoreError> {
        let suffix = &self.path_suffix;
        if suffix.contains("..") {
            let text = "error registering path suffix: path cannot contain parent references";
            return Err(CoreError::Invalid(text.to_owned()));
        }
        let fit = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
        if !suffix.chars().all(fit) || suffix.starts_with('/') || suffix.ends_with('/') || suffix.contains("//") {
            let text = "given role path suffix contains invalid characters: use letters, digits and `_-.`";
            return Err(CoreError::Invalid(text.to_owned()));
        }
        let contradiction = match self {
            _ if self.token_type != TypeRule::Batch => return Ok(()),
            _ if !self.orphan => "non-orphan tokens",
            _ if !self.period.is_zero() => "periodic tokens",
            _ if self.renewable => "renewable tokens",
            _ if !self.explicit_max_ttl.is_zero() => "tokens with an explicit max TTL",
            _ if self.num_uses > 0 => "tokens with limited use count",
            _ => return Ok(()),
        };
        let text = format!("'token_type' cannot be 'batch' when role is set to generate {contradiction}");
        Err(CoreError::Invalid(text))
    }
}

impl RoleChange {
    fn apply(self, role: &mut TokenRole) {
        fn replace<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        replace(&mut role.allowed_policies, self.allowed_policies.map(sorted));
        replace(&mut role.allowed_policies_glob, self.allowed_policies_glob.map(sorted));
        replace(&mut role.disallowed_policies, self.disallowed_policies.map(sorted));
        replace(&mut role.disallowed_policies_glob, self.disallowed_policies_glob.map(sorted));
        replace(&mut role.orphan, self.orphan);
        replace(&mut role.renewable, self.renewable);
        replace(&mut role.path_suffix, self.path_suffix);
        replace(&mut role.allowed_entity_aliases, self.allowed_entity_aliases.map(sorted));
        replace(&mut role.token_type, self.token_type);
        replace(&mut role.no_default_policy, self.no_default_policy);
        replace(&mut role.num_uses, self.num_uses);
        replace(&mut role.period, self.period);
        replace(&mut role.explicit_max_ttl, self.explicit_max_ttl);
        replace(&mut role.bound_cidrs, self.bound_cidrs);
    }
}

fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort();
    list.dedup();
    list
}

fn shelf() -> Shelf {
    Shelf::new("token-role", NamespaceId::ROOT).counted()
}

fn role_at(name: &TokenRoleName) -> Address {
    shelf().named(name.as_str())
}

impl Tokens {
    /// The role with that name.
    pub async fn role(&self, name: &TokenRoleName) -> Result<Option<Arc<Stored<TokenRole>>>, CoreError> {
        self.records.get(&role_at(name)).await
    }

    /// The names of all roles, sorted.
    pub async fn roles(&self) -> Result<Vec<String>, CoreError> {
        let roles = self.records.scan_all::<TokenRole>(&shelf()).await?;
        Ok(sorted(roles.iter().map(|role| role.text()).collect()))
    }

    /// Makes a role, or changes one; never leaves one that contradicts itself. Gives warnings.
    pub async fn write_role(
        &self,
        _grant: &Grant,
        name: TokenRoleName,
        change: RoleChange,
    ) -> Result<Vec<String>, CoreError> {
        loop {
            let current = self.role(&name).await?;
            let txn = match &current {
                Some(current) => Txn::new().expect(role_at(&name), current.rev),
                None => Txn::new().expect_absent(role_at(&name)),
            };
            let mut role = current.map_or_else(|| TokenRole::new(name.clone()), |current| current.value.clone());
            change.clone().apply(&mut role);
            role.check()?;
            match self.records.commit(txn.put_record(role_at(&name), &role)?).await {
                Ok(_) => return Ok(self.longer_than_possible(&role)),
                // Each round is somebody's progress.
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes a role; one that is not there is no error. Its tokens live on, but cannot be renewed.
    pub async fn delete_role(&self, _grant: &Grant, name: &TokenRoleName) -> Result<(), CoreError> {
        self.records.commit(Txn::new().delete(role_at(name))).await.map(|_| ())
    }

    fn longer_than_possible(&self, role: &TokenRole) -> Vec<String> {
        let longest = self.limits(None).longest;
        if role.explicit_max_ttl <= longest {
            return Vec::new();
        }
        vec![format!(
            "Given explicit max TTL of {} is greater than system/mount allowed value of {} seconds; tokens of this role \
             are capped at the latter",
            role.explicit_max_ttl.secs(),
            longest.secs()
        )]
    }
}
