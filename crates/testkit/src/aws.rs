//! A client of AWS's, as small as can be: signs its requests with an access key (AWS General Reference, "Create a signed AWS
//! API request"). What real clients send is tested with those clients.

use crate::{Answer, TestServer};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use serde_json::{Value, json};
use strongroom_model::Timestamp;

/// What is signed of each request, beside its method, path and body.
const NAMES: &str = "host;x-amz-date;x-amz-target";

/// A client with a key of its own, which speaks to `localhost` in `us-east-1`.
pub struct AwsClient {
    /// The name of its key.
    pub id: String,
    secret: String,
}

impl AwsClient {
    /// With this key.
    pub fn of(id: String, secret: String) -> Self {
        Self { id, secret }
    }

    /// With a fresh key that has these policies.
    pub async fn new(server: &TestServer, name: &str, policies: &[&str]) -> Self {
        let made =
            server.operator().post("sys/access-keys", json!({"name": name, "policies": policies})).await.expect(200);
        Self::of(made.text_at("/data/access_key_id"), made.text_at("/data/secret_access_key"))
    }

    /// Calls an operation, such as `secretsmanager.GetSecretValue`.
    pub async fn call(&self, server: &TestServer, target: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let headers = self.headers(server.world.strongroom.clock().now(), target, &body);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        server.send_raw("POST", "/", &headers, body.into_bytes()).await
    }

    /// The headers of a call at that time, `host: localhost` left out.
    pub fn headers(&self, now: Timestamp, target: &str, body: &str) -> Vec<(&'static str, String)> {
        let digits: String = now.to_string().chars().take(19).filter(char::is_ascii_alphanumeric).collect();
        let (day, stamp) = (digits.chars().take(8).collect::<String>(), format!("{digits}Z"));
        let service = match target.split('.').next() {
            Some("AmazonSSM") => "ssm",
            other => other.unwrap_or_default(),
        };
        let canonical =
            format!("POST\n/\n\nhost:localhost\nx-amz-date:{stamp}\nx-amz-target:{target}\n\n{NAMES}\n{}", hash(body));
        let scope = [day.as_str(), "us-east-1", service, "aws4_request"];
        let text = format!("AWS4-HMAC-SHA256\n{stamp}\n{}\n{}", scope.join("/"), hash(&canonical));
        let first = format!("AWS4{}", self.secret).into_bytes();
        let key = scope.iter().fold(first, |key, part| keyed(&key, part));
        let signature = hex::encode(keyed(&key, &text));
        let credential = format!("{}/{}", self.id, scope.join("/"));
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={NAMES}, Signature={signature}");
        vec![
            ("x-amz-date", stamp),
            ("x-amz-target", target.to_owned()),
            ("content-type", "application/x-amz-json-1.1".to_owned()),
            ("authorization", authorization),
        ]
    }
}

fn hash(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

fn keyed(key: &[u8], text: &str) -> Vec<u8> {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}
