use super::record::{AccessKey, AccessKeyId, MadeKey, Record, Session, TEMPORARY};
use super::role::AssumableRole;
use super::store::AccessKeys;
use crate::{CoreError, Grant};
use strongroom_model::{SecretString, Ttl, base62};

/// A temporary key to be made.
pub struct NewSession {
    /// The key that the caller signed with.
    pub issuer: AccessKeyId,
    /// What the caller calls it.
    pub name: String,
    /// How long it lives; zero: an hour, or as long as the role lets it.
    pub ttl: Ttl,
}

/// Shortest life of a session (AWS: fifteen minutes).
const SHORTEST: u64 = 900;
/// The life of a session that asks for none (AWS: an hour).
const USUAL: u64 = 3_600;
const TOKEN: usize = 86;

impl AccessKeys {
    /// Makes a temporary key with the policies of a role. The grant must be one for the path of that role.
    pub async fn assume(&self, grant: &Grant, role: &AssumableRole, new: NewSession) -> Result<MadeKey, CoreError> {
        let wanted = format!("sys/aws/roles/{}/assume", role.name);
        if grant.visit().path.as_str() != wanted {
            return Err(CoreError::Internal("a grant was used for an act it was not given for"));
        }
        let longest = role.max_session.secs();
        let secs = if new.ttl.is_zero() { USUAL.min(longest) } else { new.ttl.secs() };
        if secs < SHORTEST || secs > longest {
            return Err(CoreError::Invalid(format!(
                "the session must last between {SHORTEST} and {longest} seconds, the longest that the role allows"
            )));
        }
        let token = SecretString::new(base62::random(&*self.entropy, TOKEN));
        let now = self.clock.now();
        let session = Session {
            token_hash: self.session_hash(&token),
            issuer: Some(new.issuer),
            role: Some(role.name.clone()),
            name: new.name,
            only: None,
        };
        let key = AccessKey {
            id: AccessKeyId::random(&*self.entropy, TEMPORARY),
            name: format!("{}-{}", role.name, session.name),
            entity: None,
            policies: role.policies.clone(),
            created: now,
            expires: Some(now.plus(Ttl::from_secs(secs).0)),
            last_used_day: None,
            disabled: false,
            bound_cidrs: Vec::new(),
            session: Some(session),
        };
        let record = Record { secret: self.fresh_secret(), key };
        self.insert(&record).await?;
        Ok(MadeKey { key: record.key, secret: record.secret, session_token: Some(token) })
    }
}
