//! The far end of a device: a file, a pipe, a socket, the standard output, or nothing. Writes what it is given as far as
//! that goes without waiting, and notices when its file was taken away or its connection closed. Knows nothing of
//! entries.

use super::datagram::{DatagramSink, Route};
use super::option::{DeviceOptions, Target};
use super::stream::StreamSink;
use crate::TrailError;
use crate::folder::{segment_name, segments};
use rustix::fs::{FileType, Mode, OFlags};
use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

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
    /// One that is not open yet. `forbidden` is the trail's own folder.
    pub(crate) fn new(options: &DeviceOptions, forbidden: Option<&Path>) -> Self {
        match &options.target {
            Target::Stdout => Sink::Stdout,
            Target::Discard => Sink::Discard,
            Target::Stream(target) => Sink::Stream(StreamSink::new(target.clone())),
            Target::Syslog(syslog) => Sink::Datagram(DatagramSink::new(Route::Syslog(syslog.clone()))),
            Target::Udp(address) => Sink::Datagram(DatagramSink::new(Route::Udp(address.clone()))),
            Target::File(path) => Sink::File(FileSink {
                path: path.clone(),
                mode: options.mode,
                forbidden: forbidden.map(Into::into),
                open: None,
            }),
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
    forbidden: Option<PathBuf>,
    open: Option<File>,
}

impl FileSink {
    /// One that is not open yet; `forbidden` is the trail's own folder.
    pub(crate) fn new(path: PathBuf, forbidden: Option<&Path>) -> Self {
        Self { path, mode: Some(0o600), forbidden: forbidden.map(Into::into), open: None }
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
        self.check_folder()?;
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

    fn check_folder(&self) -> io::Result<()> {
        let parent = fs::canonicalize(self.path.parent().unwrap_or(Path::new("/")))?;
        let Some(forbidden) = &self.forbidden else { return Ok(()) };
        if parent.starts_with(fs::canonicalize(forbidden)?) {
            return Err(io::Error::other("it lies in the folder of the audit trail itself"));
        }
        Ok(())
    }

    fn check_kind(&self, file: &File) -> io::Result<()> {
        let meta = file.metadata()?;
        match FileType::from_raw_mode(meta.mode()) {
            FileType::Fifo | FileType::CharacterDevice => return Ok(()),
            FileType::RegularFile => {}
            _ => return Err(io::Error::other("it is neither a file nor a pipe")),
        }
        if self.is_segment(&meta) {
            return Err(io::Error::other("it is a file of the audit trail itself"));
        }
        if let Some(mode) = self.mode.filter(|mode| meta.mode() & 0o7777 != *mode) {
            file.set_permissions(Permissions::from_mode(mode))?;
        }
        self.end_torn_line(file, meta.len())
    }

    /// Whether it is a second name of one of the trail's segments.
    fn is_segment(&self, meta: &fs::Metadata) -> bool {
        let Some(folder) = self.forbidden.as_ref().filter(|_| meta.nlink() > 1) else { return false };
        let mut segments = segments(folder).unwrap_or_default().into_iter();
        segments.any(|first| {
            let segment = fs::metadata(folder.join(segment_name(first)));
            segment.is_ok_and(|segment| segment.dev() == meta.dev() && segment.ino() == meta.ino())
        })
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

fn explain(error: io::Error) -> io::Error {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NXIO) => io::Error::other("it is a pipe that nobody reads; start the reader first"),
        Some(rustix::io::Errno::LOOP) => io::Error::other("it is a symbolic link; name the file itself"),
        _ => error,
    }
}
