//! Orbits of the two maps in IEEE doubles, every operation rounded on its own and in the order written here.

use zeroize::Zeroize;

use super::map::Map;
use super::parameters::Start;

/// Words of the sequences that permute: the rows of a block, and its columns.
pub(super) const SIDE: usize = 256;
/// Words of the sequence that goes over a block by XOR.
pub(super) const MASK_WORDS: usize = SIDE * SIDE / 4;
/// Values thrown away at the front of an orbit.
const WARM_UP: usize = 256;
/// The step of the Lorenz equations, in their own unit of time.
const STEP: f64 = 0.01;
/// 2^48: of a value of the logistic map, the bits of weight 2^-17 to 2^-48 are its word.
const LOGISTIC_SCALE: f64 = 281_474_976_710_656.0;
/// 2^44: of a coordinate, those of weight 2^-13 to 2^-44.
const LORENZ_SCALE: f64 = 17_592_186_044_416.0;
/// 2^-30, the closest to 4 that a rate is moved.
const CLOSEST: f64 = 1.0 / 1_073_741_824.0;

/// The sequences of one block. Erased when dropped.
pub(super) struct Sequences {
    /// Permutes the columns.
    pub(super) x: [u32; SIDE],
    /// Permutes the rows.
    pub(super) y: [u32; SIDE],
    /// Goes over the bytes, most significant byte first.
    pub(super) z: Vec<u32>,
}

impl Drop for Sequences {
    fn drop(&mut self) {
        self.x.zeroize();
        self.y.zeroize();
        self.z.zeroize();
    }
}

impl Sequences {
    /// Room for the sequences of one block after the other.
    pub(super) fn new() -> Self {
        Self { x: [0; SIDE], y: [0; SIDE], z: vec![0; MASK_WORDS] }
    }

    /// Draws those of a block, of which `mask` words are needed.
    pub(super) fn draw(&mut self, map: Map, start: &Start, mask: usize) {
        let mask = self.z.get_mut(..mask).unwrap_or_default();
        match map {
            Map::Logistic => {
                let [a, b, c] = start.control;
                let [x, y, z] = start.at;
                logistic(a, x, &mut self.x);
                logistic(b, y, &mut self.y);
                logistic(c, z, mask);
            }
            Map::Lorenz => lorenz(start, &mut self.x, &mut self.y, mask),
        }
    }
}

/// 2^-12: how close an orbit comes back to where it was, to count as near.
const NEAR: f64 = 1.0 / 4096.0;

/// The words of one logistic map. An orbit that comes back to where it was is not used, nor one that keeps coming near:
/// the rate is moved half of the way to 4, out of the windows where cycles attract, and the sequence drawn anew. Says how
/// often.
fn logistic(mut rate: f64, mut at: f64, out: &mut [u32]) -> usize {
    let mut moved = 0_usize;
    while !logistic_without_cycle(rate, at, out) {
        let gap = (4.0 - rate) / 2.0;
        rate = 4.0 - if gap < CLOSEST { CLOSEST } else { gap };
        let scaled = at * 65536.0;
        at = 0.1 + 0.8 * (scaled - whole(scaled));
        moved = moved.saturating_add(1);
    }
    moved
}

/// Draws the words, unless the orbit comes back: R. P. Brent's algorithm, BIT 20 (1980), with one saved value. In windows
/// with narrow bands it does not come back to the bit, or not soon, but it comes near again and again.
fn logistic_without_cycle(rate: f64, start: f64, out: &mut [u32]) -> bool {
    let mut at = start;
    for _ in 0..WARM_UP {
        at = rate * at * (1.0 - at);
    }
    let mut saved = at;
    let (mut power, mut length, mut near) = (1_usize, 0_usize, 0_usize);
    let near_max = (out.len() / 128).max(4);
    for out in out {
        at = rate * at * (1.0 - at);
        *out = word(at * LOGISTIC_SCALE);
        length = length.wrapping_add(1);
        let off = (at - saved).abs();
        near = near.wrapping_add(usize::from(off < NEAR));
        // A difference of 0 is 0 exactly: doubles underflow gradually.
        if off == 0.0 || near > near_max {
            return false;
        }
        if length == power {
            saved = at;
            power = power.wrapping_mul(2);
            length = 0;
        }
    }
    true
}

/// The words of one orbit of the Lorenz equations: 256 steps for the permutations, then the coordinates in turn.
fn lorenz(start: &Start, x: &mut [u32; SIDE], y: &mut [u32; SIDE], mask: &mut [u32]) {
    let mut at = start.at;
    for _ in 0..WARM_UP {
        at = runge_kutta(at, start.control);
    }
    for (x, y) in x.iter_mut().zip(y) {
        at = runge_kutta(at, start.control);
        [*x, *y] = [at[0], at[1]].map(|value| word(value.abs() * LORENZ_SCALE));
    }
    for three in mask.chunks_mut(3) {
        at = runge_kutta(at, start.control);
        three.iter_mut().zip(at).for_each(|(out, value)| *out = word(value.abs() * LORENZ_SCALE));
    }
}

/// The right-hand side of the Lorenz equations.
#[inline]
fn slope([x, y, z]: [f64; 3], [sigma, rho, beta]: [f64; 3]) -> [f64; 3] {
    [sigma * (y - x), x * (rho - z) - y, x * y - beta * z]
}

/// One step of the classical fourth-order Runge-Kutta scheme.
#[inline]
fn runge_kutta(at: [f64; 3], control: [f64; 3]) -> [f64; 3] {
    let ahead = |[x, y, z]: [f64; 3], by: f64| [at[0] + by * x, at[1] + by * y, at[2] + by * z];
    let k1 = slope(at, control);
    let k2 = slope(ahead(k1, STEP / 2.0), control);
    let k3 = slope(ahead(k2, STEP / 2.0), control);
    let k4 = slope(ahead(k3, STEP), control);
    let sum = |a: f64, b: f64, c: f64, d: f64| (((a + 2.0 * b) + 2.0 * c) + d) * (STEP / 6.0);
    [
        at[0] + sum(k1[0], k2[0], k3[0], k4[0]),
        at[1] + sum(k1[1], k2[1], k3[1], k4[1]),
        at[2] + sum(k1[2], k2[2], k3[2], k4[2]),
    ]
}

/// The lower 32 bits of the integer part.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the lower 32 bits are what is wanted"
)]
fn word(scaled: f64) -> u32 {
    scaled as i64 as u32
}

/// The integer part of a small positive number.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "it is below 2^16")]
fn whole(value: f64) -> f64 {
    value as i64 as f64
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::digest::{SHA256, digest};
    use proptest::prelude::*;

    use super::*;
    use crate::cipher::LayerSeed;
    use crate::cipher::chaos::Parameters;
    use crate::keygen::Reading;

    /// What testdata/seal/chaos.py computed from section 6.2.
    const KNOWN: &str = include_str!("../../../testdata/seal/chaos.txt");

    fn known(name: &str) -> &'static str {
        KNOWN.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name").trim()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The first four words and the digest of all.
    fn summary(words: &[u32]) -> String {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        format!("{} {}", hex(&bytes[..16]), hex(digest(&SHA256, &bytes).as_ref()))
    }

    fn counting<const N: usize>(from: u8) -> [u8; N] {
        std::array::from_fn(|at| from + u8::try_from(at).unwrap())
    }

    #[test]
    fn parameters_and_sequences_are_what_another_implementation_computes() {
        let outputs = [0, 1, 0x12_3456, 0x80_0000, 0xFF_FFFE, 0xFF_FFFF];
        let reading = Reading { network: counting(64), picture: counting(32), outputs };
        let seed = LayerSeed::new(counting(0));
        for (map, name) in [(Map::Logistic, "logistic"), (Map::Lorenz, "lorenz")] {
            let parameters = Parameters::mix(map, &reading, &seed);
            assert_eq!(hex(&parameters.to_bytes()[32..]), known(&format!("{name} mixed")));
            let mut sequences = Sequences::new();
            sequences.draw(map, &parameters.block(&seed, 1), MASK_WORDS);
            assert_eq!(summary(&sequences.x), known(&format!("{name} x")));
            assert_eq!(summary(&sequences.y), known(&format!("{name} y")));
            assert_eq!(summary(&sequences.z), known(&format!("{name} z")));
        }
    }

    #[test]
    fn an_orbit_that_is_caught_in_a_cycle_of_three_is_moved_out_of_it() {
        // Between 3.8284 and 3.8415 three values attract all others.
        let mut words = vec![0; MASK_WORDS];
        assert!(!logistic_without_cycle(3.83, 0.3, &mut words), "the cycle is found");
        assert!(logistic(3.83, 0.3, &mut words) > 0);
        assert_eq!(summary(&words), known("window z"));
        let mut distinct = words.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() > MASK_WORDS - 100, "{} distinct words", distinct.len());
    }

    #[test]
    fn a_fixed_point_is_a_cycle_of_one() {
        // x = 1 - 1 / r = 0.75 is hit exactly where r is 4, which the ranges leave out.
        assert!(!logistic_without_cycle(4.0, 0.75, &mut [0; 16]));
        let mut words = [0; 4096];
        assert_eq!(logistic(4.0, 0.75, &mut words), 1);
        assert!(words.iter().filter(|word| **word == words[0]).count() < 3);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// The whole ranges are chaotic, windows of the logistic map included: every byte value is as frequent as any other.
        #[test]
        fn wherever_it_starts_a_mask_is_even(seed: [u8; 32], outputs: [u32; 6], number: u64) {
            let outputs = outputs.map(|output| output >> 8);
            let reading = Reading { network: [0; 32], picture: seed, outputs };
            let seed = LayerSeed::new(seed);
            for map in [Map::Logistic, Map::Lorenz] {
                let parameters = Parameters::mix(map, &reading, &seed);
                let start = parameters.block(&seed, number);
                let mut sequences = Sequences::new();
                sequences.draw(map, &start, MASK_WORDS);
                let mut counts = [0_f64; 256];
                sequences.z.iter().flat_map(|word| word.to_be_bytes()).for_each(|b| counts[usize::from(b)] += 1.0);
                let chi: f64 = counts.iter().map(|count| (count - 256.0).powi(2) / 256.0).sum();
                // 255 degrees of freedom: 255, give or take 23. Close to a window it may be somewhat more.
                prop_assert!(chi < 600.0, "{map:?} {start:?}: {chi}");
            }
        }
    }
}
