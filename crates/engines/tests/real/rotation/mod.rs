//! Rotations of secrets on real servers: every strategy goes round, and goes on after whatever was lost or killed.

#![allow(clippy::indexing_slicing, reason = "a test may fail so")]

mod alarm;
mod case;
mod crash;
mod emergency;
mod end;
mod mending;
mod plan;
mod round;
mod urgent;
