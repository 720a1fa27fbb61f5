//! Statistics and reports over keys and ciphertexts: small pure functions, and the page that shows their figures.
//!
//! Nothing here decides whether something is secure. The measures find defects; that they find none proves nothing
//! (SP 800-22 section 1.1.5 says so of itself), and `docs/SECURITY.md` says what confidentiality rests on instead.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::many_single_char_names,
    reason = "counts of bits and pixels stay far below 2^52, statistics live in f64, and formulas keep their letters"
)]

/// Which of many images are measured.
pub mod choice;
mod error;
/// Defects with names.
pub mod finding;
/// Measures over images: entropy, histograms, differences, similarity, correlation.
pub mod image;
/// How many keys there are, and how much of that is entropy.
pub mod key_space;
mod layered;
/// The figures of the papers.
pub mod papers;
/// The pixels of DICOM files.
pub mod pixels;
/// The report: tables, figures and words as a page, JSON and CSV.
pub mod report;
mod sealed;
mod seeded;
/// Byte sources to compare with.
pub mod source;
/// The statistical test suite of NIST SP 800-22 revision 1a.
pub mod sp800_22;
/// The estimators of min-entropy of NIST SP 800-90B section 6.3.
pub mod sp800_90b;
mod special;
/// Generators of key images, and what their training records say.
pub mod trained;

pub use error::EvaluateError;
pub use layered::{inner_layer, layered_suite};
pub use sealed::{sealed_stream, sealed_zeros};
pub use seeded::Seeded;
