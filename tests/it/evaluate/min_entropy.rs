//! SP 800-90B estimators against the answers of an independent, slow program.

use sealgate::evaluate::Seeded;
use sealgate::evaluate::sp800_90b::{
    bits_of, collision, compression, lag, longest_repeat, lz78y, markov, min_entropy, most_common_value,
    multi_mcw, multi_mmc, t_tuple,
};

use super::{answers, near, number};

/// Enough for every estimator, and few enough for the slow program.
const BYTES: usize = 4_000;

fn drawn(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Seeded::new(seed).fill(&mut bytes);
    bytes
}

/// The same three sources as in `known_answers.py`: even, biased towards zero, repeating the last byte.
fn sources(length: usize) -> [(&'static str, Vec<u8>); 3] {
    let biased = drawn(22, length).into_iter().map(|byte| if byte < 200 { byte } else { 0 }).collect();
    let mut last = 0;
    let memory = drawn(23, length).into_iter().map(|byte| {
        last = if byte < 150 { last } else { byte & 15 };
        last
    });
    [("even", drawn(21, length)), ("biased", biased), ("memory", memory.collect())]
}

#[test]
fn every_estimate_is_the_known_one() {
    let answers = answers();
    for (name, bytes) in sources(BYTES) {
        let known = &answers["sp800_90b"][name];
        let bits = bits_of(&bytes);
        for (symbols, values, kind) in [(&bytes, 256, "bytes"), (&bits, 2, "bits")] {
            for (estimate, ours) in [
                ("most_common_value", most_common_value(symbols, values)),
                ("t_tuple", t_tuple(symbols, values)),
                ("longest_repeat", longest_repeat(symbols, values)),
                ("multi_mcw", multi_mcw(symbols, values)),
                ("lag", lag(symbols, values)),
                ("multi_mmc", multi_mmc(symbols, values)),
                ("lz78y", lz78y(symbols, values)),
            ] {
                let theirs = number(&known[kind][estimate]);
                near(&format!("{name}, {kind}, {estimate}"), ours.unwrap(), theirs, 1e-6);
            }
        }
        let of_bits = &known["bits"];
        near(name, collision(&bits).unwrap(), number(&of_bits["collision"]), 1e-6);
        near(name, markov(&bits).unwrap(), number(&of_bits["markov"]), 1e-9);
        near(name, compression(&bits).unwrap(), number(&of_bits["compression"]), 1e-6);
    }
}

#[test]
fn the_summary_takes_the_lowest_estimate() {
    let [(_, even), _, (_, memory)] = sources(10_000);
    let good = min_entropy(&even).unwrap();
    let poor = min_entropy(&memory).unwrap();
    assert_eq!((good.estimates.len(), good.estimates[1].name), (10, "Collision"));
    assert!(good.per_byte > 4.0 && poor.per_byte < 1.5, "{} {}", good.per_byte, poor.per_byte);
    assert!(poor.estimates.iter().any(|e| e.name == poor.lowest()));
}

#[test]
fn a_sample_too_short_to_judge_is_refused() {
    assert_eq!(
        min_entropy(&[0; 100]).unwrap_err().to_string(),
        "the estimation of min-entropy needs at least 10000 bytes, there are 100; give more data"
    );
}
