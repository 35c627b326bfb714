//! Whom a request behind a proxy comes from: `X-Forwarded-For`, believed as far as Vault believes it
//! (developer.hashicorp.com, "TCP listener configuration"). The header counts only when the connection itself comes from an
//! address that the operator named; from anybody else it is refused or passed over, never believed. What is found goes
//! wherever the address of a client counts: bound networks of tokens, rate limits, the trail.

use hyper::http::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};
use strongroom_core::Cidr;

const HEADER: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What a listener believes of the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forwarding {
    /// Proxies that are believed.
    pub authorized: Vec<Cidr>,
    /// How many addresses at the end of the list are those of further proxies.
    pub hop_skips: usize,
    /// Whether a request without the header is refused.
    pub reject_not_present: bool,
    /// Whether the header from an address that is not believed makes the request a refused one.
    pub reject_not_authorized: bool,
}

impl Forwarding {
    /// The client behind this peer: `None` where the peer itself counts. The error is told to whoever sent the request,
    /// in Vault's words.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Result<Option<IpAddr>, String> {
        let mut lines = headers.get_all(HEADER).iter().peekable();
        if lines.peek().is_none() {
            return match self.reject_not_present {
                true => Err("missing x-forwarded-for header and configured to reject when not present".to_owned()),
                false => Ok(None),
            };
        }
        if !self.authorized.iter().any(|network| network.contains(peer)) {
            return match self.reject_not_authorized {
                true => {
                    Err("client address not authorized for x-forwarded-for and configured to reject connection"
                        .to_owned())
                }
                false => Ok(None),
            };
        }
        // Several lines are one list (RFC 9110, section 5.3). A line that is no text cannot hold an address.
        let chain: Vec<&str> = lines.flat_map(|line| line.to_str().unwrap_or("?").split(',')).map(str::trim).collect();
        let Some(place) = chain.len().checked_sub(self.hop_skips + 1) else {
            return Err(format!(
                "malformed x-forwarded-for configuration or request, hops to skip ({}) would skip before earliest chain \
                 link (chain length {})",
                self.hop_skips,
                chain.len()
            ));
        };
        let named = chain.get(place).copied().unwrap_or_default();
        // Vault takes over what is no address; here nobody could be held to a network with it.
        let client = address(named)
            .ok_or_else(|| "malformed x-forwarded-for header: the client's place holds no IP address".to_owned())?;
        Ok(Some(client.to_canonical()))
    }
}

/// An address, bare or with the port that some proxies add.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::http::HeaderValue;

    fn forwarding(hop_skips: usize, reject_not_present: bool, reject_not_authorized: bool) -> Forwarding {
        let authorized = ["10.0.0.0/8", "fd00::1"].map(|network| Cidr::parse(network).unwrap()).to_vec();
        Forwarding { authorized, hop_skips, reject_not_present, reject_not_authorized }
    }

    fn client(forwarding: &Forwarding, peer: &str, lines: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, HeaderValue::from_bytes(line).unwrap());
        }
        let found = forwarding.client(peer.parse().unwrap(), &headers)?;
        Ok(found.map(|address| address.to_string()))
    }

    #[test]
    fn the_last_address_counts_unless_hops_are_skipped() {
        let strict = forwarding(0, true, true);
        for (lines, expected) in [
            (vec!["203.0.113.9"], "203.0.113.9"),
            (vec!["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
            (vec!["6.6.6.6", "7.7.7.7,203.0.113.9"], "203.0.113.9"),
            (vec!["203.0.113.9:4711"], "203.0.113.9"),
            (vec!["[2001:db8::1]:4711"], "2001:db8::1"),
            (vec!["[2001:db8::1]"], "2001:db8::1"),
            (vec!["::ffff:203.0.113.9"], "203.0.113.9"),
        ] {
            let lines: Vec<&[u8]> = lines.into_iter().map(str::as_bytes).collect();
            for peer in ["10.1.2.3", "fd00::1", "::ffff:10.1.2.3"] {
                assert_eq!(client(&strict, peer, &lines), Ok(Some(expected.to_owned())), "{lines:?}");
            }
        }
        let skipping = forwarding(1, true, true);
        assert_eq!(client(&skipping, "10.0.0.1", &[b"6.6.6.6, 203.0.113.9, 10.0.0.2"]), Ok(Some("203.0.113.9".into())));
        assert_eq!(client(&skipping, "10.0.0.1", &[b"203.0.113.9", b"10.0.0.2"]), Ok(Some("203.0.113.9".into())));
        assert!(client(&skipping, "10.0.0.1", &[b"203.0.113.9"]).unwrap_err().contains("chain length 1"));
    }

    #[test]
    fn from_anybody_else_the_header_is_refused_or_passed_over_and_never_believed() {
        for peer in ["192.0.2.1", "fd00::2", "::1"] {
            let refused = client(&forwarding(0, true, true), peer, &[b"10.0.0.1"]).unwrap_err();
            assert!(refused.contains("not authorized"), "{refused}");
            assert_eq!(client(&forwarding(0, true, false), peer, &[b"10.0.0.1"]), Ok(None));
        }
    }

    #[test]
    fn a_request_without_the_header_is_refused_or_counts_as_its_peer() {
        assert!(client(&forwarding(0, true, true), "10.0.0.1", &[]).unwrap_err().contains("missing x-forwarded-for"));
        assert!(client(&forwarding(0, true, true), "192.0.2.1", &[]).is_err());
        assert_eq!(client(&forwarding(0, false, true), "10.0.0.1", &[]), Ok(None));
    }

    #[test]
    fn what_is_no_address_is_refused_and_not_repeated() {
        let lax = forwarding(0, false, false);
        for garbage in [
            "",
            " ",
            "unknown",
            "_hidden",
            "203.0.113.9, ",
            "203.0.113.9/8",
            "1.2.3",
            "<script>",
            "1.2.3.4:x",
            "\u{ff}",
        ] {
            let refused = client(&lax, "10.0.0.1", &[garbage.as_bytes()]).unwrap_err();
            assert!(refused.contains("holds no IP address"), "{garbage}: {refused}");
            assert!(garbage.len() < 3 || !refused.contains(garbage), "{refused}");
        }
    }
}
