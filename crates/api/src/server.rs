//! Accepts connections and serves them until told to stop; then finishes what is under way.

use crate::aws::{Aws, AwsSettings};
use crate::body::Budget;
use crate::forwarded::Forwarding;
use crate::inner_door::InnerDoor;
use crate::listener::{Bind, Limits, Listener};
use crate::log::LogControl;
use crate::native::{self, Native};
use crate::orphan::{Panicked, ToTheEnd};
use crate::patient::{Patient, Phase, Serving};
use crate::proxied::ProxyProtocol;
use crate::socket::Accepted;
use crate::stream;
use crate::turn::Turn;
use crate::vault::{Identity, Measure, Vault};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use strongroom_core::drill::Door as DrillDoor;
use strongroom_core::{Source, Strongroom, boxed};
use strongroom_model::{MountPath, Timestamp};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

/// The doors of one strongroom.
pub struct Server {
    vault: Arc<Vault>,
    native: Arc<Native>,
    aws: Arc<Aws>,
    limits: Limits,
    connections: Arc<Semaphore>,
}

/// Through which door a request came.
#[derive(Clone, Copy)]
pub(crate) struct Door {
    /// Who connected; nobody knows for a unix socket.
    peer: Option<SocketAddr>,
    /// For whom, when a proxy that is believed said so.
    client: Option<IpAddr>,
    /// Whether the listener demands `X-Vault-Request: true`.
    pub(crate) require_request_header: bool,
    /// Whether metrics are for anybody.
    pub(crate) unauthenticated_metrics: bool,
}

impl Door {
    /// From where, as the trail names it.
    pub(crate) fn source(&self) -> Source {
        let address = self.client.or(self.peer.map(|peer| peer.ip().to_canonical()));
        Source { address, port: self.peer.map_or(0, |peer| peer.port()) }
    }

    /// The same door with the client that its proxy names.
    fn believing(self, forwarding: Option<&Forwarding>, headers: &HeaderMap) -> Result<Self, String> {
        match (forwarding, self.peer) {
            (Some(forwarding), Some(peer)) => Ok(Self { client: forwarding.client(peer.ip(), headers)?, ..self }),
            _ => Ok(self),
        }
    }

    /// For the operator log.
    fn peer(&self) -> String {
        self.peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string())
    }
}

/// What a connection takes along from its listener, as that is when it comes in.
struct Hall {
    acceptor: Option<TlsAcceptor>,
    require_request_header: bool,
    unauthenticated_metrics: bool,
    forwarding: Option<Arc<Forwarding>>,
    proxy_protocol: Option<Arc<ProxyProtocol>>,
}

impl Hall {
    fn of(listener: &Listener) -> Self {
        let rules = listener.rules.clone();
        Self {
            acceptor: listener.tls.as_ref().map(|tls| TlsAcceptor::from(tls.current())),
            require_request_header: rules.require_request_header,
            unauthenticated_metrics: rules.unauthenticated_metrics,
            forwarding: rules.forwarding,
            proxy_protocol: rules.proxy_protocol,
        }
    }

    fn door(&self, peer: Option<SocketAddr>) -> Door {
        Door {
            peer,
            client: None,
            require_request_header: self.require_request_header,
            unauthenticated_metrics: self.unauthenticated_metrics,
        }
    }
}

/// How long requests under way may go on after the server was told to stop.
const FAREWELL: Duration = Duration::from_secs(30);

impl Server {
    /// The doors, not yet open.
    pub fn new(strongroom: Arc<Strongroom>, identity: Identity, limits: Limits) -> Self {
        let budget = Budget::new(limits.all_bodies_bytes);
        let connections = Arc::new(Semaphore::new(limits.connections));
        let native = Arc::new(Native::new(Arc::clone(&strongroom), limits.clone(), budget.clone()));
        let settings = AwsSettings::default();
        let aws = Arc::new(Aws::new(Arc::clone(&strongroom), settings, limits.clone(), budget.clone()));
        let vault = Arc::new(Vault::new(strongroom, identity, limits.clone(), budget));
        Self { vault, native, aws, limits, connections }
    }

    /// The same doors with a handle to the operator log, for `sys/loggers`.
    pub fn with_log(mut self, log: LogControl) -> Self {
        if let Some(vault) = Arc::get_mut(&mut self.vault) {
            vault.log = Some(log);
        }
        self
    }

    /// The same doors, told how to serve the AWS dialect.
    pub fn with_aws(mut self, settings: AwsSettings) -> Self {
        if let Some(aws) = Arc::get_mut(&mut self.aws) {
            aws.settings = settings.clone();
        }
        if let Some(native) = Arc::get_mut(&mut self.native) {
            native.aws = settings;
        }
        self
    }

    /// The same doors, told of the listeners, which `sys/config/state/sanitized` shows.
    pub fn with_listeners(mut self, binds: &[Bind]) -> Self {
        if let Some(vault) = Arc::get_mut(&mut self.vault) {
            let kind = |bind: &Bind| if bind.unix.is_some() { "unix" } else { "tcp" };
            let shown = |bind: &Bind| json!({ "type": kind(bind), "config": { "address": bind.address, "tls_disable": bind.tls.is_none() } });
            vault.listeners = binds.iter().map(shown).collect();
        }
        self
    }

    /// The same doors, giving metrics in the format of Prometheus or not.
    pub fn with_prometheus(mut self, served: bool) -> Self {
        if let Some(vault) = Arc::get_mut(&mut self.vault) {
            vault.prometheus = served;
        }
        self
    }

    /// Everything that is counted, as it stands.
    pub fn measures(&self) -> Vec<Measure> {
        self.vault.measures()
    }

    /// The handle to the operator log, if there is one.
    pub fn log(&self) -> Option<&LogControl> {
        self.vault.log.as_ref()
    }

    /// Serves all listeners until `stop` turns true; returns when the last request is answered, or after half a minute.
    pub async fn run(self: Arc<Self>, listeners: Vec<Listener>, stop: watch::Receiver<bool>) {
        let inner: Arc<dyn DrillDoor> = Arc::new(InnerDoor::new(&self));
        self.native.strongroom.open_door(inner);
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn(Arc::clone(&self).accept(listener, stop.clone()));
        }
        while accepting.join_next().await.is_some() {}
    }

    /// Serves one connection from inside the process, as one over a unix socket.
    pub(crate) async fn serve_within<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let door = Door { peer: None, client: None, require_request_header: false, unauthenticated_metrics: false };
        let (_going_on, stop) = watch::channel(false);
        self.converse(stream, door, None, stop).await;
    }

    /// The present moment, as the strongroom sees it.
    pub(crate) fn now(&self) -> Timestamp {
        self.native.strongroom.clock().now()
    }

    /// The region whose signed requests reach secrets of a mount, if there is one.
    pub(crate) fn region_of(&self, mount: &MountPath) -> Option<String> {
        let settings = &self.aws.settings;
        if settings.regions.is_empty() {
            let is_usual = settings.mount(&settings.default_region).is_some_and(|path| path.as_str() == mount.as_str());
            return is_usual.then(|| settings.default_region.clone());
        }
        settings.regions.iter().find(|(_, known)| *known == mount).map(|(region, _)| region.clone())
    }

    async fn accept(self: Arc<Self>, listener: Listener, mut stop: watch::Receiver<bool>) {
        let mut serving = JoinSet::new();
        loop {
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else { break };
            let accepted = tokio::select! {
                accepted = listener.socket.accept() => accepted,
                () = told_to_stop(&mut stop) => break,
                Some(_) = serving.join_next(), if !serving.is_empty() => continue,
            };
            match accepted {
                Ok(accepted) => {
                    serving.spawn(Arc::clone(&self).welcome(accepted, Hall::of(&listener), stop.clone(), permit));
                }
                // Out of descriptors, or the peer is gone already: neither ends the listener.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        drop(listener);
        let all = async { while serving.join_next().await.is_some() {} };
        if timeout(FAREWELL, all).await.is_err() {
            tracing::warn!("some requests did not end in time and were cut off");
        }
    }

    async fn welcome(
        self: Arc<Self>,
        accepted: Accepted,
        hall: Hall,
        stop: watch::Receiver<bool>,
        _permit: OwnedSemaphorePermit,
    ) {
        let (mut stream, mut peer) = match accepted {
            Accepted::Unix(stream) => return self.converse(stream, hall.door(None), hall.forwarding, stop).await,
            Accepted::Tcp(stream, peer) => (stream, peer),
        };
        let _ = stream.set_nodelay(true);
        if let Some(rule) = &hall.proxy_protocol {
            match timeout(self.limits.handshake, rule.client(&mut stream, peer)).await {
                Ok(Ok(client)) => peer = client,
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "a connection was turned away"),
                Err(_) => return tracing::debug!(%peer, "a peer did not say for whom it connects"),
            }
        }
        let door = hall.door(Some(peer));
        let Some(acceptor) = hall.acceptor else {
            return self.converse(stream, door, hall.forwarding, stop).await;
        };
        let handshake = async {
            let mut first = [0; 1];
            // A TLS handshake begins with the record type 22 (RFC 8446, section 5.1); anything else is plain text.
            if stream.peek(&mut first).await? == 1 && first != [22] {
                return Ok(Err(stream));
            }
            acceptor.accept(stream).await.map(Ok)
        };
        match timeout(self.limits.handshake, handshake).await {
            Ok(Ok(Ok(encrypted))) => self.converse(encrypted, door, hall.forwarding, stop).await,
            Ok(Ok(Err(plain))) => {
                let _ = timeout(self.limits.handshake, tell_plain(plain)).await;
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
        }
    }

    /// HTTP/1.1 over one connection. Each request goes on to its end when the client leaves.
    async fn converse<S>(
        &self,
        stream: S,
        door: Door,
        forwarding: Option<Arc<Forwarding>>,
        mut stop: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let orphans = Mutex::new(JoinSet::new());
        let phase = Phase::new();
        let service = service_fn(|request: Request<Incoming>| {
            let door = door.believing(forwarding.as_deref(), request.headers()).map_err(|why| (door, why));
            self.request(&orphans, request, door, phase.serve())
        });
        let mut http = http1::Builder::new();
        // The stream bounds how long a peer may take, for less than a timer that is set for each request.
        http.header_read_timeout(None).keep_alive(true);
        http.max_buf_size(64 * 1024).max_headers(64);
        // Who sends a request and closes its side at once still gets it done; without this it may vanish unseen.
        http.half_close(true);
        let stream = Patient::new(stream, &self.limits, phase.clone());
        let service = service_fn(|request| {
            let answer = service.call(request);
            async { answer.await.map(stream::attached) }
        });
        let connection = http.serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let served = tokio::select! {
            served = Turn::of(connection.as_mut()) => served,
            () = told_to_stop(&mut stop) => {
                connection.as_mut().graceful_shutdown();
                connection.as_mut().await
            }
        };
        if let Err(error) = served {
            tracing::debug!(peer = door.peer(), %error, "a connection ended");
            if error.is_parse() {
                self.vault.note_unreadable(door).await;
            }
        }
        let mut running = std::mem::take(&mut *orphans.lock().unwrap_or_else(PoisonError::into_inner));
        while running.join_next().await.is_some() {}
    }

    /// Serves one request. What it gives back is small: the HTTP library moves it into its own state.
    fn request<'o>(
        &self,
        orphans: &'o Mutex<JoinSet<()>>,
        request: Request<Incoming>,
        door: Result<Door, (Door, String)>,
        serving: Serving,
    ) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + use<'o> {
        // Whoever frames a request in two ways may have smuggled another one in behind it. The HTTP library goes by the
        // chunks and hides the length, so no request with chunks is followed by another (RFC 9112, section 6.1).
        let chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
        let (vault, native) = (Arc::clone(&self.vault), Arc::clone(&self.native));
        let aws = Arc::clone(&self.aws);
        // On the connection's own task, where no other thread must be woken for it.
        let work = boxed(|| async move {
            match door {
                Err((door, why)) => boxed(|| vault.refuse_at_door(request, door, why)).await,
                Ok(door) if native::is_ours(request.uri().path()) => boxed(|| native.serve(request, door)).await,
                Ok(door) if Aws::claims(&request) => boxed(|| aws.serve(request, door)).await,
                Ok(door) => vault.serve(request, door).await,
            }
        });
        async move {
            let _serving = serving;
            let mut response = ToTheEnd::new(work, orphans).await.unwrap_or_else(broken);
            if chunked {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    }
}

/// Waits for the word; a sender that is gone counts as having given it.
async fn told_to_stop(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// What is answered when serving panicked.
fn broken(_: Panicked) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"errors\":[\"internal error\"]}\n")));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response
}

/// Tells a client that spoke plain HTTP to a TLS port what is wrong, in the words that Go's servers use.
async fn tell_plain(mut stream: TcpStream) -> std::io::Result<()> {
    const TEXT: &[u8] =
        b"HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
    stream.write_all(TEXT).await?;
    stream.shutdown().await
}
