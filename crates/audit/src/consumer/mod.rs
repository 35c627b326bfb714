//! Who uses what: for each object and each principal, when and how often, from where, and how. Kept per segment and
//! merged over segments in their order, so that nothing grows with the number of reads.

mod gap;
mod habit;

pub use habit::{Habit, Pattern};

use crate::index::codec::{Taker, put, wide_mark};
use crate::index::line::Line;
use crate::index::term::Field;
use gap::Gaps;

/// So many addresses are kept of one consumer.
const MOST_ADDRESSES: usize = 16;
/// So many sessions are kept of one consumer in one segment ...
const MOST_SESSIONS: usize = 32;
/// ... and so many in all.
const MOST_MERGED: usize = 4096;

/// One principal's use of one object. Times are nanoseconds since 1970.
#[derive(Clone, Debug, Default)]
pub struct Use {
    /// The object's one name.
    pub object: String,
    /// The entity, or the token's accessor where there is no entity.
    pub consumer: String,
    /// Whether `consumer` is an entity.
    pub is_entity: bool,
    /// What people see.
    pub name: String,
    /// The path under which it was last asked for.
    pub path: String,
    /// How often a value was given.
    pub reads: u64,
    /// How often it was refused, or there was nothing to give.
    pub refused: u64,
    /// First read.
    pub first: u64,
    /// Last read.
    pub last: u64,
    /// Last refusal.
    pub last_refused: u64,
    /// The highest version that was given.
    pub newest: Option<u64>,
    /// When that version was first given.
    pub newest_at: u64,
    /// The version given last.
    pub last_version: Option<u64>,
    /// From where, as many as are kept.
    pub addresses: Vec<String>,
    /// Whether there were more addresses.
    pub more_addresses: bool,
    /// Through which foreign APIs.
    pub dialects: Vec<String>,
    sessions: Vec<Session>,
    unkept_sessions: u64,
    gaps: Gaps,
}

/// The reads of one token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Session {
    mark: u64,
    first: u64,
    last: u64,
    reads: u64,
}

impl Use {
    /// Of an object by a principal; nothing is counted yet.
    pub(crate) fn of(object: String, consumer: &str) -> Self {
        Self { object, consumer: consumer.to_owned(), ..Self::default() }
    }

    /// Counts one entry, which asks for a value.
    pub(crate) fn count(&mut self, line: &Line<'_>, time: u64) {
        if self.path != line.path {
            self.path = line.path.to_string();
        }
        if !self.addresses.iter().any(|known| *known == line.source.address) {
            keep_address(&mut self.addresses, &mut self.more_addresses, &line.source.address);
        }
        if !self.dialects.iter().any(|known| *known == line.dialect) {
            self.dialects.push(line.dialect.to_string());
        }
        if let Some(who) = &line.principal {
            self.is_entity = who.entity.is_some();
            if self.name != who.display_name {
                self.name = who.display_name.to_string();
            }
        }
        if !line.is_ok() {
            self.refused += 1;
            self.last_refused = time;
            return;
        }
        self.count_read(line, time);
    }

    fn count_read(&mut self, line: &Line<'_>, time: u64) {
        if self.reads == 0 {
            self.first = time;
        }
        self.reads += 1;
        self.last = time;
        self.last_version = line.version;
        if line.version > self.newest {
            (self.newest, self.newest_at) = (line.version, time);
        }
        let mark = line.principal.as_ref().map_or(0, |who| wide_mark(&who.accessor));
        self.join_session(Session { mark, first: time, last: time, reads: 1 }, MOST_SESSIONS);
    }

    /// Adds what a later segment knows.
    pub(crate) fn merge(&mut self, later: Use) {
        if self.reads == 0 {
            self.first = later.first;
        }
        if later.reads > 0 {
            (self.last, self.last_version) = (later.last, later.last_version);
        }
        if later.newest > self.newest {
            (self.newest, self.newest_at) = (later.newest, later.newest_at);
        }
        self.reads += later.reads;
        self.refused += later.refused;
        self.last_refused = self.last_refused.max(later.last_refused);
        self.unkept_sessions += later.unkept_sessions;
        self.more_addresses |= later.more_addresses;
        (self.name, self.path, self.is_entity) = (later.name, later.path, later.is_entity);
        for address in later.addresses.iter().filter(|address| !self.addresses.contains(address)).collect::<Vec<_>>() {
            keep_address(&mut self.addresses, &mut self.more_addresses, address);
        }
        for dialect in later.dialects {
            if !self.dialects.contains(&dialect) {
                self.dialects.push(dialect);
            }
        }
        self.gaps.merge(&later.gaps);
        for session in later.sessions {
            self.join_session(session, MOST_MERGED);
        }
    }

    fn join_session(&mut self, later: Session, most: usize) {
        let room = self.sessions.len() < most;
        match self.sessions.iter_mut().rev().find(|session| session.mark == later.mark) {
            Some(session) => {
                self.gaps.add(later.first.saturating_sub(session.last));
                session.last = later.last;
                session.reads += later.reads;
            }
            None if room => self.sessions.push(later),
            None => self.unkept_sessions += 1,
        }
    }

    /// How it reads, judged from its reads.
    pub fn habit(&self) -> Habit {
        let starts: Vec<u64> = self.sessions.iter().map(|session| session.first).collect();
        let brief = self.sessions.iter().filter(|session| session.is_brief()).count() as u64;
        habit::judge(self.reads, &starts, brief, self.unkept_sessions, &self.gaps)
    }

    /// Writes it; names as numbers in the dictionary of the segment, times from `base` on.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>, base: u64, number: &dyn Fn(Field, &str) -> u64) {
        put(bytes, number(Field::Object, &self.object));
        put(bytes, number(Field::Principal, &self.consumer));
        put(bytes, number(Field::Principal, &self.name));
        put(bytes, number(Field::Path, &self.path));
        let version = |version: Option<u64>| version.map_or(0, |version| version.saturating_add(1));
        for number in [
            u64::from(self.is_entity) | u64::from(self.more_addresses) << 1,
            self.reads,
            self.refused,
            if self.reads > 0 { self.first.wrapping_sub(base) } else { 0 },
            self.last.wrapping_sub(self.first),
            if self.refused > 0 { self.last_refused.wrapping_sub(base) } else { 0 },
            version(self.newest),
            if self.newest.is_some() { self.newest_at.wrapping_sub(self.first) } else { 0 },
            version(self.last_version),
            self.unkept_sessions,
        ] {
            put(bytes, number);
        }
        for (field, list) in [(Field::Address, &self.addresses), (Field::Dialect, &self.dialects)] {
            put(bytes, list.len() as u64);
            list.iter().for_each(|text| put(bytes, number(field, text)));
        }
        put(bytes, self.sessions.len() as u64);
        for session in &self.sessions {
            bytes.extend_from_slice(&session.mark.to_le_bytes());
            for number in
                [session.first.wrapping_sub(self.first), session.last.wrapping_sub(session.first), session.reads]
            {
                put(bytes, number);
            }
        }
        self.gaps.encode(bytes);
    }

    /// Reads it; `name` gives the text behind a number of the dictionary.
    pub(crate) fn decode(
        taker: &mut Taker<'_>,
        base: u64,
        name: &mut dyn FnMut(u64) -> Option<String>,
    ) -> Option<Self> {
        let mut read = Self { object: name(taker.number()?)?, consumer: name(taker.number()?)?, ..Self::default() };
        (read.name, read.path) = (name(taker.number()?)?, name(taker.number()?)?);
        let flags = taker.number()?;
        (read.is_entity, read.more_addresses) = (flags & 1 == 1, flags & 2 == 2);
        (read.reads, read.refused) = (taker.number()?, taker.number()?);
        let (first, last, refused) = (taker.number()?, taker.number()?, taker.number()?);
        if read.reads > 0 {
            read.first = base.wrapping_add(first);
            read.last = read.first.wrapping_add(last);
        }
        if read.refused > 0 {
            read.last_refused = base.wrapping_add(refused);
        }
        read.newest = taker.number()?.checked_sub(1);
        let newest_at = taker.number()?;
        if read.newest.is_some() {
            read.newest_at = read.first.wrapping_add(newest_at);
        }
        read.last_version = taker.number()?.checked_sub(1);
        read.unkept_sessions = taker.number()?;
        for list in [&mut read.addresses, &mut read.dialects] {
            for _ in 0..taker.number()? {
                list.push(name(taker.number()?)?);
            }
        }
        for _ in 0..taker.number()? {
            let mark = u64::from_le_bytes(taker.bytes(8)?.try_into().ok()?);
            let first = read.first.wrapping_add(taker.number()?);
            let last = first.wrapping_add(taker.number()?);
            read.sessions.push(Session { mark, first, last, reads: taker.number()? });
        }
        read.gaps = Gaps::decode(taker)?;
        Some(read)
    }
}

impl Session {
    /// Whether all its reads are within a minute: as of a program that reads when it starts.
    fn is_brief(&self) -> bool {
        self.last.saturating_sub(self.first) <= 60_000_000_000 && self.reads <= 10
    }
}

fn keep_address(addresses: &mut Vec<String>, more: &mut bool, address: &str) {
    if addresses.len() < MOST_ADDRESSES {
        addresses.push(address.to_owned());
    } else {
        *more = true;
    }
}
