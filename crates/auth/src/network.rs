//! Lists of networks: read from a request, compared with each other and with the address of a caller.
//!
//! An empty list restricts nothing. A caller without an address (a unix socket) is in no network, so any restriction
//! shuts it out.

use std::net::IpAddr;
use strongroom_core::{Cidr, CoreError, Fields};

/// The networks in a field; a bare address is a network of one. None when the field was not sent.
pub(crate) fn networks(sent: &Fields, field: &str) -> Result<Option<Vec<Cidr>>, CoreError> {
    let Some(texts) = sent.list(field)? else { return Ok(None) };
    let texts = texts.iter().map(|text| text.trim()).filter(|text| !text.is_empty());
    texts.map(|text| Cidr::parse(text).map_err(|error| wrong(field, error))).collect::<Result<_, _>>().map(Some)
}

fn wrong(field: &str, error: impl std::fmt::Display) -> CoreError {
    CoreError::Field { field: field.to_owned(), problem: format!("holds something that is {error}") }
}

/// Whether somebody at this address may pass.
pub(crate) fn admits(networks: &[Cidr], source: Option<IpAddr>) -> bool {
    networks.is_empty() || source.is_some_and(|address| networks.iter().any(|network| network.contains(address)))
}

/// Whether `inner` allows nothing that `outer` does not. As in Vault, an empty list on either side sets no limit here:
/// who logs in is checked against both.
pub(crate) fn all_within(inner: &[Cidr], outer: &[Cidr]) -> bool {
    outer.is_empty() || inner.iter().all(|inner| outer.iter().any(|outer| within(inner, outer)))
}

fn within(inner: &Cidr, outer: &Cidr) -> bool {
    let (Some((inner, inner_bits)), Some((base, bits))) = (parts(inner), parts(outer)) else { return false };
    inner.is_ipv4() == base.is_ipv4() && inner_bits >= bits && outer.contains(inner)
}

/// The base and the prefix length, from the text that a network prints as.
fn parts(network: &Cidr) -> Option<(IpAddr, u8)> {
    let text = network.to_string();
    let (base, bits) = text.split_once('/')?;
    Some((base.parse().ok()?, bits.parse().ok()?))
}

/// As Vault prints the networks that a token is bound to: a network of one address without its prefix length.
pub(crate) fn shown_short(network: &Cidr) -> String {
    match parts(network) {
        Some((base, bits)) if bits == if base.is_ipv4() { 32 } else { 128 } => base.to_string(),
        _ => network.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn list(texts: &[&str]) -> Vec<Cidr> {
        texts.iter().map(|text| Cidr::parse(text).unwrap()).collect()
    }

    #[test]
    fn a_network_lies_within_another_only_as_a_whole() {
        let within = |inner: &[&str], outer: &[&str]| all_within(&list(inner), &list(outer));
        assert!(within(&["10.1.0.0/16", "127.0.0.1"], &["10.0.0.0/8", "127.0.0.0/24"]));
        assert!(!within(&["10.0.0.0/7"], &["10.0.0.0/8"]));
        assert!(!within(&["10.1.0.0/16", "11.0.0.0/16"], &["10.0.0.0/8"]));
        assert!(!within(&["::/9"], &["10.0.0.0/8"]));
        assert!(!within(&["::ffff:10.0.0.0/103"], &["10.0.0.0/8"]));
        assert!(within(&["::ffff:10.0.0.0/105"], &["10.0.0.0/8"]));
        assert!(within(&["fd00:1::/32"], &["fd00::/8"]));
        assert!(within(&["0.0.0.0/0"], &[]));
        assert!(within(&[], &["10.0.0.0/8"]));
    }

    #[test]
    fn a_caller_without_an_address_is_in_no_network() {
        assert!(admits(&[], None));
        assert!(!admits(&list(&["0.0.0.0/0"]), None));
        assert!(admits(&list(&["10.0.0.0/8"]), Some("10.2.3.4".parse().unwrap())));
        assert!(!admits(&list(&["10.0.0.0/8"]), Some("12.2.3.4".parse().unwrap())));
    }

    #[test]
    fn what_is_no_network_is_refused_by_field_without_being_repeated() {
        let sent: Fields = [("cidr_list".to_owned(), json!("10.0.0.0/8, hunter2"))].into_iter().collect();
        let text = networks(&sent, "cidr_list").unwrap_err().to_string();
        assert!(text.contains("cidr_list") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn prints_single_addresses_without_a_prefix_length() {
        let shown: Vec<_> = list(&["127.0.0.1/32", "10.0.0.0/8", "fd00::1"]).iter().map(shown_short).collect();
        assert_eq!(shown, ["127.0.0.1", "10.0.0.0/8", "fd00::1"]);
    }
}
