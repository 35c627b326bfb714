use super::narrow::Document;
use super::record::{AccessKey, AccessKeyId, MadeKey, Record, Session, TEMPORARY};
use super::role::AssumableRole;
use super::store::AccessKeys;
use crate::{CoreError, Grant};
use serde::{Deserialize, Serialize};
use strongroom_model::{PolicyName, SecretString, Ttl, base62};

/// A temporary key to be made.
pub struct NewSession {
    /// The key that the caller signed with.
    pub issuer: AccessKeyId,
    /// What the caller calls it.
    pub name: String,
    /// How long it lives; zero: an hour, or as long as the role lets it.
    pub ttl: Ttl,
    /// What it may do at most.
    pub narrowing: Option<Narrowing>,
}

/// What the maker of a session lets it do, within what the role may: what one of these allows. They never add anything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Narrowing {
    /// A policy in AWS's language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) document: Option<String>,
    /// Policies of ours.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) policies: Vec<PolicyName>,
}

impl Narrowing {
    /// Takes a policy in AWS's language, policies of ours, or both. The error says what is wrong with the former, and
    /// repeats nothing.
    pub fn new(document: Option<String>, policies: Vec<PolicyName>) -> Result<Option<Self>, CoreError> {
        if let Some(text) = &document {
            Document::parse(text)?;
        }
        let is_some = document.is_some() || !policies.is_empty();
        Ok(is_some.then_some(Self { document, policies }))
    }
}

/// What a session comes from.
pub(super) struct Origin {
    pub(super) issuer: Option<AccessKeyId>,
    pub(super) subject: Option<String>,
    pub(super) narrowing: Option<Narrowing>,
}

/// Shortest life of a session (AWS: fifteen minutes).
const SHORTEST: u64 = 900;
/// The life of a session that asks for none (AWS: an hour).
const USUAL: u64 = 3_600;
const TOKEN: usize = 86;

impl AccessKeys {
    /// Makes a temporary key with the policies of a role, which it has as they are whenever it is used. The grant must be one for the path of that role.
    pub async fn assume(&self, grant: &Grant, role: &AssumableRole, new: NewSession) -> Result<MadeKey, CoreError> {
        let origin = Origin { issuer: Some(new.issuer), subject: None, narrowing: new.narrowing };
        self.make_session(grant, role, new.name, new.ttl, origin).await
    }

    pub(super) async fn make_session(
        &self,
        grant: &Grant,
        role: &AssumableRole,
        name: String,
        ttl: Ttl,
        origin: Origin,
    ) -> Result<MadeKey, CoreError> {
        let wanted = format!("sys/aws/roles/{}/assume", role.name);
        if grant.visit().path.as_str() != wanted {
            return Err(CoreError::Internal("a grant was used for an act it was not given for"));
        }
        let longest = role.max_session.secs();
        let secs = if ttl.is_zero() { USUAL.min(longest) } else { ttl.secs() };
        if secs < SHORTEST || secs > longest {
            return Err(CoreError::Invalid(format!(
                "the session must last between {SHORTEST} and {longest} seconds, the longest that the role allows"
            )));
        }
        let token = SecretString::new(base62::random(&*self.entropy, TOKEN));
        let now = self.clock.now();
        let session = Session {
            token_hash: self.session_hash(&token),
            issuer: origin.issuer,
            role: Some(role.name.clone()),
            role_made: Some(role.created),
            name,
            only: None,
            subject: origin.subject,
            narrowing: origin.narrowing,
        };
        let key = AccessKey {
            id: AccessKeyId::random(&*self.entropy, TEMPORARY),
            name: crate::drill::not_a_canary(format!("{}-{}", role.name, session.name)),
            entity: None,
            policies: role.policies.clone(),
            created: now,
            expires: Some(now.plus(Ttl::from_secs(secs).0)),
            last_used_day: None,
            disabled: false,
            bound_cidrs: Vec::new(),
            session: Some(session),
        };
        let record = Record::new(self.fresh_secret(), key);
        self.insert(&record).await?;
        Ok(MadeKey { key: record.key, secret: record.secret, session_token: Some(token) })
    }
}
