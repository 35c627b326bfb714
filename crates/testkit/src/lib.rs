//! For tests only: a manual clock, a strongroom in memory, and a real server on a free port.
//!
//! Each test has its own world: its own store, trail, clock and port. Nobody sleeps; the clock is turned.

mod clock;
mod server;
mod world;

pub use clock::ManualClock;
pub use server::{Answer, Caller, TestServer};
pub use world::World;
