//! Auth methods, one folder each: they prove who somebody is, and the core makes the token.
//!
//! A method sees the records of its own mount, the clock and randomness, and nothing else of the house. What several
//! methods share (the `token_*` fields of a role, lists of networks) lives beside the folders.

pub mod approle;
mod failures;
mod network;
mod sent;
mod token_terms;
mod turns;
pub mod userpass;

use strongroom_core::Plugins;

/// Every auth method of this crate under the name by which Vault's clients enable it, for the binary to hand to the core.
pub fn plugins() -> Plugins {
    Plugins::new().with_auth("approle", approle::start).with_auth("userpass", userpass::start)
}
