//! Chaotic maps that encrypt images: the style that a generator is trained to imitate.
//!
//! The transformation domain of the seed paper holds "images encrypted using the traditional chaotic system" and names
//! no system. Ours are two classical ones, the logistic map and the Lorenz equations, in IEEE double precision with
//! additions, subtractions and multiplications only, each rounded on its own (nothing is fused), so that every machine
//! draws the same orbit.
//!
//! These bytes teach a style. They protect nothing, and nothing else in the gateway may be sealed with them.

/// Rows of an image, and columns.
pub const SIDE: usize = 256;
/// Planes of an image: red, green, blue, one after the other.
pub const PLANES: usize = 3;
/// Bytes of an image.
pub const IMAGE_BYTES: usize = PLANES * SIDE * SIDE;

/// Values of an orbit that are thrown away, so that close keys have parted by the first one used.
const WARM_UP: usize = 1000;
/// The step of the Lorenz equations, in their own unit of time.
const STEP: f64 = 0.01;
/// Neighbouring states share their leading bits: sixteen of them are dropped.
const DROPPED: f64 = 65536.0;

/// A chaotic system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// x' = r x (1 - x), with r between 4 - 2^-19 and 4 - 2^-20.
    Logistic,
    /// The Lorenz equations with sigma 10, rho 28, beta 8/3, by the classical fourth-order Runge-Kutta scheme.
    Lorenz,
}

/// One orbit of a chaotic system, read value by value.
#[derive(Debug, Clone)]
pub struct Orbit(State);

#[derive(Debug, Clone)]
enum State {
    Logistic {
        x: f64,
        rate: f64,
    },
    /// `turn` says which coordinate is read next; after the third the system moves on.
    Lorenz {
        at: [f64; 3],
        turn: usize,
    },
}

impl Orbit {
    /// The orbit that a key leads to, after its warm-up.
    ///
    /// A key is four big-endian numbers of 64 bits; the upper 53 bits of each, over 2^53, place the start: x = 0.1 + 0.8
    /// u0 and r = 4 - (1 + u1) / 2^20, or x = 20 u0 - 10, y = 20 u1 - 10, z = 15 + 20 u2.
    #[must_use]
    pub fn new(system: System, key: &[u8; 32]) -> Self {
        let unit = |i: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&key[8 * i..8 * i + 8]);
            unit_interval(u64::from_be_bytes(word))
        };
        let state = match system {
            // Not simply between 3.99 and 4: that range has windows in which the orbit is periodic (3.99031 repeats
            // after ten values). Towards 4 they vanish; 4 itself is no choice, since an orbit can end in 0 there.
            System::Logistic => {
                State::Logistic { x: 0.1 + 0.8 * unit(0), rate: 4.0 - (1.0 + unit(1)) / 1_048_576.0 }
            }
            System::Lorenz => State::Lorenz {
                at: [20.0 * unit(0) - 10.0, 20.0 * unit(1) - 10.0, 15.0 + 20.0 * unit(2)],
                turn: 0,
            },
        };
        let mut orbit = Self(state);
        for _ in 0..WARM_UP {
            orbit.fraction();
        }
        orbit
    }

    /// The next value, at least 0 and below 1: |v| 2^16 without its integer part.
    pub fn fraction(&mut self) -> f64 {
        let value = match &mut self.0 {
            State::Logistic { x, rate } => {
                *x = *rate * *x * (1.0 - *x);
                *x
            }
            State::Lorenz { at, turn } => {
                if *turn == 0 {
                    *at = runge_kutta(*at);
                }
                let value = at[*turn];
                *turn = (*turn + 1) % 3;
                value.abs()
            }
        };
        (value * DROPPED).fract()
    }

    /// The next value as a byte.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a fraction times 256 is in 0..256"
    )]
    pub fn byte(&mut self) -> u8 {
        (self.fraction() * 256.0) as u8
    }

    /// A permutation of 0..256: where each of the next 256 values comes when they are sorted.
    fn permutation(&mut self) -> [usize; SIDE] {
        let values: Vec<f64> = (0..SIDE).map(|_| self.fraction()).collect();
        let mut order: [usize; SIDE] = std::array::from_fn(|i| i);
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        order
    }
}

/// The upper 53 bits as a number in [0, 1), which a double holds exactly.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit a double's mantissa")]
fn unit_interval(word: u64) -> f64 {
    (word >> 11) as f64 / (1_u64 << 53) as f64
}

/// The right-hand side of the Lorenz equations.
fn lorenz([x, y, z]: [f64; 3]) -> [f64; 3] {
    [10.0 * (y - x), x * (28.0 - z) - y, x * y - (8.0 / 3.0) * z]
}

/// One step of the classical Runge-Kutta scheme: (k1 + 2 k2 + 2 k3 + k4) h / 6, summed from the left.
fn runge_kutta(at: [f64; 3]) -> [f64; 3] {
    let ahead =
        |slope: [f64; 3], by: f64| [at[0] + by * slope[0], at[1] + by * slope[1], at[2] + by * slope[2]];
    let k1 = lorenz(at);
    let k2 = lorenz(ahead(k1, STEP / 2.0));
    let k3 = lorenz(ahead(k2, STEP / 2.0));
    let k4 = lorenz(ahead(k3, STEP));
    std::array::from_fn(|i| at[i] + (k1[i] + 2.0 * k2[i] + 2.0 * k3[i] + k4[i]) * (STEP / 6.0))
}

/// Encrypts an image of three planes: in each, rows and columns are permuted and the orbit's bytes put on by XOR.
///
/// # Panics
/// When the image is not [`IMAGE_BYTES`] long.
pub fn encrypt(system: System, key: &[u8; 32], image: &mut [u8]) {
    assert_eq!(image.len(), IMAGE_BYTES, "an image of three planes of 256 by 256 bytes");
    let mut orbit = Orbit::new(system, key);
    for plane in image.chunks_exact_mut(SIDE * SIDE) {
        let (rows, columns) = (orbit.permutation(), orbit.permutation());
        let before = plane.to_vec();
        for (i, byte) in plane.iter_mut().enumerate() {
            let (row, column) = (rows[i / SIDE], columns[i % SIDE]);
            *byte = before[row * SIDE + column] ^ orbit.byte();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 32] = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f";

    fn gradient() -> Vec<u8> {
        (0..IMAGE_BYTES).map(|i| u8::try_from((i / SIDE + i % SIDE) % 256).unwrap()).collect()
    }

    fn sha256(bytes: &[u8]) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
        digest.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    fn entropy(bytes: &[u8]) -> f64 {
        let mut counts = [0_u32; 256];
        for byte in bytes {
            counts[usize::from(*byte)] += 1;
        }
        let total = f64::from(u32::try_from(bytes.len()).unwrap());
        counts.iter().filter(|n| **n > 0).map(|n| f64::from(*n) / total).map(|p| -p * p.log2()).sum()
    }

    /// From a program of thirty lines of Python, written from the text above.
    #[test]
    fn orbits_and_images_are_those_of_an_independent_program() {
        let cases = [
            (
                System::Logistic,
                [0x4d, 0xd9, 0x2b, 0xed, 0x15, 0x6f, 0x02, 0xb2],
                "0b0ebf32ee04e8cf60b66a3d4ce976288b5739ef375f8ee6c9e9ea68db70ad46",
            ),
            (
                System::Lorenz,
                [0x20, 0xd9, 0x53, 0xf4, 0xfa, 0xe1, 0xb1, 0x90],
                "7871cb58a3cb42303b95e96d94e9ec080f477093ee991d7a5ec78add063ef808",
            ),
        ];
        for (system, first, digest) in cases {
            let mut orbit = Orbit::new(system, &KEY);
            assert_eq!(std::array::from_fn::<u8, 8, _>(|_| orbit.byte()), first, "{system:?}");
            let mut image = gradient();
            encrypt(system, &KEY, &mut image);
            assert_eq!(sha256(&image), digest, "{system:?}");
        }
    }

    #[test]
    fn every_key_fills_a_black_image_with_all_bytes_alike() {
        for system in [System::Logistic, System::Lorenz] {
            for n in 0..=255_u8 {
                let mut key = [n; 32];
                key[9] = n.wrapping_mul(31);
                let mut image = vec![0; IMAGE_BYTES];
                encrypt(system, &key, &mut image);
                // Truly random bytes of this number have 7.9991.
                assert!(entropy(&image) > 7.998, "{system:?} {n}: {}", entropy(&image));
            }
        }
    }

    #[test]
    fn one_bit_of_the_key_changes_nearly_every_byte() {
        for system in [System::Logistic, System::Lorenz] {
            let mut other = KEY;
            other[3] ^= 1;
            let (mut a, mut b) = (gradient(), gradient());
            encrypt(system, &KEY, &mut a);
            encrypt(system, &other, &mut b);
            let same = a.iter().zip(&b).filter(|(a, b)| a == b).count();
            assert!((500..1100).contains(&same), "{system:?}: {same} of {IMAGE_BYTES}, 768 by chance");
        }
    }

    #[test]
    fn rows_and_columns_are_permuted_and_none_is_lost() {
        let order = Orbit::new(System::Lorenz, &KEY).permutation();
        let mut sorted = order;
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..SIDE) && order != sorted);
    }
}
