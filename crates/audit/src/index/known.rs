//! Remembers the objects that stand letter for letter in many lines of the trail (a mount, somebody who asked, what was
//! decided, and what was called) with what was read of each, so that they are compared instead of read again.
//!
//! Invariants: what is recalled is what reading would give, since an object ends with its last bracket whatever stands
//! behind it, so that a line which goes on with the same letters goes on with the same object. Memory is bounded.

use super::line::Text;

/// Longer objects are not remembered.
const LONGEST: usize = 1_024;

/// Where a text lies in its object.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) begin: usize,
    pub(super) end: usize,
}

impl Place {
    pub(super) fn of(self, object: &str) -> Option<Text<'_>> {
        object.get(self.begin..self.end).map(Text::borrowed)
    }
}

/// Objects of one sort, each in the slot that its first `BEGIN` bytes choose: a newer one takes the place of an older.
#[derive(Default)]
pub(super) struct Known<P, const BEGIN: usize> {
    slots: Vec<Slot<P>>,
}

#[derive(Default)]
struct Slot<P> {
    object: String,
    read: Option<P>,
}

impl<P: Copy, const BEGIN: usize> Known<P, BEGIN> {
    /// With so many slots, a power of two; with none, it remembers nothing.
    pub(super) fn new(slots: usize) -> Self {
        let empty = || Slot { object: String::new(), read: None };
        Self { slots: std::iter::repeat_with(empty).take(slots).collect() }
    }

    /// How long the object is with which the text begins, and what was read of it.
    pub(super) fn find(&self, text: &str) -> Option<(usize, P)> {
        let slot = self.slots.get(self.slot(text)?)?;
        let read = slot.read?;
        text.as_bytes().starts_with(slot.object.as_bytes()).then_some((slot.object.len(), read))
    }

    /// Remembers the object with which the text begins.
    pub(super) fn keep(&mut self, text: &str, len: usize, read: P) {
        let Some(at) = self.slot(text) else { return };
        let (Some(slot), Some(object)) = (self.slots.get_mut(at), text.get(..len)) else { return };
        if len <= LONGEST {
            slot.object.clear();
            slot.object.push_str(object);
            slot.read = Some(read);
        }
    }

    /// The slot of an object with which the text begins. Those that share one only cost time.
    fn slot(&self, text: &str) -> Option<usize> {
        // The golden ratio: each bit of a word counts in the upper half (Knuth, volume 3, section 6.4).
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let (words, _) = text.as_bytes().first_chunk::<BEGIN>()?.as_chunks::<8>();
        let mix = |mixed: u64, word: &[u8; 8]| (mixed.rotate_left(32) ^ u64::from_le_bytes(*word)).wrapping_mul(SPREAD);
        let mask = self.slots.len().checked_sub(1)?;
        Some(usize::try_from(words.iter().fold(0, mix) >> 32).ok()? & mask)
    }
}
