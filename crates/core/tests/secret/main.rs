//! Versioned secrets over a real barrier: what one caller sees, what many at once see, and what is left in the store.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod crowd;
mod meeting;
mod model;
mod staged;
mod store;
mod story;
mod wipe;
mod world;
