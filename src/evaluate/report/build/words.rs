//! What is to be said plainly, whatever was measured.

use super::keys::Figures;
use super::one_pixel::Sensitivity;
use super::{Generator, Role};
use crate::evaluate::report::{Block, Cell, Kind, Section, Table};
use crate::evaluate::sp800_22::Test;

/// Claims of the papers that could not be had from the method as described, and what is so instead.
const CLAIMS: [(&str, &str, &str); 8] = [
    (
        "One changed pixel of the seed image changes 99.5 % of the key, by 20 to 23 % (DeepKeyGen IV-A5)",
        "A convolutional generator of the published shape answers with a faint shift over the whole image and a mark near the \
         pixel: many bytes move by a step or two",
        "Seeds are expanded by an extendable-output function first, so that one bit changes everything",
    ),
    (
        "A P-value of 0.9999 is better randomness (DeepKeyGen, table XVIII)",
        "P-values of a perfect source are evenly spread: one in ten thousand is 0.9999 or above, and many near 1 would be a defect",
        "Shares and spread over many sequences, as SP 800-22 section 4.2 asks",
    ),
    (
        "RC4 and the Mersenne Twister fail with P-values of 0 (DeepKeyGen, table XVIII)",
        "Both pass the template and excursion tests over many sequences; a constant 0 points to a mistake in the test",
        "The suite gives the P-values that NIST prints for pi and e",
    ),
    (
        "Another training gives another key, hence a one-time pad (DeepKeyGen IV-A2)",
        "A one-time pad is random, as long as the message, and used once. A trained network is used again and again",
        "Each image has a content key of its own, from the operating system's randomness",
    ),
    (
        "High entropy and low correlation resist known- and chosen-plaintext attacks (DeepKeyGen IV-C)",
        "XOR with a stream used twice falls to one known image, whatever its entropy",
        "AES-256-GCM under a key used for one image, and refusal of anything altered",
    ),
    (
        "NPCR and UACI between plain and encrypted image (chaotic paper)",
        "They are defined between two ciphertexts; against the plain image they measure its brightness",
        "Both are measured between two ciphertexts here, and the paper's way beside the papers' tables",
    ),
    (
        "An effective key entropy of 7.9864 bits by SP 800-22 (chaotic paper)",
        "SP 800-22 gives P-values, no entropy; 7.99 is the entropy of a histogram",
        "SP 800-90B estimators, and the bits of secret that went in",
    ),
    (
        "Local Shannon entropy between 7.9019 and 7.9030 (Wu et al. 2013)",
        "The interval is too narrow by the square root of 30: its variance is divided twice by the number of blocks, and seven \
         in ten truly random images fall outside",
        "The exact interval",
    ),
];

/// What was measured of the first claim, on the network itself.
fn of_one_pixel(measured: &[Sensitivity]) -> Option<String> {
    let [npcr, uaci] = measured.iter().find_map(Sensitivity::as_published)?;
    Some(format!("{npcr:.1} % of the bytes change, by {uaci:.1} % on average"))
}

/// What was measured of the second: how the P-values of the rank test, for which 0.9999 is claimed, spread.
fn of_p_values(generators: &[Generator<'_>], measured: &[Figures]) -> Option<String> {
    let (generator, found) = generators.iter().zip(measured).find(|(one, _)| one.role == Role::Ours)?;
    let line = found.assessment.lines.iter().find(|line| line.test == Test::Rank && line.sequences > 0)?;
    let (high, all) = (line.classes[9], line.sequences);
    let name = &generator.name;
    Some(format!("matrix rank, {name}: {high} of {all} P-values are 0.9 or above; a tenth is to be expected"))
}

pub(super) fn section(
    one_pixel: &[Sensitivity],
    generators: &[Generator<'_>],
    measured: &[Figures],
) -> Section {
    let mut table = Table::new(
        "claims",
        "Claims and what is so",
        &["Claim", "what is so", "measured here", "what is done here"],
    );
    let found = [of_one_pixel(one_pixel), of_p_values(generators, measured)];
    for (number, (claim, so, done)) in CLAIMS.into_iter().enumerate() {
        let here = found.get(number).cloned().flatten().unwrap_or_default();
        table.row(
            Kind::Published,
            claim,
            vec![Cell::Text(so.to_owned()), Cell::Text(here), Cell::Text(done.to_owned())],
        );
    }
    Section {
        id: "plainly",
        title: "Plainly said",
        shows: "Where a published figure cannot be had from the method as described, or does not mean what it is said to mean. \
            Confidentiality of a sealed image rests on AES-256-GCM, HKDF and the wrapping of its key; the neural and chaotic \
            layers are research, credited with nothing, and can only add to it."
            .to_owned(),
        shows_not: "Who may do what, and what happens when a disk, an archive or a backup is stolen: that is in docs/SECURITY.md. The \
            DeepKeyGen method may be subject to a patent (US12028451B2); check before you deploy it."
            .to_owned(),
        blocks: vec![Block::Table(table)],
    }
}
