//! Correlation of neighbouring pixels: over all pairs, over a seeded sample of them, and the pairs for a scatter plot.

use super::raster::Raster;
use crate::evaluate::error::at_least;
use crate::evaluate::{EvaluateError, Seeded};

/// Where a pixel's neighbour is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// To the right.
    Horizontal,
    /// Below.
    Vertical,
    /// Below and to the right.
    Diagonal,
}

impl Direction {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Horizontal, Self::Vertical, Self::Diagonal];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Horizontal => "horizontal",
            Self::Vertical => "vertical",
            Self::Diagonal => "diagonal",
        }
    }

    fn step(self) -> (usize, usize) {
        match self {
            Self::Horizontal => (1, 0),
            Self::Vertical => (0, 1),
            Self::Diagonal => (1, 1),
        }
    }
}

/// A coefficient and what it was computed from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Correlation {
    /// Pearson's coefficient; none when all pixels are the same, where it is not defined.
    pub coefficient: Option<f64>,
    /// How many pairs.
    pub pairs: usize,
}

impl Correlation {
    /// Two standard errors of the coefficient of unrelated pixels: 95 of 100 such images stay within.
    #[must_use]
    pub fn noise(&self) -> f64 {
        1.96 / (self.pairs as f64).sqrt()
    }
}

/// Running sums of pairs, in integers, so the order does not matter and nothing is lost.
#[derive(Default)]
struct Sums {
    n: u64,
    x: u64,
    y: u64,
    xx: u64,
    yy: u64,
    xy: u64,
}

impl Sums {
    fn add(&mut self, x: u16, y: u16) {
        let (x, y) = (u64::from(x), u64::from(y));
        self.n += 1;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.yy += y * y;
        self.xy += x * y;
    }

    fn finish(&self) -> Correlation {
        // n sum(xy) - sum(x) sum(y) reaches 2^32 n^2: beyond 64 bits for large images.
        let wide =
            |a: u64, b: u64, c: u64| i128::from(self.n) * i128::from(a) - i128::from(b) * i128::from(c);
        let covariance = wide(self.xy, self.x, self.y) as f64;
        let spread =
            (wide(self.xx, self.x, self.x) as f64).sqrt() * (wide(self.yy, self.y, self.y) as f64).sqrt();
        Correlation { coefficient: (spread > 0.0).then_some(covariance / spread), pairs: self.n as usize }
    }
}

/// The places that have a neighbour, as width and height.
fn places(image: &Raster, direction: Direction) -> Result<(usize, usize), EvaluateError> {
    let (right, down) = direction.step();
    let (width, height) = (image.width().saturating_sub(right), image.height().saturating_sub(down));
    at_least("correlation", "pairs of neighbours", 2, width * height)?;
    Ok((width, height))
}

/// Correlation over all neighbours in one direction, channel by channel in one sum.
pub fn correlation(image: &Raster, direction: Direction) -> Result<Correlation, EvaluateError> {
    let (width, height) = places(image, direction)?;
    let (right, down) = direction.step();
    let (stride, channels) = (image.width() * image.channels(), image.channels());
    let mut sums = Sums::default();
    for row in 0..height {
        let here = &image.samples()[row * stride..][..width * channels];
        let there = &image.samples()[(row + down) * stride + right * channels..][..width * channels];
        here.iter().zip(there).for_each(|(x, y)| sums.add(*x, *y));
    }
    Ok(sums.finish())
}

/// Correlation over `pairs` pairs drawn by `seed`, as the papers do it with a few hundred to a few thousand.
pub fn correlation_sampled(
    image: &Raster,
    direction: Direction,
    pairs: usize,
    seed: u64,
) -> Result<Correlation, EvaluateError> {
    let mut sums = Sums::default();
    scatter(image, direction, pairs, seed)?.into_iter().for_each(|(x, y)| sums.add(x, y));
    Ok(sums.finish())
}

/// `pairs` pairs of neighbours drawn by `seed`.
pub fn scatter(
    image: &Raster,
    direction: Direction,
    pairs: usize,
    seed: u64,
) -> Result<Vec<(u16, u16)>, EvaluateError> {
    let (width, height) = places(image, direction)?;
    let (right, down) = direction.step();
    let (stride, channels) = (image.width() * image.channels(), image.channels());
    let mut seeded = Seeded::new(seed);
    let pair = |place: usize| {
        let (pixel, channel) = (place / channels, place % channels);
        let at = pixel / width * stride + pixel % width * channels + channel;
        (image.samples()[at], image.samples()[at + down * stride + right * channels])
    };
    Ok((0..pairs).map(|_| pair(seeded.below(width * height * channels))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, samples: &[u8]) -> Raster {
        Raster::from_bytes(width, samples.len() / width, 1, samples).unwrap()
    }

    #[test]
    fn ramps_correlate_and_checkerboards_anticorrelate() {
        let ramp = image(4, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        let board = image(3, &[0, 9, 0, 9, 0, 9, 0, 9, 0]);
        for direction in Direction::ALL {
            assert!((correlation(&ramp, direction).unwrap().coefficient.unwrap() - 1.0).abs() < 1e-12);
        }
        let of = |direction| correlation(&board, direction).unwrap().coefficient;
        assert!((of(Direction::Horizontal).unwrap() + 1.0).abs() < 1e-12);
        assert!((of(Direction::Vertical).unwrap() + 1.0).abs() < 1e-12);
        assert!((of(Direction::Diagonal).unwrap() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_flat_image_has_no_coefficient() {
        assert_eq!(correlation(&image(2, &[5; 4]), Direction::Horizontal).unwrap().coefficient, None);
    }

    #[test]
    fn a_sample_is_the_same_for_the_same_seed_and_near_the_whole() {
        let mut samples = vec![0; 64 * 64];
        Seeded::new(9).fill(&mut samples);
        let raster = image(64, &samples);
        let drawn = |seed| correlation_sampled(&raster, Direction::Diagonal, 3_000, seed).unwrap();
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        let whole = correlation(&raster, Direction::Diagonal).unwrap();
        let distance = whole.coefficient.unwrap() - drawn(1).coefficient.unwrap();
        assert!(distance.abs() < 3.0 * drawn(1).noise());
    }

    #[test]
    fn channels_are_not_neighbours_of_each_other() {
        // Red rises to the right, green falls, blue alternates: neighbours are compared within a channel.
        let pixels = [10, 90, 0, 20, 80, 9, 30, 70, 0, 40, 60, 9];
        let raster = Raster::from_bytes(4, 1, 3, &pixels).unwrap();
        let pairs = scatter(&raster, Direction::Horizontal, 100, 1).unwrap();
        assert!(
            pairs
                .iter()
                .all(|(x, y)| matches!((*x, *y), (10..=30, 20..=40) | (70..=90, 60..=80) | (0, 9) | (9, 0)))
        );
    }

    #[test]
    fn a_single_column_has_no_horizontal_neighbours() {
        assert!(correlation(&image(1, &[1, 2, 3]), Direction::Horizontal).is_err());
        assert!(correlation(&image(1, &[1, 2, 3]), Direction::Vertical).is_ok());
    }
}
