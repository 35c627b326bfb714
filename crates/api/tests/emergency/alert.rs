//! Which askings for what is not there raise an alert.

use crate::aws::Aws;
use crate::{READS_APP, get, incident};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use strongroom_testkit::TestServer;

/// Whatever was not found was taken for disabled: a label that holds nothing, a number or an id that never was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_what_never_was_raises_no_alert_and_who_asks_for_what_was_taken_away_does() {
    let server = TestServer::open().await;
    let (operator, root) = (server.operator(), server.root.clone());
    for name in ["never", "hidden", "held", "shredded", "removed", "pruned"] {
        operator.post(&format!("secret/data/app/{name}"), json!({"data": {"v": 1}})).await.expect(200);
    }
    let svc = Aws::new(&server, "svc", READS_APP).await;
    let token = server.token(json!({"policies": ["svc"]})).await;
    for name in ["never", "hidden", "held"] {
        svc.read(&format!("app/{name}")).await.expect(200);
    }
    for name in ["never", "shredded", "removed", "pruned"] {
        server.by(&token).get(&format!("secret/data/app/{name}")).await.expect(200);
    }
    server.world.clock.advance(Duration::from_secs(60));
    // What never was.
    for more in [json!({"VersionStage": "AWSPENDING"}), json!({"VersionId": "0f0e0d0c-0b0a-4908-8706-050403020100"})] {
        let mut body = json!({"SecretId": "app/never"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let refused = svc.ask(body).await.expect(400);
        assert!(refused.text.contains("ResourceNotFoundException"), "{}", refused.text);
    }
    for version in [2, 99] {
        server.by(&token).get(&format!("secret/data/app/never?version={version}")).await.expect(404);
    }
    svc.read("app/nothing").await.expect(400);
    // What was taken away.
    operator.delete("secret/data/app/hidden").await.expect(204);
    svc.read("app/hidden").await.expect(400);
    incident(&server, json!({"secret": "secret/app/held"})).await;
    svc.read("app/held").await.expect(400);
    operator.send("PUT", "secret/destroy/app/shredded", Some(json!({"versions": [1]}))).await.expect(204);
    server.by(&token).get("secret/data/app/shredded").await.expect(404);
    operator.delete("secret/metadata/app/removed").await.expect(204);
    server.by(&token).get("secret/data/app/removed").await.expect(404);
    operator.post("secret/metadata/app/pruned", json!({"max_versions": 1})).await.expect(204);
    operator.post("secret/data/app/pruned", json!({"data": {"v": 2}})).await.expect(200);
    server.by(&token).get("secret/data/app/pruned?version=1").await.expect(404);
    let told = async || {
        let all = get(&server, &root, "alerts").await.expect(200).at("/data/alerts").as_array().unwrap().clone();
        let text = |one: &Value| format!("{} {}", one["kind"].as_str().unwrap(), one["path"].as_str().unwrap());
        all.iter().rev().map(text).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !told().await.iter().any(|one| one.ends_with("pruned")) {
        assert!(Instant::now() < deadline, "{:?}", told().await);
        tokio::task::yield_now().await;
    }
    let wanted = ["hidden", "held", "shredded", "removed", "pruned"];
    assert_eq!(told().await, wanted.map(|name| format!("disabled-version secret/data/app/{name}")));
    server.stop().await;
}
