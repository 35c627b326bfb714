//! Mounts: enabled, shown, tuned, moved, disabled; and that one never sees what another keeps.

use serde_json::{Value, json};
use std::time::Duration;
use strongroom_testkit::TestServer;

#[tokio::test]
async fn mounts_are_listed_under_data_and_at_the_top() {
    let server = TestServer::open().await;
    let listed = server.operator().get("sys/mounts").await.expect(200);
    let data = listed.at("/data").as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["cubbyhole/", "identity/", "secret/", "sys/"]);
    for (path, mount) in data {
        assert_eq!(listed.body.get(path), Some(mount), "old clients read the top level");
    }
    let secret = &data["secret/"];
    let expected = json!({
        "type": "kv", "description": "key/value secret storage", "accessor": secret["accessor"], "uuid": secret["uuid"],
        "options": {"version": "2"}, "local": false, "seal_wrap": false, "external_entropy_access": false,
        "config": {"default_lease_ttl": 0, "max_lease_ttl": 0, "force_no_cache": false},
        "plugin_version": "", "running_plugin_version": "", "running_sha256": "", "deprecation_status": "supported",
    });
    assert_eq!(secret, &expected);
    assert!(secret["accessor"].as_str().unwrap().starts_with("kv_"));
    let auth = server.operator().get("sys/auth").await.expect(200);
    assert_eq!(auth.at("/data").as_object().unwrap().keys().collect::<Vec<_>>(), ["token/"]);
    assert_eq!(auth.at("/data/token~1/config/token_type"), "default-service");
    assert_eq!(auth.at("/token~1/type"), "token");
    assert!(auth.text_at("/data/token~1/accessor").starts_with("auth_token_"));
    let one = server.operator().get("sys/mounts/secret").await.expect(200);
    assert_eq!(one.at("/data"), &expected);
    let missing = server.operator().get("sys/mounts/none").await.expect(400);
    assert_eq!(missing.errors(), ["No secret engine mount at none"]);
    server.operator().get("sys/auth/none").await.expect(400);
    server.stop().await;
}

#[tokio::test]
async fn what_clients_leave_null_counts_as_left_out() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let nulls = json!({"type": "kv", "description": null, "config": null, "options": null, "local": null, "seal_wrap": null, "plugin_name": null});
    operator.post("sys/mounts/a", nulls).await.expect(204);
    let inner = json!({"type": "kv", "config": {"default_lease_ttl": null, "max_lease_ttl": "", "force_no_cache": null}, "options": {"version": null}});
    operator.post("sys/mounts/b", inner).await.expect(204);
    let nulls = json!({"type": "approle", "description": null, "config": null, "local": null, "seal_wrap": null});
    operator.post("sys/auth/a", nulls).await.expect(204);
    let nulls = json!({"description": null, "default_lease_ttl": null, "options": null, "token_type": null});
    operator.post("sys/mounts/a/tune", nulls).await.expect(204);
    for path in ["a", "b"] {
        let one = operator.get(&format!("sys/mounts/{path}")).await.expect(200);
        assert_eq!(one.at("/data/options"), &json!({"version": "1"}), "{path}");
        assert_eq!(one.at("/data/description"), "");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_versions_of_kv_are_told_apart_under_all_their_names() {
    let server = TestServer::open().await;
    let operator = server.operator();
    for (path, body, version) in [
        ("m1", json!({"type": "kv"}), "1"),
        ("m2", json!({"type": "kv", "options": {"version": "2"}}), "2"),
        ("m3", json!({"type": "kv", "options": {"version": 2}}), "2"),
        ("m4", json!({"type": "kv-v2"}), "2"),
        ("m5", json!({"type": "generic"}), "1"),
        ("m6", json!({"type": "kv", "options": {"version": "1"}}), "1"),
    ] {
        operator.send("PUT", &format!("sys/mounts/{path}"), Some(body)).await.expect(204);
        let one = operator.get(&format!("sys/mounts/{path}")).await.expect(200);
        assert_eq!((one.at("/data/type"), one.at("/data/options/version")), (&json!("kv"), &json!(version)), "{path}");
    }
    for body in
        [json!({"type": "kv", "options": {"version": "3"}}), json!({"type": "kv-v2", "options": {"version": "1"}})]
    {
        assert!(operator.post("sys/mounts/m7", body).await.expect(400).errors()[0].contains("version"));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_mounted_is_refused_with_the_reason() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/mounts/team/kv", json!({"type": "kv"})).await.expect(204);
    let kv = json!({"type": "kv"});
    for (path, body, text) in [
        ("sys/mounts/x", json!({"type": "galaxy"}), "plugin not found in the catalog: galaxy"),
        ("sys/auth/x", json!({"type": "kerberos"}), "plugin not found in the catalog: kerberos"),
        ("sys/auth/x", json!({"type": "kv"}), "plugin not found in the catalog: kv"),
        ("sys/mounts/x", json!({"type": "approle"}), "plugin not found in the catalog: approle"),
        ("sys/mounts/x", json!({}), "backend type must be specified as a string"),
        ("sys/mounts/x", json!({"type": null}), "backend type must be specified as a string"),
        ("sys/mounts/secret", kv.clone(), "path is already in use at secret/"),
        ("sys/mounts/secret/", kv.clone(), "path is already in use at secret/"),
        ("sys/mounts/secret/below", kv.clone(), "path is already in use at secret/"),
        ("sys/mounts/team", kv.clone(), "path is already in use at team/kv/"),
        ("sys/auth/token", json!({"type": "approle"}), "path is already in use at token/"),
        ("sys/mounts/sys", kv.clone(), "reserved"),
        ("sys/mounts/auth/x", kv.clone(), "reserved"),
        ("sys/mounts/identity/x", kv.clone(), "reserved"),
        ("sys/mounts/cubbyhole", kv.clone(), "reserved"),
        ("sys/mounts/x", json!({"type": "kv", "config": {"default_lease_ttl": "2h", "max_lease_ttl": "1h"}}), "longer"),
        ("sys/mounts/x", json!({"type": "kv", "config": {"default_lease_ttl": -5}}), "negative"),
        ("sys/mounts/x", json!({"type": "kv", "config": {"listing_visibility": "loud"}}), "listing_visibility"),
        ("sys/mounts/x", json!({"type": "kv", "config": [1]}), "field `config`"),
    ] {
        let refused = operator.post(path, body.clone()).await.expect(400);
        assert!(refused.errors()[0].contains(text), "{path} {body}: {}", refused.text);
    }
    for path in ["a/../b", "a//b", "a/%2e%2e/b"] {
        operator.post(&format!("sys/mounts/{path}"), kv.clone()).await.expect(400);
    }
    assert_eq!(operator.get("sys/mounts").await.at("/data").as_object().unwrap().len(), 5);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_mount_at_one_path_one_succeeds() {
    let server = std::sync::Arc::new(TestServer::open().await);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..12 {
        let server = std::sync::Arc::clone(&server);
        let path = if number % 2 == 0 { "sys/mounts/one" } else { "sys/mounts/one/below" };
        tasks.spawn(async move { server.operator().post(path, json!({"type": "kv"})).await.status.as_u16() });
    }
    let mut statuses = tasks.join_all().await;
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![204], vec![400; 11]].concat());
}

#[tokio::test]
async fn a_mount_is_tuned_and_shows_what_holds() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/mounts/test", json!({"type": "kv"})).await.expect(204);
    let tuned = operator.get("sys/mounts/test/tune").await.expect(200);
    let expected = json!({
        "default_lease_ttl": 2_764_800, "max_lease_ttl": 2_764_800, "force_no_cache": false, "description": "",
        "options": {"version": "1"},
    });
    assert_eq!(tuned.at("/data"), &expected);
    assert_eq!(tuned.at("/max_lease_ttl"), 2_764_800, "old clients read the top level");
    let change = json!({
        "default_lease_ttl": "3600s", "max_lease_ttl": "8600s", "description": "of the team", "listing_visibility": "unauth",
        "audit_non_hmac_request_keys": ["a"], "passthrough_request_headers": "X-A,X-B",
    });
    operator.post("sys/mounts/test/tune", change).await.expect(204);
    let tuned = operator.get("sys/mounts/test/tune").await.expect(200);
    for (field, value) in [
        ("default_lease_ttl", json!(3_600)),
        ("max_lease_ttl", json!(8_600)),
        ("description", json!("of the team")),
        ("listing_visibility", json!("unauth")),
        ("audit_non_hmac_request_keys", json!(["a"])),
        ("passthrough_request_headers", json!(["X-A", "X-B"])),
    ] {
        assert_eq!(tuned.at(&format!("/data/{field}")), &value, "{field}");
    }
    operator
        .post("sys/mounts/test/tune", json!({"default_lease_ttl": "system", "max_lease_ttl": -1}))
        .await
        .expect(204);
    assert_eq!(operator.get("sys/mounts/test/tune").await.at("/data/default_lease_ttl"), 2_764_800);
    for (body, text) in [
        (json!({"default_lease_ttl": "2h", "max_lease_ttl": "1h"}), "longer"),
        (json!({"options": {"version": "3"}}), "from version 1 to 2 and to no other"),
        (json!({"max_lease_ttl": "x"}), "must be a duration"),
    ] {
        assert!(operator.post("sys/mounts/test/tune", body).await.expect(400).errors()[0].contains(text));
    }
    // What is visible to anybody is shown to anybody, and nothing else.
    let visible = server.by("").get("sys/internal/ui/mounts").await.expect(200);
    let shown = json!({"test/": {"type": "kv", "description": "of the team", "options": {"version": "1"}}});
    assert_eq!(visible.at("/data/secret"), &shown);
    assert_eq!(visible.at("/data/auth"), &json!({}));
    operator.get("sys/mounts/none/tune").await.expect(400);
    operator.post("sys/mounts/none/tune", json!({})).await.expect(400);
    server.stop().await;
}

/// `vault auth tune -description=x` sends both TTLs, empty.
#[tokio::test]
async fn an_empty_ttl_in_a_tuning_leaves_what_was_set() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let config = json!({"default_lease_ttl": "10m", "max_lease_ttl": "20m"});
    operator.post("sys/auth/approle", json!({"type": "approle", "config": config})).await.expect(204);
    let sent =
        json!({"description": "machines", "default_lease_ttl": "", "max_lease_ttl": "", "force_no_cache": false});
    operator.post("sys/auth/approle/tune", sent).await.expect(204);
    let seen = operator.get("sys/auth/approle/tune").await.expect(200);
    let ttls = (seen.at("/data/default_lease_ttl"), seen.at("/data/max_lease_ttl"));
    assert_eq!((ttls, seen.at("/data/description")), ((&json!(600), &json!(1_200)), &json!("machines")));
    operator.post("sys/auth/approle/tune", json!({"default_lease_ttl": "system"})).await.expect(204);
    let seen = operator.get("sys/auth/approle").await.expect(200);
    assert_eq!(seen.at("/data/config/default_lease_ttl"), 0);
    server.stop().await;
}

#[tokio::test]
async fn the_life_of_tokens_follows_the_tuned_auth_mount() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let body = json!({"type": "approle", "config": {"default_lease_ttl": "10m", "max_lease_ttl": "20m"}});
    operator.post("sys/auth/approle", body).await.expect(204);
    let login = crate::identity::login(&server, "web", json!({})).await;
    assert_eq!(login.at("/auth/lease_duration"), 600);
    let token = login.text_at("/auth/client_token");
    let renewed = server.by(&token).post("auth/token/renew-self", json!({"increment": "5h"})).await.expect(200);
    assert_eq!(renewed.at("/auth/lease_duration"), 1_200);
    let capped = crate::identity::login(&server, "long", json!({"token_ttl": "5h", "token_max_ttl": "9h"})).await;
    assert_eq!(capped.at("/auth/lease_duration"), 1_200);
    // A longest life that was shortened holds for the tokens there are: they are not prolonged past it.
    operator.post("sys/auth/approle/tune", json!({"default_lease_ttl": "1m", "max_lease_ttl": "2m"})).await.expect(204);
    server.world.clock.advance(std::time::Duration::from_secs(180));
    let late = server.by(&token).post("auth/token/renew-self", json!({"increment": "5h"})).await.expect(400);
    assert!(late.errors()[0].starts_with("past the max TTL, cannot renew"), "{}", late.text);
    server.stop().await;
}

#[tokio::test]
async fn a_moved_mount_keeps_its_data_and_its_accessor() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/a", json!({"data": {"a": 1}})).await.expect(200);
    let accessor = operator.get("sys/mounts/secret").await.text_at("/data/accessor");
    let moved = operator.post("sys/remount", json!({"from": "secret", "to": "vault/of/team/"})).await.expect(200);
    assert_eq!(moved.at("/data/migration_id"), moved.at("/migration_id"));
    assert_eq!(operator.get("vault/of/team/data/a").await.expect(200).at("/data/data/a"), 1);
    operator.get("secret/data/a").await.expect(404);
    assert_eq!(operator.get("sys/mounts/vault/of/team").await.text_at("/data/accessor"), accessor);
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("auth/approle/role/web", json!({})).await.expect(204);
    operator.post("sys/remount", json!({"from": "auth/approle", "to": "auth/machines"})).await.expect(200);
    operator.get("auth/machines/role/web").await.expect(200);
    for (from, to) in [
        ("none", "x"),
        ("sys", "x"),
        ("auth/token", "auth/x"),
        ("vault/of/team", "sys/x"),
        ("vault/of/team", "auth/x"),
        ("auth/machines", "x"),
        ("auth/machines", "auth/token"),
        ("vault/of/team", "identity"),
        ("vault/of/team", "a/../b"),
        ("vault/of/team", "vault/of/team"),
    ] {
        let answer = operator.post("sys/remount", json!({"from": from, "to": to})).await;
        let same = from == to && answer.status == 200;
        assert!(same || answer.status == 400, "{from} {to}: {}", answer.text);
    }
    operator.post("sys/remount", json!({"to": "x"})).await.expect(400);
    server.stop().await;
}

#[tokio::test]
async fn what_was_disabled_serves_no_more_and_comes_back_empty() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.post("auth/approle/role/web", json!({})).await.expect(204);
    for number in 0..40 {
        operator.post(&format!("secret/data/{number}/a"), json!({"data": {"a": number}})).await.expect(200);
    }
    operator.delete("sys/mounts/secret").await.expect(204);
    operator.delete("sys/auth/approle").await.expect(204);
    operator.get("secret/data/1/a").await.expect(404);
    operator.get("auth/approle/role/web").await.expect(404);
    operator.delete("sys/mounts/secret").await.expect(204);
    server.world.rooms().housekeep().await;
    operator.post("sys/mounts/secret", json!({"type": "kv-v2"})).await.expect(204);
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    operator.list("secret/metadata").await.expect(404);
    operator.get("secret/data/1/a").await.expect(404);
    operator.list("auth/approle/role").await.expect(404);
    for path in ["sys/mounts/sys", "sys/mounts/identity", "sys/mounts/cubbyhole", "sys/auth/token"] {
        assert!(operator.delete(path).await.expect(400).errors()[0].starts_with("cannot unmount"), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn two_mounts_never_see_each_others_data() {
    let server = TestServer::open().await;
    let operator = server.operator();
    for (path, kind) in [("a", "kv-v2"), ("b", "kv-v2"), ("c", "kv"), ("d", "kv")] {
        operator.post(&format!("sys/mounts/{path}"), json!({"type": kind})).await.expect(204);
    }
    operator.post("a/data/x/y", json!({"data": {"in": "a"}})).await.expect(200);
    operator.post("c/x/y", json!({"in": "c"})).await.expect(204);
    operator.list("b/metadata").await.expect(404);
    operator.get("b/data/x/y").await.expect(404);
    operator.get("d/x/y").await.expect(404);
    operator.list("d/").await.expect(404);
    operator.delete("b/metadata/x/y").await.expect(204);
    operator.delete("d/x/y").await.expect(204);
    assert_eq!(operator.get("a/data/x/y").await.expect(200).at("/data/data/in"), "a");
    assert_eq!(operator.get("c/x/y").await.expect(200).at("/data/in"), "c");
    for path in ["one", "two"] {
        operator.post(&format!("sys/auth/{path}"), json!({"type": "approle"})).await.expect(204);
    }
    operator.post("auth/one/role/web", json!({})).await.expect(204);
    operator.get("auth/two/role/web").await.expect(404);
    let role_id = operator.get("auth/one/role/web/role-id").await.text_at("/data/role_id");
    let secret_id = operator.post("auth/one/role/web/secret-id", json!({})).await.text_at("/data/secret_id");
    let credentials = json!({"role_id": role_id, "secret_id": secret_id});
    server.by("").post("auth/two/login", credentials.clone()).await.expect(400);
    let first = server.by("").post("auth/one/login", credentials).await.expect(200);
    assert!(!first.text_at("/auth/entity_id").is_empty());
    server.stop().await;
}

#[tokio::test]
async fn an_auth_method_is_not_removed_by_the_way_of_secrets_engines() {
    let server = TestServer::open().await;
    server.operator().post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    server.policy("engines", r#"path "sys/mounts/*" { capabilities = ["create", "read", "update", "delete"] }"#).await;
    let token = server.token(json!({"policies": ["engines"]})).await;
    let officer = server.by(&token);
    let refused = officer.delete("sys/mounts/auth/approle").await.expect(400);
    assert_eq!(refused.errors(), ["cannot unmount \"auth/approle/\""]);
    let shown = officer.get("sys/mounts/auth/approle").await.expect(200);
    assert_eq!(shown.at("/data/type"), "approle", "the Go client and Terraform read auth methods there");
    officer.get("sys/auth/approle").await.expect(403);
    officer.delete("sys/auth/approle").await.expect(403);
    officer.post("sys/mounts/auth/other", json!({"type": "approle"})).await.expect(400);
    server.operator().get("sys/auth/approle").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn auth_methods_and_moves_need_sudo() {
    let server = TestServer::open().await;
    let without = r#"path "sys/*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;
    server.policy("without", without).await;
    let token = server.token(json!({"policies": ["without"]})).await;
    let officer = server.by(&token);
    officer.post("sys/mounts/x", json!({"type": "kv"})).await.expect(204);
    for (verb, path) in [
        ("POST", "sys/auth/x"),
        ("DELETE", "sys/auth/x"),
        ("GET", "sys/auth/x"),
        ("POST", "sys/auth/token/tune"),
        ("POST", "sys/remount"),
        ("PUT", "sys/seal"),
        ("GET", "sys/audit"),
        ("PUT", "sys/audit/x"),
        ("DELETE", "sys/audit/x"),
    ] {
        let answer = officer.send(verb, path, Some(json!({"type": "approle", "from": "x", "to": "y"}))).await;
        assert_eq!(answer.status, 403, "{verb} {path}: {}", answer.text);
        let reason = server.world.outcomes().await.pop().unwrap()["decision"]["reason"].clone();
        assert_eq!(reason, "lacks sudo", "{verb} {path}");
    }
    officer.get("sys/auth").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn the_command_line_learns_the_version_of_a_mount_from_any_path_below_it() {
    let server = TestServer::open().await;
    server.policy("app", r#"path "secret/data/app/*" { capabilities = ["read"] }"#).await;
    let token = server.token(json!({"policies": ["app"]})).await;
    for path in ["secret", "secret/", "secret/data/app", "secret/anything/below"] {
        let told = server.by(&token).get(&format!("sys/internal/ui/mounts/{path}")).await.expect(200);
        assert_eq!((told.at("/data/path"), told.at("/data/type")), (&json!("secret/"), &json!("kv")), "{path}");
        assert_eq!(told.at("/data/options/version"), "2");
    }
    for path in ["none", "secrets", "sys2/x"] {
        let refused = server.by(&token).get(&format!("sys/internal/ui/mounts/{path}")).await.expect(403);
        assert!(refused.errors()[0].contains("preflight capability check returned 403"), "{}", refused.text);
    }
    let seen = server.by(&token).get("sys/internal/ui/mounts").await.expect(200);
    assert!(seen.at("/data/secret/secret~1").is_object(), "{}", seen.text);
    // The policy `default` gives everybody something below `identity/`, nothing below a mount it does not name.
    assert!(seen.at("/data/secret/identity~1").is_object() && seen.at("/data/secret/sys~1").is_object());
    server.operator().post("sys/mounts/elsewhere", json!({"type": "kv"})).await.expect(204);
    let seen = server.by(&token).get("sys/internal/ui/mounts").await.expect(200);
    assert_eq!(seen.at("/data/secret/elsewhere~1"), &Value::Null, "{}", seen.text);
    server.stop().await;
}

#[tokio::test]
async fn the_catalog_of_plugins_lists_what_can_be_enabled_and_takes_nothing_new() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let all = operator.get("sys/plugins/catalog").await.expect(200);
    let names = |answer: &Value| -> Vec<String> {
        answer.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    assert!(names(all.at("/data/auth")).contains(&"approle".to_owned()), "{}", all.text);
    assert!(names(all.at("/data/secret")).contains(&"kv".to_owned()), "{}", all.text);
    let listed = all.at("/data/detailed").as_array().unwrap();
    let lists = ["auth", "database", "secret"].map(|class| names(all.at(&format!("/data/{class}"))).len());
    assert_eq!(listed.len(), lists.iter().sum::<usize>());
    assert!(listed.iter().all(|one| one["builtin"] == true && one["version"].as_str().unwrap().starts_with('v')));
    for class in ["auth", "database", "secret"] {
        let keys = operator.list(&format!("sys/plugins/catalog/{class}")).await.expect(200);
        assert_eq!(keys.at("/data/keys"), all.at(&format!("/data/{class}")));
    }
    let one = operator.get("sys/plugins/catalog/secret/kv").await.expect(200);
    assert_eq!(
        (one.at("/data/name"), one.at("/data/builtin"), one.at("/data/args")),
        (&json!("kv"), &json!(true), &json!([]))
    );
    operator.get("sys/plugins/catalog/secret/none").await.expect(404);
    operator.get("sys/plugins/catalog/none").await.expect(400);
    let added = json!({"sha256": "00", "command": "x"});
    operator.post("sys/plugins/catalog/secret/mine", added).await.expect(400);
    server.stop().await;
}

/// The setting was taken and read back by nobody, and the limits stayed as they were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auth_mount_is_tuned_to_when_failed_logins_shut_somebody_out() {
    let server = TestServer::open().await;
    let (operator, stranger) = (server.operator(), server.by(""));
    for kind in ["userpass", "approle"] {
        operator.post(&format!("sys/auth/{kind}"), json!({"type": kind})).await.expect(204);
    }
    let untouched = operator.get("sys/auth/userpass/tune").await.expect(200);
    assert!(!untouched.text.contains("lockout"), "{}", untouched.text);
    let tune = async |kind: &str, config: Value| {
        operator.post(&format!("sys/auth/{kind}/tune"), json!({"user_lockout_config": config})).await
    };
    // As Vault's command line sends it, and as people do.
    let sent = json!({"lockout_threshold": "2", "lockout_duration": "2m", "lockout_counter_reset_duration": "1m"});
    tune("userpass", sent).await.expect(204);
    let read = operator.get("sys/auth/userpass/tune").await.expect(200);
    for (field, value) in [
        ("user_lockout_threshold", json!(2)),
        ("user_lockout_duration", json!(120)),
        ("user_lockout_counter_reset_duration", json!(60)),
        ("user_lockout_disable", json!(false)),
    ] {
        assert_eq!(read.at(&format!("/data/{field}")), &value, "{}", read.text);
    }
    let listed = operator.get("sys/auth").await.expect(200);
    assert_eq!(listed.at("/data/userpass~1/config/user_lockout_config/user_lockout_duration"), 120);
    operator.post("auth/userpass/users/ann", json!({"password": "a long password"})).await.expect(204);
    let login = async |password: &str| {
        stranger.post("auth/userpass/login/ann", json!({"password": password})).await.status.as_u16()
    };
    let seconds = |seconds| server.world.clock.advance(Duration::from_secs(seconds));
    // A failure counts for a minute, and two shut out for two.
    assert_eq!(login("wrong").await, 400);
    seconds(60);
    assert_eq!(login("wrong").await, 400);
    assert_eq!(login("a long password").await, 200);
    assert_eq!((login("wrong").await, login("wrong").await), (400, 400));
    seconds(119);
    assert_eq!(login("a long password").await, 403);
    let locked = operator.get("sys/locked-users").await.expect(200);
    assert!(locked.text.contains("ann"), "{}", locked.text);
    seconds(1);
    assert_eq!(login("a long password").await, 200);
    // What is not sent stays; `system` is as usual; switched off it holds at once, also for who is shut out.
    assert_eq!((login("wrong").await, login("wrong").await), (400, 400));
    assert_eq!(login("a long password").await, 403);
    tune("userpass", json!({"lockout_disable": true, "lockout_duration": "system"})).await.expect(204);
    for _ in 0..6 {
        assert_eq!(login("wrong").await, 400);
    }
    assert_eq!(login("a long password").await, 200);
    let read = operator.get("sys/auth/userpass/tune").await.expect(200);
    assert_eq!(
        (read.at("/data/user_lockout_threshold"), read.at("/data/user_lockout_duration")),
        (&json!(2), &json!(0))
    );
    // A role of AppRole is shut out by its id, where that was asked for.
    operator.post("auth/approle/role/web", json!({"role_id": "web-id"})).await.expect(204);
    let secret =
        operator.post("auth/approle/role/web/secret-id", json!({})).await.expect(200).text_at("/data/secret_id");
    let login = async |role: &str, secret: &str| {
        stranger.post("auth/approle/login", json!({"role_id": role, "secret_id": secret})).await.status.as_u16()
    };
    for _ in 0..8 {
        assert_eq!(login("web-id", "wrong").await, 400);
    }
    assert_eq!(login("web-id", &secret).await, 200);
    tune("approle", json!({"lockout_threshold": 3})).await.expect(204);
    for _ in 0..2 {
        assert_eq!((login("web-id", "wrong").await, login("none", "wrong").await), (400, 400));
    }
    assert_eq!(login("web-id", &secret).await, 200, "a success ends counting");
    for _ in 0..3 {
        assert_eq!((login("web-id", "wrong").await, login("none", "wrong").await), (400, 400));
    }
    assert_eq!((login("web-id", &secret).await, login("none", "wrong").await), (403, 400));
    let accessor = operator.get("sys/auth").await.expect(200).text_at("/data/approle~1/accessor");
    operator.post(&format!("sys/locked-users/{accessor}/unlock/web-id"), json!({})).await.expect(204);
    assert_eq!(login("web-id", &secret).await, 200);
    // Where nobody is shut out, and what is no limit.
    for (kind, config) in [
        ("token", json!({"lockout_threshold": "2"})),
        ("userpass", json!({"lockout_threshold": "many"})),
        ("userpass", json!({"lockout_threshold": -1})),
        ("userpass", json!({"lockout_duration": "soon"})),
        ("userpass", json!({"lockout_duration": "20000d"})),
        ("userpass", json!("2")),
    ] {
        tune(kind, config.clone()).await.expect(400);
        assert_eq!(operator.get("sys/auth/userpass/tune").await.expect(200).at("/data"), read.at("/data"), "{config}");
    }
    server.stop().await;
}
