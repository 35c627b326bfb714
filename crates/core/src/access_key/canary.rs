//! Keys of a drill's canaries, made and taken away without a caller's grant, and the signing that their users do.

use super::record::{AccessKey, AccessKeyId, LASTING, MadeKey, Record};
use super::store::{AccessKeys, shelf};
use super::verify::{Claim, signature};
use crate::CoreError;
use strongroom_barrier::Address;
use strongroom_model::{EntityId, PolicyName, Ttl};

impl AccessKeys {
    /// Makes a key of an entity that ends by itself.
    pub(crate) async fn create_for(
        &self,
        entity: EntityId,
        name: &str,
        policies: Vec<PolicyName>,
        ttl: Ttl,
    ) -> Result<MadeKey, CoreError> {
        let now = self.clock.now();
        let key = AccessKey {
            id: AccessKeyId::random(&*self.entropy, LASTING),
            name: name.to_owned(),
            entity: Some(entity),
            policies,
            created: now,
            expires: Some(now.plus(ttl.0)),
            last_used_day: None,
            disabled: false,
            bound_cidrs: Vec::new(),
            session: None,
        };
        let record = Record::new(self.fresh_secret(), key);
        self.insert(&record).await?;
        Ok(MadeKey { key: record.key, secret: record.secret, session_token: None })
    }

    /// Removes every key of an entity, in use or not.
    pub(crate) async fn remove_all_of(&self, entity: EntityId) -> Result<(), CoreError> {
        let mut after = None::<Address>;
        loop {
            let page = self.records.scan::<Record>(&shelf(), after.as_ref(), 256).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(shelf().named(&last.name));
            for one in page.iter().filter(|one| one.value.key.entity == Some(entity)) {
                self.remove(&one.value.key.id).await?;
            }
        }
    }
}

impl MadeKey {
    /// The signature that this key makes over `string_to_sign`, as whoever holds it would.
    pub fn sign(&self, date: &str, region: &str, service: &str, string_to_sign: &str) -> String {
        let key = self.key.id.as_str();
        let claim = Claim { key, session_token: None, date, region, service, string_to_sign, signature: &[] };
        hex::encode(signature(&self.secret, &claim).as_ref())
    }
}
