//! The judgements, one entry after the other. What happened long ago is asked of the index, and asked once only for each
//! pair of principal and secret or network; what happened lately is in memory, bounded.

use super::recent::{Recent, Window};
use crate::drill::CANARY;
use crate::{Cidr, CoreError};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use strongroom_audit::{Line, Missing, Query, Thing, Trail, object_of};
use strongroom_model::Timestamp;

/// A secret or principal younger than this is still being got to know: everything about it is new.
pub(super) const LEARNING: Duration = Duration::from_secs(24 * 3_600);
/// So many refusals within [`BURST_WITHIN`] are a burst.
const BURST: usize = 20;
const BURST_WITHIN: Duration = Duration::from_secs(60);
/// The same suspicion about the same principal and path is not told again so soon.
const QUIET: Duration = Duration::from_secs(3_600);
/// Things remembered of each sort.
const MOST: usize = 32_768;

/// What looks like misuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Suspicion {
    /// A principal read a secret for the first time.
    FirstRead,
    /// A principal read from a network it never read from.
    NewNetwork,
    /// Many refusals in a short time.
    DenialBurst,
    /// A token was used after it was revoked.
    AfterRevocation,
    /// A consumer asks for what was put out of use.
    DisabledVersion,
}

impl Suspicion {
    /// All of them.
    pub const ALL: [Suspicion; 5] = [
        Suspicion::FirstRead,
        Suspicion::NewNetwork,
        Suspicion::DenialBurst,
        Suspicion::AfterRevocation,
        Suspicion::DisabledVersion,
    ];

    /// The word in entries, messages and metrics.
    pub fn word(self) -> &'static str {
        match self {
            Suspicion::FirstRead => "alert-first-read",
            Suspicion::NewNetwork => "alert-new-network",
            Suspicion::DenialBurst => "alert-denial-burst",
            Suspicion::AfterRevocation => "alert-after-revocation",
            Suspicion::DisabledVersion => "alert-disabled-version",
        }
    }

    /// Reads the word, with or without `alert-`.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word || one.word().strip_prefix("alert-") == Some(word))
    }
}

/// A suspicion with its facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What looks like misuse.
    pub suspicion: Suspicion,
    /// The path.
    pub path: String,
    /// Who: the entity, or else what the trail prints. Many logins may print the same, as those of all roles of AppRole.
    pub by: String,
    /// Who, as the trail prints it.
    pub principal: String,
    /// From where.
    pub address: String,
    /// The entry.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// In words: what stands before the principal ...
    lead: &'static str,
    /// ... and behind it.
    rest: String,
}

pub(super) struct Judge {
    trail: Arc<Trail>,
    /// Pairs of principal and object, and of principal and network, that are known.
    known: Recent<()>,
    /// The key that was asked for last: most entries ask for known ones, which needs no memory of their own.
    key: String,
    /// By the hash of a token: who used it, and when last.
    tokens: Recent<(Known, Timestamp)>,
    /// Hashes of tokens of drills.
    canaries: Recent<()>,
    /// When tokens were last revoked by anybody.
    revoked: Option<Timestamp>,
    denials: Recent<Window>,
    told: Recent<Timestamp>,
}

impl Judge {
    pub(super) fn new(trail: Arc<Trail>) -> Self {
        Self {
            trail,
            known: Recent::new(MOST),
            key: String::new(),
            tokens: Recent::new(MOST),
            canaries: Recent::new(MOST),
            revoked: None,
            denials: Recent::new(MOST),
            told: Recent::new(MOST),
        }
    }

    /// Looks at an entry, and is done with nearly all of them: nothing is given where nothing can be suspicious.
    pub(super) fn look<'a>(&mut self, entry: &'a Line<'a>, seq: u64, time: Timestamp) -> Option<Case<'a>> {
        if entry.kind != "outcome" || self.is_canary(entry) {
            return None;
        }
        let mut alerts = Vec::new();
        self.note_revocation(entry, time);
        self.after_revocation(entry, seq, time, &mut alerts);
        self.burst(entry, seq, time, &mut alerts);
        let suspected = Read::of(entry).map_or_else(Vec::new, |read| self.suspect(read));
        let is_case = !alerts.is_empty() || !suspected.is_empty();
        is_case.then_some(Case { seq, time, alerts, suspected })
    }

    /// What the index has to be asked about a read.
    fn suspect<'a>(&mut self, read: Read<'a>) -> Vec<(Suspicion, Read<'a>)> {
        let mut suspected = Vec::new();
        if !read.is_ok {
            suspected.extend(read.is_of_something_taken_away().then_some((Suspicion::DisabledVersion, read)));
            return suspected;
        }
        if self.is_new(&[read.who.by, " reads ", read.accessor, ":", read.secret]) {
            suspected.push((Suspicion::FirstRead, read));
        }
        // Nearly all come from where the last ones came from, and an address is compared sooner than its network is made.
        if self.is_new(&[read.who.by, " at ", read.address()]) {
            suspected.push((Suspicion::NewNetwork, read));
        }
        suspected
    }

    /// What is suspicious about it.
    pub(super) async fn settle(&mut self, case: Case<'_>) -> Result<Vec<Alert>, CoreError> {
        let Case { seq, time, mut alerts, suspected } = case;
        for (suspicion, read) in suspected {
            match suspicion {
                Suspicion::FirstRead => self.first_read(&read, seq, time, &mut alerts).await?,
                Suspicion::NewNetwork => self.new_network(&read, seq, time, &mut alerts).await?,
                Suspicion::DisabledVersion => self.disabled(&read, seq, time, &mut alerts).await?,
                Suspicion::DenialBurst | Suspicion::AfterRevocation => {}
            }
        }
        alerts.retain(|alert| self.is_news(alert));
        Ok(alerts)
    }

    /// Whether it is a drill's own doing: used after it was cut off is what its canaries are there for.
    fn is_canary(&mut self, entry: &Line<'_>) -> bool {
        let hash = entry.token_hash.as_deref();
        let Some(who) = &entry.principal else { return hash.is_some_and(|hash| self.canaries.get(hash).is_some()) };
        let name: &str = &who.display_name;
        let is_one = name.strip_prefix("access-key-").unwrap_or(name) == CANARY;
        if let Some(hash) = hash.filter(|_| is_one) {
            self.canaries.put(hash, ());
        }
        is_one
    }

    /// Not told within the last hour.
    fn is_news(&mut self, alert: &Alert) -> bool {
        let key = format!("{} {} {}", alert.suspicion.word(), alert.by, alert.path);
        let told = self.told.get(&key).is_some_and(|told| alert.time.since(*told) < QUIET);
        if !told {
            self.told.put(&key, alert.time);
        }
        !told
    }

    /// Whether what these words make together was not known; it is from now on.
    fn is_new(&mut self, words: &[&str]) -> bool {
        self.key.clear();
        words.iter().for_each(|word| self.key.push_str(word));
        let is_new = self.known.get(&self.key).is_none();
        if is_new {
            self.known.put(&self.key, ());
        }
        is_new
    }

    fn note_revocation(&mut self, entry: &Line<'_>, time: Timestamp) {
        if entry.operation == "read" || !entry.is_ok() {
            return;
        }
        if entry.path.contains("revoke") || entry.path.starts_with("sys/mounts") || entry.operation == "delete" {
            self.revoked = Some(time);
        }
    }

    /// A token that once was good, is not any more, and something was revoked in between. One that only expired is no
    /// suspicion.
    fn after_revocation(&mut self, entry: &Line<'_>, seq: u64, time: Timestamp, alerts: &mut Vec<Alert>) {
        let Some(hash) = entry.token_hash.as_deref() else { return };
        if let Some(who) = Person::of(entry) {
            match self.tokens.get_mut(hash) {
                Some((known, used)) if known.is(who) => *used = time,
                _ => self.tokens.put(hash, (who.known(), time)),
            }
            return;
        }
        let Some((who, used)) = self.tokens.get(hash) else { return };
        if reason(entry) != "bad token" || self.revoked.is_none_or(|revoked| revoked < *used) {
            return;
        }
        let rest = format!(" was used on {} after it had been revoked", &*entry.path);
        let alert = Alert::of(Suspicion::AfterRevocation, entry, who.person(), seq, time, rest);
        alerts.push(Alert { lead: "a token of ", ..alert });
    }

    fn burst(&mut self, entry: &Line<'_>, seq: u64, time: Timestamp, alerts: &mut Vec<Alert>) {
        if entry.outcome.as_ref().is_none_or(|outcome| outcome.result != "denied") {
            return;
        }
        // Nobody may know who, but from where.
        let nobody = format!("somebody at {}", entry.source.address);
        let who = Person::of(entry).unwrap_or(Person { by: &nobody, name: &nobody });
        let mut window = self.denials.take(who.by).unwrap_or_default();
        let count = window.add(time, BURST_WITHIN, BURST);
        self.denials.put(who.by, window);
        if count >= BURST {
            let within = BURST_WITHIN.as_secs();
            let rest = format!(" was refused {BURST} times within {within} s, last on {}", &*entry.path);
            let alert = Alert::of(Suspicion::DenialBurst, entry, who, seq, time, rest);
            // One burst is one suspicion, whatever the paths.
            alerts.push(Alert { path: String::new(), ..alert });
        }
    }

    async fn first_read(
        &mut self,
        read: &Read<'_>,
        seq: u64,
        time: Timestamp,
        out: &mut Vec<Alert>,
    ) -> Result<(), CoreError> {
        let of = || Query { things: vec![Thing::Object(read.object())], ..reads(time) };
        if self.any(Query { principals: vec![read.who.by.to_owned()], ..of() }).await?.is_some() {
            return Ok(());
        }
        // A secret that nobody read before yesterday is still finding its readers.
        let first = self.any(of()).await?;
        if first.is_none_or(|first| time.since(first) < LEARNING) {
            return Ok(());
        }
        let rest = format!(" read {} for the first time, from {}", &*read.entry.path, read.address());
        out.push(Alert::of(Suspicion::FirstRead, read.entry, read.who, seq, time, rest));
        Ok(())
    }

    async fn new_network(
        &mut self,
        read: &Read<'_>,
        seq: u64,
        time: Timestamp,
        out: &mut Vec<Alert>,
    ) -> Result<(), CoreError> {
        let Some(network) = network(read.address()) else { return Ok(()) };
        if !self.is_new(&[read.who.by, " from ", &network.to_string()]) {
            return Ok(());
        }
        let of = || Query { principals: vec![read.who.by.to_owned()], ..reads(time) };
        let there = Query { address: Some(Box::new(move |ip| network.contains(ip))), ..of() };
        if self.any(there).await?.is_some() {
            return Ok(());
        }
        let first = self.any(of()).await?;
        if first.is_none_or(|first| time.since(first) < LEARNING) {
            return Ok(());
        }
        let rest = format!(" read {} from {network}, where it never read from", &*read.entry.path);
        out.push(Alert::of(Suspicion::NewNetwork, read.entry, read.who, seq, time, rest));
        Ok(())
    }

    /// Somebody who had the secret asks for what is no longer given.
    async fn disabled(
        &mut self,
        read: &Read<'_>,
        seq: u64,
        time: Timestamp,
        out: &mut Vec<Alert>,
    ) -> Result<(), CoreError> {
        let things = vec![Thing::Object(read.object())];
        let had = self.any(Query { things, principals: vec![read.who.by.to_owned()], ..reads(time) }).await?;
        if had.is_none() {
            return Ok(());
        }
        let rest = format!(" still asks for {}, which was put out of use", &*read.entry.path);
        out.push(Alert::of(Suspicion::DisabledVersion, read.entry, read.who, seq, time, rest));
        Ok(())
    }

    /// The time of the first entry that answers.
    async fn any(&self, query: Query) -> Result<Option<Timestamp>, CoreError> {
        let page = self.trail.query(query).await?;
        Ok(page.rows.first().and_then(|row| Timestamp::parse(&row.time)))
    }
}

/// Reads of values that went well, before a time; the first of them.
fn reads(before: Timestamp) -> Query {
    Query {
        kinds: vec!["outcome".to_owned()],
        operations: vec!["read".to_owned()],
        outcomes: vec!["ok".to_owned()],
        to: Some(before.nanos()),
        limit: 1,
        ..Query::default()
    }
}

/// An entry that may be suspicious.
pub(super) struct Case<'a> {
    seq: u64,
    time: Timestamp,
    /// What is found already.
    alerts: Vec<Alert>,
    /// What the index has to be asked.
    suspected: Vec<(Suspicion, Read<'a>)>,
}

/// An entry that asks for a secret's value.
#[derive(Clone, Copy)]
struct Read<'a> {
    entry: &'a Line<'a>,
    /// That of the mount.
    accessor: &'a str,
    secret: &'a str,
    who: Person<'a>,
    is_ok: bool,
}

/// Somebody, as an entry has them.
#[derive(Clone, Copy)]
struct Person<'a> {
    /// As the index knows them: the entity, or else what people see. An accessor would be new with every login.
    by: &'a str,
    /// As the trail prints them.
    name: &'a str,
}

/// Somebody who is remembered.
struct Known {
    by: String,
    name: String,
}

impl<'a> Person<'a> {
    fn of(entry: &'a Line<'_>) -> Option<Self> {
        let who = entry.principal.as_ref()?;
        let name = if who.display_name.is_empty() { "somebody" } else { &*who.display_name };
        Some(Self { by: who.entity.as_deref().unwrap_or(name), name })
    }

    fn known(self) -> Known {
        Known { by: self.by.to_owned(), name: self.name.to_owned() }
    }
}

impl Known {
    fn is(&self, who: Person<'_>) -> bool {
        self.by == who.by && self.name == who.name
    }

    fn person(&self) -> Person<'_> {
        Person { by: &self.by, name: &self.name }
    }
}

impl<'a> Read<'a> {
    fn of(entry: &'a Line<'a>) -> Option<Self> {
        let (secret, mount) = (entry.secret.as_ref()?, entry.mount.as_ref()?);
        let who = Person::of(entry)?;
        if secret.act != "read" {
            return None;
        }
        Some(Self { entry, accessor: &mount.accessor, secret: &secret.name, who, is_ok: entry.is_ok() })
    }

    /// A label that holds nothing, as one of a rotation that has not begun, or a number that never was: nothing was put
    /// out of use. That a secret is not there tells something only where it was there before, which the index knows.
    fn is_of_something_taken_away(&self) -> bool {
        let missing = self.entry.outcome.as_ref().and_then(|outcome| outcome.missing.as_deref());
        [Missing::Disabled.word(), Missing::Secret.word()].map(Some).contains(&missing)
    }

    /// As the index knows the secret.
    fn object(&self) -> String {
        object_of(self.accessor, self.secret)
    }

    fn address(&self) -> &str {
        &self.entry.source.address
    }
}

impl Alert {
    fn of(suspicion: Suspicion, entry: &Line<'_>, who: Person<'_>, seq: u64, time: Timestamp, rest: String) -> Self {
        let (path, address) = (entry.path.to_owned(), entry.source.address.to_owned());
        Self {
            suspicion,
            path,
            by: who.by.to_owned(),
            principal: who.name.to_owned(),
            address,
            seq,
            time,
            lead: "",
            rest,
        }
    }

    /// In words, with what people call the principal.
    pub(super) fn text(&self, name: &str) -> String {
        [self.lead, name, &self.rest].concat()
    }
}

fn reason<'a>(entry: &'a Line<'_>) -> &'a str {
    entry.decision.as_ref().map_or("", |decision| &*decision.reason)
}

/// The network that an address stands for: /24, or /56 as providers give it to one customer.
fn network(address: &str) -> Option<Cidr> {
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 24 } else { 56 };
    let text = match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            format!("{a}.{b}.{c}.0")
        }
        IpAddr::V6(v6) => {
            let kept = u128::from(v6) & (u128::MAX << 72);
            std::net::Ipv6Addr::from(kept).to_string()
        }
    };
    Cidr::parse(&format!("{text}/{bits}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use strongroom_audit::Place;
    use strongroom_model::Clock;

    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_secs(0)
        }
    }

    /// An entry with these fields in place of the usual ones.
    fn entry(fields: Value) -> String {
        let mut entry = json!({
            "seq": 1, "time": "T", "kind": "outcome", "request": "", "dialect": "vault", "operation": "read",
            "namespace": "", "path": "secret/data/a", "token_hash": "h", "source": {"address": "10.0.0.1", "port": 1},
            "outcome": {"result": "ok"}, "duration_us": 0,
        });
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        entry.to_string()
    }

    async fn judge(judge: &mut Judge, secs: u64, fields: Value) -> Vec<(Suspicion, String, String)> {
        let text = entry(fields);
        let line = Line::parse(text.as_bytes()).unwrap();
        let Some(case) = judge.look(&line, 1, Timestamp::from_secs(secs)) else { return Vec::new() };
        let alerts = judge.settle(case).await.unwrap();
        alerts.into_iter().map(|alert| (alert.suspicion, alert.by, alert.principal)).collect()
    }

    #[tokio::test]
    async fn a_token_is_held_against_the_last_revocation_by_who_used_it_last_and_when() {
        let trail = Trail::open(Place::Memory, Arc::new(Still)).await.unwrap();
        let mut judged = Judge::new(trail);
        let who =
            |entity: Value, name: &str| json!({"principal": {"entity": entity, "accessor": "x", "display_name": name}});
        let revoke = || json!({"operation": "update", "path": "auth/token/revoke", "token_hash": "other"});
        let bad = |path: &str| {
            let decision = json!({"granted": false, "reason": "bad token"});
            json!({"path": path, "decision": decision, "outcome": {"result": "denied"}})
        };
        let after = |by: &str, name: &str| vec![(Suspicion::AfterRevocation, by.to_owned(), name.to_owned())];
        assert_eq!(judge(&mut judged, 10, who(Value::Null, "ann")).await, []);
        assert_eq!(judge(&mut judged, 20, revoke()).await, []);
        assert_eq!(judge(&mut judged, 30, who(Value::Null, "ann")).await, []);
        // It was good after what was revoked.
        assert_eq!(judge(&mut judged, 40, bad("a")).await, []);
        assert_eq!(judge(&mut judged, 50, revoke()).await, []);
        assert_eq!(judge(&mut judged, 60, bad("a")).await, after("ann", "ann"));
        for (entity, by, at) in [(json!("E1"), "E1", 100), (json!("E2"), "E2", 200)] {
            assert_eq!(judge(&mut judged, at, who(entity, "ann")).await, []);
            assert_eq!(judge(&mut judged, at + 1, revoke()).await, []);
            assert_eq!(judge(&mut judged, at + 2, bad("a")).await, after(by, "ann"));
            assert_eq!(judge(&mut judged, at + 3, bad("a")).await, [], "told once");
        }
        assert_eq!(judge(&mut judged, 300, who(json!("E2"), "")).await, []);
        assert_eq!(judge(&mut judged, 301, revoke()).await, []);
        assert_eq!(judge(&mut judged, 302, bad("b")).await, after("E2", "somebody"));
    }

    #[tokio::test]
    async fn refusals_of_nobody_are_counted_by_where_they_come_from() {
        let trail = Trail::open(Place::Memory, Arc::new(Still)).await.unwrap();
        let mut judged = Judge::new(trail);
        for count in 1..=BURST {
            for address in ["10.0.0.1", "10.0.0.2"] {
                let refused = json!({"outcome": {"result": "denied"}, "source": {"address": address, "port": 1}});
                let name = format!("somebody at {address}");
                let told = vec![(Suspicion::DenialBurst, name.clone(), name)];
                let expected = if count == BURST { told } else { Vec::new() };
                assert_eq!(judge(&mut judged, 1, refused).await, expected, "{count}");
            }
        }
    }

    #[tokio::test]
    async fn a_principal_with_a_secret_or_a_place_is_asked_after_once_and_no_two_are_taken_for_one() {
        let trail = Trail::open(Place::Memory, Arc::new(Still)).await.unwrap();
        let mut judged = Judge::new(trail);
        let is_new = |judged: &mut Judge, words: &[&str]| (judged.is_new(words), judged.is_new(words));
        for words in [["ann", " reads ", "kv_1:a"], ["ann", " reads ", "kv_1:b"], ["bob", " reads ", "kv_1:a"]] {
            assert_eq!(is_new(&mut judged, &words), (true, false), "{words:?}");
        }
        assert_eq!(is_new(&mut judged, &["ann", " at ", "kv_1:a"]), (true, false));
    }

    #[tokio::test]
    async fn the_index_is_asked_once_about_who_reads_what_and_where_and_again_about_what_is_gone() {
        let trail = Trail::open(Place::Memory, Arc::new(Still)).await.unwrap();
        let mut judged = Judge::new(trail);
        let read = |secret: &str, address: &str, outcome: Value| {
            let mount = json!({"path": "secret", "type": "kv", "accessor": "kv_1", "class": "secret"});
            let fields = json!({
                "mount": mount, "secret": {"name": secret, "act": "read"}, "outcome": outcome,
                "principal": {"accessor": "x", "display_name": "ann"}, "source": {"address": address, "port": 1},
            });
            entry(fields)
        };
        let (ok, failed) =
            (json!({"result": "ok"}), |missing: &str| json!({"result": "not_found", "missing": missing}));
        let (first, elsewhere) = (Suspicion::FirstRead, Suspicion::NewNetwork);
        for (line, expected) in [
            (read("a", "10.0.0.1", ok.clone()), vec![first, elsewhere]),
            (read("a", "10.0.0.1", ok.clone()), vec![]),
            (read("b", "10.0.0.1", ok.clone()), vec![first]),
            (read("a", "10.0.0.2", ok.clone()), vec![elsewhere]),
            (read("b", "10.0.0.2", ok), vec![]),
            (read("a", "10.0.0.1", failed("disabled")), vec![Suspicion::DisabledVersion]),
            (read("a", "10.0.0.1", failed("disabled")), vec![Suspicion::DisabledVersion]),
            (read("a", "10.0.0.1", failed("version")), vec![]),
        ] {
            let parsed = Line::parse(line.as_bytes()).unwrap();
            let case = judged.look(&parsed, 1, Timestamp::from_secs(1));
            let suspected = case.map_or_else(Vec::new, |case| case.suspected);
            assert_eq!(suspected.into_iter().map(|(suspicion, _)| suspicion).collect::<Vec<_>>(), expected, "{line}");
        }
    }
}
