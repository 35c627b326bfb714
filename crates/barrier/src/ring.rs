//! The part of the keyring that changes: the term keys, and the key that wraps the keyring.
//!
//! Invariants: a ring is never changed in place; a change makes another one, which takes its place only when the store
//! holds it durably. The key of the current term is always in it. Does not know where it is stored: `change` does.

use crate::BarrierError;
use crate::blob;
use crate::codec::{Put, Take};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use strongroom_memory::LockedKey;
use strongroom_model::{Entropy, Timestamp};

/// Bytes of one term in the keyring.
const TERM_BYTES: usize = 44;

/// Term keys and the key above them.
#[derive(Clone)]
pub(crate) struct Ring {
    /// Derived from the root key, which itself is not kept.
    pub(crate) wrapping: Arc<LockedKey>,
    term: u32,
    /// Nothing in the store is sealed under a term before this one. What callers carry may be.
    swept: u32,
    terms: BTreeMap<u32, Term>,
}

#[derive(Clone)]
struct Term {
    key: Arc<LockedKey>,
    /// When it became the current one; zero when it was made by a version that did not note it.
    installed: Timestamp,
}

impl Ring {
    /// A ring with a fresh first term.
    pub(crate) fn first(wrapping: LockedKey, entropy: &dyn Entropy, now: Timestamp) -> Self {
        let wrapping = Arc::new(wrapping);
        Self { wrapping, term: 1, swept: 1, terms: BTreeMap::from([(1, Term::fresh(entropy, now))]) }
    }

    /// The ring with a fresh key on top, which is the current one.
    pub(crate) fn rotated(&self, entropy: &dyn Entropy, now: Timestamp) -> Result<Self, BarrierError> {
        let term = self.term.checked_add(1).ok_or(BarrierError::Library("count another term"))?;
        let mut rotated = Self { term, ..self.clone() };
        rotated.terms.insert(term, Term::fresh(entropy, now));
        Ok(rotated)
    }

    /// The ring with the note that everything in the store is sealed under this term or a later one.
    pub(crate) fn swept(&self, term: u32) -> Self {
        Self { swept: self.swept.max(term.min(self.term)), ..self.clone() }
    }

    /// The ring without terms that nothing in the store needs and that were replaced at least `keep` ago: so long may
    /// what callers carry be good. `None` when there are no such terms.
    pub(crate) fn without_old(&self, now: Timestamp, keep: Duration) -> Option<Self> {
        let replaced = |term: u32| self.terms.range(term + 1..).next().map(|(_, later)| later.installed);
        let due = |term: u32| term < self.swept && replaced(term).is_some_and(|replaced| replaced.plus(keep) <= now);
        let mut rest = self.clone();
        rest.terms.retain(|term, _| !due(*term));
        (rest.terms.len() < self.terms.len()).then_some(rest)
    }

    /// The ring under another root key.
    pub(crate) fn under(&self, wrapping: Arc<LockedKey>) -> Self {
        Self { wrapping, ..self.clone() }
    }

    /// The number of the current term.
    pub(crate) fn term(&self) -> u32 {
        self.term
    }

    /// Whether objects in the store may still be sealed under an older term.
    pub(crate) fn is_swept(&self) -> bool {
        self.swept == self.term
    }

    /// How many terms there are.
    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    /// When the current term began.
    pub(crate) fn installed(&self) -> Timestamp {
        self.terms.get(&self.term).map_or(Timestamp::default(), |term| term.installed)
    }

    /// The key of a term.
    pub(crate) fn key(&self, term: u32) -> Option<Arc<LockedKey>> {
        self.terms.get(&term).map(|term| Arc::clone(&term.key))
    }

    pub(crate) fn encoded_len(&self) -> usize {
        12 + self.terms.len() * TERM_BYTES
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        into.u32(self.term).u32(self.swept).u32(u32::try_from(self.terms.len()).unwrap_or(u32::MAX));
        for (number, term) in &self.terms {
            into.u32(*number).u64(term.installed.nanos()).raw(term.key.expose());
        }
    }

    /// Reads what `encode` wrote; `timed` is false for keyrings of the first format, which had one term and no times.
    pub(crate) fn decode(parts: &mut Take<'_>, timed: bool, wrapping: LockedKey) -> Option<Self> {
        let term = parts.u32()?;
        let swept = if timed { parts.u32()? } else { term };
        let count = parts.u32()?;
        let mut one = || {
            let number = parts.u32()?;
            let installed = if timed { Timestamp::from_nanos(parts.u64()?) } else { Timestamp::default() };
            Some((number, Term { key: Arc::new(LockedKey::from_slice(parts.raw(32)?)?), installed }))
        };
        let terms: BTreeMap<_, _> = (0..count).map(|_| one()).collect::<Option<_>>()?;
        terms.contains_key(&term).then(|| Self { wrapping: Arc::new(wrapping), term, swept, terms })
    }
}

impl Term {
    fn fresh(entropy: &dyn Entropy, now: Timestamp) -> Self {
        Self { key: Arc::new(LockedKey::make(|key| entropy.fill(key))), installed: now }
    }
}

/// The key that wraps the keyring, from the root key.
pub(crate) fn wrapping_key(root: &LockedKey) -> Result<LockedKey, BarrierError> {
    blob::derive_key(root, "keyring-wrap").map_err(|_| BarrierError::Library("derive a key"))
}
