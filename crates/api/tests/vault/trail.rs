//! Nothing happens that the trail cannot tell of.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use strongroom_api::Limits;
use strongroom_audit::{Place, Trail};
use strongroom_core::token::{Means, TokenRequest};
use strongroom_core::{Access, Ask, CoreError, Fields, Object, Operation, Reply, Source, Terms, Visit};
use strongroom_model::{Clock, MountPath, NamespacePath, RequestId, RequestPath, SecretString, Ttl};
use strongroom_storage::Memory;
use strongroom_testkit::{Caller, ManualClock, TestServer, World};

/// A request to `auth/token/create` before the gate.
fn ask(world: &World, path: &str, operation: Operation, credential: &str) -> Ask {
    let path = RequestPath::parse(path).unwrap();
    let mount = world.rooms().mounts.table().at(&MountPath::parse("auth/token").unwrap()).cloned();
    let visit = Visit {
        request: RequestId::random(world.strongroom.entropy()),
        arrived: world.clock.now(),
        dialect: "test",
        operation,
        namespace: NamespacePath::root(),
        path,
        typed: None,
        source: Source { address: None, port: 0 },
        wrap_ttl: None,
        headers: Default::default(),
    };
    let credential = Some(SecretString::new(credential.to_owned()));
    Ask { visit, credential, mount, access: Access::Token, object: Object::Path { exists: None } }
}

fn wanted() -> TokenRequest {
    TokenRequest {
        means: Means::Child,
        no_parent: false,
        id: None,
        policies: Vec::new(),
        terms: Terms { ttl: Ttl::from_secs(3_600), ..Terms::default() },
        renewable: true,
        display_name: "token".to_owned(),
        metadata: Default::default(),
        entity_alias: None,
    }
}

#[tokio::test]
async fn a_token_that_the_trail_does_not_know_of_is_revoked() {
    let (world, root) = World::open().await;
    let rooms = world.rooms();
    let fields = Fields::default();
    let ask = ask(&world, "auth/token/create", Operation::Write, root.expose());
    let grant = rooms.gate.admit(ask, &fields).await.unwrap_or_else(|error| panic!("{error}"));
    let (auth, _) = rooms.tokens.make(&grant, wanted()).await.unwrap_or_else(|error| panic!("{error}"));
    let key = rooms.tokens.key_of(&auth.client_token);
    assert!(rooms.tokens.bearer(key).await.unwrap().is_some());
    world.trail.close().await;
    let result = Ok(Reply { auth: Some(auth), ..Reply::default() });
    let concluded = rooms.gate.conclude(grant, &fields, &result).await;
    assert!(matches!(concluded, Err(CoreError::Trail(_))));
    assert!(rooms.tokens.bearer(key).await.unwrap().is_none(), "the token works although nobody will know of it");
}

#[tokio::test]
async fn a_token_that_was_only_prolonged_is_not_revoked_with_its_entry() {
    let (world, root) = World::open().await;
    let rooms = world.rooms();
    let fields = Fields::default();
    let making = ask(&world, "auth/token/create", Operation::Write, root.expose());
    let grant = rooms.gate.admit(making, &fields).await.unwrap_or_else(|error| panic!("{error}"));
    let (auth, _) = rooms.tokens.make(&grant, wanted()).await.unwrap_or_else(|error| panic!("{error}"));
    let (token, key) = (auth.client_token.duplicate(), rooms.tokens.key_of(&auth.client_token));
    rooms.gate.conclude(grant, &fields, &Ok(Reply { auth: Some(auth), ..Reply::default() })).await.unwrap();
    let renewing = ask(&world, "auth/token/renew-self", Operation::Write, token.expose());
    let grant = rooms.gate.admit(renewing, &fields).await.unwrap_or_else(|error| panic!("{error}"));
    let bearer = rooms.tokens.bearer(key).await.unwrap().unwrap();
    let (auth, _) =
        rooms.tokens.renew(&bearer, token, Ttl::from_secs(60)).await.unwrap_or_else(|error| panic!("{error}"));
    world.trail.close().await;
    let concluded = rooms.gate.conclude(grant, &fields, &Ok(Reply { auth: Some(auth), ..Reply::default() })).await;
    assert!(matches!(concluded, Err(CoreError::Trail(_))));
    assert!(rooms.tokens.bearer(key).await.unwrap().is_some(), "a client lost its token because the trail failed");
}

#[tokio::test]
async fn an_error_is_held_back_too_when_it_cannot_be_recorded() {
    let (world, root) = World::open().await;
    let rooms = world.rooms();
    let fields = Fields::default();
    let asked = ask(&world, "auth/token/lookup-self", Operation::Read, root.expose());
    let grant = rooms.gate.admit(asked, &fields).await.unwrap_or_else(|error| panic!("{error}"));
    world.trail.close().await;
    let concluded = rooms.gate.conclude(grant, &fields, &Err(CoreError::Nothing)).await;
    assert!(matches!(concluded, Err(CoreError::Trail(_))), "that there is nothing was told without a record");
}

/// Every kind of request, and what it may answer when the trail cannot be written.
async fn all_refused(server: &TestServer) {
    let operator = server.operator();
    let before = server.world.snapshot().await;
    for (verb, path) in [
        ("GET", "secret/data/there"),
        ("POST", "secret/data/there"),
        ("DELETE", "secret/data/there"),
        ("GET", "secret/data/none"),
        ("LIST", "secret/metadata"),
        ("POST", "auth/token/create"),
        ("GET", "auth/token/lookup-self"),
        ("GET", "no/such/path"),
        ("POST", "sys/policies/acl/x"),
        ("PUT", "sys/seal"),
        ("GET", "sys/seal-status"),
        ("GET", "sys/init"),
        ("PUT", "sys/init"),
        ("POST", "sys/unseal"),
        ("GET", "secret/../x"),
        ("FOO", "sys/health"),
        ("GET", "sys/internal/ui/mounts"),
    ] {
        let body = json!({"data": {"a": 1}, "policy": "path \"a\" { capabilities = [\"read\"] }"});
        let answer = operator.send(verb, path, Some(body)).await;
        assert_eq!(answer.status, 503, "{verb} {path}: {}", answer.text);
        assert!(answer.errors()[0].contains("the audit trail cannot be written"), "{verb} {path}: {}", answer.text);
        assert!(!answer.text.contains("canary"), "{verb} {path}: {}", answer.text);
    }
    for token in ["", "hvs.bad"] {
        assert_eq!(server.by(token).get("secret/data/there").await.status, 503);
    }
    assert!(server.world.snapshot().await == before, "something was changed without a record");
    server.world.rooms();
}

#[tokio::test]
async fn without_its_trail_the_server_serves_nothing_and_says_so() {
    let server = TestServer::open().await;
    server.operator().post("secret/data/there", json!({"data": {"a": "canary"}})).await.expect(200);
    server.world.trail.close().await;
    all_refused(&server).await;
    server.stop().await;
}

/// Runs one of the ignored tests below as a child with a disk of its own, of that size, at the folder that it is told.
fn on_a_small_disk(kilobytes: u32, test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size={kilobytes}k none '{}'", dir.path().display());
    let possible = Command::new("unshare").args(["-m", "sh", "-c", &mount]).output();
    if !possible.as_ref().is_ok_and(|output| output.status.success()) {
        println!("skipped: a small disk takes root and `unshare -m` ({possible:?})");
        return;
    }
    let run = format!("{mount} && exec \"$0\" \"$@\"");
    let child = Command::new("unshare")
        .args(["-m", "sh", "-c", &run])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture", "--test-threads=1"])
        .env("STRONGROOM_TEST_PLACE", dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
}

#[test]
fn on_a_full_disk_the_server_refuses_says_so_and_goes_on_when_there_is_room() {
    on_a_small_disk(1_024, "trail::child_whose_trail_has_no_room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as a child of the test of the same story"]
async fn child_whose_trail_has_no_room() {
    let place = PathBuf::from(std::env::var("STRONGROOM_TEST_PLACE").unwrap());
    let filler = place.join("filler");
    std::fs::write(&filler, vec![1; 500_000]).unwrap();
    let clock = Arc::new(ManualClock::new());
    let trail = Trail::open(Place::Folder(place.join("trail")), Arc::clone(&clock) as Arc<dyn Clock>).await.unwrap();
    let world = World::with(Arc::new(Memory::new()), clock, trail).await;
    let server = TestServer::start(world, Limits::default()).await;
    let made = server.by("").post("sys/init", json!({"secret_shares": 1, "secret_threshold": 1})).await.expect(200);
    server.by("").post("sys/unseal", json!({"key": made.text_at("/keys/0")})).await.expect(200);
    let root = made.text_at("/root_token");
    let operator = server.by(&root);
    operator.post("sys/mounts/kv", json!({"type": "kv-v2"})).await.expect(204);
    let mut written = 0;
    let refused = loop {
        let answer = operator.post("kv/data/a", json!({"data": {"canary": "canary"}})).await;
        match answer.status.as_u16() {
            200 => written += 1,
            _ => break answer.expect(503),
        }
        assert!(written < 100_000, "the disk never filled");
    };
    assert!(refused.errors()[0].contains("the audit trail cannot be written"), "{}", refused.text);
    let mut read = fill_the_last_page(&server, &operator).await;
    std::fs::remove_file(filler).unwrap();
    let freed = Instant::now();
    while server.by("").get("sys/health").await.status != 200 {
        assert!(freed.elapsed() < Duration::from_secs(10), "it did not notice the room");
    }
    let found = operator.get("kv/data/a").await.expect(200);
    read += 1;
    // The last write was made or was not; it was not acknowledged.
    let version = found.at("/data/metadata/version").as_u64().unwrap();
    assert!(version == written || version == written + 1, "{written} acknowledged, {version} found");
    assert_eq!(found.at("/errors"), &Value::Null);
    server.stop().await;
    assert_eq!(recorded(&place.join("trail"), &["read"]), read, "values left without an entry");
    assert_eq!(
        recorded(&place.join("trail"), &["create", "update"]),
        written,
        "a write was acknowledged without an entry"
    );
}

/// Reads until there is no room for any entry, and says how many of those reads were answered. Where a write does not
/// fit any more a read may, and where that does not, the note that the trail goes on: a refusal tells nothing about the
/// next, shorter entry.
async fn fill_the_last_page(server: &TestServer, operator: &Caller<'_>) -> u64 {
    let (mut answered, begun) = (0, Instant::now());
    loop {
        assert!(begun.elapsed() < Duration::from_secs(10), "the disk never filled");
        let read = operator.get("kv/data/a").await;
        if read.status == 200 {
            answered += 1;
            continue;
        }
        let read = read.expect(503);
        assert!(!read.text.contains("canary"), "{}", read.text);
        let health = server.by("").get("sys/health").await;
        let head = server.by("").send("HEAD", "sys/health", None).await;
        if health.status == 503 && head.status == 503 {
            let told = (health.at("/trail_writable"), health.at("/sealed"));
            assert_eq!(told, (&json!(false), &json!(false)), "{}", health.text);
            return answered;
        }
    }
}

/// How many requests of these kinds for the one secret stand in the trail as answered.
fn recorded(trail: &Path, operations: &[&str]) -> u64 {
    let segments = std::fs::read_dir(trail).unwrap().map(|entry| entry.unwrap().path());
    let segments = segments.filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    let text: String = segments.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let wanted = lines.filter(|line| {
        line["kind"] == "outcome"
            && line["path"] == "kv/data/a"
            && operations.contains(&line["operation"].as_str().unwrap())
            && line["outcome"]["result"] == "ok"
    });
    wanted.count() as u64
}
