use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a message may go to. What an operator may write into a URL must not reach what trusts this machine
/// because it is this machine: the services of its cloud that hand out its credentials, its neighbours on the link, itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Whether the operator allowed loopback, link-local and metadata addresses.
    pub(crate) internal: bool,
}

/// Addresses in ranges that are otherwise fine, at which clouds give out credentials: Alibaba, Azure, Oracle, AWS over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

impl Reach {
    /// Why a message may not go there; `None` when it may. Asked of the address that is dialled, so that a name cannot be
    /// resolved twice with two results.
    pub(crate) fn refusal(self, address: IpAddr) -> Option<&'static str> {
        let address = inner(address);
        let wide = match address {
            IpAddr::V4(v4) => v4.is_broadcast(),
            IpAddr::V6(_) => false,
        };
        if address.is_multicast() || address.is_unspecified() || wide {
            return Some("the address is of no single machine");
        }
        if self.internal {
            return None;
        }
        let link = match address {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        match () {
            () if address.is_loopback() => Some("the address is this machine's own"),
            () if link => Some("the address is link-local, where clouds give out credentials"),
            () if METADATA.contains(&address) => Some("the address is one at which a cloud gives out credentials"),
            () => None,
        }
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped (RFC 4291, 2.5.5.2), compatible (2.5.5.1), NAT64 (RFC 6052),
/// 6to4 (RFC 3056).
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => v4(high, low),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_trusts_this_machine_is_out_of_reach_in_every_spelling() {
        let refused = [
            "169.254.169.254",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "0.0.0.0",
            "::",
            "fe80::1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
            "::127.0.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "ff02::1",
        ];
        for text in refused {
            assert!(Reach { internal: false }.refusal(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in ["10.0.0.1", "192.168.1.1", "93.184.216.34", "2001:db8::1", "fd12::1"] {
            assert_eq!(Reach { internal: false }.refusal(text.parse().unwrap()), None, "{text}");
        }
        for text in ["127.0.0.1", "::1", "169.254.1.1"] {
            assert_eq!(Reach { internal: true }.refusal(text.parse().unwrap()), None, "{text}");
        }
        assert!(Reach { internal: true }.refusal("0.0.0.0".parse().unwrap()).is_some());
    }
}
