//! Words that name nobody: what a misspelt name did is as empty as what somebody did who did nothing, so that is said.
//!
//! Invariant: whoever may not know of somebody is told the same as if there were nobody. Refuses nothing.

use super::Inquiry;
use super::sight::Sight;
use crate::{CoreError, Grant};
use std::sync::Arc;
use strongroom_audit::Query;

impl Inquiry {
    /// A remark for a word that names nobody whom the caller may know of.
    pub async fn remark_on(&self, grant: &Grant, word: &str) -> Result<Option<String>, CoreError> {
        self.remark_within(&Sight::of(grant, &self.mounts)?, word).await
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
            let (id, name) = (entity.value.id, &entity.value.name);
            if sight.shows(&format!("identity/entity/id/{id}")) || sight.shows(&format!("identity/entity/name/{name}"))
            {
                return Ok(None);
            }
            principals.push(id.to_string());
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
