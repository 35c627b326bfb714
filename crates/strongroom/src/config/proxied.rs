//! The keys `proxy_protocol_*` of a listener, with Vault's meaning.

use super::ConfigError;
use super::forwarded::networks;
use super::reader::Reader;
use strongroom_api::ProxyProtocol;
use strongroom_core::Cidr;
use strongroom_model::hcl::{Block, Item};

/// The keys while they are gathered.
#[derive(Default)]
pub(super) struct Draft {
    authorized: Vec<Cidr>,
    behavior: Option<(Behavior, u32)>,
}

/// What is done about headers of the PROXY protocol.
#[derive(Clone, Copy)]
enum Behavior {
    Always,
    Allow,
    Deny,
}

impl Draft {
    /// Takes a key if it is one of these.
    pub(super) fn take(&mut self, item: &Item, reader: &Reader<'_>) -> Result<bool, ConfigError> {
        match item.name.as_str() {
            "proxy_protocol_authorized_addrs" => self.authorized = networks(item, reader)?,
            "proxy_protocol_behavior" => {
                let behavior = match reader.text(item)?.as_str() {
                    "" => return Ok(true),
                    "use_always" => Behavior::Always,
                    "allow_authorized" => Behavior::Allow,
                    "deny_unauthorized" => Behavior::Deny,
                    _ => {
                        let what =
                            "`proxy_protocol_behavior` must be use_always, allow_authorized or deny_unauthorized";
                        return Err(reader.wrong(item.line, what));
                    }
                };
                self.behavior = Some((behavior, item.line));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What applies, once all keys are there.
    pub(super) fn finish(self, block: &Block<'_>, reader: &Reader<'_>) -> Result<Option<ProxyProtocol>, ConfigError> {
        match (self.behavior, self.authorized) {
            (None, addresses) if addresses.is_empty() => Ok(None),
            // Whoever names proxies means them to be believed, or others to be shut out.
            (None, _) => Err(reader.wrong(
                block.line,
                "`proxy_protocol_authorized_addrs` does nothing without `proxy_protocol_behavior`: write allow_authorized or deny_unauthorized",
            )),
            (Some((Behavior::Always, _)), _) => Ok(Some(ProxyProtocol::Always)),
            (Some((_, line)), addresses) if addresses.is_empty() => Err(reader.wrong(
                line,
                "`proxy_protocol_behavior` needs `proxy_protocol_authorized_addrs`: say whose header counts",
            )),
            (Some((Behavior::Allow, _)), addresses) => Ok(Some(ProxyProtocol::Allow(addresses))),
            (Some((Behavior::Deny, _)), addresses) => Ok(Some(ProxyProtocol::Deny(addresses))),
        }
    }
}
