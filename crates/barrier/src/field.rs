//! The field GF(2^8) with the polynomial x^8+x^4+x^3+x+1 (AES, FIPS 197 section 4.2; Vault's shares use the same).
//!
//! No table and no branch depends on a value: a table look-up tells the cache which share is being joined
//! (CVE-2023-25000 was exactly that).

use std::hint::black_box;

/// The product.
pub(crate) fn multiply(a: u8, b: u8) -> u8 {
    let mut product = 0;
    let mut shifted = a;
    for bit in 0..8 {
        product ^= shifted & mask(b >> bit);
        shifted = (shifted << 1) ^ (0x1b & mask(shifted >> 7));
    }
    product
}

/// The multiplicative inverse, as a^254; zero for zero.
pub(crate) fn inverse(a: u8) -> u8 {
    // 254 = 0b1111_1110: the product of a^2, a^4 ... a^128.
    let mut power = a;
    let mut product = 1;
    for _ in 1..8 {
        power = multiply(power, power);
        product = multiply(product, power);
    }
    product
}

/// All ones when the lowest bit is set. The black box keeps the compiler from turning the mask into a branch.
fn mask(bit: u8) -> u8 {
    black_box(0_u8.wrapping_sub(bit & 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long multiplication of polynomials, then long division: slow, and nothing like the code above.
    fn reference(a: u8, b: u8) -> u8 {
        let mut wide: u16 = (0..8).filter(|bit| b >> bit & 1 == 1).fold(0, |sum, bit| sum ^ (u16::from(a) << bit));
        for bit in (8..16).rev() {
            if wide >> bit & 1 == 1 {
                wide ^= 0x11b << (bit - 8);
            }
        }
        wide as u8
    }

    #[test]
    fn every_product_agrees_with_long_division() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(multiply(a, b), reference(a, b), "{a} * {b}");
            }
        }
    }

    #[test]
    fn every_inverse_is_one() {
        assert_eq!(inverse(0), 0);
        for a in 1..=255 {
            assert_eq!(reference(a, inverse(a)), 1, "{a}");
        }
    }
}
