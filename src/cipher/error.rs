//! What can go wrong in an inner layer, and what to do about it.

use crate::keygen::KeygenError;

/// Why an inner layer cannot begin, or go on.
#[derive(Debug, thiserror::Error)]
pub enum CipherError {
    /// Whoever seals or opens was given no generators to do it with.
    #[error("its inner layer needs a generator, and generators are not at hand here")]
    NoGenerators,
    /// The generator is missing, or does not run.
    #[error("its inner layer needs a generator: {0}; {advice}", advice = .0.advice())]
    Generator(#[from] KeygenError),
    /// An engine that gives fewer or more key images than it was asked for.
    #[error("the generator gave {made} key images where {asked} were asked for")]
    Count {
        /// Given.
        made: usize,
        /// Asked for.
        asked: usize,
    },
    /// More in front of the pixels than is held until the metadata is complete.
    #[error("the header takes more than {limit} bytes when it is packed")]
    Waiting {
        /// What is held at most.
        limit: usize,
    },
    /// A chaotic parameter that no sealer writes.
    #[error("the {name} of the inner layer is not in its range")]
    Chaos {
        /// Which of them.
        name: &'static str,
    },
    /// Parameters that no sealer writes.
    #[error("the inner layer has {found} bytes of parameters, {expected} were expected")]
    Parameters {
        /// How many there are.
        found: usize,
        /// How many there have to be.
        expected: usize,
    },
}

impl CipherError {
    /// What to do about it.
    #[must_use]
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Generator(error) => error.advice(),
            Self::NoGenerators => {
                "open it with `sealgate open`, which has the generators of the configuration"
            }
            Self::Waiting { .. } => "choose a suite that reads no metadata for such instances",
            Self::Count { .. } => "set keygen.engine to \"exact\", which runs everywhere",
            Self::Parameters { .. } | Self::Chaos { .. } => {
                "it was sealed by a program that breaks the format"
            }
        }
    }
}
