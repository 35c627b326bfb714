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

    /// A field that is written only when there is something to say: its name, with what stands around it, and its value.
    #[inline]
    fn after<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.word(name) {
            Some(()) => read(self).map(Some),
            None => Some(None),
        }
    }

    /// As [`Skim::after`], of a field that nobody asks for.
    #[inline]
    fn skip(&mut self, name: &str) -> Option<()> {
        self.after(name, Self::pass).map(|_| ())
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

/// The parts of a line, in the order in which they are written: what stands elsewhere is in another spelling. Those of
/// [`Entry`](crate::Entry), of what is in it, and of the header before it.
impl<'a> Skim<'a> {
    fn line(&mut self) -> Option<Line<'a>> {
        self.word("{\"seq\":")?;
        let seq = self.number()?;
        self.skip(",\"prev\":")?;
        let time = self.field(",\"time\":")?;
        let kind = self.field(",\"kind\":")?;
        let request = self.field(",\"request\":")?;
        let dialect = self.field(",\"dialect\":")?;
        let operation = self.field(",\"operation\":")?;
        let namespace = self.field(",\"namespace\":")?;
        self.skip(",\"namespace_id\":")?;
        let mount = self.after(",\"mount\":", Self::mount)?;
        let path = self.field(",\"path\":")?;
        let secret = self.after(",\"secret\":", Self::secret)?;
        let typed = self.after(",\"typed\":", Self::spelt)?;
        let version = self.after(",\"version\":", Self::number)?;
        let principal = self.after(",\"principal\":", Self::who)?;
        let token_hash = self.after(",\"token_hash\":", Self::spelt)?;
        self.skip(",\"remaining_uses\":")?;
        self.word(",\"source\":")?;
        let source = self.source()?;
        let decision = self.after(",\"decision\":", Self::decision)?;
        let outcome = self.after(",\"outcome\":", Self::outcome)?;
        self.skip(",\"request_data\":")?;
        self.skip(",\"request_headers\":")?;
        self.skip(",\"wrap_ttl\":")?;
        self.skip(",\"response_data\":")?;
        let response_auth = self.after(",\"response_auth\":", Self::login)?;
        let lease_id = self.after(",\"lease_id\":", Self::spelt)?;
        let subject = self.after(",\"subject\":", Self::spelt)?;
        let wrap = self.after(",\"wrap\":", Self::wrap)?;
        self.skip(",\"warnings\":")?;
        let note = self.after(",\"note\":", Self::spelt)?;
        self.skip(",\"accepted\":")?;
        self.word(",\"duration_us\":")?;
        let duration_us = self.number()?;
        self.take(b'}')?;
        Some(Line {
            seq,
            time,
            kind,
            request,
            dialect,
            operation,
            namespace,
            mount,
            path,
            secret,
            typed,
            version,
            principal,
            token_hash,
            source,
            decision,
            outcome,
            lease_id,
            subject,
            note,
            duration_us,
            response_auth,
            wrap,
        })
    }

    /// A text that is always there.
    #[inline]
    fn field(&mut self, name: &str) -> Option<Text<'a>> {
        self.word(name)?;
        self.spelt()
    }

    fn mount(&mut self) -> Option<Mount<'a>> {
        let path = self.field("{\"path\":")?;
        let kind = self.field(",\"type\":")?;
        let accessor = self.field(",\"accessor\":")?;
        let class = self.field(",\"class\":")?;
        self.take(b'}').map(|()| Mount { path, kind, accessor, class })
    }

    fn secret(&mut self) -> Option<Secret<'a>> {
        let name = self.field("{\"name\":")?;
        let act = self.field(",\"act\":")?;
        self.take(b'}').map(|()| Secret { name, act })
    }

    fn who(&mut self) -> Option<Who<'a>> {
        self.word("{\"entity\":")?;
        let entity = self.maybe(Self::spelt)?;
        let accessor = self.field(",\"accessor\":")?;
        let display_name = self.field(",\"display_name\":")?;
        for name in [",\"token_policies\":", ",\"identity_policies\":", ",\"metadata\":", ",\"token_type\":"] {
            self.word(name)?;
            self.pass()?;
        }
        self.take(b'}').map(|()| Who { entity, accessor, display_name })
    }

    fn source(&mut self) -> Option<Source<'a>> {
        let address = self.field("{\"address\":")?;
        self.word(",\"port\":")?;
        self.pass()?;
        self.take(b'}').map(|()| Source { address })
    }

    fn decision(&mut self) -> Option<Decision<'a>> {
        self.word("{\"granted\":")?;
        let granted = self.truth()?;
        let policy = self.after(",\"policy\":", Self::spelt)?;
        let rule = self.after(",\"rule\":", Self::spelt)?;
        let line = self.after(",\"line\":", Self::number)?;
        let reason = self.field(",\"reason\":")?;
        self.take(b'}').map(|()| Decision { granted, policy, rule, line, reason })
    }

    fn outcome(&mut self) -> Option<Outcome<'a>> {
        let result = self.field("{\"result\":")?;
        self.skip(",\"error\":")?;
        let missing = self.after(",\"missing\":", Self::spelt)?;
        self.take(b'}').map(|()| Outcome { result, missing })
    }

    fn login(&mut self) -> Option<Login<'a>> {
        self.take(b'{')?;
        if self.word("\"token_hash\":").is_some() {
            self.pass()?;
            self.take(b',')?;
        }
        self.word("\"principal\":")?;
        let principal = self.who()?;
        for name in [",\"ttl\":", ",\"num_uses\":"] {
            self.word(name)?;
            self.pass()?;
        }
        self.take(b'}').map(|()| Login { principal })
    }

    fn wrap(&mut self) -> Option<Wrap<'a>> {
        for name in ["{\"ttl\":", ",\"token_hash\":"] {
            self.word(name)?;
            self.pass()?;
        }
        let accessor = self.field(",\"accessor\":")?;
        self.skip(",\"creation_time\":")?;
        self.skip(",\"creation_path\":")?;
        let wrapped_accessor = self.after(",\"wrapped_accessor\":", Self::spelt)?;
        self.take(b'}').map(|()| Wrap { accessor, wrapped_accessor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Accepted, AuthNote, DecisionNote, Entry, EntryKind, Missing, MountNote, Outcome as Ended, Redacted, SecretNote,
        SourceNote, WrapNote,
    };
    use serde_json::json;
    use strongroom_model::{EntityId, Kind, PolicyName, Principal, RequestId, TokenType};

    const READ: &str = r#"{"seq":9496,"prev":"ac5c","time":"2026-11-21T18:55:25.894843608Z","kind":"outcome","request":"e32f","dialect":"vault","operation":"read","namespace":"","mount":{"path":"secret","type":"kv","accessor":"kv_55","class":"secret"},"path":"secret/data/b","secret":{"name":"b","act":"read"},"version":1,"principal":{"entity":null,"accessor":"Th","display_name":"token","token_policies":["bench","default"],"identity_policies":[],"metadata":{},"token_type":"service"},"token_hash":"hmac-sha256:d1","source":{"address":"127.0.0.1","port":57636},"decision":{"granted":true,"policy":"bench","rule":"secret/data/*","line":1,"reason":"granted"},"outcome":{"result":"ok"},"request_data":{"a\\\"}":[1.5e3,-2,true,null,"\\\\"]},"response_auth":{"principal":{"entity":"E","accessor":"A","display_name":"D","token_policies":[],"identity_policies":[],"metadata":{"a":"b"},"token_type":"batch"},"ttl":3,"num_uses":0},"lease_id":"l","wrap":{"ttl":3,"token_hash":"h","accessor":"w","creation_time":"T","creation_path":"p","wrapped_accessor":"v"},"duration_us":672}"#;
    const NOT_FOUND: &str = r#"{"seq":7,"time":"T","kind":"outcome","request":"e32f","dialect":"aws","operation":"GetSecretValue","namespace":"","path":"p","source":{"address":"","port":1},"outcome":{"result":"not_found","error":"no such \"x\"","missing":"disabled"},"duration_us":1}"#;
    const BARE: &str = r#"{"seq":0,"prev":"","time":"T","kind":"event","request":"","dialect":"","operation":"","namespace":"ü","path":"p","source":{"address":"","port":0},"duration_us":0}"#;

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

    /// What the writer makes of an entry in which every field says something.
    fn full() -> String {
        let principal = Principal {
            entity: Some(EntityId::from_bytes([7; 16])),
            accessor: "acc".to_owned(),
            display_name: "ann".to_owned(),
            token_policies: vec![PolicyName::default_policy()],
            identity_policies: vec![PolicyName::root()],
            metadata: [("role".to_owned(), "a\"b".to_owned())].into(),
            token_type: TokenType::Service,
        };
        let text = |text: &str| Some(text.to_owned());
        let entry = Entry {
            namespace_id: "n".to_owned(),
            mount: Some(
                MountNote { path: "s".into(), kind: "kv".into(), accessor: "kv_1".into(), class: "secret".into() }
                    .into(),
            ),
            secret: Some(SecretNote { name: "a".into(), act: "read".into() }),
            typed: text("S/a"),
            version: Some(3),
            principal: Some(principal.clone().into()),
            token_hash: text("hmac-sha256:1"),
            remaining_uses: Some(1),
            source: SourceNote { address: "::1".into(), port: 1 },
            decision: Some(DecisionNote {
                granted: false,
                policy: text("p"),
                rule: text("r"),
                line: Some(2),
                reason: "lacks read".into(),
            }),
            outcome: Some(Ended { missing: Some(Missing::Version), ..Ended::failed(Kind::NotFound, "none") }),
            request_data: Redacted::in_clear(&json!({"a": ["b"]})),
            request_headers: [("x".to_owned(), vec!["y".to_owned()])].into(),
            wrap_ttl: Some(1),
            response_data: Redacted::in_clear(&json!({"c": {"d": 1}})),
            response_auth: Some(AuthNote { token_hash: text("h"), principal, ttl: 1, num_uses: 2 }),
            lease_id: text("l"),
            subject: text("u"),
            wrap: Some(WrapNote {
                ttl: 1,
                token_hash: "h".into(),
                accessor: "w".into(),
                creation_time: "T".into(),
                creation_path: "p".into(),
                wrapped_accessor: text("v"),
            }),
            warnings: vec!["w".to_owned()],
            note: text("n"),
            accepted: Some(Accepted { from: 1, to: 2 }),
            duration_us: 9,
            ..Entry::new(EntryKind::Outcome, RequestId::from_bytes([1; 16]), "vault", "read", "s/data/a")
        };
        let body = serde_json::to_string(&entry).unwrap();
        format!("{{\"seq\":1,\"prev\":\"00\",\"time\":\"T\",{}", body.strip_prefix('{').unwrap())
    }

    #[test]
    fn an_entry_in_which_every_field_says_something_is_read_here_and_not_left_to_the_library() {
        let line = full();
        let (skimmed, parsed) = both(&line);
        assert!(skimmed.is_some());
        assert_eq!(skimmed, parsed);
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
