//! Sends requests: one connection each, HTTP/1.1, with or without TLS, repeated when the server asks for patience, and
//! forwarded when a standby points to the active server. Gives back status and body; what they mean is for the commands.
//!
//! A token leaves only in `X-Vault-Token`, and never over a connection that a redirect made weaker. A write is repeated
//! only after 429 and 503, where the server says that it did nothing; Vault's client repeats it after every 5xx, which
//! can do a thing twice. A sealed server (503) is not asked again: it needs people.

use super::address::{Address, Way};
use super::advice::{self, Failure};
use super::error::{ApiError, CliError};
use super::flags::{Settings, TlsSettings};
use super::request::{Bearer, Request};
use super::secret::Secret;
use super::tls;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::cell::OnceCell;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use strongroom_model::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

/// The longest answer that is kept.
const LONGEST: usize = 64 << 20;
/// A standby points to the active server at once; more hops are a loop.
const MOST_REDIRECTS: usize = 3;
/// Before the first repetition; doubled for each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// A server that wants more patience is asked again by the user, not by us.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Sends requests to one server.
pub(crate) struct Client {
    pub(super) runtime: Runtime,
    address: Address,
    namespace: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    wrap_ttl: Option<String>,
    tls: TlsSettings,
    tls_config: OnceCell<Arc<ClientConfig>>,
    pub(super) timeout: Duration,
    retries: u32,
    redirects: bool,
}

/// What came back. Not `Debug`: the body may be a secret.
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body, whole.
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// An answer before anybody decided what to do with it.
pub(super) struct Answer {
    pub(super) reply: Reply,
    headers: HeaderMap,
}

/// Where one attempt goes.
pub(super) struct Target {
    pub(super) address: Address,
    pub(super) path_and_query: String,
}

impl Client {
    /// A client for these settings; nothing is connected yet.
    pub(crate) fn new(settings: &Settings) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| CliError::usage(format!("cannot start: {error}")))?;
        let header = |(name, value): &(String, String)| {
            let wrong = || CliError::usage(format!("-header {name} is not a valid HTTP header"));
            Ok((name.parse().map_err(|_| wrong())?, value.parse().map_err(|_| wrong())?))
        };
        let client = Self {
            runtime,
            address: Address::parse(&settings.address)?,
            namespace: settings.namespace.clone(),
            headers: settings.headers.iter().map(header).collect::<Result<_, CliError>>()?,
            wrap_ttl: settings.wrap_ttl.clone(),
            tls: settings.tls.clone(),
            tls_config: OnceCell::new(),
            timeout: settings.timeout,
            retries: settings.retries,
            redirects: settings.redirects,
        };
        // At once, so that a certificate file that cannot be used is a mistake of this side and not of the connection.
        if client.address.is_tls() {
            client.tls_config()?;
        }
        Ok(client)
    }

    fn tls_config(&self) -> Result<Arc<ClientConfig>, CliError> {
        if let Some(config) = self.tls_config.get() {
            return Ok(config.clone());
        }
        let config = Arc::new(tls::client_config(&self.tls)?);
        Ok(self.tls_config.get_or_init(|| config).clone())
    }

    /// Where it sends to.
    pub(crate) fn base(&self) -> String {
        self.address.base()
    }

    /// Sends, and gives an answer of any status.
    pub(crate) fn exchange(&self, request: &Request, own: Option<&SecretString>) -> Result<Reply, CliError> {
        let token = match &request.bearer {
            Bearer::Own => own,
            Bearer::Given(token) => Some(token),
            Bearer::Nobody => None,
        };
        let headers = self.headers_for(request, token)?;
        let body = request.body.as_ref().map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.runtime.block_on(self.insist(request, &headers, &body))
    }

    /// Sends, and makes an error of every status from 400 on.
    pub(crate) fn send(&self, request: &Request, own: Option<&SecretString>) -> Result<Reply, CliError> {
        let reply = self.exchange(request, own)?;
        if reply.status < 400 { Ok(reply) } else { Err(self.api_error(request, own.is_some(), &reply)) }
    }

    /// Sends, and reads the answer; `None` when nothing is there. What a server answers with 404 may still be an answer:
    /// of a deleted version KV gives the metadata that way. A 404 with a text (no such namespace, no such path) is an
    /// error as others are; only one that says nothing means that nothing is there.
    pub(crate) fn look(&self, request: &Request, own: Option<&SecretString>) -> Result<Option<Secret>, CliError> {
        let reply = self.exchange(request, own)?;
        match reply.status {
            204 => Ok(None),
            status if status < 400 => Secret::parse(&reply.body),
            _ => {
                let failed = self.api_error(request, own.is_some(), &reply);
                if !failed.means_nothing_there() {
                    return Err(failed);
                }
                Ok(Secret::parse(&reply.body).ok().flatten().filter(Secret::says_something))
            }
        }
    }

    /// The error an answer stands for.
    pub(crate) fn api_error(&self, request: &Request, has_token: bool, reply: &Reply) -> CliError {
        let has_token = has_token || matches!(request.bearer, Bearer::Given(_));
        let errors = error_texts(&reply.body);
        CliError::Api(Box::new(ApiError {
            method: request.method.to_owned(),
            url: format!("{}{}", self.base(), request.shown()),
            code: reply.status,
            advice: advice::on_status(reply.status, &errors, &request.policy_path(), has_token),
            errors,
        }))
    }

    pub(super) fn headers_for(&self, request: &Request, token: Option<&SecretString>) -> Result<HeaderMap, CliError> {
        let mut headers: HeaderMap = self.headers.iter().cloned().collect();
        let mut set = |name: &'static str, text: &str, place: &str| {
            let mut value = HeaderValue::from_str(text).map_err(|_| {
                CliError::usage(format!("{place} holds characters that cannot be sent, such as a line end"))
            })?;
            value.set_sensitive(name == "x-vault-token");
            headers.insert(HeaderName::from_static(name), value);
            Ok::<(), CliError>(())
        };
        set("x-vault-request", "true", "a header")?;
        if let Some(token) = token.filter(|token| !token.is_empty()) {
            set("x-vault-token", token.expose(), "the token")?;
        }
        if request.namespaced && !self.namespace.is_empty() {
            set("x-vault-namespace", &format!("{}/", self.namespace), "the namespace")?;
        }
        if let Some(span) = self.wrap_ttl.as_ref().filter(|_| !request.preliminary) {
            set("x-vault-wrap-ttl", span, "-wrap-ttl")?;
        }
        let content = if request.method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        if request.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content));
        }
        headers
            .entry(USER_AGENT)
            .or_insert(HeaderValue::from_static(concat!("strongroom/", env!("CARGO_PKG_VERSION"))));
        Ok(headers)
    }

    async fn insist(&self, request: &Request, headers: &HeaderMap, body: &Bytes) -> Result<Reply, CliError> {
        let mut attempt = 0;
        loop {
            let answer = self.follow(request, headers, body).await?;
            let pause = pause_before_retry(&answer, attempt);
            if attempt >= self.retries || pause > LONGEST_PAUSE || !may_repeat(request.method, &answer.reply) {
                return Ok(answer.reply);
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    pub(super) fn target(&self, request: &Request) -> Target {
        let path_and_query = format!("{}{}", self.address.prefix(), request.target());
        Target { address: self.address.clone(), path_and_query }
    }

    async fn follow(&self, request: &Request, headers: &HeaderMap, body: &Bytes) -> Result<Answer, CliError> {
        let mut target = self.target(request);
        for _ in 0..=MOST_REDIRECTS {
            let fail = |failure: Failure| self.transport_error(request, &target.address, &failure);
            let answer = self.attempt(&target, request.method, headers, body).await.map_err(fail)?;
            if !self.redirects || !matches!(answer.reply.status, 307 | 308) {
                return Ok(answer);
            }
            target = redirected(&target, &answer.headers).map_err(fail)?;
        }
        let failure = Failure::BadRedirect(format!("more than {MOST_REDIRECTS} redirects, which is a loop"));
        Err(self.transport_error(request, &target.address, &failure))
    }

    pub(super) fn transport_error(&self, request: &Request, address: &Address, failure: &Failure) -> CliError {
        CliError::Transport {
            method: request.method.to_owned(),
            url: format!("{}{}", address.base(), request.shown()),
            why: failure.why(address),
            advice: failure.advice(address),
        }
    }

    async fn attempt(
        &self,
        target: &Target,
        method: &'static str,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Answer, Failure> {
        let all = async {
            let stream = self.connect(&target.address).await?;
            converse(stream, target, method, headers, body).await
        };
        tokio::time::timeout(self.timeout, all)
            .await
            .unwrap_or_else(|_| Err(Failure::TimedOut(self.timeout.as_secs().max(1))))
    }

    pub(super) async fn connect(&self, address: &Address) -> Result<Box<dyn Stream>, Failure> {
        match &address.way {
            Way::Socket(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(on_connect)?)),
            Way::Network { tls, host, port, .. } => {
                let mut found =
                    tokio::net::lookup_host((host.as_str(), *port)).await.map_err(|_| Failure::UnknownHost)?.peekable();
                if found.peek().is_none() {
                    return Err(Failure::UnknownHost);
                }
                let stream = connect_any(found).await.map_err(on_connect)?;
                let _ = stream.set_nodelay(true);
                if *tls { self.shake_hands(stream, host).await } else { Ok(Box::new(stream)) }
            }
        }
    }

    async fn shake_hands(&self, stream: TcpStream, host: &str) -> Result<Box<dyn Stream>, Failure> {
        let config = self.tls_config().map_err(|error| Failure::Other(error.to_string()))?;
        let name = self.tls.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|_| Failure::UnknownHost)?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(on_handshake)?;
        Ok(Box::new(stream))
    }
}

/// A connection of any kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Tries the addresses of a name in turn; the error is the last one's.
async fn connect_any(addresses: impl Iterator<Item = std::net::SocketAddr>) -> io::Result<TcpStream> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn converse(
    stream: Box<dyn Stream>,
    target: &Target,
    method: &'static str,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Answer, Failure> {
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| on_http(&e))?;
    let mut tasks = JoinSet::new();
    tasks.spawn(connection);
    let mut request = hyper::Request::builder()
        .method(method)
        .uri(&target.path_and_query)
        .body(Full::new(body.clone()))
        .map_err(|_| Failure::Other("the path cannot be sent".to_owned()))?;
    *request.headers_mut() = headers.clone();
    let host = HeaderValue::from_str(target.address.host_header()).map_err(|_| Failure::UnknownHost)?;
    request.headers_mut().insert(HOST, host);
    let response = sender.send_request(request).await.map_err(|error| on_http(&error))?;
    let answer = collect(response).await;
    tasks.shutdown().await;
    answer
}

pub(super) async fn collect(response: Response<Incoming>) -> Result<Answer, Failure> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, LONGEST)
        .collect()
        .await
        .map_err(|error| if error.is::<LengthLimitError>() { Failure::TooLong } else { Failure::CutOff })?;
    let body = Zeroizing::new(body.to_bytes().to_vec());
    Ok(Answer { reply: Reply { status: parts.status.as_u16(), body }, headers: parts.headers })
}

fn on_connect(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        _ => Failure::Other(error.to_string()),
    }
}

fn on_handshake(error: io::Error) -> Failure {
    use rustls::Error as Tls;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Tls>()) {
        Some(Tls::InvalidMessage(_)) => Failure::PeerSpeaksPlainHttp,
        Some(Tls::InvalidCertificate(why)) => Failure::BadCertificate(why.to_string()),
        Some(Tls::AlertReceived(alert)) => Failure::TlsRefused(format!("{alert:?}")),
        _ if error.kind() == io::ErrorKind::UnexpectedEof => Failure::TlsRefused("it closed the connection".to_owned()),
        _ => Failure::Other(error.to_string()),
    }
}

pub(super) fn on_http(error: &hyper::Error) -> Failure {
    let tls = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .and_then(|error| error.get_ref())
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        // With TLS 1.3 a server that wants a client certificate says so only after our first bytes.
        Some(rustls::Error::AlertReceived(alert)) => Failure::TlsRefused(format!("{alert:?}")),
        _ if error.is_parse() => Failure::PeerSpeaksNoHttp,
        _ => Failure::CutOff,
    }
}

fn redirected(from: &Target, headers: &HeaderMap) -> Result<Target, Failure> {
    let bad =
        |why: &str| Failure::BadRedirect(format!("the server redirects to where this program does not go: {why}"));
    let location =
        headers.get(LOCATION).and_then(|value| value.to_str().ok()).ok_or_else(|| bad("no address given"))?;
    let uri: Uri = location.parse().map_err(|_| bad("the address cannot be read"))?;
    if uri.scheme().is_none() && location.starts_with('/') {
        return Ok(Target { address: from.address.clone(), path_and_query: location.to_owned() });
    }
    let (address, path_and_query) = Address::of_uri(&uri).map_err(bad)?;
    if from.address.is_tls() && !address.is_tls() {
        return Err(bad("it has no TLS, and the token would be readable"));
    }
    Ok(Target { address, path_and_query })
}

fn may_repeat(method: &str, reply: &Reply) -> bool {
    let sealed = || error_texts(&reply.body).iter().any(|error| error.contains("sealed"));
    match reply.status {
        429 => true,
        503 => !sealed(),
        501 => false,
        status => status >= 500 && matches!(method, "GET" | "DELETE"),
    }
}

fn pause_before_retry(answer: &Answer, attempt: u32) -> Duration {
    let asked = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    asked.map_or_else(|| FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt)), Duration::from_secs)
}

/// The server's texts. A body that is none of ours is not shown, because a proxy's page is no help; but it is not
/// silence either, which with a 404 would mean that nothing is there.
fn error_texts(body: &[u8]) -> Vec<String> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
        let text = String::from_utf8_lossy(body);
        let line = text.lines().next().unwrap_or_default().trim();
        let short = !line.is_empty() && line.len() <= 200 && !line.starts_with('<') && !line.starts_with('{');
        return match text.trim().is_empty() {
            true => Vec::new(),
            false if short => vec![line.to_owned()],
            false => vec!["the answer is a page and not one of the API; check the address".to_owned()],
        };
    };
    match (fields.get("errors"), fields.get("error")) {
        (Some(Value::Array(list)), _) => list.iter().map(super::format::go_text).collect(),
        // The native API's form.
        (None, Some(Value::Object(error))) => error.get("message").map(super::format::go_text).into_iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: Zeroizing::new(body.as_bytes().to_vec()) }
    }

    #[test]
    fn writes_are_repeated_only_when_nothing_was_done() {
        for (method, status, repeated) in [
            ("GET", 500, true),
            ("PUT", 500, false),
            ("PUT", 429, true),
            ("PUT", 503, true),
            ("GET", 501, false),
            ("GET", 404, false),
        ] {
            assert_eq!(may_repeat(method, &reply(status, "")), repeated, "{method} {status}");
        }
        assert!(!may_repeat("GET", &reply(503, r#"{"errors":["Vault is sealed"]}"#)));
    }

    #[test]
    fn a_redirect_may_not_drop_tls() {
        let from =
            |address: &str| Target { address: Address::parse(address).unwrap(), path_and_query: "/v1/x".to_owned() };
        let to = |location: &str| HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
        let went = redirected(&from("https://a:8200"), &to("https://b:8200/v1/x?list=true")).unwrap();
        assert_eq!((went.address.base().as_str(), went.path_and_query.as_str()), ("https://b:8200", "/v1/x?list=true"));
        assert!(redirected(&from("https://a:8200"), &to("http://b:8200/v1/x")).is_err());
        assert_eq!(redirected(&from("http://a:8200"), &to("/v1/y")).unwrap().address.base(), "http://a:8200");
        assert!(redirected(&from("http://a"), &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_proxys_page_is_not_shown() {
        let page = error_texts(b"<html>bad gateway</html>");
        assert!(page.len() == 1 && page.iter().all(|text| text.contains("check the address")), "{page:?}");
        assert!(error_texts(b" \n").is_empty() && error_texts(br#"{"errors":[]}"#).is_empty());
        assert_eq!(error_texts(b"Client sent an HTTP request to an HTTPS server.\n").len(), 1);
        assert_eq!(error_texts(br#"{"errors":["permission denied"]}"#), ["permission denied"]);
    }
}
