use super::batch;
use super::create::expiry_at;
use super::entry::{Token, TokenKey};
use super::store::{Pointer, Tokens, accessor_shelf, children_shelf, expiry_shelf, holder_shelf, token_at};
use crate::event::Note;
use crate::records::PutRecord;
use crate::{CoreError, cubbyhole, wrapping};
use strongroom_barrier::{Shelf, Txn};
use strongroom_model::{NamespaceId, SecretString};

/// Tokens that are gone while their descendants are still to be removed. Survives a crash.
fn jobs() -> Shelf {
    Shelf::new("token-revoking", NamespaceId::ROOT)
}

/// Children removed per round of a job.
const ROUND: usize = 64;

impl Tokens {
    /// Revokes a token by its text, with everything that descends from it. One that is unknown or dead is no error; a
    /// batch token is refused, since nothing is stored that could be removed.
    pub async fn revoke(&self, token: &SecretString) -> Result<(), CoreError> {
        if !batch::is_batch(token) {
            return self.revoke_tree(self.key_of(token)).await;
        }
        match self.find(token).await? {
            Some(_) => Err(CoreError::Invalid("batch tokens cannot be revoked".to_owned())),
            None => Ok(()),
        }
    }

    /// Removes a token and everything that descends from it. The token itself is refused from the first commit on;
    /// when this returns, so are all descendants. Revoking what is gone already is no error.
    pub async fn revoke_tree(&self, key: TokenKey) -> Result<(), CoreError> {
        self.remove(key, None).await?;
        self.finish_job(key).await
    }

    /// Removes a token and leaves its children, as orphans.
    pub async fn revoke_orphan(&self, key: TokenKey) -> Result<(), CoreError> {
        loop {
            let children = self.records.scan::<Pointer>(&children_shelf(key), None, ROUND).await?;
            if children.is_empty() {
                return self.remove_alone(key).await;
            }
            for child in children {
                self.orphan(key, child.value.key).await?;
            }
        }
    }

    /// Removes tokens that are dead by now, at most `limit` of them; says how many.
    pub(crate) async fn sweep(&self, limit: usize) -> Result<usize, CoreError> {
        let now = self.clock.now().nanos();
        let due = self.records.scan::<Pointer>(&expiry_shelf(), None, limit).await?;
        let mut swept = 0;
        for entry in due.into_iter().filter(|entry| entry.number <= now) {
            let key = entry.value.key;
            let stale = self.records.commit(Txn::new().delete(expiry_shelf().ordered(entry.number, &entry.name)));
            match self.records.get::<Token>(&token_at(key)).await? {
                Some(token) if token.value.is_expired(self.clock.now()) => self.revoke_tree(key).await?,
                _ => drop(stale.await?),
            }
            swept += 1;
        }
        Ok(swept)
    }

    /// Finishes what a crash interrupted.
    pub(crate) async fn resume(&self) -> Result<(), CoreError> {
        loop {
            let pending = self.records.scan::<Pointer>(&jobs(), None, ROUND).await?;
            if pending.is_empty() {
                return Ok(());
            }
            for job in pending {
                self.finish_job(job.value.key).await?;
            }
        }
    }

    /// Deletes the token, notes a job if it has children, and takes it from its parent's list.
    async fn remove(&self, key: TokenKey, from_job: Option<TokenKey>) -> Result<(), CoreError> {
        loop {
            let has_children = !self.records.scan::<Pointer>(&children_shelf(key), None, 1).await?.is_empty();
            let token = self.records.get::<Token>(&token_at(key)).await?;
            let mut txn = Txn::new().delete(token_at(key));
            if let Some(token) = &token {
                txn = delete_indexes(txn.expect(token_at(key), token.rev), key, &token.value);
            }
            if let Some(parent) = from_job.or_else(|| token.as_ref().and_then(|token| token.value.parent)) {
                txn = txn.delete(children_shelf(parent).named(key.as_bytes()));
            }
            // A child made between the scan and this commit expects its parent to be there, so it is either seen by the
            // job or refused.
            if has_children || token.is_some() {
                txn = txn.put_record(jobs().named(key.as_bytes()), &Pointer { key })?;
            }
            match self.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(_) => {
                    token.iter().for_each(|token| self.tell(&token.value));
                    return Ok(());
                }
            }
        }
    }

    /// Tells that a token is gone before its time; that its time is over surprises nobody.
    fn tell(&self, token: &Token) {
        if !token.is_expired(self.clock.now()) && !token.is_wrapping() {
            self.events.tell(Note::token(&token.accessor));
        }
    }

    async fn finish_job(&self, first: TokenKey) -> Result<(), CoreError> {
        let mut open = vec![first];
        while let Some(parent) = open.pop() {
            let children = self.records.scan::<Pointer>(&children_shelf(parent), None, ROUND).await?;
            if children.is_empty() {
                cubbyhole::wipe(&self.records, parent).await?;
                self.leases.end_token(parent).await?;
                self.records.commit(Txn::new().delete(jobs().named(parent.as_bytes()))).await?;
                continue;
            }
            open.push(parent);
            for child in children {
                self.remove(child.value.key, Some(parent)).await?;
                open.push(child.value.key);
            }
        }
        Ok(())
    }

    async fn remove_alone(&self, key: TokenKey) -> Result<(), CoreError> {
        let Some(token) = self.records.get::<Token>(&token_at(key)).await? else { return Ok(()) };
        let mut txn = delete_indexes(Txn::new().delete(token_at(key)), key, &token.value);
        txn = txn.put_record(jobs().named(key.as_bytes()), &Pointer { key })?;
        if let Some(parent) = token.value.parent {
            txn = txn.delete(children_shelf(parent).named(key.as_bytes()));
        }
        self.records.commit(txn).await?;
        self.tell(&token.value);
        self.finish_job(key).await
    }

    async fn orphan(&self, parent: TokenKey, child: TokenKey) -> Result<(), CoreError> {
        loop {
            let link = children_shelf(parent).named(child.as_bytes());
            let Some(current) = self.records.get::<Token>(&token_at(child)).await? else {
                return self.records.commit(Txn::new().delete(link)).await.map(|_| ());
            };
            let token = Token { parent: None, through: current.value.mount, ..current.value.clone() };
            let txn = Txn::new().expect(token_at(child), current.rev).put_record(token_at(child), &token)?.delete(link);
            match self.records.commit(txn).await {
                Err(CoreError::Conflict) => continue,
                other => return other.map(|_| ()),
            }
        }
    }
}

/// Adds the removal of what leads to a token, and of the answer under a wrapping token.
pub(super) fn delete_indexes(mut txn: Txn, key: TokenKey, token: &Token) -> Txn {
    txn = txn.delete(accessor_shelf().named(&token.accessor));
    if let Some(entity) = token.entity {
        txn = txn.delete(holder_shelf(entity).named(key.as_bytes()));
    }
    if token.is_wrapping() {
        txn = wrapping::forget(txn, key);
    }
    match token.expires {
        Some(expires) => txn.delete(expiry_at(key, expires)),
        None => txn,
    }
}
