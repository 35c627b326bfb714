//! Tokens: what bearers of a string may do, for how long, and how that ends.
//!
//! Of a service token only a keyed hash is stored; the string itself is shown once and kept nowhere. Expiry is found in
//! a time-ordered index on disk, so nothing is loaded at start. Revoking removes the token first and then, by a job that
//! survives a crash, everything that descends from it. A batch token is stored nowhere: see `batch`.

mod batch;
mod bearer;
mod create;
mod departed;
mod entry;
mod glob;
mod holder;
mod index;
mod kind;
pub(crate) mod lifetime;
mod prefix;
mod renew;
mod request;
mod revoke;
mod rights;
mod role;
mod root;
mod store;
mod text;
mod tidy;
mod wrapping;

pub use bearer::Bearer;
pub(crate) use create::NewToken;
pub(crate) use departed::note_departed;
pub use entry::{Token, TokenKey};
pub use glob::PolicyGlob;
pub use kind::TypeRule;
pub use request::{Means, TokenRequest};
pub use role::{RoleChange, TokenRole};
pub use store::Tokens;
pub(crate) use store::token_at;
pub use tidy::Tidied;
