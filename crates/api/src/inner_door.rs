//! The door that drills come in by: a connection inside the process, served as any other. A request over it is parsed,
//! limited, routed, decided and recorded like anybody's; what it does not pass is the network and TLS.

use crate::server::Server;
use async_trait::async_trait;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};
use std::sync::{Arc, Weak};
use std::time::Duration;
use strongroom_core::access_key::MadeKey;
use strongroom_core::drill::{Door, Met};
use strongroom_core::tool::Digest;
use strongroom_core::{CoreError, Fields};
use strongroom_model::{MountPath, SecretPath, SecretString, Timestamp};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the connection holds in each direction.
const BUFFER: usize = 64 * 1024;
/// The host that requests name.
const INSIDE: &str = "strongroom.internal";
/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Errors of AWS that say that the signer, not the server, is the reason.
const REFUSALS: [&str; 5] = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "AccessDeniedException",
    "ExpiredTokenException",
    "InvalidSignatureException",
];

pub(crate) struct InnerDoor {
    server: Weak<Server>,
}

/// An answer: the status, and the body where it is JSON.
type Answer = (StatusCode, Value);

impl InnerDoor {
    pub(crate) fn new(server: &Arc<Server>) -> Self {
        Self { server: Arc::downgrade(server) }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let server = self.server.upgrade().ok_or("the server has closed its doors")?;
        let (near, far) = tokio::io::duplex(BUFFER);
        let asking = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(near)).await?;
            let answering = async move {
                let response = sender.send_request(request).await?;
                let status = response.status();
                let body = response.into_body().collect().await?.to_bytes();
                Ok::<_, hyper::Error>((status, serde_json::from_slice(&body).unwrap_or_default()))
            };
            let (answered, _) = tokio::join!(answering, connection);
            answered
        };
        // On a stack of its own: a drill may be asked for by a request, and two within each other are more than a thread's
        // stack holds in a build for debugging.
        let mut serving = JoinSet::new();
        serving.spawn(async move { server.serve_within(far).await });
        let both = async { tokio::join!(serving.join_next(), asking).1 };
        match timeout(PATIENCE, both).await {
            Ok(answered) => answered.map_err(|error| error.to_string()),
            Err(_) => Err(format!("there was no answer within {} s", PATIENCE.as_secs())),
        }
    }

    async fn with_token(
        &self,
        method: Method,
        token: &SecretString,
        path: &str,
        fields: Option<Map<String, Value>>,
    ) -> Met {
        let address = format!("/v1/{}", utf8_percent_encode(path, PLAIN));
        let request = begun(method, &address).header("X-Vault-Token", token.expose());
        let body = fields.map_or_else(Bytes::new, |fields| Bytes::from(Value::Object(fields).to_string()));
        match request.body(Full::new(body)) {
            Ok(request) => met(self.send(request).await),
            Err(error) => Met::Hindered(error.to_string()),
        }
    }

    fn signed(
        &self,
        key: &MadeKey,
        region: &str,
        secret: &str,
        now: Timestamp,
    ) -> Result<Request<Full<Bytes>>, CoreError> {
        const MEDIA: &str = "application/x-amz-json-1.1";
        const TARGET: &str = "secretsmanager.GetSecretValue";
        let hash = Digest::parse("sha2-256")?;
        let digest = |bytes: &[u8]| hex::encode(hash.sum(bytes));
        let body = json!({ "SecretId": SecretPath::parse(secret)?.aws_name() }).to_string();
        let stamp = stamp(now);
        let date = stamp.get(..8).unwrap_or_default();
        let headers = format!("content-type:{MEDIA}\nhost:{INSIDE}\nx-amz-date:{stamp}\nx-amz-target:{TARGET}\n");
        let names = "content-type;host;x-amz-date;x-amz-target";
        let canonical = format!("POST\n/\n\n{headers}\n{names}\n{}", digest(body.as_bytes()));
        let scope = format!("{date}/{region}/secretsmanager/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{}", digest(canonical.as_bytes()));
        let signature = key.sign(date, region, "secretsmanager", &to_sign);
        let credential = format!("{}/{scope}", key.key.id);
        let authorization =
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}");
        begun(Method::POST, "/")
            .header(CONTENT_TYPE, MEDIA)
            .header("X-Amz-Date", &stamp)
            .header("X-Amz-Target", TARGET)
            .header("Authorization", authorization)
            .body(Full::new(Bytes::from(body)))
            .map_err(|_| CoreError::Internal("a request of a drill could not be made"))
    }
}

#[async_trait]
impl Door for InnerDoor {
    async fn read(&self, token: &SecretString, path: &str) -> Met {
        self.with_token(Method::GET, token, path, None).await
    }

    async fn write(&self, token: &SecretString, path: &str, fields: Map<String, Value>) -> Met {
        self.with_token(Method::POST, token, path, Some(fields)).await
    }

    async fn delete(&self, token: &SecretString, path: &str) -> Met {
        self.with_token(Method::DELETE, token, path, None).await
    }

    fn region_of(&self, mount: &MountPath) -> Option<String> {
        self.server.upgrade()?.region_of(mount)
    }

    async fn read_signed(&self, key: &MadeKey, region: &str, secret: &str) -> Met {
        let Some(server) = self.server.upgrade() else {
            return Met::Hindered("the server has closed its doors".to_owned());
        };
        let request = match self.signed(key, region, secret, server.now()) {
            Ok(request) => request,
            Err(error) => return Met::Hindered(error.to_string()),
        };
        let answer = self.send(request).await;
        let kind = |body: &Value| body.get("__type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match &answer {
            Ok((status, body)) if status.is_client_error() => {
                let kind = kind(body);
                let kind = kind.rsplit('#').next().unwrap_or_default();
                match kind {
                    "ResourceNotFoundException" => Met::Absent,
                    kind if REFUSALS.contains(&kind) => Met::Denied,
                    kind => Met::Hindered(format!("status {status}: {kind}")),
                }
            }
            _ => met(answer),
        }
    }
}

fn begun(method: Method, address: &str) -> Builder {
    Request::builder().method(method).uri(address).header(HOST, INSIDE).header(CONNECTION, "close")
}

fn met(answer: Result<Answer, String>) -> Met {
    let (status, mut body) = match answer {
        Ok(answer) => answer,
        Err(why) => return Met::Hindered(why),
    };
    match status {
        StatusCode::FORBIDDEN => Met::Denied,
        StatusCode::NOT_FOUND => Met::Absent,
        status if status.is_success() => {
            let data = body.get_mut("data").map(Value::take).unwrap_or_default();
            Met::LetIn(Fields::new(match data {
                Value::Object(data) => data,
                _ => Map::new(),
            }))
        }
        status => {
            let why = body.pointer("/errors/0").and_then(Value::as_str).unwrap_or_default();
            Met::Hindered(format!("status {}: {why}", status.as_u16()))
        }
    }
}

/// As signatures have it: `20261121T084412Z`.
fn stamp(now: Timestamp) -> String {
    let text = Timestamp::from_secs(now.secs()).to_string();
    text.chars().filter(|c| !matches!(c, '-' | ':')).collect()
}
