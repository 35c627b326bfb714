//! Letters and digits, as Vault's tokens and lease ids use them.

use crate::Entropy;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `length` characters, each uniformly one of 62 (5.95 bits). Bytes of 248 and above are thrown away, since taking
/// them modulo 62 would favour the first eight characters.
pub fn random(entropy: &dyn Entropy, length: usize) -> String {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let block: [u8; 64] = entropy.array();
        let usable = block.iter().filter(|byte| **byte < 248);
        let characters = usable.filter_map(|byte| ALPHABET.get(usize::from(byte % 62)));
        text.extend(characters.take(length - text.len()).map(|byte| char::from(*byte)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU8, Ordering};

    struct Counting(AtomicU8);

    impl Entropy for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for byte in buffer {
                *byte = self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn every_character_is_equally_likely() {
        let text = random(&Counting(AtomicU8::new(0)), 248);
        for character in ALPHABET {
            assert_eq!(text.bytes().filter(|byte| byte == character).count(), 4, "{}", char::from(*character));
        }
    }

    #[test]
    fn has_the_length_asked_for() {
        assert_eq!(random(&Counting(AtomicU8::new(240)), 95).len(), 95);
    }
}
