//! Measures over images, each a pure function of one raster or of two of the same shape.

mod correlation;
mod difference;
mod entropy;
mod histogram;
mod raster;
mod robustness;
mod similarity;

pub use correlation::{Correlation, Direction, correlation, correlation_sampled, scatter};
pub use difference::{CriticalValues, Difference, critical_values, difference};
pub use entropy::{LocalEntropy, PUBLISHED_INTERVAL, entropy, entropy_expected, local_entropy};
pub use histogram::{Histogram, histogram, of_bytes};
pub use raster::Raster;
pub use robustness::{Noise, crop, disturb};
pub use similarity::{Similarity, mse, psnr, similarity, ssim};
