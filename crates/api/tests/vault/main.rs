//! The Vault dialect over real sockets: one file for each theme.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod doors;
mod identity;
mod mounts;
mod policies;
mod routes;
mod seal;
mod spelling;
mod tokens;
mod trail;
