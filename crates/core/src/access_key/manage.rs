use super::record::{AccessKey, AccessKeyId, LASTING, MadeKey, Record};
use super::store::{AccessKeys, shelf, unknown};
use crate::incident::Held;
use crate::{Cidr, CoreError, Grant};
use strongroom_barrier::Address;
use strongroom_model::{EntityId, PolicyName, SecretString, Ttl, base62};

/// A lasting key to be made.
#[derive(Default)]
pub struct NewAccessKey {
    /// What people call it.
    pub name: String,
    /// The principal behind it; `None`: as the caller's.
    pub entity: Option<EntityId>,
    /// Its own policies.
    pub policies: Vec<PolicyName>,
    /// How long it lives; zero: until it is revoked.
    pub ttl: Ttl,
    /// Networks from which it may be used; empty: any.
    pub bound_cidrs: Vec<Cidr>,
}

/// What to change about a key; what is `None` stays.
#[derive(Clone, Default)]
pub struct KeyChange {
    /// What people call it.
    pub name: Option<String>,
    /// Out of use, or in use again.
    pub disabled: Option<bool>,
}

/// AWS makes secrets of forty characters.
const SECRET: usize = 40;

impl AccessKeys {
    /// Makes a key. Without `sudo` it can only be for the caller's own entity, and have none but that entity's policies;
    /// with it, any but `root`, which only a holder of `root` can give.
    pub async fn create(&self, grant: &Grant, new: NewAccessKey) -> Result<MadeKey, CoreError> {
        let own = grant.require_bearer()?.entity().map(|entity| entity.id);
        let entity = if new.policies.is_empty() { new.entity.or(own) } else { new.entity };
        if !grant.has_sudo() && (entity.is_none() || entity != own || !new.policies.is_empty()) {
            return Err(CoreError::DeniedBecause(
                "an access key for another entity, or with policies of its own, needs `sudo` on the path".to_owned(),
            ));
        }
        if new.policies.iter().any(PolicyName::is_root) && !grant.acl().is_some_and(|acl| acl.is_root()) {
            return Err(CoreError::DeniedBecause("only a holder of `root` can give it".to_owned()));
        }
        check(&new)?;
        match entity {
            Some(id) if self.identity.by_id(id).await?.is_none() => {
                return Err(CoreError::Invalid("there is no such entity: name one by its id".to_owned()));
            }
            None if new.policies.is_empty() => {
                return Err(CoreError::Invalid(
                    "an access key needs an entity or policies; a token without entity must name them".to_owned(),
                ));
            }
            _ => {}
        }
        self.make(AccessKeyId::random(&*self.entropy, LASTING), self.fresh_secret(), NewAccessKey { entity, ..new })
            .await
    }

    /// The keys that a caller may see: with `sudo` all, else those of the own entity.
    pub async fn list(&self, grant: &Grant) -> Result<Vec<AccessKey>, CoreError> {
        let (mut keys, mut seen) = (Vec::new(), 0);
        let mut after: Option<Address> = None;
        let before = self.records.count(&shelf()).await?;
        loop {
            let page = self.records.scan::<Record>(&shelf(), after.as_ref(), 256).await?;
            let Some(last) = page.last() else {
                self.records.check_seen(&shelf(), before, seen).await?;
                return Ok(keys);
            };
            after = Some(shelf().named(&last.name));
            seen += page.len();
            for key in page.into_iter().map(|one| one.value.key).filter(|key| sees(grant, key)) {
                keys.push(self.as_now(key).await?);
            }
        }
    }

    /// One key. `NotFound` also when the caller may not see it.
    pub async fn read(&self, grant: &Grant, id: &AccessKeyId) -> Result<AccessKey, CoreError> {
        let found = self.find(id).await?.filter(|found| sees(grant, &found.value.key));
        self.as_now(found.ok_or_else(unknown)?.value.key.clone()).await
    }

    /// Changes a key.
    pub async fn update(&self, grant: &Grant, id: &AccessKeyId, change: KeyChange) -> Result<AccessKey, CoreError> {
        let now = self.read(grant, id).await?;
        if now.disabled && change.disabled == Some(false) {
            Held::Key(id).refuse(&self.records).await?;
        }
        let changed = self.change(id, |key| {
            key.name = change.name.clone().unwrap_or_else(|| key.name.clone());
            key.disabled = change.disabled.unwrap_or(key.disabled);
        });
        self.as_now(changed.await?).await
    }

    /// Makes a second key for the same holder, and lets the first end after `overlap`: both are good in between.
    pub async fn rotate(&self, grant: &Grant, id: &AccessKeyId, overlap: Ttl) -> Result<MadeKey, CoreError> {
        let old = self.read(grant, id).await?;
        if old.session.is_some() || old.disabled {
            return Err(CoreError::Invalid(
                "a temporary or disabled access key cannot be rotated: make one".to_owned(),
            ));
        }
        if old.policies.iter().any(PolicyName::is_root) && !grant.acl().is_some_and(|acl| acl.is_root()) {
            return Err(CoreError::DeniedBecause("only a holder of `root` can give it".to_owned()));
        }
        let now = self.clock.now();
        let left = old.expires.map_or(Ttl::default(), |expires| Ttl(expires.since(now)));
        if old.is_expired(now) {
            return Err(unknown());
        }
        let new = NewAccessKey {
            name: old.name.clone(),
            entity: old.entity,
            policies: old.policies.clone(),
            ttl: left,
            bound_cidrs: old.bound_cidrs.clone(),
        };
        let made = self.make(AccessKeyId::random(&*self.entropy, LASTING), self.fresh_secret(), new).await?;
        let end = now.plus(overlap.0);
        self.change(id, |key| key.expires = Some(key.expires.map_or(end, |before| before.min(end)))).await?;
        Ok(made)
    }

    /// Ends a key and everything that was made of it.
    pub async fn revoke(&self, grant: &Grant, id: &AccessKeyId) -> Result<(), CoreError> {
        self.read(grant, id).await?;
        if self.remove(id).await? { Ok(()) } else { Err(unknown()) }
    }

    /// The key of a development server, for whoever holds `root`; one with the same id gives way.
    pub(crate) async fn create_root(&self, chosen: Option<(AccessKeyId, SecretString)>) -> Result<MadeKey, CoreError> {
        let (id, secret) =
            chosen.unwrap_or_else(|| (AccessKeyId::random(&*self.entropy, LASTING), self.fresh_secret()));
        self.remove(&id).await?;
        let new =
            NewAccessKey { name: "root".to_owned(), policies: vec![PolicyName::root()], ..NewAccessKey::default() };
        self.make(id, secret, new).await
    }

    pub(super) fn fresh_secret(&self) -> SecretString {
        SecretString::new(base62::random(&*self.entropy, SECRET))
    }

    async fn make(&self, id: AccessKeyId, secret: SecretString, new: NewAccessKey) -> Result<MadeKey, CoreError> {
        let now = self.clock.now();
        let key = AccessKey {
            id,
            name: new.name,
            entity: new.entity,
            policies: new.policies,
            created: now,
            expires: (!new.ttl.is_zero()).then(|| now.plus(new.ttl.0)),
            last_used_day: None,
            disabled: false,
            bound_cidrs: new.bound_cidrs,
            session: None,
        };
        let record = Record::new(secret, key);
        self.insert(&record).await?;
        Ok(MadeKey { key: record.key, secret: record.secret, session_token: None })
    }
}

/// Whether a caller has to do with a key.
fn sees(grant: &Grant, key: &AccessKey) -> bool {
    let own = grant.bearer().and_then(|bearer| bearer.entity()).map(|entity| entity.id);
    grant.has_sudo() || (key.entity.is_some() && key.entity == own)
}

fn check(new: &NewAccessKey) -> Result<(), CoreError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "+=,.@_-".contains(c);
    if new.name.is_empty() || new.name.len() > 64 || !new.name.chars().all(fits) {
        return Err(CoreError::Invalid(
            "the name of an access key has 1 to 64 letters, digits and `+=,.@_-`".to_owned(),
        ));
    }
    if new.name == crate::drill::CANARY {
        return Err(CoreError::Invalid("that name is kept for drills; choose another".to_owned()));
    }
    if new.policies.len() > 64 || new.bound_cidrs.len() > 64 {
        return Err(CoreError::Invalid("an access key takes at most 64 policies and 64 networks".to_owned()));
    }
    Ok(())
}
