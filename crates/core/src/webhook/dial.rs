//! Sockets to outside places: resolved once, checked, dialled, and wrapped in TLS whose certificates are always checked.

use super::reach::Reach;
use crate::CoreError;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// A stream of either kind.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Plain or inside TLS.
pub(crate) type Wire = Box<dyn Duplex>;

/// What a receiver's certificate is checked with.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The authorities given in PEM, or those of the machine.
    pub(crate) fn new(ca: Option<&str>) -> Result<Self, CoreError> {
        let found = match ca {
            Some(pem) => certificates(pem)?,
            None => rustls_native_certs::load_native_certs().certs,
        };
        let mut roots = RootCertStore::empty();
        let (good, _) = roots.add_parsable_certificates(found);
        if good == 0 {
            let why =
                "no certificate authority can be read: give one in PEM with `ca`, or install some on this machine";
            return Err(CoreError::Invalid(why.to_owned()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|_| CoreError::Internal("TLS cannot be set up"))?;
        Ok(Self(Arc::new(builder.with_root_certificates(roots).with_no_client_auth())))
    }
}

/// A TCP connection to the first address of the host that may be reached and answers.
pub(crate) async fn dial(host: &str, port: u16, reach: Reach) -> io::Result<TcpStream> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await? {
        if let Some(why) = reach.refusal(address.ip()) {
            failed = io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{why}; an operator can allow it with `internal`"),
            );
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// As [`dial`], with TLS from the first byte.
pub(crate) async fn dial_secure(host: &str, port: u16, reach: Reach, trust: &Trust) -> io::Result<Wire> {
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let stream = dial(host, port, reach).await?;
    Ok(Box::new(TlsConnector::from(Arc::clone(&trust.0)).connect(name, stream).await?))
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, CoreError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(CoreError::Invalid(
            "`ca` is no certificate in PEM: it begins with -----BEGIN CERTIFICATE-----".to_owned(),
        )),
    }
}
