//! The doors: HTTP, and the foreign APIs spoken over it. The only room that knows HTTP, status codes and wire JSON.
//!
//! A dialect parses strings into the types of `model`, asks the gate, calls the core, and dresses the result; it
//! decides nothing. Every request runs to its end even when its client goes away.

mod aws;
mod body;
mod forwarded;
pub mod harness;
mod host;
mod inner_door;
mod listener;
mod log;
mod native;
mod orphan;
mod patient;
mod proxied;
mod server;
mod socket;
mod stream;
mod turn;
mod vault;

pub use aws::{AwsSettings, PlainCredentials, walk_operations};
pub use forwarded::Forwarding;
pub use listener::{Bind, Limits, ListenError, Listener, Tls, TlsFiles};
pub use log::{LOG_LEVELS, LogControl};
pub use native::{native_needs_sudo, walk_native_routes};
pub use proxied::ProxyProtocol;
pub use server::Server;
pub use socket::UnixRights;
pub use vault::{Identity as ServerIdentity, Measure, Reading, needs_sudo, walk_fields, walk_routes};
