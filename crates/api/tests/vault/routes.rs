//! Every route with every verb, by nobody, by a stranger, by somebody without rights, in every state of the server.

use serde_json::{Value, json};
use strongroom_api::{Limits, walk_fields, walk_routes};
use strongroom_model::MountPath;
use strongroom_testkit::{Answer, TestServer, World};

const VERBS: [&str; 7] = ["GET", "LIST", "POST", "PUT", "PATCH", "DELETE", "HEAD"];

/// Where the walk finds the table of each kind.
fn mount_of(kind: &str) -> &'static str {
    match kind {
        "system" => "sys/",
        "token" => "auth/token/",
        "identity" => "identity/",
        "kv2" => "secret/",
        "kv1" => "kv1/",
        "cubbyhole" => "cubbyhole/",
        "public" => "",
        other => panic!("the walk does not know where `{other}` is mounted: say it here"),
    }
}

/// A path that fits the pattern.
fn example(pattern: &str) -> String {
    let part = |part: &str| match part {
        "{id}" => "11111111-2222-4333-8444-555555555555".to_owned(),
        "{name}" | "{name..}" => "somebody".to_owned(),
        "{path..}" => "some/where".to_owned(),
        part => part.to_owned(),
    };
    pattern.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// All routes as paths, those of every auth method among them (each enabled under its kind), and some paths that lead to
/// something that is there.
fn paths(method_routes: &[String]) -> Vec<String> {
    let ours = walk_routes().into_iter();
    let mut paths: Vec<String> =
        ours.map(|(kind, endpoint)| format!("{}{}", mount_of(kind), example(endpoint.pattern))).collect();
    paths.extend(method_routes.iter().cloned());
    for there in [
        "sys/mounts/secret",
        "sys/mounts/secret/tune",
        "sys/auth/approle",
        "sys/policies/acl/default",
        "sys/internal/ui/mounts/secret",
        "secret/data/there",
        "secret/metadata/there",
        "kv1/there",
        "no/such/mount",
        "sys/no/such/endpoint",
        "secret/nothing/here",
        "auth/approle/nothing",
    ] {
        paths.push(there.to_owned());
    }
    paths
}

/// An open server on which every kind of auth method is enabled and something is there to be had.
async fn furnished() -> (TestServer, Vec<String>) {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/mounts/kv1", json!({"type": "kv"})).await.expect(204);
    operator.post("kv1/there", json!({"a": "canary"})).await.expect(204);
    operator.post("secret/data/there", json!({"data": {"a": "canary"}})).await.expect(200);
    let mut routes = Vec::new();
    for kind in World::auth_kinds() {
        operator.post(&format!("sys/auth/{kind}"), json!({"type": kind})).await.expect(204);
        let rooms = server.world.rooms();
        let table = rooms.mounts.table();
        let mount = table.at(&MountPath::auth(kind).unwrap()).unwrap().id;
        let endpoints = table.method(mount).unwrap().endpoints();
        routes.extend(endpoints.iter().map(|endpoint| format!("auth/{kind}/{}", example(endpoint.pattern))));
    }
    for kind in World::engine_kinds() {
        operator.post(&format!("sys/mounts/{kind}"), json!({"type": kind})).await.expect(204);
        let rooms = server.world.rooms();
        let table = rooms.mounts.table();
        let mount = table.at(&MountPath::parse(kind).unwrap()).unwrap().id;
        let endpoints = table.engine(mount).unwrap().endpoints();
        routes.extend(endpoints.iter().map(|endpoint| format!("{kind}/{}", example(endpoint.pattern))));
    }
    (server, routes)
}

/// What may answer something else than a refusal, without rights: written out, so that a new one is noticed.
fn answers_anybody(verb: &str, path: &str, answer: &Answer) -> bool {
    match (verb, path) {
        ("GET" | "HEAD", "sys/health" | "sys/seal-status" | "sys/init" | "sys/leader") => true,
        // An open server says so, and takes no share.
        ("POST" | "PUT", "sys/unseal") => answer.at("/sealed") == false,
        // Empty for who may see nothing.
        ("GET", "sys/internal/ui/mounts") => *answer.at("/data") == json!({"secret": {}, "auth": {}}),
        ("HEAD", "sys/internal/ui/mounts") => answer.text.is_empty(),
        // The same for everybody.
        ("GET", "sys/replication/status") => answer.at("/data/dr/mode") == "disabled",
        ("GET", "sys/internal/ui/namespaces") => *answer.at("/data") == json!({"keys": []}),
        // What is public, and nothing of what is mounted.
        ("GET", "sys/internal/specs/openapi") => {
            answer.at("/paths").as_object().unwrap().keys().all(|path| is_public(path.trim_start_matches('/')))
        }
        ("HEAD", "sys/replication/status" | "sys/internal/ui/namespaces" | "sys/internal/specs/openapi") => {
            answer.text.is_empty()
        }
        // Who has lost every token must be able to begin; the nonce is for who began.
        ("POST" | "PUT", "sys/generate-root/attempt") => answer.at("/progress") == 0,
        ("GET", "sys/generate-root/attempt") => answer.at("/nonce") == "",
        ("HEAD", "sys/generate-root/attempt") => answer.text.is_empty(),
        _ => false,
    }
}

/// Where a stranger gets 400 instead of 403: what a login was not sent, and what cannot be done twice.
fn may_be_bad_request(verb: &str, path: &str) -> bool {
    let is_login = path.starts_with("auth/") && path.split('/').any(|segment| segment == "login");
    let writes = matches!(verb, "POST" | "PUT");
    let takes_shares =
        ["sys/rekey/update", "sys/rekey/verify", "sys/generate-root/attempt", "sys/generate-root/update"];
    writes && (is_login || path == "sys/init" || path.starts_with("sys/wrapping/") || takes_shares.contains(&path))
        || matches!(verb, "GET" | "HEAD") && matches!(path, "sys/wrapping/lookup" | "sys/rekey/verify")
}

fn is_public(path: &str) -> bool {
    walk_routes().iter().any(|(kind, endpoint)| *kind == "public" && endpoint.pattern == path)
}

#[track_caller]
fn refused_properly(verb: &str, path: &str, answer: &Answer, statuses: &[u16]) {
    assert!(statuses.contains(&answer.status.as_u16()), "{verb} {path}: {} {}", answer.status, answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store", "{verb} {path}");
    assert!(!answer.text.contains("canary"), "{verb} {path}: {}", answer.text);
    if verb != "HEAD" {
        assert!(answer.errors().iter().all(|error| !error.is_empty()), "{verb} {path}: {}", answer.text);
    }
}

/// Sends everything; gives how many requests were sent.
async fn walk(server: &TestServer, token: Option<&str>, paths: &[String]) -> usize {
    for path in paths {
        for verb in VERBS {
            let body = matches!(verb, "POST" | "PUT" | "PATCH").then(|| json!({}));
            let answer = server.send(verb, path, token, body).await;
            if answer.status.is_success() {
                assert!(answers_anybody(verb, path, &answer), "{verb} {path} answered {}", answer.text);
            } else if is_public(path) {
                refused_properly(verb, path, &answer, &[400, 405]);
            } else if may_be_bad_request(verb, path) {
                refused_properly(verb, path, &answer, &[400, 403]);
            } else {
                refused_properly(verb, path, &answer, &[403]);
                assert!(verb == "HEAD" || answer.errors()[0].starts_with("permission denied"), "{}", answer.text);
            }
        }
    }
    paths.len() * VERBS.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_without_rights_gets_anything_or_changes_anything() {
    let (server, methods) = furnished().await;
    let powerless = server.token(json!({"policies": ["nothing"], "no_default_policy": true})).await;
    let paths = paths(&methods);
    let before = server.world.snapshot().await;
    for token in [None, Some("hvs.this-is-no-token"), Some(powerless.as_str())] {
        let recorded = server.world.outcomes().await.len();
        let sent = walk(&server, token, &paths).await;
        assert_eq!(server.world.outcomes().await.len() - recorded, sent, "one outcome for each request");
    }
    assert!(server.world.snapshot().await == before, "a refused request changed the store");
    server.stop().await;
}

async fn closed(server: &TestServer, paths: &[String], status: u16, text: &str) {
    let before = server.world.snapshot().await;
    let recorded = server.world.outcomes().await.len();
    let mut sent = 0;
    for path in paths {
        for verb in VERBS {
            if (verb, path.as_str()) == ("POST", "sys/init") || (verb, path.as_str()) == ("PUT", "sys/init") {
                continue;
            }
            let body = matches!(verb, "POST" | "PUT" | "PATCH").then(|| json!({}));
            let answer = server.send(verb, path, Some("hvs.any"), body).await;
            sent += 1;
            let tells = ["sys/health", "sys/seal-status", "sys/init", "sys/leader"].contains(&path.as_str());
            if tells && matches!(verb, "GET" | "HEAD") {
                assert!(verb == "HEAD" || answer.body.is_object(), "{path}");
            } else if is_public(path) {
                refused_properly(verb, path, &answer, &[400, 405, 503]);
            } else {
                refused_properly(verb, path, &answer, &[status]);
                assert!(verb == "HEAD" || answer.errors() == [text], "{verb} {path}: {}", answer.text);
            }
        }
    }
    assert_eq!(server.world.outcomes().await.len() - recorded, sent, "one outcome for each request");
    assert!(server.world.snapshot().await == before, "a refused request changed the store");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_server_does_nothing_but_tell_and_unseal() {
    let (world, ..) = World::sealed().await;
    let server = TestServer::start(world, Limits::default()).await;
    closed(&server, &paths(&[]), 503, "Vault is sealed").await;
    let answer = server.send("POST", "sys/init", None, Some(json!({}))).await.expect(400);
    assert_eq!(answer.errors(), ["Vault is already initialized"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_keys_does_nothing_but_tell_and_initialise() {
    let server = TestServer::start(World::uninitialised().await, Limits::default()).await;
    closed(&server, &paths(&[]), 400, "server is not yet initialized").await;
    assert!(server.world.snapshot().await.is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_mounted_cannot_be_found_out_without_rights() {
    let (server, _) = furnished().await;
    let powerless = server.token(json!({"policies": ["nothing"], "no_default_policy": true})).await;
    let shape = |answer: Answer| (answer.status, answer.headers["content-type"].clone(), answer.text);
    for token in [None, Some("hvs.bad"), Some(powerless.as_str())] {
        for verb in VERBS {
            for suffix in ["", "/data/x", "/x", "/x?help=1", "?list=true", "/config"] {
                let mut seen = Vec::new();
                for mount in ["secret", "kv1", "none", "auth/none", "sec"] {
                    let body = matches!(verb, "POST" | "PUT" | "PATCH").then(|| json!({}));
                    seen.push(shape(server.send(verb, &format!("{mount}{suffix}"), token, body).await));
                }
                assert!(seen.iter().all(|one| *one == seen[0]), "{verb} {suffix}: {seen:?}");
            }
            for path in ["sys/internal/ui/mounts/secret", "sys/internal/ui/mounts/none"] {
                let answer = server.send(verb, path, token, Some(json!({}))).await;
                assert_eq!(answer.status, 403, "{verb} {path}: {}", answer.text);
            }
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_in_no_table_does_not_exist_even_for_root() {
    let (server, _) = furnished().await;
    for path in [
        "nothing",
        "sys",
        "sys/raw",
        "sys/raw/core/x",
        "sys/policies",
        "auth",
        "auth/token",
        "identity/x",
        "Sys/health",
    ] {
        for verb in VERBS {
            let answer = server.send(verb, path, Some(&server.root), Some(json!({}))).await;
            assert_eq!(answer.status, 404, "{verb} {path}: {}", answer.text);
        }
    }
    let answer = server.operator().get("nothing/at/all").await;
    assert_eq!(answer.errors(), ["no handler for route \"nothing/at/all\". route entry not found."]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_takes_the_operations_of_its_line_and_no_others() {
    use strongroom_core::Operation;
    let (server, _) = furnished().await;
    for (kind, endpoint) in walk_routes() {
        let path = format!("{}{}", mount_of(kind), example(endpoint.pattern));
        for (verb, operation) in [
            ("GET", Operation::Read),
            ("LIST", Operation::List),
            ("PUT", Operation::Write),
            ("PATCH", Operation::Patch),
            ("DELETE", Operation::Delete),
        ] {
            // Without the body that they need, so that nothing happens.
            if !endpoint.operations.contains(&operation) {
                let answer = server.send(verb, &path, Some(&server.root), Some(json!({}))).await;
                assert_eq!(answer.status, 405, "{verb} {path}: {}", answer.text);
                assert_eq!(answer.errors(), ["unsupported operation"]);
            }
        }
    }
    for verb in ["TRACE", "OPTIONS", "CONNECT", "FOO", "list", "get"] {
        if verb == "CONNECT" {
            continue;
        }
        let answer = server.send(verb, "sys/health", Some(&server.root), None).await;
        assert_eq!(answer.status, 405, "{verb}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn help_is_for_who_has_to_do_with_the_mount() {
    let (server, _) = furnished().await;
    server.policy("app", r#"path "secret/data/app/*" { capabilities = ["read"] }"#).await;
    let app = server.token(json!({"policies": ["app"], "no_default_policy": true})).await;
    let help = server.by(&app).get("secret/data/anything?help=1").await.expect(200);
    assert!(help.text_at("/help").contains("Reads, writes, patches or hides a secret"), "{}", help.text);
    server.by(&app).get("kv1/there?help=1").await.expect(403);
    server.by("").get("secret/data/anything?help=1").await.expect(403);
    assert_eq!(help.at("/data"), &Value::Null);
    let whole = server.by(&app).get("secret?help=1").await.expect(200);
    assert!(whole.text_at("/help").contains("    data/{path..}\n        Reads, writes"), "{}", whole.text);
    server.by(&app).get("kv1?help=1").await.expect(403);
    server.by("").get("secret?help=1").await.expect(403);
    for (path, line) in
        [("sys", "policies/acl"), ("auth/token", "lookup-self"), ("auth/approle", "role/{name}/role-id")]
    {
        let whole = server.operator().get(&format!("{path}?help=1")).await.expect(200);
        assert!(whole.text_at("/help").contains(line), "{path}: {}", whole.text);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_has_help_whatever_it_takes_and_asking_for_it_does_nothing() {
    let (server, routes) = furnished().await;
    let before = server.world.snapshot().await;
    let ours = walk_routes().into_iter().filter(|(kind, _)| *kind != "public");
    let ours = ours.map(|(kind, endpoint)| format!("{}{}", mount_of(kind), example(endpoint.pattern)));
    for path in ours.chain(routes) {
        let help = server.operator().get(&format!("{path}?help=1")).await.expect(200);
        assert!(!help.text_at("/help").is_empty() && help.at("/data").is_null(), "{path}: {}", help.text);
        server.by("").get(&format!("{path}?help=1")).await.expect(403);
    }
    server.operator().get("sys/no/such/endpoint?help=1").await.expect(404);
    assert!(server.world.snapshot().await == before, "somebody who asked for help changed something");
    server.stop().await;
}

/// Names of fields that endpoints know, so that their readers see the canaries. Without those that an error may quote,
/// because they name a place or hold a policy's text: `from`, `to`, `policy`, `rules`.
const FIELDS: [&str; 43] = [
    "token",
    "accessor",
    "policies",
    "ttl",
    "lease",
    "explicit_max_ttl",
    "period",
    "num_uses",
    "meta",
    "metadata",
    "id",
    "name",
    "type",
    "display_name",
    "renewable",
    "no_parent",
    "increment",
    "paths",
    "path",
    "config",
    "options",
    "description",
    "data",
    "versions",
    "custom_metadata",
    "max_versions",
    "delete_version_after",
    "cas_required",
    "role_id",
    "secret_id",
    "token_policies",
    "token_ttl",
    "token_bound_cidrs",
    "secret_id_num_uses",
    "bind_secret_id",
    "password",
    "mount_accessor",
    "canonical_id",
    "disabled",
    "input",
    "bytes",
    "format",
    "key",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_never_repeats_a_value_nor_does_the_trail() {
    let (server, methods) = furnished().await;
    let mut paths = paths(&methods);
    paths.retain(|path| !["sys/seal", "sys/init"].contains(&path.as_str()));
    let canary = "canary-7f3a";
    let mut bodies: Vec<String> = Vec::new();
    for shape in [json!(canary), json!({"x": canary}), json!([canary, {"y": canary}]), json!({canary: [canary]})] {
        let all = FIELDS.iter().map(|field| ((*field).to_owned(), shape.clone())).collect();
        bodies.push(Value::Object(all).to_string());
        bodies.push(json!({"data": shape, "options": {"cas": shape}, "config": {"max_lease_ttl": shape}}).to_string());
        bodies.push(json!({"type": "kv", "config": shape, "options": shape}).to_string());
        bodies.push(json!({"policies": ["default"], "ttl": shape}).to_string());
    }
    bodies.push(format!("{{\"data\": {{\"a\": \"{canary}\"}}, \"b\": {canary}}}"));
    bodies.push(canary.to_owned());
    let mut refused = 0;
    for path in &paths {
        for verb in ["POST", "PATCH", "DELETE"] {
            for body in &bodies {
                let headers = [("X-Vault-Token", server.root.as_str())];
                let target = format!("/v1/{path}");
                let answer = server.send_raw(verb, &target, &headers, body.clone().into_bytes()).await;
                if answer.status.is_success() || answer.at("/data") != &Value::Null {
                    continue;
                }
                refused += 1;
                // What kind of plug-in was asked for is no secret, and helps.
                let told = answer.text.replace(&format!("catalog: {canary}"), "");
                assert!(!told.contains(canary), "{verb} {path} {body}: {}", answer.text);
            }
        }
    }
    println!("{refused} refusals without a value");
    for entry in server.world.entries().await {
        let entry = entry.to_string().replace(&format!("catalog: {canary}"), "");
        // The names of fields stand in the trail; what was sent in them does not.
        let entry = entry.replace(&format!("\"{canary}\":"), "");
        assert!(!entry.contains(canary), "{entry}");
    }
    server.stop().await;
}

#[test]
fn the_page_of_the_api_names_every_system_route() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/api.md")).unwrap();
    for (kind, endpoint) in walk_routes() {
        if matches!(kind, "system" | "public") {
            let name = format!("`{}`", endpoint.pattern.trim_start_matches("sys/"));
            assert!(page.contains(&name), "docs/api.md does not name {name}");
        }
    }
}

#[tokio::test]
async fn names_that_an_endpoint_does_not_read_are_told_where_it_answers_with_a_body() {
    let (server, methods) = furnished().await;
    for (kind, pattern, _) in walk_fields() {
        let is_ours = walk_routes().iter().any(|(of, endpoint)| *of == kind && endpoint.pattern == pattern);
        let is_made =
            ["auth/", ""].iter().any(|class| methods.contains(&format!("{class}{kind}/{}", example(pattern))));
        assert!(is_ours || is_made, "{kind} {pattern}");
    }
    let operator = server.operator();
    let ignored = |names: &str| json!([format!("Endpoint ignored these unrecognized parameters: [{names}]")]);
    let misspelt = json!({"polices": ["a"], "ttl": "1h", "Meta": {}});
    let made = operator.post("auth/token/create", misspelt).await.expect(200);
    assert_eq!(made.at("/warnings"), &ignored("Meta polices"));
    let made = operator.post("auth/token/create", json!({"policies": ["a"], "ttl": "1h"})).await.expect(200);
    assert!(made.text.contains("warnings") && !made.text.contains("ignored"), "{}", made.text);
    let written = operator.post("secret/data/there", json!({"data": {"any": 1}, "optoins": {"cas": 9}})).await;
    assert_eq!(written.expect(200).at("/warnings"), &ignored("optoins"));
    // As in Vault an answer without a body stays without one, and what takes any name says nothing.
    operator.post("sys/policies/acl/x", json!({"policy": "# none", "polciy": ""})).await.expect(204);
    operator.post("kv1/there", json!({"anything": 1})).await.expect(204);
    // Inside a wrapped answer it is found by who unwraps.
    let root = server.token(json!({})).await;
    let headers = [("X-Vault-Token", root.as_str()), ("X-Vault-Wrap-TTL", "60s")];
    let body = json!({"tokn": "x", "path": "a", "token": root}).to_string().into_bytes();
    let wrapped = server.send_raw("POST", "/v1/sys/capabilities", &headers, body).await.expect(200);
    let token = wrapped.text_at("/wrap_info/token");
    let opened = server.by(&token).post("sys/wrapping/unwrap", json!({})).await.expect(200);
    assert_eq!(opened.at("/warnings"), &ignored("tokn"));
    let mut many: serde_json::Map<_, _> = (0..40).map(|n| (format!("name{n:02}"), json!(1))).collect();
    many.insert("path".to_owned(), json!("a"));
    let told = operator.post("sys/capabilities-self", Value::Object(many)).await;
    assert!(told.expect(200).text_at("/warnings/0").ends_with("and 8 more"));
    server.stop().await;
}
