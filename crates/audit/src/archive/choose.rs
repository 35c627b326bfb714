//! Which segments may leave the trail: old enough, read by everybody who follows it, under no hold.

use super::{ArchiveOrder, Kept};
use crate::TrailError;
use crate::folder::segments;
use crate::index::Inside;
use crate::query::{Query, run};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

/// So many segments make one archive.
const MOST: usize = 4;
/// The newest stay, since a start has to read them.
const NEWEST: usize = 2;

/// Segments that go into one archive, each with the one behind it.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) segments: Vec<(u64, Option<u64>)>,
    /// Whether a manifest speaks of them already: a crash came before they were removed.
    pub(super) recorded: bool,
    next: u64,
}

/// What is to be done, and what stays although it is old enough.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) runs: Vec<Run>,
    pub(super) kept: Vec<Kept>,
}

/// Chooses. Blocks.
pub(super) fn choose(inside: &Inside, folder: &Path, order: &ArchiveOrder) -> Result<Choice, TrailError> {
    let failed = |source| TrailError::Io {
        what: format!("cannot look through the audit trail in {}", folder.display()),
        source,
    };
    inside.catch_up(crate::query::PATIENCE)?;
    let firsts = segments(folder).map_err(failed)?;
    let mut positions = cursors(folder).map_err(failed)?;
    positions.extend(order.readers.iter().cloned());
    let slowest = positions.into_iter().min_by_key(|(_, next)| *next);
    let held = held(inside, &firsts, order)?;
    let mut choice = Choice::default();
    let count = firsts.len().saturating_sub(NEWEST);
    let state = inside.read();
    for (first, behind) in firsts.iter().zip(firsts.iter().skip(1)).take(count) {
        let Some(facts) = state.parts.iter().map(|part| part.facts()).find(|facts| facts.first == *first) else {
            choice.keep(*first, *behind, "it is not in the index yet".to_owned());
            continue;
        };
        let next = first + facts.lines;
        if facts.latest >= order.before.nanos() || next > order.keep_from {
            continue;
        }
        if let Some((name, at)) = slowest.as_ref().filter(|(_, at)| *at < next) {
            choice.keep(*first, next, format!("{name} is at line {at} and has not read it"));
        } else if let Some(name) = held.get(first) {
            choice.keep(*first, next, format!("the legal hold `{name}`"));
        } else {
            choice.take((*first, Some(*behind)), next, state.ledger.at(*first).is_some());
        }
    }
    Ok(choice)
}

impl Choice {
    fn take(&mut self, segment: (u64, Option<u64>), next: u64, recorded: bool) {
        match self.runs.last_mut() {
            Some(run) if run.next == segment.0 && run.recorded == recorded && run.segments.len() < MOST => {
                run.segments.push(segment);
                run.next = next;
            }
            _ => self.runs.push(Run { segments: vec![segment], recorded, next }),
        }
    }

    /// Neighbours that stay for one reason are told as one.
    pub(super) fn keep(&mut self, first: u64, next: u64, why: String) {
        match self.kept.last_mut() {
            Some(last) if last.why == why && last.next == first => last.next = next,
            _ => self.kept.push(Kept { first, next, why }),
        }
    }
}

/// How far everybody is who left a position beside the segments.
fn cursors(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut found = Vec::new();
    for item in fs::read_dir(folder)? {
        let path = item?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.extension().is_some_and(|extension| extension == "cursor")
            && let Ok(next) = fs::read_to_string(&path).unwrap_or_default().trim().parse()
        {
            found.push((spoken(&name), next));
        }
    }
    Ok(found)
}

fn spoken(file: &str) -> String {
    match file.strip_prefix("reader-").and_then(|name| name.strip_suffix(".cursor")) {
        Some("own-alerts") => "the judge of alerts".to_owned(),
        Some(name) => format!("the destination `{name}`"),
        None => format!("an audit device (its position is in {file})"),
    }
}

/// The segments that something of a hold is in, by what the index says; reading them tells once more.
fn held(inside: &Inside, firsts: &[u64], order: &ArchiveOrder) -> Result<BTreeMap<u64, String>, TrailError> {
    let mut held = BTreeMap::new();
    for hold in &order.holds {
        let mut start = Some(0);
        while start.is_some() {
            let scope = hold.scope.limits();
            let page = run(inside, &Query { start, limit: 1, ..scope })?;
            let within = page.rows.first().and_then(|row| firsts.iter().rev().find(|first| **first <= row.seq));
            if let Some(first) = within {
                held.entry(*first).or_insert_with(|| hold.name.clone());
            }
            start = match within {
                Some(first) => firsts.iter().copied().find(|other| other > first),
                None => page.next,
            };
        }
    }
    Ok(held)
}
