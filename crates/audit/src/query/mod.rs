//! Questions to the trail: which entries are about this, by whom, from where, when. The index finds lines; the answer is
//! read from the lines themselves, and a line that does not answer the question is not shown, whatever the index says. Each
//! line that is read is held against the chain, so that one edited beside a running server ends the answer with an error.

mod find;
mod lines;
mod row;

pub use row::Row;

use crate::TrailError;
use crate::archive::Absence;
use crate::chain::Header;
use crate::folder::segment_name;
use crate::index::Inside;
use crate::index::builder::Facts;
use crate::index::line::Line;
use crate::index::part::Part;
use find::Seek;
pub(crate) use lines::Lines;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use strongroom_model::Timestamp;

/// How long a question waits for the index to reach the trail's end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// How long one waits that takes what the index has by then.
const SHORT: Duration = Duration::from_secs(1);
/// One question reads no more lines than this; who wants more asks for the next page.
const MOST_LINES: usize = 100_000;

/// A judgement on addresses, as of a network.
pub type AddressTest = Box<dyn Fn(IpAddr) -> bool + Send + Sync>;
/// A judgement on canonical paths: whether the caller may know of it.
pub type PathTest = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// What is sought. Empty filters let everything pass; several values of one filter mean any of them.
#[derive(Default)]
pub struct Query {
    /// One names of things (see [`object_of`](crate::object_of)), canonical paths, or what callers typed: any of them.
    pub things: Vec<Thing>,
    /// Beginnings of canonical paths or of one names: any of them.
    pub prefixes: Vec<Thing>,
    /// An entity, a token's accessor, or a display name.
    pub principals: Vec<String>,
    /// `read`, `create`, ... or the act on a secret, `read-metadata`.
    pub operations: Vec<String>,
    /// `ok`, `failed`, or the word of an error's kind: `denied`.
    pub outcomes: Vec<String>,
    /// From where.
    pub address: Option<AddressTest>,
    /// A lease that was handed out, prolonged or ended.
    pub lease: Option<String>,
    /// A credential by its name in the outside system.
    pub subject: Option<String>,
    /// A request's id.
    pub request: Option<String>,
    /// A namespace's path; the root is empty.
    pub namespace: Option<String>,
    /// Through which foreign API.
    pub dialects: Vec<String>,
    /// `outcome`, `intent`, `event`; empty for all.
    pub kinds: Vec<String>,
    /// From this time on, in nanoseconds since 1970 ...
    pub from: Option<u64>,
    /// ... and before this one.
    pub to: Option<u64>,
    /// Only entries whose path passes.
    pub visible: Option<PathTest>,
    /// The page: from this line on, in the order asked for.
    pub start: Option<u64>,
    /// The latest first.
    pub backwards: bool,
    /// So many at most.
    pub limit: usize,
    /// Whether what the index has reached after a moment will do, when it is behind.
    pub stale: bool,
}

/// One way to name what entries are about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Thing {
    /// By its one name.
    Object(String),
    /// By the canonical path.
    Path(String),
    /// By what the caller typed.
    Typed(String),
}

/// A page of an answer.
#[derive(Debug, Default)]
pub struct Page {
    /// The entries.
    pub rows: Vec<Row>,
    /// Where the next page begins, if there may be one.
    pub next: Option<u64>,
    /// The number behind the last line that was looked at: what comes later is from here on.
    pub end: u64,
    /// What of the time asked about lies in archives, or is missing, so that nothing of it can be in the answer.
    pub absent: Vec<Absence>,
    /// How far the index was behind what was written when it was asked, if that was let pass.
    pub behind: Option<Behind>,
    /// Where the lines are, for a proof.
    pub(crate) spots: Vec<(u64, u64)>,
}

/// What an answer lacks because the index had not come to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// So many lines.
    pub entries: u64,
    /// The time of the last entry that was looked at.
    pub reached: Timestamp,
}

/// Answers a question, complete as of its beginning unless it may be stale. Blocks.
pub(crate) fn run(inside: &Inside, query: &Query) -> Result<Page, TrailError> {
    let (end, lacking) = if query.stale { inside.reach(SHORT)? } else { (inside.catch_up(PATIENCE)?, 0) };
    let _files = inside.files_to_read();
    let behind = (lacking > 0).then(|| Behind { entries: lacking, reached: inside.latest() });
    let page = Page { end, behind, ..Page::default() };
    let lines = Lines::new(inside.source.clone());
    let mut asking = Asking { query, lines, judged: HashMap::new(), read: 0, page };
    asking.answer(inside)?;
    Ok(asking.page)
}

/// A question being answered.
struct Asking<'a> {
    query: &'a Query,
    lines: Lines,
    judged: HashMap<String, bool>,
    read: usize,
    page: Page,
}

fn failed(source: std::io::Error) -> TrailError {
    TrailError::Io { what: format!("cannot answer from the trail: {source}"), source }
}

impl Asking<'_> {
    fn answer(&mut self, inside: &Inside) -> Result<(), TrailError> {
        // All at one moment: the part that grows may be a complete one, and another grow, a moment later.
        let state = inside.read();
        self.page.absent = self.query.concerned(state.absences(&inside.source));
        let parts = state.parts.clone();
        let live = match &state.live {
            Some(live) => {
                let places = Seek::over_live(live).find(self.query, &mut self.judged).map_err(failed)?;
                Some((live.facts(), places))
            }
            None => None,
        };
        drop(state);
        let backwards = self.query.backwards;
        if let (true, Some((facts, places))) = (backwards, &live)
            && !self.show(facts, places)?
        {
            return Ok(());
        }
        let in_order: Vec<&Part> = if backwards { parts.iter().rev().collect() } else { parts.iter().collect() };
        for part in in_order {
            if !self.part(part)? {
                return Ok(());
            }
        }
        if let (false, Some((facts, places))) = (backwards, &live) {
            self.show(facts, places)?;
        }
        Ok(())
    }

    /// Whether there is room for more rows.
    fn part(&mut self, part: &Part) -> Result<bool, TrailError> {
        let facts = part.facts();
        let (from, to) = (self.query.from.unwrap_or(0), self.query.to.unwrap_or(u64::MAX));
        let end = facts.first + facts.lines;
        let behind_start = self.query.start.is_some_and(|start| match self.query.backwards {
            false => end <= start,
            true => facts.first > start,
        });
        if facts.rows == 0 || from > facts.latest || to <= facts.earliest || behind_start {
            return Ok(true);
        }
        let found = part.view().and_then(|view| Seek::over(view).find(self.query, &mut self.judged));
        self.show(&facts, &found.map_err(failed)?)
    }

    fn show(&mut self, facts: &Facts, places: &[u32]) -> Result<bool, TrailError> {
        let all: Box<dyn Iterator<Item = &u32>> =
            if self.query.backwards { Box::new(places.iter().rev()) } else { Box::new(places.iter()) };
        for place in all {
            let found = self.lines.read(facts.first, u64::from(*place)).map_err(failed)?;
            let Some(found) = found else { continue };
            let line = Line::parse(&found.text).filter(|_| found.is_genuine(facts));
            let line = line.ok_or_else(|| changed(facts, &found.text))?;
            let before_start = self.query.start.is_some_and(|start| match self.query.backwards {
                false => line.seq < start,
                true => line.seq > start,
            });
            if before_start || line.seq >= self.page.end {
                continue;
            }
            self.read += 1;
            let answers = self.query.takes(&line) && self.may_see(&line.path);
            // A next page is promised to who may see little only where they would see something on it: its place would
            // tell them when somebody did what they may not know of.
            let is_full = self.page.rows.len() >= self.query.limit && (answers || self.query.visible.is_none());
            if is_full || self.read > MOST_LINES {
                self.page.next = Some(line.seq);
                return Ok(false);
            }
            if answers {
                self.page.rows.push(Row::of(&line));
                self.page.spots.push((facts.first, u64::from(*place)));
            }
        }
        Ok(true)
    }

    fn may_see(&mut self, path: &str) -> bool {
        find::judge(self.query, &mut self.judged, path)
    }
}

/// Names a line that is not what the index saw, or the segment that it was in.
fn changed(facts: &Facts, text: &[u8]) -> TrailError {
    let within = facts.first..facts.first + facts.lines;
    let named = Header::parse(text).map(|header| header.seq).filter(|seq| within.contains(seq));
    TrailError::Changed { place: segment_name(facts.first), line: named.unwrap_or(facts.first) }
}

impl Query {
    /// What of these stretches the question would have looked at.
    pub(crate) fn concerned(&self, absent: Vec<Absence>) -> Vec<Absence> {
        let (from, to) = (self.from.unwrap_or(0), self.to.unwrap_or(u64::MAX));
        let in_time = |gap: &Absence| {
            gap.to.is_none_or(|latest| latest.nanos() >= from) && gap.from.is_none_or(|earliest| earliest.nanos() < to)
        };
        let on_page = |gap: &Absence| match (self.start, self.backwards) {
            (None, _) => true,
            (Some(start), false) => gap.next > start,
            (Some(start), true) => gap.first <= start,
        };
        absent.into_iter().filter(|gap| in_time(gap) && on_page(gap)).collect()
    }

    /// The same filters, as far as they can be asked again and again.
    pub(crate) fn limits(&self) -> Self {
        Self {
            things: self.things.clone(),
            prefixes: self.prefixes.clone(),
            principals: self.principals.clone(),
            operations: self.operations.clone(),
            outcomes: self.outcomes.clone(),
            namespace: self.namespace.clone(),
            dialects: self.dialects.clone(),
            kinds: self.kinds.clone(),
            from: self.from,
            to: self.to,
            ..Self::default()
        }
    }

    /// Whether a line answers the question, the caller's rights aside.
    pub(crate) fn takes(&self, line: &Line<'_>) -> bool {
        let any = |wanted: &[String], is: &dyn Fn(&str) -> bool| wanted.is_empty() || wanted.iter().any(|one| is(one));
        let time = Timestamp::parse(&line.time).map_or(0, Timestamp::nanos);
        let mut object = String::new();
        line.object_into(&mut object);
        let result = line.outcome.as_ref().map_or("", |outcome| &outcome.result);
        let act = line.secret.as_ref().map_or("", |secret| &secret.act);
        time >= self.from.unwrap_or(0)
            && time < self.to.unwrap_or(u64::MAX)
            && (self.things.is_empty() || self.things.iter().any(|thing| thing.names(line, &object)))
            && (self.prefixes.is_empty() || self.prefixes.iter().any(|thing| thing.begins(line, &object)))
            && any(&self.principals, &|name| is_by(line, name))
            && any(&self.operations, &|word| line.operation == word || act == word)
            && any(&self.outcomes, &|word| outcome_is(result, word))
            && any(&self.dialects, &|word| line.dialect == word)
            && any(&self.kinds, &|word| line.kind == word)
            && self.lease.as_ref().is_none_or(|lease| line.lease_id.as_deref() == Some(lease))
            && self.subject.as_ref().is_none_or(|subject| line.subject.as_deref() == Some(subject))
            && self.request.as_ref().is_none_or(|request| line.request == *request)
            && self.namespace.as_ref().is_none_or(|namespace| line.namespace == *namespace)
            && self.address.as_ref().is_none_or(|test| line.source.address.parse().is_ok_and(test))
    }
}

fn is_by(line: &Line<'_>, name: &str) -> bool {
    line.principal
        .as_ref()
        .is_some_and(|who| who.display_name == name || who.accessor == name || who.entity.as_deref() == Some(name))
}

/// Whether a result is meant by a word: itself, or `failed` for all that is not `ok`.
pub(crate) fn outcome_is(result: &str, word: &str) -> bool {
    result == word || (word == "failed" && result != "ok" && !result.is_empty())
}

impl Thing {
    fn names(&self, line: &Line<'_>, object: &str) -> bool {
        match self {
            Thing::Object(name) => object == name,
            Thing::Path(path) => line.path == *path,
            Thing::Typed(text) => line.typed.as_deref() == Some(text),
        }
    }

    fn begins(&self, line: &Line<'_>, object: &str) -> bool {
        match self {
            Thing::Object(name) => object.starts_with(name),
            Thing::Path(path) => line.path.starts_with(path.as_str()),
            Thing::Typed(text) => line.typed.as_deref().is_some_and(|typed| typed.starts_with(text)),
        }
    }
}
