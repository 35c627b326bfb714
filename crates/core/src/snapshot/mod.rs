//! Snapshots: the whole store as it lies, sealed, in one file that any storage engine can be restored from.
//!
//! The file is a tar archive under gzip, as Vault's is, so that Vault's own command line takes it for complete:
//! `meta.json` (what it is, of which strongroom, of which generation), the rows in `state/00000000.bin` and so on,
//! `summary.json` (how many there were), `SHA256SUMS` over all of these in the form of `sha256sum`, and last
//! `SHA256SUMS.sealed`, the signature over the sums by the server's key. It holds ciphertext and what the store holds in
//! clear anyway; who has no unseal keys learns sizes and numbers from it.
//!
//! Invariants: all rows are of one moment; a file that is cut off, changed, out of order or of something else is refused
//! before anything is replaced; reading and writing take memory for one portion, whatever the size. A snapshot
//! restores what was: also tokens that were revoked since.

mod archive;
mod read;
mod restore;
mod save;
mod write;

pub use read::{Report, inspect};
pub use restore::{RestoreOrder, Spool};
pub use save::{Part, Streamed};

use serde::{Deserialize, Serialize};
use strongroom_barrier::{SealKind, SealStatus};
use strongroom_model::Timestamp;

/// The media type under which Vault sends snapshots.
pub const MEDIA_TYPE: &str = "application/gzip";

const FORMAT: &str = "strongroom-snapshot";
const VERSION: u32 = 1;

const META: &str = "meta.json";
const SUMMARY: &str = "summary.json";
const SUMS: &str = "SHA256SUMS";
const SEALED: &str = "SHA256SUMS.sealed";

/// About how many bytes of rows stand in one file of the archive.
const PORTION: usize = 1024 * 1024;
/// A portion with the longest row on top of it.
const LONGEST_PORTION: u64 = 2 * 1024 * 1024;
/// The longest of the other files, except the sums, which grow by a line for each portion.
const LONGEST_NOTE: u64 = 64 * 1024;

/// Says before a signature what it is for, so that it can be taken for nothing else.
const SIGNED_AS: &[u8] = b"strongroom-snapshot-v1\0";

/// What a snapshot says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    format: String,
    /// The version of the form.
    pub version: u32,
    /// When it was taken.
    pub created: Timestamp,
    /// The number of the last commit in it.
    pub generation: u64,
    /// The strongroom that it is of.
    pub cluster_id: String,
    /// How that is unsealed.
    pub seal: SealNote,
    /// The key that signs it, in hexadecimal.
    pub public_key: String,
}

/// How a strongroom is unsealed, as a snapshot says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealNote {
    /// The kind of seal.
    #[serde(rename = "type")]
    pub kind: SealKind,
    /// Unseal keys that exist.
    pub shares: u8,
    /// How many of them are needed.
    pub threshold: u8,
}

impl Meta {
    fn new(seal: &SealStatus, generation: u64, created: Timestamp, public_key: [u8; 32]) -> Self {
        let note = SealNote { kind: seal.kind, shares: seal.shares, threshold: seal.threshold };
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            created,
            generation,
            cluster_id: seal.cluster_id.clone(),
            seal: note,
            public_key: hex::encode(public_key),
        }
    }
}

/// How much there was, told when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Summary {
    records: u64,
    bytes: u64,
    portions: u64,
}

/// The last file.
#[derive(Serialize, Deserialize)]
struct Signature {
    algorithm: String,
    public_key: String,
    signature: String,
}

fn portion_name(number: u64) -> String {
    format!("state/{number:08}.bin")
}

/// A line as `sha256sum` writes and checks it.
fn sum_line(name: &str, content: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, content);
    format!("{}  {name}\n", hex::encode(digest.as_ref()))
}

fn signed_text(sums: &str) -> Vec<u8> {
    [SIGNED_AS, sums.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
