//! AppRole over real parts: a barrier, a trail, a gate and a store in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot be set up has failed"
)]

mod house;
mod life;
mod lockout;
mod login;
mod role;
mod secret_id;
