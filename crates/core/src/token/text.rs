//! What a token looks like: `hvs.` as Vault's, 43 random characters (256 bits), and 6 of checksum, so that scanners can
//! tell a real token from something that only resembles one.

use strongroom_model::{Entropy, SecretString, base62};
use zeroize::Zeroize;

const RANDOM: usize = 43;
const CHECK: usize = 6;

/// A fresh service token.
pub(super) fn service(entropy: &dyn Entropy) -> SecretString {
    let mut text = String::with_capacity(4 + RANDOM + CHECK);
    text.push_str("hvs.");
    let mut random = base62::random(entropy, RANDOM);
    text.push_str(&random);
    random.zeroize();
    let check = checksum(text.as_bytes());
    text.push_str(&check);
    SecretString::new(text)
}

/// A fresh accessor: as long as Vault's, and not a secret.
pub(super) fn accessor(entropy: &dyn Entropy) -> String {
    base62::random(entropy, 24)
}

/// CRC-32 (ISO 3309, reflected) in six base-62 digits.
fn checksum(data: &[u8]) -> String {
    let mut crc = u32::MAX;
    for byte in data {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    let mut rest = !crc;
    let mut digits = [b'0'; CHECK];
    for digit in digits.iter_mut().rev() {
        let value = (rest % 62) as u8;
        *digit = match value {
            0..=9 => b'0' + value,
            10..=35 => b'A' + value - 10,
            _ => b'a' + value - 36,
        };
        rest /= 62;
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;

    impl Entropy for Zeros {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(0);
        }
    }

    #[test]
    fn looks_like_a_service_token_with_a_checksum() {
        let token = service(&Zeros);
        let text = token.expose();
        assert!(text.starts_with("hvs.") && text.len() == 53, "{text}");
        assert_eq!(text.get(47..).unwrap(), checksum(text.get(..47).unwrap().as_bytes()));
        // CRC-32 of "123456789" is 0xCBF43926, the check value of the standard.
        assert_eq!(checksum(b"123456789"), {
            let mut n = 0xCBF4_3926_u32;
            let mut digits = Vec::new();
            while n > 0 {
                digits.push(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"[(n % 62) as usize]);
                n /= 62;
            }
            digits.reverse();
            String::from_utf8(digits).unwrap()
        });
    }
}
