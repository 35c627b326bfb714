//! Random bytes, digests and password policies over HTTP.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use serde_json::json;
use std::collections::HashSet;
use strongroom_testkit::TestServer;

#[tokio::test]
async fn random_bytes_come_in_the_number_and_form_asked_for() {
    let server = TestServer::open().await;
    let operator = server.operator();
    for (path, body, length) in [
        ("sys/tools/random", json!({}), 44),
        ("sys/tools/random", json!({"bytes": 5, "format": "hex"}), 10),
        ("sys/tools/random/7", json!({"format": "hex", "bytes": 100}), 14),
        ("sys/tools/random/all", json!({"format": "hex", "bytes": 3}), 6),
        ("sys/tools/random/platform/9", json!({"format": "hex"}), 18),
    ] {
        let first = operator.post(path, body.clone()).await.expect(200).text_at("/data/random_bytes");
        let second = operator.post(path, body).await.expect(200).text_at("/data/random_bytes");
        assert_eq!(first.len(), length, "{path}");
        assert_ne!(first, second);
    }
    let sealed = operator.post("sys/tools/random/seal/4", json!({})).await.expect(200);
    assert!(sealed.text_at("/warnings/0").contains("platform entropy"));
    for (path, body, text) in [
        ("sys/tools/random/0", json!({}), "'bytes' cannot be less than 1"),
        ("sys/tools/random/131073", json!({}), "'bytes' should be less than 131072"),
        ("sys/tools/random/x", json!({}), "error parsing url-set byte count"),
        ("sys/tools/random/x/1", json!({}), "unsupported entropy source; must be \"platform\" or \"seal\", or \"all\""),
        ("sys/tools/random", json!({"format": "raw"}), "unsupported encoding format; must be \"hex\" or \"base64\""),
    ] {
        assert_eq!(operator.post(path, body).await.expect(400).errors(), [text], "{path}");
    }
}

#[tokio::test]
async fn random_bytes_do_not_stand_in_the_trail() {
    let server = TestServer::open().await;
    let given = server.operator().post("sys/tools/random/32", json!({})).await.expect(200);
    let given = given.text_at("/data/random_bytes");
    let trail = server.world.entries().await;
    assert!(trail.iter().any(|entry| entry["path"] == "sys/tools/random/32"));
    assert!(!trail.iter().any(|entry| entry.to_string().contains(&given)));
}

#[tokio::test]
async fn digests_are_those_of_vaults_tests() {
    let server = TestServer::open().await;
    let operator = server.operator();
    // "dGhlIHF1aWNrIGJyb3duIGZveA==" is "the quick brown fox" (Vault: TestSystemBackend_ToolsHash).
    let input = "dGhlIHF1aWNrIGJyb3duIGZveA==";
    let hex = "9ecb36561341d18eb65484e833efea61edc74b84cf5e6ae1b81c63533e25fc8f";
    for (path, body, sum) in [
        ("sys/tools/hash", json!({"input": input}), hex),
        ("sys/tools/hash/sha2-256", json!({"input": input, "algorithm": "sha2-512"}), hex),
        ("sys/tools/hash", json!({"input": input, "format": "base64"}), "nss2VhNB0Y62VIToM+/qYe3HS4TPXmrhuBxjUz4l/I8="),
        (
            "sys/tools/hash",
            json!({"input": input, "algorithm": "sha2-224"}),
            "ea074a96cabc5a61f8298a2c470f019074642631a49e1c5e2f560865",
        ),
    ] {
        assert_eq!(operator.post(path, body).await.expect(200).text_at("/data/sum"), sum, "{path}");
    }
    for body in [json!({"input": "%%%"}), json!({"algorithm": "md5"}), json!({"format": "binary"})] {
        operator.post("sys/tools/hash", body).await.expect(400);
    }
}

const POLICY: &str = "length = 20\nrule \"charset\" {\n  charset = \"abcdefgh\"\n  min-chars = 2\n}\nrule \"charset\" {\n  charset = \"0123\"\n  min-chars = 1\n}\n";

#[tokio::test]
async fn a_password_policy_is_kept_and_makes_passwords() {
    let server = TestServer::open().await;
    let operator = server.operator();
    operator.list("sys/policies/password").await.expect(404);
    operator.post("sys/policies/password/web", json!({"policy": POLICY})).await.expect(204);
    let base64 = "bGVuZ3RoID0gNApydWxlICJjaGFyc2V0IiB7IGNoYXJzZXQgPSAiYWIiIH0K";
    operator.post("sys/policies/password/pin", json!({"policy": base64})).await.expect(204);
    assert_eq!(operator.list("sys/policies/password").await.at("/data/keys"), &json!(["pin", "web"]));
    assert_eq!(operator.get("sys/policies/password/web").await.at("/data/policy"), POLICY);
    let mut made = HashSet::new();
    for _ in 0..20 {
        let password = operator.get("sys/policies/password/web/generate").await.expect(200).text_at("/data/password");
        assert_eq!(password.len(), 20);
        assert!(password.chars().filter(|c| ('a'..='h').contains(c)).count() >= 2, "{password}");
        assert!(password.chars().any(|c| ('0'..='3').contains(&c)), "{password}");
        made.insert(password);
    }
    assert_eq!(made.len(), 20);
    operator.delete("sys/policies/password/web").await.expect(204);
    for path in ["sys/policies/password/web", "sys/policies/password/web/generate"] {
        assert_eq!(operator.get(path).await.expect(404).errors(), ["policy does not exist"]);
    }
}

#[tokio::test]
async fn a_password_policy_that_cannot_be_satisfied_is_refused() {
    let server = TestServer::open().await;
    let operator = server.operator();
    for (policy, text) in [
        ("", "missing policy"),
        ("length = 2 rule \"charset\" { charset = \"ab\" }", "passwords must be between 4 and 100 characters"),
        ("length = 20", "no charset specified"),
        ("length = 20 rule \"x\" { }", "unrecognized rule type"),
    ] {
        let answer = operator.post("sys/policies/password/web", json!({"policy": policy})).await.expect(400);
        assert!(answer.errors()[0].contains(text), "{}", answer.text);
    }
    operator.list("sys/policies/password").await.expect(404);
    let nobody = server.token(json!({"policies": ["default"]})).await;
    server.by(&nobody).get("sys/policies/password/web/generate").await.expect(403);
}
