//! The way to the server: address, name, connection, TLS. Each step is looked at only when those before it are well.

use super::certificate::{Noting, refused};
use super::{Finding, State};
use crate::cli::address::{Address, Way};
use crate::cli::session::Session;
use crate::cli::tls;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// For each attempt to connect, and for TLS.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks at all of it.
pub(super) fn look(session: &Session) -> Vec<Finding> {
    let from = match (session.parsed.text("address"), session.env.named("ADDR")) {
        (Some(_), _) => "-address".to_owned(),
        (None, Some((name, _))) => name,
        (None, None) => "the default".to_owned(),
    };
    let address = match Address::parse(&session.settings.address) {
        Ok(address) => address,
        Err(error) => return vec![Finding::problem("address", error.to_string(), SET_ADDRESS)],
    };
    let mut findings = vec![of_address(&address, &from)];
    match &address.way {
        Way::Socket(path) => findings.push(match UnixStream::connect(path) {
            Ok(_) => Finding::good("connection", format!("the socket {} answers", path.display())),
            Err(error) => Finding::problem(
                "connection",
                format!("the socket {} cannot be used: {error}", path.display()),
                "start the server, or ask its operator for the right to use its socket",
            ),
        }),
        Way::Network { tls, host, port, .. } => match connect(host, *port) {
            Err(finding) => findings.push(finding),
            Ok((at, stream)) => {
                findings.push(Finding::good("connection", format!("{at} answers")));
                if *tls {
                    findings.push(of_tls(session, host, &address, stream));
                }
            }
        },
    }
    findings
}

const SET_ADDRESS: &str = "export VAULT_ADDR=https://HOST:8200";

fn of_address(address: &Address, from: &str) -> Finding {
    let what = format!("{}, from {from}", address.base());
    match &address.way {
        Way::Network { tls: false, host, .. } if !is_this_machine(host) => Finding::warning(
            "address",
            format!("{what}: without TLS, so the token and every secret can be read on the way"),
            format!("export VAULT_ADDR={}", address.base_with_other_scheme()),
        ),
        _ => Finding::good("address", what),
    }
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn connect(host: &str, port: u16) -> Result<(SocketAddr, TcpStream), Finding> {
    let found: Vec<SocketAddr> = match (host, port).to_socket_addrs() {
        Ok(found) => found.collect(),
        Err(error) => {
            let what = format!("the name {host} is not known: {error}");
            return Err(Finding::problem(
                "connection",
                what,
                "correct the name in VAULT_ADDR, or mend this machine's DNS",
            ));
        }
    };
    let mut last = format!("the name {host} has no address");
    for address in found {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => return Ok((address, stream)),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                last = format!("nothing listens at {address}");
            }
            Err(error) => last = format!("{address} does not answer: {error}"),
        }
    }
    let mend = "start the server (`strongroom server -config=FILE`, or `strongroom server -dev` to try), or correct VAULT_ADDR";
    Err(Finding::problem("connection", last, mend))
}

fn of_tls(session: &Session, host: &str, address: &Address, mut stream: TcpStream) -> Finding {
    let settings = &session.settings.tls;
    let noting = match tls::verifier(settings) {
        Ok(verdict) => Arc::new(Noting::new(verdict)),
        Err(error) => return Finding::problem("tls", error.to_string(), "export VAULT_CACERT=/path/to/authority.pem"),
    };
    let expected = settings.server_name.as_deref().unwrap_or(host).to_owned();
    let config = match tls::client_config_with(settings, noting.clone()) {
        Ok(config) => Arc::new(config),
        Err(error) => {
            return Finding::problem("tls", error.to_string(), "correct VAULT_CLIENT_CERT and VAULT_CLIENT_KEY");
        }
    };
    let Ok(name) = ServerName::try_from(expected.clone()) else {
        return Finding::problem("tls", format!("{expected} is no name of a server"), "correct VAULT_TLS_SERVER_NAME");
    };
    let _ = stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    let shaken = match ClientConnection::new(config, name) {
        Ok(mut connection) => connection.complete_io(&mut stream).map(|_| ()),
        Err(error) => Err(std::io::Error::other(error)),
    };
    let facts = noting.facts();
    match (shaken, facts) {
        (Ok(()), _) if settings.skip_verify => Finding::warning(
            "tls",
            "the certificate is not checked (VAULT_SKIP_VERIFY), so whoever sits in between reads everything",
            "unset VAULT_SKIP_VERIFY; export VAULT_CACERT=/path/to/authority.pem",
        ),
        (Ok(()), Some(facts)) => facts.accepted(jiff::Timestamp::now()),
        (Ok(()), None) => Finding::good("tls", "accepted"),
        (Err(error), facts) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => refused(why, facts.as_ref(), &expected),
            Some(rustls::Error::InvalidMessage(_)) => Finding::problem(
                "tls",
                "the server does not speak TLS there",
                format!("export VAULT_ADDR={}", address.base_with_other_scheme()),
            ),
            Some(rustls::Error::AlertReceived(alert)) => Finding::problem(
                "tls",
                format!("the server ended the handshake: {alert:?}"),
                "if it wants a client certificate: export VAULT_CLIENT_CERT=... VAULT_CLIENT_KEY=...",
            ),
            _ => Finding { state: State::Problem, ..Finding::problem("tls", error.to_string(), SET_ADDRESS) },
        },
    }
}
