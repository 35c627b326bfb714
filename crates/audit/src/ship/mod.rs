//! What copies of the trail for others are made from: a reader behind the writer with a position that survives the death
//! of the process, and the forms in which collectors of logs want entries.
//!
//! Invariants: a reader never holds up the writer; a position is never ahead of what its owner said was taken, so a crash
//! repeats entries and leaves none out; every form carries the number of the entry, by which repetitions are told. Sends
//! nothing: whoever has the sockets does.

mod format;
mod position;
mod reader;

pub use format::{Form, Formatter, Parcel};
pub use reader::{Lines, Numbered, Reader};

use crate::device::sink::FileSink;
use crate::{Trail, TrailError};
use position::Position;
use std::io;
use std::path::{Path, PathBuf};

impl Trail {
    /// A reader that goes on where the one of this name stopped; a new one begins with line `from`. The name is made of
    /// letters, digits, `-` and `_`.
    pub fn reader(&self, name: &str, from: u64) -> Reader {
        let position = Position::of(name, self.source(), self.positions());
        let next = position.load().unwrap_or(from).min(self.health().entries);
        Reader::new(self.source().clone(), self.shared(), position, next)
    }

    /// Forgets the position of a reader that is not needed any more.
    pub fn forget_reader(&self, name: &str) {
        Position::of(name, self.source(), self.positions()).forget();
    }

    /// What puts lines into this form.
    pub fn formatter(&self, form: Form) -> Formatter {
        Formatter::new(form, self.redactor())
    }

    /// Notes that `owner` appends copies to a file; fails when somebody else does, an audit device among them, whatever
    /// they call it.
    pub fn claim_file(&self, owner: &str, path: &Path) -> Result<(), TrailError> {
        self.claims().claim(owner, path)
    }

    /// Notes that it does so no more.
    pub fn release_file(&self, owner: &str) {
        self.claims().release(owner);
    }

    /// Lets no device and no copy write to these files, or into these folders, from now on: what the server lives from.
    pub fn keep_out_of(&self, places: impl IntoIterator<Item = PathBuf>) {
        self.ground().add(places);
    }

    /// A file that copies are appended to. Fails when it lies among the trail's own or the server's, is a link, holds
    /// something else than copies, or cannot be written.
    pub fn copy_file(&self, path: PathBuf) -> CopyFile {
        CopyFile(FileSink::new(path, self.ground().clone()))
    }
}

/// A file to which copies are appended, by the rules of audit devices: no links, no file that holds something else,
/// not among the files of the trail and the server.
pub struct CopyFile(FileSink);

impl CopyFile {
    /// Appends all of it and waits until it is on disk. Blocks. A file that was moved away is made anew by its name.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append_durably(bytes)
    }
}
