//! Putting the indexes of tokens in order: takes out what leads to a token that is not there.
//!
//! Every change of a token changes its indexes in the same commit, so there should be nothing to find; it is what an
//! operator runs who has reason to doubt that. Works in bounded steps, each of which compares before it deletes, so that
//! it can run beside everything else and be cut off anywhere.

use super::create::expiry_at;
use super::entry::{Token, TokenKey};
use super::revoke::job_at;
use super::store::{Pointer, Tokens, accessor_shelf, children_shelf, expiry_shelf, token_at};
use crate::records::Listed;
use crate::{CoreError, Grant};
use strongroom_barrier::{Address, Shelf, Txn};

/// Entries looked at in one step.
const STEP: usize = 128;

/// How many entries were looked at, and how many led nowhere and were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Looked at.
    pub seen: u64,
    /// Removed.
    pub removed: u64,
}

impl Tokens {
    /// Goes through all indexes of tokens, once. `None` when somebody else is at it.
    pub async fn tidy(&self, _grant: &Grant) -> Result<Option<Tidied>, CoreError> {
        let Ok(_alone) = self.tidying.try_lock() else { return Ok(None) };
        let mut tidied = Tidied::default();
        self.tidy_accessors(&mut tidied).await?;
        self.tidy_expiry(&mut tidied).await?;
        Ok(Some(tidied))
    }

    /// Accessors, and by way of them the lists of children: a list is found only by its parent.
    async fn tidy_accessors(&self, tidied: &mut Tidied) -> Result<(), CoreError> {
        let mut after = None;
        while let Some(step) = self.step(&accessor_shelf(), after.as_ref(), tidied).await? {
            for entry in &step {
                let at = accessor_shelf().named(&entry.name);
                let key = entry.value.key;
                let token = self.records.get::<Token>(&token_at(key)).await?;
                match &token {
                    Some(token) if token.value.accessor.as_bytes() == entry.name => {
                        self.tidy_family(key, &token.value, tidied).await?;
                    }
                    Some(token) => self.drop_entry(at, Txn::new().expect(token_at(key), token.rev), tidied).await?,
                    None => self.drop_entry(at, Txn::new().expect_absent(token_at(key)), tidied).await?,
                }
            }
            after = step.last().map(|last| accessor_shelf().named(&last.name));
        }
        Ok(())
    }

    async fn tidy_family(&self, key: TokenKey, token: &Token, tidied: &mut Tidied) -> Result<(), CoreError> {
        if let Some(holder) = token.entity
            && self.identity.by_id(holder).await?.is_none()
        {
            tidied.removed += 1;
            return self.revoke_tree(key).await;
        }
        if let Some(parent) = token.parent
            && self.records.get::<Token>(&token_at(parent)).await?.is_none()
        {
            // Vault makes an orphan of it. Here whatever descends from a revoked token is revoked, late or not.
            tidied.removed += 1;
            return self.revoke_tree(key).await;
        }
        let shelf = children_shelf(key);
        let mut after = None;
        while let Some(step) = self.step(&shelf, after.as_ref(), tidied).await? {
            for entry in &step {
                let child = entry.value.key;
                if self.records.get::<Token>(&token_at(child)).await?.is_none() {
                    // One whose descendants are being removed stays listed until they are gone.
                    let still = Txn::new().expect_absent(token_at(child)).expect_absent(job_at(child));
                    self.drop_entry(shelf.named(&entry.name), still, tidied).await?;
                }
            }
            after = step.last().map(|last| shelf.named(&last.name));
        }
        Ok(())
    }

    async fn tidy_expiry(&self, tidied: &mut Tidied) -> Result<(), CoreError> {
        let mut after = None;
        while let Some(step) = self.step(&expiry_shelf(), after.as_ref(), tidied).await? {
            for entry in &step {
                let key = entry.value.key;
                let at = expiry_shelf().ordered(entry.number, &entry.name);
                match self.records.get::<Token>(&token_at(key)).await? {
                    Some(token) if token.value.expires.is_some_and(|expires| expiry_at(key, expires) == at) => {}
                    Some(token) => self.drop_entry(at, Txn::new().expect(token_at(key), token.rev), tidied).await?,
                    None => self.drop_entry(at, Txn::new().expect_absent(token_at(key)), tidied).await?,
                }
            }
            after = step.last().map(|last| expiry_shelf().ordered(last.number, &last.name));
        }
        Ok(())
    }

    /// The next entries of a shelf; `None` at its end.
    async fn step(
        &self,
        shelf: &Shelf,
        after: Option<&Address>,
        tidied: &mut Tidied,
    ) -> Result<Option<Vec<Listed<Pointer>>>, CoreError> {
        let step = self.records.scan::<Pointer>(shelf, after, STEP).await?;
        tidied.seen += u64::try_from(step.len()).unwrap_or(u64::MAX);
        Ok((!step.is_empty()).then_some(step))
    }

    /// Removes an entry if what was found still holds; else somebody is just making, renewing or revoking the token.
    async fn drop_entry(&self, at: Address, still: Txn, tidied: &mut Tidied) -> Result<(), CoreError> {
        match self.records.commit(still.delete(at)).await {
            Ok(_) => tidied.removed += 1,
            Err(CoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::records::PutRecord;
    use crate::token::NewToken;
    use crate::{Access, Ask, Fields, Object, Operation, Plugins, Setup, Source, Strongroom, Visit};
    use std::sync::Arc;
    use strongroom_audit::{Place, Trail};
    use strongroom_barrier::{Init, SlotSpec, SystemEntropy};
    use strongroom_model::{
        Clock, NamespacePath, PolicyName, RequestId, RequestPath, SecretString, Timestamp, TokenType, Ttl,
    };
    use strongroom_storage::{Epoch, Memory};

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(1_000)
        }
    }

    pub(in crate::token) async fn open() -> (Arc<crate::Open>, SecretString) {
        let setup = Setup {
            store: Arc::new(Memory::new()),
            epoch: Epoch::default(),
            trail: Trail::open(Place::Memory, Arc::new(Still)).await.unwrap(),
            plugins: Arc::new(Plugins::new()),
            settings: Default::default(),
            clock: Arc::new(Still),
            entropy: Arc::new(SystemEntropy),
            static_keys: Vec::new(),
            accept_rollback: false,
        };
        let strongroom = Strongroom::start(setup).await.unwrap();
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let made = strongroom.init_dev(init, None).await.unwrap();
        (strongroom.open().unwrap(), made.root.client_token)
    }

    pub(in crate::token) async fn grant(open: &crate::Open, token: &SecretString) -> Box<Grant> {
        let visit = Visit {
            request: RequestId::from_bytes([0; 16]),
            arrived: Still.now(),
            dialect: "vault",
            operation: Operation::Write,
            namespace: NamespacePath::root(),
            path: RequestPath::parse("auth/token/tidy").unwrap(),
            typed: None,
            source: Source { address: None, port: 0 },
            headers: Default::default(),
            wrap_ttl: None,
        };
        let object = Object::Path { exists: None };
        let credential = Some(token.duplicate());
        let ask = Ask { visit, credential, mount: None, access: Access::Token, object };
        open.gate.admit(ask, &Fields::default()).await.unwrap()
    }

    pub(in crate::token) async fn child(open: &crate::Open, parent: &SecretString) -> SecretString {
        let new = NewToken {
            policies: vec![PolicyName::default_policy()],
            parent: Some(open.tokens.key_of(parent)),
            terms: crate::Terms { ttl: Ttl::from_secs(60), token_type: Some(TokenType::Service), ..Default::default() },
            ..NewToken::default()
        };
        open.tokens.create(new).await.unwrap().0.client_token
    }

    #[tokio::test]
    async fn entries_that_lead_nowhere_go_and_the_others_stay() {
        let (open, root) = open().await;
        let tokens = &open.tokens;
        let (kept, lost) = (child(&open, &root).await, child(&open, &root).await);
        let grandchild = child(&open, &lost).await;
        // Behind the back of revocation: a token without its indexes' knowledge, and old places of a living one.
        let (kept_key, lost_key) = (tokens.key_of(&kept), tokens.key_of(&lost));
        let pointer = Pointer { key: kept_key };
        let txn = Txn::new()
            .delete(token_at(lost_key))
            .put_record(expiry_at(kept_key, Timestamp::from_secs(5_000)), &pointer)
            .unwrap()
            .put_record(accessor_shelf().named("stale"), &pointer)
            .unwrap();
        tokens.records.commit(txn).await.unwrap();

        let tidied = tokens.tidy(&*grant(&open, &root).await).await.unwrap().unwrap();
        // The accessor, the place in the order of expiry and the place among the root token's children of the lost
        // token, its child, and the two old places.
        assert_eq!(tidied.removed, 6);
        assert!(tokens.find(&kept).await.unwrap().is_some());
        let left = tokens.kept(tokens.key_of(&grandchild)).await.unwrap();
        assert!(left.is_none(), "what descends from a lost token is revoked");
        assert_eq!(tokens.accessors().await.unwrap().len(), 2);
        let again = tokens.tidy(&*grant(&open, &root).await).await.unwrap().unwrap();
        // Two accessors, one child and one place in the order of expiry.
        assert_eq!(again, Tidied { seen: 4, removed: 0 });
    }

    #[tokio::test]
    async fn one_at_a_time_is_enough() {
        let (open, root) = open().await;
        let _busy = open.tokens.tidying.lock().await;
        assert!(open.tokens.tidy(&*grant(&open, &root).await).await.unwrap().is_none());
    }
}
