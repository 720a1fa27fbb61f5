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
    Ok(Similarity { mse: mse(first, second)?, psnr: psnr(first, second)?, ssim: ssim(first, second)? })
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
    let peak = f64::from(first.peak());
    Ok(10.0 * (peak * peak / mse(first, second)?).log10())
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

/// The sum of the similarity over the windows whose first rows are `rows`.
fn ssim_of_band(first: &Raster, second: &Raster, channel: usize, rows: std::ops::Range<usize>) -> f64 {
    let peak = f64::from(first.peak());
    let (c1, c2) = ((0.01 * peak).powi(2), (0.03 * peak).powi(2));
    let kernel = gaussian();
    let columns = first.width() - 2 * RADIUS;
    let mut moments: [Vec<f64>; 5] = std::array::from_fn(|_| vec![0.0; first.width()]);
    let mut smooth: [Vec<f64>; 5] = std::array::from_fn(|_| vec![0.0; columns]);
    let mut sum = 0.0;
    for row in rows {
        moments.iter_mut().for_each(|moment| moment.fill(0.0));
        for (tap, weight) in kernel.iter().enumerate() {
            add_row(&mut moments, first, second, (row + tap, channel), *weight);
        }
        for (smooth, moment) in smooth.iter_mut().zip(&moments) {
            smooth.fill(0.0);
            for (tap, weight) in kernel.iter().enumerate() {
                smooth.iter_mut().zip(&moment[tap..]).for_each(|(s, m)| *s += weight * m);
            }
        }
        let [x, y, xx, yy, xy] = &smooth;
        for i in 0..columns {
            let (variance_x, variance_y) = (xx[i] - x[i] * x[i], yy[i] - y[i] * y[i]);
            let covariance = xy[i] - x[i] * y[i];
            sum += (2.0 * x[i] * y[i] + c1) * (2.0 * covariance + c2)
                / ((x[i] * x[i] + y[i] * y[i] + c1) * (variance_x + variance_y + c2));
        }
    }
    sum
}

/// Adds one weighted row of x, y, x², y² and xy.
fn add_row(
    moments: &mut [Vec<f64>; 5],
    first: &Raster,
    second: &Raster,
    (row, channel): (usize, usize),
    weight: f64,
) {
    let (width, channels) = (first.width(), first.channels());
    let range = row * width * channels..(row + 1) * width * channels;
    let a = first.samples()[range.clone()].iter().skip(channel).step_by(channels);
    let b = second.samples()[range].iter().skip(channel).step_by(channels);
    let [x, y, xx, yy, xy] = moments;
    let sums = x.iter_mut().zip(y).zip(xx).zip(yy).zip(xy);
    for (((((x, y), xx), yy), xy), (a, b)) in sums.zip(a.zip(b)) {
        let (a, b) = (f64::from(*a), f64::from(*b));
        *x += weight * a;
        *y += weight * b;
        *xx += weight * a * a;
        *yy += weight * b * b;
        *xy += weight * a * b;
    }
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
