//! The index of one segment while it is made: fed line by line, asked at any time, written out when the segment is
//! complete. What is written is a function of the segment's lines alone, so that it can be checked by making it anew.

use super::codec::{mark, put};
use super::line::Line;
use super::term::{Field, spell};
use crate::TrailError;
use crate::chain::{Hash, Header, LineKind, ORIGIN, hash};
use crate::consumer::Use;
use ahash::AHashMap;
use aws_lc_rs::digest::{SHA256, digest};
use std::collections::HashMap;
use strongroom_model::Timestamp;
use strongroom_proof::{Frontier, leaf};

/// When an entry was written, and where its line begins in the segment (for a trail in memory: its number therein).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowAt {
    pub(crate) time: u64,
    pub(crate) place: u32,
}

/// What a file begins with.
pub(crate) const MAGIC: &[u8; 8] = b"SRTRIDX3";
/// How long the fixed part of a file is.
pub(crate) const HEADER: usize = 208;

/// The facts of a segment that stand in the fixed part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The number of the first line.
    pub(crate) first: u64,
    /// How many lines there are.
    pub(crate) lines: u64,
    /// How many of them are entries.
    pub(crate) rows: u64,
    /// Bytes of the segment.
    pub(crate) len: u64,
    /// The earliest and the latest time.
    pub(crate) earliest: u64,
    pub(crate) latest: u64,
    /// Whether the times never go back.
    pub(crate) ordered: bool,
    /// The hash of the last line.
    pub(crate) last: Hash,
    /// The root over all lines.
    pub(crate) root: Hash,
}

/// The index of one segment in memory.
pub(crate) struct Builder {
    facts: Facts,
    rows: Vec<RowAt>,
    /// Where the entries of a term are.
    terms: AHashMap<Box<[u8]>, usize>,
    postings: Vec<Vec<u32>>,
    /// The terms of the last entry that had them, by field and place: most of the next one's are the same.
    latest: [Latest; FIELDS * PLACES],
    marks: Vec<(u32, u32)>,
    /// By where the entries of the object and of the consumer are.
    uses: AHashMap<(usize, usize), Use>,
    tree: Frontier,
    /// The last line, not yet in the tree.
    tip: Vec<u8>,
    buffer: Vec<u8>,
    object: String,
    rule: String,
}

/// Fields have numbers below this.
const FIELDS: usize = Field::Rule as usize + 1;
/// An entry has no more terms of one field.
const PLACES: usize = 3;

/// A term, and where its entries are.
#[derive(Default)]
struct Latest {
    value: String,
    posting: Option<usize>,
}

impl Builder {
    /// Of a segment whose first line has this number.
    pub(crate) fn new(first: u64) -> Self {
        let facts = Facts { first, earliest: u64::MAX, ordered: true, last: ORIGIN, ..Facts::default() };
        Self {
            facts,
            rows: Vec::new(),
            terms: AHashMap::new(),
            postings: Vec::new(),
            latest: std::array::from_fn(|_| Latest::default()),
            marks: Vec::new(),
            uses: AHashMap::new(),
            tree: Frontier::default(),
            tip: Vec::new(),
            buffer: Vec::new(),
            object: String::new(),
            rule: String::new(),
        }
    }

    /// Takes the next line, with what was read of it if it is an entry.
    pub(crate) fn feed(&mut self, line: &[u8], entry: Option<&Line<'_>>, place: u64) -> Result<(), TrailError> {
        let header = Header::parse(line);
        if self.facts.lines > 0 {
            self.tree.push(leaf(&self.hash_before(header.as_ref())));
        }
        self.tip.clear();
        self.tip.extend_from_slice(line);
        self.facts.lines += 1;
        self.facts.len += line.len() as u64 + 1;
        let is_entry = header.is_some_and(|header| header.kind == LineKind::Entry);
        let Some(entry) = entry.filter(|_| is_entry) else { return Ok(()) };
        let Some(time) = Timestamp::parse(&entry.time).map(Timestamp::nanos) else { return Ok(()) };
        let too_long = || TrailError::Unwritable { why: "a segment is too long for its index".to_owned() };
        let place = u32::try_from(place).map_err(|_| too_long())?;
        let row = u32::try_from(self.rows.len()).map_err(|_| too_long())?;
        self.facts.ordered &= time >= self.facts.latest || self.rows.is_empty();
        self.facts.earliest = self.facts.earliest.min(time);
        self.facts.latest = self.facts.latest.max(time);
        self.rows.push(RowAt { time, place });
        let (object, consumer) = self.take_terms(entry, row);
        if let Some(consumer) = consumer.filter(|_| entry.is_use()) {
            self.count_use(entry, time, (object, consumer));
        }
        Ok(())
    }

    /// The last line's hash: the line behind it names it, which saves hashing every line once more. Where that one is
    /// wrong, `verify` finds it.
    fn hash_before(&self, behind: Option<&Header<'_>>) -> Hash {
        behind.and_then(Header::named).unwrap_or_else(|| hash(&self.tip))
    }

    /// Where the entries of its object are now, and those of its consumer.
    fn take_terms(&mut self, entry: &Line<'_>, row: u32) -> (usize, Option<usize>) {
        let mut name = std::mem::take(&mut self.object);
        entry.object_into(&mut name);
        let object = self.add((Field::Object, 0), &name, row);
        self.object = name;
        self.add((Field::Path, 0), &entry.path, row);
        self.add((Field::Operation, 0), &entry.operation, row);
        if let Some(secret) = &entry.secret {
            self.add((Field::Operation, 1), &secret.act, row);
        }
        self.add((Field::Address, 0), &entry.source.address, row);
        self.add((Field::Dialect, 0), &entry.dialect, row);
        self.add((Field::Kind, 0), &entry.kind, row);
        if let Some(outcome) = &entry.outcome {
            self.add((Field::Result, 0), &outcome.result, row);
        }
        if !entry.namespace.is_empty() {
            self.add((Field::Namespace, 0), &entry.namespace, row);
        }
        if let Some(typed) = &entry.typed {
            self.add((Field::Typed, 0), typed, row);
        }
        let consumer = entry.principal.as_ref().map(|who| {
            let accessor = self.add((Field::Principal, 0), &who.accessor, row);
            self.add((Field::Principal, 1), &who.display_name, row);
            who.entity.as_ref().map_or(accessor, |entity| self.add((Field::Principal, 2), entity, row))
        });
        if let Some((policy, pattern)) = entry.deciding_rule() {
            let mut rule = std::mem::take(&mut self.rule);
            rule.clear();
            [policy, "\n", pattern].iter().for_each(|part| rule.push_str(part));
            self.add((Field::Rule, 0), &rule, row);
            self.rule = rule;
        }
        self.marks.push((mark(&entry.request), row));
        if let Some(lease) = &entry.lease_id {
            self.marks.push((mark(lease), row));
        }
        if let Some(subject) = &entry.subject {
            self.marks.push((mark(subject), row));
        }
        (object, consumer)
    }

    /// Notes an entry under a term, and says where its entries are; `place` tells apart terms of one field.
    fn add(&mut self, (field, place): (Field, usize), value: &str, row: u32) -> usize {
        let slot = field as usize * PLACES + place;
        let latest = self.latest.get(slot).filter(|latest| latest.value == value);
        let known = latest.and_then(|latest| latest.posting);
        let posting = known.unwrap_or_else(|| self.look_up(field, value, slot));
        if let Some(rows) = self.postings.get_mut(posting).filter(|rows| rows.last() != Some(&row)) {
            rows.push(row);
        }
        posting
    }

    /// Where the entries of a term are, which is the latest of its slot now.
    fn look_up(&mut self, field: Field, value: &str, slot: usize) -> usize {
        let term = spell(&mut self.buffer, field, value);
        let posting = match self.terms.get(term) {
            Some(posting) => *posting,
            None => {
                let posting = self.postings.len();
                self.terms.insert(term.into(), posting);
                self.postings.push(Vec::new());
                posting
            }
        };
        if let Some(latest) = self.latest.get_mut(slot) {
            latest.value.clear();
            latest.value.push_str(value);
            latest.posting = Some(posting);
        }
        posting
    }

    fn count_use(&mut self, entry: &Line<'_>, time: u64, who_uses_what: (usize, usize)) {
        let Some(consumer) = entry.consumer() else { return };
        let fresh = || Use::of(self.object.clone(), consumer);
        self.uses.entry(who_uses_what).or_insert_with(fresh).count(entry, time);
    }

    /// What is known so far.
    pub(crate) fn facts(&self) -> Facts {
        let (mut tree, mut last) = (self.tree.clone(), ORIGIN);
        if self.facts.lines > 0 {
            last = hash(&self.tip);
            tree.push(leaf(&last));
        }
        Facts { rows: self.rows.len() as u64, root: tree.root(), last, ..self.facts }
    }

    /// The number of its segment's first line.
    pub(crate) fn first(&self) -> u64 {
        self.facts.first
    }

    /// The number behind its last line.
    pub(crate) fn next(&self) -> u64 {
        self.facts.first + self.facts.lines
    }

    /// How many entries there are so far.
    pub(crate) fn count(&self) -> usize {
        self.rows.len()
    }

    /// One entry.
    pub(crate) fn row(&self, row: u32) -> Option<RowAt> {
        self.rows.get(row as usize).copied()
    }

    /// The entries under a term.
    pub(crate) fn posting(&self, term: &[u8]) -> Option<&[u32]> {
        self.terms.get(term).and_then(|posting| self.postings.get(*posting)).map(Vec::as_slice)
    }

    /// All terms, in no order.
    pub(crate) fn terms(&self) -> impl Iterator<Item = (&[u8], &[u32])> {
        self.terms.iter().filter_map(|(term, posting)| Some((&**term, self.postings.get(*posting)?.as_slice())))
    }

    /// The entries whose request, lease or subject may have this mark.
    pub(crate) fn marked(&self, wanted: u32) -> Vec<u32> {
        self.marks.iter().filter(|(mark, _)| *mark == wanted).map(|(_, row)| *row).collect()
    }

    /// Who uses what.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &Use> {
        self.uses.values()
    }

    /// The file.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        let mut sections = [0; 7];
        let mut note = |number: usize, bytes: &Vec<u8>| {
            if let Some(section) = sections.get_mut(number) {
                *section = bytes.len() as u64;
            }
        };
        note(0, &bytes);
        for row in &self.rows {
            bytes.extend_from_slice(&row.time.to_le_bytes());
            bytes.extend_from_slice(&row.place.to_le_bytes());
        }
        let (table, data) = self.encode_terms();
        note(1, &bytes);
        bytes.extend_from_slice(&table);
        note(2, &bytes);
        bytes.extend_from_slice(&data);
        note(3, &bytes);
        let mut marks = self.marks.clone();
        marks.sort_unstable();
        for (mark, row) in &marks {
            bytes.extend_from_slice(&mark.to_le_bytes());
            bytes.extend_from_slice(&row.to_le_bytes());
        }
        let (table, data) = self.encode_uses();
        note(4, &bytes);
        bytes.extend_from_slice(&table);
        note(5, &bytes);
        bytes.extend_from_slice(&data);
        note(6, &bytes);
        let header = self.header(&sections);
        if let Some(place) = bytes.get_mut(..HEADER) {
            place.copy_from_slice(&header);
        }
        let seal = digest(&SHA256, &bytes);
        bytes.extend_from_slice(seal.as_ref());
        bytes
    }

    fn header(&self, sections: &[u64; 7]) -> [u8; HEADER] {
        let facts = self.facts();
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        let numbers =
            [facts.first, facts.lines, facts.rows, facts.len, facts.earliest, facts.latest, u64::from(facts.ordered)];
        numbers.iter().for_each(|number| header.extend_from_slice(&number.to_le_bytes()));
        header.extend_from_slice(&facts.last);
        header.extend_from_slice(&facts.root);
        sections.iter().for_each(|number| header.extend_from_slice(&number.to_le_bytes()));
        header.resize(HEADER, 0);
        let mut fixed = [0; HEADER];
        fixed.copy_from_slice(&header);
        fixed
    }

    fn encode_terms(&self) -> (Vec<u8>, Vec<u8>) {
        let mut terms: Vec<(&[u8], &[u32])> = self.terms().collect();
        terms.sort_unstable_by_key(|(term, _)| *term);
        let (mut table, mut data) = (Vec::new(), Vec::new());
        for (term, rows) in terms {
            table.extend_from_slice(&(data.len() as u32).to_le_bytes());
            put(&mut data, term.len() as u64);
            data.extend_from_slice(term);
            put(&mut data, rows.len() as u64);
            let mut before = 0;
            for row in rows {
                put(&mut data, u64::from(row - before));
                before = *row;
            }
        }
        (table, data)
    }

    fn encode_uses(&self) -> (Vec<u8>, Vec<u8>) {
        let mut uses: Vec<&Use> = self.uses.values().collect();
        uses.sort_unstable_by(|a, b| (&a.object, &a.consumer).cmp(&(&b.object, &b.consumer)));
        let mut terms: Vec<&[u8]> = self.terms.keys().map(|term| &**term).collect();
        terms.sort_unstable();
        let numbers: HashMap<&[u8], u64> = terms.into_iter().zip(0..).collect();
        let number = |field: Field, name: &str| {
            // All these names are terms, since the entries they come from have been indexed by them.
            numbers.get(spell(&mut Vec::new(), field, name)).copied().unwrap_or_default()
        };
        let (mut table, mut data) = (Vec::new(), Vec::new());
        for one in uses {
            table.extend_from_slice(&(data.len() as u32).to_le_bytes());
            let mut record = Vec::new();
            one.encode(&mut record, self.facts.earliest, &number);
            put(&mut data, record.len() as u64);
            data.extend_from_slice(&record);
        }
        (table, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Head;
    use serde_json::json;
    use std::collections::{BTreeMap, BTreeSet};

    type Terms = BTreeMap<Vec<u8>, BTreeSet<u32>>;

    /// A line of somebody who did something, of which most may be as in the line before.
    fn line(head: &mut Head, (who, entity): (&str, Option<&str>), operation: &str, name: &str) -> Vec<u8> {
        let body = json!({
            "request": "r", "dialect": "vault", "operation": operation, "namespace": "",
            "mount": {"path": "s", "type": "kv", "accessor": "kv_1", "class": "secret"}, "path": name,
            "secret": {"name": name, "act": "read"},
            "principal": {"entity": entity, "accessor": who, "display_name": "ann"},
            "source": {"address": ""}, "outcome": {"result": "ok"},
            "decision": {"granted": true, "policy": "p", "rule": operation, "reason": "granted"},
        });
        let body = body.to_string().replacen('{', "{\"kind\":\"outcome\",", 1);
        let (mut text, time) = (Vec::new(), Timestamp::from_secs(7));
        head.push(&mut text, body.as_bytes(), time, &time.to_string()).unwrap();
        text.pop();
        text
    }

    fn expected(terms: &mut Terms, row: u32, (who, entity): (&str, Option<&str>), operation: &str, name: &str) {
        let (object, rule) = (format!("kv_1:{name}"), format!("p\n{operation}"));
        let fixed = [(Field::Address, ""), (Field::Dialect, "vault"), (Field::Kind, "outcome"), (Field::Result, "ok")];
        let own = [
            (Field::Object, &*object),
            (Field::Path, name),
            (Field::Operation, operation),
            (Field::Operation, "read"),
            (Field::Principal, who),
            (Field::Principal, "ann"),
            (Field::Rule, &rule),
        ];
        let entity = entity.map(|entity| (Field::Principal, entity));
        for (field, value) in fixed.into_iter().chain(own).chain(entity) {
            terms.entry(spell(&mut Vec::new(), field, value).to_vec()).or_default().insert(row);
        }
    }

    #[test]
    fn an_entry_is_under_each_of_its_terms_once_whatever_the_entries_before_it_had() {
        let people = [("a", None), ("ann", None), ("b", Some("E")), ("E", Some("E")), ("a", Some("F")), ("", Some(""))];
        let (mut builder, mut head, mut terms) = (Builder::new(0), Head::START, Terms::new());
        let choices = || (0..3).flat_map(|_| people).zip(["read", "get", "read", "read"].into_iter().cycle());
        for ((who, operation), name) in choices().zip(["x", "x", "y", "read", ""].into_iter().cycle()) {
            let text = line(&mut head, who, operation, name);
            let row = u32::try_from(builder.count()).unwrap();
            builder.feed(&text, Line::parse(&text).as_ref(), 0).unwrap();
            expected(&mut terms, row, who, operation, name);
        }
        assert_eq!(builder.count(), 18);
        let found: BTreeMap<_, _> = builder.terms().map(|(term, rows)| (term.to_vec(), rows.to_vec())).collect();
        let terms: BTreeMap<_, Vec<_>> =
            terms.into_iter().map(|(term, rows)| (term, rows.into_iter().collect())).collect();
        assert_eq!(found, terms);
        for (term, rows) in &terms {
            assert_eq!(builder.posting(term), Some(&**rows));
        }
        assert_eq!(builder.posting(b"\x01nothing"), None);
    }
}
