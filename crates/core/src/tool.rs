//! Small services that need no keys: random bytes and digests, for scripts that trust this server's randomness more
//! than their own. Transit and the system endpoints share them. Keeps nothing and remembers nothing.

use crate::CoreError;
use aws_lc_rs::digest::{self, Algorithm, SHA3_256, SHA3_384, SHA3_512, SHA224, SHA256, SHA384, SHA512};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use strongroom_model::{Entropy, SecretBytes};

/// The most random bytes given at once (Vault: `APIMaxBytes`).
pub const MOST_RANDOM: usize = 128 * 1024;

/// How bytes are written in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Base64 with padding.
    Base64,
}

impl Encoding {
    /// Reads the words that Vault's `format` field takes.
    pub fn parse(text: &str) -> Result<Self, CoreError> {
        match text {
            "hex" => Ok(Self::Hex),
            "base64" => Ok(Self::Base64),
            _ => Err(CoreError::Invalid("unsupported encoding format; must be \"hex\" or \"base64\"".to_owned())),
        }
    }

    /// Writes the bytes.
    pub fn write(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
        }
    }
}

/// That many random bytes: at least one, at most [`MOST_RANDOM`].
pub fn random_bytes(entropy: &dyn Entropy, count: i64) -> Result<SecretBytes, CoreError> {
    let count = usize::try_from(count).ok().filter(|count| *count > 0);
    let count = count.ok_or_else(|| CoreError::Invalid("'bytes' cannot be less than 1".to_owned()))?;
    if count > MOST_RANDOM {
        return Err(CoreError::Invalid(format!("'bytes' should be less than {MOST_RANDOM}")));
    }
    let mut bytes = vec![0; count];
    entropy.fill(&mut bytes);
    Ok(SecretBytes::new(bytes))
}

/// A digest that can be asked for by name.
#[derive(Clone, Copy)]
pub struct Digest(&'static Algorithm);

impl Digest {
    /// The one that signatures of requests are made with.
    pub const SHA2_256: Self = Self(&SHA256);

    /// Reads the names that Vault's `algorithm` field takes. SHA3-224 is refused: the cryptographic library has it not.
    pub fn parse(name: &str) -> Result<Self, CoreError> {
        Ok(Self(match name {
            "sha2-224" => &SHA224,
            "sha2-256" => &SHA256,
            "sha2-384" => &SHA384,
            "sha2-512" => &SHA512,
            "sha3-256" => &SHA3_256,
            "sha3-384" => &SHA3_384,
            "sha3-512" => &SHA3_512,
            _ => {
                return Err(CoreError::Invalid(
                    "unsupported algorithm: use sha2-224, sha2-256, sha2-384, sha2-512, sha3-256, sha3-384 or sha3-512"
                        .to_owned(),
                ));
            }
        }))
    }

    /// The digest of the bytes.
    pub fn sum(self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.0, bytes).as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Ones;

    impl Entropy for Ones {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(1);
        }
    }

    #[test]
    fn digests_are_those_of_the_standards() {
        // FIPS 180-4 and FIPS 202, example "abc"; as the NIST example values list them.
        for (name, sum) in [
            ("sha2-224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            ("sha2-256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            ("sha3-256", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        ] {
            assert_eq!(hex::encode(Digest::parse(name).unwrap().sum(b"abc")), sum, "{name}");
        }
        assert_eq!(Digest::parse("sha2-384").unwrap().sum(b"").len(), 48);
        assert_eq!(Digest::parse("sha2-512").unwrap().sum(b"").len(), 64);
        assert!(Digest::parse("md5").is_err());
    }

    #[test]
    fn random_bytes_are_as_many_as_asked_within_bounds() {
        assert_eq!(random_bytes(&Ones, 3).unwrap().expose(), [1, 1, 1]);
        assert_eq!(random_bytes(&Ones, MOST_RANDOM as i64).unwrap().len(), MOST_RANDOM);
        for count in [0, -1, MOST_RANDOM as i64 + 1, i64::MAX] {
            assert!(random_bytes(&Ones, count).is_err(), "{count}");
        }
    }
}
