//! Words that name nobody: what a misspelt name did is as empty as what somebody did who did nothing, so that is said.
//!
//! Invariant: whoever may not know of somebody is told the same as if there were nobody; `sudo` on what is being changed
//! lets nobody know of more. Refuses nothing.

use super::Inquiry;
use super::sight::Sight;
use crate::identity::Entity;
use crate::{CoreError, Grant};
use std::sync::Arc;
use strongroom_audit::Query;

impl Inquiry {
    /// A remark, beside a change, for a word that names nobody whom the caller may know of.
    pub async fn remark_on(&self, grant: &Grant, word: &str) -> Result<Option<String>, CoreError> {
        self.remark_within(&Sight::by_policies(grant, &self.mounts)?, word).await
    }

    /// As [`Inquiry::remark_on`], and one for a word that finds somebody by what a mute does not take for a name.
    pub async fn remark_on_mute(&self, grant: &Grant, word: &str) -> Result<Option<String>, CoreError> {
        let sight = Sight::by_policies(grant, &self.mounts)?;
        if let Some(remark) = self.remark_within(&sight, word).await? {
            return Ok(Some(remark));
        }
        let table = Arc::clone(&self.mounts.table());
        let found = self.identity.called(&table, word).await?;
        let known: Vec<&Entity> =
            found.iter().map(|entity| &entity.value).filter(|one| is_known(&sight, one)).collect();
        let is_meant = |entity: &&Entity| entity.names(&table).trusted.iter().any(|name| name == word);
        if known.is_empty() || known.iter().any(is_meant) {
            return Ok(None);
        }
        let ids: Vec<String> = known.iter().map(|entity| entity.id.to_string()).collect();
        Ok(Some(format!(
            "a mute takes no id of a role, and no name of a principal that came by several or whose role was made again, since \
             whoever makes roles chooses both: `{word}` holds back nothing of {}; name the entity by its id",
            ids.join(", ")
        )))
    }

    /// A remark for each of the words that names nobody.
    pub(super) async fn remarks_on(&self, sight: &Sight, words: &[String]) -> Result<Vec<String>, CoreError> {
        let mut remarks = Vec::new();
        for word in words {
            remarks.extend(self.remark_within(sight, word).await?);
        }
        Ok(remarks)
    }

    async fn remark_within(&self, sight: &Sight, word: &str) -> Result<Option<String>, CoreError> {
        let table = Arc::clone(&self.mounts.table());
        let mut principals = vec![word.to_owned()];
        for entity in self.identity.called(&table, word).await? {
            if is_known(sight, &entity.value) {
                return Ok(None);
            }
            principals.push(entity.value.id.to_string());
        }
        let visible = sight.clone();
        let query = Query {
            principals,
            visible: (!sight.is_whole())
                .then(|| -> strongroom_audit::PathTest { Box::new(move |path| visible.shows(path)) }),
            limit: 1,
            stale: true,
            ..Query::default()
        };
        let is_in_the_trail = !self.trail.query(query).await?.rows.is_empty();
        Ok((!is_in_the_trail).then(|| {
            format!(
                "no entity that you may know of is called `{word}`, and no entry that you may see is by it: check the \
                 spelling; `who-reads` and `audit query` print names that every command takes"
            )
        }))
    }
}

/// Whether the caller may know of an entity.
fn is_known(sight: &Sight, entity: &Entity) -> bool {
    let (id, name) = (entity.id, &entity.name);
    sight.shows(&format!("identity/entity/id/{id}")) || sight.shows(&format!("identity/entity/name/{name}"))
}
