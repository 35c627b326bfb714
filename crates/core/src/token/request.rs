//! Making tokens by hand: who has a token makes another, of their own or by a role.
//!
//! What may be asked for, and what the maker, the role and the system make of it (Vault: `handleCreateCommon`). The
//! token itself is made by [`Tokens::create`], as for logins.

use super::create::NewToken;
use super::entry::{Token, TokenKey};
use super::lifetime::lesser;
use super::rights::{self, Asked};
use super::role::TokenRole;
use super::store::Tokens;
use crate::{Auth, CoreError, Grant, Terms};
use std::collections::BTreeMap;
use strongroom_model::{EntityId, PolicyName, SecretString, TokenRoleName, TokenType};

/// On which way a token is made.
pub enum Means {
    /// As a child of the maker's.
    Child,
    /// As nobody's child.
    Orphan,
    /// As the role says.
    Role(TokenRoleName),
}

/// A token that somebody asks for.
pub struct TokenRequest {
    /// On which way it is made.
    pub means: Means,
    /// Ask, on the way of a child, for nobody's child. Needs `sudo`.
    pub no_parent: bool,
    /// The string itself. Needs `sudo`.
    pub id: Option<SecretString>,
    /// Its policies; empty: what the role or the maker's token has.
    pub policies: Vec<PolicyName>,
    /// How long, how often, of which type. A period needs `sudo`. Networks cannot be asked for.
    pub terms: Terms,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Shown in the trail and in lookups.
    pub display_name: String,
    /// What to note with it.
    pub metadata: BTreeMap<String, String>,
    /// The alias of the entity that it acts for; only by a role that allows it.
    pub entity_alias: Option<String>,
}

impl Tokens {
    /// Makes a token for somebody who was granted to make one. The warnings say what was cut short.
    pub async fn make(&self, grant: &Grant, request: TokenRequest) -> Result<(Auth, Vec<String>), CoreError> {
        let bearer = grant.require_bearer()?;
        let (maker, sudo) = (bearer.token(), grant.has_sudo());
        let maker_key = bearer.key().ok_or_else(|| invalid("batch tokens cannot create more tokens"))?;
        if bearer.is_counted() {
            return Err(invalid("restricted use token cannot generate child tokens"));
        }
        let role = match &request.means {
            Means::Role(name) => {
                let role = self.role(name).await?;
                Some(role.ok_or_else(|| CoreError::Invalid(format!("unknown role {name}")))?)
            }
            Means::Child | Means::Orphan => None,
        };
        let role = role.as_deref().map(|role| &role.value);
        check_id(request.id.as_ref(), sudo)?;
        let parent = parent(&request, role, maker_key, sudo)?;
        let mut warnings = Vec::new();
        let asked = Asked { policies: request.policies, no_default: request.terms.no_default_policy };
        let mut terms = merged(request.terms, role, sudo, &mut warnings)?;
        let policies = rights::resolve(asked, role, maker, sudo)?;
        if is_endless(&terms) && policies.iter().any(PolicyName::is_root) && maker.expires.is_some() {
            return Err(invalid("expiring root tokens cannot create non-expiring root tokens"));
        }
        terms.bound_cidrs = match role {
            Some(role) => role.bound_cidrs.clone(),
            // A child goes nowhere its parent may not.
            None => parent.map(|_| maker.bound_cidrs.clone()).unwrap_or_default(),
        };
        // The policies are settled; whether `default` is among them, too.
        terms.no_default_policy = true;
        let entity = match &request.entity_alias {
            Some(alias) => Some(self.entity_by_alias(grant, role, alias).await?),
            None => parent.and(maker.entity),
        };
        let (auth, cut) = self
            .create(NewToken {
                id: request.id,
                policies,
                terms,
                renewable: request.renewable && role.is_none_or(|role| role.renewable),
                parent,
                entity,
                display_name: request.display_name,
                metadata: request.metadata,
                path: path(&request.means, role),
                role: role.map(|role| role.name.clone()),
                ..NewToken::default()
            })
            .await?;
        warnings.extend(cut);
        Ok((auth, warnings))
    }

    async fn entity_by_alias(
        &self,
        grant: &Grant,
        role: Option<&TokenRole>,
        alias: &str,
    ) -> Result<EntityId, CoreError> {
        let role = role.ok_or_else(|| invalid("'entity_alias' is only allowed in combination with token role"))?;
        if !role.allows_alias(alias) {
            return Err(invalid("invalid 'entity_alias' value"));
        }
        Ok(self.identity.resolve_login(grant.mount()?, alias, None).await?.value.id)
    }
}

fn invalid(text: &str) -> CoreError {
    CoreError::Invalid(text.to_owned())
}

fn is_endless(terms: &Terms) -> bool {
    terms.ttl.is_zero() && terms.period.is_zero() && terms.explicit_max_ttl.is_zero()
}

fn check_id(id: Option<&SecretString>, sudo: bool) -> Result<(), CoreError> {
    let Some(id) = id.map(SecretString::expose) else { return Ok(()) };
    if !sudo {
        return Err(invalid("root or sudo privileges required to specify token id"));
    }
    // A dot sets our own tokens apart from chosen ones.
    if id.contains('.') || id.chars().any(|c| c.is_whitespace() || c.is_control()) || id.len() > 512 {
        return Err(invalid("custom token ID cannot contain dots, blanks or more than 512 characters"));
    }
    Ok(())
}

fn parent(
    request: &TokenRequest,
    role: Option<&TokenRole>,
    maker: TokenKey,
    sudo: bool,
) -> Result<Option<TokenKey>, CoreError> {
    match (role, &request.means, request.no_parent) {
        (Some(role), ..) => Ok((!role.orphan).then_some(maker)),
        (None, Means::Orphan, _) => Ok(None),
        (None, _, true) if !sudo => Err(invalid("root or sudo privileges required to create orphan token")),
        (None, _, no_parent) => Ok((!no_parent).then_some(maker)),
    }
}

fn path(means: &Means, role: Option<&TokenRole>) -> String {
    match (role, means) {
        (Some(role), _) => role.path(),
        (None, Means::Orphan) => "auth/token/create-orphan".to_owned(),
        (None, _) => "auth/token/create".to_owned(),
    }
}

/// The terms asked for, within those of the role.
fn merged(
    mut terms: Terms,
    role: Option<&TokenRole>,
    sudo: bool,
    warnings: &mut Vec<String>,
) -> Result<Terms, CoreError> {
    let token_type = role.map(|role| role.token_type).unwrap_or_default().settle(terms.token_type);
    if !terms.explicit_max_ttl.is_zero() && token_type == TokenType::Batch {
        return Err(invalid("batch tokens cannot have \"explicit_max_ttl\" set"));
    }
    if !terms.period.is_zero() && token_type == TokenType::Service && !sudo {
        return Err(invalid("root or sudo privileges required to create periodic token"));
    }
    terms.token_type = Some(token_type);
    let Some(role) = role else { return Ok(terms) };
    let mut lesser_of = |what: &str, asked, of_role| {
        let merged = lesser(asked, of_role);
        if !asked.is_zero() && !of_role.is_zero() {
            let secs = merged.secs();
            let what = format!("{what} specified both during creation call and in role; using the lesser value");
            warnings.push(format!("{what} of {secs} seconds"));
        }
        merged
    };
    // Vault lets a batch token live longer than its role says; here the role holds for it, too.
    terms.explicit_max_ttl = lesser_of("Explicit max TTL", terms.explicit_max_ttl, role.explicit_max_ttl);
    if token_type == TokenType::Service {
        terms.period = lesser_of("Period", terms.period, role.period);
    }
    terms.num_uses = match (terms.num_uses, role.num_uses) {
        (0, only) | (only, 0) => only,
        (asked, of_role) => asked.min(of_role),
    };
    Ok(terms)
}

/// What holds at the renewal of a token that was made by hand; the role's word is the one it has now.
pub(super) fn renewed(token: &Token, role: Option<&TokenRole>) -> Terms {
    let own = Terms { ttl: token.creation_ttl, max_ttl: token.max_ttl, period: token.period, ..Terms::default() };
    match role {
        Some(role) => Terms { period: role.period, explicit_max_ttl: role.explicit_max_ttl, ..own },
        None => own,
    }
}
