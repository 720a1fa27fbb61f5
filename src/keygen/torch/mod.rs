//! Everything that needs libtorch: the float networks, their training, and key images in batches.

mod adam;
mod device;
mod draw;
mod error;
mod images;
mod network;
mod record;
#[cfg(test)]
mod tests;
mod train;
mod weights;

pub use device::Device;
pub use error::TrainError;
pub use images::Images;
pub use train::{Outcome, Plan, Progress, resumed_seed, train};

/// Which of the two networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The published network.
    Full,
    /// The same with depthwise separable convolutions.
    Lite,
}

impl Kind {
    /// Its name in files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Lite => "lite",
        }
    }
}
