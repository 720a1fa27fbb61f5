//! How alike two images are: MSE, PSNR, and SSIM as Wang et al. 2004 define it.

use rayon::prelude::*;

use super::raster::Raster;
use crate::evaluate::EvaluateError;
use crate::evaluate::error::at_least;

/// Half the window: 11 x 11 pixels under a Gaussian of 1.5 pixels.
const RADIUS: usize = 5;
const TAPS: usize = 2 * RADIUS + 1;
const SIGMA: f64 = 1.5;

/// The three of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Similarity {
    /// Mean square error.
    pub mse: f64,
    /// Peak signal-to-noise ratio in dB; infinite for equal images.
    pub psnr: f64,
    /// Structural similarity, the mean over the channels.
    pub ssim: f64,
}

/// MSE, PSNR and SSIM of two images of one shape.
pub fn similarity(first: &Raster, second: &Raster) -> Result<Similarity, EvaluateError> {
    let mse = mse(first, second)?;
    Ok(Similarity { mse, psnr: psnr_of(mse, first.peak()), ssim: ssim(first, second)? })
}

/// The mean of the squared differences over all samples.
pub fn mse(first: &Raster, second: &Raster) -> Result<f64, EvaluateError> {
    first.same_shape(second)?;
    let squares: u64 =
        first.samples().iter().zip(second.samples()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
    Ok(squares as f64 / first.samples().len() as f64)
}

/// 20 log10(peak / sqrt(MSE)).
pub fn psnr(first: &Raster, second: &Raster) -> Result<f64, EvaluateError> {
    Ok(psnr_of(mse(first, second)?, first.peak()))
}

fn psnr_of(mse: f64, peak: u16) -> f64 {
    10.0 * (f64::from(peak).powi(2) / mse).log10()
}

/// Structural similarity: Gaussian window, K1 = 0.01, K2 = 0.03, population covariance, the border left out; the
/// mean over the channels. The same as scikit-image with `gaussian_weights` and without `use_sample_covariance`.
pub fn ssim(first: &Raster, second: &Raster) -> Result<f64, EvaluateError> {
    first.same_shape(second)?;
    at_least("SSIM", "pixels on each side", TAPS, first.width().min(first.height()))?;
    let channels = first.channels();
    let sum: f64 = (0..channels).map(|channel| ssim_of_channel(first, second, channel)).sum();
    Ok(sum / channels as f64)
}

/// Rows of a band: bands run in parallel, and each filters a few rows more than it gives.
const BAND: usize = 64;

fn ssim_of_channel(first: &Raster, second: &Raster, channel: usize) -> f64 {
    let rows = first.height() - 2 * RADIUS;
    let columns = first.width() - 2 * RADIUS;
    let sum: f64 = (0..rows)
        .into_par_iter()
        .step_by(BAND)
        .map(|top| ssim_of_band(first, second, channel, top..(top + BAND).min(rows)))
        // In order, so that the last digit does not depend on who was faster.
        .collect::<Vec<_>>()
        .into_iter()
        .sum();
    sum / (rows * columns) as f64
}

/// What SSIM takes the weighted means of: x, y, x² + y², xy. Its formula asks for the sum of the two variances alone, so the
/// squares go together.
struct Moments([Vec<f64>; 4]);

impl Moments {
    fn new(places: usize) -> Self {
        Self(std::array::from_fn(|_| vec![0.0; places]))
    }

    /// One row of one channel.
    fn read(&mut self, first: &Raster, second: &Raster, row: usize, channel: usize) {
        let (width, channels) = (first.width(), first.channels());
        let range = row * width * channels..(row + 1) * width * channels;
        let a = first.samples()[range.clone()].iter().skip(channel).step_by(channels);
        let b = second.samples()[range].iter().skip(channel).step_by(channels);
        let [x, y, squares, product] = &mut self.0;
        let places = x.iter_mut().zip(y).zip(squares).zip(product);
        for ((((x, y), squares), product), (a, b)) in places.zip(a.zip(b)) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            (*x, *y, *squares, *product) = (a, b, a * a + b * b, a * b);
        }
    }

    /// The weighted means of eleven rows, one for each column.
    fn weigh_rows(&mut self, rows: [&Self; TAPS], kernel: &[f64; TAPS]) {
        for (moment, out) in self.0.iter_mut().enumerate() {
            weigh(out, rows.map(|row| &row.0[moment][..]), kernel);
        }
    }

    /// The weighted means of eleven neighbours in a row.
    fn weigh_columns(&mut self, row: &Self, kernel: &[f64; TAPS]) {
        for (out, all) in self.0.iter_mut().zip(&row.0) {
            weigh(out, std::array::from_fn(|tap| &all[tap..]), kernel);
        }
    }

    /// The sum of the similarity over the windows that these are the means of.
    fn similarity(&self, peak: f64) -> f64 {
        let (c1, c2) = ((0.01 * peak).powi(2), (0.03 * peak).powi(2));
        let [x, y, squares, product] = &self.0;
        let windows = x.iter().zip(y).zip(squares).zip(product);
        let of_window = |(((x, y), squares), product): (((&f64, &f64), &f64), &f64)| {
            let (brightness, both) = (x * x + y * y, x * y);
            (2.0 * both + c1) * (2.0 * (product - both) + c2)
                / ((brightness + c1) * (squares - brightness + c2))
        };
        windows.map(of_window).sum()
    }
}

/// The weighted sum of eleven rows. The weights are symmetric, so that each is multiplied once, with the sum of two. A few
/// rows at a time in plain loops: those a compiler makes good vectors of.
fn weigh(out: &mut [f64], rows: [&[f64]; TAPS], kernel: &[f64; TAPS]) {
    let [a, b, c, d, e, f, g, h, i, j, k] = rows;
    let [far, four, three, two, one, middle, ..] = *kernel;
    let near = f.iter().zip(e.iter().zip(g)).zip(d.iter().zip(h));
    for (sum, ((f, (e, g)), (d, h))) in out.iter_mut().zip(near) {
        *sum = middle * f + one * (e + g) + two * (d + h);
    }
    let rest = c.iter().zip(i).zip(b.iter().zip(j)).zip(a.iter().zip(k));
    for (sum, (((c, i), (b, j)), (a, k))) in out.iter_mut().zip(rest) {
        *sum += three * (c + i) + four * (b + j) + far * (a + k);
    }
}

/// The sum of the similarity over the windows whose first rows are `rows`.
fn ssim_of_band(first: &Raster, second: &Raster, channel: usize, rows: std::ops::Range<usize>) -> f64 {
    let kernel = gaussian();
    let width = first.width();
    // The last eleven rows, each in the place of its number.
    let mut last: [Moments; TAPS] = std::array::from_fn(|_| Moments::new(width));
    let (mut weighed, mut means) = (Moments::new(width), Moments::new(width - 2 * RADIUS));
    (rows.start..rows.start + TAPS - 1).for_each(|row| last[row % TAPS].read(first, second, row, channel));
    let mut sum = 0.0;
    for row in rows {
        let newest = row + TAPS - 1;
        last[newest % TAPS].read(first, second, newest, channel);
        weighed.weigh_rows(std::array::from_fn(|tap| &last[(row + tap) % TAPS]), &kernel);
        means.weigh_columns(&weighed, &kernel);
        sum += means.similarity(f64::from(first.peak()));
    }
    sum
}

fn gaussian() -> [f64; TAPS] {
    let weights: [f64; TAPS] =
        std::array::from_fn(|i| (-(i as f64 - RADIUS as f64).powi(2) / (2.0 * SIGMA * SIGMA)).exp());
    let sum: f64 = weights.iter().sum();
    weights.map(|weight| weight / sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_like_itself() {
        let bytes: Vec<u8> = (0..400).map(|i| (i % 251) as u8).collect();
        let image = Raster::from_bytes(20, 20, 1, &bytes).unwrap();
        let same = similarity(&image, &image).unwrap();
        assert!(same.mse.abs() < 1e-12 && same.psnr.is_infinite() && (same.ssim - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_step_of_one_has_the_known_error() {
        let (a, b) = (
            Raster::from_bytes(12, 12, 1, &[7; 144]).unwrap(),
            Raster::from_bytes(12, 12, 1, &[8; 144]).unwrap(),
        );
        assert!((mse(&a, &b).unwrap() - 1.0).abs() < 1e-12);
        // 20 log10(255) = 48.1308 dB.
        assert!((psnr(&a, &b).unwrap() - 48.130_803_608_679_1).abs() < 1e-9);
    }

    #[test]
    fn an_image_smaller_than_the_window_is_refused() {
        let a = Raster::from_bytes(10, 20, 1, &[7; 200]).unwrap();
        assert!(ssim(&a, &a).is_err());
    }
}
