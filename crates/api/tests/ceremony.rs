//! Ceremonies over HTTP: new terms, new unseal keys, root tokens from unseal keys; and who may do what in them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use strongroom_api::Limits;
use strongroom_core::ceremony::{RekeyPlan, RekeyStep};
use strongroom_core::{Access, Ask, Auth, Fields, Grant, Object, Operation, Reply, Share, Source, Visit};
use strongroom_model::{Clock, NamespacePath, RequestId, RequestPath, SecretString, TokenType};
use strongroom_testkit::{Answer, Caller, TestServer, World};

const INIT: &str = "sys/rekey/init";
const UPDATE: &str = "sys/rekey/update";
const VERIFY: &str = "sys/rekey/verify";
const ATTEMPT: &str = "sys/generate-root/attempt";
const GENERATE: &str = "sys/generate-root/update";

/// A server that two of three keys have unsealed; the keys, and the root token.
async fn unsealed() -> (TestServer, Vec<String>, String) {
    let (world, shares, root) = World::sealed().await;
    let server = TestServer::start(world, Limits::default()).await;
    let keys: Vec<String> = shares.iter().map(|share| share.to_hex()).collect();
    assert!(unseals(&server, &keys[..2]).await);
    (server, keys, root.expose().to_owned())
}

async fn unseals(server: &TestServer, keys: &[String]) -> bool {
    let mut last = Value::Null;
    for key in keys {
        last = server.by("").post("sys/unseal", json!({"key": key})).await.at("/sealed").clone();
    }
    last == false
}

async fn hand_in(server: &TestServer, path: &str, nonce: &str, key: &str) -> Answer {
    server.by("").post(path, json!({"key": key, "nonce": nonce})).await
}

fn keys_of(answer: &Answer) -> Vec<String> {
    answer.at("/keys").as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect()
}

async fn trail_is_silent_about(world: &World, secrets: &[String]) {
    let lines = world.trail.recent(usize::MAX).await;
    assert!(lines.len() > 5);
    for line in lines {
        assert!(secrets.iter().all(|secret| !line.contains(secret.as_str())), "{line}");
    }
}

#[tokio::test]
async fn a_new_term_is_begun_by_who_has_sudo_and_everything_stays_readable() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.post("secret/data/a", json!({"data": {"b": "c"}})).await.expect(200);
    let before = operator.get("sys/key-status").await.expect(200);
    assert_eq!((before.at("/term"), before.at("/data/install_time")), (&json!(1), &json!("2026-11-21T00:00:00Z")));
    assert!(before.at("/encryptions").as_u64().unwrap() > 10 && before.at("/data/rewrap").is_null(), "{}", before.text);
    server.policy("rotator", r#"path "sys/rotate" { capabilities = ["update"] }"#).await;
    let powerless = server.token(json!({"policies": ["rotator"]})).await;
    server.by(&powerless).post("sys/rotate", json!({})).await.expect(403);
    server.by("").post("sys/rotate/keyring", json!({})).await.expect(403);
    server.world.clock.advance(Duration::from_secs(60));
    operator.post("sys/rotate", json!({})).await.expect(204);
    operator.send("PUT", "sys/rotate/keyring", None).await.expect(204);
    let after = operator.get("sys/key-status").await.expect(200);
    assert_eq!((after.at("/term"), after.at("/install_time")), (&json!(3), &json!("2026-11-21T00:01:00Z")));
    server.world.rooms().rotation.round().await.unwrap();
    assert!(operator.get("sys/key-status").await.at("/data/rewrap").is_null());
    assert_eq!(operator.get("secret/data/a").await.expect(200).at("/data/data/b"), "c");
    let batch = server.token(json!({"type": "batch", "policies": ["default"]})).await;
    operator.post("sys/rotate", json!({})).await.expect(204);
    server.world.rooms().rotation.round().await.unwrap();
    server.by(&batch).get("auth/token/lookup-self").await.expect(200);
    let status = server.world.rooms().rotation.status().unwrap();
    assert_eq!((status.term, status.terms), (4, 4), "terms are kept as long as a batch token may live");
    server.world.clock.advance(Duration::from_secs(769 * 3_600));
    server.world.rooms().rotation.round().await.unwrap();
    assert_eq!(server.world.rooms().rotation.status().unwrap().terms, 1);
    server.stop().await;
}

#[tokio::test]
async fn a_term_ends_by_itself_when_it_is_told_to() {
    let server = TestServer::open().await;
    let operator = server.operator();
    let rotation = server.world.rooms().rotation.clone();
    for path in ["sys/rotate/config", "sys/rotate/keyring/config"] {
        let config = operator.get(path).await.expect(200);
        let expected = json!({"max_operations": 3_865_470_566_u64, "interval": 0, "enabled": true});
        assert_eq!(config.at("/data"), &expected);
    }
    for wrong in
        [json!({"interval": "1h"}), json!({"max_operations": 10}), json!({"max_operations": 4_000_000_000_u64})]
    {
        operator.post("sys/rotate/config", wrong).await.expect(400);
    }
    operator.post("sys/rotate/config", json!({"interval": "48h", "enabled": false})).await.expect(204);
    let config = operator.get("sys/rotate/config").await;
    assert_eq!((config.at("/interval"), config.at("/enabled")), (&json!("48h0m0s"), &json!(false)));
    server.world.clock.advance(Duration::from_secs(49 * 3_600));
    rotation.round().await.unwrap();
    assert_eq!(rotation.status().unwrap().term, 1, "not while it is disabled");
    operator.post("sys/rotate/config", json!({"enabled": true})).await.expect(204);
    rotation.round().await.unwrap();
    assert_eq!(rotation.status().unwrap().term, 2);
    rotation.round().await.unwrap();
    assert_eq!(rotation.status().unwrap().term, 2, "once for each interval");
    server.world.clock.advance(Duration::from_secs(48 * 3_600));
    rotation.round().await.unwrap();
    assert_eq!(rotation.status().unwrap().term, 3);
    server.stop().await;
}

#[tokio::test]
async fn unseal_keys_are_replaced_at_once_by_those_who_hold_them() {
    let (server, old, root) = unsealed().await;
    let operator = server.by(&root);
    let idle = json!({"started": false, "nonce": "", "t": 0, "n": 0, "progress": 0, "required": 2});
    let status = operator.get(INIT).await.expect(200);
    assert!(idle.as_object().unwrap().iter().all(|(name, value)| status.body[name] == *value), "{}", status.text);
    hand_in(&server, UPDATE, "some nonce", &old[0]).await.expect(400);
    let started =
        operator.send("PUT", INIT, Some(json!({"secret_shares": 4, "secret_threshold": 3}))).await.expect(200);
    let nonce = started.text_at("/nonce");
    assert_eq!((started.at("/started"), started.at("/n"), started.at("/t")), (&json!(true), &json!(4), &json!(3)));
    assert!(operator.post(INIT, json!({})).await.expect(400).errors()[0].contains("already in progress"));
    // Nobody without the nonce, and a wrong key spoils nothing.
    assert!(hand_in(&server, UPDATE, "wrong", &old[0]).await.expect(400).errors()[0].contains("incorrect nonce"));
    assert!(hand_in(&server, UPDATE, "", &old[0]).await.expect(400).errors()[0].contains("missing nonce"));
    assert_eq!(hand_in(&server, UPDATE, &nonce, &old[0]).await.expect(200).at("/progress"), 1);
    let (_, foreign, _) = unsealed().await;
    let refused = hand_in(&server, UPDATE, &nonce, &foreign[1]).await.expect(400);
    assert!(refused.errors()[0].contains("belongs to another strongroom"), "{}", refused.text);
    assert_eq!(hand_in(&server, UPDATE, &nonce, &old[0]).await.expect(200).at("/progress"), 1, "the same again");
    let made = hand_in(&server, UPDATE, &nonce, &old[2]).await.expect(200);
    assert_eq!((made.at("/complete"), made.at("/nonce")), (&json!(true), &json!(nonce)));
    assert_eq!(made.at("/verification_required"), false);
    let new = keys_of(&made);
    assert_eq!((new.len(), made.at("/keys_base64").as_array().unwrap().len()), (4, 4));
    assert_eq!(operator.get(INIT).await.at("/started"), false);
    assert_eq!(server.by("").get("sys/seal-status").await.at("/t"), 3);
    operator.post("sys/seal", json!({})).await.expect(204);
    assert!(!unseals(&server, &old).await);
    assert!(unseals(&server, &new[1..]).await);
    trail_is_silent_about(&server.world, &[old, new].concat()).await;
    server.stop().await;
}

#[tokio::test]
async fn with_verification_nothing_changes_until_the_new_keys_have_been_handed_in() {
    let (server, old, root) = unsealed().await;
    let operator = server.by(&root);
    let plan = json!({"secret_shares": 3, "secret_threshold": 2, "require_verification": true});
    let nonce = operator.post(INIT, plan.clone()).await.expect(200).text_at("/nonce");
    server.by("").get(VERIFY).await.expect(400);
    hand_in(&server, UPDATE, &nonce, &old[0]).await.expect(200);
    let made = hand_in(&server, UPDATE, &nonce, &old[1]).await.expect(200);
    let (new, first) = (keys_of(&made), made.text_at("/verification_nonce"));
    assert_eq!(made.at("/verification_required"), true);
    assert_eq!(operator.get(INIT).await.text_at("/verification_nonce"), first);
    assert!(hand_in(&server, UPDATE, &nonce, &old[0]).await.expect(400).errors()[0].contains("verification must be"));
    // Strangers see that there is one, and cannot touch it.
    let seen = server.by("").get(VERIFY).await.expect(200);
    assert_eq!((seen.at("/started"), seen.at("/nonce")), (&json!(true), &json!("")));
    server.by("").delete(VERIFY).await.expect(403);
    assert_eq!(hand_in(&server, VERIFY, &first, &new[0]).await.expect(200).at("/progress"), 1);
    assert!(
        hand_in(&server, VERIFY, &first, &old[0]).await.expect(400).errors()[0].contains("keys that were replaced")
    );
    let second = operator.delete(VERIFY).await.expect(200).text_at("/nonce");
    assert_ne!(first, second);
    assert_eq!(operator.get(VERIFY).await.at("/progress"), 0);
    hand_in(&server, VERIFY, &first, &new[0]).await.expect(400);
    // Sealing forgets it: the old keys are those that count.
    operator.post("sys/seal", json!({})).await.expect(204);
    assert!(!unseals(&server, &new[..2]).await);
    assert!(unseals(&server, &old[..2]).await);
    operator.get(VERIFY).await.expect(400);
    let nonce = operator.post(INIT, plan).await.expect(200).text_at("/nonce");
    hand_in(&server, UPDATE, &nonce, &old[0]).await.expect(200);
    let made = hand_in(&server, UPDATE, &nonce, &old[1]).await.expect(200);
    let (new, nonce) = (keys_of(&made), made.text_at("/verification_nonce"));
    hand_in(&server, VERIFY, &nonce, &new[2]).await.expect(200);
    let done = hand_in(&server, VERIFY, &nonce, &new[0]).await.expect(200);
    assert_eq!((done.at("/complete"), done.at("/nonce")), (&json!(true), &json!(nonce)));
    operator.post("sys/seal", json!({})).await.expect(204);
    assert!(!unseals(&server, &old[..2]).await);
    assert!(unseals(&server, &new[..2]).await);
    trail_is_silent_about(&server.world, &[old, new].concat()).await;
    server.stop().await;
}

#[tokio::test]
async fn a_root_token_is_made_in_the_words_of_openbao_too() {
    let (server, keys, root) = unsealed().await;
    let operator = server.by(&root);
    let plain = operator.post("auth/token/create", json!({"policies": ["default"]})).await.expect(200);
    let plain = plain.text_at("/auth/client_token");
    for caller in [server.by(""), server.by(&plain)] {
        caller.post("sys/generate-root-token/attempt", json!({})).await.expect(403);
        caller.get("sys/generate-root-token/attempt").await.expect(403);
    }
    let sent = json!({"otp": "", "pgp_key": ""});
    let begun = operator.send("PUT", "sys/generate-root-token/attempt", Some(sent)).await.expect(200);
    let (nonce, otp) = (begun.text_at("/data/nonce"), begun.text_at("/data/otp"));
    let seen = operator.get(ATTEMPT).await.expect(200);
    assert_eq!((seen.text_at("/nonce"), seen.at("/started")), (nonce.clone(), &json!(true)), "it is the same thing");
    let update = "sys/generate-root-token/update";
    hand_in(&server, update, &nonce, &keys[0]).await.expect(403);
    operator.post(update, json!({"key": keys[0], "nonce": nonce})).await.expect(200);
    let made = operator.post(update, json!({"key": keys[2], "nonce": nonce})).await.expect(200);
    assert_eq!((made.at("/data/complete"), made.at("/data/progress")), (&json!(true), &json!(2)));
    let token = decoded(&made.text_at("/data/encoded_token"), &otp);
    assert_eq!(server.by(&token).get("auth/token/lookup-self").await.expect(200).at("/data/policies/0"), "root");
    operator.delete("sys/generate-root-token/attempt").await.expect(204);
    server.stop().await;
}

#[tokio::test]
async fn new_unseal_keys_are_made_in_the_words_of_openbao_too() {
    let (server, old, root) = unsealed().await;
    let operator = server.by(&root);
    let refused = operator.post("sys/rotate/root", json!({})).await.expect(400);
    assert!(refused.errors()[0].contains("sys/rotate/root/init"), "{}", refused.text);
    let plan = json!({"secret_shares": 3, "secret_threshold": 2, "require_verification": true});
    let policy = r#"path "sys/rotate/root/*" { capabilities = ["create", "read", "update", "delete"] }"#;
    operator.post("sys/policies/acl/halfway", json!({"policy": policy})).await.expect(204);
    let halfway = operator.post("auth/token/create", json!({"policies": ["halfway"]})).await.expect(200);
    let halfway = halfway.text_at("/auth/client_token");
    for caller in [server.by(""), server.by(&halfway)] {
        caller.post("sys/rotate/root/init", plan.clone()).await.expect(403);
    }
    let nonce = operator.post("sys/rotate/root/init", plan).await.expect(200).text_at("/nonce");
    assert_eq!(operator.get(INIT).await.expect(200).text_at("/nonce"), nonce, "it is the same thing");
    let hand = |key: &str, nonce: &str| json!({"key": key, "nonce": nonce});
    server.by("").post("sys/rotate/root/update", hand(&old[0], &nonce)).await.expect(403);
    server.by(&halfway).post("sys/rotate/root/update", hand(&old[0], &nonce)).await.expect(200);
    let made = server.by(&halfway).post("sys/rotate/root/update", hand(&old[1], &nonce)).await.expect(200);
    let (new, nonce) = (keys_of(&made), made.text_at("/verification_nonce"));
    server.by("").post("sys/rotate/root/verify", hand(&new[0], &nonce)).await.expect(403);
    server.by(&halfway).post("sys/rotate/root/verify", hand(&new[0], &nonce)).await.expect(200);
    let done = server.by(&halfway).post("sys/rotate/root/verify", hand(&new[2], &nonce)).await.expect(200);
    assert_eq!(done.at("/complete"), true);
    operator.send("PUT", "sys/seal", None).await.expect(204);
    assert!(!unseals(&server, &old[..2]).await && unseals(&server, &new[1..]).await);
    operator.get("sys/rotate/root/backup").await.expect(400);
    operator.get("sys/rotate/recovery/init").await.expect(400);
    server.stop().await;
}

#[tokio::test]
async fn a_rekey_is_started_and_cancelled_with_sudo_only() {
    let (server, old, root) = unsealed().await;
    let operator = server.by(&root);
    server.by("").post(INIT, json!({})).await.expect(403);
    let nonce = operator.post(INIT, json!({"secret_shares": 2, "secret_threshold": 2})).await.text_at("/nonce");
    for _ in 0..50 {
        server.by("").post(INIT, json!({})).await.expect(403);
        server.by("").delete(INIT).await.expect(403);
        server.by("").get(INIT).await.expect(403);
    }
    assert_eq!(hand_in(&server, UPDATE, &nonce, &old[0]).await.expect(200).at("/progress"), 1);
    operator.delete(INIT).await.expect(204);
    operator.delete(INIT).await.expect(204);
    hand_in(&server, UPDATE, &nonce, &old[1]).await.expect(400);
    for wrong in [
        json!({"secret_shares": 2, "secret_threshold": 3}),
        json!({"secret_shares": 3, "secret_threshold": 1}),
        json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["x"]}),
        json!({"backup": true}),
    ] {
        operator.post(INIT, wrong).await.expect(400);
    }
    assert_eq!(operator.get(INIT).await.at("/started"), false);
    assert_eq!(operator.get("sys/rekey/backup").await.expect(400).errors(), ["no backed-up keys found"]);
    let refused = operator.get("sys/rekey-recovery-key/init").await.expect(400);
    assert!(refused.errors()[0].contains("recovery rekeying not supported"), "{}", refused.text);
    server.stop().await;
}

fn decoded(encoded: &str, otp: &str) -> String {
    let bytes = STANDARD_NO_PAD.decode(encoded).unwrap();
    assert_eq!(bytes.len(), otp.len());
    String::from_utf8(bytes.iter().zip(otp.bytes()).map(|(a, b)| a ^ b).collect()).unwrap()
}

async fn is_root(caller: Caller<'_>) {
    let own = caller.get("auth/token/lookup-self").await.expect(200);
    assert_eq!((own.at("/data/policies"), own.at("/data/ttl")), (&json!(["root"]), &json!(0)), "{}", own.text);
}

#[tokio::test]
async fn who_has_lost_every_token_makes_a_root_token_from_unseal_keys() {
    let (server, keys, _) = unsealed().await;
    // A token that is no good is no hindrance.
    for stranger in [server.by(""), server.by("hvs.long-gone")] {
        assert_eq!(stranger.get(ATTEMPT).await.expect(200).at("/started"), false);
        let started = stranger.post(ATTEMPT, json!({})).await.expect(200);
        let (nonce, otp) = (started.text_at("/nonce"), started.text_at("/otp"));
        assert_eq!((started.at("/otp_length"), otp.len()), (&json!(53), 53));
        assert_eq!((started.at("/progress"), started.at("/required")), (&json!(0), &json!(2)));
        assert_eq!(hand_in(&server, GENERATE, &nonce, &keys[2]).await.expect(200).at("/progress"), 1);
        let made = hand_in(&server, GENERATE, &nonce, &keys[0]).await.expect(200);
        assert_eq!((made.at("/complete"), made.at("/progress")), (&json!(true), &json!(2)));
        assert_eq!(made.at("/encoded_token"), made.at("/encoded_root_token"));
        let token = decoded(&made.text_at("/encoded_token"), &otp);
        is_root(server.by(&token)).await;
        assert_eq!(stranger.get(ATTEMPT).await.at("/started"), false);
        let own = server.by(&token).get("auth/token/lookup-self").await;
        let accessor = own.text_at("/data/accessor");
        let outcomes = server.world.outcomes().await;
        let of_it = outcomes.iter().rev().find(|entry| entry["path"] == GENERATE).unwrap();
        assert!(of_it.to_string().contains(&accessor), "the trail names the token that was made: {of_it}");
        let secrets = [vec![token, otp, made.text_at("/encoded_token")], keys.clone()].concat();
        trail_is_silent_about(&server.world, &secrets).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_one_time_password_of_vaults_length_gives_a_token_of_that_length() {
    let (server, keys, _) = unsealed().await;
    let otp = "BMjzW3wAsEzINXCM05Wbas3u9zSl";
    for wrong in ["short", "BMjzW3wAsEzINXCM05Wbas3u9zSl+"] {
        assert!(server.by("").post(ATTEMPT, json!({"otp": wrong})).await.expect(400).errors()[0].contains("length"));
    }
    server.by("").post(ATTEMPT, json!({"pgp_key": "x"})).await.expect(400);
    let started = server.by("").send("PUT", ATTEMPT, Some(json!({"otp": otp}))).await.expect(200);
    assert_eq!(started.at("/otp"), "");
    let nonce = started.text_at("/nonce");
    hand_in(&server, GENERATE, &nonce, &keys[0]).await.expect(200);
    let made = hand_in(&server, GENERATE, &nonce, &keys[1]).await.expect(200);
    let token = decoded(&made.text_at("/encoded_root_token"), otp);
    assert_eq!(token.len(), 28);
    is_root(server.by(&token)).await;
    server.stop().await;
}

#[tokio::test]
async fn an_attempt_belongs_to_who_knows_its_nonce() {
    let (server, keys, root) = unsealed().await;
    let (operator, stranger) = (server.by(&root), server.by(""));
    let nonce = stranger.post(ATTEMPT, json!({})).await.expect(200).text_at("/nonce");
    assert_eq!(stranger.get(ATTEMPT).await.at("/nonce"), "", "it is not told to everybody");
    assert_eq!(operator.get(ATTEMPT).await.at("/nonce"), &json!(nonce));
    for _ in 0..50 {
        stranger.delete(ATTEMPT).await.expect(403);
        assert!(stranger.post(ATTEMPT, json!({})).await.expect(400).errors()[0].contains("already in progress"));
    }
    stranger.delete(&format!("{ATTEMPT}?nonce=00000000-0000-4000-8000-000000000000")).await.expect(403);
    assert!(hand_in(&server, GENERATE, "wrong", &keys[0]).await.expect(400).errors()[0].contains("incorrect nonce"));
    assert_eq!(hand_in(&server, GENERATE, &nonce, &keys[0]).await.expect(200).at("/progress"), 1);
    stranger.delete(&format!("{ATTEMPT}?nonce={nonce}")).await.expect(204);
    hand_in(&server, GENERATE, &nonce, &keys[0]).await.expect(400);
    stranger.post(ATTEMPT, json!({})).await.expect(200);
    operator.delete(ATTEMPT).await.expect(204);
    assert_eq!(operator.get(ATTEMPT).await.at("/started"), false);
    server.stop().await;
}

#[tokio::test]
async fn nobody_without_an_unseal_key_holds_the_place_against_who_has_one() {
    let (server, keys, _) = unsealed().await;
    let stranger = server.by("");
    let squatter = stranger.post(ATTEMPT, json!({})).await.expect(200).text_at("/nonce");
    stranger.post(ATTEMPT, json!({"key": "no key"})).await.expect(400);
    let started = stranger.post(ATTEMPT, json!({"key": keys[0]})).await.expect(200);
    assert_eq!(started.at("/progress"), 1, "the key counts");
    hand_in(&server, GENERATE, &squatter, &keys[1]).await.expect(400);
    stranger.post(ATTEMPT, json!({"key": keys[1]})).await.expect(400);
    let (nonce, otp) = (started.text_at("/nonce"), started.text_at("/otp"));
    server.world.clock.advance(Duration::from_secs(599));
    let made = hand_in(&server, GENERATE, &nonce, &keys[1]).await.expect(200);
    is_root(server.by(&decoded(&made.text_at("/encoded_token"), &otp))).await;
    // An attempt of which nothing is heard ends by itself.
    let nonce = stranger.post(ATTEMPT, json!({})).await.expect(200).text_at("/nonce");
    server.world.clock.advance(Duration::from_secs(600));
    hand_in(&server, GENERATE, &nonce, &keys[0]).await.expect(400);
    assert_eq!(stranger.get(ATTEMPT).await.at("/started"), false);
    server.stop().await;
}

#[tokio::test]
async fn a_sealed_server_holds_no_ceremonies() {
    let (server, keys, root) = unsealed().await;
    let nonce = server.by("").post(ATTEMPT, json!({})).await.expect(200).text_at("/nonce");
    hand_in(&server, GENERATE, &nonce, &keys[0]).await.expect(200);
    server.by(&root).post("sys/seal", json!({})).await.expect(204);
    for path in [INIT, VERIFY, ATTEMPT, "sys/key-status"] {
        assert_eq!(server.by(&root).get(path).await.expect(503).errors(), ["Vault is sealed"]);
    }
    assert!(unseals(&server, &keys[..2]).await);
    assert_eq!(server.by(&root).get(ATTEMPT).await.expect(200).at("/started"), false, "sealing ends every attempt");
    server.stop().await;
}

/// A request that the gate has let in.
async fn grant(world: &World, path: &str, credential: Option<SecretString>) -> Box<Grant> {
    let visit = Visit {
        request: RequestId::random(world.strongroom.entropy()),
        arrived: world.clock.now(),
        dialect: "test",
        operation: Operation::Write,
        namespace: NamespacePath::root(),
        path: RequestPath::parse(path).unwrap(),
        typed: None,
        headers: Default::default(),
        source: Source { address: None, port: 0 },
        wrap_ttl: None,
    };
    let access = if credential.is_some() { Access::Token } else { Access::Open };
    let ask = Ask { visit, credential, mount: None, access, object: Object::Path { exists: None } };
    world.rooms().gate.admit(ask, &Fields::default()).await.unwrap_or_else(|error| panic!("{error}"))
}

/// What `conclude` failing leaves behind: the order is dropped with the answer that nobody saw.
#[tokio::test]
async fn new_keys_that_nobody_got_to_see_are_not_in_force() {
    let (server, old, _) = unsealed().await;
    let rooms = server.world.rooms();
    let grant = grant(&server.world, UPDATE, None).await;
    let plan = RekeyPlan { shares: 2, threshold: 2, verify: false };
    let nonce = rooms.rekeying.start(&grant, plan).await.unwrap().nonce;
    let share = |n: usize| Share::parse(&old[n]).unwrap();
    assert!(matches!(rooms.rekeying.update(&grant, &nonce, &share(0)).await, Ok(RekeyStep::Progress(_))));
    let Ok(RekeyStep::Made { order: Some(order), shares, .. }) = rooms.rekeying.update(&grant, &nonce, &share(1)).await
    else {
        panic!("no new keys were made");
    };
    server.world.trail.close().await;
    assert!(rooms.gate.conclude(grant, &Fields::default(), &Ok(Reply::empty())).await.is_err());
    drop(order);
    assert_eq!(rooms.seal_status().shares, 3);
    let reopened = World::over(Arc::clone(&server.world.store)).await;
    assert!(reopened.strongroom.unseal(Share::parse(&shares[0].to_hex()).unwrap()).await.is_err());
    reopened.strongroom.unseal(share(0)).await.unwrap();
    reopened.strongroom.unseal(share(1)).await.unwrap();
    assert!(reopened.strongroom.open().is_ok());
}

#[tokio::test]
async fn a_root_token_that_the_trail_does_not_know_of_is_revoked() {
    let (server, _, root) = unsealed().await;
    let rooms = server.world.rooms();
    let root = SecretString::new(root);
    let grant = grant(&server.world, "sys/key-status", Some(root.duplicate())).await;
    // The gate is told of a token in the same way, whoever made it: here the one that is in use.
    let unseen = Auth {
        client_token: root.duplicate(),
        made: true,
        accessor: String::new(),
        display_name: String::new(),
        token_policies: Vec::new(),
        identity_policies: Vec::new(),
        metadata: Default::default(),
        ttl: Default::default(),
        renewable: false,
        entity: None,
        token_type: TokenType::Service,
        orphan: true,
        num_uses: 0,
    };
    server.world.trail.close().await;
    let result = Ok(Reply { unseen: Some(unseen), ..Reply::empty() });
    assert!(rooms.gate.conclude(grant, &Fields::default(), &result).await.is_err());
    assert!(rooms.tokens.find(&root).await.unwrap().is_none());
}
