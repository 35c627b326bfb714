//! Entities and aliases: who is behind a token, and what becomes of the token when they change.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use strongroom_testkit::{Answer, TestServer};
use tokio::task::JoinSet;

/// Makes an AppRole role (the method must be enabled) and logs in by it.
pub(crate) async fn login(server: &TestServer, role: &str, settings: Value) -> Answer {
    let operator = server.operator();
    operator.post(&format!("auth/approle/role/{role}"), settings).await.expect(204);
    again(server, role).await.expect(200)
}

/// Logs in by a role that is there.
async fn again(server: &TestServer, role: &str) -> Answer {
    let operator = server.operator();
    let role_id = operator.get(&format!("auth/approle/role/{role}/role-id")).await.expect(200).text_at("/data/role_id");
    let secret = operator.post(&format!("auth/approle/role/{role}/secret-id"), json!({})).await.expect(200);
    let credentials = json!({"role_id": role_id, "secret_id": secret.text_at("/data/secret_id")});
    server.by("").post("auth/approle/login", credentials).await
}

async fn with_approle() -> TestServer {
    let server = TestServer::open().await;
    server.operator().post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    server
}

async fn entity(server: &TestServer, id: &str) -> Value {
    server.operator().get(&format!("identity/entity/id/{id}")).await.expect(200).at("/data").clone()
}

async fn accessor_of(server: &TestServer, mount: &str) -> String {
    server.operator().get("sys/auth").await.expect(200).text_at(&format!("/data/{mount}~1/accessor"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_first_logins_at_once_make_one_entity() {
    let server = std::sync::Arc::new(with_approle().await);
    server.operator().post("auth/approle/role/web", json!({})).await.expect(204);
    let mut logins = JoinSet::new();
    for _ in 0..24 {
        let server = std::sync::Arc::clone(&server);
        logins.spawn(async move { again(&server, "web").await.expect(200).text_at("/auth/entity_id") });
    }
    let entities: BTreeSet<String> = logins.join_all().await.into_iter().collect();
    assert_eq!(entities.len(), 1, "{entities:?}");
    let listed = server.operator().list("identity/entity/id").await.expect(200);
    assert_eq!(listed.at("/data/keys"), &json!(entities));
    let aliases = server.operator().list("identity/entity-alias/id").await.expect(200);
    assert_eq!(aliases.at("/data/keys").as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_disabled_entity_can_neither_log_in_nor_use_the_tokens_it_has() {
    let server = with_approle().await;
    server.policy("mint", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let first = login(&server, "web", json!({"token_policies": "mint"})).await;
    let (token, entity) = (first.text_at("/auth/client_token"), first.text_at("/auth/entity_id"));
    let child = server.by(&token).post("auth/token/create", json!({})).await.expect(200).text_at("/auth/client_token");
    let other = again(&server, "web").await.expect(200);
    let path = format!("identity/entity/id/{entity}");
    server.operator().post(&path, json!({"disabled": true})).await.expect(204);
    // Who sees a refused token in the list of accessors can look at it and end it.
    let accessor = json!({"accessor": other.text_at("/auth/accessor")});
    server.operator().post("auth/token/lookup-accessor", accessor.clone()).await.expect(200);
    server.operator().post("auth/token/renew-accessor", accessor.clone()).await.expect(400);
    server.operator().post("auth/token/revoke-accessor", accessor.clone()).await.expect(204);
    server.operator().post("auth/token/lookup-accessor", accessor).await.expect(400);
    for token in [&token, &child] {
        server.by(token).get("auth/token/lookup-self").await.expect(403);
    }
    let refused = again(&server, "web").await.expect(403);
    assert_eq!(refused.errors(), ["permission denied: entity is disabled"]);
    server.operator().post(&path, json!({"disabled": false})).await.expect(204);
    server.by(&other.text_at("/auth/client_token")).get("auth/token/lookup-self").await.expect(403);
    server.by(&child).get("auth/token/lookup-self").await.expect(200);
    again(&server, "web").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_entity_takes_its_tokens_along_and_the_next_login_is_somebody_new() {
    let server = with_approle().await;
    let first = login(&server, "web", json!({})).await;
    let (token, entity) = (first.text_at("/auth/client_token"), first.text_at("/auth/entity_id"));
    server.operator().delete(&format!("identity/entity/id/{entity}")).await.expect(204);
    server.operator().delete(&format!("identity/entity/id/{entity}")).await.expect(204);
    server.by(&token).get("auth/token/lookup-self").await.expect(403);
    server.operator().get(&format!("identity/entity/id/{entity}")).await.expect(404);
    server.operator().list("identity/entity-alias/id").await.expect(404);
    assert_ne!(again(&server, "web").await.expect(200).text_at("/auth/entity_id"), entity);
    server.by(&token).get("auth/token/lookup-self").await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn policies_of_an_entity_reach_its_tokens_at_once_and_leave_them_at_once() {
    let server = with_approle().await;
    server.policy("read", r#"path "secret/data/a" { capabilities = ["read"] }"#).await;
    server.policy("mint", r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    server.operator().post("secret/data/a", json!({"data": {"a": 1}})).await.expect(200);
    let first = login(&server, "web", json!({"token_policies": "mint"})).await;
    let (token, entity) = (first.text_at("/auth/client_token"), first.text_at("/auth/entity_id"));
    let path = format!("identity/entity/id/{entity}");
    let web = server.by(&token);
    web.get("secret/data/a").await.expect(403);
    server.operator().post(&path, json!({"policies": ["read"]})).await.expect(204);
    web.get("secret/data/a").await.expect(200);
    let told = web.get("auth/token/lookup-self").await.expect(200);
    assert_eq!(told.at("/data/identity_policies"), &json!(["read"]));
    assert_eq!(told.at("/data/policies"), &json!(["default", "mint"]));
    // What the entity has is no part of the token: it cannot be written into a child, to outlive its withdrawal.
    let greedy = web.post("auth/token/create", json!({"policies": ["read"]})).await.expect(400);
    assert_eq!(greedy.errors(), ["child policies must be subset of parent"]);
    let again = again(&server, "web").await.expect(200);
    assert_eq!(again.at("/auth/identity_policies"), &json!(["read"]));
    assert_eq!(again.at("/auth/token_policies"), &json!(["default", "mint"]));
    assert_eq!(again.at("/auth/policies"), &json!(["default", "mint", "read"]));
    server.operator().post(&path, json!({"policies": []})).await.expect(204);
    web.get("secret/data/a").await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn an_entity_is_made_read_changed_renamed_and_found() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let body = json!({"name": "Ann", "policies": "a,b", "metadata": {"team": "blue"}, "disabled": null});
    let made = operator.post("identity/entity", body).await.expect(200);
    let id = made.text_at("/data/id");
    assert_eq!(made.at("/data/name"), "Ann");
    let read = operator.get(&format!("identity/entity/id/{id}")).await.expect(200);
    assert_eq!(read.at("/data/policies"), &json!(["a", "b"]));
    assert_eq!(read.at("/data/metadata"), &json!({"team": "blue"}));
    assert_eq!(read.at("/data/aliases"), &json!([]));
    assert_eq!(read.at("/data/disabled"), &json!(false));
    assert_eq!(read.at("/data/namespace_id"), "root");
    operator.post("identity/entity", json!({"id": id, "name": "Bea", "policies": null})).await.expect(204);
    operator.get("identity/entity/name/Ann").await.expect(404);
    let read = operator.get("identity/entity/name/Bea").await.expect(200);
    assert_eq!((read.at("/data/id"), read.at("/data/policies")), (&json!(id), &json!(["a", "b"])));
    // The old name is free, the new one taken.
    operator.post("identity/entity/name/Ann", json!({})).await.expect(200);
    let taken = operator.post(&format!("identity/entity/id/{id}"), json!({"name": "Ann"})).await.expect(400);
    assert_eq!(taken.errors(), ["entity name is already in use"]);
    assert_eq!(operator.list("identity/entity/name").await.at("/data/keys"), &json!(["Ann", "Bea"]));
    for (field, value) in [("id", id.as_str()), ("name", "Bea")] {
        let found = operator.post("identity/lookup/entity", json!({field: value})).await.expect(200);
        assert_eq!(found.at("/data/id"), &json!(id));
    }
    operator.post("identity/lookup/entity", json!({"name": "Nobody"})).await.expect(204);
    operator.post("identity/lookup/entity", json!({})).await.expect(400);
    operator.post("identity/entity", json!({"name": " x"})).await.expect(400);
    operator.post("identity/entity", json!({"name": "x", "metadata": {"k": "v".repeat(513)}})).await.expect(400);
    operator.post("identity/entity", json!({"name": "x", "metadata": {"k".repeat(129): "v"}})).await.expect(400);
    operator.delete("identity/entity/name/Bea").await.expect(204);
    operator.get(&format!("identity/entity/id/{id}")).await.expect(404);
    server.stop().await;
}

#[tokio::test]
async fn nobody_takes_over_somebody_else_by_writing_an_alias() {
    let server = with_approle().await;
    let operator = server.operator();
    let accessor = accessor_of(&server, "approle").await;
    server.policy("strong", r#"path "secret/*" { capabilities = ["read"] }"#).await;
    let victim = login(&server, "victim", json!({})).await;
    let victim_id = victim.text_at("/auth/entity_id");
    operator.post(&format!("identity/entity/id/{victim_id}"), json!({"policies": ["strong"]})).await.expect(204);
    let attacker = operator.post("identity/entity", json!({"name": "attacker"})).await.expect(200).text_at("/data/id");
    let alias = operator.get(&format!("identity/entity/id/{victim_id}")).await.expect(200);
    let (alias_id, alias_name) = (alias.text_at("/data/aliases/0/id"), alias.text_at("/data/aliases/0/name"));
    let before = entity(&server, &victim_id).await;
    // To give the victim's name to the attacker, to move the victim's alias, to rename another alias to the name.
    let body = json!({"name": alias_name, "mount_accessor": accessor, "canonical_id": attacker});
    let refused = operator.post("identity/entity-alias", body).await.expect(400);
    assert_eq!(refused.errors(), ["the alias belongs to another entity"]);
    for path in ["identity/entity-alias".to_owned(), format!("identity/entity-alias/id/{alias_id}")] {
        let body = json!({"id": alias_id, "name": alias_name, "mount_accessor": accessor, "canonical_id": attacker});
        assert!(operator.post(&path, body).await.expect(400).errors()[0].contains("cannot be moved"));
    }
    let body = json!({"name": "other", "mount_accessor": accessor, "canonical_id": attacker});
    let own = operator.post("identity/entity-alias", body).await.expect(200).text_at("/data/id");
    let renamed =
        operator.post(&format!("identity/entity-alias/id/{own}"), json!({"name": alias_name})).await.expect(400);
    assert_eq!(renamed.errors(), ["the alias belongs to another entity"]);
    // A second alias on one mount would let a template speak of either.
    let body = json!({"name": "third", "mount_accessor": accessor, "canonical_id": attacker});
    let second = operator.post("identity/entity-alias", body).await.expect(400);
    assert_eq!(second.errors(), ["the entity already has an alias on this mount"]);
    let body = json!({"name": "x", "mount_accessor": "auth_approle_00000000", "canonical_id": attacker});
    assert_eq!(operator.post("identity/entity-alias", body).await.expect(400).errors(), ["invalid mount accessor"]);
    assert_eq!(entity(&server, &victim_id).await, before);
    assert_eq!(again(&server, "victim").await.expect(200).text_at("/auth/entity_id"), victim_id);
    server.stop().await;
}

#[tokio::test]
async fn an_alias_written_before_the_first_login_decides_who_logs_in() {
    let server = with_approle().await;
    let operator = server.operator();
    let accessor = accessor_of(&server, "approle").await;
    operator.post("auth/approle/role/web", json!({})).await.expect(204);
    let role_id = operator.get("auth/approle/role/web/role-id").await.text_at("/data/role_id");
    let ann = operator.post("identity/entity", json!({"name": "ann"})).await.expect(200).text_at("/data/id");
    let body = json!({"name": role_id, "mount_accessor": accessor, "canonical_id": ann, "custom_metadata": {"a": "b"}});
    let alias = operator.post("identity/entity-alias", body.clone()).await.expect(200).text_at("/data/id");
    let same = operator.post("identity/entity-alias", body).await.expect(200);
    assert_eq!(same.at("/data"), &json!({"id": alias, "canonical_id": ann}), "writing it again changes nothing");
    assert_eq!(again(&server, "web").await.expect(200).text_at("/auth/entity_id"), ann);
    let read = operator.get(&format!("identity/entity-alias/id/{alias}")).await.expect(200);
    assert_eq!(read.at("/data/custom_metadata"), &json!({"a": "b"}));
    assert_eq!(read.at("/data/mount_path"), "auth/approle/");
    assert_eq!(read.at("/data/canonical_id"), &json!(ann));
    // An alias for nobody makes its entity, and both or neither are there.
    let body = json!({"name": "somebody", "mount_accessor": accessor});
    let made = operator.post("identity/entity-alias", body).await.expect(200);
    let other = operator.get(&format!("identity/entity/id/{}", made.text_at("/data/canonical_id"))).await.expect(200);
    assert_eq!(other.at("/data/aliases/0/name"), "somebody");
    operator.delete(&format!("identity/entity-alias/id/{alias}")).await.expect(204);
    assert_ne!(again(&server, "web").await.expect(200).text_at("/auth/entity_id"), ann);
    server.stop().await;
}

#[tokio::test]
async fn what_is_nobodys_id_is_answered_as_what_is_gone() {
    let server = with_approle().await;
    let operator = server.operator();
    for id in ["None", "not-an-id", "00000000-0000-0000-0000-000000000000"] {
        for kind in ["entity", "entity-alias"] {
            operator.delete(&format!("identity/{kind}/id/{id}")).await.expect(204);
            operator.get(&format!("identity/{kind}/id/{id}")).await.expect(404);
        }
        for field in ["id", "alias_id"] {
            operator.post("identity/lookup/entity", json!({ field: id })).await.expect(204);
        }
    }
    let accessor = accessor_of(&server, "approle").await;
    let alias = json!({"name": "web", "mount_accessor": accessor});
    let alias = operator.post("identity/entity-alias", alias).await.expect(200).text_at("/data/id");
    let at = format!("identity/entity-alias/id/{alias}");
    for (other, why) in
        [("not an accessor", "invalid mount accessor"), (&*accessor_of(&server, "token").await, "moved")]
    {
        let refused = operator.post(&at, json!({"name": "web", "mount_accessor": other})).await.expect(400);
        assert!(refused.errors()[0].contains(why), "{}", refused.text);
    }
    operator.post(&at, json!({"name": "shop", "mount_accessor": accessor})).await.expect(200);
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(operator.post("identity/entity", json!({"name": name})).await.expect(200).text_at("/data/id"));
    }
    operator.post("identity/entity/batch-delete", json!({"entity_ids": [ids[0], ids[1], "none"]})).await.expect(204);
    for (id, status) in ids.iter().zip([404, 404, 200]) {
        operator.get(&format!("identity/entity/id/{id}")).await.expect(status);
    }
    operator.post("identity/entity/batch-delete", json!({})).await.expect(400);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_of_one_alias_agree_on_its_entity() {
    let server = std::sync::Arc::new(with_approle().await);
    let accessor = accessor_of(&server, "approle").await;
    let mut writers = JoinSet::new();
    for _ in 0..16 {
        let (server, accessor) = (std::sync::Arc::clone(&server), accessor.clone());
        writers.spawn(async move {
            let body = json!({"name": "one", "mount_accessor": accessor});
            let answer = server.operator().post("identity/entity-alias", body).await;
            answer.at("/data/canonical_id").as_str().map(str::to_owned)
        });
    }
    let named: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();
    assert_eq!(named.len(), 1, "{named:?}");
    let listed = server.operator().list("identity/entity/id").await.expect(200);
    assert_eq!(listed.at("/data/keys"), &json!(named), "no entity without its alias is left over");
}

#[tokio::test]
async fn an_identity_officer_reaches_no_right_that_only_root_has() {
    let server = with_approle().await;
    let all = r#"capabilities = ["create", "read", "update", "delete", "list", "sudo"]"#;
    server.policy("officer", &format!("path \"identity/*\" {{ {all} }}")).await;
    // The policy `default` has a rule of its own for the bearer's own entity.
    let settings = json!({"token_policies": "officer", "token_no_default_policy": true});
    let officer = login(&server, "officer", settings).await;
    let (token, own) = (officer.text_at("/auth/client_token"), officer.text_at("/auth/entity_id"));
    let officer = server.by(&token);
    officer.post(&format!("identity/entity/id/{own}"), json!({"policies": ["root"]})).await.expect(400);
    officer.post(&format!("identity/entity/id/{own}"), json!({"policies": ["no-such"]})).await.expect(204);
    for path in ["sys/seal", "sys/policies/acl/x", "sys/auth/x", "auth/token/create", "sys/mounts/x"] {
        officer.post(path, json!({"type": "kv", "policy": "path \"a\" {}"})).await.expect(403);
    }
    server.stop().await;
}

#[tokio::test]
async fn merged_entities_share_their_logins_and_nobody_gains_rights_by_that() {
    let server = with_approle().await;
    let operator = server.operator();
    operator.post("sys/auth/more", json!({"type": "approle"})).await.expect(204);
    let web = login(&server, "web", json!({})).await;
    let (token, from) = (web.text_at("/auth/client_token"), web.text_at("/auth/entity_id"));
    operator.post(&format!("identity/entity/id/{from}"), json!({"policies": ["rich"]})).await.expect(204);
    let into = operator.post("identity/entity", json!({"name": "boss", "policies": ["own"]})).await.expect(200);
    let into = into.text_at("/data/id");
    let merge = async |body: Value| operator.post("identity/entity/merge", body).await;
    let both = json!({"from_entity_ids": [from], "to_entity_id": into});
    for wrong in [
        json!({}),
        json!({"from_entity_ids": [from]}),
        json!({"to_entity_id": into}),
        json!({"from_entity_ids": ["no-id"], "to_entity_id": into}),
        json!({"from_entity_ids": [into], "to_entity_id": into}),
        json!({"from_entity_ids": ["11111111-2222-4333-8444-555555555555"], "to_entity_id": into}),
        json!({"from_entity_ids": [from], "to_entity_id": "11111111-2222-4333-8444-555555555555"}),
    ] {
        merge(wrong).await.expect(400);
    }
    server.by(&token).post("identity/entity/merge", both.clone()).await.expect(403);
    // A login that was shut out does not come back under another name.
    operator.post(&format!("identity/entity/id/{from}"), json!({"disabled": true})).await.expect(204);
    merge(both.clone()).await.expect(400);
    operator.post(&format!("identity/entity/id/{from}"), json!({"disabled": false})).await.expect(204);
    merge(both.clone()).await.expect(204);
    let merged = entity(&server, &into).await;
    assert_eq!(merged["policies"], json!(["own"]));
    assert_eq!(merged["aliases"].as_array().unwrap().len(), 1);
    assert_eq!(merged["merged_entity_ids"], json!([from]));
    assert_eq!(merged["aliases"][0]["merged_from_canonical_ids"], json!([from]));
    operator.get(&format!("identity/entity/id/{from}")).await.expect(404);
    server.by(&token).get("auth/token/lookup-self").await.expect(403);
    assert_eq!(again(&server, "web").await.expect(200).text_at("/auth/entity_id"), into);
    let alias = merged["aliases"][0]["id"].as_str().unwrap().to_owned();
    let found = operator.post("identity/lookup/entity", json!({"alias_id": alias})).await.expect(200);
    assert_eq!(found.text_at("/data/id"), into);

    // Two aliases on one mount: somebody must say which one stays.
    let other = login(&server, "other", json!({})).await.text_at("/auth/entity_id");
    let own = entity(&server, &other).await["aliases"][0]["id"].as_str().unwrap().to_owned();
    merge(json!({"from_entity_ids": [other], "to_entity_id": into})).await.expect(400);
    let kept = json!({"from_entity_ids": [other], "to_entity_id": into, "conflicting_alias_ids_to_keep": [own]});
    merge(kept).await.expect(204);
    let merged = entity(&server, &into).await;
    assert_eq!((&merged["aliases"][0]["id"], &merged["merged_entity_ids"]), (&json!(own), &json!([from, other])));
    assert_eq!(again(&server, "other").await.expect(200).text_at("/auth/entity_id"), into);
    assert_ne!(again(&server, "web").await.expect(200).text_at("/auth/entity_id"), into);
    // What an entity had taken over goes on with it.
    let last = operator.post("identity/entity", json!({"name": "last"})).await.expect(200).text_at("/data/id");
    assert_eq!(entity(&server, &last).await["merged_entity_ids"], Value::Null);
    merge(json!({"from_entity_ids": [into], "to_entity_id": last})).await.expect(204);
    let last = entity(&server, &last).await;
    assert_eq!(last["merged_entity_ids"], json!([from, other, into]));
    assert_eq!(last["aliases"][0]["merged_from_canonical_ids"], json!([other, into]));
    server.stop().await;
}
