//! Versioned secrets over a real barrier: what one caller sees, what many at once see, and what is left in the store.

mod crowd;
mod model;
mod store;
mod story;
mod wipe;
mod world;
