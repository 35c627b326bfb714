//! Versioned secrets: the one model behind every dialect. A secret has a name in its mount, numbered versions, stages
//! that point at versions, and metadata; a version holds an object, text or bytes.

mod store;

pub use store::Secrets;
