//! Sockets and TLS to outside systems, by one deadline, with certificates always checked.

use crate::{ConnectorError, TlsTrust};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A stream of either kind.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// Plain or inside TLS.
pub(crate) type Wire = Box<dyn Duplex>;

/// What a server's certificate is checked with.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

/// Where a server is.
#[derive(Clone)]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
    pub(crate) tls: Option<Tls>,
}

impl Host {
    /// Host and port as errors name them.
    pub(crate) fn label(&self) -> String {
        if self.name.contains(':') {
            format!("[{}]:{}", self.name, self.port)
        } else {
            format!("{}:{}", self.name, self.port)
        }
    }

    pub(crate) async fn dial(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.name.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A stream that speaks TLS from its first byte, where TLS is asked for.
    pub(crate) async fn dial_secure(&self) -> io::Result<Wire> {
        let stream = self.dial().await?;
        match &self.tls {
            Some(tls) => tls.wrap(stream).await,
            None => Ok(Box::new(stream)),
        }
    }
}

impl Tls {
    pub(crate) fn new(trust: &TlsTrust, host: &str) -> Result<Self, ConnectorError> {
        let name = trust.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| config(format!("{name} is no name that a certificate can have: set tls_server_name")))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| config(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots(trust)?);
        let built = match &trust.client {
            None => builder.with_no_client_auth(),
            Some(ours) => {
                let chain = certificates(&ours.chain_pem, "the client's certificate")?;
                let key = PrivateKeyDer::from_pem_slice(ours.key_pem.expose().as_bytes())
                    .map_err(|_| config("the client's private key is no PEM of a key: check tls_private_key".into()))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| config(format!("the client's certificate cannot be used: {error}")))?
            }
        };
        Ok(Self { config: Arc::new(built), name })
    }

    pub(crate) async fn wrap(&self, stream: TcpStream) -> io::Result<Wire> {
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.config));
        Ok(Box::new(connector.connect(self.name.clone(), stream).await?))
    }
}

/// Who vouches for servers: what was given, or what the machine trusts.
pub(crate) fn authorities(trust: &TlsTrust) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let found = match &trust.ca_pem {
        Some(pem) => certificates(pem, "the certificate authority")?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    if found.is_empty() {
        return Err(config("this machine trusts no certificate authority: give one with tls_ca".into()));
    }
    Ok(found)
}

fn roots(trust: &TlsTrust) -> Result<RootCertStore, ConnectorError> {
    let mut store = RootCertStore::empty();
    let (good, _) = store.add_parsable_certificates(authorities(trust)?);
    if good == 0 {
        return Err(config("the certificate authority cannot be read: give its certificate in PEM".into()));
    }
    Ok(store)
}

fn certificates(pem: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(config(format!("{what} is no PEM of a certificate: it begins with -----BEGIN CERTIFICATE-----"))),
    }
}

fn config(what: String) -> ConnectorError {
    ConnectorError::Config { what }
}
