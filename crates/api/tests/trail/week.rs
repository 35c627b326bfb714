//! A week with known truth, told to the alerts: services that read at start and on a period, people, a rollout, an intruder
//! with a stolen token. What is raised is compared with what happened, alert by alert, and false alarms are counted.

use std::collections::BTreeMap;
use std::time::Duration;
use strongroom_audit::{DecisionNote, Entry, EntryKind, Missing, MountNote, Outcome, Query, SecretNote, SourceNote};
use strongroom_model::{Clock as _, EntityId, Kind, Principal, RequestId, Timestamp, TokenType};
use strongroom_testkit::World;

const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const INTRUDER: &str = "203.0.113.66";

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

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Act {
    Read,
    Denied,
    Gone,
    NotYet,
    Revoke,
    BadToken,
}

/// One thing that happened, in seconds since Monday.
#[derive(Clone, Debug)]
struct Fact {
    at: u64,
    act: Act,
    who: &'static str,
    token: String,
    address: String,
    secret: String,
}

/// What has to be raised: the kind, who is named, the path, and whether it was right to.
type Truth = (&'static str, &'static str, String, bool);

struct Week {
    facts: Vec<Fact>,
    truth: Vec<Truth>,
}

impl Week {
    fn new(seed: u64) -> Self {
        let mut week = Self { facts: Vec::new(), truth: Vec::new() };
        let mut dice = Dice(seed);
        week.ordinary(&mut dice);
        week.benign_surprises(&mut dice);
        week.intrusion(&mut dice);
        week.facts.sort_by_key(|fact| fact.at);
        week
    }

    fn add(&mut self, at: u64, act: Act, who: &'static str, (token, address): (&str, &str), secret: &str) {
        let (token, address) = (format!("{who}-{token}"), address.to_owned());
        self.facts.push(Fact { at, act, who, token, address, secret: secret.to_owned() });
    }

    fn truth(&mut self, kind: &'static str, who: &'static str, path: &str, right: bool) {
        self.truth.push((kind, who, path.to_owned(), right));
    }

    /// Nothing of this may raise anything.
    fn ordinary(&mut self, dice: &mut Dice) {
        for (who, net, secrets) in [("web", 1, ["prod/db", "prod/api"]), ("billing", 2, ["prod/db", "shared/smtp"])] {
            for (start, hours) in [2, 9, 31, 57, 97, 130].into_iter().enumerate() {
                let at = hours * HOUR + dice.roll(HOUR);
                for (number, secret) in (0..).zip(secrets) {
                    let address = format!("10.0.{net}.{}", dice.roll(250));
                    self.add(at + number, Act::Read, who, (&start.to_string(), &address), secret);
                }
            }
        }
        for (who, net, period, secret) in [
            ("cache", 3, 5 * MINUTE, "prod/api"),
            ("worker", 4, HOUR, "prod/tls/key"),
            ("backup", 5, 6 * HOUR, "prod/db"),
        ] {
            let mut at = dice.roll(period);
            while at < 7 * DAY {
                let token = (at / (2 * DAY)).to_string();
                self.add(at, Act::Read, who, (&token, &format!("10.0.{net}.7")), secret);
                at += period - period / 20 + dice.roll(period / 10);
            }
        }
        // Whether a new version is in preparation is asked each night, and there is none.
        for day in 1..7 {
            let at = day * DAY + 2 * HOUR + dice.roll(HOUR);
            self.add(at, Act::NotYet, "backup", ("0", "10.0.5.7"), "prod/db");
        }
        for (who, net) in [("ann", 8), ("bob", 9)] {
            for day in 0..5 {
                let mut at = day * DAY + 9 * HOUR;
                for step in [10, 700, 13, 2_400, 90, 6_000, 300] {
                    at += step + dice.roll(2 * step);
                    let secret = ["test/db", "shared/smtp", "prod/api"][dice.roll(3) as usize];
                    let address = format!("10.0.{net}.{}", dice.roll(20));
                    // A few refusals a day are how people look for things.
                    let act = if dice.roll(6) == 0 { Act::Denied } else { Act::Read };
                    self.add(at, act, who, (&day.to_string(), &address), secret);
                }
            }
            // All of their secrets are met on the first day, so that nothing of it is first afterwards.
            for (number, secret) in (0..).zip(["test/db", "shared/smtp", "prod/api"]) {
                self.add(9 * HOUR + number, Act::Read, who, ("0", &format!("10.0.{net}.1")), secret);
            }
        }
    }

    /// What looks like misuse and is none: what an operator will get to see and ask about.
    fn benign_surprises(&mut self, dice: &mut Dice) {
        // Bob travels on Wednesday.
        let at = 2 * DAY + 20 * HOUR;
        self.add(at, Act::Read, "bob", ("2", "198.51.100.4"), "test/db");
        self.add(at + 600, Act::Read, "bob", ("2", "198.51.100.77"), "test/db");
        self.truth("alert-new-network", "bob", "secret/data/test/db", false);
        // A rollout on Thursday: a new service reads two known secrets, once a minute. Its third is as new as it is.
        for round in 0..30 {
            for (number, secret) in (0..).zip(["prod/db", "shared/smtp", "shop2/key"]) {
                let at = 3 * DAY + 10 * HOUR + round * MINUTE + number;
                self.add(at, Act::Read, "shop2", ("0", &format!("10.0.6.{}", dice.roll(9))), secret);
            }
        }
        self.truth("alert-first-read", "shop2", "secret/data/prod/db", false);
        self.truth("alert-first-read", "shop2", "secret/data/shared/smtp", false);
        // A service without the policy it needs asks again and again, for two minutes.
        for round in 0..60 {
            self.add(DAY + 15 * HOUR + 2 * round, Act::Denied, "misfit", ("0", "10.0.7.1"), "prod/tls/key");
        }
        self.truth("alert-denial-burst", "misfit", "", false);
        // A token of the worker ran out while another one was revoked.
        self.add(3 * DAY + HOUR, Act::Revoke, "ann", ("3", "10.0.8.1"), "");
        self.add(3 * DAY + 23 * HOUR, Act::BadToken, "worker", ("0", "10.0.4.7"), "prod/tls/key");
        self.truth("alert-after-revocation", "worker", "secret/data/prod/tls/key", false);
        // Tokens that only run out, before anything was revoked, are nothing.
        self.add(2 * DAY + 2 * HOUR, Act::BadToken, "cache", ("0", "10.0.3.7"), "prod/api");
    }

    /// In the night to Friday somebody has a token of billing, from elsewhere.
    fn intrusion(&mut self, dice: &mut Dice) {
        let at = 4 * DAY + 3 * HOUR;
        let stolen = ("4", INTRUDER);
        self.add(at, Act::Read, "billing", stolen, "prod/db");
        self.truth("alert-new-network", "billing", "secret/data/prod/db", true);
        self.add(at + 40, Act::Read, "billing", stolen, "prod/tls/key");
        self.truth("alert-first-read", "billing", "secret/data/prod/tls/key", true);
        for round in 0..45 {
            let secret = format!("guess/{}", dice.roll(1_000));
            self.add(at + 100 + round, Act::Denied, "billing", stolen, &secret);
        }
        self.truth("alert-denial-burst", "billing", "", true);
        self.add(at + 20 * MINUTE, Act::Revoke, "ann", ("4", "10.0.8.1"), "");
        for round in 0..3 {
            self.add(at + 21 * MINUTE + round, Act::BadToken, "billing", stolen, "prod/db");
        }
        self.truth("alert-after-revocation", "billing", "secret/data/prod/db", true);
        // What was read is put out of use; the cache goes on asking for it, told once an hour.
        for round in 0..30 {
            self.add(5 * DAY + 8 * HOUR + 2 * MINUTE * round, Act::Gone, "cache", ("2", "10.0.3.7"), "prod/api");
        }
        self.truth("alert-disabled-version", "cache", "secret/data/prod/api", true);
    }
}

fn not_found(missing: Missing) -> Outcome {
    Outcome { missing: Some(missing), ..Outcome::failed(Kind::NotFound, "there is no such version") }
}

fn entry(fact: &Fact, number: u64) -> Entry {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&number.to_be_bytes());
    let (operation, path) = match fact.act {
        Act::Revoke => ("update", "auth/token/revoke".to_owned()),
        _ => ("read", format!("secret/data/{}", fact.secret)),
    };
    let mut entry = Entry::new(EntryKind::Outcome, RequestId::from_bytes(id), "vault", operation, path);
    if fact.act != Act::Revoke {
        entry.mount = Some(
            MountNote {
                path: "secret".to_owned(),
                kind: "kv".to_owned(),
                accessor: "kv_1".to_owned(),
                class: "secret".to_owned(),
            }
            .into(),
        );
        entry.secret = Some(SecretNote { name: fact.secret.clone(), act: "read".into() });
    }
    entry.token_hash = Some(format!("hmac-sha256:{}", fact.token));
    let mut entity = [0; 16];
    entity[..fact.who.len()].copy_from_slice(fact.who.as_bytes());
    let principal = || Principal {
        entity: Some(EntityId::from_bytes(entity)),
        accessor: format!("acc-{}", fact.token),
        display_name: format!("approle-{}", fact.who),
        token_policies: Vec::new(),
        identity_policies: Vec::new(),
        metadata: BTreeMap::new(),
        token_type: TokenType::Service,
    };
    entry.principal = (fact.act != Act::BadToken).then(principal).map(Into::into);
    entry.source = SourceNote { address: fact.address.clone(), port: 4_711 };
    let (granted, reason, outcome) = match fact.act {
        Act::Read | Act::Revoke => (true, "granted", Outcome::ok()),
        Act::Denied => (false, "lacks read", Outcome::failed(Kind::Denied, "permission denied")),
        Act::BadToken => (false, "bad token", Outcome::failed(Kind::Denied, "permission denied")),
        Act::Gone => (true, "granted", not_found(Missing::Disabled)),
        Act::NotYet => (true, "granted", not_found(Missing::Version)),
    };
    let reason = reason.into();
    entry.decision = Some(DecisionNote { granted, policy: None, rule: None, line: None, reason });
    entry.outcome = Some(outcome);
    entry
}

/// Alerts in the order in which they were raised: the kind, the sentence, the path.
async fn raised(world: &World) -> Vec<(String, String, String)> {
    let query = Query { kinds: vec!["event".to_owned()], limit: 10_000, ..Query::default() };
    let page = world.trail.query(query).await.unwrap();
    let alerts = page.rows.into_iter().filter(|row| row.operation.starts_with("alert-"));
    alerts.map(|row| (row.operation, row.note.unwrap_or_default(), row.path)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_alerts_of_a_week_are_those_that_its_truth_demands_and_the_false_ones_are_known() {
    for seed in [1, 2, 3] {
        let (world, _) = World::open().await;
        let week = Week::new(seed);
        let monday = world.clock.now();
        for (number, fact) in (1..).zip(&week.facts) {
            let due = Timestamp::from_nanos(monday.nanos() + fact.at * 1_000_000_000);
            world.clock.advance(due.since(world.clock.now()));
            world.trail.append(entry(fact, number)).await.unwrap();
        }
        // The last thing to be judged tells that all before it was.
        world.clock.advance(Duration::from_secs(DAY));
        for number in 0..20 {
            let last = Fact {
                at: 0,
                act: Act::Denied,
                who: "marker",
                token: "marker".to_owned(),
                address: "10.9.9.9".to_owned(),
                secret: "none".to_owned(),
            };
            world.trail.append(entry(&last, 1_000_000 + number)).await.unwrap();
        }
        let waited = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            loop {
                ticks.tick().await;
                let raised = raised(&world).await;
                if raised.iter().any(|(_, text, _)| text.contains("approle-marker")) {
                    return raised;
                }
            }
        };
        let mut raised = tokio::time::timeout(Duration::from_secs(120), waited).await.expect("alerts are judged");
        raised.retain(|(_, text, _)| !text.contains("approle-marker"));
        for (kind, who, path, _) in &week.truth {
            let is_it = |(found, text, at): &(String, String, String)| {
                found == kind && at == path && text.contains(&format!("approle-{who}"))
            };
            let count = raised.iter().filter(|one| is_it(one)).count();
            assert_eq!(count, 1, "seed {seed}: {kind} of {who} at {path}: {raised:#?}");
        }
        assert_eq!(raised.len(), week.truth.len(), "seed {seed}: {raised:#?}");
        let right = week.truth.iter().filter(|truth| truth.3).count();
        println!(
            "seed {seed}: {} entries, {} alerts, {right} of misuse, {} false",
            week.facts.len(),
            raised.len(),
            raised.len() - right
        );
    }
}
