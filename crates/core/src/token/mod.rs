//! Tokens: what bearers of a string may do, for how long, and how that ends.
//!
//! Only a keyed hash of a token is stored; the string itself is shown once and kept nowhere. Expiry is found in a
//! time-ordered index on disk, so nothing is loaded at start. Revoking removes the token first and then, by a job that
//! survives a crash, everything that descends from it.

mod create;
mod entry;
mod renew;
mod revoke;
mod store;
mod text;
mod wrapping;

pub use create::NewToken;
pub use entry::{Token, TokenKey};
pub(crate) use store::token_at;
pub use store::{Bearer, Tokens};
