//! A far end that takes one line at a time, as a datagram: a log daemon's socket, or UDP. A line that is too long for a
//! datagram goes without its data rather than not at all. A socket on this machine says when a datagram was not taken;
//! over UDP nobody does, save that a refused port is noticed one line late, and that line is sent again.

use super::syslog::Syslog;
use rustix::io::Errno;
use serde_json::{Value, json};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket};
use std::os::unix::net::UnixDatagram;

/// Where datagrams go.
pub(crate) enum Route {
    /// To the log daemon of this machine.
    Syslog(Syslog),
    /// To this host and port.
    Udp(String),
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

/// A socket that sends one line at a time.
pub(crate) struct DatagramSink {
    route: Route,
    open: Option<Socket>,
    /// The last datagram, as long as nobody knows that it arrived.
    last: Vec<u8>,
    /// Whether it was refused and has to be sent again.
    owed: bool,
    dropped: u64,
    note: Option<String>,
}

impl DatagramSink {
    pub(super) fn new(route: Route) -> Self {
        Self { route, open: None, last: Vec::new(), owed: false, dropped: 0, note: None }
    }

    /// Connects anew.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        self.open = None;
        self.open = Some(match &self.route {
            Route::Syslog(syslog) => Socket::Unix(connect_daemon(syslog)?),
            Route::Udp(address) => Socket::Udp(connect_udp(address)?),
        });
        Ok(())
    }

    pub(super) fn is_lost(&self) -> bool {
        self.open.is_none()
    }

    /// Lines that were too long even without their data.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What the trail should tell of it, once.
    pub(super) fn take_note(&mut self) -> Option<String> {
        self.note.take()
    }

    /// Sends the first of these lines; how many bytes that was.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let line = bytes.get(..end).unwrap_or_default();
        let taken = bytes.len().min(end + 1);
        if self.owed {
            let owed = self.last.clone();
            self.send(&owed)?;
        }
        if line.is_empty() {
            return if self.open.is_some() { Ok(taken) } else { Err(not_connected()) };
        }
        match self.send(&self.frame(line)) {
            Err(error) if is_too_long(&error) => self.write_shortened(line)?,
            other => other?,
        }
        Ok(taken)
    }

    fn write_shortened(&mut self, line: &[u8]) -> io::Result<()> {
        let sent = match shorten(line) {
            Some(short) => self.send(&self.frame(&short)),
            None => Err(Errno::MSGSIZE.into()),
        };
        match sent {
            Err(error) if is_too_long(&error) => {
                self.dropped += 1;
                self.note = Some(format!("a line of {} bytes is too long for a datagram and was left out", line.len()));
                Ok(())
            }
            other => other,
        }
    }

    fn frame(&self, line: &[u8]) -> Vec<u8> {
        match &self.route {
            Route::Syslog(syslog) => syslog.frame(line),
            Route::Udp(_) => line.to_vec(),
        }
    }

    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let (sent, is_udp) = match &self.open {
            None => return Err(not_connected()),
            Some(Socket::Unix(socket)) => (socket.send(datagram), false),
            Some(Socket::Udp(socket)) => (socket.send(datagram), true),
        };
        match sent {
            Ok(_) if is_udp => {
                self.owed = false;
                self.last = datagram.to_vec();
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || is_too_long(&error) => return Err(error),
            // The error of an unconnected port belongs to the datagram before (ICMP, "port unreachable").
            Err(error) if is_udp => {
                if self.last.is_empty() {
                    self.last = datagram.to_vec();
                }
                self.owed = !self.last.is_empty();
                return Err(error);
            }
            Err(error) => {
                self.open = None;
                return Err(error);
            }
        }
        Ok(())
    }
}

fn not_connected() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the socket is not connected")
}

fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error())
}

/// The line without the data of request and answer; who, what and how it ended stay.
fn shorten(line: &[u8]) -> Option<Vec<u8>> {
    let mut shown: Value = serde_json::from_slice(line).ok()?;
    for part in ["request", "response"] {
        if let Some(data) = shown.get_mut(part).and_then(|part| part.get_mut("data")) {
            *data = json!({ "note": "left out: the line is too long for a datagram" });
        }
    }
    serde_json::to_vec(&shown).ok()
}

fn connect_daemon(syslog: &Syslog) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let mut last = None;
    for path in &syslog.sockets {
        match socket.connect(path) {
            Ok(()) => return Ok(socket),
            // Where one is, but does not answer, that is the thing to tell.
            Err(error) if error.kind() == io::ErrorKind::NotFound && last.is_some() => {}
            Err(error) => last = Some((path, error)),
        }
    }
    let Some((path, error)) = last else { return Err(io::Error::other("no socket of a log daemon is named")) };
    let what = match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no log daemon at {}: start one, or give its `socket`", path.display())
        }
        _ => format!("the log daemon at {} does not answer: {error}", path.display()),
    };
    Err(io::Error::new(error.kind(), what))
}

fn connect_udp(address: &str) -> io::Result<UdpSocket> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for to in address.to_socket_addrs()? {
        let from: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(from)?;
        socket.set_nonblocking(true)?;
        match socket.connect(to) {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}
