//! Leases over an outside system that can be made to fail, hang and lose its replies.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

mod crash;
mod end;
mod life;
mod lost;
mod many;
mod outside;
mod revocation;
mod world;
