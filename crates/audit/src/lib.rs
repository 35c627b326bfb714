//! The tamper-evident trail: every request becomes an entry in a local, hash-chained, append-only file with signed
//! checkpoints; devices follow it. Knows nothing of requests beyond what an [`Entry`] says.
//!
//! Invariants: an acknowledged entry survives the death of the process; entries are numbered without gaps; a change of
//! any written byte is found by [`verify`]; a slow or broken device never holds up the trail.

mod device;
mod entry;
mod error;
mod trail;

pub use device::{DeviceSpec, DeviceStatus};
pub use entry::{DecisionNote, Entry, EntryKind, MountNote, Outcome, SourceNote};
pub use error::TrailError;
pub use trail::{Place, Receipt, Seal, Trail, TrailHealth};
