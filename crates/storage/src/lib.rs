//! Keeps opaque bytes under ordered keys, durably: the trait [`Store`] and its engines. Knows nothing of what the
//! bytes mean; everything above hands it ciphertext only.
//!
//! Invariants: a commit is atomic and durable when it is acknowledged; revisions strictly increase, one per commit;
//! a commit whose outcome is not known says so instead of guessing; after a failed write nothing more is written.

mod error;
mod front;
mod limits;
mod memory;
mod sqlite;
mod store;
mod txn;
mod whole;

pub use error::StoreError;
pub use front::{Front, Fronted};
pub use limits::Limits;
pub use memory::Memory;
pub use sqlite::Sqlite;
pub use store::{Change, Changes, Entry, Epoch, LeaderLease, Store};
pub use txn::{Committed, Compare, Expectation, IdemToken, Op, Revision, Txn};
pub use whole::{Row, Rows, View};
