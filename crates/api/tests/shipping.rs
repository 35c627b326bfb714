//! Copies of the trail, messages to outside places and alerts, with real receivers that come and go.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use strongroom_core::webhook::{Notice, Severity, Topic, sign};
use strongroom_model::{Clock as _, SecretString, Timestamp};
use strongroom_testkit::{Answer, TestServer};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(60);

async fn ask(server: &TestServer, method: &str, path: &str, body: Value) -> Answer {
    let bearer = format!("Bearer {}", server.root);
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    server.send_raw(method, &format!("/api/v1/{path}"), &headers, body).await
}

async fn write(server: &TestServer, from: usize, to: usize) {
    for n in from..to {
        let path = format!("secret/data/app/{n}");
        server.operator().post(&path, json!({"data": {"password": "canary-value"}})).await.expect(200);
    }
}

/// The numbers of the entries that are written by now.
async fn written(server: &TestServer) -> BTreeSet<u64> {
    server
        .world
        .entries()
        .await
        .iter()
        .filter(|line| !line["kind"].is_null())
        .map(|line| line["seq"].as_u64().unwrap())
        .collect()
}

async fn status(server: &TestServer, name: &str) -> Value {
    let answer = ask(server, "GET", "shipping", Value::Null).await.expect(200);
    let all = answer.at("/data/destinations").as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap().clone()
}

/// Takes lines from one connection, at most so many.
async fn take_lines(listener: &TcpListener, most: usize) -> Vec<String> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut taken = Vec::new();
    while taken.len() < most {
        match tokio::time::timeout(Duration::from_secs(2), lines.next_line()).await {
            Ok(Ok(Some(line))) => taken.push(line),
            _ => break,
        }
    }
    taken
}

fn numbers(lines: &[String]) -> BTreeSet<u64> {
    lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"]["sequence"].as_u64().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_dies_in_the_middle_misses_nothing_and_holds_up_nobody() {
    let server = TestServer::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let new = json!({"type": "socket", "transport": "tcp", "address": address.to_string(), "format": "ecs",
                     "internal": true, "from": "0"});
    ask(&server, "POST", "shipping/siem", new.clone()).await.expect(204);
    ask(&server, "POST", "shipping/siem", new).await.expect(409);
    write(&server, 0, 40).await;
    let mut all = numbers(&take_lines(&listener, 25).await);
    drop(listener);
    // Nobody listens; requests go on.
    write(&server, 40, 80).await;
    let metrics = server.operator().send("GET", "sys/metrics?format=prometheus", None).await.expect(200).text;
    assert!(metrics.contains("strongroom_shipping_behind{shipper=\"siem\"}"), "{metrics}");
    let must = written(&server).await;
    let listener = TcpListener::bind(address).await.unwrap();
    let all_of_it = async {
        while !must.is_subset(&all) {
            let lines = take_lines(&listener, 1_000).await;
            assert!(lines.iter().all(|line| !line.contains("canary-value")));
            all.extend(numbers(&lines));
        }
    };
    tokio::time::timeout(PATIENCE, all_of_it).await.expect("every entry arrives");
    let shown = status(&server, "siem").await;
    assert_eq!((&shown["format"], &shown["dropped"]), (&json!("ecs"), &json!(0)));
    ask(&server, "DELETE", "shipping/siem", Value::Null).await.expect(204);
    ask(&server, "DELETE", "shipping/siem", Value::Null).await.expect(404);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_cannot_be_is_refused_with_what_to_do() {
    let server = TestServer::open().await;
    let metadata = "169.254.169.254";
    for (new, why) in [
        (json!({"type": "file", "path": "relative"}), "absolute"),
        (json!({"type": "file", "path": "/no/such/folder/file"}), "cannot be written"),
        (json!({"type": "https", "url": format!("https://{metadata}/latest")}), "link-local"),
        (json!({"type": "https", "url": "http://example.org/"}), "use https"),
        (json!({"type": "https", "url": "https://user:s3cret@example.org/"}), "user name"),
        (json!({"type": "socket", "transport": "udp", "address": "a:1"}), "syslog only"),
        (json!({"type": "syslog", "transport": "tls", "address": "a:1", "ca": "no"}), "PEM"),
        (json!({"type": "syslog", "transport": "tcp", "address": "nowhere"}), "host:port"),
        (json!({"type": "syslog", "transport": "tcp", "address": "a:1", "facility": "lpr"}), "facility"),
        (json!({"type": "file", "path": "/tmp/x", "format": "xml"}), "vault, ecs"),
        (json!({"type": "carrier-pigeon"}), "must be file"),
    ] {
        let answer = ask(&server, "POST", "shipping/one", new).await.expect(400);
        assert!(answer.text.contains(why) && !answer.text.contains("s3cret"), "{}", answer.text);
    }
    // A collector that nothing would ever be sent to, for which nothing would ever be archived.
    for at in ["127.0.0.1:6514", "localhost:6514", "[::1]:6514", "169.254.169.254:6514", "[::ffff:127.0.0.1]:6514"] {
        for transport in ["tcp", "udp", "tls"] {
            let new = json!({"type": "syslog", "transport": transport, "address": at});
            let answer = ask(&server, "POST", "shipping/one", new).await.expect(400);
            assert!(answer.text.contains("-internal"), "{transport} {at}: {}", answer.text);
        }
    }
    let new = json!({"type": "syslog", "transport": "tcp", "address": "255.255.255.255:6514", "internal": true});
    ask(&server, "POST", "shipping/one", new).await.expect(400);
    ask(&server, "POST", "shipping/Bad.Name", json!({"type": "file", "path": "/tmp/x"})).await.expect(400);
    let answer = ask(&server, "POST", "webhooks/one", json!({"url": "https://127.0.0.1/"})).await.expect(400);
    assert!(answer.text.contains("internal"), "{}", answer.text);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_gets_every_entry_across_moving_it_away_and_a_replay_repeats() {
    let (server, folder) = (TestServer::open().await, tempfile::tempdir().unwrap());
    let path = folder.path().join("copy.log");
    let new = json!({"type": "file", "path": path.to_str().unwrap(), "format": "ocsf", "from": "0"});
    ask(&server, "POST", "shipping/file", new).await.expect(204);
    let read = |path: &std::path::Path| -> Vec<u64> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let number =
            |line: &str| serde_json::from_str::<Value>(line).unwrap()["metadata"]["sequence"].as_u64().unwrap();
        text.lines().map(number).collect()
    };
    write(&server, 0, 10).await;
    let moved = folder.path().join("moved.log");
    let must = written(&server).await;
    wait_until(|| read(&path).iter().copied().collect::<BTreeSet<_>>().is_superset(&must)).await;
    std::fs::rename(&path, &moved).unwrap();
    write(&server, 10, 20).await;
    let must = written(&server).await;
    wait_until(|| {
        let all: Vec<u64> = read(&moved).into_iter().chain(read(&path)).collect();
        all.iter().copied().collect::<BTreeSet<_>>().is_superset(&must)
    })
    .await;
    let all: Vec<u64> = read(&moved).into_iter().chain(read(&path)).collect();
    assert!(all.is_sorted(), "in order, and nothing twice while nothing failed");
    let before = read(&path).len();
    let answer = ask(&server, "POST", "shipping/file/replay", json!({"from": "3"})).await.expect(200);
    assert_eq!(answer.at("/data/from"), 3);
    wait_until(|| read(&path).iter().filter(|number| **number == 5).count() >= 1 && read(&path).len() > before).await;
    server.stop().await;
}

/// Looks again and again, until a deadline.
async fn wait_until(mut is_so: impl FnMut() -> bool) {
    let look = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while !is_so() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("it comes to be so");
}

struct Syslogd(Child);

impl Drop for Syslogd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn syslogd(folder: &std::path::Path, port: u16) -> Syslogd {
    let at = folder.display();
    let config = format!(
        "global(workDirectory=\"{at}\" maxMessageSize=\"256k\")\nmodule(load=\"imtcp\")\ninput(type=\"imtcp\" \
         address=\"127.0.0.1\" port=\"{port}\")\ntemplate(name=\"t\" type=\"string\" string=\"%app-name% %msgid% \
         %syslogfacility-text%.%syslogseverity-text% %msg%\\n\")\n*.* action(type=\"omfile\" file=\"{at}/out\" template=\"t\")\n"
    );
    std::fs::write(folder.join("conf"), config).unwrap();
    let mut command = Command::new("rsyslogd");
    command.arg("-n").arg("-f").arg(folder.join("conf")).arg("-i").arg(folder.join("pid"));
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    Syslogd(started.expect("this test takes a real rsyslogd: apt-get install rsyslog"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_rsyslog_that_is_killed_and_started_again_has_every_entry() {
    let (server, folder) = (TestServer::open().await, tempfile::tempdir().unwrap());
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let new = json!({"type": "syslog", "transport": "tcp", "address": format!("127.0.0.1:{port}"), "format": "cef",
                     "facility": "local3", "internal": true, "from": "0"});
    ask(&server, "POST", "shipping/rsyslog", new).await.expect(204);
    let read = || std::fs::read_to_string(folder.path().join("out")).unwrap_or_default();
    let numbers = |text: &str| -> BTreeSet<u64> {
        text.lines().filter_map(|line| line.strip_prefix("strongroom ")?.split(' ').next()?.parse().ok()).collect()
    };
    let first = syslogd(folder.path(), port);
    write(&server, 0, 50).await;
    wait_until(|| numbers(&read()).len() > 20).await;
    // SIGKILL: what it had read and not written is gone with it.
    drop(first);
    write(&server, 50, 100).await;
    let must = written(&server).await;
    let _second = syslogd(folder.path(), port);
    wait_until(|| must.is_subset(&numbers(&read()))).await;
    let text = read();
    assert!(text.lines().any(|line| line.contains(" local3.info CEF:0|Strongroom|Strongroom|")), "{text}");
    server.stop().await;
}

/// One request of HTTP: headers in lower case, and the body. Answers with a status.
async fn take_request(listener: &TcpListener, status: u16) -> (Vec<(String, String)>, Vec<u8>) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    let (mut headers, mut line) = (Vec::new(), String::new());
    while stream.read_line(&mut line).await.unwrap() > 2 {
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            headers.push((name.to_lowercase(), value.to_owned()));
        }
        line.clear();
    }
    let length = header(&headers, "content-length").parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let answer =
        format!("HTTP/1.1 {status} Whatever\r\ncontent-length: 0\r\nlocation: http://169.254.169.254/\r\n\r\n");
    let mut stream: TcpStream = stream.into_inner();
    stream.write_all(answer.as_bytes()).await.unwrap();
    let _ = stream.shutdown().await;
    (headers, body)
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> &'a str {
    headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn is_signed(key: &SecretString, headers: &[(String, String)], body: &[u8]) -> bool {
    let time = Timestamp::from_secs(header(headers, "webhook-timestamp").parse().unwrap());
    sign(key, header(headers, "webhook-id"), time, body) == header(headers, "webhook-signature")
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_by_http_are_signed_and_sent_again_until_they_are_taken() {
    let server = TestServer::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    let key = SecretString::new("a-key-that-is-long-enough-for-us".to_owned());
    let new = json!({"type": "https", "url": format!("http://{address}/in"), "format": "ecs", "key": key.expose(),
                     "authorization": "Splunk abc", "internal": true, "from": "0"});
    write(&server, 0, 20).await;
    ask(&server, "POST", "shipping/http", new).await.expect(204);
    let must = written(&server).await;
    let mut all = BTreeSet::new();
    for status in [500, 307, 200, 200, 200, 200, 200, 200] {
        let (headers, body) = tokio::time::timeout(PATIENCE, take_request(&listener, status)).await.unwrap();
        assert!(is_signed(&key, &headers, &body) && header(&headers, "authorization") == "Splunk abc");
        assert_eq!(header(&headers, "content-type"), "application/x-ndjson");
        if status == 200 {
            let text = String::from_utf8(body).unwrap();
            all.extend(numbers(&text.lines().map(str::to_owned).collect::<Vec<_>>()));
        }
        if must.is_subset(&all) {
            break;
        }
    }
    assert!(must.is_subset(&all));
    let shown = ask(&server, "GET", "shipping", Value::Null).await.expect(200).text;
    assert!(!shown.contains(key.expose()) && !shown.contains("Splunk") && !shown.contains("/in"), "{shown}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_waits_on_disk_for_a_receiver_that_is_down_and_is_signed() {
    let server = TestServer::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/services/T0/B0/secret-part");
    let made =
        ask(&server, "POST", "webhooks/ops", json!({"url": url, "topics": ["rotation"], "internal": true})).await;
    let key = SecretString::new(made.expect(200).text_at("/data/key"));
    let webhooks = std::sync::Arc::clone(&server.world.rooms().webhooks);
    let other = Notice::new(Topic::Alert, "first-read", Severity::Warning, "not for this one");
    assert_eq!(webhooks.tell(other).await.unwrap(), 0);
    let notice = Notice::new(Topic::Rotation, "rotation-failed", Severity::Critical, "it failed").at("secret/data/db");
    assert_eq!(webhooks.tell(notice.with("phase", "testing")).await.unwrap(), 1);
    webhooks.settle().await;
    let listed = ask(&server, "GET", "webhooks", Value::Null).await.expect(200);
    assert_eq!(listed.at("/data/webhooks/0/waiting"), 1);
    assert!(listed.text_at("/data/webhooks/0/error").contains("cannot be reached"), "{}", listed.text);
    assert!(!listed.text.contains("secret-part") && !listed.text.contains(key.expose()), "{}", listed.text);
    let listener = TcpListener::bind(address).await.unwrap();
    server.world.clock.advance(Duration::from_secs(5));
    let (headers, body) = tokio::time::timeout(PATIENCE, take_request(&listener, 204)).await.unwrap();
    assert!(is_signed(&key, &headers, &body));
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["type"], &body["data"]["path"]), (&json!("rotation.rotation-failed"), &json!("secret/data/db")));
    assert_eq!(
        (&body["id"], &body["data"]["facts"]["phase"]),
        (&json!(header(&headers, "webhook-id")), &json!("testing"))
    );
    ask(&server, "DELETE", "webhooks/ops", Value::Null).await.expect(204);
    server.stop().await;
}

/// An approle whose logins are one entity.
async fn role(server: &TestServer, name: &str) -> String {
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await;
    operator.post(&format!("auth/approle/role/{name}"), json!({"token_policies": ["app"]})).await.expect(204);
    let id = operator.get(&format!("auth/approle/role/{name}/role-id")).await.expect(200).text_at("/data/role_id");
    let secret = operator.post(&format!("auth/approle/role/{name}/secret-id"), json!({})).await.expect(200);
    let body = json!({"role_id": id, "secret_id": secret.text_at("/data/secret_id")});
    server.by("").post("auth/approle/login", body).await.expect(200).text_at("/auth/client_token")
}

async fn alerts(server: &TestServer) -> Vec<String> {
    let answer = ask(server, "GET", "alerts", Value::Null).await.expect(200);
    let all = answer.at("/data/alerts").as_array().unwrap();
    all.iter().rev().map(|alert| alert["kind"].as_str().unwrap().to_owned()).collect()
}

/// Waits until there are so many alerts of a kind.
async fn alerted(server: &TestServer, kind: &str, count: usize) {
    let look = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        while alerts(server).await.iter().filter(|one| *one == kind).count() < count {
            ticks.tick().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), look).await;
    assert!(waited.is_ok(), "no alert {kind}: {:?}", alerts(server).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_intruders_ways_are_told_and_those_of_services_are_not() {
    let server = TestServer::open().await;
    server.policy("app", "path \"secret/data/app/*\" { capabilities = [\"read\"] }").await;
    write(&server, 0, 2).await;
    let (service, intruder) = (role(&server, "service").await, role(&server, "intruder").await);
    for n in 0..2 {
        server.by(&service).get(&format!("secret/data/app/{n}")).await.expect(200);
    }
    server.world.clock.advance(Duration::from_secs(26 * 3_600));
    // A service that goes on as before is no news; a second reader of a secret that has long had one is.
    server.by(&service).get("secret/data/app/0").await.expect(200);
    server.by(&intruder).get("secret/data/app/0").await.expect(200);
    alerted(&server, "first-read", 1).await;
    for _ in 0..25 {
        server.by(&intruder).get("secret/data/hr/salaries").await.expect(403);
    }
    alerted(&server, "denial-burst", 1).await;
    // A version that is put out of use, and somebody who had it.
    server.operator().delete("secret/data/app/1").await.expect(204);
    server.by(&service).get("secret/data/app/1").await.expect(404);
    alerted(&server, "disabled-version", 1).await;
    server.operator().post("auth/token/revoke", json!({"token": intruder})).await.expect(204);
    server.by(&intruder).get("secret/data/app/0").await.expect(403);
    alerted(&server, "after-revocation", 1).await;
    assert_eq!(alerts(&server).await, ["first-read", "denial-burst", "disabled-version", "after-revocation"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_needs_a_reason_and_an_end_and_holds_back_what_it_covers() {
    let server = TestServer::open().await;
    server.policy("app", "path \"secret/data/app/*\" { capabilities = [\"read\"] }").await;
    write(&server, 0, 2).await;
    let (service, rollout) = (role(&server, "service").await, role(&server, "rollout").await);
    for n in 0..2 {
        server.by(&service).get(&format!("secret/data/app/{n}")).await.expect(200);
    }
    server.world.clock.advance(Duration::from_secs(26 * 3_600));
    let until = server.world.clock.now().plus(Duration::from_secs(3_600)).to_string();
    for (mute, why) in [
        (json!({"until": until}), "reason"),
        (json!({"reason": "x"}), "until"),
        (json!({"reason": "x", "until": "1999-01-01T00:00:00Z"}), "future"),
        (json!({"reason": "x", "until": "2100-01-01T00:00:00Z"}), "90 days"),
        (json!({"reason": "x", "until": until, "kind": "everything"}), "kind"),
    ] {
        let answer = ask(&server, "POST", "alerts/mutes/one", mute).await.expect(400);
        assert!(answer.text.contains(why), "{}", answer.text);
    }
    let mute = json!({"reason": "rollout", "until": until, "kind": "first-read", "prefix": "secret/data/app/0"});
    ask(&server, "POST", "alerts/mutes/one", mute).await.expect(204);
    server.by(&rollout).get("secret/data/app/0").await.expect(200);
    server.by(&rollout).get("secret/data/app/1").await.expect(200);
    alerted(&server, "first-read", 1).await;
    let listed = ask(&server, "GET", "alerts", Value::Null).await.expect(200);
    assert_eq!(listed.at("/data/alerts").as_array().unwrap().len(), 1);
    assert_eq!(listed.text_at("/data/alerts/0/path"), "secret/data/app/1");
    assert_eq!(listed.text_at("/data/mutes/0/reason"), "rollout");
    ask(&server, "DELETE", "alerts/mutes/one", Value::Null).await.expect(204);
    server.stop().await;
}

/// Two that append to one file mixed their lines, and neither form could be read.
#[tokio::test(flavor = "multi_thread")]
async fn one_file_has_one_writer_whatever_its_path_is_called() {
    let server = TestServer::open().await;
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real"), dir.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let device = |path: &std::path::Path| json!({"type": "file", "options": {"file_path": path}});
    let copy = |path: &std::path::Path, form: &str| json!({"type": "file", "path": path, "format": form});
    server.operator().post("sys/audit/vault", device(&real.join("vault.log"))).await.expect(204);
    ask(&server, "POST", "shipping/ecs", copy(&real.join("ecs.log"), "ecs")).await.expect(204);
    let same = [real.join("ecs.log"), link.join("ecs.log"), real.join("../real/ecs.log"), real.join("./ecs.log")];
    for path in &same {
        for form in ["ecs", "cef"] {
            let refused = ask(&server, "POST", "shipping/other", copy(path, form)).await.expect(400);
            assert!(refused.text.contains("`ecs`") && refused.text.contains("`other`"), "{}", refused.text);
        }
        let refused = server.operator().post("sys/audit/second", device(path)).await.expect(400);
        assert!(refused.text.contains("destination `ecs`") && refused.text.contains("`second`"), "{}", refused.text);
    }
    for path in [real.join("vault.log"), link.join("vault.log")] {
        let refused = ask(&server, "POST", "shipping/other", copy(&path, "vault")).await.expect(400);
        assert!(refused.text.contains("audit device `vault`"), "{}", refused.text);
        server.operator().post("sys/audit/second", device(&path)).await.expect(400);
    }
    // What was refused has left nothing behind, and what is removed is free for the next.
    ask(&server, "POST", "shipping/other", copy(&real.join("other.log"), "cef")).await.expect(204);
    ask(&server, "DELETE", "shipping/ecs", Value::Null).await.expect(204);
    server.operator().post("sys/audit/second", device(&link.join("ecs.log"))).await.expect(204);
    server.operator().delete("sys/audit/vault").await.expect(204);
    ask(&server, "POST", "shipping/ecs", copy(&real.join("vault.log"), "ecs")).await.expect(204);
    server.stop().await;
}

/// The next message, which is signed; its type and path.
async fn heard(listener: &TcpListener, key: &SecretString, status: u16) -> (String, String) {
    let (headers, body) = tokio::time::timeout(PATIENCE, take_request(listener, status)).await.unwrap();
    assert!(is_signed(key, &headers, &body));
    let body: Value = serde_json::from_slice(&body).unwrap();
    (body["type"].as_str().unwrap().to_owned(), body["data"]["path"].as_str().unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_drills_hears_of_one_that_is_too_old_and_of_one_that_failed_also_after_an_outage() {
    let server = TestServer::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/hook");
    let made = ask(&server, "POST", "webhooks/ops", json!({"url": url, "topics": ["drill"], "internal": true})).await;
    let key = SecretString::new(made.expect(200).text_at("/data/key"));
    let drills = std::sync::Arc::clone(&server.world.rooms().drills);
    let webhooks = std::sync::Arc::clone(&server.world.rooms().webhooks);
    server.operator().post("secret/data/app/db", json!({"data": {"v": "x"}})).await.expect(200);
    let plan = json!({"path": "secret/app/db", "schedule": "rate(90 days)", "rounds": 1, "credentials": "token"});
    ask(&server, "POST", "drills/schedules", plan).await.expect(200);
    ask(&server, "POST", "drills/settings", json!({"max_age": "6h"})).await.expect(200);
    drills.settle().await.unwrap();
    // Too old while nobody listens: it waits.
    server.world.clock.advance(Duration::from_secs(7 * 3_600));
    drills.settle().await.unwrap();
    webhooks.settle().await;
    let listed = ask(&server, "GET", "webhooks", Value::Null).await.expect(200);
    assert_eq!(listed.at("/data/webhooks/0/waiting"), 1, "{}", listed.text);
    let listener = TcpListener::bind(address).await.unwrap();
    server.world.clock.advance(Duration::from_secs(5));
    // Taken with an error the first time, and sent again.
    let path = || "secret/data/app/db".to_owned();
    assert_eq!(heard(&listener, &key, 500).await, ("drill.drill-overdue".to_owned(), path()));
    webhooks.settle().await;
    server.world.clock.advance(Duration::from_secs(60));
    assert_eq!(heard(&listener, &key, 204).await, ("drill.drill-overdue".to_owned(), path()));
    // One that fails: a limit lets hardly any request through, those of canaries among them.
    let limit = json!({"path": "secret", "rate": 1, "interval": "1h"});
    server.operator().post("sys/quotas/rate-limit/tight", limit).await.expect(204);
    let order = json!({"path": "secret/app/db", "rounds": 1, "credentials": "token"});
    let drill = ask(&server, "POST", "drills/run", order).await.expect(200);
    let state = drill.text_at("/data/drill/state");
    assert!(state == "failed" || state == "clearing", "{}", drill.text);
    server.operator().delete("sys/quotas/rate-limit/tight").await.expect(204);
    drills.settle().await.unwrap();
    let mut told = Vec::new();
    while !told.contains(&"drill.drill-failed".to_owned()) {
        let (kind, about) = heard(&listener, &key, 204).await;
        assert_eq!(about, path());
        told.push(kind);
        server.world.clock.advance(Duration::from_secs(1));
    }
    assert!(told.iter().all(|kind| kind == "drill.drill-failed" || kind == "drill.drill-clearing"), "{told:?}");
    server.stop().await;
}

/// The topic could be chosen, and nothing was ever told of it.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_incidents_hears_of_the_order_its_end_and_its_lifting() {
    let server = TestServer::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let made =
        ask(&server, "POST", "webhooks/ops", json!({"url": url, "topics": ["incident"], "internal": true})).await;
    let key = SecretString::new(made.expect(200).text_at("/data/key"));
    server.operator().post("secret/data/app/db", json!({"data": {"v": "canary-value"}})).await.expect(200);
    let order = json!({"secret": "secret/app/db", "reason": "a leak"});
    let id = ask(&server, "POST", "revoke", order).await.expect(200).text_at("/data/incident/id");
    let mut told = BTreeSet::new();
    for count in 0..3 {
        if count == 2 {
            let lift = json!({"reason": "a false alarm"});
            ask(&server, "POST", &format!("incidents/{id}/lift"), lift).await.expect(200);
        }
        let (kind, path) = heard(&listener, &key, 204).await;
        assert_eq!(path, format!("sys/incidents/{id}"));
        told.insert(kind);
    }
    let all = ["incident.incident-done", "incident.incident-lifted", "incident.incident-ordered"];
    assert_eq!(told, all.map(str::to_owned).into());
    server.stop().await;
}
