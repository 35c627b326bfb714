//! One message to one address: POST over HTTP/1.1, by one deadline, without redirects.

use super::dial::{Trust, Wire, dial, dial_secure};
use super::reach::Reach;
use super::sign::sign;
use crate::CoreError;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::handshake;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;
use strongroom_model::{SecretString, Timestamp};

/// The most of an answer that is read.
const MOST_ANSWER: usize = 64 * 1024;

/// Where messages go. Holds the address, which may be a credential, so it is not printed.
pub struct Target {
    host: String,
    port: u16,
    path: SecretString,
    trust: Option<Trust>,
    reach: Reach,
}

/// What is sent.
pub struct Parcel<'a> {
    /// What the receiver can tell repetitions by.
    pub id: &'a str,
    /// The time that is signed.
    pub time: Timestamp,
    /// The media type.
    pub media_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
    /// The key for the signature; none: it is not signed.
    pub key: Option<&'a SecretString>,
    /// The value of the header `authorization`, for receivers that want one.
    pub authorization: Option<&'a SecretString>,
}

/// What the receiver said.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body, at most 64 KiB of it. Not to be repeated in errors or logs unseen.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the receiver took it.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Target {
    /// Takes an address apart: `https://host[:port]/path`, or plain `http` to this machine itself where `internal` allows
    /// it. `ca` is who vouches for it, in PEM. The address is not repeated in errors: it may be a credential.
    pub fn parse(url: &SecretString, ca: Option<&str>, internal: bool) -> Result<Self, CoreError> {
        let invalid = |why: &str| CoreError::Invalid(format!("the url cannot be used: {why}"));
        let uri: Uri = url.expose().parse().map_err(|_| invalid("it is no URL such as https://host/path"))?;
        let authority = uri.authority().ok_or_else(|| invalid("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("it holds a user name; receivers know us by the signature"));
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if is_loopback && internal => false,
            Some("http") => {
                return Err(invalid("plain http is for this machine itself only, with `internal`; use https"));
            }
            _ => return Err(invalid("it must begin with https://")),
        };
        let reach = Reach { internal };
        if let Some(why) = host.parse().ok().and_then(|address| reach.refusal(address)) {
            return Err(invalid(&format!("{why}; allow it with `internal` if that is meant")));
        }
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let trust = if secure { Some(Trust::new(ca)?) } else { None };
        Ok(Self { host, port, path: SecretString::new(path), trust, reach })
    }

    /// Scheme, host and port: what may be shown.
    pub fn place(&self) -> String {
        let scheme = if self.trust.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }

    /// Sends one message and gives the receiver's answer, whatever its status. [`CoreError::Unreachable`] when there is none
    /// by the deadline; the receiver may have the message even so.
    pub async fn post(&self, parcel: Parcel<'_>, deadline: Duration) -> Result<Answer, CoreError> {
        let unreachable = |why: String| CoreError::Unreachable { system: self.place(), why };
        let request = self.request(parcel)?;
        match tokio::time::timeout(deadline, self.exchange(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(unreachable(why)),
            Err(_) => Err(unreachable(format!("no answer within {} seconds", deadline.as_secs()))),
        }
    }

    /// Asks for what lies there; [`CoreError::Unreachable`] when there is no answer by the deadline.
    pub(crate) async fn get(&self, deadline: Duration) -> Result<Answer, CoreError> {
        let unreachable = |why: String| CoreError::Unreachable { system: self.place(), why };
        let request = Request::builder().uri(self.path.expose()).header(HOST, self.authority());
        let request = request.header(USER_AGENT, concat!("strongroom/", env!("CARGO_PKG_VERSION")));
        let request = request.body(Full::default()).map_err(|_| CoreError::Internal("a question is no HTTP"))?;
        match tokio::time::timeout(deadline, self.exchange(request)).await {
            Ok(answer) => answer.map_err(unreachable),
            Err(_) => Err(unreachable(format!("no answer within {} seconds", deadline.as_secs()))),
        }
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn request(&self, parcel: Parcel<'_>) -> Result<Request<Full<Bytes>>, CoreError> {
        let Parcel { id, time, media_type, body, key, authorization } = parcel;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.path.expose())
            .header(HOST, self.authority())
            .header(USER_AGENT, concat!("strongroom/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, media_type)
            .header("webhook-id", id)
            .header("webhook-timestamp", time.secs().to_string());
        if let Some(key) = key {
            request = request.header("webhook-signature", sign(key, id, time, &body));
        }
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(authorization.expose());
            let mut value = value.map_err(|_| CoreError::Invalid("the authorization is no header value".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.body(Full::new(Bytes::from(body))).map_err(|_| CoreError::Internal("a message cannot be put into HTTP"))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let wire: Wire = match &self.trust {
            Some(trust) => {
                dial_secure(&self.host, self.port, self.reach, trust).await.map_err(|error| error.to_string())?
            }
            None => Box::new(dial(&self.host, self.port, self.reach).await.map_err(|error| error.to_string())?),
        };
        let (mut sender, connection) = handshake(TokioIo::new(wire)).await.map_err(|error| error.to_string())?;
        let answer = async move {
            let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = response.status().as_u16();
            // An answer without end is as good as none: the status is what counts.
            let body = Limited::new(response.into_body(), MOST_ANSWER).collect().await;
            Ok(Answer { status, body: body.map(|body| body.to_bytes().to_vec()).unwrap_or_default() })
        };
        let (mut answer, mut connection) = (pin!(answer), pin!(connection));
        tokio::select! {
            answer = &mut answer => return answer,
            _ = &mut connection => {}
        }
        answer.await
    }
}
