//! Keys that reach one secret and nothing else, for a foreign function that changes it.

use super::record::{AccessKey, AccessKeyId, MadeKey, Record, Session, TEMPORARY};
use super::store::AccessKeys;
use super::verify::VerifiedKey;
use crate::CoreError;
use crate::mount::Mount;
use std::sync::Arc;
use strongroom_model::policy::{Acl, Policy};
use strongroom_model::{PolicyName, SecretPath, SecretString, Ttl, base62};

const TOKEN: usize = 86;

impl AccessKeys {
    /// Makes a temporary key that can read and write `path`, read `also`, and do nothing else. Kept like any other, so it
    /// ends by itself.
    pub(crate) async fn lend(
        &self,
        mount: &Mount,
        path: &SecretPath,
        also: Option<&SecretPath>,
        ttl: Ttl,
    ) -> Result<MadeKey, CoreError> {
        let whole = format!("{}/{path}{}", mount.path, also.map_or("", |also| also.as_str()));
        if whole.contains(['*', '+', '{', '}']) {
            let why =
                "a function can only rotate a secret whose name has none of * + { }: policies read them otherwise";
            return Err(CoreError::Unfit(why.to_owned()));
        }
        let token = SecretString::new(base62::random(&*self.entropy, TOKEN));
        let now = self.clock.now();
        let session = Session {
            token_hash: self.session_hash(&token),
            issuer: None,
            role: None,
            role_made: None,
            name: "rotation".to_owned(),
            only: Some(rules(mount, path, also)),
            subject: None,
            narrowing: None,
        };
        let key = AccessKey {
            id: AccessKeyId::random(&*self.entropy, TEMPORARY),
            name: format!("rotation-of-{path}"),
            entity: None,
            policies: Vec::new(),
            created: now,
            expires: Some(now.plus(ttl.0)),
            last_used_day: None,
            disabled: false,
            bound_cidrs: Vec::new(),
            session: Some(session),
        };
        let record = Record::new(self.fresh_secret(), key);
        self.insert(&record).await?;
        Ok(MadeKey { key: record.key, secret: record.secret, session_token: Some(token) })
    }

    /// Ends a key before its time.
    pub(crate) async fn take_back(&self, made: &MadeKey) -> Result<(), CoreError> {
        self.remove(&made.key.id).await.map(|_| ())
    }
}

impl VerifiedKey {
    /// What a key for one secret may do, in place of any policies. `None` for other keys.
    pub(crate) fn only(&self) -> Result<Option<Arc<Acl>>, CoreError> {
        let rules = self.key().session.as_ref().and_then(|session| session.only.as_deref());
        let Some(rules) = rules else { return Ok(None) };
        let unreadable = |_| CoreError::Unreadable { kind: "access-key" };
        let policy = Policy::parse(PolicyName::default_policy(), rules).map_err(unreadable)?;
        Ok(Some(Arc::new(Acl::new(vec![Arc::new(policy)]))))
    }
}

/// The policy of such a key. Names of secrets hold no quote and no backslash that would end the text.
fn rules(mount: &Mount, path: &SecretPath, also: Option<&SecretPath>) -> String {
    let quoted = |section: &str, path: &SecretPath| {
        let whole = format!("{}/{section}/{path}", mount.path).replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{whole}\"")
    };
    let mut text = format!(
        "path {} {{ capabilities = [\"read\", \"update\"] }}\npath {} {{ capabilities = [\"read\"] }}\n",
        quoted("data", path),
        quoted("metadata", path)
    );
    if let Some(also) = also {
        for section in ["data", "metadata"] {
            text.push_str(&format!("path {} {{ capabilities = [\"read\"] }}\n", quoted(section, also)));
        }
    }
    text
}
