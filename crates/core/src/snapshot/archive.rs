//! A tar archive under gzip (RFC 1952), written and read one small file at a time. Nothing is compressed: ciphertext does
//! not become shorter. Reads plain files of bounded size only; links, folders and extensions are refused.

use crate::CoreError;
use flate2::Compression;
use flate2::bufread::GzDecoder;
use flate2::write::GzEncoder;
use std::io::{self, BufRead, BufReader, Read, Write};
use strongroom_model::Timestamp;
use tar::{EntryType, Header};

const BLOCK: usize = 512;

/// Writes into memory, from which the bytes are taken as they come.
pub(super) struct Packer {
    gzip: GzEncoder<Vec<u8>>,
    created: Timestamp,
}

impl Packer {
    pub(super) fn new(created: Timestamp) -> Self {
        Self { gzip: GzEncoder::new(Vec::new(), Compression::none()), created }
    }

    pub(super) fn file(&mut self, name: &str, content: &[u8]) -> Result<(), CoreError> {
        self.pack(name, content).map_err(|_| CoreError::Internal("a snapshot could not be written into memory"))
    }

    fn pack(&mut self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_size(content.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(self.created.secs());
        header.set_entry_type(EntryType::Regular);
        header.set_cksum();
        self.gzip.write_all(header.as_bytes())?;
        self.gzip.write_all(content)?;
        self.gzip.write_all(zeros(padding(content.len())))
    }

    /// What is ready to be sent.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self.gzip.get_mut())
    }

    /// The end of the archive, with what was not taken yet.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, CoreError> {
        let ended = self.gzip.write_all(zeros(BLOCK)).and_then(|()| self.gzip.write_all(zeros(BLOCK)));
        let all = ended.and_then(|()| self.gzip.finish());
        all.map_err(|_| CoreError::Internal("a snapshot could not be written into memory"))
    }
}

/// Reads what [`Packer`] wrote.
pub(super) struct Unpacker<R> {
    gzip: GzDecoder<BufReader<R>>,
}

/// A file of the archive.
pub(super) struct File {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

impl<R: Read> Unpacker<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { gzip: GzDecoder::new(BufReader::with_capacity(256 * 1024, reader)) }
    }

    /// The next file, which may have so many bytes at most.
    pub(super) fn file(&mut self, longest: u64) -> Result<File, String> {
        let mut header = Header::new_old();
        self.fill(header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Err("it ends before its end".to_owned());
        }
        let damaged = |_| "it is damaged".to_owned();
        let size = header.entry_size().map_err(damaged)?;
        let name = String::from_utf8(header.path_bytes().into_owned()).map_err(|_| "it is damaged".to_owned())?;
        if header.entry_type() != EntryType::Regular || size > longest {
            return Err("it holds what does not belong into a snapshot".to_owned());
        }
        let size = usize::try_from(size).map_err(|_| "it is damaged".to_owned())?;
        let mut content = vec![0; size];
        self.fill(&mut content)?;
        let mut rest = [0; BLOCK];
        self.fill(rest.get_mut(..padding(size)).unwrap_or_default())?;
        Ok(File { name, content })
    }

    /// Sees that nothing follows.
    pub(super) fn end(mut self) -> Result<(), String> {
        let mut blocks = [0; 2 * BLOCK];
        self.fill(&mut blocks)?;
        let mut more = [0; 1];
        let ended = self.gzip.read(&mut more).map_err(|error| told(&error))? == 0;
        let rest = self.gzip.into_inner().fill_buf().map_err(|error| told(&error))?.len();
        if ended && rest == 0 && blocks.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err("something follows its end".to_owned())
        }
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), String> {
        self.gzip.read_exact(buffer).map_err(|error| told(&error))
    }
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "it is cut off".to_owned(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => "it is damaged, or no snapshot at all".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}

fn padding(size: usize) -> usize {
    size.next_multiple_of(BLOCK) - size
}

fn zeros(count: usize) -> &'static [u8] {
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    ZEROS.get(..count).unwrap_or_default()
}
