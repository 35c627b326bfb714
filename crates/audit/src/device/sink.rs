//! The far end of a device: a file, a pipe, a socket, the standard output, or nothing. Writes what it is given as far as
//! that goes without waiting, and notices when its file was taken away or its connection closed. Knows nothing of
//! entries.

use super::datagram::{DatagramSink, Route};
use super::ground::Ground;
use super::option::{DeviceOptions, Target};
use super::stream::StreamSink;
use crate::TrailError;
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

/// An open target.
pub(crate) enum Sink {
    /// A file or pipe by name.
    File(FileSink),
    /// The standard output.
    Stdout,
    /// A connection.
    Stream(StreamSink),
    /// A socket that takes a line at a time.
    Datagram(DatagramSink),
    /// Nothing.
    Discard,
}

impl Sink {
    /// One that is not open yet. A file may not lie on the ground.
    pub(crate) fn new(options: &DeviceOptions, ground: &Ground) -> Self {
        match &options.target {
            Target::Stdout => Sink::Stdout,
            Target::Discard => Sink::Discard,
            Target::Stream(target) => Sink::Stream(StreamSink::new(target.clone())),
            Target::Syslog(syslog) => Sink::Datagram(DatagramSink::new(Route::Syslog(syslog.clone()))),
            Target::Udp(address) => Sink::Datagram(DatagramSink::new(Route::Udp(address.clone()))),
            Target::File(path) => {
                Sink::File(FileSink { path: path.clone(), mode: options.mode, ground: ground.clone(), open: None })
            }
        }
    }

    /// Opens it, and fails when it could not be written to.
    pub(crate) fn prove(&mut self) -> Result<(), TrailError> {
        let proved = self.reopen().and_then(|()| self.write(&[]));
        match (proved, self) {
            (Ok(_), _) => Ok(()),
            (Err(error), Sink::File(file)) => {
                Err(TrailError::Device(format!("audit device cannot write {}: {error}", file.path.display())))
            }
            (Err(error), _) => Err(TrailError::Device(format!("audit device cannot write: {error}"))),
        }
    }

    /// Writes a beginning of the bytes; how many. `WouldBlock` when it is full.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Discard => Ok(bytes.len()),
            Sink::File(file) => file.write(bytes),
            Sink::Stream(stream) => stream.write(bytes),
            Sink::Datagram(datagram) => datagram.write(bytes),
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                let count = out.write(bytes)?;
                out.flush()?;
                Ok(count)
            }
        }
    }

    /// Opens the file anew, or connects anew.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        match self {
            Sink::File(file) => file.reopen(),
            Sink::Stream(stream) => stream.reopen(),
            Sink::Datagram(datagram) => datagram.reopen(),
            Sink::Stdout | Sink::Discard => Ok(()),
        }
    }

    /// Whether there is a file that no longer goes by its name, or no connection.
    pub(crate) fn is_lost(&mut self) -> bool {
        match self {
            Sink::File(file) => !file.is_in_place(),
            Sink::Stream(stream) => stream.is_lost(),
            Sink::Datagram(datagram) => datagram.is_lost(),
            Sink::Stdout | Sink::Discard => false,
        }
    }

    /// Whether there is a file to be opened anew on HUP. A connection is left alone.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self, Sink::File(_))
    }

    /// The event under which the trail tells what became of it.
    pub(crate) fn event(&self) -> &'static str {
        match self {
            Sink::Stream(_) | Sink::Datagram(_) => "audit_device_socket",
            Sink::File(_) | Sink::Stdout | Sink::Discard => "audit_device_file",
        }
    }

    /// What is told when it was lost and is there again.
    pub(crate) fn replaced(&self) -> &'static str {
        match self {
            Sink::Stream(_) | Sink::Datagram(_) => "the other side closed its connection; a new one was made",
            _ => "its file was deleted, moved or closed by its reader; a new one was opened by the same name",
        }
    }

    /// Lines that it could not take and never will.
    pub(crate) fn dropped(&self) -> u64 {
        if let Sink::Datagram(datagram) = self { datagram.dropped() } else { 0 }
    }

    /// What the trail should tell of it, once.
    pub(crate) fn take_note(&mut self) -> Option<String> {
        if let Sink::Datagram(datagram) = self { datagram.take_note() } else { None }
    }
}

/// A file or pipe that is only ever appended to.
pub(crate) struct FileSink {
    path: PathBuf,
    mode: Option<u32>,
    ground: Ground,
    open: Option<File>,
}

impl FileSink {
    /// One that is not open yet, and may not lie on the ground.
    pub(crate) fn new(path: PathBuf, ground: Ground) -> Self {
        Self { path, mode: Some(0o600), ground, open: None }
    }

    /// Appends all of it to the file that goes by the name now, and waits until it is on disk.
    pub(crate) fn append_durably(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_in_place() {
            self.reopen()?;
        }
        let Some(file) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        let written = file.write_all(bytes).and_then(|()| match file.sync_data() {
            // A pipe has no disk.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        });
        if written.is_err() {
            // Opened anew, a line that was cut short is ended before the next one.
            self.open = None;
        }
        written
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.open {
            Some(file) => file.write(bytes),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "the file is not open")),
        }
    }

    fn is_in_place(&self) -> bool {
        let Some(file) = &self.open else { return false };
        match (file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(ours), Ok(named)) => ours.dev() == named.dev() && ours.ino() == named.ino(),
            _ => false,
        }
    }

    /// Opens the file by its name, after letting go of the one it had.
    fn reopen(&mut self) -> io::Result<()> {
        self.open = None;
        self.ground.check_path(&self.path)?;
        // NONBLOCK: a pipe without a reader must not hang the server; NOFOLLOW: who may write to the log folder must
        // not be able to point this at another file.
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let mode = Mode::from_raw_mode(self.mode.unwrap_or(0o600));
        let file = rustix::fs::open(&self.path, flags, mode).map_err(|error| explain(error.into()))?;
        let file = File::from(file);
        self.check_kind(&file)?;
        self.open = Some(file);
        Ok(())
    }

    fn check_kind(&self, file: &File) -> io::Result<()> {
        let meta = file.metadata()?;
        match FileType::from_raw_mode(meta.mode()) {
            FileType::Fifo | FileType::CharacterDevice => return Ok(()),
            FileType::RegularFile => {}
            _ => return Err(io::Error::other("it is neither a file nor a pipe")),
        }
        self.ground.check_file(&meta)?;
        self.check_content(&meta)?;
        if let Some(mode) = self.mode.filter(|mode| meta.mode() & 0o7777 != *mode) {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        self.end_torn_line(file, meta.len())
    }

    /// Refuses a file that holds something else than copies: what is appended to a key or a database is damage that
    /// cannot be undone. A file that may be written but not read passes: what the server lives from it can read.
    fn check_content(&self, ours: &fs::Metadata) -> io::Result<()> {
        if ours.len() == 0 {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        let reader = match rustix::fs::open(&self.path, flags, Mode::empty()) {
            Ok(reader) => File::from(reader),
            Err(rustix::io::Errno::ACCESS) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let named = reader.metadata()?;
        let mut begin = [0; LONGEST];
        let count =
            if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) { reader.read_at(&mut begin, 0)? } else { 0 };
        match begin.get(..count).is_some_and(is_of_a_copy) {
            true => Ok(()),
            false => Err(io::Error::other(
                "there is a file that holds something else than copies of the trail; name another file, or move that one away",
            )),
        }
    }

    /// A line cut short by a crash is ended, lest the next one be glued to it. Best effort: a file that may be written
    /// but not read stays as it is.
    fn end_torn_line(&self, mut file: &File, len: u64) -> io::Result<()> {
        let Some(last) = len.checked_sub(1) else { return Ok(()) };
        let mut byte = [b'\n'];
        let read = File::open(&self.path).and_then(|reader| reader.read_exact_at(&mut byte, last));
        if read.is_ok() && byte != [b'\n'] {
            file.write_all(b"\n")?;
        }
        Ok(())
    }
}

/// How the lines of copies begin: in JSON, as syslog frames them, and in CEF.
const BEGINNINGS: [&[u8]; 3] = [b"{\"", b"<", b"CEF:"];
/// The length of the longest.
const LONGEST: usize = 4;

/// Whether a file with this beginning may be a copy. Of a first line that was cut short there may be less, and then the
/// next one.
fn is_of_a_copy(begin: &[u8]) -> bool {
    let fits = |line: &[u8]| BEGINNINGS.iter().any(|known| line.starts_with(known) || known.starts_with(line));
    begin.first().is_some_and(|byte| *byte != b'\n') && begin.split(|byte| *byte == b'\n').all(fits)
}

fn explain(error: io::Error) -> io::Error {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NXIO) => io::Error::other("it is a pipe that nobody reads; start the reader first"),
        Some(rustix::io::Errno::LOOP) => io::Error::other("it is a symbolic link; name the file itself"),
        _ => error,
    }
}
