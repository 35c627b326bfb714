//! Token roles over real HTTP: what they allow, what they give, and what a change of them does to running tokens.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::{Value, json};
use std::time::Duration;
use strongroom_testkit::{Answer, Caller, TestServer};

const HOUR: u64 = 3_600;

/// A server on which whoever has the policy `maker` may make tokens by any role, and nothing else.
async fn server_with_role(role: &str, fields: Value) -> (TestServer, String) {
    let server = TestServer::open().await;
    server.policy("maker", r#"path "auth/token/create/*" { capabilities = ["update"] }"#).await;
    server.operator().post(&format!("auth/token/roles/{role}"), fields).await.expect(204);
    let maker = server.token(json!({"policies": ["maker"]})).await;
    (server, maker)
}

async fn role(server: &TestServer, fields: Value) -> Answer {
    server.operator().post("auth/token/roles/r", fields).await
}

async fn made(caller: Caller<'_>, fields: Value) -> Answer {
    caller.post("auth/token/create/r", fields).await.expect(200)
}

async fn refused(caller: Caller<'_>, fields: Value) -> String {
    caller.post("auth/token/create/r", fields).await.expect(400).errors().join("\n")
}

fn policies(answer: &Answer) -> Vec<String> {
    let policies = answer.at("/auth/token_policies").as_array().unwrap_or_else(|| panic!("{}", answer.text));
    policies.iter().map(|policy| policy.as_str().unwrap().to_owned()).collect()
}

async fn lookup(server: &TestServer, token: &str) -> Answer {
    server.operator().post("auth/token/lookup", json!({ "token": token })).await
}

#[tokio::test]
async fn a_role_is_written_read_changed_listed_and_deleted() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.list("auth/token/roles").await.expect(404);
    operator.get("auth/token/roles/web").await.expect(404);
    operator.post("auth/token/roles/web", json!({})).await.expect(204);
    let blank = json!({
        "name": "web", "allowed_policies": [], "allowed_policies_glob": [], "disallowed_policies": [],
        "disallowed_policies_glob": [], "orphan": false, "renewable": true, "path_suffix": "",
        "allowed_entity_aliases": [], "token_type": "default-service", "token_no_default_policy": false,
        "period": 0, "token_period": 0, "explicit_max_ttl": 0, "token_explicit_max_ttl": 0,
    });
    assert_eq!(operator.get("auth/token/roles/web").await.expect(200).at("/data"), &blank);
    let fields = json!({
        "allowed_policies": "b,A,b", "allowed_policies_glob": ["team-*"], "disallowed_policies": ["c"],
        "disallowed_policies_glob": "team-x*", "orphan": "true", "renewable": false, "path_suffix": "v2",
        "allowed_entity_aliases": ["ann", "bot-*"], "token_type": "service", "token_no_default_policy": true,
        "token_period": "1h", "token_explicit_max_ttl": 7_200, "token_bound_cidrs": ["127.0.0.0/8"],
        "token_num_uses": 5,
    });
    operator.send("PUT", "auth/token/roles/web", Some(fields)).await.expect(204);
    let whole = json!({
        "name": "web", "allowed_policies": ["a", "b"], "allowed_policies_glob": ["team-*"],
        "disallowed_policies": ["c"], "disallowed_policies_glob": ["team-x*"], "orphan": true, "renewable": false,
        "path_suffix": "v2", "allowed_entity_aliases": ["ann", "bot-*"], "token_type": "service",
        "token_no_default_policy": true, "period": 3_600, "token_period": 3_600, "explicit_max_ttl": 7_200,
        "token_explicit_max_ttl": 7_200, "bound_cidrs": ["127.0.0.0/8"], "token_bound_cidrs": ["127.0.0.0/8"],
        "token_num_uses": 5,
    });
    assert_eq!(operator.get("auth/token/roles/web").await.at("/data"), &whole);
    // What is not sent stays.
    operator.post("auth/token/roles/web", json!({"path_suffix": ""})).await.expect(204);
    let read = operator.get("auth/token/roles/web").await;
    assert_eq!((read.at("/data/path_suffix"), read.at("/data/token_num_uses")), (&json!(""), &json!(5)));
    // Case counts.
    operator.post("auth/token/roles/Web", json!({})).await.expect(204);
    assert_eq!(operator.list("auth/token/roles").await.at("/data/keys"), &json!(["Web", "web"]));
    operator.delete("auth/token/roles/web").await.expect(204);
    operator.delete("auth/token/roles/web").await.expect(204);
    assert_eq!(operator.list("auth/token/roles/").await.at("/data/keys"), &json!(["Web"]));
    server.stop().await;
}

#[tokio::test]
async fn fields_that_vault_renamed_are_taken_under_both_names() {
    let server = TestServer::open().await;
    let old = json!({"period": "30m", "explicit_max_ttl": "2h", "bound_cidrs": "10.0.0.0/8"});
    role(&server, old.clone()).await.expect(204);
    let read = server.operator().get("auth/token/roles/r").await;
    assert_eq!(read.at("/data/token_period"), 1_800);
    assert_eq!(read.at("/data/token_explicit_max_ttl"), 7_200);
    assert_eq!(read.at("/data/token_bound_cidrs"), &json!(["10.0.0.0/8"]));
    let mut both = old;
    both["token_period"] = json!(60);
    let answer = role(&server, both).await.expect(200);
    let text = "Both 'token_period' and deprecated 'period' value supplied, ignoring the deprecated value";
    assert_eq!(answer.at("/warnings"), &json!([text]));
    assert_eq!(server.operator().get("auth/token/roles/r").await.at("/data/period"), 60);
    server.stop().await;
}

#[tokio::test]
async fn a_role_that_contradicts_itself_is_refused_and_changes_nothing() {
    let server = TestServer::open().await;
    role(&server, json!({"path_suffix": "kept"})).await.expect(204);
    let batch = |more: Value| {
        let mut fields = json!({"token_type": "batch", "orphan": true, "renewable": false});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    for (fields, text) in [
        (
            json!({"token_type": "batch"}),
            "'token_type' cannot be 'batch' when role is set to generate non-orphan tokens",
        ),
        (batch(json!({"renewable": true})), "generate renewable tokens"),
        (batch(json!({"token_period": 1})), "generate periodic tokens"),
        (batch(json!({"token_explicit_max_ttl": 1})), "generate tokens with an explicit max TTL"),
        (batch(json!({"token_num_uses": 1})), "generate tokens with limited use count"),
        (json!({"token_type": "gold"}), "field `token_type`"),
        (json!({"path_suffix": "a/../b"}), "error registering path suffix"),
        (json!({"path_suffix": "a b"}), "invalid characters"),
        (json!({"path_suffix": "/a"}), "invalid characters"),
        (json!({"allowed_policies": ["a b"]}), "not allowed"),
        (json!({"allowed_policies_glob": ["a *"]}), "not allowed"),
        (json!({"token_bound_cidrs": ["hunter2"]}), "field `token_bound_cidrs`"),
        (json!({"token_num_uses": -1}), "negative"),
        (json!({"token_period": "0.5s"}), "at least one second"),
        (json!({"orphan": "perhaps"}), "field `orphan`"),
    ] {
        let answer = role(&server, fields.clone()).await.expect(400);
        assert!(answer.errors()[0].contains(text), "{fields}: {}", answer.text);
        assert!(!answer.text.contains("hunter2"));
    }
    let read = server.operator().get("auth/token/roles/r").await;
    assert_eq!((read.at("/data/path_suffix"), read.at("/data/orphan")), (&json!("kept"), &json!(false)));
    for name in ["-a", "a.", "a%20b", "..%2fa"] {
        let answer = server.operator().post(&format!("auth/token/roles/{name}"), json!({})).await;
        assert!(answer.status.is_client_error(), "{name}: {}", answer.text);
    }
    assert_eq!(server.operator().list("auth/token/roles").await.at("/data/keys"), &json!(["r"]));
    server.stop().await;
}

#[tokio::test]
async fn making_and_changing_a_role_are_two_capabilities() {
    let server = TestServer::open().await;
    server.policy("founder", r#"path "auth/token/roles/*" { capabilities = ["create"] }"#).await;
    server.policy("editor", r#"path "auth/token/roles/*" { capabilities = ["update"] }"#).await;
    let founder = server.token(json!({"policies": ["founder"]})).await;
    let editor = server.token(json!({"policies": ["editor"]})).await;
    server.by(&editor).post("auth/token/roles/r", json!({})).await.expect(403);
    server.by(&founder).post("auth/token/roles/r", json!({})).await.expect(204);
    server.by(&founder).post("auth/token/roles/r", json!({})).await.expect(403);
    server.by(&editor).post("auth/token/roles/r", json!({})).await.expect(204);
    server.stop().await;
}

#[tokio::test]
async fn a_role_gives_policies_that_its_maker_does_not_have() {
    let (server, maker) = server_with_role("r", json!({"allowed_policies": ["b", "a"]})).await;
    let maker = server.by(&maker);
    assert_eq!(policies(&made(maker, json!({})).await), ["a", "b", "default"]);
    assert_eq!(policies(&made(maker, json!({"policies": ["a"]})).await), ["a", "default"]);
    assert_eq!(policies(&made(maker, json!({"policies": ["a"], "no_default_policy": true})).await), ["a"]);
    let text = refused(maker, json!({"policies": ["a", "maker"]})).await;
    let expected = r#"token policies (["a" "default" "maker"]) must be subset of the role's allowed policies (["a" "b" "default"]) or glob policies ([])"#;
    assert_eq!(text, expected);
    // Without the role the same maker may not make a token at all.
    maker.post("auth/token/create", json!({"policies": ["a"]})).await.expect(403);
    let unknown = maker.post("auth/token/create/other", json!({})).await.expect(400);
    assert_eq!(unknown.errors(), ["unknown role other"]);
    server.stop().await;
}

#[tokio::test]
async fn patterns_allow_and_disallow() {
    let fields = json!({"allowed_policies_glob": "team-*", "disallowed_policies_glob": ["*-admin"], "disallowed_policies": "team-x"});
    let (server, maker) = server_with_role("r", fields).await;
    let maker = server.by(&maker);
    assert_eq!(policies(&made(maker, json!({"policies": ["TEAM-web"]})).await), ["default", "team-web"]);
    assert_eq!(policies(&made(maker, json!({})).await), ["default"]);
    assert!(refused(maker, json!({"policies": ["other"]})).await.contains(r#"glob policies (["team-*"])"#));
    let text = refused(maker, json!({"policies": ["team-web-admin"]})).await;
    assert_eq!(text, r#"token policy "team-web-admin" is disallowed by this role"#);
    assert!(refused(maker, json!({"policies": ["team-x"]})).await.contains("disallowed by this role"));
    // Only forbidding: anything else may be asked for; without asking, the maker's own.
    role(
        &server,
        json!({"allowed_policies_glob": "", "disallowed_policies_glob": "", "disallowed_policies": ["default"]}),
    )
    .await
    .expect(204);
    assert_eq!(policies(&made(maker, json!({"policies": ["anything"]})).await), ["anything"]);
    assert!(refused(maker, json!({})).await.contains(r#"token policy "default" is disallowed"#));
    server.stop().await;
}

#[tokio::test]
async fn a_role_that_names_no_policies_gives_no_more_than_the_maker_has() {
    let (server, maker) = server_with_role("r", json!({})).await;
    let maker = server.by(&maker);
    assert_eq!(policies(&made(maker, json!({})).await), ["default", "maker"]);
    assert_eq!(policies(&made(maker, json!({"policies": ["maker"]})).await), ["default", "maker"]);
    assert_eq!(refused(maker, json!({"policies": ["other"]})).await, "child policies must be subset of parent");
    server.stop().await;
}

#[tokio::test]
async fn no_role_makes_root_of_what_is_not() {
    for fields in [
        json!({"allowed_policies": ["root"]}),
        json!({"allowed_policies_glob": ["*"]}),
        json!({"disallowed_policies": ["x"]}),
        json!({}),
    ] {
        let (server, maker) = server_with_role("r", fields.clone()).await;
        for asked in [json!({"policies": ["root"]}), json!({"policies": ["ROOT", "a"]}), json!({})] {
            let answer = server.by(&maker).post("auth/token/create/r", asked.clone()).await;
            let got = answer.at("/auth/token_policies").to_string();
            assert!(!got.contains("root"), "{fields} {asked}: {}", answer.text);
        }
        let wrapping = json!({"policies": ["response-wrapping"]});
        server.by(&maker).post("auth/token/create/r", wrapping.clone()).await.expect(400);
        server.operator().post("auth/token/create", wrapping).await.expect(400);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_token_shows_its_role_and_path_and_ends_with_its_parent_unless_the_role_makes_orphans() {
    let (server, maker) = server_with_role("Web.1", json!({"path_suffix": "v2"})).await;
    let made = server.by(&maker).post("auth/token/create/Web.1", json!({})).await.expect(200);
    let child = made.text_at("/auth/client_token");
    let shown = lookup(&server, &child).await.expect(200);
    assert_eq!(
        (shown.at("/data/role"), shown.at("/data/path")),
        (&json!("Web.1"), &json!("auth/token/create/Web.1/v2"))
    );
    assert_eq!(shown.at("/data/orphan"), &json!(false));
    server.operator().post("auth/token/roles/Web.1", json!({"orphan": true, "path_suffix": ""})).await.expect(204);
    let made = server.by(&maker).post("auth/token/create/Web.1", json!({"no_parent": false})).await.expect(200);
    assert_eq!(made.at("/auth/orphan"), &json!(true));
    let orphan = made.text_at("/auth/client_token");
    assert_eq!(lookup(&server, &orphan).await.at("/data/path"), "auth/token/create/Web.1");
    server.operator().post("auth/token/revoke", json!({"token": maker})).await.expect(204);
    lookup(&server, &child).await.expect(403);
    lookup(&server, &orphan).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn the_lesser_of_what_is_asked_and_what_the_role_says_counts() {
    let fields = json!({"token_explicit_max_ttl": "2h", "token_period": "1h", "token_num_uses": 5, "renewable": true});
    let (server, maker) = server_with_role("r", fields).await;
    let own = made(server.by(&maker), json!({})).await;
    assert_eq!((own.at("/auth/lease_duration"), own.at("/auth/num_uses")), (&json!(HOUR), &json!(5)));
    let more = json!({"explicit_max_ttl": "10h", "period": "3h", "num_uses": 9});
    // A period needs sudo, by a role too.
    assert!(refused(server.by(&maker), more.clone()).await.contains("create periodic token"));
    let more = made(server.operator(), more).await;
    assert_eq!((more.at("/auth/lease_duration"), more.at("/auth/num_uses")), (&json!(HOUR), &json!(5)));
    let warnings = [
        "Explicit max TTL specified both during creation call and in role; using the lesser value of 7200 seconds",
        "Period specified both during creation call and in role; using the lesser value of 3600 seconds",
    ];
    assert_eq!(more.at("/warnings"), &json!(warnings));
    let less = made(server.operator(), json!({"explicit_max_ttl": "30m", "num_uses": 2})).await;
    assert_eq!((less.at("/auth/lease_duration"), less.at("/auth/num_uses")), (&json!(1_800), &json!(2)));
    assert!(
        less.at("/warnings").to_string().contains("period of \\\"1h\\\" exceeded the effective max_ttl of \\\"30m\\\"")
    );
    let still = made(server.operator(), json!({"renewable": false})).await;
    assert_eq!(still.at("/auth/renewable"), &json!(false));
    role(&server, json!({"renewable": false})).await.expect(204);
    assert_eq!(made(server.operator(), json!({"renewable": true})).await.at("/auth/renewable"), &json!(false));
    server.stop().await;
}

#[tokio::test]
async fn a_role_is_read_again_at_each_renewal() {
    let (server, maker) = server_with_role("r", json!({"token_period": "1h"})).await;
    let token = made(server.by(&maker), json!({})).await.text_at("/auth/client_token");
    let renew = || async { server.by(&token).post("auth/token/renew-self", json!({})).await };
    server.world.clock.advance(Duration::from_secs(HOUR / 2));
    assert_eq!(renew().await.expect(200).at("/auth/lease_duration"), HOUR);
    role(&server, json!({"token_period": "10m"})).await.expect(204);
    assert_eq!(renew().await.expect(200).at("/auth/lease_duration"), 600);
    role(&server, json!({"token_explicit_max_ttl": "35m"})).await.expect(204);
    let capped = renew().await.expect(200);
    assert_eq!(capped.at("/auth/lease_duration"), 300);
    assert!(capped.text_at("/warnings/0").contains("exceeded the effective max_ttl of \"5m\""), "{}", capped.text);
    role(&server, json!({"token_explicit_max_ttl": "20m"})).await.expect(204);
    assert!(renew().await.expect(400).errors()[0].contains("past the max TTL, cannot renew"));
    server.operator().delete("auth/token/roles/r").await.expect(204);
    let text = "original token role \"r\" could not be found, not renewing";
    assert_eq!(renew().await.expect(400).errors(), [text]);
    lookup(&server, &token).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_role_that_grew_more_generous_frees_no_running_token() {
    let (server, maker) = server_with_role("r", json!({"token_explicit_max_ttl": "1h"})).await;
    let token = made(server.by(&maker), json!({})).await.text_at("/auth/client_token");
    role(&server, json!({"token_explicit_max_ttl": "24h"})).await.expect(204);
    server.world.clock.advance(Duration::from_secs(HOUR / 2));
    let renewed = server.by(&token).post("auth/token/renew-self", json!({"increment": "10h"})).await.expect(200);
    assert_eq!(renewed.at("/auth/lease_duration"), HOUR / 2);
    server.stop().await;
}

#[tokio::test]
async fn networks_of_the_role_bind_its_tokens() {
    let (server, maker) = server_with_role("r", json!({"token_bound_cidrs": ["127.0.0.0/8"]})).await;
    let near = made(server.by(&maker), json!({})).await.text_at("/auth/client_token");
    let shown = server.by(&near).get("auth/token/lookup-self").await.expect(200);
    assert_eq!(shown.at("/data/bound_cidrs"), &json!(["127.0.0.0/8"]));
    role(&server, json!({"token_bound_cidrs": "10.0.0.0/8"})).await.expect(204);
    let far = made(server.by(&maker), json!({})).await.text_at("/auth/client_token");
    server.by(&far).get("auth/token/lookup-self").await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn a_token_acts_for_an_alias_that_the_role_allows() {
    let (server, maker) = server_with_role("r", json!({"allowed_entity_aliases": ["ann", "bot-*"]})).await;
    let maker = server.by(&maker);
    let made_for = |alias: &'static str| async move { made(maker, json!({"entity_alias": alias})).await };
    let ann = made_for("ann").await.text_at("/auth/entity_id");
    assert!(!ann.is_empty());
    assert_eq!(made_for("ann").await.text_at("/auth/entity_id"), ann);
    assert_ne!(made_for("bot-1").await.text_at("/auth/entity_id"), ann);
    for alias in ["bob", "Ann", "xbot-1", "ann "] {
        assert_eq!(refused(maker, json!({"entity_alias": alias})).await, "invalid 'entity_alias' value", "{alias}");
    }
    let alone = server.operator().post("auth/token/create", json!({"entity_alias": "ann"})).await.expect(400);
    assert_eq!(alone.errors(), ["'entity_alias' is only allowed in combination with token role"]);
    // Its policies come with it, and it can be shut out.
    server.policy("reader", r#"path "secret/data/*" { capabilities = ["read"] }"#).await;
    let entity = format!("identity/entity/id/{ann}");
    server.operator().post(&entity, json!({"policies": ["reader"]})).await;
    let token = made_for("ann").await;
    assert_eq!(token.at("/auth/identity_policies"), &json!(["reader"]));
    let token = token.text_at("/auth/client_token");
    server.by(&token).get("secret/data/none").await.expect(404);
    server.operator().post(&entity, json!({"disabled": true})).await;
    server.by(&token).get("secret/data/none").await.expect(403);
    maker.post("auth/token/create/r", json!({"entity_alias": "ann"})).await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn tidying_finds_nothing_where_everything_is_in_order() {
    let (server, maker) = server_with_role("r", json!({})).await;
    for _ in 0..5 {
        let child = made(server.by(&maker), json!({"ttl": "1h"})).await.text_at("/auth/client_token");
        server.by(&child).post("auth/token/renew-self", json!({})).await.expect(200);
    }
    server.operator().post("auth/token/revoke", json!({"token": maker})).await.expect(204);
    let tidied = server.operator().post("auth/token/tidy", json!({})).await.expect(200);
    assert_eq!(tidied.at("/data/entries_removed"), 0);
    server
        .by(&server.token(json!({"policies": ["default"]})).await)
        .post("auth/token/tidy", json!({}))
        .await
        .expect(403);
    server.stop().await;
}
