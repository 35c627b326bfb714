use strongroom_model::SecretBytes;
use thiserror::Error;

/// One share of a Shamir seal, in our envelope or in Vault's bare 33 bytes.
pub struct Share {
    pub(crate) bytes: SecretBytes,
}

/// Why a share is not one, or not one of this seal.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShareError {
    /// Neither hexadecimal nor base64.
    #[error("the unseal key is neither hexadecimal nor base64; copy it again, without blanks or quotes")]
    Encoding,
}

impl Share {
    /// Reads hexadecimal or base64 (standard alphabet, with or without padding).
    pub fn parse(_text: &str) -> Result<Self, ShareError> {
        unimplemented!()
    }

    /// The share as lower-case hexadecimal (`keys` of `sys/init`).
    pub fn to_hex(&self) -> String {
        unimplemented!()
    }

    /// The share as base64 (`keys_base64` of `sys/init`).
    pub fn to_base64(&self) -> String {
        unimplemented!()
    }
}
