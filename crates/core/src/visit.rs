use crate::Operation;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;
use strongroom_model::{NamespacePath, RequestId, RequestPath, Timestamp};

/// One request as it came through a door, before anybody knows whether it may proceed. Everything in it may stand in
/// the trail; the credential travels beside it.
#[derive(Clone, Debug)]
pub struct Visit {
    /// Names the request in answer, trail and operator log.
    pub request: RequestId,
    /// When it arrived.
    pub arrived: Timestamp,
    /// The foreign API it came through (`vault`).
    pub dialect: &'static str,
    /// What it wants done.
    pub operation: Operation,
    /// The namespace it names.
    pub namespace: NamespacePath,
    /// The canonical path.
    pub path: RequestPath,
    /// What the caller typed, when it is not the canonical path.
    pub typed: Option<String>,
    /// From where it came.
    pub source: Source,
    /// Headers that the operator wants recorded, by lower-case name, as they may stand in the trail.
    pub headers: BTreeMap<String, Vec<String>>,
    /// The wrapping asked for.
    pub wrap_ttl: Option<Duration>,
}

/// Bytes of an address of IP version 6, at most.
const LONGEST_ADDRESS: usize = 45;

/// From where a request came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The address; none for a unix socket.
    pub address: Option<IpAddr>,
    /// The port; 0 for a unix socket.
    pub port: u16,
}

impl Source {
    /// The address as the trail shows it.
    pub fn text(&self) -> String {
        let Some(address) = self.address else { return "unix".to_owned() };
        // An address is written digit by digit, and would grow the text as often.
        let mut text = String::with_capacity(LONGEST_ADDRESS);
        let _ = write!(text, "{address}");
        text
    }
}
