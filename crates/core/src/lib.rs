//! The house itself: the gate, tokens, identity, policies, mounts and versioned secrets, and the traits by which auth
//! methods and secrets engines plug in.
//!
//! Invariants: [`Open`] exists only while unsealed; every act on behalf of a caller takes a [`Grant`], and only the
//! gate makes one; no answer leaves before its trail entry is written; nothing is loaded at start in proportion to the
//! data. Knows nothing of how any API spells things; HTTP it speaks only towards the outside, in [`webhook`].

pub mod access_key;
pub mod alert;
mod audit;
mod boxed;
pub mod census;
pub mod ceremony;
mod cidr;
mod configured;
mod cubbyhole;
pub mod drill;
pub mod emergency;
mod endpoint;
mod error;
pub mod event;
mod fields;
mod gate;
pub mod identity;
pub mod incident;
pub mod inquiry;
pub mod lease;
mod login;
mod memo;
pub mod metrics;
pub mod mount;
mod open;
pub mod password_policy;
mod plugin;
mod policy;
pub mod quota;
mod records;
mod reply;
pub mod retention;
pub mod rotation;
pub mod secret;
pub mod setting;
pub mod shipping;
pub mod snapshot;
mod strongroom;
mod task;
pub mod token;
pub mod tool;
mod visit;
pub mod webhook;
pub mod wrapping;

pub use strongroom_audit::TrailHealth;
pub use strongroom_barrier::{Health, Init, KeyStatus, SealKind, SealStatus, Share, SlotSpec};

pub use audit::{AUDIT_TRAIL, AuditDevice, AuditDevices};
pub use boxed::boxed;
pub use cidr::Cidr;
pub use configured::Configured;
pub use cubbyhole::Cubbyholes;
pub use endpoint::{Access, Captures, Endpoint, Operation, route};
pub use error::{CoreError, Veto};
pub use fields::Fields;
pub use gate::{Ask, Gate, Grant, Object, SecretAct};
pub use login::{Logins, ShutOut};
pub use open::{Open, Settings};
pub use plugin::{
    AuthMethod, Call, Kinds, Lockout, MountContext, MountRecords, Outcome, Plugins, SecretsEngine, Served,
};
pub use policy::PolicyStore;
pub use records::{Records, Stored};
pub use reply::{Auth, Login, RawBody, Reply, Terms};
pub use strongroom::{Initialised, SealOrder, Setup, State, Strongroom};
pub use visit::{Source, Visit};
