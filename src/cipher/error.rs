//! What can go wrong in an inner layer, and what to do about it.

use super::dual::DualKeyId;
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
    /// The site has no dual key, or whoever seals or opens was given none.
    #[error("its inner layer needs the site's dual key, and there is none here")]
    NoDualKey,
    /// It was sealed with a dual key that is not here.
    #[error(
        "its inner layer was made with dual key {0}, which is not here; `sealgate keys restore` brings it back from a backup"
    )]
    DualKeyMissing(DualKeyId),
    /// The dual key is here, and cannot be used.
    #[error("its inner layer needs dual key {id}, which does not open: {reason}")]
    DualKeyShut {
        /// Its name.
        id: DualKeyId,
        /// Why.
        reason: String,
    },
    /// A point that is none.
    #[error("the parameters of the inner layer hold no point of P-256")]
    DualParameters,
    /// A stream of `dual` that ends where none ends.
    #[error("the inner layer does not end as one ends that was made with this dual key")]
    DualEnd,
    /// A substitution that is no bijection.
    #[error("an S-box gives {distinct} different bytes, it has to give 256")]
    SubstitutionBox {
        /// How many it gives.
        distinct: usize,
    },
    /// A primitive failed.
    #[error("{0} failed")]
    Crypto(&'static str),
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
            Self::Parameters { .. } | Self::Chaos { .. } | Self::DualParameters | Self::DualEnd => {
                "it was sealed by a program that breaks the format"
            }
            Self::NoDualKey => {
                "`sealgate keys dual` makes the first; `sealgate keys restore` brings those of a backup"
            }
            Self::DualKeyMissing(_) => "bring its file back from a backup with `sealgate keys restore`",
            Self::DualKeyShut { .. } => {
                "unlock the key encryption keys that it is wrapped for, then start again"
            }
            Self::SubstitutionBox { .. } | Self::Crypto(_) => {
                "do not use this installation: the program or the machine is damaged"
            }
        }
    }
}
