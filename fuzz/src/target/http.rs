//! Bytes on a connection: headers of a request, and whole requests. The server answers or closes, gives nothing away,
//! repeats no secret, and serves the next one.

use super::key::{Harness, STORED};
use super::{CANARY, Target, seeds};
use std::time::Duration;
use strongroom_testkit::TestServer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(super) const HEADER: Target = Target {
    name: "header",
    words: &[
        CANARY,
        "X-Vault-Token: ",
        "Authorization: Bearer ",
        "Authorization: AWS4-HMAC-SHA256 Credential=",
        "X-Vault-Namespace: ",
        "X-Vault-Wrap-TTL: ",
        "X-Forwarded-For: ",
        "X-Vault-Request: true",
        "X-Amz-Target: secretsmanager.GetSecretValue",
        "X-Amz-Date: 20261121T000000Z",
        "Content-Type: ",
        "Origin: ",
        "Host: ",
        "Content-Length: ",
        "Transfer-Encoding: chunked",
        "Expect: 100-continue",
        "Connection: ",
        "close",
        "Upgrade: h2c",
        "hvs.",
        "1h",
        ", ",
        "127.0.0.1",
    ],
    seeds: || {
        seeds(&[
            "X-Vault-Token: hvs.hunter2-canary",
            "Authorization: Bearer hunter2-canary",
            "X-Vault-Namespace: root/\nX-Vault-Wrap-TTL: 60s\nX-Vault-Request: true",
            "X-Forwarded-For: 10.0.0.1, 127.0.0.1\nX-Vault-Token: hunter2-canary",
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIA/20261121/eu/secretsmanager/aws4_request, SignedHeaders=host, Signature=00\nX-Amz-Date: 20261121T000000Z",
            "Origin: https://a.example\nContent-Type: application/json; charset=utf-8",
        ])
    },
    run: |data| {
        let mut request = b"GET /v1/secret/data/x HTTP/1.1\r\nHost: a\r\n".to_vec();
        // A line is a header: without its end a change could only ever spoil the whole request.
        for line in data.split(|byte| *byte == b'\n') {
            request.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        let heard = exchange(&request);
        assert!(!heard.contains(CANARY), "a header is repeated: {heard}");
        heard
    },
};

pub(super) const HTTP: Target = Target {
    name: "http",
    words: &[
        "GET ",
        "POST ",
        "LIST ",
        "PUT ",
        "DELETE ",
        "PATCH ",
        "OPTIONS ",
        "/v1/",
        "sys/health",
        "secret/data/x",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        " HTTP/2.0\r\n",
        "Host: a\r\n",
        "\r\n\r\n",
        "Content-Length: 2\r\n",
        "Content-Length: 99999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "Connection: close\r\n",
        "Expect: 100-continue\r\n",
        "?list=true",
        "?help=1",
        "?version=1",
        "http://a/",
        "\u{16}\u{3}\u{1}",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
    seeds: || {
        seeds(&[
            "GET /v1/sys/health HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST /v1/auth/token/lookup HTTP/1.1\r\nHost: a\r\nX-Vault-Token: hvs.x\r\nContent-Length: 13\r\n\r\n{\"token\":\"x\"}",
            "POST /v1/secret/data/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n2\r\n1}\r\n0\r\n\r\n",
            "LIST /v1/secret/metadata?list=true HTTP/1.1\r\nHost: a\r\nX-Vault-Token: hvs.x\r\n\r\n",
            "GET /v1/sys/seal-status HTTP/1.1\r\nHost: a\r\n\r\nGET /v1/sys/leader HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "PUT /v1/sys/unseal HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n{\"key\":\"a\"}",
        ])
    },
    run: exchange,
};

/// Sends the bytes and ends, hears the answers, and looks whether the server is well.
fn exchange(request: &[u8]) -> String {
    Harness::with(|harness| {
        let heard = harness.runtime.block_on(async {
            let mut stream = harness.server.connect().await;
            // What the server refuses to take is not an error: it may answer and close before the end.
            let _ = stream.write_all(request).await;
            let _ = stream.shutdown().await;
            let mut heard = Vec::new();
            let hearing = tokio::time::timeout(Duration::from_secs(4), stream.read_to_end(&mut heard)).await;
            assert!(hearing.is_ok(), "the server neither answers nor closes; so far: {}", heard.escape_ascii());
            String::from_utf8_lossy(&heard).into_owned()
        });
        judge(&heard);
        still_well(harness, &heard);
        summary(&heard)
    })
}

fn judge(heard: &str) {
    assert!(heard.is_empty() || heard.starts_with("HTTP/1."), "this is no answer: {heard}");
    assert!(!heard.contains(STORED), "a stranger was given a secret: {heard}");
    for line in heard.split("\r\n").filter(|line| line.starts_with("HTTP/1.1 ")) {
        assert!(!line.starts_with("HTTP/1.1 5"), "a stranger breaks the server: {heard}");
    }
}

/// Asked only now and then: it takes as long as the rest.
fn still_well(harness: &Harness, heard: &str) {
    if heard.len().is_multiple_of(16) {
        harness.runtime.block_on(async {
            let server: &TestServer = &harness.server;
            server.by("").get("sys/health").await.expect(200);
        });
    }
}

/// The statuses, and the first error: what branch was taken.
fn summary(heard: &str) -> String {
    let statuses: Vec<&str> = heard
        .split("\r\n")
        .filter(|line| line.starts_with("HTTP/1."))
        .filter_map(|line| line.get(9..12))
        .take(3)
        .collect();
    // Digits do not count as another outcome, so statuses are spelled in letters.
    let spelled: String =
        statuses.join(" ").bytes().map(|byte| if byte == b' ' { ' ' } else { char::from(b'a' + byte % 26) }).collect();
    let error = heard.split("\"errors\":[").nth(1).unwrap_or_default();
    format!("{spelled} {}", error.chars().take(80).collect::<String>())
}
