//! Taking keys out of use in an emergency, without a caller's grant, since it goes on after a crash.

use super::record::{AccessKey, AccessKeyId, Record};
use super::store::{AccessKeys, shelf};
use crate::CoreError;
use strongroom_barrier::Address;
use strongroom_model::EntityId;

impl AccessKeys {
    /// The lasting keys of an entity that are in use.
    pub(crate) async fn in_use_of(&self, entity: EntityId) -> Result<Vec<AccessKey>, CoreError> {
        let mut keys = self.lasting_of(entity).await?;
        keys.retain(|key| !key.disabled);
        Ok(keys)
    }

    /// The lasting keys of an entity, in use or not.
    pub(crate) async fn lasting_of(&self, entity: EntityId) -> Result<Vec<AccessKey>, CoreError> {
        let (mut keys, mut after) = (Vec::new(), None::<Address>);
        loop {
            let page = self.records.scan::<Record>(&shelf(), after.as_ref(), 256).await?;
            let Some(last) = page.last() else { return Ok(keys) };
            after = Some(shelf().named(&last.name));
            let own = page.into_iter().map(|one| one.value.key);
            keys.extend(own.filter(|key| key.entity == Some(entity) && key.session.is_none()));
        }
    }

    /// The key with that id, of whatever kind, or the lasting keys that people call so or the trail prints so.
    pub(crate) async fn called(&self, text: &str) -> Result<Vec<AccessKey>, CoreError> {
        if let Ok(id) = AccessKeyId::parse(text)
            && let Some(found) = self.find(&id).await?
        {
            return Ok(vec![found.value.key.clone()]);
        }
        let name = text.strip_prefix("access-key-").unwrap_or(text);
        let (mut keys, mut after) = (Vec::new(), None::<Address>);
        loop {
            let page = self.records.scan::<Record>(&shelf(), after.as_ref(), 256).await?;
            let Some(last) = page.last() else { return Ok(keys) };
            after = Some(shelf().named(&last.name));
            let own = page.into_iter().map(|one| one.value.key);
            keys.extend(own.filter(|key| key.session.is_none() && (key.name == name || key.name == text)));
        }
    }

    /// Whether a key is out of use; `None` when there is none.
    pub(crate) async fn is_disabled(&self, id: &AccessKeyId) -> Result<Option<bool>, CoreError> {
        Ok(self.find(id).await?.map(|found| found.value.key.disabled))
    }

    /// Puts a key out of use, or in use again; `false` when there is no such key or it is so already.
    pub(crate) async fn set_disabled(&self, id: &AccessKeyId, disabled: bool) -> Result<bool, CoreError> {
        match self.find(id).await? {
            Some(found) if found.value.key.disabled != disabled => {}
            _ => return Ok(false),
        }
        match self.change(id, |key| key.disabled = disabled).await {
            Ok(_) => Ok(true),
            Err(CoreError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
