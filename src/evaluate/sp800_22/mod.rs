//! The statistical test suite of NIST SP 800-22 revision 1a: fifteen tests, 188 P-values for a sequence of a million bits.
//!
//! Parameters are those of the document's appendix B. The chances of the classes are those of the document too, where
//! it gives them; for overlapping templates revision 1a corrected them, for linear complexity they are the exact ones.

mod assess;
mod bits;
mod excursions;
mod frequency;
mod linear;
mod patterns;
mod structure;
mod templates;

pub use assess::{Assessment, LineSummary, assess};
pub use bits::Bits;
pub use excursions::{STATES, VARIANT_STATES, Walk};
pub use frequency::{block_frequency, cumulative_sums, frequency, longest_run, runs};
pub use linear::{BLOCK_MAX, LINEAR_CHANCES, linear_complexity};
pub use patterns::{approximate_entropy, serial};
pub use structure::{rank, spectral, universal};
pub use templates::{OVERLAPPING_CHANCES, aperiodic_templates, non_overlapping, overlapping};

/// The level of significance that the document works with, section 1.1.5.
pub const ALPHA: f64 = 0.01;

/// Block length of the block frequency test, as in appendix B.
const FREQUENCY_BLOCK: usize = 128;
/// Width of the non-overlapping templates.
const TEMPLATE: usize = 9;
/// Matches that a block has to expect of each template.
const MATCHES_MIN: usize = 20;
/// Width of the patterns of the serial test.
const SERIAL: usize = 16;
/// Width of the patterns of the approximate entropy test.
const APPROXIMATE_ENTROPY: usize = 10;
/// Block length of the linear complexity test.
const LINEAR_BLOCK: usize = 500;

/// The fifteen tests, in the document's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Test {
    /// Section 2.1.
    Frequency,
    /// Section 2.2.
    BlockFrequency,
    /// Section 2.3.
    Runs,
    /// Section 2.4.
    LongestRun,
    /// Section 2.5.
    Rank,
    /// Section 2.6.
    Spectral,
    /// Section 2.7.
    NonOverlappingTemplate,
    /// Section 2.8.
    OverlappingTemplate,
    /// Section 2.9.
    Universal,
    /// Section 2.10.
    LinearComplexity,
    /// Section 2.11.
    Serial,
    /// Section 2.12.
    ApproximateEntropy,
    /// Section 2.13.
    CumulativeSums,
    /// Section 2.14.
    RandomExcursions,
    /// Section 2.15.
    RandomExcursionsVariant,
}

impl Test {
    /// All of them, in the document's order.
    pub const ALL: [Self; 15] = [
        Self::Frequency,
        Self::BlockFrequency,
        Self::Runs,
        Self::LongestRun,
        Self::Rank,
        Self::Spectral,
        Self::NonOverlappingTemplate,
        Self::OverlappingTemplate,
        Self::Universal,
        Self::LinearComplexity,
        Self::Serial,
        Self::ApproximateEntropy,
        Self::CumulativeSums,
        Self::RandomExcursions,
        Self::RandomExcursionsVariant,
    ];

    /// Its name in the document.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Frequency => "Frequency",
            Self::BlockFrequency => "Block frequency",
            Self::Runs => "Runs",
            Self::LongestRun => "Longest run of ones",
            Self::Rank => "Binary matrix rank",
            Self::Spectral => "Discrete Fourier transform",
            Self::NonOverlappingTemplate => "Non-overlapping template",
            Self::OverlappingTemplate => "Overlapping template",
            Self::Universal => "Maurer's universal",
            Self::LinearComplexity => "Linear complexity",
            Self::Serial => "Serial",
            Self::ApproximateEntropy => "Approximate entropy",
            Self::CumulativeSums => "Cumulative sums",
            Self::RandomExcursions => "Random excursions",
            Self::RandomExcursionsVariant => "Random excursions variant",
        }
    }
}

/// One P-value of one sequence.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The test it comes from.
    pub test: Test,
    /// Which part of it: a template, a state, a direction; empty when there is one part.
    pub part: String,
    /// The P-value; none when the test cannot be applied to this sequence.
    pub p_value: Option<f64>,
}

/// Every P-value of every test of one sequence, 188 lines, always in the same order.
#[must_use]
pub fn run(bits: &Bits) -> Vec<Line> {
    let mut lines = Vec::with_capacity(188);
    let mut one = |test, part: &str, p_value| lines.push(Line { test, part: part.to_owned(), p_value });
    one(Test::Frequency, "", frequency(bits).ok());
    one(Test::BlockFrequency, "", block_frequency(bits, FREQUENCY_BLOCK).ok());
    one(Test::Runs, "", runs(bits).ok());
    one(Test::LongestRun, "", longest_run(bits).ok());
    one(Test::Rank, "", rank(bits).ok());
    one(Test::Spectral, "", spectral(bits).ok());
    // With fewer matches to be expected in a block, the P-values are far from evenly spread.
    let matches_enough = bits.len() >= 8 * MATCHES_MIN << TEMPLATE;
    let templates = non_overlapping(bits, TEMPLATE).ok().filter(|_| matches_enough);
    for (i, template) in aperiodic_templates(TEMPLATE).into_iter().enumerate() {
        let p_value = templates.as_ref().map(|all| all[i].1);
        one(Test::NonOverlappingTemplate, &format!("{template:09b}"), p_value);
    }
    one(Test::OverlappingTemplate, "", overlapping(bits, &OVERLAPPING_CHANCES).ok());
    one(Test::Universal, "", universal(bits).ok());
    // 2.10.7: fewer than 200 blocks say nothing.
    let blocks_enough = bits.len() >= 200 * LINEAR_BLOCK;
    let linear = blocks_enough.then(|| linear_complexity(bits, LINEAR_BLOCK, &LINEAR_CHANCES).ok());
    one(Test::LinearComplexity, "", linear.flatten());
    let patterns = serial(bits, SERIAL).ok().filter(|_| bits.len() >= 4 << SERIAL);
    one(Test::Serial, "first difference", patterns.map(|p| p[0]));
    one(Test::Serial, "second difference", patterns.map(|p| p[1]));
    let entropy = approximate_entropy(bits, APPROXIMATE_ENTROPY).ok();
    one(Test::ApproximateEntropy, "", entropy.filter(|_| bits.len() >= 64 << APPROXIMATE_ENTROPY));
    let sums = cumulative_sums(bits).ok();
    one(Test::CumulativeSums, "forward", sums.map(|p| p[0]));
    one(Test::CumulativeSums, "backward", sums.map(|p| p[1]));
    let walk = Some(Walk::of(bits)).filter(|walk| walk.is_testable(bits.len()));
    for (i, state) in STATES.into_iter().enumerate() {
        one(Test::RandomExcursions, &format!("{state:+}"), walk.as_ref().map(|walk| walk.excursions()[i]));
    }
    for (i, state) in VARIANT_STATES.into_iter().enumerate() {
        one(
            Test::RandomExcursionsVariant,
            &format!("{state:+}"),
            walk.as_ref().map(|walk| walk.variant()[i]),
        );
    }
    lines
}
