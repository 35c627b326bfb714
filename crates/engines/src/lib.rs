//! Secrets engines, one folder each: they make credentials in outside systems and unmake them; the core remembers each
//! as a lease and says when.
//!
//! An engine sees the records of its own mount, the clock, randomness and password policies, and reaches outside only
//! through `connectors`. It decides nothing about who may: it is called with a grant.

pub mod database;
mod failure;
pub mod rabbitmq;
mod rehearsal;
pub mod rotation;
mod sent;
mod template;
mod unsure;

use strongroom_core::Plugins;

/// Every engine of this crate under the name by which Vault's clients enable it, for the binary to hand to the core.
pub fn plugins() -> Plugins {
    Plugins::new()
        .with_engine("database", database::start)
        .with_engine("rabbitmq", rabbitmq::start)
        .with_systems(database::systems())
        .with_methods(rotation::methods(rotation::Hosts::default()))
}
