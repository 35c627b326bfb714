//! Locked, wiped memory for keys, and the hardening of the whole process. The one crate with unsafe code: the
//! memory-locking system calls take raw addresses.
//!
//! Invariants: a key's bytes lie in pages that are kept out of swap and out of core files where the system allows it,
//! in one place only, and are overwritten before that place is used again. Does not protect against who can read
//! the memory of the running process (root on the same host).

#[expect(unsafe_code, reason = "mmap, mlock and madvise take raw addresses, and the arena hands out parts of a page")]
mod arena;
mod harden;
mod key;

pub use harden::{HardenError, harden_process};
pub use key::LockedKey;
