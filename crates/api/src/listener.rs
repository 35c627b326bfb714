//! Sockets and TLS: where requests come in, and how long a silent or slow peer is borne. Certificates can be read anew
//! while the server runs; a file that cannot be used leaves those that are in use.

use crate::forwarded::Forwarding;
use crate::proxied::ProxyProtocol;
use crate::socket::{self, Socket, UnixRights};
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::net::TcpListener;

/// Where to listen.
#[derive(Clone, Debug, Default)]
pub struct Bind {
    /// `127.0.0.1:8200`; port 0 takes a free one. Of a unix socket its path.
    pub address: String,
    /// Set for a unix socket: who may connect to it.
    pub unix: Option<UnixRights>,
    /// Certificate and key; none for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether requests need `X-Vault-Request: true`, which a browser tricked by another site cannot send.
    pub require_request_header: bool,
    /// Whether `sys/metrics` is for anybody here (Vault: `telemetry { unauthenticated_metrics_access }`).
    pub unauthenticated_metrics: bool,
    /// What is believed of `X-Forwarded-For`; nothing, and the header counts for nothing.
    pub forwarding: Option<Forwarding>,
    /// Whose header of the PROXY protocol counts; nobody's, and a connection that begins with one is refused.
    pub proxy_protocol: Option<ProxyProtocol>,
}

/// The files of a TLS listener, all PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, followed by its chain.
    pub certificate: PathBuf,
    /// The key: PKCS#1, PKCS#8 or SEC 1.
    pub key: PathBuf,
    /// The oldest and newest version spoken, as `(1.2 allowed, 1.3 allowed)`.
    pub versions: (bool, bool),
    /// Authorities whose client certificates are demanded.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Whether a listener could use them now.
    pub fn check(&self) -> Result<(), ListenError> {
        tls_config(self).map(drop)
    }
}

/// Bounds on what strangers can make the server hold.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Longest request body.
    pub body_bytes: usize,
    /// Memory that all request bodies together may take.
    pub all_bodies_bytes: usize,
    /// Connections at once, over all listeners.
    pub connections: usize,
    /// From connecting to the end of the TLS handshake.
    pub handshake: Duration,
    /// From connecting, or from the first byte of a later request, to the end of its headers.
    pub headers: Duration,
    /// Between an answer and the first byte of the next request.
    pub idle: Duration,
    /// From the headers of a request to the end of its body.
    pub request: Duration,
    /// For a peer to take bytes that are ready for it.
    pub write: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2 * 1024 * 1024,
            all_bodies_bytes: 64 * 1024 * 1024,
            connections: 16_384,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            request: Duration::from_secs(90),
            write: Duration::from_secs(30),
        }
    }
}

/// Why a listener could not be opened.
#[derive(Debug, Error)]
pub enum ListenError {
    /// The address is taken, not ours, or not one.
    #[error("cannot listen on {address} ({})", way_out(source))]
    Bind {
        /// The address as it was configured.
        address: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// A unix socket that cannot be made, or not be given to whom it should be.
    #[error("cannot listen on the unix socket {path}: {problem}")]
    Unix {
        /// Its path.
        path: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A certificate or key that cannot be used.
    #[error("{path}: {problem}")]
    Tls {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What to do about an address that cannot be had; what the system says of it is the source.
fn way_out(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "is another server running there?",
        io::ErrorKind::AddrNotAvailable => "it is no address of this machine",
        io::ErrorKind::PermissionDenied => "a port below 1024 needs a right of its own, CAP_NET_BIND_SERVICE",
        _ => "write it as 127.0.0.1:8200, with an address of this machine and a port",
    }
}

/// An open socket.
pub struct Listener {
    pub(crate) socket: Socket,
    pub(crate) tls: Option<Tls>,
    pub(crate) rules: Rules,
    address: Option<SocketAddr>,
    url: String,
}

/// What a listener demands of requests.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) require_request_header: bool,
    pub(crate) unauthenticated_metrics: bool,
    pub(crate) forwarding: Option<Arc<Forwarding>>,
    pub(crate) proxy_protocol: Option<Arc<ProxyProtocol>>,
}

/// The certificates of a listener, which can be exchanged while it runs. New handshakes get the new ones; connections
/// that stand go on, but cannot be resumed.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<ServerConfig>>);

impl Tls {
    fn read(files: &TlsFiles) -> Result<Self, ListenError> {
        Ok(Self(Arc::new(ArcSwap::from(tls_config(files)?))))
    }

    /// Reads the files again. When they cannot be used, what was in use stays.
    pub fn reload(&self, files: &TlsFiles) -> Result<(), ListenError> {
        self.0.store(tls_config(files)?);
        Ok(())
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

impl Listener {
    /// Opens the socket and reads the certificate.
    pub async fn bind(bind: &Bind) -> Result<Self, ListenError> {
        let tls = bind.tls.as_ref().map(Tls::read).transpose()?;
        let failed = |source| ListenError::Bind { address: bind.address.clone(), source };
        let (socket, address, url) = match &bind.unix {
            Some(rights) => {
                let path = Path::new(&bind.address);
                (socket::bind_unix(path, rights)?, None, format!("unix://{}", path.display()))
            }
            None => {
                let socket = TcpListener::bind(&bind.address).await.map_err(failed)?;
                let address = socket.local_addr().map_err(failed)?;
                let scheme = if tls.is_some() { "https" } else { "http" };
                (Socket::Tcp(socket), Some(address), format!("{scheme}://{address}"))
            }
        };
        let rules = Rules {
            require_request_header: bind.require_request_header,
            unauthenticated_metrics: bind.unauthenticated_metrics,
            forwarding: bind.forwarding.clone().map(Arc::new),
            proxy_protocol: bind.proxy_protocol.clone().map(Arc::new),
        };
        Ok(Self { socket, tls, rules, address, url })
    }

    /// The address it listens on, with the port that was chosen when 0 was asked for; none for a unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// How clients write its address: `https://127.0.0.1:8200`, `unix:///run/strongroom.sock`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The handle to its certificates.
    pub fn tls(&self) -> Option<Tls> {
        self.tls.clone()
    }
}

fn tls_config(files: &TlsFiles) -> Result<Arc<ServerConfig>, ListenError> {
    let wrong = |path: &Path, problem: String| ListenError::Tls { path: path.display().to_string(), problem };
    let read = |path: &Path| std::fs::read(path).map_err(|error| wrong(path, format!("cannot be read: {error}")));
    let chain = certificates(&files.certificate, &read(&files.certificate)?)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?).map_err(|_| {
        wrong(&files.key, "holds no unencrypted private key in PEM (PKCS#1, PKCS#8 or SEC 1)".to_owned())
    })?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let versions: &[&rustls::SupportedProtocolVersion] = match files.versions {
        (true, true) => &[&TLS13, &TLS12],
        (true, false) => &[&TLS12],
        (false, _) => &[&TLS13],
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| wrong(&files.certificate, error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = rustls::RootCertStore::empty();
            for authority in certificates(path, &read(path)?)? {
                roots.add(authority).map_err(|error| wrong(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| wrong(path, error.to_string()))?)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| wrong(&files.certificate, format!("does not fit the key {}: {error}", files.key.display())))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(ListenError::Tls {
            path: path.display().to_string(),
            problem: "holds no certificate in PEM".to_owned(),
        }),
    }
}
