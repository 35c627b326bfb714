//! A recorded week with known truth: services that read at start, on a period or from scheduled jobs, people, an intruder.
//! Every answer of the trail is compared with what the seeded generator did; then the index is changed, cut, lost.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use strongroom_audit::{
    DecisionNote, Entry, MountNote, Options, Outcome, Page, Pattern, Place, Query, SecretNote, SourceNote, Thing,
    Trail, Use, VerifyOptions, check_index, object_of, rebuild_index, verify,
};
use strongroom_model::{Clock, EntityId, Kind, Principal, RequestId, TokenType};
use support::{Key, ManualClock, entry};
use tempfile::TempDir;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
/// 2026-04-06T00:00:00Z, a Monday.
const MONDAY: u64 = 1_775_433_600;

/// Small and good enough for a test's choices (Steele, Lea, Flood: SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % below
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
struct Fact {
    at: u64,
    who: usize,
    token: String,
    address: String,
    dialect: &'static str,
    secret: usize,
    read: bool,
    granted: bool,
    version: u64,
    request: [u8; 16],
    /// The name of the mount at that time.
    mount: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    AtStart,
    Every(u64),
    Job(u64),
    Person,
    Intruder,
}

const CAST: [(&str, Role); 9] = [
    ("web", Role::AtStart),
    ("billing", Role::AtStart),
    ("cache", Role::Every(300)),
    ("worker", Role::Every(3_600)),
    ("backup", Role::Job(6 * HOUR)),
    ("report", Role::Job(DAY)),
    ("ann", Role::Person),
    ("bob", Role::Person),
    ("mallory", Role::Intruder),
];

const SECRETS: [&str; 6] = ["prod/db", "prod/api", "prod/tls/key", "test/db", "shared/smtp", "never/read"];

/// The current version of a secret at a time: `prod/db` is changed on Wednesday noon.
fn version(secret: usize, at: u64) -> u64 {
    if secret == 0 && at >= MONDAY + 2 * DAY + 12 * HOUR { 2 } else { 1 }
}

/// What each role does over the week, from a seed.
fn week(seed: u64) -> Vec<Fact> {
    let mut dice = Dice(seed);
    let mut facts = Vec::new();
    for (who, (_, role)) in CAST.iter().enumerate() {
        let mut moments: Vec<(u64, u64)> = Vec::new();
        match role {
            Role::AtStart => {
                // Four starts at no regular times: 1, 9, 31, 97 hours into the week, give or take.
                for (token, hours) in [1, 9, 31, 97].into_iter().enumerate() {
                    moments.push((MONDAY + hours * HOUR + dice.roll(HOUR), token as u64));
                }
            }
            Role::Every(period) => {
                let mut at = MONDAY + dice.roll(*period);
                while at < MONDAY + 7 * DAY {
                    // A new token on Thursday.
                    moments.push((at, u64::from(at > MONDAY + 3 * DAY)));
                    at += period - period / 20 + dice.roll(period / 10);
                }
            }
            Role::Job(period) => {
                let mut at = MONDAY + dice.roll(HOUR);
                while at < MONDAY + 7 * DAY {
                    moments.push((at, moments.len() as u64));
                    at += period - 30 + dice.roll(60);
                }
            }
            Role::Person => {
                for day in 0..5 {
                    let mut at = MONDAY + day * DAY + 9 * HOUR;
                    for step in [1, 700, 13, 2_400, 90, 6_000, 300] {
                        at += step + dice.roll(2 * step);
                        moments.push((at, day));
                    }
                }
            }
            Role::Intruder => {
                for _ in 0..40 {
                    moments.push((MONDAY + 4 * DAY + 3 * HOUR + dice.roll(HOUR / 2), 0));
                }
            }
        }
        for (at, token) in moments {
            let secret = match role {
                Role::Intruder | Role::Person => dice.roll(5) as usize,
                _ => who % 5,
            };
            let request = std::array::from_fn(|_| dice.roll(256) as u8);
            facts.push(Fact {
                at,
                who,
                token: format!("acc-{}-{token}", CAST[who].0),
                address: match role {
                    Role::Intruder => "203.0.113.66".to_owned(),
                    _ => format!("10.0.{who}.{}", token % 3),
                },
                dialect: if who % 3 == 1 { "aws" } else { "vault" },
                secret,
                read: !(matches!(role, Role::Person) && dice.roll(4) == 0),
                granted: *role != Role::Intruder || dice.roll(4) == 0,
                version: version(secret, at),
                request,
                // The mount moves from `kv` to `secret` in the night to Friday.
                mount: if at < MONDAY + 4 * DAY { "kv" } else { "secret" },
            });
        }
    }
    facts.sort_by_key(|fact| fact.at);
    facts
}

fn entity(who: usize) -> EntityId {
    EntityId::from_bytes([who as u8 + 1; 16])
}

fn recorded(fact: &Fact) -> Entry {
    let (name, secret) = (CAST[fact.who].0, SECRETS[fact.secret]);
    let operation = if fact.read { "read" } else { "update" };
    let mut entry = entry(operation, &format!("{}/data/{secret}", fact.mount));
    entry.request = RequestId::from_bytes(fact.request);
    entry.dialect = fact.dialect.into();
    entry.typed = (fact.dialect == "aws").then(|| format!("arn:aws:secretsmanager:::secret:{secret}"));
    entry.mount = Some(
        MountNote {
            path: fact.mount.to_owned(),
            kind: "kv".to_owned(),
            accessor: "kv_1".to_owned(),
            class: "secret".to_owned(),
        }
        .into(),
    );
    let act = if fact.read { "read" } else { "write" };
    entry.secret = Some(SecretNote { name: secret.to_owned(), act: act.into() });
    entry.version = fact.granted.then_some(fact.version);
    entry.principal = Some(
        Principal {
            entity: Some(entity(fact.who)),
            accessor: fact.token.clone(),
            display_name: format!("approle-{name}"),
            token_policies: Vec::new(),
            identity_policies: Vec::new(),
            metadata: BTreeMap::new(),
            token_type: TokenType::Service,
        }
        .into(),
    );
    entry.source = SourceNote { address: fact.address.clone(), port: 4_711 };
    entry.decision = Some(DecisionNote {
        granted: fact.granted,
        policy: Some(name.to_owned()),
        rule: Some("secret/data/*".to_owned()),
        line: Some(3),
        reason: if fact.granted { "granted" } else { "lacks read" }.into(),
    });
    if !fact.granted {
        entry.outcome = Some(Outcome::failed(Kind::Denied, "permission denied"));
    }
    entry.duration_us = 120;
    entry
}

struct Recorded {
    dir: TempDir,
    clock: Arc<ManualClock>,
    facts: Vec<Fact>,
}

impl Recorded {
    fn folder(&self) -> PathBuf {
        self.dir.path().join("trail")
    }

    async fn open(&self) -> Arc<Trail> {
        let options = Options { segment_bytes: 256 * 1024, ..Options::default() };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let trail = Trail::open_with(Place::Folder(self.folder()), clock, options).await.unwrap();
        trail.set_seal(Some(Key::new(1, 1))).await;
        trail
    }

    /// Records a week; the server dies without a word on Tuesday and Saturday.
    async fn new(seed: u64) -> Self {
        let (dir, clock) = (support::folder(), ManualClock::at(MONDAY));
        let recorded = Self { dir, clock, facts: week(seed) };
        let mut trail = recorded.open().await;
        let deaths = [MONDAY + DAY, MONDAY + 5 * DAY];
        let mut before = MONDAY;
        for fact in &recorded.facts {
            if deaths.iter().any(|death| before < *death && fact.at >= *death) {
                drop(trail);
                // The writer's thread ends on its own; the folder's lock tells when.
                trail = loop {
                    let options = Options { segment_bytes: 256 * 1024, ..Options::default() };
                    let clock = Arc::clone(&recorded.clock) as Arc<dyn Clock>;
                    match Trail::open_with(Place::Folder(recorded.folder()), clock, options).await {
                        Ok(trail) => break trail,
                        Err(_) => tokio::task::yield_now().await,
                    }
                };
                trail.set_seal(Some(Key::new(1, 1))).await;
            }
            recorded.clock.set(fact.at);
            trail.append(self::recorded(fact)).await.unwrap();
            before = fact.at;
        }
        trail.close().await;
        recorded
    }
}

fn thing(secret: usize) -> Thing {
    Thing::Object(object_of("kv_1", SECRETS[secret]))
}

fn ids(page: &Page) -> Vec<String> {
    page.rows.iter().map(|row| row.request.clone()).collect()
}

fn wanted(facts: &[Fact], is: impl Fn(&Fact) -> bool) -> Vec<String> {
    facts.iter().filter(|fact| is(fact)).map(|fact| RequestId::from_bytes(fact.request).to_string()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_question_about_the_week_is_answered_as_it_was() {
    let week = Recorded::new(7).await;
    let trail = week.open().await;
    let facts = &week.facts;
    let nanos = |secs: u64| Some(secs * 1_000_000_000);
    let ask = async |query: Query| ids(&trail.query(Query { limit: 100_000, ..query }).await.unwrap());
    let (from, to) = (MONDAY + 3 * DAY + 14 * HOUR, MONDAY + 4 * DAY + 15 * HOUR);
    for secret in 0..SECRETS.len() {
        let found = ask(Query { things: vec![thing(secret)], from: nanos(from), to: nanos(to), ..Query::default() });
        // One name across the move of the mount, whatever the dialect.
        assert_eq!(found.await, wanted(facts, |f| f.secret == secret && f.at >= from && f.at < to), "secret {secret}");
        let found = ask(Query { things: vec![thing(secret)], ..Query::default() }).await;
        assert_eq!(found, wanted(facts, |f| f.secret == secret));
    }
    for (who, (name, _)) in CAST.iter().enumerate() {
        for principal in [format!("approle-{name}"), entity(who).to_string()] {
            let found = ask(Query { principals: vec![principal], ..Query::default() }).await;
            assert_eq!(found, wanted(facts, |f| f.who == who), "{name}");
        }
    }
    let denied = Query { outcomes: vec!["failed".to_owned()], kinds: vec!["outcome".to_owned()], ..Query::default() };
    assert_eq!(ask(denied).await, wanted(facts, |f| !f.granted));
    let net = Box::new(|address: std::net::IpAddr| address.to_string().starts_with("203.0.113."));
    assert_eq!(ask(Query { address: Some(net), ..Query::default() }).await, wanted(facts, |f| f.who == 8));
    let prefix = vec![Thing::Path("kv/data/prod/".to_owned())];
    let found = ask(Query { prefixes: prefix, ..Query::default() }).await;
    assert_eq!(found, wanted(facts, |f| f.secret < 3 && f.mount == "kv"));
    let typed = vec![Thing::Typed("arn:aws:secretsmanager:::secret:prod/api".to_owned())];
    let found = ask(Query { things: typed, ..Query::default() }).await;
    assert_eq!(found, wanted(facts, |f| f.secret == 1 && f.dialect == "aws"));
    let writes =
        Query { operations: vec!["update".to_owned()], dialects: vec!["vault".to_owned()], ..Query::default() };
    assert_eq!(ask(writes).await, wanted(facts, |f| !f.read && f.dialect == "vault"));
    for fact in facts.iter().step_by(97) {
        let request = RequestId::from_bytes(fact.request).to_string();
        assert_eq!(ask(Query { request: Some(request.clone()), ..Query::default() }).await, [request]);
    }
    let hidden = Query { visible: Some(Box::new(|path| path == "kv/data/test/db")), ..Query::default() };
    assert_eq!(ask(hidden).await, wanted(facts, |f| f.secret == 3 && f.mount == "kv"));
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_in_both_directions_make_the_whole_answer() {
    let week = Recorded::new(8).await;
    let trail = week.open().await;
    let all = wanted(&week.facts, |fact| fact.secret == 2);
    for backwards in [false, true] {
        let (mut found, mut start) = (Vec::new(), None);
        loop {
            let query = Query { things: vec![thing(2)], start, backwards, limit: 7, ..Query::default() };
            let page = trail.query(query).await.unwrap();
            found.extend(ids(&page));
            start = page.next;
            if start.is_none() {
                break;
            }
        }
        if backwards {
            found.reverse();
        }
        assert_eq!(found, all);
    }
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_what_and_how_is_told_as_it_was() {
    let week = Recorded::new(9).await;
    let trail = week.open().await;
    let uses = trail.uses(None, |_| true).await.unwrap();
    let mut truth: BTreeMap<(usize, usize), Vec<&Fact>> = BTreeMap::new();
    for fact in week.facts.iter().filter(|fact| fact.read) {
        truth.entry((fact.secret, fact.who)).or_default().push(fact);
    }
    assert_eq!(uses.len(), truth.len());
    for ((secret, who), facts) in &truth {
        let (name, role) = CAST[*who];
        let is_it =
            |one: &&Use| one.object == object_of("kv_1", SECRETS[*secret]) && one.consumer == entity(*who).to_string();
        let one = uses.iter().find(is_it).unwrap();
        let reads: Vec<_> = facts.iter().filter(|fact| fact.granted).collect();
        assert_eq!(one.name, format!("approle-{name}"));
        assert_eq!((one.reads, one.refused), (reads.len() as u64, (facts.len() - reads.len()) as u64), "{name}");
        let nanos = |fact: Option<&&&Fact>| fact.map_or(0, |fact| fact.at * 1_000_000_000);
        assert_eq!((one.first, one.last), (nanos(reads.first()), nanos(reads.last())), "{name}");
        assert_eq!(one.newest, reads.iter().map(|fact| fact.version).max());
        let fresh = reads.iter().find(|fact| Some(fact.version) == one.newest);
        assert_eq!(one.newest_at, nanos(fresh));
        let mut addresses: Vec<&String> = facts.iter().map(|fact| &fact.address).collect();
        addresses.sort();
        addresses.dedup();
        let mut told: Vec<&String> = one.addresses.iter().collect();
        told.sort();
        assert_eq!(told, addresses);
        let habit = one.habit();
        let near = |period: u64| {
            habit.pattern == Pattern::Periodic
                && habit.period_seconds.is_some_and(|found| (found - period as f64).abs() < period as f64 * 0.05)
        };
        let right = match role {
            Role::AtStart => habit.pattern == Pattern::AtStart,
            Role::Every(period) | Role::Job(period) => near(period),
            Role::Person | Role::Intruder => habit.pattern != Pattern::Periodic || reads.len() < 6,
        };
        assert!(right, "{name}: {habit:?}");
    }
    let readers = trail.uses(Some(object_of("kv_1", SECRETS[0])), |_| true).await.unwrap();
    assert_eq!(readers.len(), truth.keys().filter(|(secret, _)| *secret == 0).count());
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_holds_and_no_changed_one_does() {
    let week = Recorded::new(10).await;
    let trail = week.open().await;
    let query = Query { things: vec![thing(0)], limit: 20, ..Query::default() };
    let (page, inclusion) = trail.query_proven(query).await.unwrap();
    assert_eq!(page.rows.len(), 20);
    let key = Key::new(1, 1);
    let seal: &dyn strongroom_audit::Seal = &*key;
    let mut statement = strongroom_proof::Statement {
        size: inclusion.size,
        root: hex::encode(inclusion.root),
        head: hex::encode(inclusion.head),
        generation: 1,
        time: "2026-04-13T00:00:00Z".to_owned(),
        key: hex::encode(seal.public_key()),
        signature: String::new(),
    };
    statement.signature = hex::encode(seal.sign(statement.text().as_bytes()));
    let proof = serde_json::to_string(&strongroom_proof::Bundle::new(statement, inclusion.entries)).unwrap();
    let keys = [seal.public_key()];
    let checked = strongroom_proof::check(proof.as_bytes(), &keys).unwrap();
    assert_eq!(checked.lines.len(), 20);
    assert!(strongroom_proof::check(proof.as_bytes(), &[[9; 32]]).is_err());
    let mut dice = Dice(11);
    for _ in 0..400 {
        let mut bytes = proof.clone().into_bytes();
        let at = dice.roll(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << dice.roll(7);
        let changed = strongroom_proof::check(&bytes, &keys);
        // Upper-case digits spell the same hash; nothing else may pass.
        let same = bytes.eq_ignore_ascii_case(proof.as_bytes());
        assert!(changed.is_err() || same, "byte {at} of {}", bytes.len());
    }
    trail.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_is_changed_torn_or_lost_is_found_and_made_again() {
    let week = Recorded::new(12).await;
    let folder = week.folder();
    rebuild_index(&folder).unwrap();
    let files = |folder: &PathBuf| {
        let mut found: Vec<PathBuf> =
            fs::read_dir(folder.join("index")).unwrap().map(|item| item.unwrap().path()).collect();
        found.sort();
        found
    };
    let all = files(&folder);
    assert!(all.len() > 5, "{} files", all.len());
    let report = check_index(&folder).unwrap();
    assert_eq!((report.good, report.missing, report.first_bad), (all.len() as u64, 0, None));
    assert_eq!(verify(&folder, &VerifyOptions::default()).unwrap().first_bad, None);
    let mut dice = Dice(13);
    for round in 0..30 {
        let file = &all[dice.roll(all.len() as u64) as usize];
        let good = fs::read(file).unwrap();
        let mut bad = good.clone();
        match round % 3 {
            0 => bad[dice.roll(good.len() as u64) as usize] ^= 1 << dice.roll(8),
            1 => bad.truncate(dice.roll(good.len() as u64) as usize),
            _ => bad.extend_from_slice(b"more"),
        }
        fs::write(file, &bad).unwrap();
        let found = check_index(&folder).unwrap().first_bad.unwrap();
        assert!(file.ends_with(&found.file), "{found:?}");
        fs::write(file, &good).unwrap();
    }
    // Torn, lost, of another trail or of an older format: made again at the next start, and the answers are complete.
    fs::remove_file(&all[1]).unwrap();
    fs::write(&all[2], b"SRTRIDX2 torn").unwrap();
    fs::copy(&all[4], &all[3]).unwrap();
    let mut older = fs::read(&all[0]).unwrap();
    older[..8].copy_from_slice(b"SRTRIDX1");
    fs::write(&all[0], &older).unwrap();
    let trail = week.open().await;
    let page = trail.query(Query { things: vec![thing(1)], limit: 100_000, ..Query::default() }).await.unwrap();
    assert_eq!(ids(&page), wanted(&week.facts, |fact| fact.secret == 1));
    trail.close().await;
    let report = check_index(&folder).unwrap();
    assert_eq!((report.first_bad, report.missing), (None, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_edited_beside_the_running_server_ends_the_answer_and_is_named() {
    let week = Recorded::new(14).await;
    let trail = week.open().await;
    // The last line of all: none stands behind it that would name it.
    trail.set_seal(None).await;
    trail.append(recorded(&week.facts[0])).await.unwrap();
    let all = || Query { limit: 100_000, ..Query::default() };
    let page = trail.query(all()).await.unwrap();
    let of = |line: &&str| line.contains("\"kind\":\"outcome\"");
    let segments = support::segments(&week.dir);
    for file in [&segments[segments.len() / 2], segments.last().unwrap()] {
        let good = fs::read_to_string(file).unwrap();
        for line in [good.lines().find(of), good.lines().rfind(of)].into_iter().flatten() {
            let (seq, rest) = line.strip_prefix("{\"seq\":").unwrap().split_once(',').unwrap();
            let edits = [
                // Somebody else, another path, another time, no line at all: each of the same length.
                good.replacen(rest, &rest.replacen("\"approle-", "\"approlf-", 1), 1),
                good.replacen(rest, &rest.replacen("/data/", "/date/", 1), 1),
                good.replacen(rest, &rest.replacen("\"time\":\"2026-", "\"time\":\"2025-", 1), 1),
                good.replacen(line, &" ".repeat(line.len()), 1),
            ];
            for edited in edits {
                assert!(edited.len() == good.len() && edited != good);
                fs::write(file, &edited).unwrap();
                let error = trail.query(all()).await.unwrap_err();
                let strongroom_audit::TrailError::Changed { line, place } = &error else { panic!("{error}") };
                assert!(line.to_string() == seq || edited.contains("   "), "{error}");
                assert!(file.ends_with(place), "{error}");
            }
        }
        fs::write(file, &good).unwrap();
    }
    assert_eq!(ids(&trail.query(all()).await.unwrap()), ids(&page));
    trail.close().await;
}
