//! What is mounted where: secrets engines and auth methods, their settings, and the way from a path to its mount.
//!
//! The table lives in memory, because every request needs it, and each mount is a record of its own, because a table in
//! one record would have a size limit. A removed mount stops serving at once; its data is wiped afterwards, by a job
//! that survives a crash.

mod config;
mod lockout;
mod neighbour;
mod roster;
mod table;

pub use config::{MountConfig, MountSpec};
pub use lockout::{LockoutConfig, LockoutLimits};
pub use neighbour::{Holding, Neighbours, OutsideLogin};
pub(crate) use table::mount_at;
pub use table::{Mount, MountClass, MountTable, Mounts};
