//! Snapshots of a running server, restored on it and on others.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail loudly")]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use strongroom_api::Limits;
use strongroom_audit::{Options, Place, Trail, VerifyOptions};
use strongroom_core::snapshot::inspect;
use strongroom_core::{Init, Share, SlotSpec};
use strongroom_model::Clock;
use strongroom_storage::{Memory, Sqlite, Store};
use strongroom_testkit::{Answer, ManualClock, TestServer, World};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SAVE: &str = "/v1/sys/storage/raft/snapshot";
const FORCE: &str = "/v1/sys/storage/raft/snapshot-force";

/// A server with unseal keys, two of three.
struct House {
    server: TestServer,
    shares: Vec<Share>,
    root: String,
}

impl House {
    async fn over(store: Arc<dyn Store>) -> Self {
        Self::of(World::over(store).await).await
    }

    async fn of(world: World) -> Self {
        let init = Init { slots: vec![SlotSpec::Shamir { shares: 3, threshold: 2 }] };
        let made = world.strongroom.init(init).await.unwrap();
        let root = made.root.client_token.expose().to_owned();
        // Far below what a snapshot has, which is not measured by it.
        let limits = Limits { body_bytes: 64 * 1024, ..Limits::default() };
        let house = Self { server: TestServer::start(world, limits).await, shares: made.shares, root };
        house.unseal(&house.shares).await;
        house.post("sys/mounts/secret", json!({ "type": "kv", "options": { "version": "2" } })).await.expect(204);
        house
    }

    async fn unseal(&self, shares: &[Share]) -> Answer {
        let mut last = None;
        for share in &shares[..2] {
            last = Some(self.server.send("POST", "sys/unseal", None, Some(json!({ "key": share.to_hex() }))).await);
        }
        last.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.server.by(&self.root).post(path, body).await
    }

    async fn write(&self, name: &str, value: &str) {
        self.post(&format!("secret/data/{name}"), json!({ "data": { "v": value } })).await.expect(200);
    }

    async fn read(&self, token: &str, name: &str) -> Option<String> {
        let answer = self.server.by(token).get(&format!("secret/data/{name}")).await;
        (answer.status == 200).then(|| answer.text_at("/data/data/v"))
    }

    async fn save(&self) -> Vec<u8> {
        let answer = self.server.send_raw("GET", SAVE, &[("X-Vault-Token", &self.root)], Vec::new()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["content-type"]),
            (200, &"application/gzip".parse().unwrap())
        );
        answer.bytes.to_vec()
    }

    async fn restore(&self, target: &str, token: &str, snapshot: &[u8]) -> Answer {
        self.server.send_raw("POST", target, &[("X-Vault-Token", token)], snapshot.to_vec()).await
    }

    async fn is_sealed(&self) -> bool {
        self.server.send("GET", "sys/seal-status", None, None).await.at("/sealed") == &json!(true)
    }
}

fn sqlite(folder: &Path) -> Arc<dyn Store> {
    Arc::new(Sqlite::open(&folder.join("store.db"), Arc::new(ManualClock::new())).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_taken_under_load_opens_elsewhere_with_the_first_ones_keys_and_every_value_is_there() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (from, to) in [
        (sqlite(here.path()), Arc::new(Memory::new()) as Arc<dyn Store>),
        (Arc::new(Memory::new()) as Arc<dyn Store>, sqlite(there.path())),
    ] {
        let first = House::over(from).await;
        for n in 0..40 {
            first.write(&format!("folder{}/before-{n}", n % 5), &format!("{n}").repeat(2_000)).await;
        }
        // Somebody goes on writing, and knows what was acknowledged when.
        let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
        let writing = async {
            while !stop.load(Ordering::SeqCst) {
                let n = acknowledged.load(Ordering::SeqCst);
                first.write(&format!("during-{n}"), &format!("value {n}")).await;
                acknowledged.store(n + 1, Ordering::SeqCst);
            }
        };
        let saving = async {
            while acknowledged.load(Ordering::SeqCst) < 5 {
                tokio::task::yield_now().await;
            }
            let before = acknowledged.load(Ordering::SeqCst);
            let snapshot = first.save().await;
            let after = acknowledged.load(Ordering::SeqCst);
            stop.store(true, Ordering::SeqCst);
            (before, after, snapshot)
        };
        let ((), (before, after, snapshot)) = tokio::join!(writing, saving);

        let second = House::over(to).await;
        second.write("foreign", "of the second").await;
        second.restore(SAVE, &second.root, &snapshot).await.expect(400);
        second.restore(FORCE, &second.root, &snapshot).await.expect(204);
        assert!(second.is_sealed().await);
        second.unseal(&second.shares).await.expect(400);
        second.unseal(&first.shares).await.expect(200);
        assert!(!second.is_sealed().await);
        for n in 0..40 {
            let value = second.read(&first.root, &format!("folder{}/before-{n}", n % 5)).await;
            assert_eq!(value, Some(format!("{n}").repeat(2_000)));
        }
        let mut kept = 0;
        while let Some(value) = second.read(&first.root, &format!("during-{kept}")).await {
            assert_eq!(value, format!("value {kept}"));
            kept += 1;
        }
        assert!((before..=after + 1).contains(&kept), "{before} <= {kept} <= {after}");
        assert_eq!(second.read(&first.root, "foreign").await, None);
        // It is a strongroom like any other: it can be written, and nothing in it is out of place.
        second.server.by(&first.root).post("secret/data/later", json!({ "data": { "v": "1" } })).await.expect(200);
        second.server.by(&second.root).get("secret/data/later").await.expect(403);
        let report = inspect(snapshot.as_slice()).unwrap();
        assert_eq!((report.meta.seal.shares, report.meta.seal.threshold), (3, 2));
    }
}

#[tokio::test]
async fn restored_on_its_own_server_it_is_open_at_once_and_the_trail_holds_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (store, clock) = (sqlite(folder.path()), Arc::new(ManualClock::new()));
    let trail = async || {
        let clock = Arc::clone(&clock) as Arc<dyn Clock>;
        Trail::open_with(Place::Folder(folder.path().join("trail")), clock, Options::default()).await.unwrap()
    };
    let house = House::of(World::with(Arc::clone(&store), Arc::clone(&clock), trail().await).await).await;
    house.write("a", "old").await;
    let snapshot = house.save().await;
    house.write("a", "new").await;
    for n in 0..20 {
        house.write(&format!("b{n}"), "new").await;
    }
    house.restore(SAVE, &house.root, &snapshot).await.expect(204);
    assert!(!house.is_sealed().await);
    assert_eq!(house.read(&house.root, "a").await.unwrap(), "old");
    assert_eq!(house.read(&house.root, "b1").await, None);
    house.write("a", "newer").await;
    let key = house.server.world.trail.last_checkpoint().unwrap().key;
    let House { server, shares, root } = house;
    let world = server.stop().await;
    world.strongroom.close().await;
    drop(world);
    let options = VerifyOptions { keys: vec![key], ..VerifyOptions::default() };
    let report = strongroom_audit::verify(&folder.path().join("trail"), &options).unwrap();
    assert!(report.first_bad.is_none(), "{:?}", report.first_bad);
    assert!(report.notes.iter().any(|note| note.what.contains("went back")), "{:?}", report.notes);
    let text: String = std::fs::read_dir(folder.path().join("trail"))
        .unwrap()
        .filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok())
        .collect();
    let digest = inspect(snapshot.as_slice()).unwrap().digest;
    assert!(text.contains("\"snapshot_restored\"") && text.contains(&digest));
    // Started again, nothing has to be accepted.
    let world = World::with(store, Arc::clone(&clock), trail().await).await;
    let server = TestServer::start(world, Limits::default()).await;
    let house = House { server, shares, root };
    house.unseal(&house.shares).await.expect(200);
    assert_eq!(house.read(&house.root, "a").await.unwrap(), "newer");
}

#[tokio::test]
async fn what_is_damaged_cut_off_or_foreign_is_refused_before_anything_is_changed() {
    let house = House::over(Arc::new(Memory::new())).await;
    house.write("a", "kept").await;
    let snapshot = house.save().await;
    let other = House::over(Arc::new(Memory::new())).await;
    let foreign = other.save().await;
    let mut damaged = snapshot.clone();
    damaged[snapshot.len() / 2] ^= 1;
    let data = |rows: Vec<strongroom_storage::Entry>| {
        rows.into_iter().map(|row| (row.key, row.value)).collect::<BTreeMap<_, _>>()
    };
    let before = data(house.server.world.snapshot().await);
    let cases: [(&str, &str, &[u8], &str); 8] = [
        (SAVE, "damaged", &damaged, "cannot be used"),
        (FORCE, "damaged", &damaged, "cannot be used"),
        (SAVE, "cut off", &snapshot[..snapshot.len() - 1], "cut off"),
        (FORCE, "cut off", &snapshot[..snapshot.len() / 3], "cannot be used"),
        (FORCE, "empty", b"", "cut off"),
        (FORCE, "JSON", b"{\"snapshot\": \"there is none\"}", "no snapshot"),
        (FORCE, "more", &[snapshot.as_slice(), b"x"].concat(), "something follows"),
        (SAVE, "foreign", &foreign, "another strongroom"),
    ];
    for (target, name, bytes, told) in cases {
        let errors = house.restore(target, &house.root, bytes).await.expect(400).errors();
        assert!(errors[0].contains(told) && errors[0].contains("Nothing was changed"), "{name}: {errors:?}");
    }
    assert_eq!(data(house.server.world.snapshot().await), before);
    assert_eq!(house.read(&house.root, "a").await.unwrap(), "kept");
}

#[tokio::test]
async fn one_of_before_the_unseal_keys_were_replaced_needs_force_and_then_the_old_keys() {
    let house = House::over(Arc::new(Memory::new())).await;
    house.write("a", "kept").await;
    let snapshot = house.save().await;
    let body = json!({ "secret_shares": 1, "secret_threshold": 1 });
    let nonce = house.post("sys/rekey/init", body).await.expect(200).text_at("/nonce");
    for share in &house.shares[..2] {
        house.post("sys/rekey/update", json!({ "nonce": nonce, "key": share.to_hex() })).await.expect(200);
    }
    let errors = house.restore(SAVE, &house.root, &snapshot).await.expect(400).errors();
    assert!(errors[0].contains("before the unseal keys were replaced"), "{errors:?}");
    house.restore(FORCE, &house.root, &snapshot).await.expect(204);
    assert!(house.is_sealed().await);
    house.unseal(&house.shares).await.expect(200);
    assert_eq!(house.read(&house.root, "a").await.unwrap(), "kept");
}

#[tokio::test]
async fn snapshots_are_for_who_has_sudo_and_an_upload_without_rights_is_not_kept() {
    let house = House::over(Arc::new(Memory::new())).await;
    let snapshot = house.save().await;
    let rules = "path \"sys/storage/raft/*\" { capabilities = [\"create\", \"read\", \"update\"] }";
    house.post("sys/policies/acl/near", json!({ "policy": rules })).await.expect(204);
    let made = house.post("auth/token/create", json!({ "policies": ["near"] })).await.expect(200);
    let near = made.text_at("/auth/client_token");
    for token in ["", near.as_str(), "hvs.unknown"] {
        for (method, target) in [("GET", SAVE), ("POST", SAVE), ("PUT", FORCE)] {
            let headers: Vec<_> = Some(("X-Vault-Token", token)).filter(|_| !token.is_empty()).into_iter().collect();
            house.server.send_raw(method, target, &headers, snapshot.clone()).await.expect(403);
        }
    }
    let wrapped = [("X-Vault-Token", house.root.as_str()), ("X-Vault-Wrap-TTL", "60")];
    house.server.send_raw("GET", SAVE, &wrapped, Vec::new()).await.expect(400);
    let head = house.server.send_raw("HEAD", SAVE, &[("X-Vault-Token", &house.root)], Vec::new()).await.expect(200);
    assert!(head.bytes.is_empty());
    house.post("sys/seal", json!({})).await.expect(204);
    house.server.send_raw("GET", SAVE, &[("X-Vault-Token", &house.root)], Vec::new()).await.expect(503);
    house.restore(FORCE, &house.root, &snapshot).await.expect(503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_cuts_a_snapshot_off_and_the_client_can_see_it() {
    let folder = tempfile::tempdir().unwrap();
    let house = House::over(sqlite(folder.path())).await;
    for n in 0..300 {
        house.write(&format!("s{n}"), &"x".repeat(60_000)).await;
    }
    let mut stream = house.server.connect().await;
    let request = format!("GET {SAVE} HTTP/1.1\r\nhost: x\r\nx-vault-token: {}\r\n\r\n", house.root);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut first = [0; 1_000];
    stream.read_exact(&mut first).await.unwrap();
    assert!(first.starts_with(b"HTTP/1.1 200"));
    house.post("sys/seal", json!({})).await.expect(204);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(rest.len() < 18_000_000, "{} bytes: it was too small to be cut off", rest.len());
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}
