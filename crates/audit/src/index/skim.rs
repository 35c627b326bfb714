//! Reads a line as the trail's writer spells it: names and values without a space between, in one pass over the bytes, with
//! nothing copied. Every line of the trail is read twice while requests are served, and the JSON library takes several
//! times as long.
//!
//! Invariants: whatever is spelt in another way is given up (`None`), for the library to judge; what is read is what the
//! library reads. Parts that nobody asks for are passed over by their brackets and quotes, not judged: that a line is
//! unaltered is what the chain proves.

use super::line::{Decision, Line, Login, Mount, Outcome, Secret, Source, Text, Who, Wrap};

/// Reads an entry.
pub(super) fn entry(line: &str) -> Option<Line<'_>> {
    let mut skim = Skim { text: line, at: 0 };
    let read = skim.line()?;
    (skim.at == line.len()).then_some(read)
}

/// Where reading stands.
struct Skim<'a> {
    text: &'a str,
    at: usize,
}

/// A field that is read: a second one of the same name is for the library to refuse.
fn once<T>(place: &mut Option<T>, value: Option<T>) -> Option<()> {
    place.replace(value?).is_none().then_some(())
}

/// How many bytes there are before one that ends a text, or that no text may hold as it is: a quote, a stroke, or a sign
/// below a space (RFC 8259, section 7). Looks at eight at a time: most texts of a line are too short to be worth a call.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = 0;
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        let word = u64::from_le_bytes(*word);
        let below_space = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | below_space;
        if found != 0 {
            // The lowest mark is exact; a borrow can only make marks above it that mean nothing.
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len())
}

impl<'a> Skim<'a> {
    #[inline]
    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, sign: u8) -> Option<()> {
        (self.next()? == sign).then(|| self.at += 1)
    }

    /// Takes the rest of a word that is fixed.
    fn word(&mut self, word: &str) -> Option<()> {
        let there = self.text.as_bytes().get(self.at..)?.starts_with(word.as_bytes());
        there.then(|| self.at += word.len())
    }

    /// A text without escapes.
    fn text(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let begin = self.at;
        self.at += plain(self.text.as_bytes().get(begin..)?);
        let read = self.text.get(begin..self.at)?;
        self.take(b'"').map(|()| read)
    }

    fn spelt(&mut self) -> Option<Text<'a>> {
        self.text().map(Text::borrowed)
    }

    fn number<N: std::str::FromStr>(&mut self) -> Option<N> {
        let rest = self.text.get(self.at..)?;
        let end = rest.bytes().position(|byte| !byte.is_ascii_digit())?;
        let digits = rest.get(..end)?;
        self.at += end;
        (digits.len() == 1 || !digits.starts_with('0')).then(|| digits.parse().ok())?
    }

    fn truth(&mut self) -> Option<bool> {
        match self.next()? {
            b't' => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    /// A value that may be missing: `null`, or what is read by `read`.
    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.next()? {
            b'n' => self.word("null").map(|()| None),
            _ => read(self).map(Some),
        }
    }

    /// An object; `each` is told a name and has to take the value.
    fn fields(&mut self, mut each: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.next()? == b'}' {
            return self.take(b'}');
        }
        loop {
            let name = self.text()?;
            self.take(b':')?;
            each(self, name)?;
            match self.next()? {
                b',' => self.at += 1,
                _ => return self.take(b'}'),
            }
        }
    }

    /// Passes over a value of any kind.
    fn pass(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                b'"' => self.pass_text()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                b'0'..=b'9' | b'-' | b't' | b'f' | b'n' => self.pass_plain()?,
                _ => return None,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Passes over a number, or over `true`, `false` or `null`.
    fn pass_plain(&mut self) -> Option<()> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().position(|byte| matches!(byte, b',' | b'}' | b']'))?;
        Some(())
    }

    fn pass_text(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            self.at += plain(self.text.as_bytes().get(self.at..)?);
            match self.next()? {
                b'"' => return self.take(b'"'),
                // What stands behind a stroke ends nothing.
                b'\\' => self.at += 2,
                _ => return None,
            }
        }
    }
}

impl<'a> Skim<'a> {
    fn line(&mut self) -> Option<Line<'a>> {
        let mut line = Draft::default();
        self.fields(|skim, name| line.take(skim, name))?;
        Some(Line {
            seq: line.seq?,
            time: line.time?,
            kind: line.kind?,
            request: line.request?,
            dialect: line.dialect?,
            operation: line.operation?,
            namespace: line.namespace?,
            mount: line.mount.flatten(),
            path: line.path?,
            secret: line.secret.flatten(),
            typed: line.typed.flatten(),
            version: line.version.flatten(),
            principal: line.principal.flatten(),
            token_hash: line.token_hash.flatten(),
            source: line.source?,
            decision: line.decision.flatten(),
            outcome: line.outcome.flatten(),
            lease_id: line.lease_id.flatten(),
            subject: line.subject.flatten(),
            note: line.note.flatten(),
            duration_us: line.duration_us.unwrap_or_default(),
            response_auth: line.response_auth.flatten(),
            wrap: line.wrap.flatten(),
        })
    }

    fn mount(&mut self) -> Option<Mount<'a>> {
        let (mut path, mut kind, mut accessor, mut class) = (None, None, None, None);
        self.fields(|skim, name| match name {
            "path" => once(&mut path, skim.spelt()),
            "type" => once(&mut kind, skim.spelt()),
            "accessor" => once(&mut accessor, skim.spelt()),
            "class" => once(&mut class, skim.spelt()),
            _ => skim.pass(),
        })?;
        Some(Mount { path: path?, kind: kind?, accessor: accessor?, class: class? })
    }

    fn secret(&mut self) -> Option<Secret<'a>> {
        let (mut named, mut act) = (None, None);
        self.fields(|skim, name| match name {
            "name" => once(&mut named, skim.spelt()),
            "act" => once(&mut act, skim.spelt()),
            _ => skim.pass(),
        })?;
        Some(Secret { name: named?, act: act? })
    }

    fn who(&mut self) -> Option<Who<'a>> {
        let (mut entity, mut accessor, mut display_name) = (None, None, None);
        self.fields(|skim, name| match name {
            "entity" => once(&mut entity, skim.maybe(Self::spelt)),
            "accessor" => once(&mut accessor, skim.spelt()),
            "display_name" => once(&mut display_name, skim.spelt()),
            _ => skim.pass(),
        })?;
        Some(Who { entity: entity.flatten(), accessor: accessor?, display_name: display_name? })
    }

    fn source(&mut self) -> Option<Source<'a>> {
        let mut address = None;
        self.fields(|skim, name| match name {
            "address" => once(&mut address, skim.spelt()),
            _ => skim.pass(),
        })?;
        Some(Source { address: address? })
    }

    fn decision(&mut self) -> Option<Decision<'a>> {
        let (mut granted, mut policy, mut rule, mut line, mut reason) = (None, None, None, None, None);
        self.fields(|skim, name| match name {
            "granted" => once(&mut granted, skim.truth()),
            "policy" => once(&mut policy, skim.maybe(Self::spelt)),
            "rule" => once(&mut rule, skim.maybe(Self::spelt)),
            "line" => once(&mut line, skim.maybe(Self::number)),
            "reason" => once(&mut reason, skim.spelt()),
            _ => skim.pass(),
        })?;
        let (policy, rule, line) = (policy.flatten(), rule.flatten(), line.flatten());
        Some(Decision { granted: granted?, policy, rule, line, reason: reason? })
    }

    fn outcome(&mut self) -> Option<Outcome<'a>> {
        let (mut result, mut missing) = (None, None);
        self.fields(|skim, name| match name {
            "result" => once(&mut result, skim.spelt()),
            "missing" => once(&mut missing, skim.maybe(Self::spelt)),
            _ => skim.pass(),
        })?;
        Some(Outcome { result: result?, missing: missing.flatten() })
    }

    fn login(&mut self) -> Option<Login<'a>> {
        let mut principal = None;
        self.fields(|skim, name| match name {
            "principal" => once(&mut principal, skim.who()),
            _ => skim.pass(),
        })?;
        Some(Login { principal: principal? })
    }

    fn wrap(&mut self) -> Option<Wrap<'a>> {
        let (mut accessor, mut wrapped_accessor) = (None, None);
        self.fields(|skim, name| match name {
            "accessor" => once(&mut accessor, skim.spelt()),
            "wrapped_accessor" => once(&mut wrapped_accessor, skim.maybe(Self::spelt)),
            _ => skim.pass(),
        })?;
        Some(Wrap { accessor: accessor?, wrapped_accessor: wrapped_accessor.flatten() })
    }
}

/// A [`Line`] of which some fields are read. The inner option is that of a field which may be `null`.
#[derive(Default)]
struct Draft<'a> {
    seq: Option<u64>,
    time: Option<Text<'a>>,
    kind: Option<Text<'a>>,
    request: Option<Text<'a>>,
    dialect: Option<Text<'a>>,
    operation: Option<Text<'a>>,
    namespace: Option<Text<'a>>,
    mount: Option<Option<Mount<'a>>>,
    path: Option<Text<'a>>,
    secret: Option<Option<Secret<'a>>>,
    typed: Option<Option<Text<'a>>>,
    version: Option<Option<u64>>,
    principal: Option<Option<Who<'a>>>,
    token_hash: Option<Option<Text<'a>>>,
    source: Option<Source<'a>>,
    decision: Option<Option<Decision<'a>>>,
    outcome: Option<Option<Outcome<'a>>>,
    lease_id: Option<Option<Text<'a>>>,
    subject: Option<Option<Text<'a>>>,
    note: Option<Option<Text<'a>>>,
    duration_us: Option<u64>,
    response_auth: Option<Option<Login<'a>>>,
    wrap: Option<Option<Wrap<'a>>>,
}

impl<'a> Draft<'a> {
    fn take(&mut self, skim: &mut Skim<'a>, name: &str) -> Option<()> {
        match name {
            "seq" => once(&mut self.seq, skim.number()),
            "time" => once(&mut self.time, skim.spelt()),
            "kind" => once(&mut self.kind, skim.spelt()),
            "request" => once(&mut self.request, skim.spelt()),
            "dialect" => once(&mut self.dialect, skim.spelt()),
            "operation" => once(&mut self.operation, skim.spelt()),
            "namespace" => once(&mut self.namespace, skim.spelt()),
            "mount" => once(&mut self.mount, skim.maybe(Skim::mount)),
            "path" => once(&mut self.path, skim.spelt()),
            "secret" => once(&mut self.secret, skim.maybe(Skim::secret)),
            "typed" => once(&mut self.typed, skim.maybe(Skim::spelt)),
            "version" => once(&mut self.version, skim.maybe(Skim::number)),
            "principal" => once(&mut self.principal, skim.maybe(Skim::who)),
            "token_hash" => once(&mut self.token_hash, skim.maybe(Skim::spelt)),
            "source" => once(&mut self.source, skim.source()),
            "decision" => once(&mut self.decision, skim.maybe(Skim::decision)),
            "outcome" => once(&mut self.outcome, skim.maybe(Skim::outcome)),
            "lease_id" => once(&mut self.lease_id, skim.maybe(Skim::spelt)),
            "subject" => once(&mut self.subject, skim.maybe(Skim::spelt)),
            "note" => once(&mut self.note, skim.maybe(Skim::spelt)),
            "duration_us" => once(&mut self.duration_us, skim.number()),
            "response_auth" => once(&mut self.response_auth, skim.maybe(Skim::login)),
            "wrap" => once(&mut self.wrap, skim.maybe(Skim::wrap)),
            _ => skim.pass(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: &str = r#"{"seq":9496,"prev":"ac5c","time":"2026-11-21T18:55:25.894843608Z","kind":"outcome","request":"e32f","dialect":"vault","operation":"read","namespace":"","mount":{"path":"secret","type":"kv","accessor":"kv_55","class":"secret"},"path":"secret/data/b","secret":{"name":"b","act":"read"},"version":1,"principal":{"entity":null,"accessor":"Th","display_name":"token","token_policies":["bench","default"],"metadata":{}},"token_hash":"hmac-sha256:d1","source":{"address":"127.0.0.1","port":57636},"decision":{"granted":true,"policy":"bench","rule":"secret/data/*","line":1,"reason":"granted"},"outcome":{"result":"ok"},"request_data":{"a\\\"}":[1.5e3,-2,true,null,"\\\\"]},"lease_id":null,"duration_us":672,"response_auth":{"policies":[],"principal":{"entity":"E","accessor":"A","display_name":"D"}},"wrap":{"accessor":"w","wrapped_accessor":"v","ttl":3}}"#;
    const NOT_FOUND: &str = r#"{"seq":7,"time":"T","kind":"outcome","request":"e32f","dialect":"aws","operation":"GetSecretValue","namespace":"","path":"p","source":{"address":""},"outcome":{"result":"not_found","error":"no such \"x\"","missing":"disabled"},"duration_us":1}"#;
    const BARE: &str = r#"{"seq":0,"prev":"","time":"T","kind":"event","request":"","dialect":"","operation":"","namespace":"ü","path":"p","source":{"address":""}}"#;

    fn both(line: &str) -> (Option<Line<'_>>, Option<Line<'_>>) {
        (entry(line), serde_json::from_str(line).ok())
    }

    #[test]
    fn what_the_writer_spells_is_read_and_is_what_the_library_reads() {
        for line in [READ, NOT_FOUND, BARE] {
            let (skimmed, parsed) = both(line);
            assert!(skimmed.is_some());
            assert_eq!(skimmed, parsed);
        }
    }

    #[test]
    fn a_line_with_any_byte_changed_left_out_or_cut_is_given_up_or_read_as_the_library_reads_it() {
        for line in [READ, NOT_FOUND, BARE] {
            for at in 0..line.len() {
                for sign in ["", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "n", " ", "\u{1}", "é"] {
                    let (Some(before), Some(after)) = (line.get(..at), line.get(at + 1..)) else { continue };
                    let changed = format!("{before}{sign}{after}");
                    let (skimmed, parsed) = both(&changed);
                    // Only what is passed over may be read where the library reads nothing.
                    assert!(skimmed.is_none() || parsed.is_none() || skimmed == parsed, "{changed}");
                }
                assert!(line.get(..at).is_none_or(|cut| entry(cut).is_none()), "cut at {at}");
            }
        }
    }

    #[test]
    fn what_is_spelt_in_another_way_is_left_to_the_library() {
        let others = [
            BARE.replace(":0", ": 0"),
            BARE.replace(":0", ":00"),
            BARE.replace("\"p\"", r#""\u0070""#),
            BARE.replace("\"path\"", r#""path":"q","path""#),
            BARE.replace(r#""path":"p","#, ""),
            BARE.replace(":0", ":99999999999999999999"),
            BARE.replace("\"p\"", "7"),
            format!("{BARE} "),
        ];
        for line in others {
            assert!(entry(&line).is_none(), "{line}");
        }
    }
}
