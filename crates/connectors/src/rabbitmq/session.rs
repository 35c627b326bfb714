use crate::network::Host;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::error::Error;
use std::pin::{Pin, pin};
use strongroom_model::{SecretBytes, SecretString};
use zeroize::Zeroizing;

/// Longest answer that is read.
const LONGEST: usize = 16 << 20;

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// One HTTP/1.1 connection, which moves only while it is asked something.
pub(super) struct Session {
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// The connection ended first.
pub(super) struct Lost(pub(super) String);

/// Whose name and password go with a request.
pub(super) struct Basic<'a> {
    pub(super) username: &'a str,
    pub(super) password: &'a SecretString,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) reusable: bool,
    body: Bytes,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Why the server refuses: `{"error": "...", "reason": "..."}`.
    pub(super) fn reason(&self) -> String {
        let answer = self.json();
        let reason = ["reason", "error"].iter().find_map(|key| answer.get(key).and_then(Value::as_str));
        reason.map_or_else(|| self.status.to_string(), str::to_owned)
    }
}

impl Session {
    pub(super) async fn open(host: &Host) -> Result<Self, Lost> {
        let wire = host.dial_secure().await.map_err(|error| Lost(error.to_string()))?;
        let (sender, connection) = handshake(TokioIo::new(wire)).await.map_err(lost)?;
        Ok(Self { sender, driver: Box::pin(connection) })
    }

    pub(super) async fn ask(
        &mut self,
        host: &str,
        who: &Basic<'_>,
        method: Method,
        path: &str,
        body: Option<SecretBytes>,
    ) -> Result<Answer, Lost> {
        let body = body.map_or_else(Bytes::new, |bytes| Bytes::from_owner(Wiped(bytes)));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().map_err(|_| Lost("its path cannot be written".to_owned()))?;
        let header =
            |text: &str| HeaderValue::from_str(text).map_err(|_| Lost("its host cannot be written".to_owned()));
        request.headers_mut().insert(HOST, header(host)?);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(AUTHORIZATION, who.header()?);
        let driver = &mut self.driver;
        let mut exchange = pin!(exchange(&mut self.sender, request));
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            end = driver.as_mut() => {
                // The connection is over; what it brought may still be taken.
                drop(end);
                exchange.await
            }
        }
    }
}

impl Basic<'_> {
    fn header(&self) -> Result<HeaderValue, Lost> {
        let pair = Zeroizing::new(format!("{}:{}", self.username, self.password.expose()));
        let text = Zeroizing::new(format!("Basic {}", *Zeroizing::new(STANDARD.encode(pair.as_bytes()))));
        let mut value = HeaderValue::from_str(&text).map_err(|_| Lost("its login cannot be written".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }
}

/// `{"password": ..., "tags": ...}`
pub(super) fn user_body(password: &SecretString, tags: &Value) -> SecretBytes {
    #[derive(serde::Serialize)]
    struct User<'a> {
        password: &'a str,
        tags: &'a Value,
    }
    SecretBytes::from_json(&User { password: password.expose(), tags }).unwrap_or_else(|_| SecretBytes::new(Vec::new()))
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> Result<Answer, Lost> {
    let response: Response<hyper::body::Incoming> = sender.send_request(request).await.map_err(lost)?;
    let status = response.status();
    let reusable =
        response.headers().get(CONNECTION).is_none_or(|value| !value.as_bytes().eq_ignore_ascii_case(b"close"));
    let body = Limited::new(response.into_body(), LONGEST).collect().await.map_err(|error| Lost(error.to_string()))?;
    Ok(Answer { status, reusable, body: body.to_bytes() })
}

fn lost(error: hyper::Error) -> Lost {
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    Lost(format!("{error}{source}"))
}

/// Bytes that are wiped when the last who sends them is done.
struct Wiped(SecretBytes);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}
