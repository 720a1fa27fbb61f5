//! What is to be said plainly, whatever was measured.

use crate::evaluate::report::{Block, Cell, Kind, Section, Table};

/// Claims of the papers that could not be had from the method as described, and what is so instead.
const CLAIMS: [(&str, &str, &str); 7] = [
    (
        "One changed pixel of the seed image changes 99.5 % of the key (DeepKeyGen IV-A5)",
        "A convolutional generator of the published shape hardly reacts: about 0.3 % of the key's bytes changed in a pilot",
        "Seeds are expanded by an extendable-output function first, so that one bit changes everything",
    ),
    (
        "A P-value of 0.9999 is better randomness (DeepKeyGen, table XVIII)",
        "P-values of a perfect source are evenly spread; many near 1 would be a defect",
        "Shares and spread over many sequences, as SP 800-22 section 4.2 asks",
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
        "Both are measured between two ciphertexts here",
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

pub(super) fn section() -> Section {
    let mut table =
        Table::new("claims", "Claims and what is so", &["Claim", "what is so", "what is done here"]);
    for (claim, so, done) in CLAIMS {
        table.row(Kind::Published, claim, vec![Cell::Text(so.to_owned()), Cell::Text(done.to_owned())]);
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
