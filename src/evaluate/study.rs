//! What a study of hyperparameters found: the entropy of keys for each way to train.

/// The study as table XXI of the DeepKeyGen paper has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// Source images.
    pub images: usize,
    /// Where it was computed.
    pub device: String,
    /// One for each number of iterations.
    pub rows: Vec<StudyRow>,
}

/// The entropies after so many iterations.
#[derive(Debug, Clone, PartialEq)]
pub struct StudyRow {
    /// Iterations.
    pub iterations: u64,
    /// Bits a byte for the three learning rates, and in each for the three batch sizes; not a number where training
    /// diverged, none where it did not get so far.
    pub entropies: [Option<f64>; 9],
}
