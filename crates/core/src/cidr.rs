use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use thiserror::Error;

/// A network, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    base: IpAddr,
    bits: u8,
}

/// Why a network is not one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CidrError {
    /// No address, or no prefix length.
    #[error("not a network: write an address with its prefix length, as 10.0.0.0/8 or fd00::/8")]
    Shape,
    /// Wider than all of IPv4, written as IPv4 in IPv6.
    #[error(
        "not a network: an IPv4 address mapped into IPv6 has a prefix length of 96 to 128; write it as IPv4, as 10.0.0.0/8"
    )]
    Mapped,
}

impl Cidr {
    /// Reads `10.0.0.0/8`, `fd00::/8`, or a bare address. IPv4 mapped into IPv6 (RFC 4291, section 2.5.5.2) is the IPv4
    /// network that it stands for, since callers' addresses are compared as IPv4.
    pub fn parse(text: &str) -> Result<Self, CidrError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| CidrError::Shape)?;
        let widest = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => widest,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| CidrError::Shape)?
            }
            Some(_) => return Err(CidrError::Shape),
        };
        match (bits > widest, base.to_canonical(), base) {
            (true, ..) => Err(CidrError::Shape),
            (false, IpAddr::V4(mapped), IpAddr::V6(_)) => match u8::checked_sub(bits, 96) {
                Some(bits) => Ok(Self { base: IpAddr::V4(mapped), bits }),
                None => Err(CidrError::Mapped),
            },
            _ => Ok(Self { base, bits }),
        }
    }

    /// Whether the address lies in it. An IPv4 address that came mapped into IPv6 counts as the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.base, address.to_canonical()) {
            (IpAddr::V4(base), IpAddr::V4(address)) => same_prefix(bits_v4(base), bits_v4(address), self.bits),
            (IpAddr::V6(base), IpAddr::V6(address)) => same_prefix(base.to_bits(), address.to_bits(), self.bits),
            _ => false,
        }
    }
}

fn bits_v4(address: Ipv4Addr) -> u128 {
    u128::from(address.to_bits()) << 96
}

fn same_prefix(a: u128, b: u128, bits: u8) -> bool {
    bits == 0 || (a ^ b) >> (128 - u32::from(bits)) == 0
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.bits)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> String {
        cidr.to_string()
    }
}

impl TryFrom<String> for Cidr {
    type Error = CidrError;

    fn try_from(text: String) -> Result<Self, CidrError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_the_addresses_of_its_network_only() {
        let inside = |net: &str, address: &str| Cidr::parse(net).unwrap().contains(address.parse().unwrap());
        assert!(inside("10.0.0.0/8", "10.255.1.2"));
        assert!(!inside("10.0.0.0/8", "11.0.0.0"));
        assert!(inside("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(inside("127.0.0.1", "127.0.0.1"));
        assert!(!inside("127.0.0.1", "127.0.0.2"));
        assert!(inside("0.0.0.0/0", "1.2.3.4"));
        assert!(!inside("0.0.0.0/0", "::1"));
        assert!(inside("fd00::/8", "fd12::1"));
        for address in ["10.9.2.1", "::ffff:10.9.2.1"] {
            assert!(inside("::ffff:10.9.2.0/120", address) && inside("::ffff:10.9.2.1", address), "{address}");
            assert!(!inside("::ffff:10.9.3.0/120", address), "{address}");
            assert!(inside("::ffff:0.0.0.0/96", address), "{address}");
        }
        assert_eq!(Cidr::parse("::ffff:10.9.2.0/120").unwrap(), Cidr::parse("10.9.2.0/24").unwrap());
    }

    #[test]
    fn refuses_what_is_no_network() {
        for bad in ["10.0.0.0/33", "10.0.0/8", "fd00::/129", "10.0.0.0/", "10.0.0.0/+8", "host"] {
            assert!(Cidr::parse(bad).is_err(), "{bad}");
        }
        let refused = Cidr::parse("::ffff:10.0.0.0/95").unwrap_err().to_string();
        assert!(refused.contains("write it as IPv4"), "{refused}");
    }
}
