use super::entry::{Token, TokenKey};
use super::revoke::delete_indexes;
use super::store::{Tokens, token_at};
use crate::CoreError;
use crate::records::Stored;
use std::sync::Arc;
use std::time::Duration;
use strongroom_barrier::Txn;
use strongroom_model::{PolicyName, SecretString, TokenType, Ttl};

/// A wrapping token that exists as soon as its changes are committed.
pub(crate) struct WrappingDraft {
    pub(crate) secret: SecretString,
    pub(crate) key: TokenKey,
    pub(crate) token: Token,
    pub(crate) txn: Txn,
}

impl Tokens {
    /// Adds a wrapping token to the changes of `txn`: an orphan with one use, the one policy that nobody else can have,
    /// and an end that nothing prolongs.
    pub(crate) fn draft_wrapping(&self, txn: Txn, path: &str, ttl: Duration) -> Result<WrappingDraft, CoreError> {
        let (secret, accessor) = (self.fresh(), self.fresh_accessor());
        let key = self.key_of(&secret);
        let now = self.clock.now();
        let token = Token {
            accessor,
            token_type: TokenType::Service,
            policies: vec![PolicyName::response_wrapping()],
            entity: None,
            display_name: String::new(),
            metadata: Default::default(),
            path: path.to_owned(),
            mount: None,
            through: None,
            parent: None,
            created: now,
            creation_ttl: Ttl(ttl),
            expires: Some(now.plus(ttl)),
            renewed: None,
            renewable: false,
            max_ttl: Ttl::ZERO,
            explicit_max_ttl: Ttl(ttl),
            period: Ttl::ZERO,
            num_uses: 1,
            uses_left: 1,
            role: None,
            bound_cidrs: Vec::new(),
            note: Default::default(),
            caller: Default::default(),
        };
        let txn = self.put_token(txn, key, &token)?;
        Ok(WrappingDraft { secret, key, token, txn })
    }

    /// The wrapping token that is kept under this name; `None` for dead, used and other tokens.
    pub(crate) async fn find_wrapping(&self, key: TokenKey) -> Result<Option<Arc<Stored<Token>>>, CoreError> {
        let Some(token) = self.records.get::<Token>(&token_at(key)).await? else { return Ok(None) };
        let value = &token.value;
        let live = value.is_wrapping() && value.uses_left > 0 && !value.is_expired(self.clock.now());
        Ok(live.then_some(token))
    }

    /// The changes that remove a wrapping token with what is under it, if it is still as it was found. It can have
    /// neither children nor a cubbyhole, so nothing is left for later.
    pub(crate) fn use_up_wrapping(&self, key: TokenKey, found: &Stored<Token>) -> Txn {
        delete_indexes(Txn::new().expect(token_at(key), found.rev).delete(token_at(key)), key, &found.value)
    }

    /// The longest life of a token for which no mount says otherwise.
    pub(crate) fn longest_life(&self) -> Ttl {
        self.limits(None).longest
    }
}
