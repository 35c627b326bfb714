//! The trail as operators have it: how long it is kept, and what it says on its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests"
)]

mod retention;
mod week;
