//! KV versions 2 and 1 over real HTTP: every field that Vault's clients read, and the texts they look for.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::time::Duration;
use strongroom_api::Limits;
use strongroom_testkit::{Answer, TestServer, World};

struct Server {
    inner: TestServer,
    root: String,
}

impl Server {
    async fn start() -> Self {
        let (world, root) = World::open().await;
        Self { inner: TestServer::start(world, Limits::default()).await, root: root.expose().to_owned() }
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = (!body.is_null()).then_some(body);
        self.inner.send(method, path, Some(&self.root), body).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, Value::Null).await
    }

    /// Sends what must succeed.
    async fn done(&self, method: &str, path: &str, body: Value) -> Answer {
        let answer = self.send(method, path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
        answer
    }
}

fn status(answer: &Answer) -> u16 {
    answer.status.as_u16()
}

const START: &str = "2026-11-21T00:00:00Z";

#[tokio::test]
async fn a_write_and_a_read_carry_the_version() {
    let server = Server::start().await;
    let body = serde_json::from_str(r#"{"data": {"user": "u", "n": 1.50}, "options": {}}"#).unwrap();
    let written = server.done("POST", "secret/data/a/b", body).await;
    let version = json!({
        "created_time": START, "custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 1
    });
    assert_eq!((status(&written), written.at("/data")), (200, &version));
    let read = server.get("secret/data/a/b").await;
    assert_eq!(status(&read), 200);
    assert_eq!(read.at("/data/metadata"), &version);
    assert_eq!(read.at("/data/data/user"), "u");
    assert!(read.text.contains("1.50"), "a number comes back as it was written: {}", read.text);
    assert_eq!(read.at("/lease_duration"), 0);
    assert_eq!(read.at("/mount_type"), "kv");
}

#[tokio::test]
async fn nothing_is_a_404_without_errors() {
    let server = Server::start().await;
    for path in ["secret/data/none", "secret/metadata/none", "secret/subkeys/none", "secret/metadata/none?list=true"] {
        let answer = server.get(path).await;
        assert_eq!((status(&answer), &answer.body), (404, &json!({"errors": []})), "{path}");
    }
    let listed = server.send("LIST", "secret/metadata", Value::Null).await;
    assert_eq!((status(&listed), &listed.body), (404, &json!({"errors": []})));
    let patched = server.send("PATCH", "secret/data/none", json!({"data": {"a": 1}})).await;
    assert_eq!((status(&patched), &patched.body), (404, &json!({"errors": []})));
    for (method, path, body) in [
        ("DELETE", "secret/data/none", Value::Null),
        ("DELETE", "secret/metadata/none", Value::Null),
        ("POST", "secret/delete/none", json!({"versions": [1]})),
        ("POST", "secret/undelete/none", json!({"versions": [1]})),
        ("POST", "secret/destroy/none", json!({"versions": [1]})),
    ] {
        assert_eq!(status(&server.send(method, path, body).await), 204, "{method} {path}");
    }
}

#[tokio::test]
async fn a_deleted_version_is_a_404_with_its_metadata() {
    let server = Server::start().await;
    for n in 1..=2 {
        server.done("POST", "secret/data/a", json!({"data": { "n": n }})).await;
    }
    server.inner.world.clock.advance(Duration::from_millis(1_500));
    assert_eq!(status(&server.send("DELETE", "secret/data/a", Value::Null).await), 204);
    let gone = server.get("secret/data/a").await;
    assert_eq!(status(&gone), 404);
    assert_eq!(gone.at("/data/data"), &Value::Null);
    assert_eq!(gone.at("/data/metadata/deletion_time"), "2026-11-21T00:00:01.5Z");
    assert_eq!((gone.at("/data/metadata/version"), gone.at("/data/metadata/destroyed")), (&json!(2), &json!(false)));
    assert_eq!(server.get("secret/data/a?version=1").await.at("/data/data/n"), 1);
    let subkeys = server.get("secret/subkeys/a").await;
    assert_eq!((status(&subkeys), subkeys.at("/data/subkeys")), (404, &Value::Null));
    let patched = server.send("PATCH", "secret/data/a", json!({"data": {"x": 1}})).await;
    assert_eq!((status(&patched), patched.at("/data/version")), (404, &json!(2)));
    server.done("POST", "secret/undelete/a", json!({"versions": [2]})).await;
    assert_eq!(server.get("secret/data/a").await.at("/data/data/n"), 2);
    server.done("PUT", "secret/destroy/a", json!({"versions": "1,2"})).await;
    let shredded = server.get("secret/data/a?version=1").await;
    assert_eq!((status(&shredded), shredded.at("/data/metadata/destroyed")), (404, &json!(true)));
}

#[tokio::test]
async fn wrong_requests_get_the_texts_of_vault() {
    let server = Server::start().await;
    server.done("POST", "secret/data/a", json!({"data": {}})).await;
    for (method, path, body, text) in [
        (
            "POST",
            "secret/data/a",
            json!({"data": {}, "options": {"cas": 0}}),
            "check-and-set parameter did not match the current version",
        ),
        (
            "POST",
            "secret/data/a",
            json!({"data": {}, "options": {"cas": -1}}),
            "check-and-set parameter did not match the current version",
        ),
        ("POST", "secret/data/a", json!({"options": {"cas": 1}}), "no data provided"),
        (
            "POST",
            "secret/data/a",
            json!({"data": {}, "options": {"cas": "x"}}),
            "error parsing check-and-set parameter",
        ),
        ("PATCH", "secret/data/a", json!({}), "no data provided"),
        ("POST", "secret/delete/a", json!({}), "No version number provided"),
        ("POST", "secret/undelete/a", json!({"versions": []}), "No version number provided"),
        ("POST", "secret/destroy/a", json!({"versions": null}), "no version number provided"),
    ] {
        let answer = server.send(method, path, body.clone()).await;
        assert_eq!((status(&answer), &answer.body), (400, &json!({ "errors": [text] })), "{method} {path} {body}");
    }
    let answer = server.send("POST", "secret/data/a", json!({"data": "hunter2"})).await;
    assert_eq!(status(&answer), 400);
    assert!(!answer.text.contains("hunter2"));
    let answer = server.send("POST", "secret/data/a", json!({"data": {"k": "x".repeat(1_200_000)}})).await;
    assert_eq!(status(&answer), 413);
    for (method, path) in [("LIST", "secret/data/a"), ("GET", "secret/destroy/a"), ("GET", "secret/metadata")] {
        assert_eq!(status(&server.send(method, path, Value::Null).await), 405, "{method} {path}");
    }
    server.done("POST", "secret/config", json!({"cas_required": true})).await;
    let answer = server.send("POST", "secret/data/a", json!({"data": {}})).await;
    assert_eq!(answer.body, json!({"errors": ["check-and-set parameter required for this call"]}));
}

#[tokio::test]
async fn metadata_has_every_field_of_vault() {
    let server = Server::start().await;
    let change = json!({"max_versions": 7, "cas_required": false, "delete_version_after": "1h30m", "custom_metadata": {"owner": "web", "n": 3}});
    let answer = server.send("POST", "secret/metadata/a", change).await;
    assert_eq!((status(&answer), answer.text.as_str()), (204, ""));
    server.inner.world.clock.advance(Duration::from_secs(1));
    let written = server.done("POST", "secret/data/a", json!({"data": {"k": 1}})).await;
    assert_eq!(written.at("/data/deletion_time"), "2026-11-21T01:30:01Z");
    assert_eq!(written.at("/data/custom_metadata"), &json!({"owner": "web", "n": "3"}));
    let known = server.get("secret/metadata/a").await;
    assert_eq!(
        known.at("/data"),
        &json!({
            "cas_required": false,
            "created_time": START,
            "current_version": 1,
            "custom_metadata": {"owner": "web", "n": "3"},
            "delete_version_after": "1h30m0s",
            "max_versions": 7,
            "oldest_version": 0,
            "updated_time": "2026-11-21T00:00:01Z",
            "versions": {
                "1": {"created_time": "2026-11-21T00:00:01Z", "deletion_time": "2026-11-21T01:30:01Z", "destroyed": false}
            },
        })
    );
    let patch =
        json!({"max_versions": null, "delete_version_after": "0s", "custom_metadata": {"n": null, "tier": "1"}});
    assert_eq!(status(&server.send("PATCH", "secret/metadata/a", patch).await), 204);
    let known = server.get("secret/metadata/a").await;
    assert_eq!((known.at("/data/max_versions"), known.at("/data/delete_version_after")), (&json!(0), &json!("0s")));
    assert_eq!(known.at("/data/custom_metadata"), &json!({"owner": "web", "tier": "1"}));
    assert_eq!(status(&server.send("PATCH", "secret/metadata/none", json!({"max_versions": 1})).await), 404);
    server.done("DELETE", "secret/metadata/a", Value::Null).await;
    assert_eq!(status(&server.get("secret/metadata/a").await), 404);
}

#[tokio::test]
async fn the_settings_of_a_mount_read_back_and_overrule() {
    let server = Server::start().await;
    let fresh = json!({"cas_required": false, "delete_version_after": "0s", "max_versions": 0});
    assert_eq!(server.get("secret/config").await.at("/data"), &fresh);
    let change = json!({"max_versions": 5, "cas_required": true, "delete_version_after": "30m0s"});
    assert_eq!(status(&server.send("POST", "secret/config", change.clone()).await), 204);
    assert_eq!(server.get("secret/config").await.at("/data"), &change);
    let warned = server.done("POST", "secret/metadata/a", json!({"cas_required": false})).await;
    assert_eq!(
        warned.at("/warnings/0"),
        "\"cas_required\" set to false, but is mandated by backend config. This value will be ignored."
    );
    server.done("POST", "secret/config", json!({"delete_version_after": "-1s"})).await;
    assert_eq!(server.get("secret/config").await.at("/data/delete_version_after"), "-1s");
}

#[tokio::test]
async fn patches_and_subkeys_go_into_nested_objects() {
    let server = Server::start().await;
    server.done("POST", "secret/data/a", json!({"data": {"keep": "k", "deep": {"a": 1, "b": {"c": 2}}}})).await;
    let patched = server
        .done("PATCH", "secret/data/a", json!({"options": {"cas": 1}, "data": {"deep": {"a": null, "d": 4}}}))
        .await;
    assert_eq!(patched.at("/data/version"), 2);
    assert_eq!(
        server.get("secret/data/a").await.at("/data/data"),
        &json!({"keep": "k", "deep": {"b": {"c": 2}, "d": 4}})
    );
    let whole = server.get("secret/subkeys/a").await;
    assert_eq!(whole.at("/data/subkeys"), &json!({"keep": null, "deep": {"b": {"c": null}, "d": null}}));
    assert_eq!(whole.at("/data/metadata/version"), 2);
    let flat = server.get("secret/subkeys/a?depth=1&version=1").await;
    assert_eq!(flat.at("/data/subkeys"), &json!({"keep": null, "deep": null}));
}

#[tokio::test]
async fn both_spellings_of_list_name_secrets_and_folders() {
    let server = Server::start().await;
    for name in ["b", "a/x", "a", "ü ö/z"] {
        server
            .done(
                "POST",
                &format!("secret/data/{}", name.replace(' ', "%20").replace('ü', "%C3%BC").replace('ö', "%C3%B6")),
                json!({"data": {}}),
            )
            .await;
    }
    for (method, path) in
        [("LIST", "secret/metadata"), ("LIST", "secret/metadata/"), ("GET", "secret/metadata/?list=true")]
    {
        let listed = server.send(method, path, Value::Null).await;
        assert_eq!(listed.at("/data"), &json!({"keys": ["a", "a/", "b", "ü ö/"]}), "{method} {path}");
    }
    assert_eq!(server.send("LIST", "secret/metadata/a", Value::Null).await.at("/data/keys"), &json!(["x"]));
}

#[tokio::test]
async fn policies_tell_create_from_update_and_data_from_metadata() {
    let server = Server::start().await;
    let policy = r#"path "secret/data/team/*" { capabilities = ["create", "read"] }"#;
    server.done("PUT", "sys/policies/acl/team", json!({ "policy": policy })).await;
    let made = server.done("POST", "auth/token/create", json!({"policies": ["team"], "no_default_policy": true})).await;
    let token = made.at("/auth/client_token").as_str().unwrap().to_owned();
    let as_team = async |method: &str, path: &str, body: Option<Value>| {
        status(&server.inner.send(method, path, Some(&token), body).await)
    };
    let data = || Some(json!({"data": {"k": 1}}));
    assert_eq!(as_team("POST", "secret/data/team/a", data()).await, 200);
    assert_eq!(as_team("POST", "secret/data/team/a", data()).await, 403);
    assert_eq!(as_team("GET", "secret/data/team/a", None).await, 200);
    assert_eq!(as_team("GET", "secret/metadata/team/a", None).await, 403);
    assert_eq!(as_team("LIST", "secret/metadata/team", None).await, 403);
    assert_eq!(as_team("DELETE", "secret/data/team/a", None).await, 403);
    assert_eq!(as_team("GET", "secret/data/other", None).await, 403);
}

#[tokio::test]
async fn version_1_gives_back_the_body_and_says_when_to_look_again() {
    let server = Server::start().await;
    server.done("POST", "sys/mounts/plain", json!({"type": "kv", "options": {"version": "1"}})).await;
    let written = server.send("POST", "plain/a/b", json!({"user": "u"})).await;
    assert_eq!((status(&written), written.text.as_str()), (204, ""));
    assert_eq!(status(&server.send("PUT", "plain/a/b", json!({"user": "v", "n": 1})).await), 204);
    let read = server.get("plain/a/b").await;
    assert_eq!((status(&read), read.at("/data")), (200, &json!({"user": "v", "n": 1})));
    assert_eq!(server.send("LIST", "plain", Value::Null).await.at("/data/keys"), &json!(["a/"]));
    assert_eq!(server.send("LIST", "plain/a", Value::Null).await.at("/data/keys"), &json!(["b"]));
    let empty = server.send("POST", "plain/x", json!({})).await;
    assert_eq!((status(&empty), &empty.body), (400, &json!({"errors": ["missing data fields"]})));
    assert_eq!(status(&server.send("PATCH", "plain/a/b", json!({"a": 1})).await), 405);
    assert_eq!(status(&server.send("DELETE", "plain/a/b", Value::Null).await), 204);
    assert_eq!(status(&server.get("plain/a/b").await), 404);
    assert_eq!(status(&server.send("LIST", "plain/a", Value::Null).await), 404);
}

/// `vault read secret/app`, where it should be `vault kv get secret/app`.
#[tokio::test]
async fn a_path_without_data_in_it_is_answered_with_the_way_for_who_may_go_there() {
    let server = Server::start().await;
    server.done("POST", "secret/data/app", json!({"data": {"a": 1}})).await;
    for (method, word) in [("GET", "kv get"), ("POST", "kv put"), ("DELETE", "kv delete"), ("LIST", "kv list")] {
        let sent = if method == "POST" { json!({"a": 1}) } else { Value::Null };
        let answer = server.send(method, "secret/app", sent).await;
        assert_eq!((status(&answer), answer.at("/data"), answer.at("/errors")), (404, &Value::Null, &Value::Null));
        let warning = answer.at("/warnings/0").as_str().unwrap();
        assert!(warning.starts_with("Invalid path for a versioned K/V") && warning.contains(word), "{warning}");
    }
    let rules = json!({"policy": r#"path "secret/data/*" { capabilities = ["read"] }"#});
    server.done("POST", "sys/policies/acl/app", rules).await;
    let made = server.done("POST", "auth/token/create", json!({"policies": ["app"]})).await;
    let token = made.at("/auth/client_token").as_str().unwrap();
    let refused = server.inner.send("GET", "secret/app", Some(token), None).await;
    assert_eq!((status(&refused), refused.at("/warnings")), (403, &Value::Null));
}

#[tokio::test]
async fn the_trail_shows_what_the_server_knows_of_a_version_and_no_value_and_no_note() {
    let server = Server::start().await;
    let notes = json!({"custom_metadata": {"version": "canary-note"}});
    server.done("POST", "secret/metadata/app", notes).await;
    // Names that are facts elsewhere are values here.
    let value = json!({"data": {"version": "canary-value", "created_time": 7, "metadata": {"version": 8}}});
    server.done("POST", "secret/data/app", value).await;
    server.done("GET", "secret/data/app", Value::Null).await;
    let outcomes = server.inner.world.outcomes().await;
    let of = |operation: &str, path: &str| {
        let is_it = |entry: &&Value| entry["operation"] == operation && entry["path"] == path;
        outcomes.iter().rfind(is_it).unwrap()["response_data"].clone()
    };
    let read = of("read", "secret/data/app");
    assert_eq!((&read["metadata"]["version"], &read["metadata"]["destroyed"]), (&json!(1), &json!(false)));
    let hashed = ["/metadata/custom_metadata/version", "/data/version", "/data/created_time", "/data/metadata/version"];
    for at in hashed {
        assert!(read.pointer(at).unwrap().as_str().unwrap().starts_with("hmac-sha256:"), "{at}");
    }
    assert_eq!(of("update", "secret/data/app")["version"], 1);
    assert!(!server.inner.world.trail.recent(usize::MAX).await.join("\n").contains("canary"));
}

/// What it says of a value is put into words once and kept beside the sealed value.
#[tokio::test]
async fn the_trail_says_of_each_version_what_is_in_it_however_often_and_through_whatever_it_is_read() {
    let server = Server::start().await;
    let write = async |password: &str| {
        let body = json!({"data": {"password": password, "other": ["x"]}});
        server.done("POST", "secret/data/app", body).await;
    };
    let read = async |path: &str| {
        server.done("GET", path, Value::Null).await;
        let outcomes = server.inner.world.outcomes().await;
        outcomes.iter().rfind(|entry| entry["operation"] == "read").unwrap()["response_data"]["data"].clone()
    };
    let hash = async |input: &str| {
        let answer = server.done("POST", "sys/audit-hash/trail", json!({"input": input})).await;
        answer.at("/data/hash").clone()
    };
    write("one").await;
    let (one, two, other) = (hash("one").await, hash("two").await, hash("x").await);
    for _ in 0..3 {
        assert_eq!(read("secret/data/app").await, json!({"password": one, "other": [other]}));
    }
    write("two").await;
    server.done("POST", "secret/metadata/app", json!({"custom_metadata": {"password": "one"}})).await;
    for _ in 0..2 {
        assert_eq!(read("secret/data/app").await, json!({"password": two, "other": [other]}));
        assert_eq!(read("secret/data/app?version=1").await, json!({"password": one, "other": [other]}));
    }
    assert_eq!(read("secret/subkeys/app").await, Value::Null);
    // Of many leaves the words are not kept.
    let many: Vec<u32> = vec![7; 300];
    server.done("POST", "secret/data/many", json!({"data": {"many": many}})).await;
    let seven = hash("7").await;
    for _ in 0..2 {
        assert_eq!(read("secret/data/many").await, json!({"many": vec![seven.clone(); 300]}));
    }
}

/// The value goes out as the text that is kept, and what is known of it is put into words once for each state of the secret.
#[tokio::test]
async fn a_read_says_letter_by_letter_what_was_written_and_what_is_known_of_it_at_that_moment() {
    let server = Server::start().await;
    let data = r#"{"a":1.50,"big":123456789012345678901234567890,"deep":{"x":[null,true,""]},"ü\"\n":"\u0001 é"}"#;
    let body = serde_json::from_str(&format!(r#"{{"data":{data}}}"#)).unwrap();
    server.done("POST", "secret/data/app", body).await;
    let whole = |answer: &Answer, metadata: &str| {
        let id = answer.text_at("/request_id");
        let head = format!(r#"{{"request_id":"{id}","lease_id":"","renewable":false,"lease_duration":0,"data":"#);
        let tail = r#","wrap_info":null,"warnings":null,"auth":null,"mount_type":"kv"}"#;
        format!("{head}{{\"data\":{data},\"metadata\":{metadata}}}{tail}\n")
    };
    let known = |custom: &str, deletion: &str| {
        format!(
            r#"{{"created_time":"{START}","custom_metadata":{custom},"deletion_time":"{deletion}","destroyed":false,"version":1}}"#
        )
    };
    for _ in 0..2 {
        let read = server.get("secret/data/app").await;
        assert_eq!(read.text, whole(&read, &known("null", "")));
    }
    server.done("POST", "secret/metadata/app", json!({"custom_metadata": {"owner": "we\"b"}})).await;
    for _ in 0..2 {
        let read = server.get("secret/data/app").await;
        assert_eq!(read.text, whole(&read, &known(r#"{"owner":"we\"b"}"#, "")));
    }
    // Notes too long to be kept in words beside the head.
    let long = "x".repeat(500);
    let notes = json!({"custom_metadata": {"a": long, "b": long, "c": long, "d": long, "e": long}});
    server.done("POST", "secret/metadata/app", notes.clone()).await;
    for _ in 0..2 {
        let read = server.get("secret/data/app").await;
        assert_eq!(read.at("/data/metadata/custom_metadata"), &notes["custom_metadata"]);
    }
    // Deleted and brought back, it says so and no longer says so; another version says its own.
    server.done("DELETE", "secret/data/app", Value::Null).await;
    let gone = server.get("secret/data/app").await;
    assert_eq!((status(&gone), gone.at("/data/metadata/deletion_time")), (404, &json!(START)));
    server.done("POST", "secret/undelete/app", json!({"versions": [1]})).await;
    let read = server.get("secret/data/app").await;
    assert_eq!(read.at("/data/metadata/deletion_time"), "");
    server.done("POST", "secret/data/app", json!({"data": {"a": 2}})).await;
    for (version, value) in [("", 2), ("?version=1", 1), ("?version=2", 2)] {
        let read = server.get(&format!("secret/data/app{version}")).await;
        let number = if value == 1 { 1 } else { 2 };
        assert_eq!(read.at("/data/metadata/version"), number, "{version}");
        assert_eq!(read.text.contains("1.50"), value == 1, "{version}");
    }
    let head = server.send("HEAD", "secret/data/app", Value::Null).await;
    assert_eq!(status(&head), 200);
}
