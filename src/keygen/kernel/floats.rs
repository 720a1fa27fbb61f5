//! A scale in single precision, used only where it is proved to give the same activations as the integers.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "the check below judges the result"
)]

use super::Scale;
use crate::keygen::model::ACCUMULATOR_LIMIT;

/// Adding it to a small number leaves the number's nearest integer in the last bits.
pub(super) const ROUNDER: f32 = 12_582_912.0;
/// What the bits of [`ROUNDER`] are as an integer: bits less these are the integer.
pub(super) const ROUNDER_BITS: i32 = 0x4B40_0000;

/// For each channel, what accumulators start from, and the factor.
#[derive(Debug)]
pub(super) struct Floats {
    pub(super) start: [i32; 64],
    pub(super) factor: [f32; 64],
    /// What is added to a product, [`ROUNDER`] included.
    pub(super) shift: f32,
}

impl Floats {
    /// Where there are none.
    pub(super) const NONE: Self = Self { start: [0; 64], factor: [0.0; 64], shift: ROUNDER };

    /// None where a channel would get another activation for some accumulator.
    pub(super) fn of(scale: &Scale) -> Option<Self> {
        let mut floats = Self { start: [0; 64], factor: [0.0; 64], shift: ROUNDER + scale.shift as f32 };
        for at in 0..scale.width {
            floats.start[at] = -i32::try_from(scale.mean[at]).ok()?;
            // A power of two more or less changes no digit.
            let nearest = scale.factor[at] as f32 / 4_294_967_296.0;
            // The nearest float may round an accumulator to the wrong side; one of its neighbours seldom does as well.
            let mut near = [nearest, nearest.next_up(), nearest.next_down()].into_iter();
            floats.factor[at] = near.find(|factor| agrees(scale, at, *factor))?;
        }
        Some(floats)
    }

    /// What the inner loops make of an accumulator that is so far from its mean.
    #[cfg(test)]
    pub(super) fn activation(&self, at: usize, centred: i64) -> i64 {
        let sum = (centred as f32).mul_add(self.factor[at], self.shift);
        i64::from(sum.to_bits().cast_signed() - ROUNDER_BITS).clamp(0, 127)
    }
}

/// The activation of an accumulator less the mean. Whole numbers below 2^24 are exact; the product and the sum are
/// rounded once, to a whole number.
fn activation(centred: i64, factor: f32, shift: i32) -> i64 {
    let sum = (centred as f32).mul_add(factor, ROUNDER + shift as f32);
    i64::from(sum.to_bits().cast_signed() - ROUNDER_BITS).clamp(0, 127)
}

/// Both ways never fall when accumulators rise, so they are the same if each activation begins at the same place.
fn agrees(scale: &Scale, at: usize, float: f32) -> bool {
    let factor = i64::from(scale.factor[at]);
    // Section 4: no accumulator of a depthwise half is farther from its centre.
    let reaches = |centred: i64| centred.abs() < ACCUMULATOR_LIMIT;
    // A factor of nothing, where the layout has a channel that the layer has not, makes nothing of any accumulator.
    factor == 0
        || (1..=127_i64).all(|wanted| {
            let product = ((wanted - i64::from(scale.shift)) << 32) - (1 << 31);
            // The first at which the integers give this activation.
            let first = -(-product).div_euclid(factor);
            let begins = |centred: i64, begun: bool| {
                !reaches(centred) || (activation(centred, float, scale.shift) >= wanted) == begun
            };
            begins(first, true) && begins(first - 1, false)
        })
}
