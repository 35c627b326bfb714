//! From a question to candidate lines of one segment: lists of rows, one per filter, intersected. The rarest filters
//! first; those that most lines pass are left to the lines when few are left.

use super::{Query, Thing, outcome_is};
use crate::index::builder::Builder;
use crate::index::codec::mark;
use crate::index::part::View;
use crate::index::term::{Field, spell, value};
use std::collections::HashMap;
use std::io;

/// So few candidates are not worth another list.
const FEW: usize = 2_000;

/// One segment being searched.
pub(super) struct Seek<'a>(View<'a>);

impl<'a> Seek<'a> {
    pub(super) fn over(view: View<'a>) -> Self {
        Self(view)
    }

    pub(super) fn over_live(builder: &'a Builder) -> Self {
        Self(View::Memory(builder.facts(), builder))
    }

    /// The places of the lines that may answer, in the order of the trail.
    pub(super) fn find(&self, query: &Query, judged: &mut HashMap<String, bool>) -> io::Result<Vec<u32>> {
        let (low, high) = self.0.rows_between(query.from.unwrap_or(0), query.to.unwrap_or(u64::MAX))?;
        if low >= high {
            return Ok(Vec::new());
        }
        let mut rows = Narrowed { low, high, rows: None };
        self.rare(query, &mut rows)?;
        if rows.is_unnarrowed() && query.visible.is_some() {
            // Else a caller who may see little would have us read every line.
            rows.keep(
                self.0.postings(&[Field::Path as u8], &mut |term| super::find::judge(query, judged, value(term)))?,
            );
        }
        if !rows.is_few() {
            self.dense(query, &mut rows)?;
        }
        rows.into_iter().map(|row| self.0.row(row).map(|row| row.place)).collect()
    }

    fn rare(&self, query: &Query, rows: &mut Narrowed) -> io::Result<()> {
        for name in query.request.iter().chain(&query.lease).chain(&query.subject) {
            rows.keep(self.0.marked(mark(name))?);
        }
        if !query.things.is_empty() {
            rows.keep(self.any(query.things.iter().map(Thing::term))?);
        }
        if !query.prefixes.is_empty() {
            let mut all = Vec::new();
            for (field, prefix) in query.prefixes.iter().map(Thing::term) {
                all.extend(self.0.postings(spell(&mut Vec::new(), field, prefix), &mut |_| true)?);
            }
            rows.keep(ordered(all));
        }
        if !query.principals.is_empty() && !rows.is_few() {
            rows.keep(self.any(query.principals.iter().map(|name| (Field::Principal, name.as_str())))?);
        }
        if let Some(test) = query.address.as_ref().filter(|_| !rows.is_few()) {
            let passes = &mut |term: &[u8]| value(term).parse().is_ok_and(test);
            rows.keep(self.0.postings(&[Field::Address as u8], passes)?);
        }
        if let Some(namespace) = query.namespace.as_ref().filter(|name| !name.is_empty() && !rows.is_few()) {
            rows.keep(self.0.posting(spell(&mut Vec::new(), Field::Namespace, namespace))?);
        }
        Ok(())
    }

    fn dense(&self, query: &Query, rows: &mut Narrowed) -> io::Result<()> {
        if !query.outcomes.is_empty() {
            let passes = &mut |term: &[u8]| query.outcomes.iter().any(|word| outcome_is(value(term), word));
            rows.keep(self.0.postings(&[Field::Result as u8], passes)?);
        }
        if !query.operations.is_empty() && !rows.is_few() {
            rows.keep(self.any(query.operations.iter().map(|word| (Field::Operation, word.as_str())))?);
        }
        for (field, words) in [(Field::Dialect, &query.dialects), (Field::Kind, &query.kinds)] {
            if !words.is_empty() && !rows.is_few() {
                rows.keep(self.any(words.iter().map(|word| (field, word.as_str())))?);
            }
        }
        Ok(())
    }

    fn any<'t>(&self, terms: impl Iterator<Item = (Field, &'t str)>) -> io::Result<Vec<u32>> {
        let (mut all, mut buffer) = (Vec::new(), Vec::new());
        for (field, text) in terms {
            all.extend(self.0.posting(spell(&mut buffer, field, text))?);
        }
        Ok(ordered(all))
    }
}

fn ordered(mut rows: Vec<u32>) -> Vec<u32> {
    if !rows.is_sorted_by(|a, b| a < b) {
        rows.sort_unstable();
        rows.dedup();
    }
    rows
}

/// Whether the caller may know of a path; each path is judged once per question.
pub(super) fn judge(query: &Query, judged: &mut HashMap<String, bool>, path: &str) -> bool {
    let Some(test) = &query.visible else { return true };
    if let Some(known) = judged.get(path) {
        return *known;
    }
    let verdict = test(path);
    judged.insert(path.to_owned(), verdict);
    verdict
}

/// Rows within a range, narrowed list by list.
struct Narrowed {
    low: u32,
    high: u32,
    rows: Option<Vec<u32>>,
}

impl Narrowed {
    fn is_unnarrowed(&self) -> bool {
        self.rows.is_none()
    }

    fn is_few(&self) -> bool {
        self.rows.as_ref().is_some_and(|rows| rows.len() <= FEW)
    }

    /// Keeps what is in this list too, which is in order.
    fn keep(&mut self, list: Vec<u32>) {
        let start = list.partition_point(|row| *row < self.low);
        let end = list.partition_point(|row| *row < self.high);
        let within = list.get(start..end).unwrap_or_default();
        self.rows = Some(match self.rows.take() {
            None => within.to_vec(),
            Some(rows) => rows.into_iter().filter(|row| within.binary_search(row).is_ok()).collect(),
        });
    }

    fn into_iter(self) -> Box<dyn Iterator<Item = u32>> {
        match self.rows {
            Some(rows) => Box::new(rows.into_iter()),
            None => Box::new(self.low..self.high),
        }
    }
}

impl Thing {
    fn term(&self) -> (Field, &str) {
        match self {
            Thing::Object(name) => (Field::Object, name),
            Thing::Path(path) => (Field::Path, path),
            Thing::Typed(text) => (Field::Typed, text),
        }
    }
}
