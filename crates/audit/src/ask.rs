//! What may be asked of an open trail. Each question is a piece of work for a thread of its own, since it reads files.

use crate::consumer::Use;
use crate::proof::{Inclusion, prove};
use crate::query::{PATIENCE, Page, Query, run};
use crate::{Trail, TrailError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::spawn_blocking;

impl Trail {
    /// Answers a question with everything that was written when it was asked.
    pub async fn query(&self, query: Query) -> Result<Page, TrailError> {
        let inside = Arc::clone(self.index().inside());
        blocking(move || run(&inside, &query)).await
    }

    /// Answers a question as [`Trail::query`] does, with proofs of the entries in the answer.
    pub async fn query_proven(&self, query: Query) -> Result<(Page, Inclusion), TrailError> {
        let inside = Arc::clone(self.index().inside());
        blocking(move || {
            let page = run(&inside, &query)?;
            let inclusion = prove(&inside, &page.spots)?;
            Ok((page, inclusion))
        })
        .await
    }

    /// Who uses the object, or who uses what at all: one item per object and principal that `keep` wants.
    pub async fn uses(
        &self,
        object: Option<String>,
        keep: impl Fn(&Use) -> bool + Send + 'static,
    ) -> Result<Vec<Use>, TrailError> {
        let inside = Arc::clone(self.index().inside());
        blocking(move || {
            inside.catch_up(PATIENCE)?;
            let failed = |source: std::io::Error| TrailError::Io {
                what: format!("cannot read who uses what from the trail's index: {source}"),
                source,
            };
            let mut uses: BTreeMap<(String, String), Use> = BTreeMap::new();
            let mut add = |found: Use| {
                if !keep(&found) {
                    return;
                }
                match uses.entry((found.object.clone(), found.consumer.clone())) {
                    std::collections::btree_map::Entry::Occupied(mut known) => known.get_mut().merge(found),
                    std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(found)),
                }
            };
            // Under one lock, so that no segment is counted twice, or not at all, while it becomes complete.
            let state = inside.read();
            for part in &state.parts {
                part.view().and_then(|view| view.uses(object.as_deref(), &mut add)).map_err(failed)?;
            }
            let live = state.live.iter().flat_map(|live| live.uses());
            live.filter(|one| object.as_ref().is_none_or(|object| one.object == *object)).cloned().for_each(add);
            Ok(uses.into_values().collect())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TrailError> + Send + 'static,
) -> Result<T, TrailError> {
    let done = spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        Err(TrailError::Io {
            what: "a question to the audit trail was broken off".to_owned(),
            source: std::io::Error::other(error),
        })
    })
}
