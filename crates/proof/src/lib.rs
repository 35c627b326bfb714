//! Proofs that entries stand in a trail, and archives of it. Small enough to be read in one sitting by whoever has to trust
//! it: SHA-256, Ed25519, JSON, and tar and gzip for archives; it knows nothing else of Strongroom and needs no server.
//!
//! The lines of a segment are the leaves of a Merkle tree (RFC 6962, section 2.1), and the segments, with their first
//! line's number and their length, are the leaves of a second one. A signed statement names the root of the second one. A
//! proof shows that a line is in the trail, unchanged, at its place. It does not show that no other line was left out of
//! an answer; checking the whole trail does.

mod archive;
mod bundle;
mod tree;

pub use archive::{MANIFEST, Manifest, Stretch, check_archive, is_archive};
pub use bundle::{Bundle, Checked, ProofError, Proven, SegmentPath, Statement, TrailPath, check};
pub use tree::{Frontier, Hash, climb, leaf, path, root, segment_leaf};
