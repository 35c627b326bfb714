//! For tests only: a manual clock, a strongroom in memory, and a real server on a free port.
//!
//! Each test has its own world: its own store, trail, clock and port. Nobody sleeps; the clock is turned.

#[cfg(feature = "world")]
mod aws;
#[cfg(feature = "world")]
mod clock;
pub mod outside;
#[cfg(feature = "world")]
mod server;
#[cfg(feature = "world")]
mod world;

#[cfg(feature = "world")]
pub use aws::AwsClient;
#[cfg(feature = "world")]
pub use clock::ManualClock;
#[cfg(feature = "world")]
pub use server::{Answer, Caller, TestServer};
#[cfg(feature = "world")]
pub use world::World;
