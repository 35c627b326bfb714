use super::batch;
use super::create::expiry_at;
use super::entry::{Token, TokenKey};
use super::store::{Pointer, Tokens, accessor_shelf, children_shelf, expiry_shelf, holder_shelf, token_at};
use crate::event::Note;
use crate::records::PutRecord;
use crate::{CoreError, cubbyhole, wrapping};
use serde::{Deserialize, Serialize};
use strongroom_barrier::{Address, Shelf, Txn};
use strongroom_model::{NamespaceId, SecretString};

/// Tokens that are gone while their descendants are still to be removed. Survives a crash.
fn jobs() -> Shelf {
    Shelf::new("token-revoking", NamespaceId::ROOT)
}

/// Where it is noted that a token's descendants are still to be removed.
pub(super) fn job_at(key: TokenKey) -> Address {
    jobs().named(key.as_bytes())
}

/// A token that is gone, with what it leaves.
///
/// It stays in its parent's list until its descendants are gone too: whoever revokes the parent meanwhile, or the same token
/// once more, or goes on after a crash, finds what is left, and no answer says "revoked" while somebody else is still at it.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Job {
    key: TokenKey,
    parent: Option<TokenKey>,
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

    /// Removes a token and everything that descends from it. All of them are refused from the first commit on; when this
    /// returns, they are gone. Revoking what is gone already is no error.
    pub async fn revoke_tree(&self, key: TokenKey) -> Result<(), CoreError> {
        self.meters.revoke_tree.over(|| async { self.finish_job(self.remove(key, None).await?).await }).await
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
            let pending = self.records.scan::<Job>(&jobs(), None, ROUND).await?;
            if pending.is_empty() {
                return Ok(());
            }
            for job in pending {
                self.finish_job(job.value).await?;
            }
        }
    }

    /// Deletes the token, and notes a job for what it leaves.
    async fn remove(&self, key: TokenKey, under: Option<TokenKey>) -> Result<Job, CoreError> {
        loop {
            let has_children = !self.records.scan::<Pointer>(&children_shelf(key), None, 1).await?.is_empty();
            let token = self.records.get::<Token>(&token_at(key)).await?;
            let mut txn = Txn::new().delete(token_at(key));
            if let Some(token) = &token {
                txn = delete_indexes(txn.expect(token_at(key), token.rev), key, &token.value);
            }
            let job = Job { key, parent: under.or_else(|| token.as_ref().and_then(|token| token.value.parent)) };
            // A child made between the scan and this commit expects its parent to be there, so it is either seen by the
            // job or refused.
            if has_children || token.is_some() {
                txn = txn.put_record(job_at(key), &job)?;
            }
            match self.meters.revoke.over(|| self.records.commit(txn)).await {
                Err(CoreError::Conflict) => continue,
                Err(error) => return Err(error),
                Ok(_) => {
                    token.iter().for_each(|token| self.tell(&token.value));
                    return Ok(job);
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

    async fn finish_job(&self, first: Job) -> Result<(), CoreError> {
        let mut open = vec![first];
        while let Some(job) = open.pop() {
            let Job { key, parent } = job;
            let children = self.records.scan::<Pointer>(&children_shelf(key), None, ROUND).await?;
            if children.is_empty() {
                cubbyhole::wipe(&self.records, key).await?;
                self.meters.end_leases.over(|| self.leases.end_token(key)).await?;
                let done = Txn::new().delete(job_at(key));
                let listed = parent.map(|parent| children_shelf(parent).named(key.as_bytes()));
                self.records.commit(listed.into_iter().fold(done, Txn::delete)).await?;
                continue;
            }
            open.push(job);
            for child in children {
                open.push(self.remove(child.value.key, Some(key)).await?);
            }
        }
        Ok(())
    }

    async fn remove_alone(&self, key: TokenKey) -> Result<(), CoreError> {
        let Some(token) = self.records.get::<Token>(&token_at(key)).await? else { return Ok(()) };
        let job = Job { key, parent: token.value.parent };
        let txn = delete_indexes(Txn::new().delete(token_at(key)), key, &token.value).put_record(job_at(key), &job)?;
        self.meters.revoke.over(|| self.records.commit(txn)).await?;
        self.tell(&token.value);
        self.finish_job(job).await
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

#[cfg(test)]
mod tests {
    use super::{Txn, children_shelf};
    use crate::token::tidy::tests::{child, open};

    /// What another worker of the same job has done when it has come as far as this.
    #[tokio::test]
    async fn who_revokes_a_token_that_somebody_else_is_at_answers_when_its_descendants_are_gone() {
        let (open, root) = open().await;
        let tokens = &open.tokens;
        let (first, third) = loop {
            let first = child(&open, &root).await;
            let second = child(&open, &first).await;
            let third = child(&open, &second).await;
            let other = tokens.remove(tokens.key_of(&first), None).await.unwrap();
            tokens.remove(tokens.key_of(&second), Some(other.key)).await.unwrap();
            // Housekeeping carries on what it finds unfinished, and may have come to it already.
            if tokens.kept(tokens.key_of(&third)).await.unwrap().is_some() {
                break (first, third);
            }
        };
        tokens.revoke(&first).await.unwrap();
        assert!(tokens.kept(tokens.key_of(&third)).await.unwrap().is_none());
        // Who revokes what is above finds it too, and nothing is left of it.
        let fourth = child(&open, &root).await;
        let fifth = child(&open, &fourth).await;
        tokens.remove(tokens.key_of(&fourth), None).await.unwrap();
        tokens.revoke(&root).await.unwrap();
        assert!(tokens.kept(tokens.key_of(&fifth)).await.unwrap().is_none());
        tokens.resume().await.unwrap();
        assert!(tokens.records.scan_all::<super::Job>(&super::jobs()).await.unwrap().is_empty());
    }
    #[tokio::test]
    async fn a_tree_is_refused_with_its_root_also_where_somebody_cut_a_child_out_of_the_list() {
        let (open, root) = open().await;
        let tokens = &open.tokens;
        let first = child(&open, &root).await;
        let second = child(&open, &first).await;
        let third = child(&open, &second).await;
        let (above, hidden) = (tokens.key_of(&first), tokens.key_of(&second));
        let cut = Txn::new().delete(children_shelf(above).named(hidden.as_bytes()));
        tokens.records.commit(cut).await.unwrap();
        assert!(tokens.find(&third).await.unwrap().is_some());
        tokens.revoke(&first).await.unwrap();
        for left in [&second, &third] {
            assert!(tokens.kept(tokens.key_of(left)).await.unwrap().is_some(), "nothing leads to it");
            assert!(tokens.find(left).await.unwrap().is_none(), "what descends from a revoked token is refused");
        }
        assert!(tokens.find(&root).await.unwrap().is_some());
    }
}
