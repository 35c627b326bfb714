use super::bearer::Bearer;
use super::create::expiry_at;
use super::entry::{Token, TokenKey};
use super::lifetime::{self, Wish, lesser};
use super::request;
use super::store::{Pointer, Tokens, token_at};
use crate::records::PutRecord;
use crate::{Auth, CoreError, Terms};
use strongroom_barrier::Txn;
use strongroom_model::{SecretString, Timestamp, Ttl};

impl Tokens {
    /// Prolongs a token by `increment` (zero: as long as it was made for), never past its longest life.
    pub async fn renew(
        &self,
        bearer: &Bearer,
        client_token: SecretString,
        increment: Ttl,
    ) -> Result<(Auth, Vec<String>), CoreError> {
        self.meters.renew.over(|| self.prolong(bearer, client_token, increment)).await
    }

    async fn prolong(
        &self,
        bearer: &Bearer,
        client_token: SecretString,
        increment: Ttl,
    ) -> Result<(Auth, Vec<String>), CoreError> {
        let key = bearer.key().ok_or_else(|| CoreError::Invalid("batch tokens cannot be renewed".to_owned()))?;
        if !bearer.token().renewable {
            return Err(CoreError::Invalid("lease is not renewable".to_owned()));
        }
        let terms = self.current_terms(bearer.token()).await?;
        loop {
            let Some(current) = self.records.get::<Token>(&token_at(key)).await? else { return Err(CoreError::Denied) };
            let now = self.clock.now();
            if current.value.is_expired(now) {
                return Err(CoreError::Denied);
            }
            let (ttl, warnings) = self.next_ttl(&current.value, &terms, increment, now)?;
            let token = Token { expires: Some(now.plus(ttl.0)), renewed: Some(now), ..current.value.clone() };
            let txn = Txn::new().expect(token_at(key), current.rev).put_record(token_at(key), &token)?;
            let txn = moved(txn, key, current.value.expires, token.expires)?;
            match self.meters.store.over(|| self.records.commit(txn)).await {
                Ok(_) => return Ok((auth_of(bearer, &token, client_token, now), warnings)),
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
            }
        }
    }

    /// What holds now: an auth method or a token role may have been changed, or refuse the principal.
    async fn current_terms(&self, token: &Token) -> Result<Terms, CoreError> {
        if let Some(method) = token.mount.and_then(|mount| self.mounts.table().method(mount)) {
            return method.renew(&token.note).await;
        }
        let Some(name) = &token.role else { return Ok(request::renewed(token, None)) };
        match self.role(name).await? {
            Some(role) => Ok(request::renewed(token, Some(&role.value))),
            None => Err(CoreError::Invalid(format!("original token role \"{name}\" could not be found, not renewing"))),
        }
    }

    /// The time to live from now: never past creation plus the longest life, whatever the moment.
    fn next_ttl(
        &self,
        token: &Token,
        terms: &Terms,
        increment: Ttl,
        now: Timestamp,
    ) -> Result<(Ttl, Vec<String>), CoreError> {
        let wish = Wish {
            ttl: if increment.is_zero() { terms.ttl } else { increment },
            period: terms.period,
            max_ttl: terms.max_ttl,
            // What the token was made with binds it, even if the role has become more generous. In Vault it does not.
            explicit_max_ttl: lesser(token.explicit_max_ttl, terms.explicit_max_ttl),
        };
        lifetime::settle(&wish, self.limits(token.mount), now.since(token.created))
    }
}

/// Adds the move of a token from one place in the order of expiry to another. The same place cannot be deleted and
/// written in one transaction.
fn moved(txn: Txn, key: TokenKey, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<Txn, CoreError> {
    if from == to {
        return Ok(txn);
    }
    let txn = from.into_iter().fold(txn, |txn, from| txn.delete(expiry_at(key, from)));
    to.into_iter().try_fold(txn, |txn, to| txn.put_record(expiry_at(key, to), &Pointer { key }))
}

fn auth_of(bearer: &Bearer, token: &Token, client_token: SecretString, now: Timestamp) -> Auth {
    Auth {
        client_token,
        made: false,
        accessor: token.accessor.clone(),
        display_name: token.display_name.clone(),
        token_policies: token.policies.clone(),
        identity_policies: bearer.identity_policies(),
        metadata: token.metadata.clone(),
        ttl: token.ttl_left(now),
        renewable: token.renewable,
        entity: token.entity,
        token_type: token.token_type,
        orphan: token.parent.is_none(),
        num_uses: token.uses_left,
    }
}
