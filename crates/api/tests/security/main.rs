//! The weaknesses that were published for systems like this one, each shown to be absent: generators over the route
//! tables, so that a route made tomorrow is covered or fails the test. `docs/security-tests.md` says which is which.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail by panicking"
)]

mod catalogue;
mod page;
mod probe;
mod tenants;
