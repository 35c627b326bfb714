//! Carries lines to one far end, and says up to which line they are settled: taken, so far as can be known.
//!
//! A file on disk and a receiver who answered are sure. A connection tells nothing of what its other side has read, so
//! what was sent lately stays unsettled: [`WINDOW`] bytes, more than both ends' buffers hold by default. After a connection
//! is lost or the server has died, it is sent again.

use super::far_end::{FarEnd, Shipper, Transport, host_and_port};
use super::frame::{MOST_DATAGRAM, counted, syslog, too_long};
use crate::CoreError;
use crate::webhook::{Parcel as Message, Reach, Target, Trust, Wire, dial, dial_secure};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use strongroom_audit::{CopyFile, Parcel, Trail};
use strongroom_model::{Clock, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UdpSocket, UnixDatagram, UnixStream, lookup_host};
use tokio::task::spawn_blocking;

/// Bytes behind which what a connection was given counts as read. Linux buffers at most 4 MiB on the one side and 6 MiB
/// on the other (tcp_wmem, tcp_rmem).
const WINDOW: usize = 12 << 20;
/// How long a far end may take nothing.
const DEADLINE: Duration = Duration::from_secs(30);

/// One far end.
pub(super) struct Carrier {
    to: FarEnd,
    reach: Reach,
    kind: Kind,
}

enum Kind {
    File(Option<CopyFile>),
    Stream(Stream),
    Datagram(Option<Datagram>),
    Https(Box<Target>),
}

#[derive(Default)]
struct Stream {
    wire: Option<Wire>,
    trust: Option<Trust>,
    /// What was sent lately: numbers of lines, and bytes behind them.
    window: VecDeque<(u64, usize)>,
    bytes: usize,
}

enum Datagram {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

/// What became of lines that were sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Settled {
    /// All of them are taken.
    All,
    /// Those before this one are.
    Before(u64),
}

impl Carrier {
    pub(super) fn of(shipper: &Shipper, trail: &Trail) -> Result<Self, CoreError> {
        let kind = match &shipper.to {
            FarEnd::File { path } => Kind::File(Some(trail.copy_file(path.clone()))),
            FarEnd::Syslog { transport: Transport::Udp { .. } | Transport::Unix { .. }, .. } => Kind::Datagram(None),
            FarEnd::Syslog { transport, .. } | FarEnd::Socket { transport } => {
                let trust = match transport {
                    Transport::Tls { ca, .. } => Some(Trust::new(ca.as_deref())?),
                    _ => None,
                };
                Kind::Stream(Stream { trust, ..Stream::default() })
            }
            FarEnd::Https { url, ca, .. } => {
                Kind::Https(Box::new(Target::parse(url.get(), ca.as_deref(), shipper.internal)?))
            }
        };
        Ok(Self { to: shipper.to.clone(), reach: Reach { internal: shipper.internal }, kind })
    }

    /// From which line on must be sent again when the connection is gone; the window is forgotten then.
    pub(super) fn lost(&mut self) -> Option<u64> {
        match &mut self.kind {
            Kind::Stream(stream) => {
                let first = stream.window.front().map(|(seq, _)| *seq);
                (stream.wire, stream.bytes) = (None, 0);
                stream.window.clear();
                first
            }
            Kind::Datagram(socket) => {
                *socket = None;
                None
            }
            Kind::File(_) | Kind::Https(_) => None,
        }
    }

    /// Whether the other side of a connection has gone, which shows before anything is sent.
    pub(super) async fn is_gone(&mut self) -> bool {
        let Kind::Stream(Stream { wire: Some(wire), .. }) = &mut self.kind else { return false };
        let mut heard = [0; 256];
        // What it says otherwise is read and forgotten. The zero-length wait is only a poll.
        match tokio::time::timeout(Duration::ZERO, wire.read(&mut heard)).await {
            Ok(Ok(0) | Err(_)) => true,
            Ok(Ok(_)) | Err(_) => false,
        }
    }

    /// Sends the lines; why not, when that fails. Some of them may have arrived even so.
    pub(super) async fn send(&mut self, parcels: &[Parcel]) -> Result<Settled, String> {
        let work = self.dispatch(parcels);
        match tokio::time::timeout(DEADLINE, work).await {
            Ok(done) => done,
            Err(_) => Err(format!("it took nothing for {} seconds", DEADLINE.as_secs())),
        }
    }

    async fn dispatch(&mut self, parcels: &[Parcel]) -> Result<Settled, String> {
        match &mut self.kind {
            Kind::File(file) => {
                let (mut held, bytes) = (file.take().ok_or("the file was lost; it is opened anew")?, lines(parcels));
                let done = spawn_blocking(move || {
                    let appended = held.append(&bytes);
                    (held, appended)
                });
                let (held, appended) = done.await.map_err(|error| error.to_string())?;
                *file = Some(held);
                appended.map(|()| Settled::All).map_err(|error| error.to_string())
            }
            Kind::Stream(stream) => stream.send(&self.to, self.reach, parcels).await.map_err(|error| error.to_string()),
            Kind::Datagram(socket) => {
                let FarEnd::Syslog { transport, facility, tag } = &self.to else { return Ok(Settled::All) };
                if socket.is_none() {
                    *socket = Some(Datagram::open(transport, self.reach).await.map_err(|error| error.to_string())?);
                }
                let Some(open) = socket else { return Ok(Settled::All) };
                for parcel in parcels {
                    let mut message = syslog(parcel, *facility, tag, std::process::id());
                    if message.len() > MOST_DATAGRAM {
                        message = syslog(&too_long(parcel), *facility, tag, std::process::id());
                    }
                    open.send(&message).await.map_err(|error| error.to_string())?;
                }
                Ok(Settled::All)
            }
            Kind::Https(_) => Err("a batch needs a time to be signed with".to_owned()),
        }
    }

    /// As [`Carrier::send`], for far ends that want the time.
    pub(super) async fn send_at(&mut self, parcels: &[Parcel], clock: &dyn Clock) -> Result<Settled, String> {
        let (Kind::Https(target), FarEnd::Https { key, authorization, .. }) = (&self.kind, &self.to) else {
            return self.send(parcels).await;
        };
        let (Some(first), Some(last)) = (parcels.first(), parcels.last()) else { return Ok(Settled::All) };
        let id = format!("trail_{}-{}", first.seq, last.seq);
        let message = Message {
            id: &id,
            time: clock.now(),
            media_type: "application/x-ndjson",
            body: lines(parcels),
            key: key.as_ref().map(|key| -> &SecretString { key.get() }),
            authorization: authorization.as_ref().map(|held| -> &SecretString { held.get() }),
        };
        let answer = target.post(message, DEADLINE).await.map_err(|error| error.to_string())?;
        if answer.is_success() { Ok(Settled::All) } else { Err(format!("it answered with status {}", answer.status)) }
    }
}

fn lines(parcels: &[Parcel]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parcels.iter().map(|parcel| parcel.text.len() + 1).sum());
    for parcel in parcels {
        bytes.extend_from_slice(&parcel.text);
        bytes.push(b'\n');
    }
    bytes
}

impl Stream {
    async fn send(&mut self, to: &FarEnd, reach: Reach, parcels: &[Parcel]) -> io::Result<Settled> {
        let (FarEnd::Syslog { transport, .. } | FarEnd::Socket { transport }) = to else { return Ok(Settled::All) };
        let wire = match &mut self.wire {
            Some(wire) => wire,
            none => none.insert(connect(transport, reach, self.trust.as_ref()).await?),
        };
        let mut bytes = Vec::new();
        for parcel in parcels {
            let before = bytes.len();
            match to {
                FarEnd::Syslog { facility, tag, .. } => {
                    counted(&syslog(parcel, *facility, tag, std::process::id()), &mut bytes);
                }
                _ => {
                    bytes.extend_from_slice(&parcel.text);
                    bytes.push(b'\n');
                }
            }
            self.window.push_back((parcel.seq, bytes.len() - before));
            self.bytes += bytes.len() - before;
        }
        wire.write_all(&bytes).await?;
        wire.flush().await?;
        while let Some((_, size)) = self.window.front().filter(|(_, size)| self.bytes - size >= WINDOW) {
            self.bytes -= size;
            self.window.pop_front();
        }
        Ok(self.window.front().map_or(Settled::All, |(seq, _)| Settled::Before(*seq)))
    }
}

async fn connect(transport: &Transport, reach: Reach, trust: Option<&Trust>) -> io::Result<Wire> {
    Ok(match (transport, trust) {
        (Transport::Unix { path }, _) => Box::new(UnixStream::connect(path).await?),
        (Transport::Tls { address, .. }, Some(trust)) => {
            let (host, port) = place(address)?;
            dial_secure(host, port, reach, trust).await?
        }
        (Transport::Tcp { address }, _) => {
            let (host, port) = place(address)?;
            Box::new(dial(host, port, reach).await?)
        }
        (Transport::Tls { .. } | Transport::Udp { .. }, _) => return Err(io::ErrorKind::Unsupported.into()),
    })
}

fn place(address: &str) -> io::Result<(&str, u16)> {
    host_and_port(address).map_err(|error| io::Error::other(error.to_string()))
}

impl Datagram {
    async fn open(transport: &Transport, reach: Reach) -> io::Result<Self> {
        if let Transport::Unix { path } = transport {
            let socket = UnixDatagram::unbound()?;
            socket.connect(path)?;
            return Ok(Datagram::Unix(socket));
        }
        let Transport::Udp { address } = transport else { return Err(io::ErrorKind::Unsupported.into()) };
        let (host, port) = place(address)?;
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for found in lookup_host((host, port)).await? {
            if let Some(why) = reach.refusal(found.ip()) {
                failed = io::Error::new(io::ErrorKind::PermissionDenied, why);
                continue;
            }
            let own = if found.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
            let socket = UdpSocket::bind(own).await?;
            socket.connect(found).await?;
            return Ok(Datagram::Udp(socket));
        }
        Err(failed)
    }

    async fn send(&self, message: &[u8]) -> io::Result<()> {
        match self {
            Datagram::Unix(socket) => socket.send(message).await.map(|_| ()),
            Datagram::Udp(socket) => socket.send(message).await.map(|_| ()),
        }
    }
}
