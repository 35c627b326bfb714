//! A client of AWS's among the readers.

use crate::network::speak_from_elsewhere;
use crate::{READS_APP, ask, get, incident};
use serde_json::{Value, json};
use std::time::Duration;
use strongroom_testkit::{Answer, AwsClient, TestServer};

/// A client of AWS's with a key of its own.
pub(crate) struct Aws<'a> {
    server: &'a TestServer,
    client: AwsClient,
}

const READ: &str = "secretsmanager.GetSecretValue";

impl<'a> Aws<'a> {
    pub(crate) async fn new(server: &'a TestServer, name: &str, rules: &str) -> Self {
        server.policy(name, rules).await;
        Self { server, client: AwsClient::new(server, name, &[name]).await }
    }

    /// The name of its key.
    pub(crate) fn id(&self) -> &str {
        &self.client.id
    }

    pub(crate) async fn read(&self, name: &str) -> Answer {
        self.ask(json!({"SecretId": name})).await
    }

    pub(crate) async fn ask(&self, body: Value) -> Answer {
        self.client.call(self.server, READ, &body).await
    }

    /// From another address of this machine; the status.
    pub(crate) async fn read_from_elsewhere(&self, name: &str) -> String {
        let body = json!({"SecretId": name}).to_string();
        let headers = self.client.headers(self.server.world.strongroom.clock().now(), READ, &body);
        let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length = body.len();
        let text = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        speak_from_elsewhere(self.server, &text).await
    }
}

/// Entries of AWS's clients say `GetSecretValue` where others say `read`: they were nobody's reads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_through_aws_is_a_reader_wherever_readers_are_asked_for() {
    let server = TestServer::open().await;
    let root = server.root.clone();
    server.operator().post("secret/data/app/db", json!({"data": {"v": 1}})).await.expect(200);
    let svc = Aws::new(&server, "svc", READS_APP).await;
    for _ in 0..3 {
        svc.read("app/db").await.expect(200);
    }
    let arn = "arn:aws:secretsmanager:us-east-1:000000000000:secret:app/db-AbCdEf";
    for path in ["secret/app/db", "secret/data/app/db", arn] {
        let readers = get(&server, &root, &format!("trail/who-reads?path={path}")).await.expect(200);
        assert_eq!(readers.at("/data/path"), "secret/data/app/db");
        assert_eq!(readers.at("/data/consumers/0/principal"), "access-key-svc", "{}", readers.text);
        assert_eq!((readers.at("/data/consumers/0/reads"), readers.at("/data/consumers/1")), (&json!(3), &json!(null)));
        let entries = get(&server, &root, &format!("trail/query?operation=read&path={path}")).await.expect(200);
        assert_eq!(entries.at("/data/entries").as_array().unwrap().len(), 3, "{path}: {}", entries.text);
    }
    for name in ["access-key-svc", svc.id()] {
        let reads = get(&server, &root, &format!("trail/reads-what?principal={name}")).await.expect(200);
        assert_eq!(reads.at("/data/uses/0/path"), "secret/data/app/db", "{name}: {}", reads.text);
    }
    let review = get(&server, &root, "trail/review").await.expect(200);
    assert!(!review.at("/data/unused_secrets").to_string().contains("app/db"), "{}", review.text);
    for foreign in ["arn:aws:secretsmanager:us-east-1:111111111111:secret:app/db", "arn:aws:s3:::app"] {
        get(&server, &root, &format!("trail/query?path={foreign}")).await.expect(400);
    }
    // An incident counts them too.
    let target = json!({"secret": arn});
    let preview = ask(&server, &root, "POST", "revoke/preview", Some(target.clone())).await.expect(200);
    assert_eq!(preview.at("/data/touches/1/count"), 1, "{}", preview.text);
    server.world.clock.advance(Duration::from_secs(1));
    let id = incident(&server, target).await;
    server.world.clock.advance(Duration::from_secs(1));
    assert_ne!(svc.read("app/db").await.status, 200);
    let shown = get(&server, &root, &format!("incidents/{id}")).await.expect(200);
    assert_eq!(shown.at("/data/figures/refused_after"), 1, "{}", shown.text);
    assert_eq!(shown.at("/data/figures/consumers/0/state"), "refused", "{}", shown.text);
    server.stop().await;
}
