//! The PROXY protocol (haproxy.org, "The PROXY protocol Versions 1 & 2"): a proxy that passes on bytes says in front of
//! them whom they come from. Who may say so is the operator's choice, in Vault's words; what they say goes wherever the
//! address of a client counts. Without a header the peer itself counts. Takes no byte that belongs to the request.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use strongroom_core::Cidr;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

/// Whose PROXY header counts (Vault: `proxy_protocol_behavior`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Everybody's: for listeners that only a proxy can reach.
    Always,
    /// That of these; others count as themselves, whatever they say.
    Allow(Vec<Cidr>),
    /// That of these; others are turned away.
    Deny(Vec<Cidr>),
}

/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// What version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Addresses are 216 bytes at most; the rest is for what proxies add.
const LONGEST_BLOCK: usize = 4096;
/// How often it is looked for the second byte of a header whose first came alone.
const GLANCE: Duration = Duration::from_millis(5);

impl ProxyProtocol {
    /// Whom the connection comes from: what is in front of the request is read away. The caller bounds the time.
    pub(crate) async fn client(&self, stream: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
        let believed = match self {
            ProxyProtocol::Always => true,
            ProxyProtocol::Allow(networks) | ProxyProtocol::Deny(networks) => {
                networks.iter().any(|network| network.contains(peer.ip()))
            }
        };
        if !believed && matches!(self, ProxyProtocol::Deny(_)) {
            return Err(io::Error::new(ErrorKind::PermissionDenied, "the peer is no authorized proxy"));
        }
        let named = match beginning(stream).await? {
            Beginning::Line => line(stream).await?,
            Beginning::Block => block(stream).await?,
            Beginning::Other => None,
        };
        Ok(named.filter(|_| believed).unwrap_or(peer))
    }
}

/// What a connection begins with.
enum Beginning {
    /// A header of version 1.
    Line,
    /// A header of version 2.
    Block,
    /// TLS or HTTP.
    Other,
}

/// Looks without taking. Who sends one letter and no more holds the place until the caller's time is up. No request of
/// HTTP begins with `PR` (`PROPFIND` is not served), and none with a carriage return.
async fn beginning(stream: &TcpStream) -> io::Result<Beginning> {
    let mut glances = tokio::time::interval(GLANCE);
    let mut first = [0; 2];
    loop {
        let seen = stream.peek(&mut first).await?;
        match (seen, first) {
            (0, _) => return Err(ErrorKind::UnexpectedEof.into()),
            (_, [b'\r', _]) => return Ok(Beginning::Block),
            (1, [b'P', _]) => _ = glances.tick().await,
            (_, [b'P', b'R']) => return Ok(Beginning::Line),
            _ => return Ok(Beginning::Other),
        }
    }
}

fn wrong(what: &'static str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.1 56324 443` and the end of a line.
async fn line(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut line = Vec::with_capacity(LONGEST_LINE);
    while !line.ends_with(b"\r\n") {
        if line.len() == LONGEST_LINE {
            return Err(wrong("the PROXY line does not end"));
        }
        // One by one: the byte behind the line is the request's.
        line.push(stream.read_u8().await?);
    }
    let text = std::str::from_utf8(&line).ok().and_then(|text| text.strip_suffix("\r\n"));
    let words: Vec<&str> = text.ok_or_else(|| wrong("the PROXY line is no text"))?.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Ok(None),
        ["PROXY", family, from, to, port, to_port] => {
            let named = named(family, from, port).zip(named(family, to, to_port));
            named.map(|(client, _)| Some(client)).ok_or_else(|| wrong("the PROXY line holds no addresses"))
        }
        _ => Err(wrong("the PROXY line has another form")),
    }
}

fn named(family: &str, address: &str, port: &str) -> Option<SocketAddr> {
    let address = match family {
        "TCP4" => IpAddr::V4(address.parse::<Ipv4Addr>().ok()?),
        "TCP6" => IpAddr::V6(address.parse::<Ipv6Addr>().ok()?),
        _ => return None,
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    Some(SocketAddr::new(address, port.parse().ok().filter(|_| digits)?))
}

/// Version 2: a signature, command and family, a length, and so many bytes of addresses and additions.
async fn block(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<SocketAddr>> {
    let mut signature = [0; SIGNATURE.len()];
    stream.read_exact(&mut signature).await?;
    if signature != SIGNATURE {
        return Err(wrong("the PROXY block has another signature"));
    }
    let (command, family) = (stream.read_u8().await?, stream.read_u8().await?);
    let length = usize::from(stream.read_u16().await?);
    if length > LONGEST_BLOCK {
        return Err(wrong("the PROXY block is too long"));
    }
    let mut rest = vec![0; length];
    stream.read_exact(&mut rest).await?;
    match (command, family) {
        // The proxy speaks for itself, to see whether the server lives; or it does not know for whom it speaks.
        (0x20, _) | (0x21, 0x00) => Ok(None),
        (0x21, 0x11) => client_of::<4>(&rest).map(Some),
        (0x21, 0x21) => client_of::<16>(&rest).map(Some),
        _ => Err(wrong("the PROXY block is of another version, or not about TCP")),
    }
}

/// Two addresses, then two ports; the first of each is the client's.
fn client_of<const N: usize>(block: &[u8]) -> io::Result<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let (from, rest) = block.split_first_chunk::<N>().ok_or_else(|| wrong("the PROXY block is too short"))?;
    let ports = rest.split_first_chunk::<N>().and_then(|(_, ports)| ports.first_chunk::<4>());
    let [high, low, ..] = ports.ok_or_else(|| wrong("the PROXY block is too short"))?;
    Ok(SocketAddr::new(IpAddr::from(*from), u16::from_be_bytes([*high, *low])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    /// What is found in these bytes, and what is left for the request.
    async fn meet(rule: &ProxyProtocol, bytes: &[u8]) -> Result<(String, Vec<u8>), String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, peer) = listener.accept().await.unwrap();
        sender.write_all(bytes).await.unwrap();
        sender.shutdown().await.unwrap();
        let client = rule.client(&mut stream, peer).await.map_err(|error| error.to_string())?;
        let mut left = Vec::new();
        stream.read_to_end(&mut left).await.unwrap();
        let client = if client == peer { "peer".to_owned() } else { client.to_string() };
        Ok((client, left))
    }

    fn block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, rest].concat()
    }

    const IPV4: [u8; 12] = [203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x34, 0x20, 0x08];

    #[tokio::test]
    async fn both_versions_name_the_client_and_leave_the_request_whole() {
        let request = b"PUT /v1/x HTTP/1.1\r\n\r\n";
        let ipv6: Vec<u8> = [&[0x20, 1][..], &[0; 13], &[7], &[0; 16], &[0, 80, 1, 187], b"\x20\0\x01x"].concat();
        for (header, client) in [
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 8200\r\n".to_vec(), "203.0.113.9:4660"),
            (b"PROXY TCP6 2001::7 ::1 80 443\r\n".to_vec(), "[2001::7]:80"),
            (b"PROXY UNKNOWN\r\n".to_vec(), "peer"),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), "peer"),
            (block(0x21, 0x11, &IPV4), "203.0.113.9:4660"),
            (block(0x21, 0x21, &ipv6), "[2001::7]:80"),
            (block(0x20, 0x00, &[]), "peer"),
            (block(0x20, 0x11, &IPV4), "peer"),
            (Vec::new(), "peer"),
        ] {
            let met = meet(&ProxyProtocol::Always, &[&header[..], request].concat()).await;
            assert_eq!(met, Ok((client.to_owned(), request.to_vec())), "{}", String::from_utf8_lossy(&header));
        }
    }

    #[tokio::test]
    async fn a_header_that_is_none_ends_the_connection() {
        let long = [b"PROXY TCP4 ".to_vec(), vec![b'1'; 200]].concat();
        let mut other = block(0x21, 0x11, &IPV4);
        other[11] = b'!';
        for header in [
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4660\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 99999\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 +466 8200\r\n".to_vec(),
            b"PROXY TCP4 2001::7 ::1 80 443\r\n".to_vec(),
            b"PROXY UDP4 203.0.113.9 10.0.0.1 4660 8200\r\n".to_vec(),
            b"PROXY  TCP4 203.0.113.9 10.0.0.1 4660 8200\r\n".to_vec(),
            b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 8200\n".to_vec(),
            b"PROXY TCP4 \xff\xff 10.0.0.1 4660 8200\r\n".to_vec(),
            b"PROPFIND / HTTP/1.1\r\n\r\n".to_vec(),
            b"PROXY TCP4 203.0".to_vec(),
            long,
            other,
            block(0x21, 0x11, &IPV4[..11]),
            block(0x21, 0x12, &IPV4),
            block(0x11, 0x11, &IPV4),
            block(0x22, 0x11, &IPV4),
            block(0x21, 0x11, &[0; 5000]),
            block(0x21, 0x11, &IPV4)[..20].to_vec(),
        ] {
            let met = meet(&ProxyProtocol::Always, &header).await;
            assert!(met.is_err(), "{}: {met:?}", String::from_utf8_lossy(&header));
        }
    }

    #[tokio::test]
    async fn only_those_who_were_named_are_believed() {
        let header = b"PROXY TCP4 203.0.113.9 10.0.0.1 4660 8200\r\n";
        let (here, elsewhere) = (vec![Cidr::parse("127.0.0.0/8").unwrap()], vec![Cidr::parse("10.0.0.0/8").unwrap()]);
        let met = async |rule: ProxyProtocol| meet(&rule, header).await.map(|(client, left)| (client, left.len()));
        let believed = Ok(("203.0.113.9:4660".to_owned(), 0));
        assert_eq!(met(ProxyProtocol::Allow(here.clone())).await, believed);
        assert_eq!(met(ProxyProtocol::Deny(here)).await, believed);
        assert_eq!(met(ProxyProtocol::Allow(elsewhere.clone())).await, Ok(("peer".to_owned(), 0)));
        assert!(met(ProxyProtocol::Deny(elsewhere.clone())).await.is_err());
        let bare = meet(&ProxyProtocol::Deny(elsewhere), b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(bare.is_err(), "also without a header");
    }
}
