//! What the client trusts. Authorities come from the file or folder given, else from the system. One rule is added to
//! the usual ones: a server whose certificate is itself among the authorities given is accepted for its own name, even
//! if it is marked as an authority, because that is what `openssl req -x509` makes and what people run at home.
//! Dates, names and signatures are checked all the same; only `-tls-skip-verify` turns checking off.

use super::error::CliError;
use super::flags::TlsSettings;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The configuration for these settings.
pub(crate) fn client_config(settings: &TlsSettings) -> Result<ClientConfig, CliError> {
    client_config_with(settings, verifier(settings)?)
}

/// What decides about the server's certificate.
pub(crate) fn verifier(settings: &TlsSettings) -> Result<Arc<dyn ServerCertVerifier>, CliError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    Ok(if settings.skip_verify { Arc::new(AcceptAny(provider)) } else { Arc::new(Trusting::new(settings, provider)?) })
}

/// The configuration for these settings, with somebody else to decide about the server's certificate.
pub(crate) fn client_config_with(
    settings: &TlsSettings,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, CliError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CliError::usage(format!("TLS cannot be set up: {error}")))?;
    let builder = versions.dangerous().with_custom_certificate_verifier(verifier);
    let (Some(cert), Some(key)) = (&settings.client_cert, &settings.client_key) else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = read_certificates(cert)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &format!("no private key ({error})")))?;
    builder.with_client_auth_cert(chain, key).map_err(|error| unusable(cert, &error.to_string()))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, CliError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(unusable(path, "no PEM certificate in it")),
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(unusable(path, &error.to_string())),
    }
}

fn unusable(path: &Path, why: &str) -> CliError {
    CliError::usage(format!("{} cannot be used: {why}", path.display()))
}

/// The authorities the user named, if any.
fn given(settings: &TlsSettings) -> Result<Option<Vec<CertificateDer<'static>>>, CliError> {
    // The file takes precedence over the folder, as Vault has it.
    match (&settings.ca_cert, &settings.ca_path) {
        (Some(file), _) => Ok(Some(read_certificates(file)?)),
        (None, Some(folder)) => {
            let mut all = Vec::new();
            for file in files_in(folder)? {
                all.extend(read_certificates(&file).unwrap_or_default());
            }
            if all.is_empty() { Err(unusable(folder, "no PEM certificate in it")) } else { Ok(Some(all)) }
        }
        (None, None) => Ok(None),
    }
}

fn files_in(folder: &Path) -> Result<Vec<PathBuf>, CliError> {
    let cannot = |source| CliError::File { what: "cannot read", path: folder.to_owned(), source };
    let entries = std::fs::read_dir(folder).map_err(cannot)?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect())
}

/// Checks by authorities, and knows the ones the user named.
#[derive(Debug)]
struct Trusting {
    usual: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Trusting {
    fn new(settings: &TlsSettings, provider: Arc<CryptoProvider>) -> Result<Self, CliError> {
        let named = given(settings)?;
        let mut roots = RootCertStore::empty();
        match &named {
            Some(named) => drop(roots.add_parsable_certificates(named.iter().cloned())),
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let usual = usual.map_err(|_| {
            CliError::usage("no usable certificate authority was found; name one with -ca-cert (VAULT_CACERT)")
        })?;
        Ok(Self { usual, named: named.unwrap_or_default() })
    }
}

impl ServerCertVerifier for Trusting {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.usual.verify_server_cert(leaf, between, name, ocsp, now) {
            // The library finds this only after the dates were found good (webpki's `check_issuer_independent_properties`).
            Err(Error::InvalidCertificate(CertificateError::Other(why)))
                if format!("{why:?}").contains("CaUsedAsEndEntity") && self.named.iter().any(|known| known == leaf) =>
            {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// `-tls-skip-verify`.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _between: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
