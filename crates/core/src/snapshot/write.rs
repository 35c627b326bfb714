use super::archive::Packer;
use super::{Meta, SEALED, SUMMARY, SUMS, Signature, Summary, portion_name, signed_text, sum_line};
use crate::CoreError;
use serde::Serialize;
use strongroom_storage::Entry;

/// Writes a snapshot, portion by portion.
pub(super) struct Writer {
    packer: Packer,
    public_key: String,
    sums: String,
    summary: Summary,
}

impl Writer {
    pub(super) fn new(meta: &Meta) -> Result<Self, CoreError> {
        let (packer, public_key) = (Packer::new(meta.created), meta.public_key.clone());
        let mut writer = Self { packer, public_key, sums: String::new(), summary: Summary::default() };
        writer.file(super::META, &json(meta)?)?;
        Ok(writer)
    }

    /// Writes a portion of rows; gives the bytes that are ready.
    pub(super) fn add(&mut self, rows: &[Entry]) -> Result<Vec<u8>, CoreError> {
        let mut portion = Vec::with_capacity(super::PORTION + super::PORTION / 4);
        for row in rows {
            let (key, value) = (u16::try_from(row.key.len()), u32::try_from(row.value.len()));
            let (Ok(key), Ok(value)) = (key, value) else {
                return Err(CoreError::Internal("a stored row is longer than any engine takes"));
            };
            portion.extend_from_slice(&key.to_be_bytes());
            portion.extend_from_slice(&row.key);
            portion.extend_from_slice(&value.to_be_bytes());
            portion.extend_from_slice(&row.value);
            self.summary.bytes += (row.key.len() + row.value.len()) as u64;
        }
        self.summary.records += rows.len() as u64;
        self.file(&portion_name(self.summary.portions), &portion)?;
        self.summary.portions += 1;
        Ok(self.packer.take())
    }

    /// Ends it, with a signature over everything; gives the last bytes.
    pub(super) fn finish(mut self, sign: impl FnOnce(&[u8]) -> [u8; 64]) -> Result<Vec<u8>, CoreError> {
        let summary = json(&self.summary)?;
        self.file(SUMMARY, &summary)?;
        let sums = std::mem::take(&mut self.sums);
        self.packer.file(SUMS, sums.as_bytes())?;
        let signature = Signature {
            algorithm: "ed25519".to_owned(),
            public_key: self.public_key,
            signature: hex::encode(sign(&signed_text(&sums))),
        };
        self.packer.file(SEALED, &json(&signature)?)?;
        self.packer.finish()
    }

    fn file(&mut self, name: &str, content: &[u8]) -> Result<(), CoreError> {
        self.sums.push_str(&sum_line(name, content));
        self.packer.file(name, content)
    }
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, CoreError> {
    serde_json::to_vec(value).map_err(|_| CoreError::Internal("a snapshot's notes could not be written as JSON"))
}
