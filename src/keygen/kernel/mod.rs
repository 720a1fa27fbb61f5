//! The inner loops, for whichever instructions the processor has; every variant gives the same integers.
//!
//! Activations lie with the channels of a pixel side by side, rows framed by their zero padding. Everything here writes one
//! row of an output. What the loops may touch is checked here, once for each row; the variants rely on it.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod edges;
mod floats;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;

use std::fmt;

pub(super) use edges::{Fold, take_band, take_pixels};
use floats::Floats;

/// Outputs that are computed side by side.
pub(super) const LANES: usize = 16;
/// Pixels of a row come in multiples of this.
pub(super) const POSITIONS: usize = 16;
/// Neighbours that meet four weights at once.
pub(super) const FOUR: usize = 4;

/// Four weights for each of 16 outputs, that meet four neighbouring activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub(super) struct Quad(pub(super) [[i8; 4]; LANES]);

/// Which instructions are used. A value exists only where they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instructions(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Instructions {
    /// Plain Rust, which runs everywhere.
    pub const PORTABLE: Self = Self(Set::Portable);

    /// All that this processor has, the fastest last.
    #[must_use]
    pub fn available() -> Vec<Self> {
        let mut found = vec![Self::PORTABLE];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self(Set::Avx2));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                found.push(Self(Set::Avx512Vnni));
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(Self(Set::Neon));
        }
        found
    }

    /// The fastest that this processor has.
    #[must_use]
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::PORTABLE)
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Set::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
        })
    }
}

/// A convolution that mixes channels, for 16 or 32 outputs at each position of a row.
///
/// Step by step, four neighbouring activations meet four weights for each output. Where a position is one pixel, the
/// outputs are channels; for few channels a position is four pixels, and the outputs are their channels side by side.
#[derive(Debug)]
pub(super) struct Mixing {
    /// Where the four activations of each step lie, from the position's own.
    offsets: Vec<u32>,
    /// For each step, one or two.
    quads: Vec<Quad>,
    /// Blocks of 16 outputs: 1 or 2.
    blocks: usize,
    /// From one position's activations to the next one's: 4, 8, 16, 32 or 64 bytes.
    advance: usize,
    /// From one position's outputs to the next one's.
    out_advance: usize,
    reach: usize,
}

impl Mixing {
    pub(super) fn new(offsets: Vec<u32>, quads: Vec<Quad>, advance: usize, out_advance: usize) -> Self {
        let blocks = quads.len() / offsets.len();
        assert!(matches!(blocks, 1 | 2) && quads.len() == offsets.len() * blocks, "one or two blocks");
        assert!(matches!(advance, 4 | 8 | 16 | 32 | 64), "the variants know these");
        assert!(out_advance >= blocks * LANES, "outputs do not overlap");
        let reach = offsets.iter().max().map_or(0, |offset| *offset as usize + 4);
        Self { offsets, quads, blocks, advance, out_advance, reach }
    }

    /// Computes `count` positions, the first with its activations at the front of `input`.
    pub(super) fn row(&self, with: Instructions, input: &[u8], out: &mut [i32], count: usize) {
        assert!(count.is_multiple_of(POSITIONS) && count > 0, "whole groups of positions");
        assert!((count - 1) * self.advance + self.reach <= input.len(), "the activations are there");
        assert!((count - 1) * self.out_advance + self.blocks * LANES <= out.len(), "the outputs have room");
        match with.0 {
            Set::Portable => portable::mixing(self, input, out, count),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::mixing(self, input, out, count),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => avx512::mixing(self, input, out, count),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => neon::mixing(self, input, out, count),
        }
    }
}

/// A convolution of each channel by itself, for a multiple of 16 channels, scaled to activations at once.
///
/// It reads activations in fours of neighbouring pixels, channel by channel: so they lie as the weights need them, and
/// nothing is brought together first. A position is four neighbouring outputs; what it writes lies pixel by pixel.
#[derive(Debug)]
pub(super) struct Filter {
    steps: Vec<FilterStep>,
    /// For each 16 channels, for each step, one for each output that it counts for.
    quads: Vec<Quad>,
    channels: usize,
    /// From one position's activations to the next one's.
    advance: usize,
    /// From one position's outputs to the next one's.
    out_advance: usize,
    /// Where the channels are four of each of four bands of an image: from one band's outputs to the next one's.
    bands: Option<usize>,
    scale: Scale,
    /// The same in floats, where that gives the same activations.
    floats: Option<Box<Floats>>,
    reach: usize,
}

/// Four neighbouring pixels that a filter reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FilterStep {
    /// Where they lie, from the position's own.
    pub(super) offset: u32,
    /// Which of the four outputs they count for: bit 0 for the first.
    pub(super) outputs: u8,
}

impl Filter {
    pub(super) fn new(
        steps: Vec<FilterStep>,
        quads: Vec<Quad>,
        (advance, out_advance): (usize, usize),
        bands: Option<usize>,
        scale: Scale,
    ) -> Self {
        let channels = scale.width;
        let each: usize = steps.iter().map(|step| step.outputs.count_ones() as usize).sum();
        assert!(
            channels.is_multiple_of(LANES) && (LANES..=64).contains(&channels),
            "whole blocks of channels"
        );
        assert!(steps.iter().all(|step| (1..16).contains(&step.outputs)), "each counts for some of four");
        assert!(quads.len() == each * (channels / LANES), "weights for each block of channels");
        assert!(bands.is_none() || channels == LANES, "four channels of four bands");
        assert!(out_advance >= bands.map_or(FOUR * channels, |_| LANES), "outputs do not overlap");
        assert!(scale.carry == 0, "nothing is added between the halves of a layer");
        let reach = steps.iter().map(|step| step.offset as usize + FOUR * channels).max().unwrap_or(0);
        let floats = Floats::of(&scale).map(Box::new);
        Self { steps, quads, channels, advance, out_advance, bands, scale, floats, reach }
    }

    /// Computes `count` positions, the first with its activations at the front of `input`.
    pub(super) fn row(&self, with: Instructions, input: &[u8], out: &mut [u8], count: usize) {
        assert!(count.is_multiple_of(POSITIONS / FOUR) && count > 0, "whole groups of positions");
        assert!((count - 1) * self.advance + self.reach <= input.len(), "the activations are there");
        let width = self.bands.map_or(FOUR * self.channels, |band| (FOUR - 1) * band + LANES);
        assert!((count - 1) * self.out_advance + width <= out.len(), "the outputs have room");
        match with.0 {
            Set::Portable => portable::filter(self, input, out, count),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::filter(self, input, out, count),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => avx512::filter(self, input, out, count),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => portable::filter(self, input, out, count),
        }
    }
}

/// The same where activations lie pixel by pixel, of any row's length: four taps at a time are brought together first.
#[derive(Debug)]
pub(super) struct PixelFilter {
    /// Where the pixels of each four taps lie, from the position's own.
    offsets: Vec<[u32; 4]>,
    /// For each four taps, one for each 16 channels.
    quads: Vec<Quad>,
    channels: usize,
    /// From one position's pixels to the next one's.
    advance: usize,
    scale: Scale,
    reach: usize,
}

impl PixelFilter {
    pub(super) fn new(offsets: Vec<[u32; 4]>, quads: Vec<Quad>, advance: usize, scale: Scale) -> Self {
        let channels = scale.width;
        assert!(
            channels.is_multiple_of(LANES) && (LANES..=64).contains(&channels),
            "whole blocks of channels"
        );
        assert!(quads.len() == offsets.len() * (channels / LANES), "one for each block of channels");
        assert!(scale.carry == 0, "nothing is added between the halves of a layer");
        let reach = offsets.iter().flatten().max().map_or(0, |offset| *offset as usize + channels);
        Self { offsets, quads, channels, advance, scale, reach }
    }

    /// Computes `count` positions, the first with its pixels at the front of `input`.
    pub(super) fn row(&self, with: Instructions, input: &[u8], out: &mut [u8], count: usize) {
        assert!(count.is_multiple_of(POSITIONS) && count > 0, "whole groups of positions");
        assert!((count - 1) * self.advance + self.reach <= input.len(), "the pixels are there");
        assert!(count * self.channels <= out.len(), "the outputs have room");
        match with.0 {
            Set::Portable => portable::pixel_filter(self, input, out, count),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::pixel_filter(self, input, out, count),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => avx512::pixel_filter(self, input, out, count),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => portable::pixel_filter(self, input, out, count),
        }
    }
}

/// Sums of the accumulators of each channel, and of their squares; four channels stand four times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub(super) sum: [i64; 64],
    pub(super) squares: [i64; 64],
}

impl Sums {
    pub(super) const ZERO: Self = Self { sum: [0; 64], squares: [0; 64] };

    /// Adds rows of groups of `group` accumulators side by side: 16, 32 or 64.
    pub(super) fn add(&mut self, with: Instructions, rows: &[i32], group: usize) {
        // Accumulators are below 2^23: the sum of 256 of them still fits 32 bits.
        for part in rows.chunks(256 * group) {
            self.add_part(with, part, group);
        }
    }

    fn add_part(&mut self, with: Instructions, row: &[i32], group: usize) {
        match with.0 {
            Set::Portable => portable::sums(self, row, group),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::sums(self, row, group),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => avx512::sums(self, row, group),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => portable::sums(self, row, group),
        }
    }

    /// Both together.
    pub(super) fn plus(mut self, other: &Self) -> Self {
        for at in 0..64 {
            self.sum[at] += other.sum[at];
            self.squares[at] += other.squares[at];
        }
        self
    }
}

/// What turns accumulators into activations, for each place in a group of `width`: section 4, with all that is added to a
/// product gathered in one number.
#[derive(Debug, Clone)]
pub(super) struct Scale {
    mean: [i64; 64],
    factor: [i32; 64],
    bias: [i64; 64],
    carry: u32,
    shift: i32,
    /// Accumulators side by side that have each their own mean and factor: 16, 32 or 64.
    width: usize,
}

impl Scale {
    /// With the mean and factor of each of `channels` as laid out, repeated where they are fewer than 16; `carry` for
    /// the layer's input, and `shift` added to each activation.
    pub(super) fn new(channels: usize, carry: u32, shift: i32, of: impl Fn(usize) -> (i64, i64)) -> Self {
        let width = channels.max(LANES);
        assert!(matches!(width, 16 | 32 | 64) && width.is_multiple_of(channels), "the variants know these");
        let mut scale = Self { mean: [0; 64], factor: [0; 64], bias: [0; 64], carry, shift, width };
        for at in 0..width {
            let (mean, factor) = of(at % channels);
            scale.mean[at] = mean;
            scale.factor[at] = i32::try_from(factor).expect("factors are below 2^31");
            scale.bias[at] = (1 << 31) - mean * factor + (i64::from(shift) << 32);
        }
        scale
    }

    /// Writes the activations of a row. `added` is the same row of the layer's input, where `carry` is not 0.
    pub(super) fn row(&self, with: Instructions, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
        assert!(row.len().is_multiple_of(self.width) && out.len() == row.len(), "whole groups");
        assert!(added.is_none_or(|added| added.len() == row.len()), "the same row");
        match with.0 {
            Set::Portable => portable::scale(self, row, added, out),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::scale(self, row, added, out),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => avx512::scale(self, row, added, out),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => portable::scale(self, row, added, out),
        }
    }

    /// The same for a filter to read: `out`, and `added`, lie in fours of neighbouring pixels, channel by channel.
    pub(super) fn fours(&self, with: Instructions, row: &[i32], added: Option<&[u8]>, out: &mut [u8]) {
        assert!(row.len().is_multiple_of(FOUR * self.width) && out.len() == row.len(), "whole fours");
        assert!(added.is_none_or(|added| added.len() == row.len()), "the same row");
        match with.0 {
            Set::Portable => portable::fours(self, row, added, out),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => avx2::fours(self, row, added, out),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => avx512::fours(self, row, added, out),
            #[cfg(target_arch = "aarch64")]
            Set::Neon => portable::fours(self, row, added, out),
        }
    }
}

#[cfg(test)]
mod tests;
