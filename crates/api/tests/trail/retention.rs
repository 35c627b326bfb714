//! How long the trail is kept: by age, never past a legal hold, and with every answer saying what it lacks.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::Limits;
use strongroom_audit::{Options, Place, Trail, VerifyOptions, verify};
use strongroom_core::{Init, SlotSpec};
use strongroom_model::Clock;
use strongroom_storage::Memory;
use strongroom_testkit::{Answer, ManualClock, TestServer, World};
use tempfile::TempDir;

const DAY: Duration = Duration::from_secs(86_400);

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
    retention.look().await;
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
    for (path, body) in [
        ("trail/retention", json!({"keep_days": 40_000})),
        ("trail/retention", json!({"keep_days": 10, "archives_keep_days": 10})),
        ("trail/retention", json!({"folder": "relative"})),
        ("trail/retention", json!({"keep": 10})),
        ("trail/archive", json!({})),
        ("trail/archive", json!({"before": "yesterday"})),
        ("trail/archive", json!({"before": "2026-12-05T00:00:00Z", "folder": scene.trail().join("index")})),
        ("trail/holds/case", json!({"prefix": "secret/"})),
        ("trail/holds/case", json!({"reason": " "})),
        ("trail/holds/case%20a", json!({"reason": "why"})),
        ("trail/holds/case", json!({"reason": "why", "from": "2026-12-05T00:00:00Z", "to": "2026-12-05T00:00:00Z"})),
    ] {
        scene.ask("POST", path, body.clone()).await.expect(400);
    }
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
