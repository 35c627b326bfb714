//! An archive: whole segments that were taken out of a trail, compressed, with a signed manifest. A tar file that any
//! machine unpacks: `<first line>.jsonl.gz` for each segment, and `manifest.json` behind them.
//!
//! The manifest names what the first line of each segment continues and the hash of its last line, so that the chain
//! reaches from the trail before into the trail behind, and so that every byte of every line is under its signature. A
//! manifest alone proves what is missing from a trail and how the rest hangs together; it does not hold the lines.

use crate::bundle::unhex;
use crate::{Hash, ProofError};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use flate2::bufread::GzDecoder;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead as _, BufReader, Read};

/// The only format there is.
const FORMAT: &str = "strongroom-archive-1";
/// The name of the manifest in the archive.
pub const MANIFEST: &str = "manifest.json";
/// A manifest is shorter; one entry of it has about 400 bytes.
const LONGEST_MANIFEST: u64 = 4 * 1024 * 1024;
/// A line of a trail is shorter.
const LONGEST_LINE: u64 = 4 * 1024 * 1024;

/// One segment, as a manifest speaks of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// The number of its first line.
    pub first: u64,
    /// The number behind its last line.
    pub next: u64,
    /// SHA-256 of the line before it, in hexadecimal; zeros before the first line of all.
    pub before: String,
    /// SHA-256 of its last line.
    pub head: String,
    /// Its bytes, line feeds included.
    pub bytes: u64,
    /// The earliest time in it, in RFC 3339.
    pub earliest: String,
    /// The latest.
    pub latest: String,
}

/// What an archive holds, signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format.
    pub format: String,
    /// The segments in order, each continuing the one before.
    pub segments: Vec<Stretch>,
    /// When it was signed, in RFC 3339.
    pub time: String,
    /// The store's generation then.
    pub generation: u64,
    /// The public key (Ed25519) that signed, as that of checkpoints.
    pub key: String,
    /// The signature over the manifest's text.
    pub signature: String,
}

impl Manifest {
    /// One that is not signed yet.
    pub fn new(segments: Vec<Stretch>, time: String, generation: u64, key: &Hash) -> Self {
        let (format, key) = (FORMAT.to_owned(), hex::encode(key));
        Self { format, segments, time, generation, key, signature: String::new() }
    }

    /// The text that is signed. Its first line keeps the signature from meaning anything elsewhere.
    pub fn text(&self) -> String {
        let Self { time, generation, key, .. } = self;
        let mut text = format!("strongroom audit archive v1\ntime {time}\ngeneration {generation}\nkey {key}\n");
        for one in &self.segments {
            let Stretch { first, next, before, head, bytes, earliest, latest } = one;
            text.push_str(&format!("segment {first} {next} {before} {head} {bytes} {earliest} {latest}\n"));
        }
        text
    }

    /// The number of the first line.
    pub fn first(&self) -> u64 {
        self.segments.first().map_or(0, |one| one.first)
    }

    /// The number behind the last line.
    pub fn next(&self) -> u64 {
        self.segments.last().map_or(0, |one| one.next)
    }

    /// Reads one and checks that it is whole and signed, by one of these keys if there are any.
    pub fn checked(text: &[u8], keys: &[Hash]) -> Result<Self, ProofError> {
        let bad = |why: &str| ProofError::Archive(why.to_owned());
        let manifest: Self = serde_json::from_slice(text).map_err(|_| bad("its manifest cannot be read"))?;
        if manifest.format != FORMAT {
            return Err(bad("its manifest names another format"));
        }
        if !manifest.is_in_order() {
            return Err(bad("the segments in its manifest do not continue each other"));
        }
        let key: Hash = unhex(&manifest.key).ok_or_else(|| bad("the key in its manifest is none"))?;
        if !keys.is_empty() && !keys.contains(&key) {
            return Err(ProofError::Key(hex::encode(key)));
        }
        let signature = hex::decode(&manifest.signature).map_err(|_| ProofError::Signature)?;
        let signed = UnparsedPublicKey::new(&ED25519, key).verify(manifest.text().as_bytes(), &signature);
        signed.map_err(|_| ProofError::Signature)?;
        Ok(manifest)
    }

    fn is_in_order(&self) -> bool {
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":.+-".contains(&byte));
        let fits = |one: &Stretch| {
            let hashes = unhex(&one.before).is_some() && unhex(&one.head).is_some();
            one.first < one.next && hashes && plain(&one.earliest) && plain(&one.latest)
        };
        let follows = self.segments.windows(2).all(|pair| match pair {
            [one, other] => one.next == other.first && one.head == other.before,
            _ => true,
        });
        !self.segments.is_empty() && plain(&self.time) && self.segments.iter().all(fits) && follows
    }
}

impl Stretch {
    /// The name of its file in the archive.
    pub fn file_name(&self) -> String {
        format!("{:020}.jsonl.gz", self.first)
    }
}

/// Whether a file that begins so is an archive.
pub fn is_archive(beginning: &[u8]) -> bool {
    // The magic of a tar header (POSIX.1-1988, "ustar").
    beginning.get(257..262) == Some(b"ustar")
}

/// Reads an archive to its end and checks all of it; `visit` sees every line, before it is known whether all holds. Needs
/// memory for one line only.
pub fn check_archive(archive: impl Read, keys: &[Hash], visit: &mut dyn FnMut(&[u8])) -> Result<Manifest, ProofError> {
    let mut archive = tar::Archive::new(archive);
    let (mut found, mut manifest): (Vec<Stretch>, Option<Manifest>) = (Vec::new(), None);
    for file in archive.entries().map_err(unreadable)? {
        let mut file = file.map_err(unreadable)?;
        if manifest.is_some() {
            return Err(ProofError::Archive("something stands behind its manifest".to_owned()));
        }
        let name = String::from_utf8_lossy(&file.path_bytes()).into_owned();
        if name == MANIFEST {
            let mut text = Vec::new();
            (&mut file).take(LONGEST_MANIFEST).read_to_end(&mut text).map_err(unreadable)?;
            manifest = Some(Manifest::checked(&text, keys)?);
            continue;
        }
        let first = name.strip_suffix(".jsonl.gz").and_then(|stem| stem.parse().ok());
        let first: u64 = first.ok_or_else(|| ProofError::Archive("a file in it is no segment".to_owned()))?;
        found.push(segment(file, first, visit)?);
    }
    let manifest = manifest.ok_or_else(|| ProofError::Archive("it has no manifest: it was cut off".to_owned()))?;
    compare(&manifest, &found)?;
    Ok(manifest)
}

fn unreadable(source: io::Error) -> ProofError {
    ProofError::Unreadable(source.to_string())
}

/// What a manifest has to say of the segments that were found; times are the signer's word.
fn compare(manifest: &Manifest, found: &[Stretch]) -> Result<(), ProofError> {
    for (said, is) in manifest.segments.iter().zip(found) {
        let is = Stretch { earliest: said.earliest.clone(), latest: said.latest.clone(), ..is.clone() };
        if *said != is {
            let why = "its lines are not those that the manifest speaks of".to_owned();
            return Err(ProofError::Segment { first: said.first, why });
        }
    }
    match manifest.segments.len() == found.len() {
        true => Ok(()),
        false => Err(ProofError::Archive("a segment is missing, or there is one too many".to_owned())),
    }
}

/// Follows the chain through one segment.
fn segment(file: impl Read, first: u64, visit: &mut dyn FnMut(&[u8])) -> Result<Stretch, ProofError> {
    let failed = |why: String| ProofError::Segment { first, why };
    let mut lines = BufReader::with_capacity(128 * 1024, GzDecoder::new(BufReader::new(file)));
    let (mut next, mut bytes, mut line) = (first, 0, Vec::new());
    let (mut before, mut head) = (String::new(), String::new());
    loop {
        line.clear();
        let read = (&mut lines).take(LONGEST_LINE).read_until(b'\n', &mut line);
        if read.map_err(|error| failed(format!("it cannot be unpacked ({error})")))? == 0 {
            break;
        }
        bytes += line.len() as u64;
        let text = line.strip_suffix(b"\n").ok_or_else(|| failed(format!("line {next} has no end")))?;
        let prev = continues(text, next).ok_or_else(|| failed(format!("line {next} is damaged or missing")))?;
        if next == first {
            prev.clone_into(&mut before);
        } else if prev != head {
            return Err(failed(format!("line {next} does not continue the line before it")));
        }
        head = hex::encode(digest(&SHA256, text));
        visit(text);
        next += 1;
    }
    let mut rest = lines.into_inner().into_inner();
    if !rest.fill_buf().map_err(unreadable)?.is_empty() {
        return Err(failed("something stands behind its lines".to_owned()));
    }
    Ok(Stretch { first, next, before, head, bytes, earliest: String::new(), latest: String::new() })
}

/// The hash that a line with this number names as that of the line before, if it is such a line.
fn continues(line: &[u8], seq: u64) -> Option<&str> {
    let start = format!("{{\"seq\":{seq},\"prev\":\"");
    let (prev, rest) = line.strip_prefix(start.as_bytes())?.split_at_checked(64)?;
    rest.strip_prefix(b"\",\"time\":\"")?;
    std::str::from_utf8(prev).ok().filter(|prev| unhex(prev).is_some())
}
