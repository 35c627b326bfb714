//! Shamir's secret sharing of 32 bytes, byte by byte over GF(2^8): pure arithmetic, no envelope and no checks.
//!
//! Every coefficient is uniformly random, zero included: leaving zero out of the highest one (as some libraries do)
//! tells a little about the secret to those who are one share short.

use crate::field::{inverse, multiply};
use strongroom_memory::LockedKey;
use strongroom_model::Entropy;
use zeroize::Zeroizing;

/// One point of the 32 polynomials: `x` is public, `y` is the secret part.
pub(crate) struct Point {
    pub(crate) x: u8,
    pub(crate) y: LockedKey,
}

/// Cuts the secret into `shares` points with x from 1 on; any `threshold` of them give it back.
pub(crate) fn split(secret: &LockedKey, shares: u8, threshold: u8, entropy: &dyn Entropy) -> Vec<Point> {
    // Row by row: the coefficients of x^1, x^2 ... for all 32 bytes at once.
    let mut rows = Zeroizing::new(vec![[0_u8; 32]; usize::from(threshold).saturating_sub(1)]);
    rows.iter_mut().for_each(|row| entropy.fill(row));
    (1..=shares).map(|x| Point { x, y: evaluate(secret, &rows, x) }).collect()
}

/// Horner's rule from the highest coefficient down to the secret.
fn evaluate(secret: &LockedKey, rows: &[[u8; 32]], x: u8) -> LockedKey {
    LockedKey::make(|y| {
        for row in rows.iter().rev().chain([secret.expose()]) {
            for (sum, coefficient) in y.iter_mut().zip(row) {
                *sum = multiply(*sum, x) ^ coefficient;
            }
        }
    })
}

/// The value at zero of the polynomials through the points. The secret if the points are enough and of one set; other
/// bytes otherwise, so the caller must check the result. The x must be distinct and not zero.
pub(crate) fn join(points: &[Point]) -> LockedKey {
    LockedKey::make(|secret| {
        for point in points {
            let weight = weight_at_zero(point.x, points);
            for (sum, y) in secret.iter_mut().zip(point.y.expose()) {
                *sum ^= multiply(weight, *y);
            }
        }
    })
}

/// Lagrange's basis polynomial of `x`, at zero. Subtraction is xor.
fn weight_at_zero(x: u8, points: &[Point]) -> u8 {
    let others = points.iter().map(|point| point.x).filter(|other| *other != x);
    others.fold(1, |weight, other| multiply(weight, multiply(other, inverse(other ^ x))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemEntropy;
    use proptest::prelude::*;

    fn copy(points: &[Point], chosen: &[usize]) -> Vec<Point> {
        chosen.iter().map(|index| Point { x: points[*index].x, y: points[*index].y.duplicate() }).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn any_threshold_of_the_shares_join_and_fewer_do_not(
            secret: [u8; 32], threshold in 1_u8..12, more in 0_u8..8, order in Just((0..20_usize).collect::<Vec<_>>()).prop_shuffle()
        ) {
            let shares = threshold + more;
            let points = split(&LockedKey::copied(&secret), shares, threshold, &SystemEntropy);
            let chosen: Vec<_> = order.into_iter().filter(|index| *index < usize::from(shares)).take(usize::from(threshold)).collect();
            let enough = join(&copy(&points, &chosen));
            let too_few = join(&copy(&points, &chosen[1..]));
            prop_assert_eq!(enough.expose(), &secret);
            prop_assert_ne!(too_few.expose(), &secret);
        }
    }

    /// Made with the splitting function of OpenBao 2 (y, then x in the last byte).
    #[test]
    fn shares_that_vault_made_join() {
        let made: [(&str, &[&str]); 3] = [
            (
                "5f666d747b828990979ea5acb3bac1c8cfd6dde4ebf2f900070e151c232a3138",
                &[
                    "14975ec2c601b55db4db502682495b1e7b40a7eddbb0d91f3747afc989a114003c",
                    "a8981de5d52f47a0d53cdaf30e89acf593239716bdf79d8c51341c07189e3f77ce",
                ],
            ),
            (
                "9ea5acb3bac1c8cfd6dde4ebf2f900070e151c232a31383f464d545b62697077",
                &[
                    "b8e165d85d8219c37e9dc114ed249cb4071f60e70f8d580bba99851100bd1e9a43",
                    "b17ad213499ad7dfe88347e0f54b32cb440044f96536758ae6e21a51fbe7dc244e",
                    "65e82338ce9a17ab02b20406fde853cefca921ae1e171ba6a43ef510e8e0d06624",
                ],
            ),
            (
                "c0c7ced5dce3eaf1f8ff060d141b222930373e454c535a61686f767d848b9299",
                &[
                    "2b4d5a0473c26be31c5e19e44c364aeb81ff7ba46119e40e308959a21ed3904187",
                    "a7ba88a837ba0a25efc0bb3910b7fd4eda95aadbb2cc848eef4e14deb95fd43aa8",
                    "dcfad3cb3c8fd47c8391e8013262ef1662a0c885a5fdbeff92be35bc4493697ff7",
                    "49695560e1fc540a23f046c39f676d6c9930e82c54990273b00031e4d357b4615b",
                    "66c37eece7f577331a559dc079dbc5d2c25febfe7f5041dda6ec21f00b5e4ca9d1",
                    "baafb1791d7cbde42372b8f5412b7fd7ced9498b4141ac205e77ed923ca6dd2e20",
                ],
            ),
        ];
        for (secret, shares) in made {
            let points: Vec<_> = shares.iter().map(|share| crate::Share::parse(share).unwrap().point()).collect();
            assert_eq!(hex::encode(join(&points).expose()), secret);
        }
    }

    #[test]
    fn the_largest_set_joins() {
        let secret = LockedKey::copied(&[0x5A; 32]);
        let points = split(&secret, 255, 255, &SystemEntropy);
        assert_eq!(join(&points).expose(), secret.expose());
    }

    #[test]
    fn every_value_of_a_coefficient_occurs_zero_included() {
        // With threshold 2, y(1) = secret ^ coefficient: all 256 values must turn up, as often as chance has it.
        let secret = LockedKey::copied(&[0; 32]);
        let mut seen = [0_u32; 256];
        for _ in 0..1_000 {
            let points = split(&secret, 2, 2, &SystemEntropy);
            points[0].y.expose().iter().for_each(|byte| seen[usize::from(*byte)] += 1);
        }
        assert!(seen.iter().all(|count| (50..=220).contains(count)), "{seen:?}");
    }
}
