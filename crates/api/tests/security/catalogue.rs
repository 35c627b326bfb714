//! Single rows of the catalogue that no other test shows, each as a generator over whatever the row is about.

use crate::probe::{ALL, Place, Tenant, places, shape, verb};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use strongroom_api::Limits;
use strongroom_core::{Endpoint, Operation};
use strongroom_model::policy::{Acl, Policy, Question};
use strongroom_model::{Capability, PolicyName, RequestPath};
use strongroom_testkit::{Answer, TestServer, World};

/// Every line of every table with an operation, as a path to what that tenant has.
fn every_line(server: &TestServer, tenant: &Tenant) -> Vec<(Operation, &'static Endpoint, String)> {
    let of = |place: Place| {
        let lines = place.endpoints.iter().flat_map(|endpoint| {
            let path = place.path(endpoint, tenant, tenant);
            endpoint.operations.iter().map(move |operation| (*operation, *endpoint, path.clone()))
        });
        lines.collect::<Vec<_>>()
    };
    places(server, tenant.name).into_iter().flat_map(of).collect()
}

fn is_reading(operation: Operation) -> bool {
    matches!(operation, Operation::Read | Operation::List)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_that_reads_gives_a_credential_back_or_makes_one() {
    let server = TestServer::open().await;
    let tenant = Tenant::furnish(&server, "reds").await;
    let credentials = ["token", "child", "wrapping", "secret id", "password"];
    let lines = every_line(&server, &tenant);
    for (operation, _, path) in lines.iter().filter(|(operation, ..)| is_reading(*operation)) {
        let answer = server.operator().send(verb(*operation), path, None).await;
        for what in credentials {
            assert!(!answer.text.contains(tenant.id(what)), "{operation:?} {path} gives the {what}: {}", answer.text);
        }
        assert_eq!(answer.at("/auth"), &Value::Null, "{operation:?} {path}: a reading policy gives a token");
        assert_eq!(answer.at("/wrap_info"), &Value::Null, "{operation:?} {path}");
        assert_eq!(answer.at("/data/secret_id"), &Value::Null, "{operation:?} {path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_change_and_not_read_is_given_no_old_value() {
    let server = TestServer::open().await;
    server.policy("writer", r#"path "secret/*" { capabilities = ["create", "update", "patch", "delete"] }"#).await;
    let writer = server.token(json!({"policies": ["writer"], "no_default_policy": true})).await;
    let secret = json!({"data": {"a": "canary"}});
    server.operator().post("secret/data/x", secret.clone()).await.expect(200);
    let bodies = [
        json!({}),
        json!({"data": {"b": 1}, "options": {"cas": 0}}),
        json!({"data": {"b": 1}, "options": {"cas": 99, "return": true}}),
        json!({"data": {"b": 1}, "versions": [1], "return_old": true, "prev_kv": true}),
        json!({"custom_metadata": {"b": "1"}}),
    ];
    for section in ["data", "metadata", "delete", "undelete", "destroy", "subkeys", "config"] {
        for verb in ["POST", "PATCH", "DELETE", "GET", "LIST"] {
            for body in &bodies {
                let body = (!matches!(verb, "GET" | "LIST")).then(|| body.clone());
                for path in [format!("secret/{section}/x"), format!("secret/{section}")] {
                    let answer = server.by(&writer).send(verb, &path, body.clone()).await;
                    assert!(!answer.text.contains("canary"), "{verb} {path} {body:?}: {}", answer.text);
                }
            }
        }
        server.operator().post("secret/data/x", secret.clone()).await.expect(200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_method_says_what_is_wanted_and_nothing_else_does() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/x", json!({"data": {"a": 1}})).await.expect(200);
    server.policy("reader", r#"path "secret/*" { capabilities = ["read"] }"#).await;
    let reader = server.token(json!({"policies": ["reader"]})).await;
    let overrides = ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Vault-Operation"];
    let queries = ["_method", "operation", "method", "action", "op"];
    for word in ["DELETE", "POST", "LIST", "delete", "update", "rollback", "renew", "revoke", "help", "alias-lookahead"]
    {
        for header in overrides {
            let headers = [("X-Vault-Token", reader.as_str()), (header, word)];
            let read = server.send_raw("GET", "/v1/secret/data/x", &headers, Vec::new()).await.expect(200);
            assert_eq!(read.at("/data/data/a"), 1);
            let written = server.send_raw("POST", "/v1/secret/data/x", &headers, br#"{"data":{"a":2}}"#.to_vec()).await;
            written.expect(403);
        }
        for query in queries {
            let read = server.by(&reader).get(&format!("secret/data/x?{query}={word}")).await.expect(200);
            assert_eq!(read.at("/data/data/a"), 1);
            let body = json!({query: word, "data": {"a": 2}});
            server.by(&reader).send("POST", &format!("secret/data/x?{query}={word}"), Some(body)).await.expect(403);
        }
    }
    assert_eq!(operator.get("secret/metadata/x").await.expect(200).at("/data/current_version"), 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_login_leaves_no_token_no_entity_and_nothing_in_the_store() {
    let server = TestServer::open().await;
    let tenant = Tenant::furnish(&server, "reds").await;
    let accessors =
        || async { server.operator().list("auth/token/accessors").await.expect(200).at("/data/keys").clone() };
    let entities = || async { server.operator().list("identity/entity/id").await.expect(200).at("/data/keys").clone() };
    let (tokens, people) = (accessors().await, entities().await);
    let stored = server.world.snapshot().await.len();
    for number in 0..300 {
        let wrong = format!("00000000-0000-4000-8000-{number:012}");
        for body in [
            json!({"role_id": tenant.id("role id"), "secret_id": wrong}),
            json!({"role_id": wrong, "secret_id": tenant.id("secret id")}),
        ] {
            let answer = server.by("").post("auth/redsapp/login", body).await;
            assert_eq!((answer.status.as_u16(), answer.at("/auth")), (400, &Value::Null), "{}", answer.text);
        }
    }
    assert_eq!(server.world.snapshot().await.len(), stored, "failed logins fill the store");
    for number in 0..3 {
        let path = format!("auth/redspass/login/nobody-{number}");
        let answer = server.by("").post(&path, json!({"password": "wrong"})).await;
        assert_eq!((answer.status.as_u16(), answer.at("/auth")), (400, &Value::Null), "{}", answer.text);
    }
    assert_eq!((accessors().await, entities().await), (tokens, people));
    server.stop().await;
}

/// What tells the moment, the machine, or how far an unsealing has come, and so differs after a restart.
const OF_THE_MOMENT: [&str; 7] = [
    "sys/metrics",
    "sys/host-info",
    "sys/in-flight-req",
    "sys/internal/counters",
    "sys/seal-status",
    "sys/ha-status",
    "sys/key-status",
];

/// Everything that an operator can read, before and after.
async fn everything(server: &TestServer, tenant: &Tenant) -> Vec<(String, (u16, String))> {
    let mut seen = Vec::new();
    for (operation, _, path) in every_line(server, tenant) {
        // A reading path that makes something new each time.
        let makes = path.ends_with("/generate");
        if !is_reading(operation) || makes || OF_THE_MOMENT.iter().any(|moment| path.starts_with(moment)) {
            continue;
        }
        let answer = server.operator().send(verb(operation), &path, None).await;
        seen.push((format!("{operation:?} {path}"), shape(&answer, tenant)));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_setting_that_can_be_read_is_the_same_after_a_restart() {
    let (world, shares, root) = World::sealed().await;
    let unseal = async |server: &TestServer| {
        for share in shares.iter().take(2) {
            server.by("").post("sys/unseal", json!({"key": share.to_hex()})).await.expect(200);
        }
    };
    let mut server = TestServer::start(world, Limits::default()).await;
    server.root = root.expose().to_owned();
    unseal(&server).await;
    let tenant = Tenant::furnish(&server, "reds").await;
    let operator = server.operator();
    for (path, body) in [
        ("sys/quotas/config", json!({"enable_rate_limit_response_headers": true})),
        ("sys/config/cors", json!({"allowed_origins": ["https://ui.example.com"]})),
        ("sys/config/auditing/request-headers/x-team", json!({"hmac": true})),
        ("sys/rotate/config", json!({"max_operations": 1_000_000_000, "interval": "48h"})),
        ("sys/mounts/redskv/tune", json!({"max_lease_ttl": "100h", "audit_non_hmac_request_keys": ["a"]})),
        ("sys/auth/redspass/tune", json!({"default_lease_ttl": "1h", "token_type": "default-service"})),
        ("redskv/config", json!({"max_versions": 3, "cas_required": true})),
    ] {
        let answer = operator.post(path, body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
    }
    let before = everything(&server, &tenant).await;
    assert!(before.iter().filter(|(_, (status, _))| *status == 200).count() > 40, "hardly anything was read");
    // Sealing is what a restart does to a server: nothing of the old rooms is left, all is read from the store.
    operator.post("sys/seal", json!({})).await.expect(204);
    unseal(&server).await;
    for (was, is) in before.iter().zip(everything(&server, &tenant).await) {
        // No settings: leases of credentials that could not be made end meanwhile, and a snapshot is of its moment.
        if !was.0.contains("/leases/") && !was.0.ends_with("/snapshot") {
            assert_eq!(*was, is);
        }
    }
    server.stop().await;
}

/// Source files of the shipped crates, with their text up to the first test module.
fn sources(rooms: &[&str]) -> Vec<(PathBuf, String)> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut folders: Vec<PathBuf> = rooms.iter().map(|room| root.join(room).join("src")).collect();
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()));
            }
        }
    }
    assert!(found.len() > 5, "no sources were found: has a room been renamed?");
    found
}

/// Names of fields that are read as numbers, spans of time or switches anywhere.
fn numeric_fields() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (_, text) in sources(&["api", "auth", "core", "engines"]) {
        for call in [".int(\"", ".count(\"", ".ttl(\"", ".flag(\"", ".number(\""] {
            let found = text.split(call).skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(found.map(str::to_owned));
        }
    }
    for more in
        ["rate", "token_ttl", "token_max_ttl", "token_period", "secret_id_ttl", "default_lease_ttl", "max_lease_ttl"]
    {
        names.insert(more.to_owned());
    }
    assert!(names.len() > 30, "the sources read hardly any number: is this search out of date? {names:?}");
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_number_however_odd_breaks_an_endpoint() {
    let server = TestServer::open().await;
    let tenant = Tenant::furnish(&server, "reds").await;
    let odd: Vec<Value> = [
        "-1",
        "0",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551616",
        "1e999",
        "0.5",
        "-0.0",
        "\"NaN\"",
        "\"-1s\"",
        "\"9999999999999h\"",
        "\"1e9h\"",
        "\"0x10\"",
        "\"\"",
        "[1]",
        "{\"a\":1}",
        "true",
    ]
    .iter()
    .map(|text| serde_json::from_str(text).unwrap())
    .collect();
    let fields: Vec<String> = numeric_fields().into_iter().collect();
    let writes: Vec<(Operation, &Endpoint, String)> = every_line(&server, &tenant)
        .into_iter()
        .filter(|(operation, endpoint, path)| {
            // What would end the test: the caller's token, the open server, or a ceremony for which others hold keys.
            let ends = ["revoke-self", "seal", "revoke"].contains(&endpoint.pattern) || path.starts_with("sys/init");
            matches!(operation, Operation::Write | Operation::Patch) && !ends
        })
        .collect();
    let needed = json!({
        "password": tenant.id("password"), "token": tenant.id("child"), "accessor": tenant.id("accessor"),
        "secret_id": tenant.id("secret id"), "secret_id_accessor": tenant.id("secret id accessor"),
        "role_id": tenant.id("role id"), "type": "kv", "data": {"a": 1}, "path": "redskv/",
    });
    let mut turn = 0;
    for (operation, endpoint, path) in &writes {
        let mut bodies: Vec<Value> =
            odd.iter().map(|value| fields.iter().map(|field| (field.clone(), value.clone())).collect()).collect();
        for field in &fields {
            turn += 1;
            bodies.push(json!({field: odd[turn % odd.len()]}));
        }
        for mut body in bodies {
            let map = body.as_object_mut().unwrap();
            for (name, value) in needed.as_object().unwrap() {
                map.entry(name.clone()).or_insert(value.clone());
            }
            let answer = server.operator().send(verb(*operation), path, Some(body.clone())).await;
            assert!(is_whole(&answer), "{operation:?} {path} {body}: {} {}", answer.status, answer.text);
        }
        if endpoint.operations.contains(&Operation::Read) {
            let read = server.operator().get(path).await;
            assert!(is_whole(&read), "afterwards {path} cannot be read: {}", read.text);
        }
    }
    // Limits that were taken are in force now: the server still serves, or says that this client is over its rate.
    let health = server.by("").get("sys/health").await;
    assert_eq!(health.status, 200, "{}", health.text);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_can_be_taken_for_a_page() {
    let server = TestServer::open().await;
    let tenant = Tenant::furnish(&server, "reds").await;
    let script = "<script>alert(1)</script>";
    let spelled = "%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let mut paths: Vec<(&str, String)> =
        every_line(&server, &tenant).into_iter().map(|(operation, _, path)| (verb(operation), path)).collect();
    paths.retain(|(_, path)| !path.ends_with("/seal") && !path.ends_with("revoke-self"));
    for mount in ["", "sys/", "secret/data/", "redsone/", "auth/redspass/login/", "no/such/"] {
        paths.push(("GET", format!("{mount}{spelled}")));
        paths.push(("POST", format!("{mount}{spelled}")));
    }
    let body =
        json!({"name": script, "type": script, "description": script, "data": {script: script}, "error": script});
    for (verb, path) in paths {
        let sent = (!matches!(verb, "GET" | "LIST")).then(|| body.clone());
        let answer = server.send(verb, &path, Some(&server.root), sent).await;
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{verb} {path}");
        if let Some(kind) = answer.headers.get("content-type") {
            let kind = kind.to_str().unwrap();
            assert!(
                ["application/json", "text/plain", "application/gzip"].iter().any(|ours| kind.starts_with(ours)),
                "{verb} {path}: {kind}"
            );
        } else {
            assert!(answer.text.is_empty(), "{verb} {path}: {}", answer.text);
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_addresses_or_names_of_the_machine() {
    let server = TestServer::open().await;
    let tenant = Tenant::furnish(&server, "reds").await;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let published = format!("http://{}", server.address);
    for (operation, _, path) in every_line(&server, &tenant) {
        if path == "sys/init" {
            continue;
        }
        let answer = server.by("").send(verb(operation), &path, Some(json!({}))).await;
        // The address that an operator has published for clients is no secret.
        let told = answer.text.replace(&published, "");
        for hidden in ["127.0.0.1", "::1", "/home", "/tmp", "/var", "crates/", ".rs:"] {
            assert!(!told.contains(hidden), "{operation:?} {path} tells {hidden}: {}", answer.text);
        }
        assert!(host.len() < 4 || !told.contains(&host), "{operation:?} {path} tells the host's name: {}", answer.text);
    }
    server.stop().await;
}

#[test]
fn the_server_starts_no_other_program() {
    for (path, text) in
        sources(&["model", "memory", "storage", "barrier", "audit", "core", "auth", "api", "strongroom"])
    {
        // Spelled in two parts: this file holds no match of its own.
        for call in [concat!("process", "::Command"), concat!("Command", "::new("), "libc::exec", "dlopen"] {
            assert!(
                !text.contains(call),
                "{} holds {call}: nothing that a client sends may start a program",
                path.display()
            );
        }
    }
}

#[test]
fn libraries_with_known_weaknesses_are_not_built_in() {
    let lock = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock")).unwrap();
    let versions = |name: &str| -> Vec<Vec<u64>> {
        let begins = format!("name = \"{name}\"\nversion = \"");
        let after = lock.split(begins.as_str()).skip(1);
        let numbers =
            |rest: &str| rest.split('"').next().unwrap().split('.').map(|part| part.parse().unwrap_or(0)).collect();
        after.map(numbers).collect()
    };
    for (name, least) in [("rustls-webpki", [0, 103, 13]), ("aws-lc-sys", [0, 39, 0])] {
        let found = versions(name);
        assert!(
            !found.is_empty() && found.iter().all(|version| version.as_slice() >= least.as_slice()),
            "{name}: {found:?}"
        );
    }
    for absent in ["h2", "openssl", "openssl-sys", "native-tls", "rsa", "aes-gcm"] {
        assert!(versions(absent).is_empty(), "{absent} is built in: see the rows of the catalogue that name it");
    }
}

/// Set in the process that decides and does nothing else.
const ALONE: &str = "STRONGROOM_TEST_ALONE";

#[test]
fn deciding_leaves_nothing_behind_in_memory() {
    // Memory is counted for a whole process, and other tests share this one.
    if std::env::var_os(ALONE).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "catalogue::deciding_leaves_nothing_behind_in_memory", "--nocapture"]).env(ALONE, "1");
        let done = child.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        return;
    }
    let resident = || {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4
    };
    let rules: String = (0..200).map(|n| format!("path \"a/{n}/+/x*\" {{ {ALL} }}\n")).collect();
    let policy = Policy::parse(PolicyName::parse("many").unwrap(), &rules).unwrap();
    let acl = Acl::new(vec![Arc::new(policy)]);
    let path = |n: u32| RequestPath::parse(&format!("a/{}/b/x{n}", n % 300)).unwrap();
    let paths: Vec<RequestPath> = (0..1_000).map(path).collect();
    let round = || paths.iter().filter(|path| acl.decide(&question(path)).granted).count();
    for _ in 0..20 {
        assert!(round() > 0);
    }
    let before = resident();
    for _ in 0..150 {
        round();
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 4_096, "150,000 decisions took {grown} KiB");
}

fn question(path: &RequestPath) -> Question<'_> {
    Question { path, capability: Capability::Read, sudo: false, parameters: None, wrap_ttl: None }
}

/// Whether nothing broke. 502 is none of ours: the outside system of that mount was asked, and nothing listens there.
fn is_whole(answer: &Answer) -> bool {
    answer.status.as_u16() < 500 || (answer.status == 502 && answer.text.contains("cannot be reached"))
}
