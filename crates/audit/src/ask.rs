//! What may be asked of an open trail. Each question is a piece of work for a thread of its own, since it reads files; it
//! waits, for a bounded time, until the index has reached what was written when it was asked.

use crate::archive::Absence;
use crate::consumer::Use;
use crate::index::part::View;
use crate::index::term::Field;
use crate::proof::{Inclusion, prove};
use crate::query::{Lines, PATIENCE, Page, Query, run};
use crate::{Entry, Trail, TrailError};
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

    /// The rules that let somebody through, as policy and pattern, with how often.
    pub async fn rules_used(&self) -> Result<BTreeMap<(String, String), u64>, TrailError> {
        let inside = Arc::clone(self.index().inside());
        blocking(move || {
            inside.catch_up(PATIENCE)?;
            let mut used: BTreeMap<(String, String), u64> = BTreeMap::new();
            let mut add = |rule: &str, count: usize| {
                if let Some((policy, pattern)) = rule.split_once('\n') {
                    *used.entry((policy.to_owned(), pattern.to_owned())).or_default() += count as u64;
                }
            };
            let state = inside.read();
            for part in &state.parts {
                part.view().and_then(|view| view.values(Field::Rule, &mut add)).map_err(unreadable)?;
            }
            if let Some(live) = &state.live {
                View::Memory(live.facts(), live).values(Field::Rule, &mut add).map_err(unreadable)?;
            }
            Ok(used)
        })
        .await
    }

    /// The policies that the last token of a principal had, by what the trail says; none when it was never seen.
    pub async fn last_policies(&self, principal: &str) -> Result<Vec<String>, TrailError> {
        let inside = Arc::clone(self.index().inside());
        let principals = vec![principal.to_owned()];
        blocking(move || {
            let query = Query { principals, backwards: true, limit: 1, ..Query::default() };
            let page = run(&inside, &query)?;
            let _files = inside.files_to_read();
            let Some((first, place)) = page.spots.first() else { return Ok(Vec::new()) };
            let line = Lines::new(inside.source.clone()).read(*first, *place).map_err(unreadable)?;
            let entry: Option<Entry> = line.and_then(|line| serde_json::from_slice(&line.text).ok());
            let policies = entry
                .and_then(|entry| entry.principal)
                .map(|who| who.token_policies.iter().chain(&who.identity_policies).map(ToString::to_string).collect());
            Ok(policies.unwrap_or_default())
        })
        .await
    }

    /// What nothing can be answered about, since it lies in archives or is missing, complete as of now.
    pub async fn absent(&self) -> Result<Vec<Absence>, TrailError> {
        let inside = Arc::clone(self.index().inside());
        blocking(move || {
            inside.catch_up(PATIENCE)?;
            let state = inside.read();
            Ok(state.absences(&inside.source))
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
                part.view().and_then(|view| view.uses(object.as_deref(), &mut add)).map_err(unreadable)?;
            }
            let live = state.live.iter().flat_map(|live| live.uses());
            live.filter(|one| object.as_ref().is_none_or(|object| one.object == *object)).cloned().for_each(add);
            Ok(uses.into_values().collect())
        })
        .await
    }
}

fn unreadable(source: std::io::Error) -> TrailError {
    TrailError::Io { what: format!("cannot read the trail's index: {source}"), source }
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
