//! The file that carries a proof, and its check.

use crate::tree::{Hash, climb, leaf, segment_leaf};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The only format there is.
const FORMAT: &str = "strongroom-proof-1";

/// Why a proof does not hold.
#[derive(Debug, Error)]
pub enum ProofError {
    /// The file is no proof.
    #[error("this is no proof of format {FORMAT}: {0}; ask for the answer again with -proof")]
    Form(String),
    /// The statement's signature is wrong.
    #[error("the signature is wrong: what it speaks of was changed, or it was not made by the key it names")]
    Signature,
    /// The statement is signed by another key than those that are trusted.
    #[error("it is signed by key {0}, which is not one of those given")]
    Key(String),
    /// A line does not lead to the signed root.
    #[error("entry {number} of the answer does not lead to the signed root: {why}")]
    Entry {
        /// Which one, from 1.
        number: usize,
        /// What does not fit.
        why: &'static str,
    },
    /// The file is no archive of segments, or not a whole one.
    #[error("this is no whole archive of a trail: {0}; look for another copy of it")]
    Archive(String),
    /// A segment in an archive is not what the manifest speaks of.
    #[error("the segment that begins with line {first} does not hold: {why}")]
    Segment {
        /// The number of its first line.
        first: u64,
        /// What does not fit.
        why: String,
    },
    /// The file could not be read to its end.
    #[error("the archive cannot be read to its end ({0}); it was damaged or cut off")]
    Unreadable(String),
}

/// What the server signs: so many lines, ending in this one, have this root.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The number behind the last line it speaks of.
    pub size: u64,
    /// The root over all segments.
    pub root: String,
    /// SHA-256 of the last line, as in a checkpoint of the trail.
    pub head: String,
    /// The store's generation.
    pub generation: u64,
    /// When it was signed, in RFC 3339.
    pub time: String,
    /// The public key (Ed25519) that signed.
    pub key: String,
    /// The signature over the statement's text.
    #[serde(default)]
    pub signature: String,
}

impl Statement {
    /// The text that is signed. Its first line keeps the signature from meaning anything elsewhere; each field has a line
    /// of its own.
    pub fn text(&self) -> String {
        let Self { size, root, head, generation, time, key, .. } = self;
        format!(
            "strongroom audit inclusion v1\nsize {size}\nroot {root}\nhead {head}\ntime {time}\ngeneration {generation}\nkey {key}\n"
        )
    }
}

/// Where a line is in its segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentPath {
    /// The number of the segment's first line.
    pub first: u64,
    /// How many lines the segment had.
    pub lines: u64,
    /// From the line's leaf to the segment's root.
    pub path: Vec<String>,
}

/// Where a segment is in the trail.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrailPath {
    /// The how-manieth segment, from 0.
    pub index: u64,
    /// How many segments there were.
    pub segments: u64,
    /// From the segment's leaf to the trail's root.
    pub path: Vec<String>,
}

/// One line with its proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// The line, byte for byte.
    pub line: String,
    /// Its place in the segment.
    pub segment: SegmentPath,
    /// The segment's place in the trail.
    pub trail: TrailPath,
}

/// A whole proof.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// The format.
    pub format: String,
    /// What was signed.
    pub statement: Statement,
    /// The lines.
    pub entries: Vec<Proven>,
}

impl Bundle {
    /// A proof of these lines; the statement is signed by whoever holds the key.
    pub fn new(statement: Statement, entries: Vec<Proven>) -> Self {
        Self { format: FORMAT.to_owned(), statement, entries }
    }
}

/// What a proof that holds proves.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The lines that stand in the trail.
    pub lines: Vec<String>,
    /// Of how many lines the statement speaks.
    pub size: u64,
    /// When it was signed.
    pub time: String,
    /// By which key.
    pub key: String,
}

/// The head of a line: enough to see that it stands where the proof says.
#[derive(Deserialize)]
struct Header {
    seq: u64,
}

/// Checks a proof against the keys that are trusted. Without keys any key is believed, and the proof says no more than
/// that whoever made it holds one.
pub fn check(text: &[u8], keys: &[Hash]) -> Result<Checked, ProofError> {
    let bundle: Bundle = serde_json::from_slice(text).map_err(|error| ProofError::Form(error.to_string()))?;
    if bundle.format != FORMAT {
        return Err(ProofError::Form("it names another format".to_owned()));
    }
    let statement = &bundle.statement;
    let key: Hash = unhex(&statement.key).ok_or_else(|| ProofError::Form("the key is none".to_owned()))?;
    if !keys.is_empty() && !keys.contains(&key) {
        return Err(ProofError::Key(hex::encode(key)));
    }
    let signature = hex::decode(&statement.signature).map_err(|_| ProofError::Signature)?;
    let signed = UnparsedPublicKey::new(&ED25519, key).verify(statement.text().as_bytes(), &signature);
    signed.map_err(|_| ProofError::Signature)?;
    let root: Hash = unhex(&statement.root).ok_or_else(|| ProofError::Form("the root is none".to_owned()))?;
    for (number, entry) in (1..).zip(&bundle.entries) {
        check_entry(entry, statement, &root).map_err(|why| ProofError::Entry { number, why })?;
    }
    let lines = bundle.entries.into_iter().map(|entry| entry.line).collect();
    Ok(Checked { lines, size: statement.size, time: statement.time.clone(), key: hex::encode(key) })
}

fn check_entry(entry: &Proven, statement: &Statement, root: &Hash) -> Result<(), &'static str> {
    let Proven { line, segment, trail } = entry;
    let header: Header = serde_json::from_str(line).map_err(|_| "it is no line of a trail")?;
    let index = header.seq.checked_sub(segment.first).ok_or("its number lies before its segment")?;
    let end = segment.first.checked_add(segment.lines).ok_or("its segment has no end")?;
    if end > statement.size {
        return Err("it lies behind what was signed");
    }
    let hash: Hash = digest(&SHA256, line.as_bytes()).as_ref().try_into().map_err(|_| "it cannot be hashed")?;
    let bad = "a hash in its path is none";
    let steps = unhex_all(&segment.path).ok_or(bad)?;
    let top = climb(leaf(&hash), index, segment.lines, &steps).ok_or("its path does not fit its place")?;
    let top = segment_leaf(segment.first, segment.lines, &top);
    let steps = unhex_all(&trail.path).ok_or(bad)?;
    match climb(top, trail.index, trail.segments, &steps) {
        Some(reached) if reached == *root => Ok(()),
        _ => Err("it was changed, moved, or never there"),
    }
}

pub(crate) fn unhex(text: &str) -> Option<Hash> {
    let mut hash = [0; 32];
    hex::decode_to_slice(text, &mut hash).ok()?;
    Some(hash)
}

fn unhex_all(texts: &[String]) -> Option<Vec<Hash>> {
    texts.iter().map(|text| unhex(text)).collect()
}
