//! Where copies go, and in which form: checked once, when an operator says it.

use super::Replay;
use super::carrier::Carrier;
use crate::CoreError;
use crate::webhook::{Hidden, Reach, Target, Trust};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use strongroom_audit::{Form, Trail};
use strongroom_model::{SecretString, Timestamp};

/// How a stream or a datagram gets there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "transport", rename_all = "lowercase")]
pub enum Transport {
    /// A socket of this machine, by its path.
    Unix {
        /// The path.
        path: PathBuf,
    },
    /// Datagrams: nobody says whether they arrive.
    Udp {
        /// Host and port.
        address: String,
    },
    /// A connection.
    Tcp {
        /// Host and port.
        address: String,
    },
    /// A connection inside TLS.
    Tls {
        /// Host and port.
        address: String,
        /// Who vouches for it, in PEM; the machine's authorities when not given.
        ca: Option<String>,
    },
}

/// The facility of syslog messages (RFC 5424, 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facility(u8);

impl Facility {
    /// Reads a name as syslog.conf has it.
    pub fn parse(name: &str) -> Option<Self> {
        let local = name.strip_prefix("local").and_then(|digit| digit.parse::<u8>().ok());
        match (name, local) {
            (_, Some(number @ 0..=7)) => Some(Self(16 + number)),
            ("user", _) => Some(Self(1)),
            ("daemon", _) => Some(Self(3)),
            ("auth", _) => Some(Self(4)),
            ("authpriv", _) => Some(Self(10)),
            ("audit", _) => Some(Self(13)),
            _ => None,
        }
    }

    pub(super) fn code(self) -> u8 {
        self.0
    }
}

impl Default for Facility {
    /// `auth`, as Vault's syslog device has it.
    fn default() -> Self {
        Self(4)
    }
}

/// Where copies go.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum FarEnd {
    /// Lines appended to a file.
    File {
        /// The absolute path.
        path: PathBuf,
    },
    /// Syslog messages (RFC 5424), by octet counting in connections (RFC 6587, RFC 5425).
    Syslog {
        /// How they get there.
        #[serde(flatten)]
        transport: Transport,
        /// The facility.
        facility: Facility,
        /// The app-name.
        tag: String,
    },
    /// Lines in a connection.
    Socket {
        /// How they get there.
        #[serde(flatten)]
        transport: Transport,
    },
    /// Signed batches of lines by HTTPS.
    Https {
        /// Where to.
        url: Hidden,
        /// Scheme, host and port: what may be shown.
        host: String,
        /// Who vouches for it, in PEM.
        ca: Option<String>,
        /// The key for signatures.
        key: Option<Hidden>,
        /// The value of the header `authorization`.
        authorization: Option<Hidden>,
    },
}

/// What an operator asks for.
pub struct NewShipper {
    /// Its name.
    pub name: String,
    /// Where to.
    pub to: FarEnd,
    /// In which form.
    pub form: Form,
    /// Whether it may be this machine's own, a link-local or a metadata address.
    pub internal: bool,
    /// From where on; from now when not given.
    pub from: Option<Replay>,
}

/// A destination.
#[derive(Clone, Serialize, Deserialize)]
pub struct Shipper {
    /// Its name.
    pub name: String,
    /// Where to.
    pub to: FarEnd,
    /// In which form.
    pub form: Form,
    /// Whether it may be this machine's own, a link-local or a metadata address.
    pub internal: bool,
    /// The number of the first line it gets.
    pub from: u64,
    /// When it was added.
    pub added: Timestamp,
}

/// All destinations, by name.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct Shippers(pub(super) BTreeMap<String, Shipper>);

impl FarEnd {
    /// A destination of HTTPS batches; the address is checked with the rest.
    pub fn https(url: SecretString, ca: Option<String>, key: Option<SecretString>, auth: Option<SecretString>) -> Self {
        let (key, authorization) = (key.map(Hidden::new), auth.map(Hidden::new));
        FarEnd::Https { url: Hidden::new(url), host: String::new(), ca, key, authorization }
    }

    /// The kind and the place, without what is secret.
    pub fn label(&self) -> String {
        let of = |transport: &Transport| match transport {
            Transport::Unix { path } => format!("unix {}", path.display()),
            Transport::Udp { address } => format!("udp {address}"),
            Transport::Tcp { address } => format!("tcp {address}"),
            Transport::Tls { address, .. } => format!("tls {address}"),
        };
        match self {
            FarEnd::File { path } => format!("file {}", path.display()),
            FarEnd::Syslog { transport, .. } => format!("syslog {}", of(transport)),
            FarEnd::Socket { transport } => format!("socket {}", of(transport)),
            FarEnd::Https { host, .. } => host.clone(),
        }
    }
}

impl NewShipper {
    pub(super) fn checked(self, from: u64, now: Timestamp) -> Result<Shipper, CoreError> {
        let NewShipper { name, mut to, form, internal, .. } = self;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) || name.starts_with("own-") {
            let why = "the name must have 1 to 64 of the characters a-z, 0-9, - and _, and not begin with own-";
            return Err(CoreError::Invalid(why.to_owned()));
        }
        match &mut to {
            FarEnd::File { path } if !path.is_absolute() => {
                return Err(CoreError::Invalid("the path of the file must be absolute".to_owned()));
            }
            FarEnd::File { .. } => {}
            FarEnd::Syslog { transport, tag, .. } => {
                check(transport, internal)?;
                // APP-NAME (RFC 5424, 6): 1 to 48 printable characters.
                if !(1..=48).contains(&tag.len()) || !tag.bytes().all(|byte| (33..=126).contains(&byte)) {
                    return Err(CoreError::Invalid("the tag must have 1 to 48 visible ASCII characters".to_owned()));
                }
            }
            FarEnd::Socket { transport: Transport::Udp { .. } } => {
                return Err(CoreError::Invalid("lines go through tcp, tls or unix; udp is for syslog only".to_owned()));
            }
            FarEnd::Socket { transport } => check(transport, internal)?,
            FarEnd::Https { url, host, ca, .. } => *host = Target::parse(url.get(), ca.as_deref(), internal)?.place(),
        }
        Ok(Shipper { name, to, form, internal, from, added: now })
    }
}

impl Shipper {
    /// Takes the file that it writes to, if it does; whoever has it already is named.
    pub(super) fn claim(&self, trail: &Trail) -> Result<(), CoreError> {
        match &self.to {
            FarEnd::File { path } => Ok(trail.claim_file(&super::owner(&self.name), path)?),
            _ => Ok(()),
        }
    }

    /// Whether it could be sent to now, for what is on this machine: a collector elsewhere may come later.
    pub(super) async fn probe(&self, trail: &Trail) -> Result<(), CoreError> {
        if !matches!(self.to, FarEnd::File { .. }) {
            return Ok(());
        }
        let mut carrier = Carrier::of(self, trail)?;
        let failed = |why| CoreError::Invalid(format!("the destination cannot be written to: {why}"));
        carrier.send(&[]).await.map(|_| ()).map_err(failed)
    }
}

fn check(transport: &Transport, internal: bool) -> Result<(), CoreError> {
    let address = match transport {
        Transport::Unix { path } if path.is_absolute() => return Ok(()),
        Transport::Unix { .. } => return Err(CoreError::Invalid("the path of the socket must be absolute".to_owned())),
        Transport::Tls { address, ca } => {
            Trust::new(ca.as_deref())?;
            address
        }
        Transport::Udp { address } | Transport::Tcp { address } => address,
    };
    let (host, _) = host_and_port(address)?;
    // What is no address is looked up anew for each connection, and judged then.
    let known = match host.eq_ignore_ascii_case("localhost") {
        true => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        false => host.parse::<IpAddr>().ok(),
    };
    let refusal = known.and_then(|address| Reach { internal }.refusal(address));
    refusal.map_or(Ok(()), |why| {
        let remedy = if internal { "name another" } else { "allow it with `internal` (`-internal`), or name another" };
        Err(CoreError::Invalid(format!("nothing would be sent to {address}, while all of it is kept: {why}; {remedy}")))
    })
}

/// `host:port`, `[address]:port`.
pub(super) fn host_and_port(address: &str) -> Result<(&str, u16), CoreError> {
    let invalid = || CoreError::Invalid("the address must be host:port, as collector.example.org:6514".to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || host.contains(['/', '@', ' ', '[', ']']) {
        return Err(invalid());
    }
    Ok((host, port.parse().map_err(|_| invalid())?))
}
