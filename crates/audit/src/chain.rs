//! The form of one line of the trail, and how lines hang together.
//!
//! A line is a JSON object that begins, in exactly this spelling, with `{"seq":N,"prev":"H","time":"T",` where `H` is
//! the SHA-256 of the line before (without its line feed) in lower-case hex. The first line of a trail has number 0
//! and a `prev` of zeros. Reading is strict down to the byte, so that no two texts mean the same line.
//!
//! Knows nothing of files.

use crate::TrailError;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::io::{self, Write as _};
use std::ops::Range;
use strongroom_model::Timestamp;

/// A SHA-256 value.
pub(crate) type Hash = [u8; 32];

/// What the first line names as its predecessor.
pub(crate) const ORIGIN: Hash = [0; 32];

/// Where the chain stands: what the next line has to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The number of the next line.
    pub(crate) next: u64,
    /// The hash of the last line.
    pub(crate) hash: Hash,
    /// The time in the last line.
    pub(crate) time: Timestamp,
}

impl Head {
    /// Before the first line.
    pub(crate) const START: Head = Head { next: 0, hash: ORIGIN, time: Timestamp::from_nanos(0) };

    /// Adds a line to the buffer (with its line feed) and moves on. `body` is a JSON object; `text` is `time`, spelt.
    pub(crate) fn push(&mut self, buffer: &mut Vec<u8>, body: &[u8], time: Timestamp, text: &str) -> io::Result<()> {
        let start = buffer.len();
        let mut prev = [0; 64];
        hex::encode_to_slice(self.hash, &mut prev).map_err(io::Error::other)?;
        write!(buffer, "{{\"seq\":{},\"prev\":\"", self.next)?;
        buffer.extend_from_slice(&prev);
        write!(buffer, "\",\"time\":\"{text}\",")?;
        buffer.extend_from_slice(body.strip_prefix(b"{").unwrap_or(body));
        self.hash = hash(buffer.get(start..).unwrap_or_default());
        buffer.push(b'\n');
        self.next += 1;
        self.time = time;
        Ok(())
    }
}

/// The lines of a text, without their line feeds. What follows the last line feed is a line too, unless it is empty.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, behind) = rest.split_at_checked(end)?;
        let is_over = rest.is_empty();
        rest = behind.get(1..).unwrap_or_default();
        (!is_over).then_some(line)
    })
}

/// What tells the text of a part of these bytes where it is UTF-8. That is asked of all at once, and of a part alone only
/// where some of them are broken.
pub(crate) fn spelling<'a>(bytes: &'a [u8]) -> impl Fn(Range<usize>) -> Option<&'a str> {
    let whole = std::str::from_utf8(bytes).ok();
    move |part| match whole {
        Some(whole) => whole.get(part),
        None => std::str::from_utf8(bytes.get(part)?).ok(),
    }
}

/// As [`lines`], each with its text where it is UTF-8.
pub(crate) fn texts(text: &[u8]) -> impl Iterator<Item = (&[u8], Option<&str>)> {
    let (spelling, mut begin) = (spelling(text), 0);
    lines(text).map(move |line| {
        let part = begin..begin + line.len();
        begin = part.end + 1;
        (line, spelling(part))
    })
}

/// The hash by which the next line names this one.
pub(crate) fn hash(line: &[u8]) -> Hash {
    let mut value = ORIGIN;
    value.copy_from_slice(digest(&SHA256, line).as_ref());
    value
}

/// The body of the first line. The name of the trail says when it began; two trails differ in it, so their chains do.
pub(crate) fn genesis(time: Timestamp) -> Vec<u8> {
    let name = hash(format!("strongroom audit trail v1\n{}\n", time.nanos()).as_bytes());
    let name = hex::encode(name.get(..16).unwrap_or_default());
    format!("{{\"genesis\":{{\"format\":1,\"trail\":\"{name}\"}}}}").into_bytes()
}

/// What a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineKind {
    /// The first line.
    Genesis,
    /// A signed statement about all lines before it.
    Checkpoint,
    /// A request or an event.
    Entry,
}

/// The beginning of a line, taken apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    /// The line's number.
    pub(crate) seq: u64,
    /// The predecessor's hash, as written.
    pub(crate) prev: &'a [u8],
    /// The time, as written.
    pub(crate) time: &'a str,
    /// What it is.
    pub(crate) kind: LineKind,
    /// Whether it is an entry that tells of an event.
    pub(crate) is_event: bool,
    /// Whether it is an entry that tells what somebody is about to do.
    pub(crate) is_intent: bool,
}

impl<'a> Header<'a> {
    /// Reads the beginning of a line (without line feed). `None` when a single byte of it is unusual.
    pub(crate) fn parse(line: &'a [u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"{\"seq\":")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = rest.split_at_checked(digits)?;
        let seq = number(digits)?;
        let rest = rest.strip_prefix(b",\"prev\":\"")?;
        let (prev, rest) = rest.split_at_checked(64)?;
        let rest = rest.strip_prefix(b"\",\"time\":\"")?;
        let end = memchr::memchr(b'"', rest.get(..LONGEST_TIME).unwrap_or(rest))?;
        let (time, rest) = rest.split_at_checked(end)?;
        let body = rest.strip_prefix(b"\",")?;
        let (is_event, is_intent) = (body.starts_with(b"\"kind\":\"event\""), body.starts_with(b"\"kind\":\"intent\""));
        Some(Self { seq, prev, time: std::str::from_utf8(time).ok()?, kind: kind(body)?, is_event, is_intent })
    }

    /// The hash of the line before, as this one names it.
    pub(crate) fn named(&self) -> Option<Hash> {
        let mut named = ORIGIN;
        hex::decode_to_slice(self.prev, &mut named).is_ok().then_some(named)
    }

    /// Whether the line names this hash as its predecessor's.
    pub(crate) fn follows(&self, hash: &Hash) -> bool {
        let mut text = [0; 64];
        hex::encode_to_slice(hash, &mut text).is_ok() && text == self.prev
    }
}

/// A time with its closing quote is not longer.
const LONGEST_TIME: usize = 40;

/// The number that these digits are, unless there are none, or more than needed.
fn number(digits: &[u8]) -> Option<u64> {
    let is_plain = digits.len() == 1 || !digits.starts_with(b"0");
    std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
}

/// A body begins with a name that tells its kind.
fn kind(body: &[u8]) -> Option<LineKind> {
    if body.starts_with(b"\"kind\":") {
        return Some(LineKind::Entry);
    }
    if body.starts_with(b"\"checkpoint\":") {
        return Some(LineKind::Checkpoint);
    }
    body.starts_with(b"\"genesis\":").then_some(LineKind::Genesis)
}

/// A signed statement: the trail's first `size` lines end in a line with the hash `head`. It is itself line number
/// `size`. Keep one outside of the server, and a trail cut off behind it is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many lines it speaks of.
    pub size: u64,
    /// SHA-256 of the last of them.
    pub head: [u8; 32],
    /// When it was signed.
    pub time: Timestamp,
    /// The store's generation at that moment.
    pub generation: u64,
    /// The public key (Ed25519) that signed.
    pub key: [u8; 32],
    /// The signature over the checkpoint's text.
    pub signature: [u8; 64],
}

/// The wire form of a checkpoint's body, beside the header that every line has.
#[derive(Deserialize)]
struct CheckpointLine {
    time: Timestamp,
    checkpoint: CheckpointBody,
    sig: String,
}

#[derive(Deserialize)]
struct CheckpointBody {
    size: u64,
    head: String,
    generation: u64,
    key: String,
}

impl Checkpoint {
    /// The text that is signed. Its first line keeps the signature from meaning anything elsewhere; every field has a
    /// line of its own and none can hold a line feed, so no two checkpoints have the same text.
    pub fn text(size: u64, head: &[u8; 32], time: Timestamp, generation: u64, key: &[u8; 32]) -> String {
        let (head, key) = (hex::encode(head), hex::encode(key));
        format!(
            "strongroom audit checkpoint v1\nsize {size}\nhead {head}\ntime {time}\ngeneration {generation}\nkey {key}\n"
        )
    }

    /// Whether the key in it made the signature in it. Whether that key is the right one is for the caller to say.
    pub fn is_signed(&self) -> bool {
        let text = Self::text(self.size, &self.head, self.time, self.generation, &self.key);
        UnparsedPublicKey::new(&ED25519, self.key).verify(text.as_bytes(), &self.signature).is_ok()
    }

    /// Whether one of these keys is named in it; no keys stand for any.
    pub(crate) fn is_by(&self, keys: &[[u8; 32]]) -> bool {
        keys.is_empty() || keys.contains(&self.key)
    }

    /// The body of its line.
    pub(crate) fn body(&self) -> Vec<u8> {
        let (head, key, sig) = (hex::encode(self.head), hex::encode(self.key), hex::encode(self.signature));
        format!(
            "{{\"checkpoint\":{{\"size\":{},\"head\":\"{head}\",\"generation\":{},\"key\":\"{key}\"}},\"sig\":\"{sig}\"}}",
            self.size, self.generation
        )
        .into_bytes()
    }

    /// Reads a checkpoint line; `None` unless it is byte for byte what writing it again would give.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let read: CheckpointLine = serde_json::from_slice(line).ok()?;
        let mut checkpoint = Self {
            size: read.checkpoint.size,
            head: ORIGIN,
            time: read.time,
            generation: read.checkpoint.generation,
            key: ORIGIN,
            signature: [0; 64],
        };
        hex::decode_to_slice(read.checkpoint.head, &mut checkpoint.head).ok()?;
        hex::decode_to_slice(read.checkpoint.key, &mut checkpoint.key).ok()?;
        hex::decode_to_slice(read.sig, &mut checkpoint.signature).ok()?;
        let mut again = Vec::with_capacity(line.len() + 1);
        let mut head = Head { next: checkpoint.size, hash: checkpoint.head, time: checkpoint.time };
        head.push(&mut again, &checkpoint.body(), checkpoint.time, &checkpoint.time.to_string()).ok()?;
        (again.strip_suffix(b"\n")? == line).then_some(checkpoint)
    }
}

/// Why a line does not continue the chain.
pub(crate) struct Misstep {
    /// In words.
    pub(crate) why: String,
    /// Whether it has the right number but names another line before it: one of the two was changed.
    pub(crate) disputes: bool,
}

impl From<String> for Misstep {
    fn from(why: String) -> Self {
        Self { why, disputes: false }
    }
}

/// Which signatures are checked on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signatures {
    /// That of each checkpoint.
    Each,
    /// None: the last one speaks for every line before it, and whoever walks checks that one in the end.
    Last,
}

/// Follows the chain over lines, one after the other.
pub(crate) struct Walk {
    /// Where it stands.
    pub(crate) head: Head,
    /// Lines since the last checkpoint.
    pub(crate) unsigned: u64,
    /// The last checkpoint met.
    pub(crate) checkpoint: Option<Checkpoint>,
}

impl Walk {
    /// Begins behind `head`.
    pub(crate) fn from(head: Head) -> Self {
        Self { head, unsigned: 0, checkpoint: None }
    }

    /// Takes the next line, or says why it does not continue the chain. No `keys` stand for any key.
    pub(crate) fn step(&mut self, line: &[u8], keys: &[[u8; 32]]) -> Result<(), Misstep> {
        match is_whole(line) {
            true => self.step_on_trust(line, keys, Signatures::Each),
            false => Err(damaged(self.head.next)),
        }
    }

    /// As [`Walk::step`], but damage that spares the line's header goes unnoticed: it shows in the next line's hash. Who
    /// comes to the last line has to ask whether it [`is_whole`].
    pub(crate) fn step_on_trust(
        &mut self,
        line: &[u8],
        keys: &[[u8; 32]],
        signatures: Signatures,
    ) -> Result<(), Misstep> {
        let next = self.head.next;
        let header = Header::parse(line).ok_or_else(|| damaged(next))?;
        if header.seq != next {
            return Err(format!("line {next} is missing: number {} stands in its place", header.seq).into());
        }
        if !header.follows(&self.head.hash) {
            let why = format!("line {next} does not continue the line before it");
            return Err(Misstep { why, disputes: true });
        }
        if (next == 0) != (header.kind == LineKind::Genesis) {
            return Err(format!("line {next} is not of the kind that belongs there").into());
        }
        let time = Timestamp::parse(header.time).ok_or_else(|| format!("line {next} has no time"))?;
        self.unsigned += 1;
        if header.kind == LineKind::Checkpoint {
            let is_signed = |checkpoint: &Checkpoint| signatures == Signatures::Last || checkpoint.is_signed();
            let checkpoint = Checkpoint::parse(line).filter(is_signed);
            let checkpoint = checkpoint.ok_or_else(|| format!("the signature of checkpoint {next} is wrong"))?;
            if !checkpoint.is_by(keys) {
                return Err(format!("checkpoint {next} is signed by another key").into());
            }
            self.checkpoint = Some(checkpoint);
            self.unsigned = 0;
        }
        self.head = Head { next: next + 1, hash: hash(line), time };
        Ok(())
    }
}

/// Whether a line is JSON to its end. Reading all of it takes as long as hashing it.
pub(crate) fn is_whole(line: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(line).is_ok()
}

/// What is said of a line that cannot be read.
pub(crate) fn damaged(number: u64) -> Misstep {
    format!("line {number} is damaged").into()
}

/// The error for an entry that cannot be spelt as JSON.
pub(crate) fn unspeakable(why: impl std::fmt::Display) -> TrailError {
    TrailError::Unwritable { why: format!("an entry could not be put into words: {why}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(head: &mut Head, body: &[u8]) -> Vec<u8> {
        let mut buffer = Vec::new();
        let time = Timestamp::from_secs(7);
        head.push(&mut buffer, body, time, &time.to_string()).unwrap();
        assert_eq!(buffer.pop(), Some(b'\n'));
        buffer
    }

    #[test]
    fn a_line_reads_back_and_the_next_one_follows_it() {
        let mut head = Head::START;
        let first = line(&mut head, &genesis(Timestamp::from_secs(7)));
        let second = line(&mut head, b"{\"kind\":\"event\"}");
        let header = Header::parse(&second).unwrap();
        assert_eq!((header.seq, header.kind, header.time), (1, LineKind::Entry, "1970-01-01T00:00:07Z"));
        assert!(header.follows(&hash(&first)));
        assert!(serde_json::from_slice::<serde_json::Value>(&second).is_ok());
    }

    #[test]
    fn a_line_that_is_no_text_hides_none_of_the_others() {
        let whole = "ä\n\nb\nc".as_bytes();
        let expected = ["ä", "", "b", "c"].map(|text| (text.as_bytes(), Some(text)));
        assert_eq!(texts(whole).collect::<Vec<_>>(), expected);
        let broken = b"a\n\xff\n\xc3\n\xa4\nb\n";
        let expected: [(&[u8], _); 5] =
            [(b"a", Some("a")), (b"\xff", None), (b"\xc3", None), (b"\xa4", None), (b"b", Some("b"))];
        assert_eq!(texts(broken).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn an_unusual_spelling_is_not_a_line() {
        let mut head = Head::START;
        let good = String::from_utf8(line(&mut head, b"{\"kind\":\"event\"}")).unwrap();
        for (from, to) in [("\"seq\":0", "\"seq\":00"), ("\"seq\":0", "\"seq\": 0"), ("\"kind\"", "\"Kind\"")] {
            assert!(Header::parse(good.replace(from, to).as_bytes()).is_none(), "{to}");
        }
    }

    #[test]
    fn a_number_or_a_time_that_is_too_long_is_not_read() {
        let line = |seq: &str, time: &str| {
            let line =
                format!("{{\"seq\":{seq},\"prev\":\"{}\",\"time\":\"{time}\",\"kind\":\"event\"}}", "0".repeat(64));
            Header::parse(line.as_bytes()).map(|header| (header.seq, header.time.to_owned()))
        };
        assert_eq!(line("18446744073709551615", "T"), Some((u64::MAX, "T".to_owned())));
        for seq in ["18446744073709551616", "99999999999999999999", "184467440737095516150", "", "-1", "+1"] {
            assert_eq!(line(seq, "T"), None, "{seq}");
        }
        let time = "T".repeat(39);
        assert_eq!(line("0", &time), Some((0, time)));
        assert_eq!(line("0", &"T".repeat(40)), None);
    }

    #[test]
    fn a_checkpoint_in_another_spelling_is_refused() {
        let checkpoint = Checkpoint {
            size: 0,
            head: ORIGIN,
            time: Timestamp::from_secs(7),
            generation: 3,
            key: [0xAB; 32],
            signature: [0xCD; 64],
        };
        let mut head = Head::START;
        let text = String::from_utf8(line(&mut head, &checkpoint.body())).unwrap();
        assert_eq!(Checkpoint::parse(text.as_bytes()), Some(checkpoint));
        assert_eq!(Checkpoint::parse(text.replace("abab", "ABAB").as_bytes()), None);
        assert_eq!(Checkpoint::parse(text.replace("\"sig\":", "\"sig\": ").as_bytes()), None);
        assert_eq!(Checkpoint::parse(text.replace("07Z", "07.0Z").as_bytes()), None);
    }
}
