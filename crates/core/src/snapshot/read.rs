use super::archive::Unpacker;
use super::{
    FORMAT, LONGEST_NOTE, LONGEST_PORTION, META, Meta, SEALED, SUMMARY, SUMS, Signature, Summary, VERSION,
    portion_name, signed_text, sum_line,
};
use crate::CoreError;
use serde::de::DeserializeOwned;
use std::io::Read;
use strongroom_barrier::{SealStatus, is_signed_by, seal_of_row};
use strongroom_storage::Row;

/// What a whole and sound snapshot holds.
#[derive(Clone, Debug)]
pub struct Report {
    /// What it says of itself; its signature covers that.
    pub meta: Meta,
    /// How many rows there are, records and bookkeeping.
    pub records: u64,
    /// How many bytes they have, keys and values.
    pub bytes: u64,
    /// SHA-256 of its list of sums, in hexadecimal: names this snapshot.
    pub digest: String,
    /// The row that says how the store is unsealed.
    pub(crate) seal_row: Vec<u8>,
}

/// Reads a snapshot to its end without a server, and says what is in it, or why it cannot be used. That its signature
/// is by the key that it names is checked; that the key is yours is for you to see.
pub fn inspect(reader: impl Read) -> Result<Report, CoreError> {
    let mut reader = Reader::open(reader).map_err(CoreError::Snapshot)?;
    let mut seal = None;
    let mut last: Option<Vec<u8>> = None;
    while let Some((key, value)) = reader.row().map_err(CoreError::Snapshot)? {
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(CoreError::Snapshot("its rows are out of order".to_owned()));
        }
        match seal_of_row(&key, &value) {
            Some(Ok(status)) => seal = Some((status, value)),
            Some(Err(error)) => return Err(CoreError::Snapshot(format!("its seal record cannot be read: {error}"))),
            None => {}
        }
        last = Some(key);
    }
    let Some((status, seal_row)) = seal else {
        return Err(CoreError::Snapshot("it holds no seal record, so it is of no strongroom".to_owned()));
    };
    reader.report(&status, seal_row).map_err(CoreError::Snapshot)
}

/// Reads the rows of a snapshot and checks everything on the way; the last row is given out before the end is seen.
pub(super) struct Reader<R> {
    archive: Option<Unpacker<R>>,
    meta: Meta,
    sums: String,
    seen: Summary,
    /// The portion being read, and how far.
    portion: Vec<u8>,
    at: usize,
}

impl<R: Read> Reader<R> {
    pub(super) fn open(reader: R) -> Result<Self, String> {
        let mut archive = Unpacker::new(reader);
        let first = archive.file(LONGEST_NOTE)?;
        let meta: Meta = Some(&first)
            .filter(|first| first.name == META)
            .and_then(|first| serde_json::from_slice(&first.content).ok())
            .filter(|meta: &Meta| meta.format == FORMAT)
            .ok_or("it is no snapshot of this program")?;
        if meta.version > VERSION {
            let version = meta.version;
            return Err(format!("its form has version {version}, and this program knows {VERSION}: use a later one"));
        }
        let sums = sum_line(META, &first.content);
        let seen = Summary::default();
        Ok(Self { archive: Some(archive), meta, sums, seen, portion: Vec::new(), at: 0 })
    }

    /// The next row; `None` when everything was read and found whole.
    pub(super) fn row(&mut self) -> Result<Option<Row>, String> {
        while self.at == self.portion.len() {
            if !self.next_portion()? {
                return Ok(None);
            }
        }
        let key = self.part::<2>()?;
        let value = self.part::<4>()?;
        self.seen.records += 1;
        self.seen.bytes += (key.len() + value.len()) as u64;
        Ok(Some((key, value)))
    }

    /// Takes bytes with their length before them, in so many bytes.
    fn part<const N: usize>(&mut self) -> Result<Vec<u8>, String> {
        let damaged = || "it is damaged".to_owned();
        let rest = self.portion.get(self.at..).unwrap_or_default();
        let (length, rest) = rest.split_at_checked(N).ok_or_else(damaged)?;
        let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
        let part = rest.get(..length).ok_or_else(damaged)?.to_vec();
        self.at += N + length;
        Ok(part)
    }

    fn next_portion(&mut self) -> Result<bool, String> {
        let Some(archive) = self.archive.as_mut() else { return Ok(false) };
        let file = archive.file(LONGEST_PORTION)?;
        if file.name == SUMMARY {
            self.sums.push_str(&sum_line(SUMMARY, &file.content));
            self.finish(&file.content)?;
            return Ok(false);
        }
        if file.name != portion_name(self.seen.portions) {
            return Err("a part of it is missing or out of order".to_owned());
        }
        self.sums.push_str(&sum_line(&file.name, &file.content));
        self.seen.portions += 1;
        (self.portion, self.at) = (file.content, 0);
        Ok(true)
    }

    fn finish(&mut self, summary: &[u8]) -> Result<(), String> {
        let Some(mut archive) = self.archive.take() else { return Ok(()) };
        let sums = archive.file(self.sums.len() as u64)?;
        if sums.name != SUMS || sums.content != self.sums.as_bytes() {
            return Err("it is damaged: its contents are not those that were written".to_owned());
        }
        if parsed::<Summary>(summary)? != self.seen {
            return Err("it is damaged: something is missing".to_owned());
        }
        let sealed = archive.file(LONGEST_NOTE)?;
        let signature: Signature = parsed(&sealed.content)?;
        let bytes = |text: &str| hex::decode(text).map_err(|_| "its signature cannot be read".to_owned());
        let is_signed = sealed.name == SEALED
            && signature.algorithm == "ed25519"
            && signature.public_key == self.meta.public_key
            && is_signed_by(&bytes(&signature.public_key)?, &signed_text(&self.sums), &bytes(&signature.signature)?);
        if !is_signed {
            return Err("its signature is wrong".to_owned());
        }
        archive.end()
    }

    fn report(self, seal: &SealStatus, seal_row: Vec<u8>) -> Result<Report, String> {
        if seal.cluster_id != self.meta.cluster_id {
            return Err("it says that it is of another strongroom than its contents are".to_owned());
        }
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, self.sums.as_bytes());
        let digest = hex::encode(digest.as_ref());
        Ok(Report { meta: self.meta, records: self.seen.records, bytes: self.seen.bytes, digest, seal_row })
    }
}

fn parsed<T: DeserializeOwned>(text: &[u8]) -> Result<T, String> {
    serde_json::from_slice(text).map_err(|_| "it is damaged".to_owned())
}
