//! Shares as people hold them: our envelope, which notices typing errors and foreign sets, and Vault's bare 33 bytes.
//!
//! Envelope: `SR`, version 1, set id (4), x, threshold, y (32), the first 4 bytes of the SHA-256 of all that. The
//! 45 bytes give base64 without padding. Bare: y (32), then x, as Vault writes shares.

use crate::shamir::Point;
use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use strongroom_memory::LockedKey;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::codec::{Put, Take};

const MAGIC: &[u8] = b"SR";
const VERSION: u8 = 1;
const ENVELOPE: usize = 45;
const CHECKED: usize = 41;
/// A bare share as Vault writes it.
const BARE: usize = 33;

/// Names one splitting of one key: shares of different sets never join.
pub(crate) type SetId = [u8; 4];

/// One share of a Shamir seal, in our envelope or in Vault's bare 33 bytes.
pub struct Share {
    x: u8,
    y: LockedKey,
    set: Option<(SetId, u8)>,
}

/// Why a share is not one, or not one of this seal.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShareError {
    /// Neither hexadecimal nor base64.
    #[error("the unseal key is neither hexadecimal nor base64; copy it again, without blanks or quotes")]
    Encoding,
    /// Characters are missing or too many.
    #[error(
        "the unseal key is {found} bytes long and should be 45 (or 33 from Vault); a part is missing or doubled, copy it again"
    )]
    Length {
        /// Bytes after decoding.
        found: usize,
    },
    /// The envelope's checksum does not fit.
    #[error("the unseal key was mistyped: its checksum does not fit; compare it with the original and try again")]
    Checksum,
    /// Made by a later version of this program.
    #[error("the unseal key has format {version}, which this version does not know; use the version that made it")]
    Version {
        /// The format found.
        version: u8,
    },
    /// A share of another strongroom, or of an earlier set of this one.
    #[error(
        "the unseal key belongs to another strongroom or to keys that were replaced (set {theirs}; this one is {ours}); use one of set {ours}"
    )]
    Foreign {
        /// The set the share is of.
        theirs: String,
        /// The set that opens this seal.
        ours: String,
    },
    /// A bare share that is not one of this seal's.
    #[error(
        "the unseal key is none of this strongroom's: it was mistyped, or belongs to another one or to keys that were replaced"
    )]
    Unknown,
    /// The seal has no slot that opens with shares.
    #[error("this strongroom does not open with unseal keys; it opens with the key file named in its configuration")]
    NoSlot,
}

impl Share {
    pub(crate) fn new(point: Point, set: SetId, threshold: u8) -> Self {
        Self { x: point.x, y: point.y, set: Some((set, threshold)) }
    }

    /// Reads hexadecimal or base64 (standard or URL alphabet, with or without padding), of our envelope or of Vault's 33 bytes.
    /// Blanks and line ends around it do not matter.
    pub fn parse(text: &str) -> Result<Self, ShareError> {
        let text = text.trim();
        let bytes = Zeroizing::new(decode(text).ok_or(ShareError::Encoding)?);
        match bytes.len() {
            ENVELOPE => Self::from_envelope(&bytes),
            BARE => Self::from_bare(&bytes).ok_or(ShareError::Unknown),
            found => Err(ShareError::Length { found }),
        }
    }

    fn from_envelope(bytes: &[u8]) -> Result<Self, ShareError> {
        let (checked, sum) = bytes.split_at_checked(CHECKED).ok_or(ShareError::Checksum)?;
        if sum != checksum(checked) {
            return Err(ShareError::Checksum);
        }
        let mut parts = Take(checked);
        let mut read = || {
            let (magic, version) = (parts.raw(2)?, parts.u8()?);
            let (set, x, threshold) = (parts.array()?, parts.u8()?, parts.u8()?);
            Some((magic, version, Self { x, y: LockedKey::from_slice(parts.raw(32)?)?, set: Some((set, threshold)) }))
        };
        match read() {
            Some((MAGIC, VERSION, share)) if share.x != 0 => Ok(share),
            Some((MAGIC, version, _)) if version != VERSION => Err(ShareError::Version { version }),
            _ => Err(ShareError::Checksum),
        }
    }

    fn from_bare(bytes: &[u8]) -> Option<Self> {
        let mut parts = Take(bytes);
        let y = LockedKey::from_slice(parts.raw(32)?)?;
        let x = parts.u8()?;
        (x != 0).then_some(Self { x, y, set: None })
    }

    /// The share as lower-case hexadecimal (`keys` of `sys/init`).
    pub fn to_hex(&self) -> String {
        hex::encode(&*self.bytes())
    }

    /// The share as base64 (`keys_base64` of `sys/init`).
    pub fn to_base64(&self) -> String {
        base64::engine::general_purpose::STANDARD.encode(&*self.bytes())
    }

    /// Its number within the set, from 1; not secret.
    pub fn index(&self) -> u8 {
        self.x
    }

    pub(crate) fn set(&self) -> Option<SetId> {
        self.set.map(|(set, _)| set)
    }

    pub(crate) fn point(&self) -> Point {
        Point { x: self.x, y: self.y.duplicate() }
    }

    /// What the seal record keeps to recognise the share: a hash of 256 random bits, from which they cannot be found.
    pub(crate) fn commitment(&self, set: SetId) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(b"strongroom share commitment");
        context.update(&set);
        context.update(&[self.x]);
        context.update(self.y.expose());
        context.finish().as_ref().try_into().unwrap_or_default()
    }

    fn bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(ENVELOPE));
        match self.set {
            Some((set, threshold)) => {
                bytes.raw(MAGIC).u8(VERSION).raw(&set).u8(self.x).u8(threshold).raw(self.y.expose());
                let sum = checksum(&bytes);
                bytes.raw(&sum);
            }
            None => {
                bytes.raw(self.y.expose()).u8(self.x);
            }
        }
        bytes
    }
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut context = Context::new(&SHA256);
    context.update(b"strongroom share checksum");
    context.update(bytes);
    context.finish().as_ref().first_chunk().copied().unwrap_or_default()
}

/// Hexadecimal when all characters are and the length is one that hexadecimal gives; base64 otherwise (45 and 33
/// bytes are 60 and 44 characters there, so the two cannot be confused).
fn decode(text: &str) -> Option<Vec<u8>> {
    let hexadecimal = text.len() > 60 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal {
        return hex::decode(text).ok();
    }
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let standard = GeneralPurpose::new(&alphabet::STANDARD, config);
    let url_safe = GeneralPurpose::new(&alphabet::URL_SAFE, config);
    standard.decode(text).or_else(|_| url_safe.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

    fn share(x: u8) -> Share {
        Share::new(Point { x, y: LockedKey::copied(&[0xFB; 32]) }, [1, 2, 3, 4], 3)
    }

    fn refused(text: &str) -> ShareError {
        Share::parse(text).err().unwrap()
    }

    #[test]
    fn both_forms_read_back_in_every_spelling() {
        let ours = share(7);
        let bytes = ours.bytes().to_vec();
        let bare = [ours.y.expose().as_slice(), &[7]].concat();
        for bytes in [bytes, bare] {
            let spellings = [
                hex::encode(&bytes),
                hex::encode_upper(&bytes),
                STANDARD.encode(&bytes),
                URL_SAFE.encode(&bytes),
                URL_SAFE_NO_PAD.encode(&bytes),
                format!("  {}\n", STANDARD.encode(&bytes)),
            ];
            for text in spellings {
                let read = Share::parse(&text).unwrap();
                assert_eq!((read.index(), read.y.expose()), (7, ours.y.expose()), "{text}");
            }
        }
        assert_eq!(Share::parse(&ours.to_hex()).unwrap().to_base64(), ours.to_base64());
        assert_eq!(ours.to_base64().len(), 60);
    }

    #[test]
    fn every_single_mistyped_character_is_noticed_at_once() {
        for text in [share(1).to_hex(), share(1).to_base64()] {
            for index in 0..text.len() {
                for other in ["0", "7", "c", "d"] {
                    let mut typed = text.clone();
                    typed.replace_range(index..=index, other);
                    if !typed.eq_ignore_ascii_case(&text) {
                        assert_eq!(refused(&typed), ShareError::Checksum, "{typed}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_share_says_what_it_lacks() {
        let text = share(1).to_hex();
        assert_eq!(refused(&text[..88]), ShareError::Length { found: 44 });
        assert_eq!(refused("not a key!"), ShareError::Encoding);
        assert_eq!(refused(""), ShareError::Length { found: 0 });
        assert_eq!(refused(&"0".repeat(66)), ShareError::Unknown);
        let mut later = hex::decode(&text).unwrap();
        later[2] = 2;
        let sum = checksum(&later[..CHECKED]);
        later[CHECKED..].copy_from_slice(&sum);
        assert_eq!(refused(&hex::encode(later)), ShareError::Version { version: 2 });
    }
}
