//! The tamper-evident trail: every request becomes an entry in a local, hash-chained, append-only file with signed
//! checkpoints; devices follow it. Knows nothing of requests beyond what an [`Entry`] says.
//!
//! Invariants: an acknowledged entry survives the death of the process; entries are numbered without gaps; a change of
//! any written byte is found by [`verify`]; a slow or broken device never holds up the trail.

mod archive;
mod ask;
mod chain;
mod consumer;
mod desk;
mod device;
mod entry;
mod error;
mod folder;
mod index;
mod keeper;
mod medium;
mod proof;
mod query;
mod reading;
mod redact;
mod resume;
mod shared;
mod ship;
mod spelt;
mod trail;
mod verify;
mod writer;

pub use archive::{Absence, Archive, ArchiveOrder, Archiving, Hold, Kept};
pub use chain::Checkpoint;
pub use consumer::{Habit, Pattern, Use};
pub use device::{DeviceSpec, DeviceStatus};
pub use entry::{
    Accepted, AuthNote, DecisionNote, Entry, EntryKind, Missing, MountNote, Outcome, SecretNote, SourceNote, Word,
    WrapNote,
};
pub use error::TrailError;
pub use index::{
    Index, IndexFinding, IndexReport, Line, LineReader, check_index, object_of, path_object, rebuild_index,
};
pub use proof::Inclusion;
pub use query::{AddressTest, Behind, Page, PathTest, Query, Row, Thing};
pub use redact::{Hidden, Redacted, Redactor, redact_text, spell_hash};
pub use ship::{CopyFile, Form, Formatter, Lines, Numbered, Parcel, Reader};
pub use spelt::Spelt;
pub use trail::{Options, Place, Receipt, Seal, SyncMode, Trail, TrailHealth};
pub use verify::{Finding, Report, VerifyOptions, verify};
