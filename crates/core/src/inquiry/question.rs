//! Which entries are about this: the trail's own question, with what a caller types turned into what entries say.

use super::Inquiry;
use super::named::NamedRow;
use super::sight::Sight;
use super::word;
use crate::{Cidr, CoreError, Grant};
use serde::Serialize;
use std::sync::Arc;
use strongroom_audit::{Absence, Page, Query, Seal, Thing};
use strongroom_model::{NamespacePath, Timestamp};
use strongroom_proof::{Bundle, Statement};

/// What is sought. What is not given lets everything pass; several values mean any of them.
#[derive(Default)]
pub struct Question {
    /// Paths, in any spelling: as policies have it, as the command line has it, or as typed through another API.
    pub paths: Vec<String>,
    /// Beginnings of paths.
    pub prefixes: Vec<String>,
    /// Names, ids or display names of entities, or accessors of tokens.
    pub principals: Vec<String>,
    /// Operations, or acts on secrets.
    pub operations: Vec<String>,
    /// `ok`, `failed`, or words of error kinds.
    pub outcomes: Vec<String>,
    /// Foreign APIs.
    pub dialects: Vec<String>,
    /// A network.
    pub address: Option<Cidr>,
    /// A lease.
    pub lease: Option<String>,
    /// A credential by its name in the outside system. Events about it are meant too, unless kinds say otherwise.
    pub subject: Option<String>,
    /// A request.
    pub request: Option<String>,
    /// A namespace.
    pub namespace: Option<NamespacePath>,
    /// `outcome`, `intent`, `event`; when empty, outcomes, and events where a subject or the dialect `internal` is asked for.
    pub kinds: Vec<String>,
    /// From then on.
    pub from: Option<Timestamp>,
    /// Before then.
    pub to: Option<Timestamp>,
    /// The page.
    pub start: Option<u64>,
    /// The latest first.
    pub backwards: bool,
    /// At most so many; a hundred when not given, a thousand at most.
    pub limit: Option<u64>,
    /// Whether an answer as of what the index has reached will do, when it is behind.
    pub stale: bool,
}

/// How far an answer is behind what is written.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Lack {
    /// Lines that were written and not looked at.
    pub entries: u64,
    /// How long ago the last entry was written that was looked at, in seconds.
    pub seconds: f64,
    /// When that was.
    pub reached: Timestamp,
}

/// What was found.
pub struct Answer {
    /// The entries.
    pub rows: Vec<NamedRow>,
    /// Where the next page begins, if there may be one.
    pub next: Option<u64>,
    /// Later entries begin here.
    pub end: u64,
    /// What of the time asked about is not in the trail any more.
    pub absent: Vec<Absence>,
    /// What the answer lacks, where that was allowed.
    pub behind: Option<Lack>,
    /// A proof that the entries stand in the trail, if one was asked for.
    pub proof: Option<Bundle>,
    /// What the caller should know beside it.
    pub warnings: Vec<String>,
}

const USUAL: u64 = 100;
const MOST: u64 = 1_000;
/// A proof reads whole segments, so it is for fewer.
const MOST_PROVEN: u64 = 200;

impl Inquiry {
    /// Which entries are about this.
    pub async fn query(&self, grant: &Grant, question: Question) -> Result<Answer, CoreError> {
        let words = question.principals.clone();
        let query = self.prepare(grant, question, MOST).await?;
        let answer = self.answer(self.trail.query(query).await?, None).await;
        self.remarked(grant, answer, &words).await
    }

    /// As [`Inquiry::query`], with a proof. What is not read can be proven neither to be there nor to be complete.
    pub async fn query_proven(&self, grant: &Grant, question: Question) -> Result<Answer, CoreError> {
        let words = question.principals.clone();
        let query = self.prepare(grant, question, MOST_PROVEN).await?;
        if !Sight::of(grant, &self.mounts)?.is_whole() {
            // The lines of a proof are whole entries: hashes, policies and metadata that an answer leaves out.
            return Err(CoreError::DeniedBecause("a proof holds whole entries and needs sudo on this path".to_owned()));
        }
        let (page, inclusion) = self.trail.query_proven(query).await?;
        let seal = crate::audit::TrailSeal(Arc::clone(&self.barrier));
        let mut statement = Statement {
            size: inclusion.size,
            root: hex::encode(inclusion.root),
            head: hex::encode(inclusion.head),
            generation: seal.generation(),
            time: self.clock.now().to_string(),
            key: hex::encode(seal.public_key()),
            signature: String::new(),
        };
        statement.signature = hex::encode(seal.sign(statement.text().as_bytes()));
        let answer = self.answer(page, Some(Bundle::new(statement, inclusion.entries))).await;
        self.remarked(grant, answer, &words).await
    }

    async fn prepare(&self, grant: &Grant, question: Question, most: u64) -> Result<Query, CoreError> {
        let sight = Sight::of(grant, &self.mounts)?;
        word::known("kind", &question.kinds, &word::kinds())?;
        word::known("outcome", &question.outcomes, &word::outcomes())?;
        word::known("dialect", &question.dialects, &word::DIALECTS)?;
        self.know_operations(&question).await?;
        if let (Some(from), Some(to)) = (question.from, question.to)
            && from >= to
        {
            let problem = format!("is {from}, and not before `to`, which is {to}: nothing can lie in between");
            return Err(CoreError::Field { field: "from".to_owned(), problem });
        }
        let limit = limit(question.limit, most)?;
        let kinds = kinds(&question)?;
        let mut principals = question.principals;
        for name in principals.clone() {
            principals.extend(self.entities_called(&name).await?);
        }
        let visible = sight.clone();
        Ok(Query {
            things: question.paths.iter().flat_map(|path| sight.things(path)).collect(),
            prefixes: question.prefixes.iter().flat_map(|prefix| prefixes(&sight, prefix)).collect(),
            principals,
            operations: question.operations,
            outcomes: question.outcomes,
            address: question
                .address
                .map(|net| -> strongroom_audit::AddressTest { Box::new(move |ip| net.contains(ip)) }),
            lease: question.lease,
            subject: question.subject,
            request: question.request,
            namespace: question.namespace.map(|namespace| namespace.as_str().to_owned()),
            dialects: question.dialects,
            kinds,
            from: question.from.map(Timestamp::nanos),
            to: question.to.map(Timestamp::nanos),
            visible: (!sight.is_whole())
                .then(|| -> strongroom_audit::PathTest { Box::new(move |path| visible.shows(path)) }),
            start: question.start,
            backwards: question.backwards,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            stale: question.stale,
        })
    }

    /// Dialects have operations of their own, so the trail itself says which there are: a misspelt one must not look like
    /// nothing having happened.
    async fn know_operations(&self, question: &Question) -> Result<(), CoreError> {
        for word in question.operations.iter().filter(|word| !word::OPERATIONS.contains(&word.as_str())) {
            let query = Query { operations: vec![word.clone()], limit: 1, stale: question.stale, ..Query::default() };
            if self.trail.query(query).await?.rows.is_empty() {
                let problem = format!(
                    "`{word}` is of no entry in the trail; there are {}, and those of other APIs as they spell them",
                    word::OPERATIONS.join(", ")
                );
                return Err(CoreError::Field { field: "operation".to_owned(), problem });
            }
        }
        Ok(())
    }

    async fn answer(&self, page: Page, proof: Option<Bundle>) -> Answer {
        let now = self.clock.now();
        let behind = page.behind.map(|behind| Lack {
            entries: behind.entries,
            seconds: now.since(behind.reached).as_millis() as f64 / 1_000.0,
            reached: behind.reached,
        });
        let table = Arc::clone(&self.mounts.table());
        let rows = self.identity.named(&table, page.rows).await;
        let warnings = Vec::new();
        Answer { rows, next: page.next, end: page.end, absent: page.absent, behind, proof, warnings }
    }

    /// The answer, with a remark for each of these words that names nobody. The one that got an answer does.
    async fn remarked(&self, grant: &Grant, mut answer: Answer, words: &[String]) -> Result<Answer, CoreError> {
        if words.len() > 1 || answer.rows.is_empty() {
            answer.warnings = self.remarks_on(&Sight::of(grant, &self.mounts)?, words).await?;
        }
        Ok(answer)
    }

    /// The beginnings of paths and names that lie in what was typed, for who may see everything.
    pub(crate) fn prefixes(&self, grant: &Grant, typed: &str) -> Result<Vec<Thing>, CoreError> {
        let sight = Sight::of(grant, &self.mounts)?;
        if sight.is_whole() { Ok(prefixes(&sight, typed)) } else { Err(CoreError::Denied) }
    }

    /// The ids of the entities that a word may mean: a name, or what the trail prints for their logins.
    pub(crate) async fn entities_called(&self, word: &str) -> Result<Vec<String>, CoreError> {
        let found = self.identity.called(&Arc::clone(&self.mounts.table()), word).await?;
        Ok(found.iter().map(|entity| entity.value.id.to_string()).collect())
    }

    /// The one entity that a word means; where it may mean several, an id is asked for.
    pub(crate) async fn entity_named(&self, word: &str) -> Result<Option<String>, CoreError> {
        let mut found = self.entities_called(word).await?;
        if found.len() > 1 {
            let problem = format!("may mean {}: name one of them by its id", found.join(", "));
            return Err(CoreError::Field { field: "principal".to_owned(), problem });
        }
        Ok(found.pop())
    }
}

/// How many entries are wanted. Less than was asked for would read like all that there is.
fn limit(wanted: Option<u64>, most: u64) -> Result<u64, CoreError> {
    match wanted {
        None => Ok(USUAL.min(most)),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(limit) => {
            let problem = format!("is {limit}, and must be from 1 to {most}; `next` of an answer asks for more");
            Err(CoreError::Field { field: "limit".to_owned(), problem })
        }
    }
}

/// The kinds that are meant.
fn kinds(question: &Question) -> Result<Vec<String>, CoreError> {
    let is_internal = |dialect: &String| dialect == word::INTERNAL;
    let has_events = question.kinds.iter().any(|kind| kind == word::EVENT);
    if !question.kinds.is_empty()
        && !has_events
        && !question.dialects.is_empty()
        && question.dialects.iter().all(is_internal)
    {
        let problem = "must have `event` in it, or be left out, for the dialect `internal`: what the server met on its own are \
                       events, so that no other entry answers this";
        return Err(CoreError::Field { field: "kind".to_owned(), problem: problem.to_owned() });
    }
    let with_events = question.subject.is_some() || question.dialects.iter().any(is_internal);
    Ok(match (question.kinds.is_empty(), with_events) {
        (false, _) => question.kinds.clone(),
        (true, true) => vec!["outcome".to_owned(), word::EVENT.to_owned()],
        (true, false) => vec!["outcome".to_owned()],
    })
}

/// A beginning of paths, and of the names below a mount that lies in it.
fn prefixes(sight: &Sight, typed: &str) -> Vec<Thing> {
    let folder = typed.trim_start_matches('/');
    let named = sight.things(folder).into_iter().filter(|thing| matches!(thing, Thing::Object(_)));
    let slash = if folder.ends_with('/') { "/" } else { "" };
    let objects = named.map(|thing| match thing {
        Thing::Object(name) if name.ends_with([':', '/']) => Thing::Object(name),
        Thing::Object(name) => Thing::Object(format!("{name}{slash}")),
        other => other,
    });
    objects.chain([Thing::Path(folder.to_owned()), Thing::Typed(folder.to_owned())]).collect()
}
