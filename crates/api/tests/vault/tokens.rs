//! Tokens: made, looked at, prolonged, used up, revoked; what they may hand on, and how they end.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::Limits;
use strongroom_model::{Clock, SecretString, Ttl};
use strongroom_testkit::{Answer, Caller, TestServer, World};
use tokio::task::JoinSet;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

async fn create(by: Caller<'_>, fields: Value) -> Answer {
    by.post("auth/token/create", fields).await.expect(200)
}

async fn child(by: Caller<'_>) -> String {
    create(by, json!({})).await.text_at("/auth/client_token")
}

async fn lives(server: &TestServer, token: &str) -> bool {
    server.by(token).get("auth/token/lookup-self").await.status == 200
}

/// A policy by which tokens can make tokens.
async fn with_mint() -> TestServer {
    let server = TestServer::open().await;
    server.policy("mint", r#"path "auth/token/create" { capabilities = ["create", "update"] }"#).await;
    server
}

#[tokio::test]
async fn a_token_is_shown_as_vault_shows_it() {
    let server = with_mint().await;
    let fields = json!({
        "policies": ["mint"], "ttl": "1h", "meta": {"user": "ann"}, "display_name": "Ann's token!", "num_uses": 0,
        "explicit_max_ttl": "2h", "renewable": true, "type": null, "period": null, "id": null,
    });
    let made = create(server.operator(), fields).await;
    assert_eq!(made.headers["content-type"], "application/json");
    for (pointer, value) in [
        ("/lease_id", json!("")),
        ("/lease_duration", json!(0)),
        ("/renewable", json!(false)),
        ("/data", json!(null)),
        ("/wrap_info", json!(null)),
        ("/warnings", json!(null)),
        ("/auth/policies", json!(["default", "mint"])),
        ("/auth/token_policies", json!(["default", "mint"])),
        ("/auth/metadata", json!({"user": "ann"})),
        ("/auth/lease_duration", json!(HOUR)),
        ("/auth/renewable", json!(true)),
        ("/auth/entity_id", json!("")),
        ("/auth/token_type", json!("service")),
        ("/auth/orphan", json!(false)),
        ("/auth/mfa_requirement", json!(null)),
        ("/auth/num_uses", json!(0)),
    ] {
        assert_eq!(made.body.pointer(pointer), Some(&value), "{pointer}: {}", made.text);
    }
    assert_eq!(made.at("/auth/identity_policies"), &Value::Null);
    let (token, accessor) = (made.text_at("/auth/client_token"), made.text_at("/auth/accessor"));
    assert!(token.starts_with("hvs.") && accessor.len() == 24, "{}", made.text);
    server.world.clock.advance(Duration::from_secs(600));
    let operator = server.operator();
    let lookups = [
        operator.post("auth/token/lookup", json!({"token": token})).await,
        server.by(&token).get("auth/token/lookup-self").await,
        operator.post("auth/token/lookup", json!({"token": token, "increment": null})).await,
        operator.post("auth/token/lookup-accessor", json!({"accessor": accessor})).await,
    ];
    for (number, shown) in lookups.into_iter().enumerate() {
        let shown = shown.expect(200);
        let expected = json!({
            "id": if number == 3 { "" } else { &token }, "accessor": accessor, "policies": ["default", "mint"],
            "path": "auth/token/create", "meta": {"user": "ann"}, "display_name": "token-Ann-s-token", "num_uses": 0,
            "orphan": false, "creation_time": 1_795_219_200, "creation_ttl": HOUR, "ttl": HOUR - 600,
            "expire_time": "2026-11-21T01:00:00Z", "issue_time": "2026-11-21T00:00:00Z", "explicit_max_ttl": 2 * HOUR,
            "entity_id": "", "type": "service", "renewable": true,
        });
        assert_eq!(shown.at("/data"), &expected, "{number}");
    }
    // As in Vault, a lookup that names no token is of the caller's.
    let own = operator.post("auth/token/lookup", json!({})).await.expect(200);
    assert_eq!(own.at("/data/id"), &json!(server.root));
    assert_eq!(own.at("/data/path"), "auth/token/root");
    assert_eq!((own.at("/data/ttl"), own.at("/data/expire_time")), (&json!(0), &Value::Null));
    assert_eq!((own.at("/data/orphan"), own.at("/data/policies")), (&json!(true), &json!(["root"])));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_token_is_answered_as_clients_expect() {
    let server = with_mint().await;
    let operator = server.operator();
    let unknown = operator.post("auth/token/lookup", json!({"token": "hvs.none"})).await.expect(403);
    assert!(unknown.errors()[0].contains("bad token"), "{}", unknown.text);
    operator.post("auth/token/renew", json!({"token": "hvs.none"})).await.expect(400);
    operator.post("auth/token/revoke", json!({"token": "hvs.none"})).await.expect(204);
    for verb in ["lookup", "renew", "revoke"] {
        let path = format!("auth/token/{verb}-accessor");
        assert_eq!(operator.post(&path, json!({"accessor": "none"})).await.expect(400).errors(), ["invalid accessor"]);
        operator.post(&path, json!({})).await.expect(400);
    }
    for verb in ["renew", "revoke", "revoke-orphan"] {
        let missing = operator.post(&format!("auth/token/{verb}"), json!({})).await.expect(400);
        assert_eq!(missing.errors(), ["missing token ID"], "{verb}");
    }
    for token in ["\u{1b}", "hvs.\u{e9}", "a b", "hvs. "] {
        let head = format!(
            "GET /v1/auth/token/lookup-self HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Vault-Token: {token}\r\n\r\n"
        );
        let heard = server.speak(head.as_bytes()).await;
        assert!(heard.starts_with("HTTP/1.1 40"), "{token:?}: {heard}");
    }
    server.by(&"x".repeat(8_193)).get("auth/token/lookup-self").await.expect(413);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_made_is_refused_and_nothing_is_left_behind() {
    let server = with_mint().await;
    let token = server.token(json!({"policies": ["mint"]})).await;
    let counted = server.token(json!({"policies": ["mint"], "num_uses": 5})).await;
    let before = server.world.snapshot().await.len();
    let mint = server.by(&token);
    for (fields, text) in [
        (json!({"policies": ["other"]}), "child policies must be subset of parent"),
        (json!({"policies": ["mint", "root"]}), "child policies must be subset of parent"),
        (json!({"id": "chosen"}), "root or sudo privileges required to specify"),
        (json!({"no_parent": true}), "root or sudo privileges required to create orphan token"),
        (json!({"period": "1h"}), "root or sudo privileges required"),
        (json!({"ttl": "soon"}), "field `ttl` must be a duration"),
        (json!({"ttl": -1}), "negative"),
        (json!({"num_uses": -1}), "negative"),
        (json!({"num_uses": "many"}), "field `num_uses`"),
        (json!({"type": "silver"}), ""),
        (json!({"policies": {"a": 1}}), "field `policies`"),
        (json!({"policies": ["a b"]}), ""),
        (json!({"meta": "no map"}), "field `meta`"),
        (json!({"meta": {"a": "b".repeat(40_000)}}), "metadata"),
        (json!({"meta": {"a": ["b"]}}), "field `meta`"),
    ] {
        let refused = mint.post("auth/token/create", fields.clone()).await.expect(400);
        assert!(refused.errors()[0].contains(text), "{fields}: {}", refused.text);
    }
    let many: Vec<String> = (0..2_000).map(|number| format!("p{number}")).collect();
    server.operator().post("auth/token/create", json!({"policies": many})).await.expect(400);
    let refused = server.by(&counted).post("auth/token/create", json!({})).await.expect(400);
    assert_eq!(refused.errors(), ["restricted use token cannot generate child tokens"]);
    assert_eq!(server.world.snapshot().await.len(), before, "a refused creation left a record");
    server.stop().await;
}

#[tokio::test]
async fn children_have_no_more_than_their_parents() {
    let server = with_mint().await;
    server.policy("other", r#"path "secret/*" { capabilities = ["read"] }"#).await;
    let fields = json!({"policies": ["mint", "other"], "no_default_policy": true});
    let parent = create(server.operator(), fields).await;
    assert_eq!(parent.at("/auth/policies"), &json!(["mint", "other"]));
    let token = parent.text_at("/auth/client_token");
    let of = async |fields: Value| create(server.by(&token), fields).await.at("/auth/policies").clone();
    assert_eq!(of(json!({})).await, json!(["mint", "other"]));
    assert_eq!(of(json!({"policies": []})).await, json!(["mint", "other"]));
    assert_eq!(of(json!({"policies": ["other"]})).await, json!(["other"]));
    assert_eq!(of(json!({"policies": "OTHER"})).await, json!(["other"]));
    let refused = server.by(&token).post("auth/token/create", json!({"policies": ["default"]})).await.expect(400);
    assert_eq!(refused.errors(), ["child policies must be subset of parent"]);
    // With `default`, children have it too, unless they do without.
    let with_default = server.token(json!({"policies": ["mint", "other"]})).await;
    let of = async |fields: Value| create(server.by(&with_default), fields).await.at("/auth/policies").clone();
    assert_eq!(of(json!({"policies": ["other"]})).await, json!(["default", "other"]));
    assert_eq!(of(json!({"no_default_policy": true})).await, json!(["mint", "other"]));
    assert_eq!(of(json!({"policies": ["other"], "no_default_policy": true})).await, json!(["other"]));
    server.stop().await;
}

#[tokio::test]
async fn sudo_makes_any_token_but_a_root_token() {
    let server = TestServer::open().await;
    let rules = r#"path "auth/token/*" { capabilities = ["create", "update", "list", "sudo"] }"#;
    server.policy("officer", rules).await;
    let token = server.token(json!({"policies": ["officer"]})).await;
    let officer = server.by(&token);
    let made =
        create(officer, json!({"policies": ["whatever"], "id": "chosen", "no_parent": true, "period": "1h"})).await;
    assert_eq!(made.at("/auth/client_token"), "chosen");
    assert_eq!(made.at("/auth/policies"), &json!(["default", "whatever"]));
    assert_eq!(made.at("/auth/orphan"), &json!(true));
    let twice = officer.post("auth/token/create", json!({"id": "chosen"})).await.expect(400);
    assert_eq!(twice.errors(), ["cannot create a token with a duplicate ID"]);
    for root in ["root", "ROOT"] {
        officer.post("auth/token/create", json!({"policies": [root]})).await.expect(400);
        officer.post("auth/token/create-orphan", json!({"policies": [root]})).await.expect(400);
    }
    for id in ["a.b", "hvs.x", "a b", "a\nb", &"x".repeat(600)] {
        officer.post("auth/token/create", json!({"id": id})).await.expect(400);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_expiring_root_token_makes_no_endless_one() {
    let server = TestServer::open().await;
    let endless = create(server.operator(), json!({"policies": ["root"]})).await;
    assert_eq!((endless.at("/auth/lease_duration"), endless.at("/auth/renewable")), (&json!(0), &json!(false)));
    let token = server.token(json!({"policies": ["root"], "ttl": "1h"})).await;
    let expiring = server.by(&token);
    for fields in [json!({}), json!({"policies": ["root"]}), json!({"policies": ["root", "default"]})] {
        let refused = expiring.post("auth/token/create", fields).await.expect(400);
        assert_eq!(refused.errors(), ["expiring root tokens cannot create non-expiring root tokens"]);
    }
    let orphan = expiring.post("auth/token/create-orphan", json!({})).await.expect(400);
    assert_eq!(orphan.errors(), ["expiring root tokens cannot create non-expiring root tokens"]);
    let child = create(expiring, json!({"ttl": "30m"})).await;
    assert_eq!(child.at("/auth/policies"), &json!(["root"]));
    server.world.clock.advance(Duration::from_secs(1_800));
    assert!(!lives(&server, &child.text_at("/auth/client_token")).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_a_token_revokes_all_that_descends_from_it() {
    let server = with_mint().await;
    for how in ["revoke", "revoke-self", "revoke-accessor"] {
        let made = create(server.operator(), json!({"policies": ["mint"]})).await;
        let (top, accessor) = (made.text_at("/auth/client_token"), made.text_at("/auth/accessor"));
        let mut tree = vec![top.clone()];
        for _ in 0..9 {
            let second = child(server.by(&top)).await;
            for _ in 0..9 {
                tree.push(child(server.by(&second)).await);
            }
            tree.push(second);
        }
        // Wider than one round of the job.
        for _ in 0..70 {
            tree.push(child(server.by(&top)).await);
        }
        let beside = server.token(json!({"policies": ["mint"]})).await;
        match how {
            "revoke" => server.operator().post("auth/token/revoke", json!({"token": top})).await,
            "revoke-self" => server.by(&top).post("auth/token/revoke-self", json!({})).await,
            _ => server.operator().post("auth/token/revoke-accessor", json!({"accessor": accessor})).await,
        }
        .expect(204);
        for token in &tree {
            assert!(!lives(&server, token).await, "{how}");
        }
        assert!(lives(&server, &beside).await && lives(&server, &server.root).await);
        server.operator().post("auth/token/revoke", json!({"token": beside})).await.expect(204);
    }
    // Nothing is left of them: the root token's accessor alone.
    let accessors = server.operator().list("auth/token/accessors").await.expect(200);
    assert_eq!(accessors.at("/data/keys").as_array().unwrap().len(), 1, "{}", accessors.text);
    server.stop().await;
}

#[tokio::test]
async fn revoking_as_orphan_leaves_the_children_and_theirs() {
    let server = with_mint().await;
    let top = server.token(json!({"policies": ["mint"]})).await;
    let second = child(server.by(&top)).await;
    let third = child(server.by(&second)).await;
    server.by(&top).post("auth/token/revoke-orphan", json!({"token": top})).await.expect(403);
    server.operator().post("auth/token/revoke-orphan", json!({"token": top})).await.expect(204);
    let gone = server.operator().post("auth/token/revoke-orphan", json!({"token": top})).await.expect(400);
    assert_eq!(gone.errors(), ["token to revoke not found"]);
    assert!(!lives(&server, &top).await && lives(&server, &second).await && lives(&server, &third).await);
    let orphan = server.by(&second).get("auth/token/lookup-self").await;
    assert_eq!(orphan.at("/data/orphan"), &json!(true));
    server.operator().post("auth/token/revoke", json!({"token": second})).await.expect(204);
    assert!(!lives(&server, &third).await);
    server.stop().await;
}

#[tokio::test]
async fn an_orphan_outlives_who_made_it() {
    let server = TestServer::open().await;
    server.policy("mint", r#"path "auth/token/create-orphan" { capabilities = ["update"] }"#).await;
    let maker = server.token(json!({"policies": ["mint"]})).await;
    let orphan = server.by(&maker).post("auth/token/create-orphan", json!({})).await.expect(200);
    assert_eq!(orphan.at("/auth/orphan"), &json!(true));
    server.operator().post("auth/token/revoke", json!({"token": maker})).await.expect(204);
    assert!(lives(&server, &orphan.text_at("/auth/client_token")).await);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_made_while_its_parent_is_revoked_does_not_survive_it() {
    let server = Arc::new(with_mint().await);
    for _ in 0..20 {
        let parent = server.token(json!({"policies": ["mint"]})).await;
        let mut makers = JoinSet::new();
        for _ in 0..6 {
            let (server, parent) = (Arc::clone(&server), parent.clone());
            makers.spawn(async move {
                let made = server.by(&parent).post("auth/token/create", json!({})).await;
                assert!([200, 403].contains(&made.status.as_u16()), "{}", made.text);
                made.at("/auth/client_token").as_str().map(str::to_owned)
            });
        }
        let revoking = server.operator();
        let (revoked, made) =
            tokio::join!(revoking.post("auth/token/revoke", json!({"token": parent})), makers.join_all());
        revoked.expect(204);
        for token in made.into_iter().flatten() {
            assert!(!lives(&server, &token).await, "a child outlived its parent");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_counted_token_is_good_for_exactly_its_uses() {
    let server = Arc::new(TestServer::open().await);
    for uses in [1, 2, 7, 20] {
        let token = server.token(json!({"policies": ["default"], "num_uses": uses})).await;
        let mut users = JoinSet::new();
        for _ in 0..40 {
            let (server, token) = (Arc::clone(&server), token.clone());
            users.spawn(async move { lives(&server, &token).await });
        }
        let served = users.join_all().await.into_iter().filter(|served| *served).count();
        assert_eq!(served, uses, "uses of a token for {uses}");
    }
    // Used up, they are gone; a refusal uses nothing up.
    let accessors = server.operator().list("auth/token/accessors").await.expect(200);
    assert_eq!(accessors.at("/data/keys").as_array().unwrap().len(), 1);
    let token = server.token(json!({"policies": ["default"], "num_uses": 2})).await;
    for _ in 0..5 {
        server.by(&token).get("sys/mounts").await.expect(403);
    }
    let shown = server.by(&token).get("auth/token/lookup-self").await.expect(200);
    assert_eq!(shown.at("/data/num_uses"), 1);
    assert!(lives(&server, &token).await && !lives(&server, &token).await);
}

#[tokio::test]
async fn a_token_dies_on_time_and_is_swept_with_its_children() {
    let server = with_mint().await;
    let parent = server.token(json!({"policies": ["mint"], "ttl": "1h"})).await;
    let child = create(server.by(&parent), json!({"ttl": "10h"})).await.text_at("/auth/client_token");
    let clock = Arc::clone(&server.world.clock);
    clock.advance(Duration::from_secs(HOUR - 1));
    assert!(lives(&server, &parent).await);
    clock.advance(Duration::from_millis(999));
    assert!(lives(&server, &parent).await);
    clock.advance(Duration::from_millis(1));
    assert!(!lives(&server, &parent).await, "at the second of its end it is dead");
    server.operator().post("auth/token/renew", json!({"token": parent})).await.expect(400);
    server.world.rooms().housekeep().await;
    assert!(!lives(&server, &child).await, "the child went with its parent");
    let accessors = server.operator().list("auth/token/accessors").await.expect(200);
    assert_eq!(accessors.at("/data/keys").as_array().unwrap().len(), 1, "{}", accessors.text);
    // A clock that is corrected backwards brings nobody back.
    clock.turn_back(Duration::from_secs(2 * HOUR));
    assert!(!lives(&server, &parent).await && !lives(&server, &child).await);
    server.stop().await;
}

#[tokio::test]
async fn hundreds_that_die_together_are_swept_in_one_round() {
    let server = TestServer::open().await;
    // More than the housekeeper takes at once.
    for number in 0..300 {
        server.token(json!({"policies": ["default"], "ttl": 60 + number % 5})).await;
    }
    server.world.clock.advance(Duration::from_secs(70));
    server.world.rooms().housekeep().await;
    let accessors = server.operator().list("auth/token/accessors").await.expect(200);
    assert_eq!(accessors.at("/data/keys").as_array().unwrap().len(), 1, "more than the root token is left");
    server.stop().await;
}

#[tokio::test]
async fn renewing_prolongs_up_to_the_longest_life_and_no_further() {
    let server = TestServer::open().await;
    let made = create(server.operator(), json!({"policies": ["default"], "ttl": "1h", "explicit_max_ttl": "3h"})).await;
    let token = made.text_at("/auth/client_token");
    let bearer = server.by(&token);
    let clock = Arc::clone(&server.world.clock);
    let renew = async |increment: Value| bearer.post("auth/token/renew-self", json!({"increment": increment})).await;
    clock.advance(Duration::from_secs(1_800));
    let renewed = renew(json!(null)).await.expect(200);
    assert_eq!(renewed.at("/auth/lease_duration"), HOUR);
    assert_eq!(renewed.at("/auth/client_token"), &json!(token));
    assert_eq!(renewed.at("/auth/policies"), &json!(["default"]));
    assert_eq!(renew(json!("90m")).await.expect(200).at("/auth/lease_duration"), 5_400);
    assert_eq!(renew(json!(60)).await.expect(200).at("/auth/lease_duration"), 60, "shorter is possible");
    assert_eq!(renew(json!("2h")).await.expect(200).at("/auth/lease_duration"), 2 * HOUR);
    let capped = renew(json!("10h")).await.expect(200);
    assert_eq!(capped.at("/auth/lease_duration"), 2 * HOUR + 1_800);
    assert!(capped.text_at("/warnings/0").contains("TTL value is capped accordingly"), "{}", capped.text);
    let shown = bearer.get("auth/token/lookup-self").await.expect(200);
    assert_eq!(shown.at("/data/last_renewal_time"), 1_795_219_200 + 1_800);
    // In the last second before the longest life (CVE-2021-32923).
    clock.advance(Duration::from_secs(2 * HOUR + 1_799));
    let last = renew(json!("10h")).await.expect(200);
    assert_eq!(last.at("/auth/lease_duration"), 1);
    clock.advance(Duration::from_millis(999));
    assert_eq!(renew(json!("10h")).await.expect(200).at("/auth/lease_duration"), 0);
    clock.advance(Duration::from_millis(1));
    renew(json!("10h")).await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_not() {
    let server = TestServer::open().await;
    let made = create(server.operator(), json!({"policies": ["default"], "ttl": "1h", "renewable": false})).await;
    assert_eq!(made.at("/auth/renewable"), &json!(false));
    for (path, body) in [
        ("auth/token/renew", json!({"token": made.text_at("/auth/client_token")})),
        ("auth/token/renew", json!({"token": server.root})),
        ("auth/token/renew-accessor", json!({"accessor": made.text_at("/auth/accessor")})),
    ] {
        assert!(server.operator().post(path, body).await.expect(400).errors()[0].contains("not renewable"));
    }
    server.stop().await;
}

#[tokio::test]
async fn renewing_by_accessor_does_not_give_the_token_away() {
    let server = TestServer::open().await;
    let made = create(server.operator(), json!({"policies": ["default"], "ttl": "1h"})).await;
    let body = json!({"accessor": made.text_at("/auth/accessor"), "increment": "2h"});
    let renewed = server.operator().post("auth/token/renew-accessor", body).await.expect(200);
    assert_eq!(renewed.at("/auth/client_token"), "");
    assert_eq!(renewed.at("/auth/lease_duration"), 2 * HOUR);
    server.stop().await;
}

#[tokio::test]
async fn a_periodic_token_lives_as_long_as_it_is_renewed_by_its_period() {
    let server = TestServer::open().await;
    let made = create(server.operator(), json!({"policies": ["default"], "period": "24h", "ttl": "1h"})).await;
    assert_eq!(made.at("/auth/lease_duration"), DAY);
    let token = made.text_at("/auth/client_token");
    // Longer than any longest life, and whatever increment is asked for (vault 0.8.2's note).
    for _ in 0..100 {
        server.world.clock.advance(Duration::from_secs(DAY - 1));
        let renewed = server.by(&token).post("auth/token/renew-self", json!({"increment": "48h"})).await.expect(200);
        assert_eq!(renewed.at("/auth/lease_duration"), DAY);
    }
    let shown = server.by(&token).get("auth/token/lookup-self").await.expect(200);
    assert_eq!(shown.at("/data/period"), DAY);
    server.world.clock.advance(Duration::from_secs(DAY));
    assert!(!lives(&server, &token).await);
    // An explicit longest life bounds it all the same; and a period is no longer than the system's longest life.
    let bounded =
        create(server.operator(), json!({"period": "1h", "explicit_max_ttl": "90m", "policies": ["default"]})).await;
    let token = bounded.text_at("/auth/client_token");
    server.world.clock.advance(Duration::from_secs(HOUR - 60));
    let renewed = server.by(&token).post("auth/token/renew-self", json!({})).await.expect(200);
    assert_eq!(renewed.at("/auth/lease_duration"), 1_800 + 60);
    let long = create(server.operator(), json!({"period": "9999h", "policies": ["default"]})).await;
    assert_eq!(long.at("/auth/lease_duration"), 768 * HOUR);
    assert!(long.at("/warnings").is_array(), "{}", long.text);
    server.stop().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_renewed_when_a_token_ends_with_its_longest_life(
        ttl in 0_u64..200_000,
        explicit in 0_u64..100_000,
        renewals in prop::collection::vec((0_u64..40_000_000, 0_u64..10_000_000), 0..24),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = TestServer::open().await;
            let fields = json!({"policies": ["default"], "ttl": ttl, "explicit_max_ttl": explicit});
            let token = server.token(fields).await;
            let (rooms, clock) = (server.world.rooms(), Arc::clone(&server.world.clock));
            let longest = if explicit == 0 { 768 * HOUR } else { explicit.min(768 * HOUR) };
            let end = clock.now().plus(Duration::from_secs(longest));
            let key = rooms.tokens.key_of(&SecretString::new(token.clone()));
            for (millis, increment) in renewals {
                clock.advance(Duration::from_millis(millis));
                let Some(bearer) = rooms.tokens.bearer(key).await.unwrap() else { break };
                assert!(clock.now() < end, "lives past its longest life");
                let copy = SecretString::new(token.clone());
                let renewed = rooms.tokens.renew(&bearer, copy, Ttl::from_secs(increment)).await;
                let expires = rooms.tokens.bearer(key).await.unwrap().map(|bearer| bearer.token().expires.unwrap());
                assert!(renewed.is_err() || expires.is_some_and(|expires| expires <= end), "{expires:?} after {end:?}");
            }
            let now = clock.now();
            clock.advance(end.since(now));
            assert!(rooms.tokens.bearer(key).await.unwrap().is_none());
            rooms.housekeep().await;
            assert_eq!(rooms.tokens.accessors().await.unwrap().len(), 1);
            server.stop().await;
        });
    }
}

#[tokio::test]
async fn accessors_are_listed_to_operators_only() {
    let server = TestServer::open().await;
    server.policy("list", r#"path "auth/token/accessors" { capabilities = ["list"] }"#).await;
    server.policy("sudo", r#"path "auth/token/accessors" { capabilities = ["list", "sudo"] }"#).await;
    let made = create(server.operator(), json!({"policies": ["list"]})).await;
    server.by(&made.text_at("/auth/client_token")).list("auth/token/accessors").await.expect(403);
    let token = server.token(json!({"policies": ["sudo"]})).await;
    for path in ["auth/token/accessors", "auth/token/accessors/"] {
        let listed = server.by(&token).list(path).await.expect(200);
        let keys = listed.at("/data/keys").as_array().unwrap().clone();
        assert!(keys.len() == 3 && keys.contains(made.at("/auth/accessor")), "{}", listed.text);
        assert!(!listed.text.contains("hvs."), "{}", listed.text);
    }
    server.by(&token).get("auth/token/accessors?list=true").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_token_bound_to_networks_hands_the_bounds_on() {
    let server = with_mint().await;
    server.operator().post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    let settings = json!({"token_policies": "mint", "token_bound_cidrs": ["127.0.0.0/8"]});
    let login = crate::identity::login(&server, "here", settings).await;
    let token = login.text_at("/auth/client_token");
    assert!(lives(&server, &token).await);
    let child = create(server.by(&token), json!({})).await.text_at("/auth/client_token");
    let shown = server.by(&child).get("auth/token/lookup-self").await.expect(200);
    assert!(shown.text_at("/data/bound_cidrs/0").starts_with("127.0.0.0/8"), "{}", shown.text);
    let settings = json!({"token_policies": "mint", "token_bound_cidrs": ["10.1.2.3"]});
    let elsewhere = crate::identity::login(&server, "there", settings).await.text_at("/auth/client_token");
    assert!(!lives(&server, &elsewhere).await);
    server.by(&elsewhere).post("auth/token/create", json!({})).await.expect(403);
    server.stop().await;
}

#[tokio::test]
async fn removing_an_auth_mount_makes_its_tokens_and_theirs_powerless_at_once() {
    let server = with_mint().await;
    let rules = r#"path "auth/token/*" { capabilities = ["create", "update", "sudo"] }"#;
    server.policy("mint", rules).await;
    server.operator().post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    let login = crate::identity::login(&server, "web", json!({"token_policies": "mint"})).await;
    let token = login.text_at("/auth/client_token");
    let second = child(server.by(&token)).await;
    let third = child(server.by(&second)).await;
    let orphan = server.by(&second).post("auth/token/create-orphan", json!({})).await.expect(200);
    server.operator().delete("sys/auth/approle").await.expect(204);
    for token in [&token, &second, &third] {
        assert!(!lives(&server, token).await);
        server.by(token).post("auth/token/create", json!({})).await.expect(403);
    }
    assert!(lives(&server, &orphan.text_at("/auth/client_token")).await);
    // A mount made anew at the same place does not bring them back.
    server.operator().post("sys/auth/approle", json!({"type": "approle"})).await.expect(204);
    server.world.rooms().housekeep().await;
    for token in [&token, &second, &third] {
        assert!(!lives(&server, token).await);
    }
    server.stop().await;
}

#[tokio::test]
async fn tokens_outlive_sealing_and_the_store_knows_only_their_hashes() {
    let (world, shares, root) = World::sealed().await;
    let server = TestServer::start(world, Limits::default()).await;
    let unseal = async || {
        for share in shares.iter().take(2) {
            server.by("").post("sys/unseal", json!({"key": share.to_hex()})).await.expect(200);
        }
    };
    unseal().await;
    let operator = server.by(root.expose());
    operator
        .post("sys/policies/acl/mint", json!({"policy": "path \"auth/token/create\" { capabilities = [\"update\"] }"}))
        .await
        .expect(204);
    let made =
        create(operator, json!({"policies": ["mint"], "ttl": "1h", "meta": {"canary": "metadata-canary"}})).await;
    let token = made.text_at("/auth/client_token");
    let below = child(server.by(&token)).await;
    operator.send("PUT", "sys/seal", None).await.expect(204);
    server.by(&token).get("auth/token/lookup-self").await.expect(503);
    unseal().await;
    assert!(lives(&server, &token).await && lives(&server, &below).await);
    operator.post("auth/token/revoke", json!({"token": token})).await.expect(204);
    operator.send("PUT", "sys/seal", None).await.expect(204);
    unseal().await;
    assert!(!lives(&server, &token).await && !lives(&server, &below).await, "a restart brought a revoked token back");
    let canaries = [root.expose(), &token, &below, &made.text_at("/auth/accessor"), "metadata-canary", "mint"];
    for entry in server.world.snapshot().await {
        for canary in canaries {
            let found = |bytes: &[u8]| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found(&entry.key) && !found(&entry.value), "{canary} stands in the store");
        }
    }
    for line in server.world.trail.recent(usize::MAX).await {
        assert!([root.expose(), &token, &below].iter().all(|token| !line.contains(*token)), "{line}");
    }
    server.stop().await;
}
