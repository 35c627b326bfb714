//! The verbs of outside systems, once each: make a login, give it a password, prove it, end it.
//!
//! One folder for each system, behind one trait, [`Connector`]. Every call ends by a deadline, no more connections are
//! open than was allowed, and an error says whether the system may have acted ([`ConnectorError::may_have_acted`]).
//! What an operator's statement is filled with cannot leave the place it is put into.
//!
//! Knows nothing of leases, roles or mounts, and keeps nothing: who needs a login to die decides when, and remembers it.

mod address;
mod connector;
mod doubt;
mod error;
mod mysql;
mod network;
mod pool;
mod postgres;
mod rabbitmq;
mod redis;
mod scrub;
mod settings;
mod statement;
mod task;
mod whereabouts;

pub use connector::{Connector, NewLogin, System, open};
pub use error::{ConnectorError, Doubt};
pub use settings::{ClientCertificate, Limits, PasswordForm, Settings, TlsTrust};
pub use whereabouts::Whereabouts;
