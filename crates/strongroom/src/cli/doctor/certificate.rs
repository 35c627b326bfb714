//! What a server's certificate says of itself, and why it is not trusted. Reads the certificate and decides nothing: the
//! verdict comes from the verifier that every other command uses.

use super::Finding;
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Notes the certificate that it is shown, and leaves the verdict to another.
#[derive(Debug)]
pub(super) struct Noting {
    verdict: Arc<dyn ServerCertVerifier>,
    shown: Mutex<Option<Vec<u8>>>,
}

impl Noting {
    pub(super) fn new(verdict: Arc<dyn ServerCertVerifier>) -> Self {
        Self { verdict, shown: Mutex::default() }
    }

    /// What the server showed.
    pub(super) fn facts(&self) -> Option<Facts> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        Facts::read(shown.as_deref()?)
    }
}

impl ServerCertVerifier for Noting {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(leaf.to_vec());
        self.verdict.verify_server_cert(leaf, between, name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verdict.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verdict.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verdict.supported_verify_schemes()
    }
}

/// What a certificate says.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    issuer: String,
    is_self_signed: bool,
    names: Vec<String>,
    begins: Timestamp,
    ends: Timestamp,
}

/// From here on a certificate that ends is worth a warning.
const SOON_DAYS: i64 = 14;

impl Facts {
    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let time = |secs: i64| Timestamp::from_second(secs).unwrap_or_default();
        let validity = certificate.validity();
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map(|names| names.value.general_names.iter().filter_map(name).collect());
        Some(Self {
            issuer: certificate.issuer().to_string(),
            is_self_signed: certificate.issuer() == certificate.subject(),
            names: names.unwrap_or_default(),
            begins: time(validity.not_before.timestamp()),
            ends: time(validity.not_after.timestamp()),
        })
    }

    /// Of a certificate that was accepted.
    pub(super) fn accepted(&self, now: Timestamp) -> Finding {
        let Self { issuer, ends, .. } = self;
        let days = (ends.as_second() - now.as_second()) / 86_400;
        let what = format!("signed by {issuer}, until {ends} ({days} days)");
        match days {
            left if left < SOON_DAYS => Finding::warning("tls", what, RENEW),
            _ => Finding::good("tls", what),
        }
    }
}

const RENEW: &str = "renew the server's certificate, put it into its place, and send the server SIGHUP";

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match <[u8; 4]>::try_from(*bytes) {
            Ok(four) => Some(std::net::Ipv4Addr::from(four).to_string()),
            Err(_) => Some(std::net::Ipv6Addr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

/// Why a certificate was not accepted, and what mends it.
pub(super) fn refused(why: &CertificateError, facts: Option<&Facts>, host: &str) -> Finding {
    let issuer = facts.map_or("somebody", |facts| facts.issuer.as_str());
    let problem = |what: String, mend: String| Finding::problem("tls", what, mend);
    match (why, facts) {
        (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
            let ends = facts.map_or_else(|| "before now".to_owned(), |facts| facts.ends.to_string());
            problem(format!("the server's certificate ended on {ends}"), RENEW.to_owned())
        }
        (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
            let begins = facts.map_or_else(|| "later".to_owned(), |facts| facts.begins.to_string());
            let mend = "set this machine's clock (`timedatectl set-ntp true`), or wait".to_owned();
            problem(
                format!("the server's certificate begins on {begins}, which is later than this machine's clock"),
                mend,
            )
        }
        (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }, _) => {
            let names = facts.map(|facts| facts.names.clone()).unwrap_or_default();
            let first = names.first().cloned().unwrap_or_else(|| "NAME".to_owned());
            let what = format!("the server's certificate is for {}, not for {host}", list(&names));
            problem(what, format!("export VAULT_TLS_SERVER_NAME={first}   (or use that name in VAULT_ADDR)"))
        }
        // One that is marked as an authority and stands for a server is another error of the library's.
        (CertificateError::UnknownIssuer | CertificateError::Other(_), Some(facts)) if facts.is_self_signed => problem(
            format!("the server's certificate is signed by itself ({issuer}), and nobody here was told to trust it"),
            "export VAULT_CACERT=/path/to/that/certificate.pem".to_owned(),
        ),
        (CertificateError::UnknownIssuer, _) => problem(
            format!("the server's certificate is signed by {issuer}, which is not among the trusted authorities"),
            "export VAULT_CACERT=/path/to/that/authority.pem".to_owned(),
        ),
        (other, _) => problem(format!("the server's certificate is not trusted: {other}"), RENEW.to_owned()),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        let time = |text: &str| text.parse().unwrap();
        let (begins, ends) = (time("2026-01-01T00:00:00Z"), time("2026-12-01T00:00:00Z"));
        Facts { issuer: "CN=ca".into(), is_self_signed: false, names: vec!["vault.example".into()], begins, ends }
    }

    #[test]
    fn each_reason_has_its_cause_and_its_cure() {
        for (why, cause, cure) in [
            (CertificateError::Expired, "2026-12-01", "SIGHUP"),
            (CertificateError::NotValidYet, "2026-01-01", "clock"),
            (CertificateError::NotValidForName, "is for vault.example, not for 10.0.0.1", "SERVER_NAME=vault.example"),
            (CertificateError::UnknownIssuer, "signed by CN=ca", "VAULT_CACERT="),
        ] {
            let finding = refused(&why, Some(&facts()), "10.0.0.1");
            assert!(finding.what.contains(cause) && finding.mend.contains(cure), "{} | {}", finding.what, finding.mend);
        }
    }

    #[test]
    fn a_certificate_that_ends_soon_is_worth_a_warning() {
        let on = |text: &str| facts().accepted(text.parse().unwrap()).state;
        assert_eq!(on("2026-06-01T00:00:00Z"), super::super::State::Good);
        assert_eq!(on("2026-11-25T00:00:00Z"), super::super::State::Warning);
    }
}
