//! Reads the options of a device. What could turn an audit file into something else (a prefix, an executable mode, a
//! place among the trail's own files) is refused: CVE-2025-6000 was made of these.

use super::syslog::Syslog;
use crate::TrailError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use strongroom_model::Ttl;

/// Where a device writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file, by absolute path.
    File(PathBuf),
    /// The standard output of the server.
    Stdout,
    /// Nowhere: for measuring.
    Discard,
    /// The log daemon of this machine.
    Syslog(Syslog),
    /// A connection to somebody who listens.
    Stream(StreamTarget),
    /// Datagrams to this host and port.
    Udp(String),
}

/// A connection that stays open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamTarget {
    /// Who listens.
    pub(crate) peer: Peer,
    /// For making a connection, and for the other side to take something of what is ready for it.
    pub(crate) patience: Duration,
}

/// Who listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Host and port.
    Tcp(String),
    /// A socket on this machine.
    Unix(PathBuf),
}

/// The options of a device, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeviceOptions {
    /// Where to.
    pub(crate) target: Target,
    /// The permissions to set; `None` leaves those of an existing file alone.
    pub(crate) mode: Option<u32>,
    /// Whether accessors are hashed.
    pub(crate) hmac_accessor: bool,
    /// Whether the answers to lists are replaced by their length.
    pub(crate) elide_list_responses: bool,
}

type Options = BTreeMap<String, String>;

/// Vault's `write_timeout`.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);

impl DeviceOptions {
    /// Those of a device that writes nowhere: for what only wants its form.
    pub(crate) fn discarding() -> Self {
        Self { target: Target::Discard, mode: None, hmac_accessor: true, elide_list_responses: false }
    }

    /// Reads those of a device of this type, or says which one cannot be served and why.
    pub(crate) fn parse(kind: &str, options: &Options) -> Result<Self, TrailError> {
        let (target, own): (_, &[&str]) = match kind {
            "file" => (file(options)?, &["file_path", "path", "mode"]),
            "syslog" => (Target::Syslog(Syslog::parse(options)?), &["facility", "tag", "socket"]),
            "socket" => (socket(options)?, &["address", "socket_type", "write_timeout"]),
            _ => {
                let why = format!("audit device type `{kind}` is not available; use `file`, `socket` or `syslog`");
                return Err(refused(why));
            }
        };
        let mut read = Self { target, mode: Some(0o600), hmac_accessor: true, elide_list_responses: false };
        for (name, value) in options {
            match name.as_str() {
                "mode" if kind == "file" => read.mode = mode(value)?,
                name if own.contains(&name) => {}
                "hmac_accessor" => read.hmac_accessor = flag(name, value)?,
                "elide_list_responses" => read.elide_list_responses = flag(name, value)?,
                "log_raw" => raw(flag(name, value)?)?,
                "format" => format(value)?,
                "prefix" => prefix(value)?,
                _ => return Err(refused(format!("audit device option `{name}` is not known for type `{kind}`"))),
            }
        }
        Ok(read)
    }
}

/// The refusal of an option.
pub(super) fn refused(why: impl Into<String>) -> TrailError {
    TrailError::Device(why.into())
}

fn file(options: &Options) -> Result<Target, TrailError> {
    let path = options.get("file_path").or_else(|| options.get("path"));
    let path = path.ok_or_else(|| refused("audit device option `file_path` is missing"))?;
    if path.eq_ignore_ascii_case("stdout") {
        return Ok(Target::Stdout);
    }
    if path.eq_ignore_ascii_case("discard") {
        return Ok(Target::Discard);
    }
    let path = PathBuf::from(path);
    if !path.is_absolute() || path.file_name().is_none() {
        return Err(refused("audit device option `file_path` must be an absolute path, `stdout` or `discard`"));
    }
    Ok(Target::File(path))
}

fn socket(options: &Options) -> Result<Target, TrailError> {
    let address = options.get("address").filter(|address| !address.is_empty());
    let address = address.ok_or_else(|| refused("audit device option `address` is missing"))?.clone();
    let patience =
        match options.get("write_timeout") {
            None => WRITE_TIMEOUT,
            Some(text) => Ttl::parse(text).ok().map(|ttl| ttl.0).filter(|span| !span.is_zero()).ok_or_else(|| {
                refused("audit device option `write_timeout` must be a time above zero, such as `2s`")
            })?,
        };
    match options.get("socket_type").map_or("tcp", String::as_str) {
        "tcp" => Ok(Target::Stream(StreamTarget { peer: Peer::Tcp(host_and_port(address)?), patience })),
        "udp" => Ok(Target::Udp(host_and_port(address)?)),
        "unix" => Ok(Target::Stream(StreamTarget { peer: Peer::Unix(absolute("address", &address)?), patience })),
        _ => Err(refused("audit device option `socket_type` must be `tcp`, `udp` or `unix`")),
    }
}

fn host_and_port(address: String) -> Result<String, TrailError> {
    let parts = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match parts.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(port) if port > 0 => Ok(address),
        _ => Err(refused("audit device option `address` must be host and port, such as `10.0.0.5:6514`")),
    }
}

/// A path that does not depend on where the server was started.
pub(super) fn absolute(name: &str, path: &str) -> Result<PathBuf, TrailError> {
    let path = PathBuf::from(path);
    match path.is_absolute() {
        true => Ok(path),
        false => Err(refused(format!("audit device option `{name}` must be the absolute path of a socket"))),
    }
}

/// The spellings that Go's ParseBool reads, since that is what clients of Vault send.
fn flag(name: &str, value: &str) -> Result<bool, TrailError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(refused(format!("audit device option `{name}` must be `true` or `false`"))),
    }
}

fn mode(value: &str) -> Result<Option<u32>, TrailError> {
    let bits =
        u32::from_str_radix(value, 8).map_err(|_| refused("audit device option `mode` must be an octal number"))?;
    match bits {
        0 => Ok(None),
        bits if bits & !0o666 == 0 => Ok(Some(bits)),
        _ => Err(refused("audit device option `mode` may hold read and write permissions only, such as `0600`")),
    }
}

fn raw(wanted: bool) -> Result<(), TrailError> {
    if wanted {
        return Err(refused("audit device option `log_raw` cannot be `true`: the trail never holds raw values"));
    }
    Ok(())
}

fn format(value: &str) -> Result<(), TrailError> {
    match value {
        "json" => Ok(()),
        "jsonx" => Err(refused("audit device format `jsonx` is not available; use `json`")),
        _ => Err(refused("audit device option `format` must be `json`")),
    }
}

fn prefix(value: &str) -> Result<(), TrailError> {
    if value.is_empty() {
        return Ok(());
    }
    Err(refused(
        "audit device option `prefix` is not taken: chosen by a caller, it would let them write a file of another kind \
         (CVE-2025-6000); let the log collector add it",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_as(kind: &str, options: &[(&str, &str)]) -> Result<DeviceOptions, String> {
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        DeviceOptions::parse(kind, &options).map_err(|error| error.to_string())
    }

    fn parse(options: &[(&str, &str)]) -> Result<DeviceOptions, String> {
        parse_as("file", options)
    }

    #[test]
    fn reads_what_vault_reads() {
        let read = parse(&[("file_path", "/var/log/a.log"), ("mode", "0640"), ("hmac_accessor", "false")]).unwrap();
        assert_eq!(read.target, Target::File("/var/log/a.log".into()));
        assert_eq!((read.mode, read.hmac_accessor, read.elide_list_responses), (Some(0o640), false, false));
        assert_eq!(parse(&[("path", "STDOUT")]).unwrap().target, Target::Stdout);
        assert_eq!(parse(&[("file_path", "discard"), ("mode", "0000")]).unwrap().mode, None);
        assert!(parse(&[("file_path", "stdout"), ("log_raw", "false"), ("format", "json"), ("prefix", "")]).is_ok());
    }

    #[test]
    fn reads_where_a_socket_device_connects_to() {
        let read = |options: &[(&str, &str)]| parse_as("socket", options).unwrap().target;
        let stream = |peer, secs| Target::Stream(StreamTarget { peer, patience: Duration::from_secs(secs) });
        assert_eq!(read(&[("address", "log:9090")]), stream(Peer::Tcp("log:9090".to_owned()), 2));
        let unix = [("address", "/run/log.sock"), ("socket_type", "unix"), ("write_timeout", "5s")];
        assert_eq!(read(&unix), stream(Peer::Unix("/run/log.sock".into()), 5));
        assert_eq!(read(&[("address", "[::1]:514"), ("socket_type", "udp")]), Target::Udp("[::1]:514".to_owned()));
        let elided = [("address", "log:1"), ("elide_list_responses", "true"), ("hmac_accessor", "0")];
        let elided = parse_as("socket", &elided).unwrap();
        assert!(elided.elide_list_responses && !elided.hmac_accessor);
    }

    #[test]
    fn refuses_what_it_cannot_serve_and_says_why() {
        let refused = [
            ("file", vec![], "`file_path` is missing"),
            ("file", vec![("file_path", "a.log")], "absolute"),
            ("file", vec![("file_path", "/")], "absolute"),
            ("file", vec![("file_path", "stdout"), ("log_raw", "true")], "never holds raw values"),
            ("file", vec![("file_path", "stdout"), ("log_raw", "perhaps")], "`true` or `false`"),
            ("file", vec![("file_path", "stdout"), ("format", "jsonx")], "use `json`"),
            ("file", vec![("file_path", "stdout"), ("prefix", "#!/bin/sh\n")], "CVE-2025-6000"),
            ("file", vec![("file_path", "stdout"), ("mode", "0755")], "read and write"),
            ("file", vec![("file_path", "stdout"), ("mode", "04600")], "read and write"),
            ("file", vec![("file_path", "stdout"), ("mode", "rw")], "octal"),
            ("file", vec![("file_path", "stdout"), ("colour", "red")], "`colour` is not known"),
            ("file", vec![("file_path", "stdout"), ("facility", "AUTH")], "`facility` is not known for type `file`"),
            ("kafka", vec![], "use `file`, `socket` or `syslog`"),
            ("socket", vec![], "`address` is missing"),
            ("socket", vec![("address", "log")], "host and port"),
            ("socket", vec![("address", ":9090")], "host and port"),
            ("socket", vec![("address", "log:0")], "host and port"),
            ("socket", vec![("address", "log:1"), ("socket_type", "icmp")], "`tcp`, `udp` or `unix`"),
            ("socket", vec![("address", "run/x"), ("socket_type", "unix")], "absolute path"),
            ("socket", vec![("address", "log:1"), ("write_timeout", "soon")], "such as `2s`"),
            ("socket", vec![("address", "log:1"), ("write_timeout", "0")], "above zero"),
            ("socket", vec![("address", "log:1"), ("prefix", "x")], "CVE-2025-6000"),
            ("socket", vec![("address", "log:1"), ("mode", "0600")], "`mode` is not known"),
            ("syslog", vec![("facility", "LOCAL9")], "LOCAL7"),
            ("syslog", vec![("tag", "a b")], "`tag`"),
            ("syslog", vec![("tag", "")], "`tag`"),
            ("syslog", vec![("socket", "log")], "absolute path"),
        ];
        for (kind, options, why) in refused {
            let error = parse_as(kind, &options).unwrap_err();
            assert!(error.contains(why), "{kind} {options:?}: {error}");
        }
    }
}
