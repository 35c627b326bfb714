//! What `listener "unix"` has of its own: who may connect. TLS and addresses of peers do not exist there, and keys that
//! promise them are refused.

use super::ConfigError;
use super::reader::Reader;
use std::path::Path;
use strongroom_model::hcl::{Block, Item, Value};

/// Who may connect to a unix socket; what is not said is left as the system makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnixSocket {
    /// The permissions.
    pub(crate) mode: Option<u32>,
    /// The owner, by name or number.
    pub(crate) user: Option<String>,
    /// The group, by name or number.
    pub(crate) group: Option<String>,
}

impl UnixSocket {
    /// Takes a key if it is one of these.
    pub(super) fn take(&mut self, item: &Item, reader: &Reader<'_>) -> Result<bool, ConfigError> {
        match item.name.as_str() {
            "socket_mode" => self.mode = Some(mode(item, reader)?),
            "socket_user" => self.user = Some(reader.text(item)?).filter(|name| !name.is_empty()),
            "socket_group" => self.group = Some(reader.text(item)?).filter(|name| !name.is_empty()),
            "tls_disable" => {}
            name if name.starts_with("tls_") => {
                let what = format!("`{name}` has no place here: a unix socket is served without TLS; remove it");
                return Err(reader.wrong(item.line, what));
            }
            name if name.starts_with("x_forwarded_for_") || name.starts_with("proxy_protocol_") => {
                let what = format!("`{name}` has no place here: the peer of a unix socket has no address; remove it");
                return Err(reader.wrong(item.line, what));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The path of the socket.
pub(super) fn path(path: Option<String>, block: &Block<'_>, reader: &Reader<'_>) -> Result<String, ConfigError> {
    let path = path.filter(|path| Path::new(path).is_absolute());
    path.ok_or_else(|| {
        let what = "listener \"unix\" needs the absolute path of its socket: write `address = \"/run/strongroom/strongroom.sock\"`";
        reader.wrong(block.line, what)
    })
}

/// Octal digits in quotes: HCL would read bare ones as octal and JSON as decimal.
fn mode(item: &Item, reader: &Reader<'_>) -> Result<u32, ConfigError> {
    let digits = match &item.value.value {
        Value::Text(text) => u32::from_str_radix(text.trim(), 8).ok(),
        _ => None,
    };
    digits.filter(|mode| *mode <= 0o777).ok_or_else(|| {
        reader.wrong(item.line, "`socket_mode` must be octal permissions in quotes: write `socket_mode = \"0660\"`")
    })
}
