//! What can be wrong with what is to be measured.

use thiserror::Error;

/// Why a measure cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvaluateError {
    /// Too little data for a measure to mean anything.
    #[error("{measure} needs at least {needed} {unit}, there are {found}; give more data")]
    TooLittle {
        /// What was to be measured.
        measure: &'static str,
        /// What is counted.
        unit: &'static str,
        /// How many it takes.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// Two images to be compared differ in width, height, channels or bits.
    #[error("the images differ in shape: {ours} and {theirs}; compare images of one shape")]
    Shapes {
        /// The first image.
        ours: String,
        /// The second image.
        theirs: String,
    },
    /// The samples do not make an image of the stated shape.
    #[error("{shape} needs {needed} samples, there are {found}; give the whole image")]
    Samples {
        /// The stated shape.
        shape: String,
        /// How many samples that takes.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A sample has more bits than the image says.
    #[error("the sample {value} at position {position} does not fit in {bits} bits")]
    Sample {
        /// The sample.
        value: u16,
        /// Its index.
        position: usize,
        /// The bits that the image says it has.
        bits: u8,
    },
    /// A parameter outside what the measure is defined for.
    #[error("{parameter} is {found}, it must be {allowed}")]
    Parameter {
        /// Its name.
        parameter: &'static str,
        /// What was given.
        found: String,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// A guard: at least `needed` of `unit` for `measure`.
pub(super) fn at_least(
    measure: &'static str,
    unit: &'static str,
    needed: usize,
    found: usize,
) -> Result<(), EvaluateError> {
    if found < needed {
        return Err(EvaluateError::TooLittle { measure, unit, needed, found });
    }
    Ok(())
}
