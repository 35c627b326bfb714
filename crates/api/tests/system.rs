//! The breadth of `sys/`: what the server tells of itself, settings of the whole server, leases, rate limits, numbers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use strongroom_api::{Bind, Limits, Listener, LogControl, Server, ServerIdentity};
use strongroom_core::Share;
use strongroom_testkit::{Answer, TestServer, World};
use tokio::sync::watch;
use tokio::task::JoinSet;

const START: &str = "2026-11-21T00:00:00Z";

async fn as_json(server: &TestServer, token: &str, headers: &[(&str, &str)], method: &str, path: &str) -> Answer {
    let mut headers = headers.to_vec();
    headers.push(("X-Vault-Token", token));
    server.send_raw(method, &format!("/v1/{path}"), &headers, Vec::new()).await
}

/// A server over a world with a listener and a log of the test's own.
async fn serve(world: World, bind: Bind, log: Option<LogControl>) -> (TestServer, watch::Sender<bool>, JoinSet<()>) {
    let listener = Listener::bind(&bind).await.unwrap();
    let address = listener.address().unwrap();
    let identity = ServerIdentity {
        version: "1.16.3".to_owned(),
        cluster_name: "test".to_owned(),
        api_addr: "https://secrets.example.com:8200".to_owned(),
        storage: "inmem".to_owned(),
        build_date: START.to_owned(),
    };
    let server = Server::new(Arc::clone(&world.strongroom), identity, Limits::default()).with_listeners(&[bind]);
    let server = Arc::new(match log {
        Some(log) => server.with_log(log),
        None => server,
    });
    let (stop, stopped) = watch::channel(false);
    let mut running = JoinSet::new();
    running.spawn(server.run(vec![listener], stopped));
    // The test server is only the client here; its own door stays unused.
    let mut client = TestServer::start(world, Limits::default()).await;
    client.address = address;
    (client, stop, running)
}

fn bind(unauthenticated_metrics: bool) -> Bind {
    Bind { address: "127.0.0.1:0".to_owned(), unauthenticated_metrics, ..Bind::default() }
}

#[tokio::test]
async fn a_caller_sees_what_its_policies_add_up_to() {
    let server = TestServer::open().await;
    server.policy("a", "path \"secret/data/x\" { capabilities = [\"read\"] }\npath \"secret/*\" { capabilities = [\"list\"] min_wrapping_ttl = \"60s\" allowed_parameters = { \"n\" = [] } }").await;
    server.policy("b", "path \"secret/data/x\" { capabilities = [\"update\", \"sudo\"] }\npath \"kv/+/x\" { capabilities = [\"read\"] }\npath \"no\" { capabilities = [\"deny\"] }").await;
    server.policy("self", "path \"sys/internal/ui/resultant-acl\" { capabilities = [\"read\"] }").await;
    let token = server.token(json!({"policies": ["a", "b", "self"], "no_default_policy": true})).await;
    let acl = server.by(&token).get("sys/internal/ui/resultant-acl").await.expect(200);
    assert_eq!(acl.at("/data/root"), false);
    assert_eq!(acl.at("/data/exact_paths/secret~1data~1x/capabilities"), &json!(["read", "sudo", "update"]));
    assert_eq!(acl.at("/data/exact_paths/no/capabilities"), &json!(["deny"]));
    let glob = json!({"secret/": {"capabilities": ["list"], "min_wrapping_ttl": 60, "allowed_parameters": {"n": []}}});
    assert_eq!(acl.at("/data/glob_paths"), &glob);
    let root = server.operator().get("sys/internal/ui/resultant-acl").await.expect(200);
    assert_eq!(root.at("/data"), &json!({"root": true}));
    server.by("").get("sys/internal/ui/resultant-acl").await.expect(403);
}

#[tokio::test]
async fn the_description_of_the_api_has_every_route_and_unique_names() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("sys/mounts/kv-v1", json!({"type": "kv"})).await.expect(204);
    let document = operator.get("sys/internal/specs/openapi").await.expect(200);
    assert_eq!(document.at("/openapi"), "3.0.2");
    let paths = document.at("/paths").as_object().unwrap();
    for path in [
        "/sys/mounts/{path}",
        "/sys/unseal",
        "/auth/token/create",
        "/auth/approle/login",
        "/secret/data/{path}",
        "/kv-v1/{path}",
        "/identity/entity",
    ] {
        assert!(paths.contains_key(path), "{path} is not among {:?}", paths.keys().collect::<Vec<_>>());
    }
    let item = &paths["/sys/policies/password/{name}/generate"];
    assert_eq!(item["parameters"][0]["name"], "name");
    assert_eq!(paths["/auth/approle/login"]["x-vault-unauthenticated"], true);
    assert_eq!(paths["/sys/auth/{path}"]["x-vault-sudo"], true);
    let mut names = BTreeSet::new();
    for (path, item) in paths {
        for verb in ["get", "post", "patch", "delete"] {
            if let Some(id) = item[verb]["operationId"].as_str() {
                assert!(names.insert(id.to_owned()), "{path} {verb} is a second {id}");
            }
        }
        let braces: Vec<&str> = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
        let named: Vec<&str> =
            item["parameters"].as_array().into_iter().flatten().map(|p| p["name"].as_str().unwrap()).collect();
        assert_eq!(braces, named, "{path}");
    }
    assert!(names.len() > 150, "{}", names.len());
    let generic = operator.get("sys/internal/specs/openapi?generic_mount_paths=true").await.expect(200);
    let paths = generic.at("/paths").as_object().unwrap();
    assert!(paths.contains_key("/auth/{approle_mount_path}/login") && paths.contains_key("/{kv_v1_mount_path}/{path}"));
    assert!(paths.contains_key("/auth/token/create") && paths.contains_key("/sys/mounts"));
}

#[tokio::test]
async fn the_description_of_the_api_tells_of_a_mount_only_to_who_has_to_do_with_it() {
    let server = TestServer::open().await;
    server.operator().post("sys/mounts/elsewhere", json!({"type": "kv"})).await.expect(204);
    server.policy("web", "path \"secret/data/web\" { capabilities = [\"read\"] }").await;
    let token = server.token(json!({"policies": ["web"], "no_default_policy": true})).await;
    let document = server.by(&token).get("sys/internal/specs/openapi").await.expect(200);
    assert!(document.text.contains("/secret/data/{path}") && !document.text.contains("elsewhere"));
    let public = server.by("").get("sys/internal/specs/openapi").await.expect(200);
    assert!(public.text.contains("/sys/seal-status") && !public.text.contains("/sys/mounts"));
}

#[tokio::test]
async fn the_server_tells_of_its_host_its_nodes_and_its_versions() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let host = operator.get("sys/host-info").await.expect(200);
    assert!(host.at("/data/memory/total").as_u64().unwrap() > 1_000_000, "{}", host.text);
    assert!(!host.at("/data/cpu").as_array().unwrap().is_empty());
    assert!(!host.text_at("/data/host/hostname").is_empty());
    assert_eq!(host.at("/data/timestamp"), START);
    let nodes = operator.get("sys/ha-status").await.expect(200);
    assert_eq!(nodes.at("/nodes/0/active_node"), true);
    assert_eq!(nodes.at("/data/nodes/0/version"), "1.16.3");
    let versions = operator.list("sys/version-history").await.expect(200);
    let version = versions.text_at("/data/keys/0");
    let known = &versions.at("/data/key_info")[&version];
    assert_eq!(known["timestamp_installed"], START);
    assert_eq!((&known["previous_version"], &known["build_date"]), (&Value::Null, &json!(START)));
    let modes = server.by("").get("sys/replication/status").await.expect(200);
    assert_eq!(modes.at("/data"), &json!({"dr": {"mode": "disabled"}, "performance": {"mode": "disabled"}}));
    let running = operator.get("sys/in-flight-req").await.expect(200);
    let own = running.body.as_object().unwrap().values().next().unwrap();
    assert_eq!(own["request_path"], "/v1/sys/in-flight-req");
    assert_eq!(own["request_method"], "GET");
    let common = server.token(json!({"policies": ["default"]})).await;
    for path in ["sys/host-info", "sys/in-flight-req"] {
        server.by(&common).get(path).await.expect(403);
    }
}

#[tokio::test]
async fn chosen_request_headers_stand_in_the_trail() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let base = "sys/config/auditing/request-headers";
    assert_eq!(operator.get(base).await.expect(200).at("/data"), &json!({"headers": {}}));
    operator.post(&format!("{base}/X-Forwarded-For"), json!({})).await.expect(204);
    operator.post(&format!("{base}/x-session"), json!({"hmac": true})).await.expect(204);
    let listed = operator.get(base).await.expect(200);
    assert_eq!(listed.at("/data/headers"), &json!({"x-forwarded-for": {"hmac": false}, "x-session": {"hmac": true}}));
    let one = operator.get(&format!("{base}/X-Session")).await.expect(200);
    assert_eq!(one.at("/data"), &json!({"X-Session": {"hmac": true}}));
    let headers = [("X-Forwarded-For", "10.1.2.3"), ("X-Session", "canary"), ("X-Other", "other")];
    as_json(&server, &server.root, &headers, "GET", "sys/mounts").await.expect(200);
    let entry = server.world.outcomes().await.into_iter().rfind(|entry| entry["path"] == "sys/mounts").unwrap();
    let noted = &entry["request_headers"];
    assert_eq!(noted["x-forwarded-for"], json!(["10.1.2.3"]));
    assert!(noted["x-session"][0].as_str().unwrap().starts_with("hmac-sha256:"), "{noted}");
    assert!(!entry.to_string().contains("canary") && !entry.to_string().contains("other"));
    operator.delete(&format!("{base}/x-session")).await.expect(204);
    let gone = operator.get(&format!("{base}/x-session")).await.expect(400);
    assert_eq!(gone.errors(), ["Could not find header in config"]);
    for (name, hmac, status) in [("X-Vault-Token", false, 400), ("Authorization", false, 400), ("Cookie", true, 204)] {
        operator.post(&format!("{base}/{name}"), json!({ "hmac": hmac })).await.expect(status);
    }
    operator.post(&format!("{base}/no%20header"), json!({})).await.expect(400);
}

#[tokio::test]
async fn a_page_of_another_origin_may_call_only_when_it_is_named() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let page = [("Origin", "https://ui.example.com")];
    let plain = as_json(&server, &server.root, &page, "GET", "sys/mounts").await.expect(200);
    assert!(!plain.headers.contains_key("access-control-allow-origin"));
    assert_eq!(operator.get("sys/config/cors").await.expect(200).at("/data"), &json!({"enabled": false}));
    for (body, text) in [
        (json!({}), "at least one origin or the wildcard must be provided"),
        (
            json!({"allowed_origins": ["*", "https://a"]}),
            "to allow all origins the '*' must be the only value for allowed_origins",
        ),
        (json!({"allowed_origins": "*", "allow_credentials": true}), "allow_credentials needs the origins to be named"),
    ] {
        assert_eq!(operator.post("sys/config/cors", body).await.expect(400).errors(), [text]);
    }
    let wanted = json!({"allowed_origins": ["https://ui.example.com"], "allowed_headers": "X-Custom"});
    operator.post("sys/config/cors", wanted).await.expect(204);
    let shown = operator.get("sys/config/cors").await.expect(200);
    assert_eq!(shown.at("/allowed_origins"), &json!(["https://ui.example.com"]));
    assert!(shown.at("/data/allowed_headers").as_array().unwrap().contains(&json!("X-Custom")));
    let allowed = as_json(&server, &server.root, &page, "GET", "sys/mounts").await.expect(200);
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://ui.example.com");
    assert_eq!(allowed.headers["vary"], "Origin");
    assert!(!allowed.headers.contains_key("access-control-allow-credentials"));
    let preflight = [page[0], ("Access-Control-Request-Method", "PUT")];
    let preflight = server.send_raw("OPTIONS", "/v1/secret/data/a", &preflight, Vec::new()).await.expect(204);
    assert!(preflight.headers["access-control-allow-methods"].to_str().unwrap().contains("LIST"));
    assert!(preflight.headers["access-control-allow-headers"].to_str().unwrap().contains("X-Vault-Token,X-Custom"));
    let wrong = [page[0], ("Access-Control-Request-Method", "TRACE")];
    server.send_raw("OPTIONS", "/v1/secret/data/a", &wrong, Vec::new()).await.expect(405);
    let stranger = [("Origin", "https://evil.example.com")];
    let refused = as_json(&server, &server.root, &stranger, "GET", "sys/mounts").await.expect(403);
    assert_eq!(refused.errors(), ["origin not allowed"]);
    operator.get("sys/mounts").await.expect(200);
    operator.delete("sys/config/cors").await.expect(204);
    as_json(&server, &server.root, &stranger, "GET", "sys/mounts").await.expect(200);
}

#[tokio::test]
async fn headers_of_the_user_interface_are_kept_and_given_back() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.list("sys/config/ui/headers").await.expect(404);
    operator.get("sys/config/ui/headers/X-Custom").await.expect(404);
    operator.post("sys/config/ui/headers/X-Custom", json!({"values": ["a", "b"]})).await.expect(204);
    let one = operator.get("sys/config/ui/headers/X-Custom").await.expect(200);
    assert_eq!(one.at("/data"), &json!({"value": "a"}));
    let all = operator.get("sys/config/ui/headers/x-custom?multivalue=true").await.expect(200);
    assert_eq!(all.at("/data"), &json!({"values": ["a", "b"]}));
    assert_eq!(operator.list("sys/config/ui/headers").await.at("/data/keys"), &json!(["x-custom"]));
    let csp = operator.post("sys/config/ui/headers/Content-Security-Policy", json!({"values": "x"})).await.expect(200);
    assert!(csp.text_at("/warnings/0").contains("Content-Security-Policy"));
    for (name, body, text) in [
        ("X-Vault-A", json!({"values": "x"}), "X-Vault headers cannot be set"),
        ("X-A", json!({}), "header and values must be specified"),
        ("X-A", json!({"values": ["a\nb"]}), "a value holds characters that no header can have"),
    ] {
        let answer = operator.post(&format!("sys/config/ui/headers/{name}"), body).await.expect(400);
        assert_eq!(answer.errors(), [text]);
    }
    operator.delete("sys/config/ui/headers/X-Custom").await.expect(204);
    operator.get("sys/config/ui/headers/X-Custom").await.expect(404);
}

#[tokio::test]
async fn settings_of_the_whole_server_outlive_a_seal() {
    let (world, shares, root) = World::sealed().await;
    let shares: Vec<String> = shares.iter().take(2).map(Share::to_hex).collect();
    let server = TestServer::start(world, Limits::default()).await;
    let unseal = async || {
        for share in &shares {
            server.by("").post("sys/unseal", json!({ "key": share })).await.expect(200);
        }
    };
    unseal().await;
    let operator = server.by(root.expose());
    operator.post("sys/config/cors", json!({"allowed_origins": "https://a"})).await.expect(204);
    operator.post("sys/quotas/rate-limit/q", json!({"rate": 1, "path": "identity"})).await.expect(204);
    operator.post("sys/config/auditing/request-headers/X-A", json!({})).await.expect(204);
    operator.get("identity/entity/id/none").await;
    operator.get("identity/entity/id/none").await.expect(429);
    operator.post("sys/seal", json!({})).await.expect(204);
    unseal().await;
    assert_eq!(operator.get("sys/config/cors").await.at("/data/allowed_origins"), &json!(["https://a"]));
    assert_eq!(operator.list("sys/quotas/rate-limit").await.at("/data/keys"), &json!(["q"]));
    assert!(operator.get("sys/config/auditing/request-headers/x-a").await.status.is_success());
    assert_eq!(operator.list("sys/version-history").await.at("/data/keys").as_array().unwrap().len(), 1);
    assert_ne!(operator.get("identity/entity/id/none").await.status, 429, "counting begins anew");
    operator.get("identity/entity/id/none").await.expect(429);
}

#[tokio::test]
async fn how_much_is_logged_can_be_changed_while_running() {
    let (world, root) = World::open().await;
    let applied = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&applied);
    let log = LogControl::new(["api", "core"], "info", move |levels| {
        seen.lock().unwrap().push(levels.clone());
        true
    });
    let (server, stop, mut running) = serve(world, bind(false), Some(log)).await;
    let operator = server.by(root.expose());
    assert_eq!(operator.get("sys/loggers").await.expect(200).at("/data"), &json!({"api": "info", "core": "info"}));
    operator.post("sys/loggers", json!({"level": "debug"})).await.expect(204);
    operator.post("sys/loggers/core", json!({"level": "ERR"})).await.expect(204);
    assert_eq!(operator.get("sys/loggers").await.at("/data"), &json!({"api": "debug", "core": "error"}));
    assert_eq!(operator.get("sys/loggers/core").await.at("/data"), &json!({"core": "error"}));
    operator.delete("sys/loggers/core").await.expect(204);
    operator.delete("sys/loggers").await.expect(204);
    assert_eq!(applied.lock().unwrap().last().unwrap()["core"], "info");
    for (path, body, text) in [
        ("sys/loggers", json!({}), "level is required"),
        ("sys/loggers", json!({"level": ""}), "level is empty"),
        ("sys/loggers", json!({"level": "loud"}), "invalid level provided: use trace, debug, info, warn or error"),
        ("sys/loggers/none", json!({"level": "warn"}), "logger \"none\" not found"),
    ] {
        assert_eq!(operator.post(path, body).await.expect(400).errors(), [text]);
    }
    let state = operator.get("sys/config/state/sanitized").await.expect(200);
    assert_eq!(state.at("/data/storage/type"), "inmem");
    assert_eq!(state.at("/data/max_lease_ttl"), 2_764_800);
    assert_eq!(state.at("/data/log_level"), "info");
    assert_eq!(state.at("/data/listeners/0/config/tls_disable"), true);
    operator.post("sys/config/reload/license", json!({})).await.expect(404);
    stop.send_replace(true);
    while running.join_next().await.is_some() {}
    server.stop().await;
}

#[tokio::test]
async fn a_lease_that_is_not_there_is_answered_as_vault_does() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let id = "database/creds/web/abcdefghijklmnopqrstuvwx";
    for (path, body, status, text) in [
        ("sys/leases/lookup", json!({"lease_id": id}), 400, "invalid lease"),
        ("sys/leases/lookup", json!({}), 400, "lease_id must be specified"),
        ("sys/leases/renew", json!({"lease_id": id}), 400, "lease not found"),
        ("sys/leases/renew/database/creds/x", json!({}), 400, "lease not found"),
        ("sys/renew", json!({}), 400, "lease_id must be specified"),
        ("sys/renew/database/creds/x", json!({"increment": 60}), 400, "lease not found"),
        ("sys/revoke", json!({}), 400, "lease_id must be specified"),
    ] {
        assert_eq!(operator.post(path, body).await.expect(status).errors(), [text], "{path}");
    }
    for path in ["sys/leases/revoke", "sys/revoke"] {
        operator.send("PUT", path, Some(json!({"lease_id": id}))).await.expect(204);
        operator.post(path, json!({"lease_id": id, "sync": false})).await.expect(202);
        operator.post(&format!("{path}-prefix/database/creds"), json!({})).await.expect(204);
        operator.post(&format!("{path}-force/database/creds"), json!({})).await.expect(204);
    }
    operator.list("sys/leases/lookup/database").await.expect(404);
    operator.list("sys/leases/lookup").await.expect(404);
    let tidied = operator.post("sys/leases/tidy", json!({})).await.expect(202);
    assert!(tidied.text_at("/warnings/0").contains("Tidy operation"));
    let counted = operator.get("sys/leases/count?type=irrevocable").await.expect(200);
    assert_eq!(counted.at("/data/lease_count"), 0);
    assert_eq!(operator.get("sys/leases?type=irrevocable").await.expect(200).at("/data/leases"), &json!([]));
    operator.get("sys/leases").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_shut_out_after_failed_logins_is_listed_and_let_in_again() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/people", json!({"type": "userpass"})).await.expect(204);
    operator.post("sys/auth/machines", json!({"type": "approle"})).await.expect(204);
    operator.post("auth/people/users/ann", json!({"password": "right"})).await.expect(204);
    let accessors = operator.get("sys/auth").await.expect(200);
    let accessor = accessors.at("/data/people~1/accessor").as_str().unwrap().to_owned();
    let machines = accessors.at("/data/machines~1/accessor").as_str().unwrap().to_owned();
    let none = json!({"by_namespace": [{"namespace_id": "root", "namespace_path": "", "counts": 0, "mount_accessors": []}],
                      "total": 0});
    assert_eq!(operator.get("sys/locked-users").await.expect(200).at("/data"), &none);
    for _ in 0..5 {
        server.by("").post("auth/people/login/ann", json!({"password": "wrong"})).await.expect(400);
        // What somebody typed into the wrong field.
        server.by("").post("auth/people/login/hunter2", json!({"password": "wrong"})).await.expect(400);
    }
    server.by("").post("auth/people/login/ann", json!({"password": "right"})).await.expect(403);
    let locked = operator.get("sys/locked-users").await.expect(200);
    let one = json!([{"mount_accessor": accessor, "counts": 1, "alias_identifiers": ["ann"]}]);
    assert_eq!((locked.at("/data/total"), locked.at("/data/by_namespace/0/mount_accessors")), (&json!(1), &one));
    let filtered = operator.get(&format!("sys/locked-users?mount_accessor={accessor}")).await.expect(200);
    assert_eq!(filtered.at("/data"), locked.at("/data"));
    let elsewhere = operator.get(&format!("sys/locked-users?mount_accessor={machines}")).await.expect(200);
    assert_eq!(elsewhere.at("/data"), &none);

    let unlock = |accessor: &str, name: &str| format!("sys/locked-users/{accessor}/unlock/{name}");
    server.policy("desk", &format!("path \"{}\" {{ capabilities = [\"update\"] }}", unlock(&accessor, "bob"))).await;
    let desk = server.token(json!({"policies": ["desk"]})).await;
    for path in [unlock(&accessor, "ann"), unlock(&accessor, "ANN"), "sys/locked-users".to_owned()] {
        server.by(&desk).post(&path, json!({})).await.expect(403);
    }
    server.by(&desk).get("sys/locked-users").await.expect(403);
    server.by(&desk).post(&unlock(&accessor, "BOB"), json!({})).await.expect(204);
    for wrong in [unlock("auth_userpass_0", "ann"), unlock(&accessor, "a,b")] {
        operator.post(&wrong, json!({})).await.expect(400);
    }
    server.by("").post("auth/people/login/ann", json!({"password": "right"})).await.expect(403);
    operator.post(&unlock(&machines, "ann"), json!({})).await.expect(204);
    for _ in 0..2 {
        operator.post(&unlock(&accessor, "Ann"), json!({})).await.expect(204);
    }
    server.by("").post("auth/people/login/ann", json!({"password": "right"})).await.expect(200);
    assert_eq!(operator.get("sys/locked-users").await.expect(200).at("/data"), &none);
    server.stop().await;
}

#[tokio::test]
async fn revoking_a_prefix_takes_the_tokens_that_came_in_below_it() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/userpass", json!({"type": "userpass"})).await.expect(204);
    operator.post("sys/auth/userpass2", json!({"type": "userpass"})).await.expect(204);
    let mut tokens = Vec::new();
    for (mount, name) in [("userpass", "ann"), ("userpass", "anna"), ("userpass2", "ann"), ("userpass", "bob")] {
        let body = json!({"password": "correct horse"});
        operator.post(&format!("auth/{mount}/users/{name}"), body.clone()).await.expect(204);
        let login = server.by("").post(&format!("auth/{mount}/login/{name}"), body).await.expect(200);
        tokens.push(login.text_at("/auth/client_token"));
    }
    let child = server.by(&tokens[0]).post("auth/token/create", json!({})).await;
    let made = server.token(json!({"policies": ["default"]})).await;
    let alive = async |token: &str| server.by(token).get("auth/token/lookup-self").await.status == 200;
    operator.post("sys/leases/revoke-prefix/auth/userpass/login/ann", json!({})).await.expect(204);
    assert!(!alive(&tokens[0]).await, "ann's own");
    if child.status == 200 {
        assert!(!alive(&child.text_at("/auth/client_token")).await, "what ann made");
    }
    assert!(alive(&tokens[1]).await && alive(&tokens[2]).await && alive(&tokens[3]).await, "names that only begin so");
    operator.post("sys/revoke-prefix/auth/userpass/", json!({})).await.expect(204);
    assert!(!alive(&tokens[1]).await && !alive(&tokens[3]).await);
    assert!(alive(&tokens[2]).await && alive(&made).await, "another mount");
    operator.post("sys/leases/revoke-force/auth/token", json!({})).await.expect(204);
    assert!(!alive(&made).await && alive(&server.root).await, "a root token has no lease");
    server.by(&tokens[2]).post("sys/leases/revoke-prefix/auth", json!({})).await.expect(403);
}

fn read_bytes(server: &TestServer) -> u64 {
    let counters = server.world.strongroom.metrics().counters();
    counters
        .iter()
        .filter(|(name, ..)| *name == "strongroom.http.request.body.bytes.total")
        .map(|(.., bytes)| bytes)
        .sum()
}

#[tokio::test]
async fn a_client_over_its_rate_is_turned_away_before_its_body_is_read() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let rule = json!({"path": "secret/", "rate": 2, "interval": "10s"});
    operator.post("sys/quotas/rate-limit/kv", rule).await.expect(204);
    for n in 0..2 {
        operator.post(&format!("secret/data/{n}"), json!({"data": {}})).await.expect(200);
    }
    let (before, entries) = (read_bytes(&server), server.world.entries().await.len());
    assert!(before > 0);
    let large = json!({"data": {"a": "x".repeat(100_000)}});
    let refused = operator.post("secret/data/3", large).await.expect(429);
    assert_eq!(refused.errors(), ["request path \"secret/data/3\": rate limit quota exceeded"]);
    assert_eq!(refused.headers["retry-after"], "10");
    assert!(!refused.headers.contains_key("x-ratelimit-limit"));
    assert_eq!(read_bytes(&server), before, "not a byte of the body");
    assert_eq!(server.world.entries().await.len(), entries, "refusals are recorded only on demand");
    operator.get("sys/mounts").await.expect(200);
    server.world.clock.advance(Duration::from_secs(10));
    operator.get("secret/data/1").await.expect(200);
    let violations = server.world.strongroom.metrics().counters();
    let violations = violations.iter().find(|(name, ..)| *name == "vault.quota.rate_limit.violation").unwrap();
    assert_eq!((&violations.1, violations.2), (&vec![("name", "kv".to_owned())], 1));
}

#[tokio::test]
async fn a_limit_holds_also_for_requests_that_are_none() {
    let server = TestServer::open().await;
    server.operator().post("sys/quotas/rate-limit/all", json!({"rate": 1, "interval": 60})).await.expect(204);
    server.operator().get("sys/mounts").await.expect(200);
    let entries = server.world.entries().await.len();
    for target in ["/v1/secret/%2e%2e/x", "/nothing", "/v1/sys/mounts"] {
        server.send_raw("GET", target, &[], Vec::new()).await.expect(429);
    }
    assert_eq!(server.world.entries().await.len(), entries);
    for path in ["sys/health", "sys/seal-status"] {
        server.by("").get(path).await.expect(200);
    }
}

#[tokio::test]
async fn clients_are_told_how_they_stand_and_refusals_are_recorded_when_an_operator_wants_it() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let shown = operator.get("sys/quotas/config").await.expect(200);
    assert_eq!(shown.at("/data/enable_rate_limit_response_headers"), false);
    assert!(shown.at("/data/rate_limit_exempt_paths").as_array().unwrap().contains(&json!("sys/health")));
    let config = json!({
        "enable_rate_limit_response_headers": true, "enable_rate_limit_audit_logging": "true",
        "rate_limit_exempt_paths": ["sys/*"],
    });
    operator.post("sys/quotas/config", config).await.expect(204);
    operator.post("sys/quotas/rate-limit/all", json!({"rate": 2.4, "block_interval": 60})).await.expect(204);
    let first = operator.get("secret/data/none").await.expect(404);
    assert_eq!(first.headers["x-ratelimit-limit"], "2");
    assert_eq!(first.headers["x-ratelimit-remaining"], "1");
    assert_eq!(first.headers["x-ratelimit-reset"], "1");
    operator.get("secret/data/none").await.expect(404);
    let refused = operator.get("secret/data/none").await.expect(429);
    assert_eq!(refused.headers["retry-after"], "60");
    let entry = server.world.outcomes().await.pop().unwrap();
    assert_eq!((&entry["path"], &entry["outcome"]["result"]), (&json!("secret/data/none"), &json!("too_many")));
    server.world.clock.advance(Duration::from_secs(30));
    operator.get("secret/data/none").await.expect(429);
    operator.get("sys/mounts").await.expect(200);
    server.world.clock.advance(Duration::from_secs(30));
    operator.get("secret/data/none").await.expect(404);
}

#[tokio::test]
async fn rate_limits_are_kept_and_the_most_specific_counts() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.list("sys/quotas/rate-limit").await.expect(404);
    let rule = json!({"path": "secret/data/a*", "rate": 100, "interval": "600", "block_interval": "600"});
    operator.post("sys/quotas/rate-limit/test-quota", rule).await.expect(204);
    let shown = operator.get("sys/quotas/rate-limit/test-quota").await.expect(200);
    let expected = json!({
        "type": "rate-limit", "name": "test-quota", "path": "secret/data/a*", "role": "", "rate": 100.0,
        "interval": 600, "block_interval": 600, "inheritable": false,
    });
    assert_eq!(shown.at("/data"), &expected);
    operator.post("sys/quotas/rate-limit/global", json!({"rate": 0.5, "interval": 600})).await.expect(204);
    assert_eq!(operator.get("secret/data/ab").await.status, 404);
    assert_eq!(operator.get("secret/data/ab").await.status, 404, "by its own rule, not by the global one");
    assert_eq!(operator.list("sys/policies/acl").await.status, 200);
    assert_eq!(operator.list("sys/policies/acl").await.status, 429);
    server.world.clock.advance(Duration::from_secs(600));
    operator.delete("sys/quotas/rate-limit/global").await.expect(204);
    assert_eq!(operator.list("sys/quotas/rate-limit").await.at("/data/keys"), &json!(["test-quota"]));
    for (name, body, text) in [
        ("x", json!({"rate": 0}), "'rate' is invalid"),
        ("x", json!({"rate": "NaN"}), "'rate' is invalid"),
        ("x", json!({}), "'rate' is invalid"),
        ("x", json!({"rate": 1, "path": "/not-exist"}), "invalid mount path \"not-exist/\""),
        (
            "x",
            json!({"rate": 1, "path": "secret/data/a*"}),
            "quota rule with similar properties exists under the name \"test-quota\"",
        ),
    ] {
        let answer = operator.post(&format!("sys/quotas/rate-limit/{name}"), body).await.expect(400);
        assert_eq!(answer.errors(), [text]);
    }
    let by_role = json!({"rate": 1, "path": "auth/token", "role": "web"});
    let answer = operator.post("sys/quotas/rate-limit/x", by_role).await.expect(400);
    assert!(answer.errors()[0].contains("role"));
    operator.list("sys/quotas/lease-count").await.expect(404);
    operator.get("sys/quotas/lease-count/x").await.expect(404);
    let leases = operator.post("sys/quotas/lease-count/x", json!({"path": "secret/"})).await.expect(400);
    assert_eq!(leases.errors(), ["'max_leases' is invalid"]);
    operator.post("sys/quotas/lease-count/x", json!({"path": "secret/", "max_leases": 7})).await.expect(204);
    let kept = operator.get("sys/quotas/lease-count/x").await.expect(200);
    assert_eq!((kept.at("/data/max_leases"), kept.at("/data/counter")), (&json!(7), &json!(0)));
    assert_eq!((kept.at("/data/type"), kept.at("/data/path")), (&json!("lease-count"), &json!("secret/")));
    assert_eq!(operator.list("sys/quotas/lease-count").await.expect(200).at("/data/keys"), &json!(["x"]));
    operator.delete("sys/quotas/lease-count/x").await.expect(204);
    operator.get("sys/quotas/lease-count/x").await.expect(404);
}

#[tokio::test]
async fn what_happens_is_counted_under_the_names_of_vault() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/a", json!({"data": {}})).await.expect(200);
    operator.get("secret/data/a").await.expect(200);
    server.token(json!({"policies": ["default"]})).await;
    server.by("nobody").get("secret/data/a").await.expect(403);
    operator.post("sys/auth/people", json!({"type": "userpass"})).await.expect(204);
    operator.post("auth/people/users/ann", json!({"password": "right", "token_ttl": "90s"})).await.expect(204);
    server.by("").post("auth/people/login/ann", json!({"password": "right"})).await.expect(200);
    assert!(!operator.get("sys/metrics?format=prometheus").await.expect(200).text.contains("vault_token_count"));
    server.world.rooms().census.count().await.unwrap();
    let page = operator.get("sys/metrics?format=prometheus").await.expect(200);
    assert_eq!(page.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let value = |name: &str| -> f64 {
        let line = page.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {}", page.text)).parse().unwrap()
    };
    assert_eq!(value("vault_core_unsealed{cluster=\"test\"}"), 1.0);
    assert_eq!(value("vault_core_handle_request_count"), 6.0);
    assert_eq!(value("vault_core_handle_login_request_count"), 1.0);
    // Of changes only: a read is recorded once.
    assert_eq!((value("vault_audit_log_request_count"), value("vault_audit_log_response_count")), (5.0, 7.0));
    assert_eq!(value("vault_audit_log_request_failure"), 0.0);
    // The root token, the one made by hand, and the login.
    assert_eq!(value("vault_token_count{cluster=\"test\",namespace=\"root\"}"), 3.0);
    assert_eq!(value("vault_token_count_by_auth{cluster=\"test\",namespace=\"root\",auth_method=\"userpass\"}"), 1.0);
    assert_eq!(value("vault_token_count_by_policy{cluster=\"test\",namespace=\"root\",policy=\"default\"}"), 2.0);
    assert_eq!(value("vault_token_count_by_ttl{cluster=\"test\",namespace=\"root\",creation_ttl=\"10m\"}"), 1.0);
    assert_eq!(value("vault_identity_entity_count{cluster=\"test\",namespace=\"root\"}"), 1.0);
    let ann = "{cluster=\"test\",namespace=\"root\",auth_method=\"userpass\",mount_point=\"auth/people/\"}";
    assert_eq!(value(&format!("vault_identity_entity_alias_count{ann}")), 1.0);
    assert_eq!(value("vault_core_locked_users{cluster=\"test\",namespace=\"root\"}"), 0.0);
    assert_eq!(value("vault_secret_kv_count{cluster=\"test\",namespace=\"root\",mount_point=\"secret/\"}"), 1.0);
    assert_eq!(value("vault_core_in_flight_requests"), 1.0);
    assert_eq!(value("vault_route_read_secret__count"), 1.0);
    assert_eq!(value("vault_route_update_secret__count"), 1.0);
    assert!(value("vault_runtime_sys_bytes") > 1_000_000.0);
    let made = |method: &str, mount: &str, life: &str| {
        let labels =
            format!("auth_method=\"{method}\",mount_point=\"{mount}\",creation_ttl=\"{life}\",token_type=\"service\"");
        value(&format!("vault_token_creation{{cluster=\"test\",namespace=\"root\",{labels}}}"))
    };
    assert_eq!((made("token", "auth/token/", "+Inf"), made("userpass", "auth/people/", "10m")), (1.0, 1.0));
    let denied = "{api=\"vault\",op=\"read\",outcome=\"denied\"}";
    assert_eq!(value(&format!("strongroom_http_request_duration_seconds_count{denied}")), 1.0);
    let bucket = "{api=\"vault\",op=\"read\",outcome=\"denied\",le=\"+Inf\"}";
    assert_eq!(value(&format!("strongroom_http_request_duration_seconds_bucket{bucket}")), 1.0);
    assert!(value("strongroom_audit_chain_height") > 0.0);
    let mut types = BTreeSet::new();
    for line in page.text.lines() {
        match line.strip_prefix("# TYPE ") {
            Some(kind) => assert!(types.insert(kind.to_owned()), "{kind} twice"),
            None => assert!(line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()), "{line}"),
        }
    }
    let json = operator.get("sys/metrics").await.expect(200);
    let gauges = json.at("/Gauges").as_array().unwrap();
    assert!(gauges.iter().any(|gauge| gauge["Name"] == "vault.core.unsealed" && gauge["Value"] == json!(1.0)));
    let samples = json.at("/Samples").as_array().unwrap();
    assert!(samples.iter().any(|sample| sample["Name"] == "vault.core.handle_request"));
    operator.get("sys/metrics?format=xml").await.expect(400);
    server.by("").get("sys/metrics").await.expect(403);
}

#[tokio::test]
async fn a_dashboard_made_for_vault_finds_what_it_asks_for() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let page = async || operator.get("sys/metrics?format=prometheus").await.expect(200).text;
    let value = |page: &str, name: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
    };
    let before = page().await;
    let more = |page: &str, name: &str| value(page, name) - value(&before, name);
    server.policy("a", "path \"secret/*\" { capabilities = [\"read\"] }").await;
    operator.get("sys/policies/acl/a").await.expect(200);
    operator.list("sys/policies/acl").await.expect(200);
    operator.delete("sys/policies/acl/a").await.expect(204);
    let token = server.token(json!({"policies": ["default"], "ttl": "1h", "num_uses": 9})).await;
    server.by(&token).post("auth/token/renew-self", json!({})).await.expect(200);
    server.by(&token).post("auth/token/revoke-self", json!({})).await.expect(204);
    operator.post("sys/auth/people", json!({"type": "userpass"})).await.expect(204);
    operator.post("auth/people/users/ann", json!({"password": "right"})).await.expect(204);
    server.by("").post("auth/people/login/ann", json!({"password": "right"})).await.expect(200);
    let after = page().await;
    let seen = |name: &str| more(&after, name);
    for verb in ["set", "delete"] {
        assert_eq!(seen(&format!("vault_policy_{verb}_policy_count")), 1.0, "{verb}");
    }
    assert_eq!(seen("vault_policy_list_policies_count"), 1.0);
    // By name, and for the policy `default` of the token.
    assert!(seen("vault_policy_get_policy_count") >= 2.0);
    assert_eq!(seen("vault_token_create_count"), 2.0);
    // Two were made, one was renewed and used twice.
    assert_eq!(seen("vault_token_store_count"), 5.0);
    assert_eq!((seen("vault_token_revoke_count"), seen("vault_token_revoke_tree_count")), (1.0, 1.0));
    assert_eq!((seen("vault_expire_renew_token_count"), seen("vault_expire_revoke_by_token_count")), (1.0, 1.0));
    assert_eq!(seen("vault_token_createAccessor_count"), 2.0);
    assert_eq!(seen("vault_identity_upsert_entity_txn_count"), 1.0);
    let ann = "{namespace=\"root\",auth_method=\"userpass\",mount_point=\"auth/people/\"}";
    assert_eq!(value(&after, &format!("vault_identity_entity_creation{ann}")), 1.0);
    for other in ["vault_token_lookup_count", "vault_core_fetch_acl_and_token_count"] {
        assert_eq!(seen(other), seen("vault_core_check_token_count"), "{other}");
    }
    assert!(seen("vault_barrier_put_count") >= 7.0 && seen("vault_barrier_list_count") >= 1.0);
    assert!(value(&after, "vault_core_mount_table_num_entries{type=\"auth\",local=\"false\"}") >= 2.0);
    let memory = value(&after, "vault_runtime_alloc_bytes");
    assert!(memory > 0.0 && memory <= value(&after, "vault_runtime_sys_bytes"));
    assert!(value(&after, "vault_runtime_num_goroutines") >= 1.0);
    let (files, most) = (value(&after, "process_open_fds"), value(&after, "process_max_fds"));
    assert!(files > 2.0 && files < most && value(&after, "process_cpu_seconds_total") > 0.0);
    assert!(value(&after, "process_start_time_seconds") > 1_700_000_000.0);
    // Nothing of this is for a read of what memory holds.
    operator.post("secret/data/a", json!({"data": {"a": "1"}})).await.expect(200);
    operator.get("secret/data/a").await.expect(200);
    let before = page().await;
    operator.get("secret/data/a").await.expect(200);
    let after = page().await;
    for name in ["barrier_get", "barrier_put", "barrier_list", "policy_get_policy", "token_store", "token_create"] {
        let name = format!("vault_{name}_count");
        assert_eq!(value(&before, &name), value(&after, &name), "{name}");
    }
}

#[tokio::test]
async fn tokens_and_entities_are_counted_when_somebody_asks() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let count = async |what: &str, name: &str| {
        let answer = operator.get(&format!("sys/internal/counters/{what}")).await.expect(200);
        answer.at(&format!("/data/counters/{name}/total")).as_u64().unwrap()
    };
    let (tokens, entities) = (count("tokens", "service_tokens").await, count("entities", "entities").await);
    server.token(json!({"policies": ["default"], "ttl": "1h"})).await;
    operator.post("auth/token/create", json!({"type": "batch", "policies": ["default"]})).await.expect(200);
    operator.post("identity/entity", json!({"name": "ann"})).await.expect(200);
    assert_eq!(count("tokens", "service_tokens").await, tokens + 1, "batch tokens are nowhere kept");
    assert_eq!(count("entities", "entities").await, entities + 1);
    server.world.clock.advance(Duration::from_secs(7_200));
    assert_eq!(count("tokens", "service_tokens").await, tokens, "a dead one counts no more");
    server.by("").get("sys/internal/counters/tokens").await.expect(403);
    operator.get("sys/internal/counters/activity").await.expect(204);
    let config = operator.get("sys/internal/counters/config").await.expect(200);
    assert_eq!(config.at("/data/queries_available"), false);
}

#[tokio::test]
async fn metrics_are_for_anybody_only_where_the_listener_says_so() {
    let (world, _, _) = World::sealed().await;
    let (server, stop, mut running) = serve(world, bind(true), None).await;
    let page = server.by("").get("sys/metrics?format=prometheus").await.expect(200);
    assert!(page.text.contains("vault_core_unsealed{cluster=\"test\"} 0\n"), "{}", page.text);
    assert!(page.text.contains("strongroom_seal_state 1\n"));
    server.by("").post("sys/metrics", json!({})).await.expect(405);
    server.by("").get("sys/mounts").await.expect(503);
    assert!(server.world.outcomes().await.iter().any(|entry| entry["path"] == "sys/metrics"));
    stop.send_replace(true);
    while running.join_next().await.is_some() {}
    server.stop().await;
}
