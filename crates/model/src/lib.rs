//! The vocabulary of Strongroom: what every room means by a path, a principal, a policy, a secret, a version, a moment.
//!
//! Pure values: no I/O, no async, no wall clock, no randomness of its own. Every name that a stranger can send has
//! exactly one parser, here; past it, nobody trims, lower-cases or re-joins the string.

pub mod base62;
mod capability;
mod clock;
mod entropy;
pub mod hcl;
mod id;
mod kind;
mod name;
mod path;
pub mod policy;
mod principal;
mod secret;
mod ttl;
mod version;
mod wiped;

pub use capability::{Capabilities, Capability};
pub use clock::{Clock, Timestamp};
pub use entropy::{Drawn, Entropy, Names};
pub use id::{EntityId, MountId, NamespaceId, RequestId, SecretId};
pub use kind::{Kind, Kinded};
pub use name::{EntityName, NameError, PolicyName, RoleName, TokenRoleName};
pub use path::{FolderPath, MountPath, NamespacePath, PathError, RequestPath, SecretPath};
pub use principal::{Principal, TokenType};
pub use secret::{SecretBytes, SecretString};
pub use ttl::{Ttl, TtlError};
pub use version::{Stage, VersionNumber, VersionSelector};
pub use wiped::Wiped;
