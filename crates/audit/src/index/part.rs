//! One segment as questions see it: complete and on disk, or in memory.

use super::builder::{Builder, Facts, RowAt};
use super::file::{Asked, Sealed};
use super::term::{Field, value};
use crate::consumer::Use;
use std::io;
use std::sync::Arc;

/// The index of one segment.
#[derive(Clone)]
pub(crate) enum Part {
    /// On disk.
    Sealed(Arc<Sealed>),
    /// Complete, but in memory: of a trail in memory, or not written yet.
    Held(Arc<Builder>),
}

impl Part {
    pub(crate) fn facts(&self) -> Facts {
        match self {
            Part::Sealed(sealed) => sealed.facts,
            Part::Held(builder) => builder.facts(),
        }
    }

    /// The number of its first line.
    pub(crate) fn first(&self) -> u64 {
        match self {
            Part::Sealed(sealed) => sealed.facts.first,
            Part::Held(builder) => builder.first(),
        }
    }

    /// The number behind its last line.
    pub(crate) fn next(&self) -> u64 {
        match self {
            Part::Sealed(sealed) => sealed.facts.first + sealed.facts.lines,
            Part::Held(builder) => builder.next(),
        }
    }

    /// Ready to be asked.
    pub(crate) fn view(&self) -> io::Result<View<'_>> {
        Ok(match self {
            Part::Sealed(sealed) => View::File(sealed.facts, sealed.ask()?),
            Part::Held(builder) => View::Memory(builder.facts(), builder),
        })
    }
}

/// A part that is being asked.
pub(crate) enum View<'a> {
    File(Facts, Asked<'a>),
    Memory(Facts, &'a Builder),
}

impl View<'_> {
    pub(crate) fn facts(&self) -> &Facts {
        match self {
            View::File(facts, _) | View::Memory(facts, _) => facts,
        }
    }

    pub(crate) fn row(&self, row: u32) -> io::Result<RowAt> {
        match self {
            View::File(_, asked) => asked.row(row),
            View::Memory(_, builder) => builder.row(row).ok_or_else(|| io::ErrorKind::InvalidData.into()),
        }
    }

    /// The entries under a term.
    pub(crate) fn posting(&self, term: &[u8]) -> io::Result<Vec<u32>> {
        match self {
            View::File(_, asked) => Ok(asked.posting(term)?.unwrap_or_default()),
            View::Memory(_, builder) => Ok(builder.posting(term).unwrap_or_default().to_vec()),
        }
    }

    /// The entries under all terms that begin so and are wanted, in order, each once.
    pub(crate) fn postings(&self, prefix: &[u8], wanted: &mut dyn FnMut(&[u8]) -> bool) -> io::Result<Vec<u32>> {
        let mut all = Vec::new();
        match self {
            View::File(_, asked) => asked.terms_with(prefix, &mut |term, rows| {
                if wanted(term) {
                    all.extend(rows);
                }
            })?,
            View::Memory(_, builder) => {
                for (term, rows) in builder.terms().filter(|(term, _)| term.starts_with(prefix)) {
                    if wanted(term) {
                        all.extend_from_slice(rows);
                    }
                }
            }
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// The values of a field, with how many entries each has.
    pub(crate) fn values(&self, field: Field, visit: &mut dyn FnMut(&str, usize)) -> io::Result<()> {
        match self {
            View::File(_, asked) => asked.terms_with(&[field as u8], &mut |term, rows| visit(value(term), rows.len())),
            View::Memory(_, builder) => {
                let of_field = builder.terms().filter(|(term, _)| term.first() == Some(&(field as u8)));
                of_field.for_each(|(term, rows)| visit(value(term), rows.len()));
                Ok(())
            }
        }
    }

    pub(crate) fn marked(&self, mark: u32) -> io::Result<Vec<u32>> {
        let mut rows = match self {
            View::File(_, asked) => asked.marked(mark)?,
            View::Memory(_, builder) => builder.marked(mark),
        };
        rows.sort_unstable();
        rows.dedup();
        Ok(rows)
    }

    pub(crate) fn uses(&self, object: Option<&str>, visit: &mut dyn FnMut(Use)) -> io::Result<()> {
        match self {
            View::File(_, asked) => asked.uses(object, visit),
            View::Memory(_, builder) => {
                let wanted = |one: &&Use| object.is_none_or(|object| one.object == object);
                builder.uses().filter(wanted).cloned().for_each(visit);
                Ok(())
            }
        }
    }

    /// The entries from one time to before another, as a range of rows; all of them where times go back.
    pub(crate) fn rows_between(&self, from: u64, to: u64) -> io::Result<(u32, u32)> {
        let facts = self.facts();
        let count = u32::try_from(facts.rows).unwrap_or(u32::MAX);
        if from > facts.latest || to <= facts.earliest {
            return Ok((0, 0));
        }
        if !facts.ordered {
            return Ok((0, count));
        }
        Ok((self.first_from(from, count)?, self.first_from(to, count)?))
    }

    fn first_from(&self, time: u64, count: u32) -> io::Result<u32> {
        let (mut low, mut high) = (0, count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.row(middle)?.time < time { low = middle + 1 } else { high = middle }
        }
        Ok(low)
    }
}
