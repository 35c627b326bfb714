//! The keys `x_forwarded_for_*` of a listener, with Vault's meaning and defaults: without authorized addresses the header
//! counts for nothing; with them, who comes without it or from elsewhere is refused unless told otherwise.

use super::ConfigError;
use super::reader::Reader;
use strongroom_core::Cidr;
use strongroom_model::hcl::{Block, Item};

/// What a listener believes of `X-Forwarded-For`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Proxies that are believed.
    pub(crate) authorized: Vec<Cidr>,
    /// How many addresses at the end of the list are those of further proxies.
    pub(crate) hop_skips: usize,
    /// Whether a request without the header is refused.
    pub(crate) reject_not_present: bool,
    /// Whether the header from elsewhere makes the request a refused one.
    pub(crate) reject_not_authorized: bool,
}

/// The keys while they are gathered.
#[derive(Default)]
pub(super) struct Draft {
    authorized: Vec<Cidr>,
    hop_skips: usize,
    reject_not_present: Option<bool>,
    reject_not_authorized: Option<bool>,
    rejects_on_line: Option<u32>,
}

impl Draft {
    /// Takes a key if it is one of these.
    pub(super) fn take(&mut self, item: &Item, reader: &Reader<'_>) -> Result<bool, ConfigError> {
        match item.name.as_str() {
            "x_forwarded_for_authorized_addrs" => self.authorized = networks(item, reader)?,
            "x_forwarded_for_hop_skips" => {
                let skips = reader.number(item)?;
                self.hop_skips = usize::try_from(skips)
                    .map_err(|_| reader.wrong(item.line, "`x_forwarded_for_hop_skips` must not be below zero"))?;
            }
            "x_forwarded_for_reject_not_present" => {
                self.reject_not_present = Some(self.rejects(item, reader)?);
            }
            "x_forwarded_for_reject_not_authorized" => {
                self.reject_not_authorized = Some(self.rejects(item, reader)?);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn rejects(&mut self, item: &Item, reader: &Reader<'_>) -> Result<bool, ConfigError> {
        let rejects = reader.switch(item)?;
        if rejects {
            self.rejects_on_line = Some(item.line);
        }
        Ok(rejects)
    }

    /// What applies, once all keys are there.
    pub(super) fn finish(self, block: &Block<'_>, reader: &Reader<'_>) -> Result<Option<Forwarded>, ConfigError> {
        if self.authorized.is_empty() {
            return match self.rejects_on_line.or((self.hop_skips > 0).then_some(block.line)) {
                None => Ok(None),
                // Vault then lets every request in, which is not what the file promises.
                Some(line) => Err(reader.wrong(
                    line,
                    "`x_forwarded_for_*` rejects and skips nothing without `x_forwarded_for_authorized_addrs`: say whose header counts",
                )),
            };
        }
        Ok(Some(Forwarded {
            authorized: self.authorized,
            hop_skips: self.hop_skips,
            reject_not_present: self.reject_not_present.unwrap_or(true),
            reject_not_authorized: self.reject_not_authorized.unwrap_or(true),
        }))
    }
}

/// Addresses and networks, in a list or divided by commas.
pub(super) fn networks(item: &Item, reader: &Reader<'_>) -> Result<Vec<Cidr>, ConfigError> {
    let texts = reader.texts(item)?;
    let parts = texts.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|part| !part.is_empty());
    let read = parts.map(|part| {
        Cidr::parse(part).map_err(|error| reader.wrong(item.line, format!("`{}`: {part:?} is {error}", item.name)))
    });
    read.collect()
}
