//! Behind a proxy: whose address counts for tokens, limits and the trail, and that nobody can forge one.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot be set up has failed")]

use serde_json::{Value, json};
use strongroom_api::{Bind, Forwarding, Limits};
use strongroom_core::Cidr;
use strongroom_testkit::{TestServer, World};

/// A server that believes proxies at these addresses; the tests connect from 127.0.0.1.
async fn behind(authorized: &str, reject: bool) -> TestServer {
    let (world, root) = World::open().await;
    let forwarding = Forwarding {
        authorized: vec![Cidr::parse(authorized).unwrap()],
        hop_skips: 0,
        reject_not_present: reject,
        reject_not_authorized: reject,
    };
    let bind = Bind { address: "127.0.0.1:0".to_owned(), forwarding: Some(forwarding), ..Bind::default() };
    let mut server = TestServer::start_at(world, Limits::default(), bind).await;
    server.root = root.expose().to_owned();
    server
}

async fn look_up(server: &TestServer, token: &str, forwarded: &[&str]) -> u16 {
    let mut headers = vec![("X-Vault-Token", token)];
    headers.extend(forwarded.iter().map(|line| ("X-Forwarded-For", *line)));
    server.send_raw("GET", "/v1/auth/token/lookup-self", &headers, Vec::new()).await.status.as_u16()
}

async fn bound_token(server: &TestServer, network: &str) -> String {
    let root = server.root.clone();
    server
        .send_raw(
            "POST",
            "/v1/auth/token/roles/bound",
            &[("X-Vault-Token", &root), ("X-Forwarded-For", "192.0.2.1")],
            json!({"token_bound_cidrs": [network], "allowed_policies": ["default"]}).to_string().into_bytes(),
        )
        .await
        .expect(204);
    let made = server
        .send_raw(
            "POST",
            "/v1/auth/token/create/bound",
            &[("X-Vault-Token", &root), ("X-Forwarded-For", "192.0.2.1")],
            json!({"policies": ["default"]}).to_string().into_bytes(),
        )
        .await
        .expect(200);
    made.text_at("/auth/client_token")
}

async fn sources(server: &TestServer, path: &str) -> Vec<String> {
    let lines = server.world.trail.recent(1_000).await;
    let entries = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let ours = entries.filter(|entry| entry["kind"] == "outcome" && entry["path"] == path);
    ours.map(|entry| entry["source"]["address"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_token_bound_to_a_network_is_held_to_the_client_behind_the_proxy() {
    let server = behind("127.0.0.0/8", true).await;
    let token = bound_token(&server, "203.0.113.0/24").await;
    assert_eq!(look_up(&server, &token, &["203.0.113.9"]).await, 200);
    assert_eq!(look_up(&server, &token, &["198.51.100.1"]).await, 403);
    // What a client puts in front of the proxy's own entry is not believed, in one line or in two.
    assert_eq!(look_up(&server, &token, &["203.0.113.9, 198.51.100.1"]).await, 403);
    assert_eq!(look_up(&server, &token, &["203.0.113.9", "198.51.100.1"]).await, 403);
    for refused in [&[][..], &[""], &["nonsense"], &["203.0.113.9,"], &["203.0.113.9/32"]] {
        assert_eq!(look_up(&server, &token, refused).await, 400, "{refused:?}");
    }
    let seen = sources(&server, "auth/token/lookup-self").await;
    assert_eq!(seen[..2], ["203.0.113.9", "198.51.100.1"]);
    // Refusals at the door are recorded, under the address that connected.
    let refused = sources(&server, "unreadable").await;
    assert_eq!(refused, ["127.0.0.1"; 5]);
}

#[tokio::test]
async fn a_header_from_an_address_that_is_no_proxy_is_never_believed() {
    let strict = behind("10.0.0.0/8", true).await;
    assert_eq!(look_up(&strict, "x", &["203.0.113.9"]).await, 400);
    assert_eq!(look_up(&strict, "x", &[]).await, 400);
    let lax = behind("10.0.0.0/8", false).await;
    let token = bound_token(&lax, "203.0.113.0/24").await;
    assert_eq!(look_up(&lax, &token, &["203.0.113.9"]).await, 403);
    assert_eq!(sources(&lax, "auth/token/lookup-self").await, ["127.0.0.1"]);
}

#[tokio::test]
async fn rate_limits_count_the_clients_behind_the_proxy_apart() {
    let server = behind("127.0.0.1", true).await;
    let root = server.root.clone();
    let rule = json!({"rate": 1.0, "interval": "1h", "path": "auth/token"}).to_string().into_bytes();
    let headers = [("X-Vault-Token", root.as_str()), ("X-Forwarded-For", "192.0.2.1")];
    server.send_raw("POST", "/v1/sys/quotas/rate-limit/one", &headers, rule).await.expect(204);
    let mut answers = Vec::new();
    for client in ["203.0.113.1", "203.0.113.1", "203.0.113.2", "9.9.9.9, 203.0.113.2"] {
        answers.push(look_up(&server, &root, &[client]).await);
    }
    assert_eq!(answers, [200, 429, 200, 429]);
}

#[tokio::test]
async fn without_authorized_addresses_the_header_counts_for_nothing() {
    let server = TestServer::open().await;
    let root = server.root.clone();
    assert_eq!(look_up(&server, &root, &["203.0.113.9"]).await, 200);
    assert_eq!(sources(&server, "auth/token/lookup-self").await, ["127.0.0.1"]);
}

#[tokio::test]
async fn nothing_can_be_smuggled_behind_a_request_that_is_framed_in_two_ways() {
    let server = TestServer::open().await;
    let smuggled = "GET /v1/sys/seal-status HTTP/1.1\r\nHost: x\r\n\r\n";
    for framing in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        let text = format!("POST /v1/sys/health HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n0\r\n\r\n{smuggled}");
        let heard = server.speak(text.as_bytes()).await;
        assert_eq!(heard.matches("HTTP/1.1 ").count(), 1, "{heard}");
        assert!(heard.to_ascii_lowercase().contains("connection: close"), "{heard}");
    }
}
