//! What must hold when things go wrong under the store: killed servers, full disks, failing syncs, a second server.
//! Each test runs the store in a child process (this same program, see `child`) and breaks it from outside.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may fail loudly"
)]

mod child;
mod fault;
mod full;
mod kill;
mod ledger;
mod lock;
mod process;
