//! How a line goes to the log daemon of this machine: facility, tag and header as Vault writes them (RFC 3164, without
//! the host name, as C libraries write to a local daemon). Knows nothing of sockets.

use super::option::{absolute, refused};
use crate::TrailError;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A `syslog` device: what its lines are marked with, and where the daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Syslog {
    priority: u8,
    tag: String,
    /// Where the daemon may listen, the likeliest place first.
    pub(crate) sockets: Vec<PathBuf>,
}

/// Facilities by their number (RFC 3164, section 4.1.1), under the names that Vault takes.
const FACILITIES: [(&str, u8); 20] = [
    ("KERN", 0),
    ("USER", 1),
    ("MAIL", 2),
    ("DAEMON", 3),
    ("AUTH", 4),
    ("SYSLOG", 5),
    ("LPR", 6),
    ("NEWS", 7),
    ("UUCP", 8),
    ("CRON", 9),
    ("AUTHPRIV", 10),
    ("FTP", 11),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];
/// Severity "informational".
const INFO: u8 = 6;
/// Where log daemons listen.
const SOCKETS: [&str; 3] = ["/dev/log", "/var/run/syslog", "/var/run/log"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Syslog {
    /// Reads the options of a `syslog` device. The defaults are Vault's, so that rules of a log daemon made for Vault
    /// go on matching.
    pub(super) fn parse(options: &BTreeMap<String, String>) -> Result<Self, TrailError> {
        let facility = options.get("facility").map_or("AUTH", String::as_str);
        let known = FACILITIES.iter().find(|(name, _)| name.eq_ignore_ascii_case(facility));
        let (_, number) = known.ok_or_else(|| {
            refused("audit device option `facility` must be one of KERN, USER, MAIL, DAEMON, AUTH, AUTHPRIV, LOCAL0 to LOCAL7 and their like")
        })?;
        let tag = options.get("tag").map_or("vault", String::as_str);
        if !is_tag(tag) {
            return Err(refused(
                "audit device option `tag` must be 1 to 32 letters, digits, `-`, `_`, `.` or `/` (RFC 3164)",
            ));
        }
        let sockets = match options.get("socket") {
            Some(path) => vec![absolute("socket", path)?],
            None => SOCKETS.map(PathBuf::from).to_vec(),
        };
        Ok(Self { priority: number * 8 + INFO, tag: tag.to_owned(), sockets })
    }

    /// A line with its header, ready to be sent.
    pub(super) fn frame(&self, line: &[u8]) -> Vec<u8> {
        let (priority, tag) = (self.priority, &self.tag);
        let mut framed = format!("<{priority}>{} {tag}[{}]: ", stamp(line), std::process::id()).into_bytes();
        framed.extend_from_slice(line);
        framed
    }
}

/// What cannot be mistaken for a part of the header, or of the line behind it.
fn is_tag(tag: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    (1..=32).contains(&tag.len()) && tag.bytes().all(fits)
}

/// `Nov 21 08:40:14` out of the time that the line begins with, in UTC. Log daemons put their own time in its place; the
/// exact one stays in the line.
fn stamp(line: &[u8]) -> String {
    let time = line.strip_prefix(br#"{"time":""#).and_then(|rest| rest.get(..19));
    let time = time.and_then(|time| std::str::from_utf8(time).ok()).unwrap_or_default();
    let part = |range| time.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    let day = part(8..10).trim_start_matches('0');
    format!("{} {day:>2} {}", month.unwrap_or(&"Jan"), part(11..19))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gets_the_header_that_vault_gives_it() {
        let options = [("facility", "local3"), ("tag", "strongroom")];
        let options = options.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let line = br#"{"time":"2026-03-05T08:40:14.123456789Z","type":"request"}"#;
        let pid = std::process::id();
        let framed = Syslog::parse(&options).unwrap().frame(line);
        let expected = format!("<158>Mar  5 08:40:14 strongroom[{pid}]: {}", str::from_utf8(line).unwrap());
        assert_eq!(String::from_utf8(framed).unwrap(), expected);
        let usual = Syslog::parse(&BTreeMap::new()).unwrap();
        assert!(usual.frame(line).starts_with(b"<38>Mar  5 08:40:14 vault["));
        assert_eq!(usual.sockets[0], PathBuf::from("/dev/log"));
    }
}
