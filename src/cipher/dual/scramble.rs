//! What chaos does in the suite `dual`: S-boxes and a permutation for a stream, places and diffusion for each square of it.
//!
//! `docs/FORMAT.md` section 6.3. Every square has an orbit of its own, so that none is long enough to run into a cycle.
#![allow(clippy::indexing_slicing, reason = "a permutation of 0..N indexes N places")]

use zeroize::Zeroizing;

use super::aes::{BOXES, SubstitutionBox};
use crate::cipher::CipherError;
use crate::keygen::chaos::{Orbit, System};

/// Bytes of a square: 128 rows of 128.
pub(super) const SQUARE: usize = 128 * 128;
/// A place in a square, as 14 bits.
const PLACE_SHIFT: u32 = 32 - 14;
const PLACE_MASK: usize = SQUARE - 1;

/// The next value of an orbit as a word of 32 bits.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction times 2^32 is in 0..2^32"
)]
#[inline]
fn word(orbit: &mut Orbit) -> u32 {
    (orbit.fraction() * 4_294_967_296.0) as u32
}

/// What of a stream's chaos holds for all of it.
pub(super) struct Structure {
    pub(super) boxes: [SubstitutionBox; BOXES],
    /// A permutation of the places of a square.
    order: Zeroizing<Vec<u16>>,
}

impl Structure {
    pub(super) fn new(key: &[u8; 32]) -> Result<Self, CipherError> {
        let mut orbit = Orbit::new(System::Logistic, key);
        let mut sbox = || {
            let mut bytes = Zeroizing::new([0; 256]);
            for (byte, value) in bytes.iter_mut().zip(0..=255) {
                *byte = value;
            }
            shuffle(&mut *bytes, &mut orbit);
            SubstitutionBox::new(bytes)
        };
        let boxes = [sbox()?, sbox()?, sbox()?, sbox()?];
        let mut order = Zeroizing::new((0..=u16::MAX).take(SQUARE).collect::<Vec<_>>());
        shuffle(&mut order, &mut orbit);
        Ok(Self { boxes, order })
    }

    /// Permutes and diffuses a square, or the beginning of one that the stream ends in.
    pub(super) fn scramble(&self, key: &[u8; 32], plain: &[u8], out: &mut [u8]) {
        let mut orbit = Orbit::new(System::Logistic, key);
        for (place, from) in out.iter_mut().zip(self.places(&mut orbit, plain.len())) {
            *place = plain[from];
        }
        let mut before = 0;
        for bytes in out.as_chunks_mut().0 {
            before ^= u32::from_be_bytes(*bytes) ^ word(&mut orbit);
            *bytes = before.to_be_bytes();
        }
    }

    /// Undoes it; `scrambled` is used up.
    pub(super) fn restore(&self, key: &[u8; 32], scrambled: &mut [u8], out: &mut [u8]) {
        let mut orbit = Orbit::new(System::Logistic, key);
        let places = self.places(&mut orbit, scrambled.len());
        let mut before = 0;
        for bytes in scrambled.as_chunks_mut().0 {
            let here = u32::from_be_bytes(*bytes);
            *bytes = (here ^ before ^ word(&mut orbit)).to_be_bytes();
            before = here;
        }
        for (byte, from) in scrambled.iter().zip(places) {
            out[from] = *byte;
        }
    }

    /// Where each byte of the permuted square comes from. Draws two values of the orbit before anything is taken.
    fn places(&self, orbit: &mut Orbit, length: usize) -> impl Iterator<Item = usize> + use<'_> {
        let mut place = || (word(orbit) >> PLACE_SHIFT) as usize;
        let (start, shift) = (place(), place());
        let (behind, first) = self.order.split_at(start);
        let turned = first.iter().chain(behind);
        turned.map(move |at| usize::from(*at).wrapping_add(shift) & PLACE_MASK).filter(move |at| *at < length)
    }
}

/// Durstenfeld's shuffle: from the last place on, each is exchanged with one that is drawn from those up to it.
fn shuffle<T>(values: &mut [T], orbit: &mut Orbit) {
    for last in (1..values.len()).rev() {
        let drawn = u64::from(word(orbit)).wrapping_mul((last as u64).wrapping_add(1)) >> 32;
        values.swap(last, usize::try_from(drawn).unwrap_or(last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_makes_bijections_and_no_place_is_lost() {
        for key in 0..32 {
            let structure = Structure::new(&[key; 32]).unwrap();
            let mut order = structure.order.to_vec();
            order.sort_unstable();
            assert!(order.into_iter().eq(0..16_384), "key {key}");
            for length in [16, 32, 1008, SQUARE - 16, SQUARE] {
                let mut orbit = Orbit::new(System::Logistic, &[!key; 32]);
                let mut places: Vec<_> = structure.places(&mut orbit, length).collect();
                places.sort_unstable();
                assert!(places.into_iter().eq(0..length), "key {key}, {length} bytes");
            }
        }
    }

    #[test]
    fn a_square_comes_back_whatever_its_length_is() {
        let structure = Structure::new(&[1; 32]).unwrap();
        for length in [16, 4096, SQUARE] {
            let plain: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let (mut scrambled, mut back) = (vec![0; length], vec![0; length]);
            structure.scramble(&[2; 32], &plain, &mut scrambled);
            assert_ne!(scrambled, plain);
            structure.restore(&[2; 32], &mut scrambled, &mut back);
            assert_eq!(back, plain);
        }
    }

    #[test]
    fn two_squares_of_one_stream_are_permuted_differently() {
        let structure = Structure::new(&[1; 32]).unwrap();
        let places = |key| {
            let mut orbit = Orbit::new(System::Logistic, &[key; 32]);
            structure.places(&mut orbit, SQUARE).collect::<Vec<_>>()
        };
        let same = places(1).iter().zip(places(2)).filter(|(a, b)| **a == *b).count();
        assert!(same < 100, "{same} of 16,384 places are the same");
    }

    /// The nonlinearity of a Boolean function of eight bits: its distance from the nearest affine one.
    fn nonlinearity(sbox: &[u8; 256]) -> i32 {
        let worst = |mask: u8| {
            let mut sums: Vec<i32> =
                sbox.iter().map(|y| if (y & mask).count_ones().is_multiple_of(2) { 1 } else { -1 }).collect();
            for step in [1, 2, 4, 8, 16, 32, 64, 128] {
                for i in (0..256).filter(|i| i & step == 0) {
                    (sums[i], sums[i + step]) = (sums[i] + sums[i + step], sums[i] - sums[i + step]);
                }
            }
            sums.iter().map(|sum| sum.abs()).max().unwrap()
        };
        (1..=255).map(|mask| 128 - worst(mask) / 2).min().unwrap()
    }

    #[test]
    fn a_drawn_box_is_weaker_than_that_of_aes_which_is_why_nothing_rests_on_it() {
        let mut found = Vec::new();
        for key in 0..8 {
            for sbox in Structure::new(&[key; 32]).unwrap().boxes {
                let bytes: [u8; 256] = std::array::from_fn(|i| sbox.get(u8::try_from(i).unwrap()));
                found.push(nonlinearity(&bytes));
            }
        }
        // That of AES has 112. What docs/FORMAT.md says of ours.
        assert!(found.iter().all(|n| (84..=98).contains(n)), "{found:?}");
    }
}
