//! The database engine through the API, against real servers.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail so")]

mod house;
mod login;
