use super::create::expiry_at;
use super::entry::Token;
use super::store::{Bearer, Pointer, Tokens, token_at};
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
        if !bearer.token().renewable {
            return Err(CoreError::Invalid("lease is not renewable".to_owned()));
        }
        let terms = self.current_terms(bearer.token()).await?;
        loop {
            let Some(current) = self.records.get::<Token>(&token_at(bearer.key())).await? else {
                return Err(CoreError::Denied);
            };
            let now = self.clock.now();
            if current.value.is_expired(now) {
                return Err(CoreError::Denied);
            }
            let mut token = current.value.clone();
            let (expires, warning) = self.renewed_expiry(&token, &terms, increment, now)?;
            let mut txn = Txn::new().expect(token_at(bearer.key()), current.rev);
            if let Some(old) = token.expires {
                txn = txn.delete(expiry_at(bearer.key(), old));
            }
            token.expires = Some(expires);
            token.renewed = Some(now);
            txn = txn.put_record(token_at(bearer.key()), &token)?;
            txn = if current.value.expires == Some(expires) {
                // The same place on the shelf cannot be deleted and written in one transaction.
                Txn::new().expect(token_at(bearer.key()), current.rev).put_record(token_at(bearer.key()), &token)?
            } else {
                txn.put_record(expiry_at(bearer.key(), expires), &Pointer { key: bearer.key() })?
            };
            match self.records.commit(txn).await {
                Ok(_) => return Ok((auth_of(bearer, &token, client_token, now), warning.into_iter().collect())),
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
            }
        }
    }

    /// What holds now: an auth method may have shortened its role, or refuse the principal.
    async fn current_terms(&self, token: &Token) -> Result<Terms, CoreError> {
        let method = token.mount.and_then(|mount| self.mounts.table().method(mount));
        match method {
            Some(method) => method.renew(&token.note).await,
            None => {
                Ok(Terms { ttl: token.creation_ttl, max_ttl: token.max_ttl, period: token.period, ..Terms::default() })
            }
        }
    }

    /// The end of life after a renewal: never later than creation plus the longest life, whatever the moment
    /// (CVE-2021-32923: a renewal in the last second must not give a token without end).
    fn renewed_expiry(
        &self,
        token: &Token,
        terms: &Terms,
        increment: Ttl,
        now: Timestamp,
    ) -> Result<(Timestamp, Option<String>), CoreError> {
        let (default, longest) = self.lifetimes(token.mount);
        let max = if terms.max_ttl.is_zero() { longest } else { terms.max_ttl.min(longest) };
        let wanted = match (terms.period, increment, terms.ttl) {
            (period, ..) if !period.is_zero() => period.min(max),
            (_, increment, _) if !increment.is_zero() => increment,
            (_, _, ttl) if !ttl.is_zero() => ttl,
            _ => default,
        };
        let mut limit = if terms.period.is_zero() { Some(token.created.plus(max.0)) } else { None };
        if !token.explicit_max_ttl.is_zero() {
            let explicit = token.created.plus(token.explicit_max_ttl.0);
            limit = Some(limit.map_or(explicit, |limit| limit.min(explicit)));
        }
        match (now.plus(wanted.0), limit) {
            (_, Some(limit)) if limit <= now => {
                Err(CoreError::Invalid("past the max TTL, cannot renew; log in anew".to_owned()))
            }
            (expires, Some(limit)) if expires > limit => {
                let left = Ttl(limit.since(now));
                let warning = format!(
                    "TTL of \"{}s\" exceeded the effective max_ttl of \"{}s\"; TTL value is capped accordingly",
                    wanted.secs(),
                    left.secs()
                );
                Ok((limit, Some(warning)))
            }
            (expires, _) => Ok((expires, None)),
        }
    }
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
