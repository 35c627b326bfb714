use crate::BarrierError;
use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use strongroom_memory::LockedKey;
use zeroize::Zeroizing;

/// The content of a key file: 32 bytes that open a static slot.
pub struct StaticKey(pub(crate) LockedKey);

impl StaticKey {
    /// Reads 32 raw bytes, or their hexadecimal or base64 text with or without a line end. Refuses anything else, and a
    /// file of 32 equal bytes, which is an empty one that was given the right size.
    pub fn parse(content: &[u8]) -> Result<Self, BarrierError> {
        let key = match LockedKey::from_slice(content) {
            Some(key) => key,
            None => decode(content).ok_or_else(malformed)?,
        };
        let first = key.expose().first();
        if key.expose().iter().all(|byte| Some(byte) == first) {
            return Err(BarrierError::Seal(
                "the key file holds the same byte 32 times, which is no key; make one with `openssl rand -hex 32`"
                    .to_owned(),
            ));
        }
        Ok(Self(key))
    }
}

fn decode(content: &[u8]) -> Option<LockedKey> {
    let text = std::str::from_utf8(content).ok()?.trim();
    let bytes = match text.len() {
        64 => hex::decode(text).ok(),
        43 | 44 => {
            let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            let engine = |alphabet| GeneralPurpose::new(alphabet, config);
            engine(&STANDARD).decode(text).or_else(|_| engine(&URL_SAFE).decode(text)).ok()
        }
        _ => None,
    };
    LockedKey::from_slice(&Zeroizing::new(bytes?))
}

fn malformed() -> BarrierError {
    BarrierError::Seal(
        "the key file must hold 32 bytes, or 64 hexadecimal digits, or their base64; make one with `openssl rand -hex 32`".to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Option<[u8; 32]> {
        StaticKey::parse(content).ok().map(|key| *key.0.expose())
    }

    #[test]
    fn every_spelling_of_a_key_is_the_same_key() {
        let raw: [u8; 32] = std::array::from_fn(|index| 251_u8.wrapping_sub(index as u8 * 4));
        let standard = base64::engine::general_purpose::STANDARD.encode(raw);
        let url_safe = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(raw);
        assert!(standard.contains('+') || standard.contains('/'));
        for content in [hex::encode(raw), hex::encode_upper(raw) + "\n", standard.clone(), standard + "\r\n", url_safe]
        {
            assert_eq!(read(content.as_bytes()), Some(raw), "{content}");
        }
        assert_eq!(read(&raw), Some(raw));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for content in
            [&b""[..], &[1; 31], &[0; 32], &[b'a'; 64], &[1; 33], b"correct horse battery staple", &[0xFF; 44]]
        {
            assert!(read(content).is_none(), "{content:?}");
        }
    }
}
