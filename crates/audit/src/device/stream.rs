//! A far end that is reached over a connection: TCP or a unix socket. What was handed to a connection may be lost with
//! it, and nobody can say how much of it the other side had read; so the last mebibyte is kept and sent again over the
//! next connection. Lines may so arrive twice, never half: a connection begins with a whole line.

use super::option::{Peer, StreamTarget};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How much is sent again over a new connection.
const WINDOW: usize = 1024 * 1024;

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection that is made anew when it breaks.
pub(crate) struct StreamSink {
    target: StreamTarget,
    open: Option<Stream>,
    window: Window,
    /// Since when the other side takes nothing.
    stalled: Option<Instant>,
}

/// What was handed to connections lately.
#[derive(Default)]
struct Window {
    bytes: Vec<u8>,
    /// How many of them, at the end, this connection has still to get.
    again: usize,
}

impl StreamSink {
    pub(super) fn new(target: StreamTarget) -> Self {
        Self { target, open: None, window: Window::default(), stalled: None }
    }

    /// Makes a new connection.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.open = None;
        self.stalled = None;
        let stream = Stream::connect(&self.target).map_err(|error| {
            let peer = match &self.target.peer {
                Peer::Tcp(address) => address.clone(),
                Peer::Unix(path) => path.display().to_string(),
            };
            io::Error::new(error.kind(), format!("nobody takes a connection at {peer}: {error}"))
        })?;
        self.window.rewind();
        self.open = Some(stream);
        Ok(())
    }

    /// Whether there is no connection, or the other side has closed it.
    pub(super) fn is_lost(&mut self) -> bool {
        match &mut self.open {
            None => true,
            Some(stream) => stream.is_over(),
        }
    }

    /// Writes a beginning of the bytes, after what this connection has to get again.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.try_write(bytes);
        match &written {
            Ok(_) => self.stalled = None,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let patience = self.target.patience;
                if self.stalled.get_or_insert_with(Instant::now).elapsed() >= patience {
                    self.open = None;
                    return Err(hangs(patience));
                }
            }
            Err(_) => self.open = None,
        }
        written
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(stream) = &mut self.open else {
            return Err(io::Error::new(ErrorKind::NotConnected, "there is no connection"));
        };
        while !self.window.rest().is_empty() {
            let count = stream.write(self.window.rest())?;
            self.window.again -= count;
            self.stalled = None;
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let count = stream.write(bytes)?;
        self.window.push(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Window {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.bytes.len() - self.again..).unwrap_or_default()
    }

    /// Keeps these too, and forgets whole lines from the front.
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() <= 2 * WINDOW {
            return;
        }
        let least = self.bytes.len() - WINDOW;
        let line = self.bytes.iter().skip(least).position(|byte| *byte == b'\n');
        self.bytes.drain(..line.map_or(least, |at| least + at + 1));
    }

    /// All of it is due again. The line that was half written is not: who writes begins it anew.
    fn rewind(&mut self) {
        let whole = self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        self.bytes.truncate(whole);
        self.again = whole;
    }
}

impl Stream {
    fn connect(target: &StreamTarget) -> io::Result<Self> {
        match &target.peer {
            Peer::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_nonblocking(true)?;
                Ok(Stream::Unix(stream))
            }
            Peer::Tcp(address) => {
                let stream = connect_tcp(address, target.patience)?;
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match self {
            Stream::Tcp(stream) => stream.write(bytes)?,
            Stream::Unix(stream) => stream.write(bytes)?,
        };
        if count == 0 { Err(ErrorKind::WriteZero.into()) } else { Ok(count) }
    }

    /// Whether the other side has closed. What it says otherwise is read and forgotten.
    fn is_over(&mut self) -> bool {
        let mut heard = [0; 512];
        let read = match self {
            Stream::Tcp(stream) => stream.read(&mut heard),
            Stream::Unix(stream) => stream.read(&mut heard),
        };
        match read {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }
}

fn connect_tcp(address: &str, patience: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn hangs(patience: Duration) -> io::Error {
    let what = format!("the other side took nothing for {:.1} s; a new connection is tried", patience.as_secs_f64());
    io::Error::new(ErrorKind::TimedOut, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_for_the_next_connection_is_bounded_and_made_of_whole_lines() {
        let mut window = Window::default();
        for number in 0..100_000 {
            window.push(format!("line {number:>40}\n").as_bytes());
            assert!(window.bytes.len() <= 2 * WINDOW + 100);
        }
        window.push(b"half a li");
        window.rewind();
        let text = String::from_utf8(window.rest().to_vec()).unwrap();
        assert!(text.len() > WINDOW - 100 && text.starts_with("line ") && text.ends_with(" 99999\n"));
    }
}
