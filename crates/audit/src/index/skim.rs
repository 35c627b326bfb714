//! Reads a line as the trail's writer spells it: names and values without a space between, in one pass over the bytes, with
//! nothing copied but objects that the next lines are likely to repeat. Every line of the trail is read twice while requests
//! are served, and the JSON library takes several times as long.
//!
//! Invariants: whatever is spelt in another way is given up (`None`), for the library to judge; what is read is what the
//! library reads. Parts that nobody asks for are passed over by their brackets and quotes, not judged: that a line is
//! unaltered is what the chain proves.

use super::known::{Known, Place};
use super::line::{Decision, Line, Login, Mount, Outcome, Secret, Source, Text, Who, Wrap};

/// Reads an entry, with what is remembered of those before it.
pub(super) fn entry<'a>(line: &'a str, memory: &mut Memory) -> Option<Line<'a>> {
    let mut skim = Skim { text: line, at: 0 };
    let read = skim.line(memory)?;
    (skim.at == line.len()).then_some(read)
}

/// The objects that are the same in most lines. So many bytes tell apart the mounts of a server, principals (by the
/// accessor that stands behind an entity), and the policies of a decision. What was called is no object, but three fields
/// that are always there, and ends with a quote as those do with a bracket.
pub(super) struct Memory {
    calls: Known<CallPlaces, 56>,
    mounts: Known<MountPlaces, 48>,
    people: Known<WhoPlaces, 80>,
    decisions: Known<DecisionPlaces, 64>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { calls: Known::new(32), mounts: Known::new(16), people: Known::new(256), decisions: Known::new(32) }
    }

    /// For who reads one line alone.
    pub(super) fn none() -> Self {
        Self { calls: Known::new(0), mounts: Known::new(0), people: Known::new(0), decisions: Known::new(0) }
    }
}

#[derive(Clone, Copy)]
struct CallPlaces {
    dialect: Place,
    operation: Place,
    namespace: Place,
}

#[derive(Clone, Copy)]
struct MountPlaces {
    path: Place,
    kind: Place,
    accessor: Place,
    class: Place,
}

#[derive(Clone, Copy)]
struct WhoPlaces {
    entity: Option<Place>,
    accessor: Place,
    display_name: Place,
}

#[derive(Clone, Copy)]
struct DecisionPlaces {
    granted: bool,
    policy: Option<Place>,
    rule: Option<Place>,
    line: Option<u32>,
    reason: Place,
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

    /// Takes the rest of a word that is fixed. As its length is known to the compiler, no call compares the bytes.
    #[inline]
    fn word<const N: usize>(&mut self, word: &[u8; N]) -> Option<()> {
        let there = self.text.as_bytes().get(self.at..)?.first_chunk::<N>()? == word;
        there.then(|| self.at += N)
    }

    /// A text without escapes.
    fn place(&mut self) -> Option<Place> {
        self.take(b'"')?;
        let begin = self.at;
        self.at += plain(self.text.as_bytes().get(begin..)?);
        let end = self.at;
        self.take(b'"').map(|()| Place { begin, end })
    }

    fn spelt(&mut self) -> Option<Text<'a>> {
        self.place()?.of(self.text)
    }

    /// An object that may be known: what was read of it, and the text in which its places count.
    fn recall<P: Copy, const BEGIN: usize>(
        &mut self,
        known: &mut Known<P, BEGIN>,
        read: impl FnOnce(&mut Self) -> Option<P>,
    ) -> Option<(&'a str, P)> {
        let text = self.text.get(self.at..)?;
        if let Some((len, read)) = known.find(text) {
            self.at += len;
            return Some((text, read));
        }
        let mut skim = Skim { text, at: 0 };
        let read = read(&mut skim)?;
        known.keep(text, skim.at, read);
        self.at += skim.at;
        Some((text, read))
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
            b't' => self.word(b"true").map(|()| true),
            _ => self.word(b"false").map(|()| false),
        }
    }

    /// A value that may be missing: `null`, or what is read by `read`.
    fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.next()? {
            b'n' => self.word(b"null").map(|()| None),
            _ => read(self).map(Some),
        }
    }

    /// A field that is written only when there is something to say: its name, with what stands around it, and its value.
    #[inline]
    fn after<T, const N: usize>(
        &mut self,
        name: &[u8; N],
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.word(name) {
            Some(()) => read(self).map(Some),
            None => Some(None),
        }
    }

    /// As [`Skim::after`], of a field that nobody asks for.
    #[inline]
    fn skip<const N: usize>(&mut self, name: &[u8; N]) -> Option<()> {
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
    fn line(&mut self, memory: &mut Memory) -> Option<Line<'a>> {
        self.word(b"{\"seq\":")?;
        let seq = self.number()?;
        self.skip(b",\"prev\":")?;
        let time = self.field(b",\"time\":")?;
        let kind = self.field(b",\"kind\":")?;
        let request = self.field(b",\"request\":")?;
        let (text, call) = self.recall(&mut memory.calls, Self::call_places)?;
        let (dialect, operation, namespace) =
            (call.dialect.of(text)?, call.operation.of(text)?, call.namespace.of(text)?);
        self.skip(b",\"namespace_id\":")?;
        let mount = self.after(b",\"mount\":", |skim| skim.mount(&mut memory.mounts))?;
        let path = self.field(b",\"path\":")?;
        let secret = self.after(b",\"secret\":", Self::secret)?;
        let typed = self.after(b",\"typed\":", Self::spelt)?;
        let version = self.after(b",\"version\":", Self::number)?;
        let principal = self.after(b",\"principal\":", |skim| skim.who(&mut memory.people))?;
        let token_hash = self.after(b",\"token_hash\":", Self::spelt)?;
        self.skip(b",\"remaining_uses\":")?;
        self.word(b",\"source\":")?;
        let source = self.source()?;
        let decision = self.after(b",\"decision\":", |skim| skim.decision(&mut memory.decisions))?;
        let outcome = self.after(b",\"outcome\":", Self::outcome)?;
        self.skip(b",\"request_data\":")?;
        self.skip(b",\"request_headers\":")?;
        self.skip(b",\"wrap_ttl\":")?;
        self.skip(b",\"response_data\":")?;
        let response_auth = self.after(b",\"response_auth\":", |skim| skim.login(&mut memory.people))?;
        let lease_id = self.after(b",\"lease_id\":", Self::spelt)?;
        let subject = self.after(b",\"subject\":", Self::spelt)?;
        let wrap = self.after(b",\"wrap\":", Self::wrap)?;
        self.skip(b",\"warnings\":")?;
        let note = self.after(b",\"note\":", Self::spelt)?;
        self.skip(b",\"accepted\":")?;
        self.word(b",\"duration_us\":")?;
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
    fn field<const N: usize>(&mut self, name: &[u8; N]) -> Option<Text<'a>> {
        self.place_of(name)?.of(self.text)
    }

    /// Where a text lies that is always there.
    #[inline]
    fn place_of<const N: usize>(&mut self, name: &[u8; N]) -> Option<Place> {
        self.word(name)?;
        self.place()
    }

    /// Passes over a field that is always there.
    #[inline]
    fn pass_field<const N: usize>(&mut self, name: &[u8; N]) -> Option<()> {
        self.word(name)?;
        self.pass()
    }

    fn call_places(&mut self) -> Option<CallPlaces> {
        let dialect = self.place_of(b",\"dialect\":")?;
        let operation = self.place_of(b",\"operation\":")?;
        let namespace = self.place_of(b",\"namespace\":")?;
        Some(CallPlaces { dialect, operation, namespace })
    }

    fn mount(&mut self, known: &mut Known<MountPlaces, 48>) -> Option<Mount<'a>> {
        let (text, at) = self.recall(known, Self::mount_places)?;
        let (path, kind) = (at.path.of(text)?, at.kind.of(text)?);
        Some(Mount { path, kind, accessor: at.accessor.of(text)?, class: at.class.of(text)? })
    }

    fn mount_places(&mut self) -> Option<MountPlaces> {
        let path = self.place_of(b"{\"path\":")?;
        let kind = self.place_of(b",\"type\":")?;
        let accessor = self.place_of(b",\"accessor\":")?;
        let class = self.place_of(b",\"class\":")?;
        self.take(b'}').map(|()| MountPlaces { path, kind, accessor, class })
    }

    fn secret(&mut self) -> Option<Secret<'a>> {
        let name = self.field(b"{\"name\":")?;
        let act = self.field(b",\"act\":")?;
        self.take(b'}').map(|()| Secret { name, act })
    }

    fn who(&mut self, known: &mut Known<WhoPlaces, 80>) -> Option<Who<'a>> {
        let (text, at) = self.recall(known, Self::who_places)?;
        let entity = optional(at.entity, text)?;
        Some(Who { entity, accessor: at.accessor.of(text)?, display_name: at.display_name.of(text)? })
    }

    fn who_places(&mut self) -> Option<WhoPlaces> {
        self.word(b"{\"entity\":")?;
        let entity = self.maybe(Self::place)?;
        let accessor = self.place_of(b",\"accessor\":")?;
        let display_name = self.place_of(b",\"display_name\":")?;
        self.pass_field(b",\"token_policies\":")?;
        self.pass_field(b",\"identity_policies\":")?;
        self.pass_field(b",\"metadata\":")?;
        self.pass_field(b",\"token_type\":")?;
        self.take(b'}').map(|()| WhoPlaces { entity, accessor, display_name })
    }

    fn source(&mut self) -> Option<Source<'a>> {
        let address = self.field(b"{\"address\":")?;
        self.pass_field(b",\"port\":")?;
        self.take(b'}').map(|()| Source { address })
    }

    fn decision(&mut self, known: &mut Known<DecisionPlaces, 64>) -> Option<Decision<'a>> {
        let (text, at) = self.recall(known, Self::decision_places)?;
        let (policy, rule) = (optional(at.policy, text)?, optional(at.rule, text)?);
        Some(Decision { granted: at.granted, policy, rule, line: at.line, reason: at.reason.of(text)? })
    }

    fn decision_places(&mut self) -> Option<DecisionPlaces> {
        self.word(b"{\"granted\":")?;
        let granted = self.truth()?;
        let policy = self.after(b",\"policy\":", Self::place)?;
        let rule = self.after(b",\"rule\":", Self::place)?;
        let line = self.after(b",\"line\":", Self::number)?;
        let reason = self.place_of(b",\"reason\":")?;
        self.take(b'}').map(|()| DecisionPlaces { granted, policy, rule, line, reason })
    }

    fn outcome(&mut self) -> Option<Outcome<'a>> {
        let result = self.field(b"{\"result\":")?;
        self.skip(b",\"error\":")?;
        let missing = self.after(b",\"missing\":", Self::spelt)?;
        self.take(b'}').map(|()| Outcome { result, missing })
    }

    fn login(&mut self, known: &mut Known<WhoPlaces, 80>) -> Option<Login<'a>> {
        self.take(b'{')?;
        if self.word(b"\"token_hash\":").is_some() {
            self.pass()?;
            self.take(b',')?;
        }
        self.word(b"\"principal\":")?;
        let principal = self.who(known)?;
        self.pass_field(b",\"ttl\":")?;
        self.pass_field(b",\"num_uses\":")?;
        self.take(b'}').map(|()| Login { principal })
    }

    fn wrap(&mut self) -> Option<Wrap<'a>> {
        self.pass_field(b"{\"ttl\":")?;
        self.pass_field(b",\"token_hash\":")?;
        let accessor = self.field(b",\"accessor\":")?;
        self.skip(b",\"creation_time\":")?;
        self.skip(b",\"creation_path\":")?;
        let wrapped_accessor = self.after(b",\"wrapped_accessor\":", Self::spelt)?;
        self.take(b'}').map(|()| Wrap { accessor, wrapped_accessor })
    }
}

/// A text that may be missing.
fn optional(place: Option<Place>, object: &str) -> Option<Option<Text<'_>>> {
    match place {
        Some(place) => place.of(object).map(Some),
        None => Some(None),
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

    fn alone(line: &str) -> Option<Line<'_>> {
        entry(line, &mut Memory::none())
    }

    fn both(line: &str) -> (Option<Line<'_>>, Option<Line<'_>>) {
        (alone(line), serde_json::from_str(line).ok())
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
            let mut memory = Memory::new();
            for at in 0..line.len() {
                for sign in ["", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "n", " ", "\u{1}", "é"] {
                    let (Some(before), Some(after)) = (line.get(..at), line.get(at + 1..)) else { continue };
                    let changed = format!("{before}{sign}{after}");
                    let (skimmed, parsed) = both(&changed);
                    // Only what is passed over may be read where the library reads nothing.
                    assert!(skimmed.is_none() || parsed.is_none() || skimmed == parsed, "{changed}");
                    // Neither does it matter what was read before it, nor what it leaves behind for the next.
                    assert_eq!(entry(&changed, &mut memory), skimmed, "{changed}");
                    assert_eq!(entry(line, &mut memory), alone(line), "after {changed}");
                }
                assert!(line.get(..at).is_none_or(|cut| alone(cut).is_none()), "cut at {at}");
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
            assert!(alone(&line).is_none(), "{line}");
        }
    }

    /// Lines whose objects are alike: one the beginning of another, with brackets, quotes and letters of several bytes in
    /// them, and with all that may be missing.
    fn alike() -> Vec<String> {
        let mut lines = vec![READ.to_owned(), full(), NOT_FOUND.to_owned()];
        let long = "a".repeat(2 * 2_048);
        for (from, to) in [
            ("\"dialect\":\"vault\"", "\"dialect\":\"aws\""),
            ("\"operation\":\"read\"", "\"operation\":\"read\\\"\""),
            ("\"namespace\":\"\"", "\"namespace\":\"n/\""),
            ("\"namespace\":\"\"", "\"namespace\":\"n/m/\",\"namespace_id\":\"i\""),
            ("\"namespace\":\"\"", "\"namespace\":\"\",\"namespace_id\":\"i\""),
            ("\"Th\"", "\"Th2\""),
            ("\"Th\"", "\"Ü\""),
            ("\"Th\"", "\"T}\""),
            ("\"Th\"", "\"T\\\"\""),
            ("\"Th\"", &format!("\"{long}\"")),
            ("\"entity\":null", "\"entity\":\"E\""),
            ("\"token_type\":\"service\"}", "\"token_type\":\"batch\"}"),
            ("\"token_type\":\"service\"}", "\"token_type\":\"service\",\"more\":1}"),
            ("[\"bench\",\"default\"]", "[\"bench\",\"default\",\"}\"]"),
            ("\"metadata\":{}", "\"metadata\":{\"accessor\":\"other\"}"),
            ("\"kv_55\"", "\"kv_5\""),
            ("\"class\":\"secret\"}", "\"class\":\"secret}\"}"),
            ("\"class\":\"secret\"}", "\"class\":\"secret\" }"),
            ("\"line\":1,", "\"line\":11,"),
            ("\"line\":1,", ""),
            ("\"line\":1,", "\"line\":4294967296,"),
            ("\"rule\":\"secret/data/*\",", ""),
            ("\"granted\":true", "\"granted\":false"),
            ("\"reason\":\"granted\"}", "\"reason\":\"granted\",\"reason\":\"not\"}"),
        ] {
            assert!(READ.contains(from), "{from}");
            lines.push(READ.replacen(from, to, 1));
        }
        lines
    }

    #[test]
    fn what_is_remembered_of_lines_changes_nothing_of_what_is_read_of_others() {
        let lines = alike();
        // Few slots, so that each is used for several objects, and many.
        let few =
            || Memory { calls: Known::new(1), mounts: Known::new(1), people: Known::new(1), decisions: Known::new(1) };
        for memory in [&mut Memory::new(), &mut few()] {
            for first in &lines {
                for second in &lines {
                    for line in [first, second, second, first] {
                        let (read, parsed) = (entry(line, memory), serde_json::from_str(line).ok());
                        assert_eq!(read, alone(line));
                        assert!(read.is_none() || read == parsed, "{line}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_object_that_stood_in_the_line_before_is_known_and_one_that_is_too_long_is_not() {
        let mut memory = Memory::new();
        let known = |memory: &Memory, line: &str| {
            let found = |name: &str| line.split_once(name).map(|(_, behind)| behind);
            (
                found("\"e32f\"").is_some_and(|text| memory.calls.find(text).is_some()),
                found("\"mount\":").is_some_and(|text| memory.mounts.find(text).is_some()),
                found("\"principal\":").is_some_and(|text| memory.people.find(text).is_some()),
                found("\"decision\":").is_some_and(|text| memory.decisions.find(text).is_some()),
            )
        };
        assert_eq!(known(&memory, READ), (false, false, false, false));
        assert!(entry(READ, &mut memory).is_some());
        assert_eq!(known(&memory, READ), (true, true, true, true));
        let long = READ.replacen("bench\",\"default", &"a".repeat(2_048), 1);
        assert!(entry(&long, &mut memory).is_some());
        assert_eq!(known(&memory, &long), (true, true, false, true));
    }
}
