//! How accumulators become activations, as training, calibration and the file agree on it.

use super::topology::{Convolution, Shape};

/// What 0 is, in a tensor whose activations may be below 0.
pub(crate) const LINEAR_CENTRE: f64 = 64.0;

/// Activations to which one standard deviation of the accumulators is spread.
pub(crate) const fn spread_of(convolution: &Convolution) -> f64 {
    match (convolution.linear, convolution.add.is_some()) {
        (false, false) => 40.0,
        (false, true) => 28.0,
        (true, false) => 20.0,
        (true, true) => 14.0,
    }
}

/// The activation that the mean of the accumulators becomes.
pub(crate) const fn centre_of(convolution: &Convolution) -> f64 {
    if convolution.linear { LINEAR_CENTRE } else { 16.0 }
}

/// How much of the tensor that is added comes through.
pub(crate) const fn carry_of(convolution: &Convolution) -> f64 {
    if convolution.add.is_some() { 0.75 } else { 0.0 }
}

/// What is 0 in a tensor.
pub(crate) const fn zero_of(shape: &Shape) -> f64 {
    if shape.linear { LINEAR_CENTRE } else { 0.0 }
}
