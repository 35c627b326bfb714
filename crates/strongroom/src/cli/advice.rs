//! What to do next, for errors that have a usual cause. Pure text: given what happened, says the next step, or nothing
//! when there is none worth saying.

use super::address::{Address, Way};

/// What kept a request from being answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nobody listens there.
    Refused,
    /// The name is not known.
    UnknownHost,
    /// No answer in time; the seconds waited.
    TimedOut(u64),
    /// We spoke TLS and the other side does not.
    PeerSpeaksPlainHttp,
    /// The other side answered something that is not HTTP, as a TLS server does when it is spoken to in the clear.
    PeerSpeaksNoHttp,
    /// The certificate is not one to trust, in the words of the library.
    BadCertificate(String),
    /// The server ended the handshake, for instance because it wants a client certificate.
    TlsRefused(String),
    /// The connection ended before the answer did.
    CutOff,
    /// A redirect that is not followed.
    BadRedirect(String),
    /// More than this program is willing to keep.
    TooLong,
    /// Anything else, in the system's words.
    Other(String),
}

impl Failure {
    /// What happened.
    pub(crate) fn why(&self, address: &Address) -> String {
        match self {
            Failure::Refused => format!("connection refused: nothing listens at {}", address.base()),
            Failure::UnknownHost => format!("the host name in {} is not known", address.base()),
            Failure::TimedOut(secs) => format!("no answer within {secs} seconds"),
            Failure::PeerSpeaksPlainHttp => "the server answered without TLS to a request with TLS".to_owned(),
            Failure::PeerSpeaksNoHttp => "the answer is not HTTP; the server may expect TLS".to_owned(),
            Failure::BadCertificate(why) => format!("the server's certificate is not trusted: {why}"),
            Failure::TlsRefused(why) => format!("the server ended the TLS handshake: {why}"),
            Failure::CutOff => "the connection ended before the answer was complete".to_owned(),
            Failure::BadRedirect(why) => why.clone(),
            Failure::TooLong => "the answer is longer than 64 MiB".to_owned(),
            Failure::Other(why) => why.clone(),
        }
    }

    /// What to do next.
    pub(crate) fn advice(&self, address: &Address) -> String {
        let other = address.base_with_other_scheme();
        match (self, &address.way) {
            (Failure::Refused | Failure::Other(_), Way::Socket(_)) => {
                "Check that the server runs and that you may use its socket.".to_owned()
            }
            (Failure::Refused, _) => {
                "Start a server with `strongroom server -dev`, or set VAULT_ADDR to where one runs.".to_owned()
            }
            (Failure::UnknownHost, _) => "Check VAULT_ADDR (or -address) for a typing error.".to_owned(),
            (Failure::TimedOut(_), _) => {
                "Check the address and firewalls; VAULT_CLIENT_TIMEOUT sets how long to wait.".to_owned()
            }
            (Failure::PeerSpeaksPlainHttp, _) => {
                format!("If it is meant to run without TLS (as `server -dev` does), set VAULT_ADDR={other}.")
            }
            (Failure::PeerSpeaksNoHttp, _) => format!("Try VAULT_ADDR={other}."),
            (Failure::BadCertificate(_), _) => {
                "Name its authority with -ca-cert (VAULT_CACERT), or the name in it with -tls-server-name.".to_owned()
            }
            (Failure::TlsRefused(_), _) => {
                "If it wants a client certificate, give -client-cert and -client-key.".to_owned()
            }
            (Failure::CutOff, _) => {
                format!("Look at the server's log. If it expects TLS, set VAULT_ADDR={other}.")
            }
            (Failure::BadRedirect(_), _) => "Set VAULT_ADDR to the address of the active server.".to_owned(),
            (Failure::TooLong, _) => "Ask for less, as by listing a deeper folder.".to_owned(),
            (Failure::Other(_), _) => "Check the address, and that the server runs.".to_owned(),
        }
    }
}

/// What to do about an error the server answered with; empty when the server's words are enough.
pub(crate) fn on_status(code: u16, errors: &[String], path: &str, has_token: bool) -> String {
    let says = |word: &str| errors.iter().any(|error| error.contains(word));
    match code {
        400 if says("HTTP request to an HTTPS server") || says("HTTPS") => {
            "The server expects TLS: set VAULT_ADDR to https://...".to_owned()
        }
        400 if says("not initialized") => NOT_INITIALISED.to_owned(),
        403 if !has_token => "No token was sent. Log in with `strongroom login`, or set VAULT_TOKEN.".to_owned(),
        403 => format!("See what your token may do there: `strongroom token capabilities {path}`."),
        501 => NOT_INITIALISED.to_owned(),
        503 if says("sealed") => {
            "The server is sealed. Give it its unseal keys with `strongroom operator unseal`.".to_owned()
        }
        _ => String::new(),
    }
}

const NOT_INITIALISED: &str = "The server is new. Initialise it with `strongroom operator init`.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_mistake_has_a_next_step() {
        let plain = Address::parse("http://127.0.0.1:8200").unwrap();
        let tls = Address::parse("https://127.0.0.1:8200").unwrap();
        assert!(Failure::Refused.why(&plain).contains("nothing listens at http://127.0.0.1:8200"));
        assert!(Failure::Refused.advice(&plain).contains("server -dev"));
        assert!(Failure::PeerSpeaksPlainHttp.advice(&tls).contains("VAULT_ADDR=http://127.0.0.1:8200"));
        assert!(Failure::PeerSpeaksNoHttp.advice(&plain).contains("VAULT_ADDR=https://127.0.0.1:8200"));
        assert!(
            on_status(403, &["permission denied".to_owned()], "secret/data/x", true)
                .contains("token capabilities secret/data/x")
        );
        assert!(on_status(403, &[], "x", false).contains("strongroom login"));
        assert!(on_status(503, &["Vault is sealed".to_owned()], "x", true).contains("operator unseal"));
        assert_eq!(on_status(500, &["disk".to_owned()], "x", true), "");
    }
}
