//! Versioned secrets: the one model behind every dialect. A secret has a name in its mount, numbered versions, stages
//! that point at versions, and metadata; a version holds an object, text or bytes.
//!
//! Invariants: a version number is never given twice; the head of a secret and the records of its versions change in
//! one transaction; a folder is there exactly as long as something is in it; a destroyed version leaves no sealed
//! bytes behind. Knows nothing of how a dialect spells a request, and decides nothing about who may: it takes a `Grant`.

mod change;
mod config;
mod create;
mod disable;
mod doom;
mod expire;
mod guard;
mod head;
mod hold;
mod inline;
mod merge;
mod metadata;
mod outline;
mod parameter;
mod parameter_reminder;
mod particular;
mod place;
mod read;
mod remove;
mod renewal;
mod staged;
mod store;
mod survey;
mod text;
mod turn;
mod value;
mod walk;
mod wipe;
mod write;

pub use config::{KvConfig, KvConfigChange, Lifetime};
pub(crate) use disable::Disabled;
pub use guard::{Deed, Guard};
pub(crate) use guard::{Holds, condition, fits, texts};
pub use head::{SecretMetadata, SecretSettings, VersionInfo, VersionMetadata};
pub use metadata::{CustomChange, MetadataChange, MetadataWritten};
pub(crate) use outline::count;
pub use parameter::{ParameterChange, ParameterKind, ParameterNotes, Sighted, VersionNotes};
pub use parameter_reminder::{Reminder, ReminderKind};
pub use particular::{Deletion, Particulars, RotationSetting, Sighting, VersionId, suffix};
pub use read::{SecretVersion, Seen, Words};
pub(crate) use renewal::Standing;
pub use staged::{NewVersion, ParticularsChange, StageMove, Staged};
pub(crate) use store::Found;
pub use store::Secrets;
pub use survey::{Labelled, Picked};
pub use text::VersionText;
pub use value::SecretValue;
pub use walk::{Listing, Walk};
pub use write::{WriteAs, WriteOptions};
