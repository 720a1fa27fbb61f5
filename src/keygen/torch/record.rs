//! The training record: what a file of weights says about where they come from.

use serde::{Deserialize, Serialize};

use super::adam;

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    /// After how many iterations.
    pub(super) iteration: u64,
    /// The discriminator's loss, the mean since the line before.
    pub(super) discriminator: f64,
    /// The generator's loss, the mean since the line before.
    pub(super) generator: f64,
    /// Bits per byte of the key image, a tanh scaled to bytes, that the weights give for one fixed expanded seed.
    pub(super) entropy: f64,
}

/// Everything that the weights follow from, and how the training went. Times are left out: a training that goes on
/// after a pause gives the same file as one that ran through.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) program: String,
    pub(super) torch: String,
    pub(super) kind: String,
    pub(super) seed: String,
    pub(super) device: String,
    pub(super) threads: u32,
    pub(super) images: usize,
    /// SHA-256 of the source images.
    pub(super) data: String,
    pub(super) source_domain: String,
    pub(super) transformation_domain: String,
    pub(super) loss: String,
    pub(super) optimiser: String,
    #[serde(default = "published_rate")]
    pub(super) rate: f64,
    #[serde(default = "published_batch")]
    pub(super) batch: u32,
    pub(super) iterations_planned: u64,
    pub(super) iterations: u64,
    pub(super) history: Vec<Report>,
}

/// What is fed in: see [`super::train`].
pub(super) const SOURCE: &str = "odd iterations an image of the data, even iterations a seed image expanded from \
    32 bytes (HKDF, AES-256-CTR), as the gateway feeds it";
/// What is imitated.
pub(super) const TRANSFORMATION: &str = "images of the data, rows and columns permuted and XORed by the logistic map \
    (odd iterations) or the Lorenz equations (even iterations) under a new key in each iteration";
/// The losses of equations (2) and (3), and the one step where they are not taken literally.
pub(super) const LOSS: &str =
    "discriminator: -log D(y) - log(1 - D(G(x))); generator: log(1 - D(G(x))), as published";

/// What records of trainings without the setting mean.
const fn published_rate() -> f64 {
    adam::RATE
}

const fn published_batch() -> u32 {
    1
}

impl Record {
    /// The first thing in which another training differs that this one cannot go on from, with both values.
    pub(super) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let threads = |record: &Self| record.threads.to_string();
        let pairs = [
            ("program", self.program.clone(), other.program.clone()),
            ("libtorch binding", self.torch.clone(), other.torch.clone()),
            ("kind", self.kind.clone(), other.kind.clone()),
            ("seed", self.seed.clone(), other.seed.clone()),
            ("device", self.device.clone(), other.device.clone()),
            ("number of threads", threads(self), threads(other)),
            ("learning rate", self.rate.to_string(), other.rate.to_string()),
            ("images in a batch", self.batch.to_string(), other.batch.to_string()),
            ("source images with the digest", self.data.clone(), other.data.clone()),
            ("loss", self.loss.clone(), other.loss.clone()),
        ];
        pairs.into_iter().find(|(_, ours, theirs)| ours != theirs)
    }
}
