//! A stream from RSA: each block is the one before to the power 65537, modulo a number of 2048 bits.

use super::Source;
use crate::evaluate::Seeded;

const LIMBS: usize = 32;
/// What a block gives away of its number: all but the highest eight bytes, which follow the modulus and are not even.
const BLOCK: usize = 8 * (LIMBS - 1);

/// The product of two primes of 1024 bits that nobody kept, its lowest limb first.
const MODULUS: [u64; LIMBS] = [
    0x28c9_f31a_d219_e31d,
    0xeea6_d714_495c_6dc8,
    0x9857_b267_2f0e_f712,
    0x2beb_d1bd_3740_6c84,
    0x8d2d_8c43_2389_044a,
    0x84ba_38b2_d02a_aca5,
    0x35e3_2a80_417c_be67,
    0x4106_4dfc_9999_fabd,
    0x48ab_99c8_7ed8_4d96,
    0x5837_43b2_3d8c_06de,
    0xa59c_6b75_6ffd_fe85,
    0x073d_ac42_1432_b96e,
    0x0e50_2780_7a67_5205,
    0xe718_78de_d4c9_cd07,
    0xf821_f519_053d_e8a2,
    0x5d60_d2e4_63db_4496,
    0xbb63_54d1_882f_8978,
    0xfadb_5ebd_1c74_fde4,
    0xb8f9_b277_5b52_16a1,
    0xf77b_5b8d_5a29_9be7,
    0x9b19_200d_a608_e6ed,
    0x98a6_7802_d6b8_8e25,
    0xd240_9646_45ea_3ecc,
    0x7750_ae51_677f_2fc6,
    0x9453_1a1b_2cce_1f52,
    0x5a53_2c25_3c7c_22b5,
    0xda08_9a9c_4393_fc39,
    0xe3e7_1f67_c6ba_d97a,
    0x4976_e127_1177_0559,
    0xc17d_d2ec_6623_b77a,
    0x8741_fb83_f397_2425,
    0xbcd2_b8e9_be48_40d8,
];

type Number = [u64; LIMBS];

/// The papers do not say how they make a stream from RSA; this is the plainest way.
pub(super) struct Rsa {
    number: Number,
    block: [u8; BLOCK],
    at: usize,
    modulus: Montgomery,
}

impl Rsa {
    pub(super) fn new(seeded: &mut Seeded) -> Self {
        let mut number: Number = std::array::from_fn(|_| seeded.next_u64());
        // Below the modulus, whose highest bit is set.
        number[LIMBS - 1] >>= 1;
        Self { number, block: [0; BLOCK], at: BLOCK, modulus: Montgomery::new() }
    }
}

impl Source for Rsa {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.at == BLOCK {
                self.number = self.modulus.power_65537(&self.number);
                for (eight, limb) in self.block.chunks_exact_mut(8).zip(self.number) {
                    eight.copy_from_slice(&limb.to_le_bytes());
                }
                self.at = 0;
            }
            *byte = self.block[self.at];
            self.at += 1;
        }
    }
}

/// Multiplication modulo [`MODULUS`] by Montgomery's method.
struct Montgomery {
    /// -1 / modulus, modulo 2^64.
    inverse: u64,
    /// 2^4096 modulo the modulus.
    square: Number,
}

impl Montgomery {
    fn new() -> Self {
        // Newton's iteration doubles the bits that are right: 5, 10, 20, 40, 80.
        let mut inverse = MODULUS[0].wrapping_mul(3) ^ 2;
        for _ in 0..4 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(MODULUS[0].wrapping_mul(inverse)));
        }
        let mut square = [0; LIMBS];
        square[0] = 1;
        (0..2 * 64 * LIMBS).for_each(|_| double(&mut square));
        Self { inverse: inverse.wrapping_neg(), square }
    }

    /// a b / 2^2048.
    fn multiply(&self, a: &Number, b: &Number) -> Number {
        let mut sum = [0_u64; LIMBS + 2];
        for limb in a {
            add_product(&mut sum, *limb, b);
            let factor = sum[0].wrapping_mul(self.inverse);
            add_product(&mut sum, factor, &MODULUS);
            // The lowest limb is zero now.
            sum.copy_within(1.., 0);
            sum[LIMBS + 1] = 0;
        }
        let mut result: Number = std::array::from_fn(|i| sum[i]);
        if sum[LIMBS] > 0 || !is_below(&result, &MODULUS) {
            subtract(&mut result, &MODULUS);
        }
        result
    }

    fn power_65537(&self, number: &Number) -> Number {
        let base = self.multiply(number, &self.square);
        let power = (0..16).fold(base, |power, _| self.multiply(&power, &power));
        // One factor without the 2^2048 takes it out of the result.
        self.multiply(&power, number)
    }
}

/// sum += factor * number.
fn add_product(sum: &mut [u64; LIMBS + 2], factor: u64, number: &Number) {
    let mut carry = 0_u128;
    for (limb, of_number) in sum.iter_mut().zip(number) {
        carry += u128::from(*limb) + u128::from(factor) * u128::from(*of_number);
        *limb = carry as u64;
        carry >>= 64;
    }
    carry += u128::from(sum[LIMBS]);
    sum[LIMBS] = carry as u64;
    sum[LIMBS + 1] += (carry >> 64) as u64;
}

fn is_below(a: &Number, b: &Number) -> bool {
    a.iter().rev().lt(b.iter().rev())
}

/// a -= b, modulo 2^2048.
fn subtract(a: &mut Number, b: &Number) {
    let mut borrow = false;
    for (a, b) in a.iter_mut().zip(b) {
        let (difference, first) = a.overflowing_sub(*b);
        let (difference, second) = difference.overflowing_sub(u64::from(borrow));
        (*a, borrow) = (difference, first || second);
    }
}

/// Twice the number, modulo the modulus.
fn double(number: &mut Number) {
    let mut carry = 0;
    for limb in number.iter_mut() {
        (*limb, carry) = (*limb << 1 | carry, *limb >> 63);
    }
    if carry == 1 || !is_below(number, &MODULUS) {
        subtract(number, &MODULUS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_are_those_that_python_computes() {
        // pow(x, 65537, n).to_bytes(256, "little"), of the start that seed 7 gives, and of what comes out.
        let mut bytes = [0; BLOCK + 16];
        Rsa::new(&mut Seeded::new(7)).fill(&mut bytes);
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        assert_eq!(hex(&bytes[..16]), "3bbb4b1097df0aa90116a85fdcf9bc80");
        assert_eq!(hex(&bytes[BLOCK..]), "8dfb7d74890e601cc4515beec44ff214");
    }
}
