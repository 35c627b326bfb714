//! Pages for keys: mapped once, locked, left out of core files, cut into slots of 32 bytes.
//!
//! Invariants: a slot belongs to one [`Slot`] at a time; it is wiped before it goes back. Pages are never given back
//! to the system: a server holds a few dozen keys, one per namespace at most a few thousand.

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mlock, mmap_anonymous};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroize;

/// Bytes of one key.
pub(crate) const SLOT: usize = 32;

/// Bytes mapped at once: room for 512 keys, and a small part of the usual 8 MiB of `RLIMIT_MEMLOCK`.
const CHUNK: usize = 16 * 1024;

static FREE: Mutex<Vec<Place>> = Mutex::new(Vec::new());

struct Place {
    at: NonNull<[u8; SLOT]>,
    locked: bool,
}

// SAFETY: the address is of memory mapped for the whole life of the process, and whoever has the `Place` is the only
// one who has this address.
unsafe impl Send for Place {}

/// 32 bytes of an arena page, owned. Zero when taken, wiped when dropped.
pub(crate) struct Slot {
    place: Option<Place>,
}

// SAFETY: through a shared reference the bytes can only be read (`bytes`); writing needs `&mut`.
unsafe impl Sync for Slot {}

impl Slot {
    /// A free slot. `None` when the system maps no more memory.
    pub(crate) fn take() -> Option<Self> {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.is_empty() {
            map_chunk(&mut free)?;
        }
        free.pop().map(|place| Self { place: Some(place) })
    }

    /// Whether the page is locked into memory.
    pub(crate) fn locked(&self) -> bool {
        self.place.as_ref().is_some_and(|place| place.locked)
    }

    pub(crate) fn bytes(&self) -> &[u8; SLOT] {
        const NOTHING: &[u8; SLOT] = &[0; SLOT];
        match &self.place {
            // SAFETY: the address is mapped, readable, initialised (anonymous pages are zero) and ours alone; the
            // borrow of `self` keeps `bytes_mut` and `drop` away.
            Some(place) => unsafe { place.at.as_ref() },
            None => NOTHING,
        }
    }

    pub(crate) fn bytes_mut(&mut self) -> Option<&mut [u8; SLOT]> {
        // SAFETY: as in `bytes`; the exclusive borrow of `self` makes this the only reference.
        self.place.as_mut().map(|place| unsafe { place.at.as_mut() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes_mut() {
            wipe(bytes);
        }
        if let Some(place) = self.place.take() {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).push(place);
        }
    }
}

/// Overwrites with zeros in a way the compiler may not leave out.
pub(crate) fn wipe(bytes: &mut [u8; SLOT]) {
    bytes.zeroize();
}

fn map_chunk(free: &mut Vec<Place>) -> Option<()> {
    // SAFETY: a new anonymous mapping at an address that the kernel chooses; no existing memory is touched.
    let start =
        unsafe { mmap_anonymous(std::ptr::null_mut(), CHUNK, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE) };
    let start = NonNull::new(start.ok()?)?;
    // SAFETY: the range is exactly the mapping made above. DONTDUMP only changes what a core file holds.
    let undumped = unsafe { madvise(start.as_ptr(), CHUNK, Advice::LinuxDontDump) };
    // SAFETY: the same range. Locking changes neither contents nor addresses.
    let locked = unsafe { mlock(start.as_ptr(), CHUNK) }.is_ok() && undumped.is_ok();
    for index in (0..CHUNK / SLOT).rev() {
        // SAFETY: `index * SLOT` stays inside the mapping of `CHUNK` bytes.
        let at = unsafe { start.cast::<[u8; SLOT]>().add(index) };
        free.push(Place { at, locked });
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wiping_leaves_only_zeros() {
        let mut bytes = [0xA5; SLOT];
        wipe(&mut bytes);
        assert_eq!(bytes, [0; SLOT]);
    }

    #[test]
    fn a_slot_used_before_comes_back_empty() {
        for _ in 0..2_000 {
            let mut slot = Slot::take().unwrap();
            assert_eq!(slot.bytes(), &[0; SLOT]);
            slot.bytes_mut().unwrap().fill(0xA5);
        }
    }

    #[test]
    fn slots_do_not_overlap_when_many_threads_take_them() {
        std::thread::scope(|scope| {
            for number in 1..=8_u8 {
                scope.spawn(move || {
                    for _ in 0..50 {
                        let mut mine: Vec<_> = (0..100).filter_map(|_| Slot::take()).collect();
                        mine.iter_mut().for_each(|slot| slot.bytes_mut().unwrap().fill(number));
                        assert!(mine.iter().all(|slot| slot.bytes() == &[number; SLOT]));
                    }
                });
            }
        });
    }
}
