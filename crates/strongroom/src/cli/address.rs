//! Where the server is: `http`, `https`, with a path prefix (behind a proxy), or `unix://` for a socket on this machine.
//! The only place that takes addresses apart; says what is wrong with one that cannot be used.

use super::error::CliError;
use hyper::Uri;
use std::path::PathBuf;

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// How to get there.
    pub(crate) way: Way,
    /// What goes before `/v1/`: empty, or a path that begins with a slash and ends without one.
    prefix: String,
}

/// How to get there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over the network.
    Network {
        /// Whether with TLS.
        tls: bool,
        /// A name or an IP address, IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// As it goes into the `Host` header.
        authority: String,
    },
    /// A socket on this machine.
    Socket(PathBuf),
}

impl Address {
    /// Reads what the user gave.
    pub(crate) fn parse(text: &str) -> Result<Self, CliError> {
        let text = text.trim();
        let wrong =
            |why: &str| CliError::usage(format!("the address `{}` {why}; write http://127.0.0.1:8200", shown(text)));
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') {
                Ok(Self { way: Way::Socket(PathBuf::from(path)), prefix: String::new() })
            } else {
                Err(wrong("is not unix:///absolute/path"))
            };
        }
        let uri: Uri = text.parse().map_err(|_| wrong("cannot be read"))?;
        let (address, rest) = Self::of_uri(&uri).map_err(wrong)?;
        Ok(Self {
            prefix: rest.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').to_owned(),
            ..address
        })
    }

    /// Takes an absolute URI apart into an address without prefix and what follows it.
    pub(crate) fn of_uri(uri: &Uri) -> Result<(Self, String), &'static str> {
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            None => return Err("has no scheme"),
            Some(_) => return Err("has a scheme that is neither http nor https"),
        };
        let authority = uri.authority().ok_or("has no host")?;
        if authority.as_str().contains('@') {
            return Err("holds a user name, which would be sent nowhere");
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let way = Way::Network { tls, host, port, authority: authority.as_str().to_owned() };
        let rest = uri.path_and_query().map_or("", |rest| rest.as_str()).to_owned();
        Ok((Self { way, prefix: String::new() }, rest))
    }

    /// The address without a slash at its end, as messages and curl lines begin.
    pub(crate) fn base(&self) -> String {
        let prefix = &self.prefix;
        match &self.way {
            Way::Network { tls, authority, .. } => {
                format!("{}://{authority}{prefix}", if *tls { "https" } else { "http" })
            }
            Way::Socket(path) => format!("unix://{}", path.display()),
        }
    }

    /// The same with the other scheme, for advice.
    pub(crate) fn base_with_other_scheme(&self) -> String {
        let base = self.base();
        match base.split_once("://") {
            Some(("https", rest)) => format!("http://{rest}"),
            Some((_, rest)) => format!("https://{rest}"),
            None => base,
        }
    }

    /// What goes before `/v1/`.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What goes into the `Host` header.
    pub(crate) fn host_header(&self) -> &str {
        match &self.way {
            Way::Network { authority, .. } => authority,
            Way::Socket(_) => "localhost",
        }
    }

    /// Whether the way there is encrypted.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.way, Way::Network { tls: true, .. })
    }
}

/// An address in a message, without the password somebody may have put into it.
fn shown(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_their_prefix_and_get_a_port() {
        let address = Address::parse("https://vault.example.org/team/vault/").unwrap();
        assert_eq!(
            (address.base().as_str(), address.prefix()),
            ("https://vault.example.org/team/vault", "/team/vault")
        );
        assert!(matches!(address.way, Way::Network { tls: true, port: 443, .. }));
        let Way::Network { host, port, .. } = Address::parse("http://[::1]:8200").unwrap().way else { panic!() };
        assert_eq!((host.as_str(), port), ("::1", 8200));
        assert_eq!(Address::parse("unix:///run/x.sock").unwrap().way, Way::Socket("/run/x.sock".into()));
    }

    #[test]
    fn an_address_that_cannot_be_used_says_why() {
        for (text, why) in [
            ("127.0.0.1:8200", "has no scheme"),
            ("ftp://x", "neither http nor https"),
            ("unix://x", "unix:///absolute/path"),
            ("http://", "cannot be read"),
            ("http://bob:hunter2@x", "user name"),
        ] {
            let error = Address::parse(text).err().unwrap().to_string();
            assert!(error.contains(why) && !error.contains("hunter2"), "{error}");
        }
    }
}
