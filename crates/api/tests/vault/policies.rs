//! Policies: written, read, in force at once, and what they decide.

use serde_json::{Value, json};
use std::sync::Arc;
use strongroom_core::secret::{MetadataChange, ParticularsChange, SecretValue, WriteOptions};
use strongroom_core::{Access, Ask, CoreError, Fields, Object, Operation, SecretAct, Source, Visit};
use strongroom_model::{
    Clock, MountPath, NamespacePath, RequestId, RequestPath, SecretPath, SecretString, VersionNumber,
};
use strongroom_testkit::TestServer;

#[tokio::test]
async fn a_policy_is_written_listed_read_and_deleted_under_both_spellings() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let text = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    operator.post("sys/policies/acl/app", json!({"policy": text})).await.expect(204);
    operator.send("PUT", "sys/policy/old", Some(json!({"rules": text}))).await.expect(204);
    for verb in ["GET", "LIST"] {
        let list = operator.send(verb, "sys/policies/acl", None).await.expect(200);
        assert_eq!(list.at("/data/keys"), &json!(["app", "default", "old", "root"]));
        assert_eq!(list.at("/keys"), &json!(["app", "default", "old", "root"]), "old clients read the top level");
        let list = operator.send(verb, "sys/policy", None).await.expect(200);
        for pointer in ["/data/keys", "/data/policies", "/keys", "/policies"] {
            assert_eq!(list.at(pointer), &json!(["app", "default", "old", "root"]), "{pointer}");
        }
    }
    let read = operator.get("sys/policies/acl/old").await.expect(200);
    assert_eq!((read.at("/data/name"), read.at("/data/policy")), (&json!("old"), &json!(text)));
    let read = operator.get("sys/policy/app").await.expect(200);
    assert_eq!((read.at("/data/name"), read.at("/data/rules")), (&json!("app"), &json!(text)));
    assert_eq!(read.at("/rules"), &json!(text));
    operator.delete("sys/policy/app").await.expect(204);
    operator.delete("sys/policy/app").await.expect(204);
    let missing = operator.get("sys/policies/acl/app").await.expect(404);
    assert_eq!(missing.text.trim(), r#"{"errors":[]}"#);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_policy_is_refused_with_the_reason() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let refused = |answer: strongroom_testkit::Answer| answer.expect(400).errors().join("\n");
    let rules = json!({"policy": "path \"a\" { capabilities = [\"read\"] }"});
    for name in ["root", "ROOT"] {
        assert_eq!(
            refused(operator.post(&format!("sys/policies/acl/{name}"), rules.clone()).await),
            "cannot update \"root\" policy"
        );
        assert_eq!(
            refused(operator.delete(&format!("sys/policies/acl/{name}")).await),
            "cannot delete \"root\" policy"
        );
    }
    assert_eq!(refused(operator.delete("sys/policies/acl/default").await), "cannot delete \"default\" policy");
    for empty in [json!({}), json!({"policy": ""}), json!({"policy": null}), json!({"rules": null})] {
        assert_eq!(
            refused(operator.post("sys/policies/acl/a", empty).await),
            "'policy' parameter not supplied or empty"
        );
    }
    for broken in ["path \"a\" {", "path \"a\" { capabilities = [\"fly\"] }", "route \"a\" {}", "{\"path\": 1}"] {
        let text = refused(operator.post("sys/policies/acl/a", json!({"policy": broken})).await);
        assert!(text.starts_with("failed to parse policy: "), "{text}");
    }
    assert_eq!(operator.list("sys/policies/acl").await.at("/data/keys"), &json!(["default", "root"]));
    let root = operator.get("sys/policies/acl/root").await.expect(200);
    assert_eq!(root.at("/data/policy"), "");
    server.stop().await;
}

#[tokio::test]
async fn a_policy_in_json_or_base64_is_the_same_policy() {
    use base64::Engine;
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/app", json!({"data": {"a": 1}})).await.expect(200);
    let json_text = json!({"path": {"secret/data/app": {"capabilities": ["read"]}}}).to_string();
    let hcl = r#"path "secret/data/app" { capabilities = ["read"] }"#;
    let base64 = base64::engine::general_purpose::STANDARD.encode(hcl);
    for (name, text) in [("json", json_text.as_str()), ("base64", &base64), ("hcl", hcl)] {
        server.policy(name, text).await;
        let token = server.token(json!({"policies": [name]})).await;
        server.by(&token).get("secret/data/app").await.expect(200);
        server.by(&token).get("secret/data/other").await.expect(403);
    }
    assert_eq!(operator.get("sys/policies/acl/base64").await.at("/data/policy"), hcl);
    server.stop().await;
}

#[tokio::test]
async fn a_change_of_a_policy_holds_from_the_next_request_on() {
    let server = TestServer::open().await;
    server.operator().post("secret/data/app", json!({"data": {"a": 1}})).await.expect(200);
    let token = server.token(json!({"policies": ["app"]})).await;
    let app = server.by(&token);
    app.get("secret/data/app").await.expect(403);
    for _ in 0..3 {
        server.policy("app", r#"path "secret/data/app" { capabilities = ["read"] }"#).await;
        app.get("secret/data/app").await.expect(200);
        app.post("secret/data/app", json!({"data": {}})).await.expect(403);
        server.policy("app", r#"path "secret/data/app" { capabilities = ["update"] }"#).await;
        app.get("secret/data/app").await.expect(403);
        app.post("secret/data/app", json!({"data": {"a": 1}})).await.expect(200);
        app.post("secret/data/app/new", json!({"data": {}})).await.expect(403);
        server.operator().delete("sys/policies/acl/app").await.expect(204);
        app.post("secret/data/app", json!({"data": {}})).await.expect(403);
    }
    server.stop().await;
}

#[tokio::test]
async fn create_and_update_are_told_apart_by_what_is_there() {
    let server = TestServer::open().await;
    server.policy("once", r#"path "secret/data/*" { capabilities = ["create"] }"#).await;
    let token = server.token(json!({"policies": ["once"]})).await;
    let once = server.by(&token);
    once.post("secret/data/a", json!({"data": {"n": 1}})).await.expect(200);
    once.post("secret/data/a", json!({"data": {"n": 2}})).await.expect(403);
    once.send("PUT", "secret/data/a", Some(json!({"data": {"n": 2}}))).await.expect(403);
    once.send("PATCH", "secret/data/a", Some(json!({"data": {"n": 2}}))).await.expect(403);
    let entries = server.world.outcomes().await;
    let of_once = entries.iter().filter(|entry| entry["path"] == "secret/data/a");
    let seen: Vec<_> =
        of_once.map(|entry| (entry["operation"].clone(), entry["decision"]["granted"].clone())).collect();
    let expected = [("create", true), ("update", false), ("update", false), ("patch", false)];
    assert_eq!(seen, expected.map(|(word, granted)| (json!(word), json!(granted))));
    server.stop().await;
}

#[tokio::test]
async fn parameters_are_limited_as_the_policy_says() {
    let server = TestServer::open().await;
    let rules = r#"
        path "auth/token/create" {
            capabilities = ["create", "update"]
            allowed_parameters = { "ttl" = ["1h", "2h"], "policies" = [] }
            required_parameters = ["ttl"]
        }"#;
    server.policy("maker", rules).await;
    let token = server.token(json!({"policies": ["maker"]})).await;
    let maker = server.by(&token);
    maker.post("auth/token/create", json!({"ttl": "1h"})).await.expect(200);
    maker.post("auth/token/create", json!({"ttl": "3h"})).await.expect(403);
    maker.post("auth/token/create", json!({})).await.expect(403);
    maker.post("auth/token/create", json!({"ttl": "1h", "num_uses": 1})).await.expect(403);
    maker.post("auth/token/create", json!({"ttl": "1h", "TTL": "3h"})).await.expect(403);
    let last = server.world.outcomes().await.pop().unwrap();
    assert!(last["decision"]["reason"].as_str().unwrap().starts_with("parameter "), "{last}");
    server.stop().await;
}

#[tokio::test]
async fn capabilities_are_told_of_self_of_a_token_and_of_an_accessor() {
    let server = TestServer::open().await;
    let operator = server.operator();
    server
        .policy(
            "app",
            r#"
        path "secret/data/app" { capabilities = ["read", "update"] }
        path "secret/data/no" { capabilities = ["deny"] }
        path "secret/metadata/*" { capabilities = ["list", "sudo"] }"#,
        )
        .await;
    let made = operator.post("auth/token/create", json!({"policies": ["app"]})).await.expect(200);
    let (token, accessor) = (made.text_at("/auth/client_token"), made.text_at("/auth/accessor"));
    let paths =
        json!(["secret/data/app", "secret/data/no", "secret/data/none", "secret/metadata/x", "/secret/data/app/"]);
    let expected = json!({
        "secret/data/app": ["read", "update"], "secret/data/no": ["deny"], "secret/data/none": ["deny"],
        "secret/metadata/x": ["list", "sudo"], "/secret/data/app/": ["read", "update"],
    });
    let by_self = server.by(&token).post("sys/capabilities-self", json!({"paths": paths})).await.expect(200);
    assert_eq!(by_self.at("/data"), &expected);
    let by_token = operator.post("sys/capabilities", json!({"token": token, "paths": paths})).await.expect(200);
    assert_eq!(by_token.at("/data"), &expected);
    let by_accessor = operator.post("sys/capabilities-accessor", json!({"accessor": accessor, "paths": paths})).await;
    assert_eq!(by_accessor.at("/data"), &expected);
    // One path alone is given under `capabilities` too, and doubled at the top for old clients.
    let one = server.by(&token).post("sys/capabilities-self", json!({"path": "secret/data/app"})).await.expect(200);
    for pointer in ["/data/capabilities", "/capabilities", "/data/secret~1data~1app"] {
        assert_eq!(one.at(pointer), &json!(["read", "update"]), "{pointer}");
    }
    let root = operator.post("sys/capabilities-self", json!({"path": "anything"})).await.expect(200);
    assert_eq!(root.at("/data/capabilities"), &json!(["root"]));
    for (path, body) in [
        ("sys/capabilities-self", json!({})),
        ("sys/capabilities-self", json!({"paths": []})),
        ("sys/capabilities-self", json!({"paths": ["a/../b"]})),
        ("sys/capabilities", json!({"paths": ["a"]})),
        ("sys/capabilities", json!({"token": "hvs.none", "paths": ["a"]})),
        ("sys/capabilities-accessor", json!({"accessor": "none", "paths": ["a"]})),
    ] {
        operator.post(path, body.clone()).await.expect(400).errors();
    }
    // Nobody asks for others without the right to.
    server.by(&token).post("sys/capabilities", json!({"token": server.root, "path": "a"})).await.expect(403);
    server.by(&token).post("sys/capabilities-self", json!({"token": server.root, "path": "a"})).await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn what_capabilities_say_is_what_the_gate_does() {
    let server = TestServer::open().await;
    server
        .policy(
            "mixed",
            r#"
        path "secret/data/a/*" { capabilities = ["read", "create", "update"] }
        path "secret/data/a/b/*" { capabilities = ["deny"] }
        path "secret/data/+/c" { capabilities = ["delete"] }
        path "secret/data/a/d" { capabilities = ["patch"] }
        path "secret/metadata/a" { capabilities = ["list"] }
        path "secret/metadata/b/" { capabilities = ["list"] }
        path "secret/metadata/*" { capabilities = ["read"] }"#,
        )
        .await;
    let token = server.token(json!({"policies": ["mixed"], "no_default_policy": true})).await;
    server.policy("ask", r#"path "sys/capabilities" { capabilities = ["update"] }"#).await;
    for path in [
        "secret/data/a/x",
        "secret/data/a/b/x",
        "secret/data/a/c",
        "secret/data/z/c",
        "secret/data/a/d",
        "secret/data/b",
        "secret/metadata/a",
        "secret/metadata/b",
        "secret/metadata/c",
    ] {
        let told = server.operator().post("sys/capabilities", json!({"token": token, "path": path})).await.expect(200);
        let told: Vec<String> = serde_json::from_value(told.at("/data/capabilities").clone()).unwrap();
        let can = |word: &str| told.iter().any(|one| one == word);
        for (verb, allowed) in [
            ("GET", can("read")),
            ("LIST", can("list")),
            ("DELETE", can("delete")),
            ("PATCH", can("patch")),
            ("POST", can("create")),
        ] {
            let body = json!({"data": {}, "options": {"cas": 99}});
            let answer = server.by(&token).send(verb, path, Some(body)).await;
            // What is allowed may still fail for want of an endpoint or a fitting value; what is not is refused.
            assert_eq!(answer.status != 403, allowed, "{verb} {path} told {told:?}: {} {}", answer.status, answer.text);
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn templates_are_filled_with_the_entity_and_fail_closed_without() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let rules = r#"
        path "secret/data/by-id/{{identity.entity.id}}/*" { capabilities = ["create", "read", "update"] }
        path "secret/data/by-name/{{identity.entity.name}}" { capabilities = ["create", "read", "update"] }
        path "secret/data/by-team/{{identity.entity.metadata.team}}" { capabilities = ["create", "read", "update"] }"#;
    server.policy("own", rules).await;
    operator.post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    let login = crate::identity::login(&server, "web", json!({"token_policies": "own"})).await;
    let (token, entity) = (login.text_at("/auth/client_token"), login.text_at("/auth/entity_id"));
    let data = json!({"data": {"a": 1}});
    let web = server.by(&token);
    web.post(&format!("secret/data/by-id/{entity}/x"), data.clone()).await.expect(200);
    web.post("secret/data/by-id/11111111-2222-4333-8444-555555555555/x", data.clone()).await.expect(403);
    web.post("secret/data/by-team/", data.clone()).await.expect(403);
    web.post("secret/data/by-team/x", data.clone()).await.expect(403);
    // Values that would reach into other paths give nothing; and no entity gives nothing.
    for team in ["*", "+", "a/b", "..", "a*", "{{identity.entity.id}}", "", "/"] {
        operator.post(&format!("identity/entity/id/{entity}"), json!({"metadata": {"team": team}})).await.expect(204);
        for path in ["x", "a/b", "*", "+", "a", "anything"] {
            web.post(&format!("secret/data/by-team/{path}"), data.clone()).await.expect(403);
        }
    }
    operator.post(&format!("identity/entity/id/{entity}"), json!({"metadata": {"team": "blue"}})).await.expect(204);
    web.post("secret/data/by-team/blue", data.clone()).await.expect(200);
    operator.post(&format!("identity/entity/id/{entity}"), json!({"name": "ann"})).await.expect(204);
    web.post("secret/data/by-name/ann", data.clone()).await.expect(200);
    let without_entity = server.token(json!({"policies": ["own"]})).await;
    for path in ["by-id/x", "by-name/ann", "by-team/blue", "by-id//x", "by-id/{{identity.entity.id}}/x"] {
        let answer = server
            .by(&without_entity)
            .post(&format!("secret/data/{}", path.replace('{', "%7b").replace('}', "%7d")), data.clone())
            .await;
        assert!([400, 403].contains(&answer.status.as_u16()), "{path}: {}", answer.text);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_default_policy_lets_bearers_look_after_their_own_token_only() {
    let server = TestServer::open().await;
    let token = server.token(json!({"policies": ["default"], "ttl": "1h"})).await;
    let other = server.token(json!({"policies": ["default"]})).await;
    let bearer = server.by(&token);
    bearer.get("auth/token/lookup-self").await.expect(200);
    bearer.post("auth/token/renew-self", json!({})).await.expect(200);
    bearer.post("sys/capabilities-self", json!({"paths": ["a"]})).await.expect(200);
    for (path, body) in [
        ("auth/token/lookup", json!({"token": other})),
        ("auth/token/revoke", json!({"token": other})),
        ("auth/token/create", json!({})),
        ("sys/policies/acl/x", json!({"policy": "path \"a\" {}"})),
        ("sys/seal", json!({})),
    ] {
        bearer.post(path, body).await.expect(403);
    }
    bearer.get("sys/mounts").await.expect(403);
    bearer.post("auth/token/revoke-self", json!({})).await.expect(204);
    bearer.get("auth/token/lookup-self").await.expect(403);
    assert_eq!(
        server.by(&other).get("auth/token/lookup-self").await.expect(200).at("/data/policies"),
        &json!(["default"])
    );
    assert_eq!(server.operator().get("auth/token/lookup-self").await.expect(200).at("/data/expire_time"), &Value::Null);
    server.stop().await;
}

/// Between the gate and the write somebody else makes the secret.
#[tokio::test]
async fn who_may_only_make_a_secret_does_not_write_into_one_that_somebody_made_meanwhile() {
    let server = TestServer::open().await;
    server.policy("maker", r#"path "secret/*" { capabilities = ["create"] }"#).await;
    server.policy("writer", r#"path "secret/*" { capabilities = ["create", "update"] }"#).await;
    let rooms = server.world.rooms();
    let mount = rooms.mounts.table().at(&MountPath::parse("secret").unwrap()).cloned().unwrap();
    let deeds = [("write", SecretAct::Write), ("promote", SecretAct::Write), ("label", SecretAct::Write)];
    let on_metadata = ["metadata", "describe", "stop-rotation"].map(|deed| (deed, SecretAct::WriteMetadata));
    let all: Vec<_> =
        deeds.into_iter().chain(on_metadata).flat_map(|deed| [("maker", deed), ("writer", deed)]).collect();
    for (policy, (deed, act)) in all {
        let token = server.token(json!({"policies": [policy]})).await;
        let name = format!("{policy}-{deed}");
        let path = format!("secret/{}/{name}", act.section());
        let visit = Visit {
            request: RequestId::from_bytes([7; 16]),
            arrived: server.world.clock.now(),
            dialect: "test",
            operation: Operation::Write,
            namespace: NamespacePath::root(),
            path: RequestPath::parse(&path).unwrap(),
            typed: None,
            source: Source { address: None, port: 0 },
            wrap_ttl: None,
            headers: Default::default(),
        };
        let object = Object::Secret { path: SecretPath::parse(&name).unwrap(), act };
        let credential = Some(SecretString::new(token));
        let ask = Ask { visit, credential, mount: Some(Arc::clone(&mount)), access: Access::Token, object };
        let grant = rooms.gate.admit(ask, &Fields::default()).await.unwrap_or_else(|error| panic!("{error}"));
        let value = format!("secret/data/{name}");
        server.operator().post(&value, json!({"data": {"of": "somebody else"}})).await.expect(200);
        let (secrets, first) = (&rooms.secrets, VersionNumber::FIRST);
        let done = match deed {
            "write" => {
                let mine = SecretValue::Object([("of".to_owned(), json!("me"))].into_iter().collect());
                secrets.write(&grant, &mine, WriteOptions::default()).await.map(drop)
            }
            "promote" => secrets.promote(&grant, first).await.map(drop),
            "label" => secrets.label_version(&grant, Some(first), &["mine".to_owned()], 10).await.map(drop),
            "metadata" => {
                let change = MetadataChange { max_versions: Some(3), ..MetadataChange::default() };
                secrets.write_metadata(&grant, &change).await.map(drop)
            }
            "describe" => secrets.describe(&grant, &ParticularsChange::default()).await.map(drop),
            _ => secrets.stop_rotation(&grant).await.map(drop),
        };
        match policy {
            "maker" => assert!(matches!(done, Err(CoreError::Conflict)), "{name}: {done:?}"),
            _ => done.unwrap_or_else(|error| panic!("{name}: {error}")),
        }
        let read = server.operator().get(&value).await.expect(200);
        let version = if name == "writer-write" { 2 } else { 1 };
        assert_eq!(read.at("/data/metadata/version"), version, "{name}");
    }
}
