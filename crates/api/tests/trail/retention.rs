//! How long the trail is kept: by age, never past a legal hold, and with every answer saying what it lacks.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_api::Limits;
use strongroom_audit::{Options, Place, Trail, VerifyOptions, verify};
use strongroom_core::{Init, SlotSpec};
use strongroom_model::Clock;
use strongroom_storage::Memory;
use strongroom_testkit::{Answer, ManualClock, TestServer, World};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);
/// More than the judge of alerts takes to read what there is and to note how far it is, every five seconds of real time.
const JUDGED: Duration = Duration::from_secs(60);

struct Scene {
    dir: TempDir,
    server: TestServer,
}

impl Scene {
    /// Twenty days, a segment or more each: `app/db` is read daily, `hr/pay` on the sixth day only.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new());
        let options = Options { segment_bytes: 12_000, ..Options::default() };
        let place = Place::Folder(dir.path().join("trail"));
        let trail = Trail::open_with(place, Arc::clone(&clock) as Arc<dyn Clock>, options).await.unwrap();
        let world = World::with(Arc::new(Memory::new()), clock, trail).await;
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 1, threshold: 1 }] };
        let made = world.strongroom.init_dev(init, None).await.unwrap();
        let root = made.root.client_token.expose().to_owned();
        let mut server = TestServer::start(world, Limits::default()).await;
        server.root = root;
        let scene = Self { dir, server };
        for path in ["secret/data/app/db", "secret/data/hr/pay"] {
            scene.server.operator().post(path, json!({"data": {"a": "b"}})).await.expect(200);
        }
        for day in 0..20 {
            scene.server.world.clock.advance(DAY);
            for _ in 0..10 {
                scene.server.operator().get("secret/data/app/db").await.expect(200);
            }
            if day == 5 {
                scene.server.operator().get("secret/data/hr/pay").await.expect(200);
            }
        }
        scene.server.world.trail.checkpoint().await;
        scene
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {}", self.server.root);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        self.server.send_raw(method, &format!("/api/v1/{path}"), &headers, body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, Value::Null).await.expect(200)
    }

    fn trail(&self) -> PathBuf {
        self.dir.path().join("trail")
    }

    fn segments(&self) -> usize {
        files(&self.trail(), "jsonl").len()
    }

    fn verifies(&self) {
        let report = verify(&self.trail(), &VerifyOptions::default()).unwrap();
        assert_eq!(report.first_bad, None);
    }
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(items) = fs::read_dir(folder) else { return Vec::new() };
    let found = items.map(|item| item.unwrap().path());
    found.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_older_than_it_is_kept_leaves_and_every_answer_says_so() {
    let scene = Scene::new().await;
    let retention = &scene.server.world.rooms().retention;
    let before = scene.segments();
    retention.look().await;
    assert_eq!(scene.segments(), before, "nothing leaves unless it is said");
    let out = scene.dir.path().join("out");
    let keeping = json!({"keep_days": 10, "folder": out, "archives_keep_days": 30});
    scene.ask("POST", "trail/retention", keeping).await.expect(204);
    // The judge of alerts may still have to read them.
    let deadline = Instant::now() + JUDGED;
    while Instant::now() < deadline {
        retention.look().await;
        if scene.segments() <= before - 6 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(scene.segments() <= before - 6, "{} of {before}", scene.segments());
    scene.verifies();
    let said = scene.get("trail/retention").await;
    assert_eq!((said.at("/data/keep_days"), said.at("/data/last/error")), (&json!(10), &Value::Null));
    let archived = said.at("/data/absent/0").clone();
    assert_eq!((&archived["first"], &archived["archived"]), (&json!(0), &json!(true)));
    // Who asks about it, by whichever question, is told; who asks about later is not.
    for question in ["query?path=secret/app/db", "who-reads?path=secret/app/db", "reads-what?principal=root", "review"]
    {
        assert_eq!(scene.get(&format!("trail/{question}")).await.at("/data/absent/0"), &archived, "{question}");
    }
    assert_eq!(scene.get("alerts").await.at("/data/absent/0"), &archived, "alerts may have been among them");
    let later = scene.get("trail/query?from=2026-12-08T00:00:00Z").await;
    assert_eq!((later.at("/data/absent"), later.at("/data/behind")), (&Value::Null, &Value::Null));
    // All of it is checked elsewhere, by the key of the trail's checkpoints.
    let key = verify(&scene.trail(), &VerifyOptions::default()).unwrap().key.unwrap();
    let mut lines = 0;
    for file in files(&out, "tar") {
        strongroom_proof::check_archive(File::open(file).unwrap(), &[key], &mut |_| lines += 1).unwrap();
    }
    assert_eq!(archived["next"], json!(lines));
    // Archives go by their age, too, and the trail goes on to verify by what it knows of them.
    scene.server.world.clock.advance(DAY * 25);
    retention.look().await;
    scene.server.world.clock.advance(DAY);
    retention.look().await;
    assert!(files(&out, "tar").len() < files(&scene.trail().join("manifests"), "json").len());
    scene.verifies();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_keeps_whole_segments_and_its_beginning_and_end_are_entries() {
    let scene = Scene::new().await;
    let hold = json!({"prefix": "secret/hr/", "reason": "case 4711"});
    scene.ask("POST", "trail/holds/case-4711", hold.clone()).await.expect(204);
    scene.ask("POST", "trail/holds/case-4711", hold).await.expect(409);
    let before = json!({"before": "2026-12-05T00:00:00Z"});
    let done = scene.ask("POST", "trail/archive", before.clone()).await.expect(200);
    assert!(done.at("/data/removed").as_u64().unwrap() >= 5, "{}", done.text);
    assert!(done.at("/data/kept").to_string().contains("case-4711"), "{}", done.text);
    let found = scene.get("trail/query?path=secret/hr/pay&operation=read").await;
    assert_eq!(found.at("/data/entries").as_array().unwrap().len(), 1, "{}", found.text);
    scene.verifies();
    let holds = scene.get("trail/holds").await;
    assert_eq!(holds.at("/data/holds/0/name"), "case-4711");
    assert_eq!(holds.at("/data/holds/0/placed_by"), "root");
    scene.ask("DELETE", "trail/holds/case-4711", Value::Null).await.expect(400);
    scene.ask("DELETE", "trail/holds/case-4711?reason=settled", Value::Null).await.expect(204);
    scene.ask("DELETE", "trail/holds/case-4711?reason=settled", Value::Null).await.expect(404);
    scene.ask("POST", "trail/archive", before).await.expect(200);
    let found = scene.get("trail/query?path=secret/hr/pay&operation=read").await;
    assert_eq!(found.at("/data/entries"), &json!([]));
    let events = scene.get("trail/query?kind=event&limit=1000").await;
    let notes: Vec<&str> =
        events.at("/data/entries").as_array().unwrap().iter().filter_map(|e| e["note"].as_str()).collect();
    for wanted in [
        "root holds paths that begin with secret/hr/: case 4711",
        "root lifts the hold of root",
        "leave the trail's folder",
    ] {
        assert!(notes.iter().any(|note| note.contains(wanted)), "{wanted}: {notes:?}");
    }
    scene.verifies();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_wishes_are_refused_and_so_is_who_has_no_sudo() {
    let scene = Scene::new().await;
    fs::write(scene.dir.path().join("a-file"), "no folder").unwrap();
    for (path, body) in [
        ("trail/retention", json!({"keep_days": 40_000})),
        ("trail/retention", json!({"keep_days": 10, "archives_keep_days": 10})),
        ("trail/retention", json!({"folder": "relative"})),
        ("trail/retention", json!({"keep": 10})),
        ("trail/archive", json!({})),
        ("trail/archive", json!({"before": "yesterday"})),
        ("trail/archive", json!({"before": "2026-12-05T00:00:00Z", "folder": scene.trail().join("index")})),
        ("trail/retention", json!({"folder": scene.trail()})),
        ("trail/retention", json!({"folder": scene.trail().join("mine")})),
        ("trail/retention", json!({"folder": scene.dir.path().join("a-file/below")})),
        ("trail/retention", json!({"folder": "/proc/nowhere"})),
        ("trail/holds/case", json!({"prefix": "secret/"})),
        ("trail/holds/case", json!({"reason": " "})),
        ("trail/holds/case%20a", json!({"reason": "why"})),
        ("trail/holds/case", json!({"reason": "why", "from": "2026-12-05T00:00:00Z", "to": "2026-12-05T00:00:00Z"})),
    ] {
        let refused = scene.ask("POST", path, body.clone()).await.expect(400);
        if path == "trail/retention" && body["folder"].as_str().is_some_and(|folder| folder.starts_with('/')) {
            assert!(refused.text.contains("name another folder") || refused.text.contains("name a folder"), "{body}");
        }
    }
    assert!(!scene.trail().join("mine").exists(), "nothing is made among the trail's own files");
    assert_eq!(scene.get("trail/retention").await.at("/data/folder"), &Value::Null);
    let before = scene.segments();
    scene
        .server
        .policy("keeper", "path \"sys/trail/*\" { capabilities = [\"read\", \"update\", \"create\", \"delete\"] }")
        .await;
    let token = scene.server.token(json!({"policies": ["keeper"]})).await;
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for (method, path) in [
        ("GET", "trail/retention"),
        ("POST", "trail/retention"),
        ("POST", "trail/archive"),
        ("GET", "trail/holds"),
        ("POST", "trail/holds/mine"),
        ("DELETE", "trail/holds/mine?reason=so"),
    ] {
        let body = if method == "POST" { b"{}".to_vec() } else { Vec::new() };
        scene.server.send_raw(method, &format!("/api/v1/{path}"), &headers, body).await.expect(403);
    }
    assert_eq!((scene.segments() >= before, scene.get("trail/holds").await.at("/data/holds")), (true, &json!([])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holds_and_the_setting_outlive_a_seal_and_the_remembered_end_is_never_archived() {
    let scene = Scene::new().await;
    scene.ask("POST", "trail/retention", json!({"keep_days": 3})).await.expect(204);
    scene.ask("POST", "trail/holds/all", json!({"reason": "everything"})).await.expect(204);
    let rooms = scene.server.world.rooms();
    rooms.retention.look().await;
    assert!(scene.get("trail/retention").await.at("/data/last/kept").to_string().contains("`all`"));
    let segments = scene.segments();
    scene.ask("DELETE", "trail/holds/all?reason=over", Value::Null).await.expect(204);
    // As old as can be asked for: what the store remembers stays, or the next unsealing would refuse the trail.
    scene.ask("POST", "trail/archive", json!({"before": "2030-01-01T00:00:00Z"})).await.expect(200);
    assert!(scene.segments() < segments);
    let left = verify(&scene.trail(), &VerifyOptions::default()).unwrap();
    assert!(left.lines > 0 && left.first_bad.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_for_archives_that_went_away_is_told_at_the_next_round_and_not_made_anew() {
    let scene = Scene::new().await;
    let out = scene.dir.path().join("out");
    scene.ask("POST", "trail/retention", json!({"keep_days": 10, "folder": out})).await.expect(204);
    let retention = Arc::clone(&scene.server.world.rooms().retention);
    retention.look().await;
    fs::remove_dir_all(&out).unwrap();
    // A round that the server began by itself before may still end, and say what it found.
    let deadline = Instant::now() + Duration::from_secs(20);
    let said = loop {
        retention.look().await;
        let said = scene.get("trail/retention").await;
        if said.at("/data/last/error").is_string() {
            break said;
        }
        assert!(Instant::now() < deadline, "{}", said.text);
    };
    assert!(said.text_at("/data/last/error").contains("name a folder"), "{}", said.text);
    assert!(!out.exists());
    fs::create_dir(&out).unwrap();
    retention.look().await;
    assert_eq!(scene.get("trail/retention").await.at("/data/last/error"), &Value::Null);
}

/// Signs archives that are made past the strongroom.
struct Stranger(aws_lc_rs::signature::Ed25519KeyPair);

impl strongroom_audit::Seal for Stranger {
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }

    fn public_key(&self) -> [u8; 32] {
        use aws_lc_rs::signature::KeyPair as _;
        self.0.public_key().as_ref().try_into().unwrap()
    }

    fn generation(&self) -> u64 {
        0
    }
}

impl Scene {
    async fn reader(&self, name: &str) -> String {
        self.server.policy(name, "path \"secret/data/*\" { capabilities = [\"read\"] }").await;
        self.server.token(json!({"policies": [name], "display_name": name, "ttl": "700h"})).await
    }

    async fn revoke(&self, target: Value) -> String {
        let mut body = target;
        body["reason"] = json!("a leak");
        self.ask("POST", "revoke", body).await.expect(200).text_at("/data/incident/id")
    }

    /// Until nothing is left to do.
    async fn done(&self, id: &str) {
        for _ in 0..1_000 {
            self.server.world.rooms().housekeep().await;
            if self.get(&format!("incidents/{id}")).await.at("/data/incident/state") == "done" {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("the incident is not done");
    }

    /// Days on which others do something, so that what was before is in old segments.
    async fn days(&self, many: usize) {
        for _ in 0..many {
            self.server.world.clock.advance(DAY);
            for _ in 0..12 {
                self.server.operator().get("secret/data/hr/pay").await.expect(200);
            }
        }
        self.server.world.trail.checkpoint().await;
    }

    /// Archives as much as there is, until that reaches past a time: the judge of alerts has to read it first.
    async fn archive_past(&self, time: &str) -> String {
        let deadline = Instant::now() + JUDGED;
        let mut last = String::new();
        while Instant::now() < deadline {
            let did = self.ask("POST", "trail/archive", json!({"before": "2030-01-01T00:00:00Z"})).await.expect(200);
            let kept = self.get("trail/retention").await;
            last = did.text;
            if let Some(up_to) = kept.at("/data/absent/0/to").as_str().filter(|up_to| *up_to > time) {
                return up_to.to_owned();
            }
            tokio::task::yield_now().await;
        }
        panic!("nothing past {time} is archived: {last}");
    }
}

/// What of a report must not change when its entries leave the trail.
fn essence(report: &Answer) -> Value {
    let states: Vec<(&Value, &Value, &Value)> = report
        .at("/data/figures/consumers")
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["principal"], &one["state"], &one["last_accepted"]))
        .collect();
    let figure = |name: &str| report.at(&format!("/data/figures/{name}")).clone();
    let notes: Vec<&Value> = report
        .at("/data/timeline")
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["kind"] == "event")
        .map(|row| &row["note"])
        .collect();
    json!({
        "accepted": figure("accepted_after"), "refused": figure("refused_after"), "last": figure("last_accepted_us"),
        "consumers": states, "notes": notes, "stragglers": report.at("/data/stragglers"),
    })
}

/// They were counted anew from the trail each time: archived, they read `0 accepted`, and nobody was left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_an_incident_outlive_the_entries_that_they_come_from() {
    let scene = Scene::new().await;
    let (quick, slow, gone) = (scene.reader("quick").await, scene.reader("slow").await, scene.reader("gone").await);
    for token in [&quick, &slow, &gone] {
        scene.server.by(token).get("secret/data/app/db").await.expect(200);
    }
    scene.server.world.clock.advance(Duration::from_secs(60));
    let lifted = scene.revoke(json!({"secret": "secret/hr/pay"})).await;
    scene.done(&lifted).await;
    scene.server.by(&slow).get("secret/data/hr/pay").await.expect(404);
    scene.server.world.clock.advance(Duration::from_secs(1));
    scene.ask("POST", &format!("incidents/{lifted}/lift"), json!({"reason": "a mistake"})).await.expect(200);
    let id = scene.revoke(json!({"secret": "secret/app/db"})).await;
    scene.done(&id).await;
    scene.server.world.clock.advance(Duration::from_secs(1));
    for token in [&quick, &slow, &slow] {
        scene.server.by(token).get("secret/data/app/db").await.expect(404);
    }
    scene.server.operator().post("secret/data/app/db", json!({"data": {"a": "c"}})).await.expect(200);
    scene.server.by(&quick).get("secret/data/app/db").await.expect(200);
    let report = |id: &str| format!("incidents/{id}/report");
    let (before, before_lifted) = (scene.get(&report(&id)).await, scene.get(&report(&lifted)).await);
    assert_eq!(before.at("/data/figures/refused_after"), 3, "{}", before.text);
    assert_eq!(before_lifted.at("/data/figures/refused_after"), 1, "{}", before_lifted.text);
    scene.days(4).await;
    let up_to = scene.archive_past("2026-12-12").await;
    assert!(up_to > before.text_at("/data/incident/opened"), "{up_to}");
    let (after, after_lifted) = (scene.get(&report(&id)).await, scene.get(&report(&lifted)).await);
    assert_eq!(essence(&after), essence(&before));
    assert_eq!(essence(&after_lifted), essence(&before_lifted));
    assert_eq!(after.at("/data/figures/unknown"), &Value::Null, "{}", after.text);
    let uses = |report: &Answer| {
        let rows = report.at("/data/timeline").as_array().unwrap().clone();
        rows.iter().filter(|row| row["kind"] == "outcome").map(|row| row["seq"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(uses(&after), uses(&before));
    let shown = scene.get(&format!("incidents/{id}")).await;
    assert_eq!(shown.at("/data/figures/refused_after"), 3);
    assert!(scene.get("incidents").await.text.contains(&id));
    // What happens later is added to it: the one that was behind comes for the new version.
    scene.server.by(&slow).get("secret/data/app/db").await.expect(200);
    let later = scene.get(&report(&id)).await;
    let one = later.at("/data/figures/consumers").as_array().unwrap().clone();
    let state = |who: &str| {
        let found = one.iter().find(|one| one["principal"].as_str().unwrap().contains(who));
        found.unwrap_or_else(|| panic!("{who}: {one:?}"))["state"].clone()
    };
    assert_eq!(
        (state("quick"), state("slow"), state("gone")),
        (json!("refreshed"), json!("refreshed"), json!("not-seen"))
    );
    assert_eq!(later.at("/data/figures/refused_after"), 3);
    // A preview of the next order says that readers of before are not counted; so do the other answers.
    let preview = scene.ask("POST", "revoke/preview", json!({"secret": "secret/app/db"})).await.expect(200);
    assert!(preview.text_at("/data/touches/1/lacks").contains(&format!("unknown: archived up to {up_to}")));
    let source = scene.ask("POST", "revoke/preview", json!({"address": "192.0.2.0/24"})).await.expect(200);
    assert!(source.text_at("/data/touches/1/lacks").contains("unknown: archived up to"), "{}", source.text);
    for question in ["trail/who-reads?path=secret/app/db", "trail/review", "drills/table"] {
        assert_eq!(scene.get(question).await.at("/data/absent/0/to"), &json!(up_to), "{question}");
    }
    // Kept by the seal as the record is: none of it stands in the store for who reads its file.
    let stored = scene.server.world.snapshot().await;
    assert!(!stored.iter().any(|entry| String::from_utf8_lossy(&entry.value).contains("quick")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_whose_entries_left_unseen_are_unknown_and_never_none() {
    let scene = Scene::new().await;
    let late = scene.reader("late").await;
    let id = scene.revoke(json!({"secret": "secret/app/db"})).await;
    scene.done(&id).await;
    scene.server.world.clock.advance(Duration::from_secs(1));
    scene.server.by(&late).get("secret/data/app/db").await.expect(404);
    scene.days(4).await;
    // Past the strongroom, as with a trail that was archived by a program of former times: nothing more was kept.
    let order = strongroom_audit::ArchiveOrder {
        before: strongroom_model::Timestamp::parse("2030-01-01T00:00:00Z").unwrap(),
        folder: scene.dir.path().join("out"),
        make: true,
        holds: Vec::new(),
        keep_from: u64::MAX,
        readers: Vec::new(),
        most: usize::MAX,
        stop: Arc::default(),
    };
    let key = Stranger(aws_lc_rs::signature::Ed25519KeyPair::generate().unwrap());
    let now = scene.server.world.clock.now();
    // The judge of alerts has to have read them first.
    let mut removed = 0;
    let key = Arc::new(key);
    let deadline = Instant::now() + JUDGED;
    while Instant::now() < deadline {
        let order = strongroom_audit::ArchiveOrder {
            folder: order.folder.clone(),
            holds: Vec::new(),
            readers: Vec::new(),
            stop: Arc::default(),
            ..order
        };
        removed += scene.server.world.trail.archive(order, Arc::clone(&key) as _, now).await.unwrap().removed;
        if removed > 3 && scene.get("trail/retention").await.text_at("/data/absent/0/to").as_str() > "2026-12-12" {
            break;
        }
        tokio::task::yield_now().await;
    }
    let up_to = scene.get("trail/retention").await.text_at("/data/absent/0/to");
    let report = scene.get(&format!("incidents/{id}/report")).await;
    let figures = report.at("/data/figures");
    assert_eq!(figures["unknown"]["text"], format!("unknown: archived up to {up_to}"), "{}", report.text);
    assert_eq!(figures["unknown"]["uses"], true, "{}", report.text);
    for name in ["accepted_after", "refused_after", "last_accepted_us"] {
        assert_eq!(figures[name], Value::Null, "{name}");
    }
    assert!(report.at("/data/stragglers").to_string().contains("unknown: archived up to"), "{}", report.text);
}
