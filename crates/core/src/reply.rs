use crate::lease::Granted;
use crate::secret::{VersionText, Words};
use crate::snapshot::Streamed;
use crate::wrapping::{Opened, Wrap};
use crate::{CoreError, Fields};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use strongroom_model::{EntityId, PolicyName, SecretString, TokenType, Ttl};

/// What a request leads to, before a dialect dresses it.
#[derive(Default)]
pub struct Reply {
    /// The data; `None` means there is nothing to say.
    pub data: Option<Fields>,
    /// In place of `data`: a version of a secret as the text that is kept.
    pub text: Option<Box<VersionText>>,
    /// Names in `data` under which stand facts of our own (times, numbers of versions), no values: the trail shows them as
    /// they are, but for what people noted.
    pub facts: &'static [&'static str],
    /// A name in `data` under which stands a value as it was kept, with the place where the trail's words about it are.
    pub again: Option<(&'static str, Words)>,
    /// A token that was made or renewed.
    pub auth: Option<Auth>,
    /// A token that was made and is told in another way (encoded, in the data): it goes into the trail as `auth` does,
    /// and like that one it is revoked when the trail cannot be written.
    pub unseen: Option<Auth>,
    /// What the caller should know although it worked.
    pub warnings: Vec<String>,
    /// The lease of the credential in `data`, made or prolonged.
    pub lease: Option<Granted>,
    /// The version of the object read or written, for the trail.
    pub version: Option<u64>,
    /// The object is gone, but its metadata is in `data` (Vault: 404 with a body).
    pub gone: bool,
    /// Stands in place of the answer, when that was wrapped.
    pub wrap: Option<Box<Wrap>>,
    /// An answer taken out of its wrapping token, which stands for itself.
    pub opened: Option<Box<Opened>>,
    /// A text that is the whole answer, in a form of its own; it does not go into the trail.
    pub raw: Option<RawBody>,
    /// An answer too large for memory, made while it is sent; it does not go into the trail.
    pub streamed: Option<Streamed>,
    /// The work goes on after the answer, or might (Vault: 202).
    pub accepted: bool,
    /// Seconds after which a reader should look again; 0 where that means nothing (Vault: `lease_duration`).
    pub lease_duration: u32,
}

/// An answer without an envelope: numbers for a monitor, a description of the API. Never a secret.
pub struct RawBody {
    /// Its media type.
    pub media_type: &'static str,
    /// The text.
    pub text: String,
}

impl Reply {
    /// Nothing to say.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Whether there is anything to say.
    pub fn has_body(&self) -> bool {
        self.data.is_some()
            || self.text.is_some()
            || self.auth.is_some()
            || self.lease.is_some()
            || !self.warnings.is_empty()
    }

    /// A version of a secret as the text that is kept.
    pub fn text(text: VersionText) -> Self {
        Self { text: Some(Box::new(text)), ..Self::default() }
    }

    /// The same answer, with data where a text stood for it.
    pub fn taken_apart(mut self) -> Result<Self, CoreError> {
        if let Some(text) = self.text.take() {
            self.data = Some(text.fields()?);
            self.facts = VersionText::FACTS;
        }
        Ok(self)
    }

    /// The same answer, under one name of whose data stands a version's value as it was read, all of it and nothing else.
    pub fn of_version(self, name: &'static str, words: Words) -> Self {
        Self { again: Some((name, words)), ..self }
    }

    /// An answer with data. A value that is no object counts as nothing to say.
    pub fn data(value: Value) -> Self {
        let map = match value {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Self { data: Some(Fields::new(map)), ..Self::default() }
    }

    /// A list of names, as Vault answers LIST; nothing at all when there are none.
    pub fn keys(keys: Vec<String>) -> Result<Self, CoreError> {
        if keys.is_empty() { Err(CoreError::Nothing) } else { Ok(Self::data(serde_json::json!({ "keys": keys }))) }
    }

    /// A text that is the whole answer.
    pub fn raw(media_type: &'static str, text: String) -> Self {
        Self { raw: Some(RawBody { media_type, text }), ..Self::default() }
    }

    /// The same answer, saying that the work may go on.
    pub fn accepted(mut self) -> Self {
        self.accepted = true;
        self
    }

    /// The same answer with a warning.
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// A token as it is handed out, once.
pub struct Auth {
    /// The token. Empty when an existing token was renewed by its accessor.
    pub client_token: SecretString,
    /// Whether this request made it; `false` when it was there before and was prolonged.
    pub made: bool,
    /// Its accessor.
    pub accessor: String,
    /// Shown in the trail and in lookups.
    pub display_name: String,
    /// Policies of the token.
    pub token_policies: Vec<PolicyName>,
    /// Policies that the entity adds.
    pub identity_policies: Vec<PolicyName>,
    /// What the auth method noted.
    pub metadata: BTreeMap<String, String>,
    /// Time to live from now.
    pub ttl: Ttl,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The entity.
    pub entity: Option<EntityId>,
    /// Service or batch.
    pub token_type: TokenType,
    /// Whether it has no parent.
    pub orphan: bool,
    /// Uses left; 0 means any number.
    pub num_uses: u64,
}

/// What an auth method says when it has proved who somebody is. The core makes the token.
pub struct Login {
    /// The name by which the method knows the principal; with the mount's accessor it leads to the entity.
    /// `None` when the method has no such name, so that no entity is made.
    pub alias: Option<String>,
    /// What people call it, where the alias is no name that they know: a role's name beside its id.
    pub called: Option<String>,
    /// Shown in the trail and in lookups.
    pub display_name: String,
    /// Policies of the token.
    pub policies: Vec<PolicyName>,
    /// What to note with the token.
    pub metadata: BTreeMap<String, String>,
    /// How long and how often.
    pub terms: Terms,
    /// What the method wants back when the token is renewed.
    pub note: Map<String, Value>,
}

/// How long and how often a token lives; zero means: as the mount or the system says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// First time to live.
    pub ttl: Ttl,
    /// Longest life over renewals.
    pub max_ttl: Ttl,
    /// Longest life that even a period cannot prolong.
    pub explicit_max_ttl: Ttl,
    /// When set, each renewal gives this much, without end.
    pub period: Ttl,
    /// Uses; 0 means any number.
    pub num_uses: u64,
    /// Leave the policy `default` out.
    pub no_default_policy: bool,
    /// Networks from which the token may be used; empty means any.
    pub bound_cidrs: Vec<crate::Cidr>,
    /// Service or batch; `None`: as the mount says.
    pub token_type: Option<TokenType>,
}
