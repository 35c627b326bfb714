//! What just changed, for those who wait for it: a secret has a new version or lost one, a lease was handed out or cut, a
//! token was revoked, a mount changed, an incident moved on.
//!
//! Invariants: an event is told after its change is durable; no event holds a value; whoever waits is asked for their
//! rights again before each portion, so a revoked token hears nothing more; and who is too slow, or was away for too
//! long, is told to look again instead of missing something silently. Events live in memory: the trail is the record.

mod feed;
mod hub;
mod note;
mod secret;
mod stream;

pub(crate) use feed::shows;
pub use feed::{Batch, Events, Wanted};
pub(crate) use hub::Hub;
pub(crate) use note::Note;
pub use note::{Event, EventKind};
