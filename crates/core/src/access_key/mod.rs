//! Access keys: pairs of an id and a secret with which a program signs its requests instead of sending a token, as the
//! clients of AWS do. A key stands for an entity, for policies, or for both; temporary ones are made of a lasting one.
//!
//! Invariants: that a request was signed with a key is proved here and nowhere else, and the proof, a [`VerifiedKey`],
//! is what the gate takes; a key is as dead as its entity, its own end, its role, or the key that it was made of. The secret must
//! be known to check a signature, so it is kept under the barrier as a whole, and shown once, when it is made.
//! Knows nothing of requests: who speaks HTTP says what was signed.

mod canary;
mod cut;
mod derive;
mod lend;
mod manage;
mod narrow;
mod record;
mod role;
mod session;
mod store;
mod verify;
mod web;

pub use manage::{KeyChange, NewAccessKey};
pub use narrow::Wish;
pub use record::{AccessKey, AccessKeyId, MadeKey, Session};
pub use role::{AssumableRole, RoleChange};
pub use session::{Narrowing, NewSession};
pub use store::AccessKeys;
pub use verify::{Claim, KeyRefusal, Proof, VerifiedKey};
pub use web::{WebGuest, WebRefusal, WebSession, WebTrust};
