//! What every engine offers: key images for seeds, the same bytes whichever engine it is.

use super::error::KeygenError;
use super::id::GeneratorId;
use super::image::KeyImage;
use super::seed::Seed;

/// Runs one generator. Two engines with the same id give the same bytes for the same seed.
pub trait Engine: Send + Sync {
    /// The generator it runs.
    fn id(&self) -> GeneratorId;

    /// The name of this engine, for logs and tables, such as `exact (avx512-vnni, 2 threads)`.
    fn name(&self) -> String;

    /// One key image for each seed, in their order.
    fn generate(&self, seeds: &[Seed]) -> Result<Vec<KeyImage>, KeygenError>;
}
