//! The AWS door from outside: every operation of every table, by nobody, by a stranger, on a sealed server; and that the
//! manual names each. What clients see when they are let in is tested with the clients themselves (`tests/test_aws_*.py`).

use serde_json::{Value, json};
use strongroom_api::{Limits, walk_operations};
use strongroom_testkit::{Answer, TestServer, World};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

/// Calls an operation of a service, signed by somebody if there is a signature.
async fn call(server: &TestServer, service: &str, name: &str, signature: Option<&str>) -> Answer {
    let scope = match service {
        "AmazonSSM" => "ssm",
        other => other,
    };
    let stamp = server.world.strongroom.clock().now().to_string();
    let stamp: String =
        stamp.split('.').next().unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
    let stamp = format!("{}Z", stamp.trim_end_matches('Z'));
    let day = stamp.get(..8).unwrap_or_default().to_owned();
    let target = format!("{service}.{name}");
    let authorization = signature.map(|signature| {
        let signed = if service == "sts" { "host;x-amz-date" } else { "host;x-amz-date;x-amz-target" };
        format!("AWS4-HMAC-SHA256 Credential={KEY}/{day}/us-east-1/{scope}/aws4_request, SignedHeaders={signed}, Signature={signature}")
    });
    let mut headers = vec![("x-amz-date", stamp.as_str())];
    headers.extend(authorization.as_deref().map(|text| ("authorization", text)));
    if service == "sts" {
        headers.push(("content-type", "application/x-www-form-urlencoded"));
        return server.send_raw("POST", "/", &headers, format!("Action={name}&Version=2011-06-15").into_bytes()).await;
    }
    headers.push(("x-amz-target", &target));
    headers.push(("content-type", "application/x-amz-json-1.1"));
    let body = json!({ "SecretId": "there", "Name": "there", "ClientRequestToken": "x".repeat(36) });
    server.send_raw("POST", "/", &headers, body.to_string().into_bytes()).await
}

async fn furnished() -> TestServer {
    let server = TestServer::open().await;
    server.operator().post("secret/data/there", json!({"data": {"a": "canary"}})).await.expect(200);
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_and_no_stranger_gets_anything_or_changes_anything() {
    let server = furnished().await;
    let before = server.world.snapshot().await;
    let forged = "0".repeat(64);
    for signature in [None, Some("00"), Some(forged.as_str())] {
        for (service, name) in walk_operations() {
            let recorded = server.world.outcomes().await.len();
            let answer = call(&server, service, name, signature).await;
            assert!(matches!(answer.status.as_u16(), 400 | 403), "{service} {name}: {} {}", answer.status, answer.text);
            assert!(
                !answer.text.contains("canary") && answer.headers.contains_key("x-amzn-requestid"),
                "{}",
                answer.text
            );
            let expected: &[&str] = match (signature, name) {
                (None, "AssumeRoleWithWebIdentity") => &["ValidationError"],
                (None, _) => &["MissingAuthenticationToken"],
                (Some(_), _) => &["UnrecognizedClientException", "InvalidClientTokenId"],
            };
            assert!(expected.iter().any(|code| answer.text.contains(code)), "{service} {name}: {}", answer.text);
            assert_eq!(server.world.outcomes().await.len() - recorded, 1, "one outcome for {service} {name}");
        }
    }
    assert!(server.world.snapshot().await == before, "a refused request changed the store");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_server_answers_that_it_is_out_of_service() {
    let (world, ..) = World::sealed().await;
    let server = TestServer::start(world, Limits::default()).await;
    for (service, name) in walk_operations() {
        let answer = call(&server, service, name, Some("00")).await;
        assert_eq!(answer.status, 503, "{service} {name}: {}", answer.text);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_request_of_aws_goes_where_it_went() {
    let server = furnished().await;
    server.send_raw("GET", "/", &[], Vec::new()).await.expect(404);
    let answer = server.send_raw("POST", "/", &[("x-amz-target", "secretsmanager")], Vec::new()).await;
    assert!(answer.status == 400 && answer.text.contains("InvalidAction"), "{}", answer.text);
    let answer = server.send_raw("POST", "/", &[("x-amz-target", "dynamodb.Scan")], b"{}".to_vec()).await;
    assert_eq!(answer.at("/__type"), &Value::from("UnknownOperationException"), "{}", answer.text);
    server.stop().await;
}

#[test]
fn the_page_of_dialects_names_every_operation() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dialects.md")).unwrap();
    for (service, name) in walk_operations() {
        assert!(page.contains(&format!("`{name}`")), "docs/dialects.md does not name {service} {name}");
    }
}
