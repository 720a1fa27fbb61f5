//! SP 800-22 over the first million bits of pi and e: every P-value, and the ones the document prints.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use sealgate::evaluate::Seeded;
use sealgate::evaluate::sp800_22::{
    Assessment, Bits, Line, Test, assess, linear_complexity, overlapping, run, serial, spectral,
};
use serde_json::Value;

use super::{answers, data, near, number};

/// All tests over the first million bits of pi and of e, taken once for all that look at them.
static OF_PI: LazyLock<BTreeMap<Test, Vec<f64>>> = LazyLock::new(|| of_file("pi.bin"));
static OF_E: LazyLock<BTreeMap<Test, Vec<f64>>> = LazyLock::new(|| of_file("e.bin"));

fn of_file(name: &str) -> BTreeMap<Test, Vec<f64>> {
    let lines = run(&Bits::from_bytes(&data(name)));
    assert_eq!(lines.len(), 188);
    by_test(lines)
}

/// The lines of each test, in order.
fn by_test(lines: Vec<Line>) -> BTreeMap<Test, Vec<f64>> {
    let mut found = BTreeMap::<Test, Vec<f64>>::new();
    for line in lines {
        found
            .entry(line.test)
            .or_default()
            .push(line.p_value.expect("a million bits are enough for every test"));
    }
    found
}

const NAMES: [(Test, &str); 15] = [
    (Test::Frequency, "frequency"),
    (Test::BlockFrequency, "block_frequency"),
    (Test::Runs, "runs"),
    (Test::LongestRun, "longest_run"),
    (Test::Rank, "rank"),
    (Test::Spectral, "spectral"),
    (Test::NonOverlappingTemplate, "non_overlapping"),
    (Test::OverlappingTemplate, "overlapping"),
    (Test::Universal, "universal"),
    (Test::LinearComplexity, "linear_complexity"),
    (Test::Serial, "serial"),
    (Test::ApproximateEntropy, "approximate_entropy"),
    (Test::CumulativeSums, "cumulative_sums"),
    (Test::RandomExcursions, "excursions"),
    (Test::RandomExcursionsVariant, "excursions_variant"),
];

#[test]
fn every_p_value_of_pi_and_e_is_the_known_one() {
    let answers = answers();
    for (number_name, found) in [("pi", &*OF_PI), ("e", &*OF_E)] {
        for (test, name) in NAMES {
            let known = &answers["sp800_22"][number_name][name];
            let known: Vec<f64> =
                known.as_array().map_or_else(|| vec![number(known)], |all| all.iter().map(number).collect());
            assert_eq!(found[&test].len(), known.len(), "{name}");
            for (ours, theirs) in found[&test].iter().zip(known) {
                // Entropies of a million bits lose eight digits to cancellation before they become a P-value.
                near(&format!("{number_name}, {name}"), *ours, theirs, 1e-8);
            }
        }
    }
}

/// Appendix B of the document, the columns of pi and e; the first template, state +1, state -1, the first difference.
const APPENDIX_B: [(Test, usize, f64, f64); 14] = [
    (Test::Frequency, 0, 0.578_211, 0.953_749),
    (Test::BlockFrequency, 0, 0.380_615, 0.211_072),
    (Test::CumulativeSums, 0, 0.628_308, 0.669_887),
    (Test::CumulativeSums, 1, 0.663_369, 0.724_266),
    (Test::Runs, 0, 0.419_268, 0.561_917),
    (Test::LongestRun, 0, 0.024_390, 0.718_945),
    (Test::Rank, 0, 0.083_553, 0.306_156),
    (Test::Spectral, 0, 0.010_186, 0.847_187),
    (Test::NonOverlappingTemplate, 0, 0.165_757, 0.078_790),
    (Test::Universal, 0, 0.669_012, 0.282_568),
    (Test::ApproximateEntropy, 0, 0.361_595, 0.700_073),
    (Test::RandomExcursions, 4, 0.844_143, 0.786_868),
    (Test::RandomExcursionsVariant, 8, 0.760_966, 0.826_009),
    (Test::Serial, 0, 0.143_005, 0.766_182),
];

#[test]
fn the_documents_own_table_comes_out() {
    for (name, of_pi, found) in [("pi", true, &*OF_PI), ("e", false, &*OF_E)] {
        for (test, part, pi, e) in APPENDIX_B {
            let printed = if of_pi { pi } else { e };
            near(&format!("{name}, {test:?} {part}"), found[&test][part], printed, 1.1e-6);
        }
    }
}

#[test]
fn the_two_tests_whose_chances_were_corrected_give_the_documents_table_with_its_old_chances() {
    let answers = answers();
    for (name, templates, complexity) in [("pi", 0.296_897, 0.255_475), ("e", 0.110_434, 0.826_335)] {
        let bits = Bits::from_bytes(&data(&format!("{name}.bin")));
        let known = &answers["sp800_22"][name]["overlapping_chances_old"];
        let old: Vec<f64> = known.as_array().unwrap().iter().map(number).collect();
        near("overlapping", overlapping(&bits, &old.try_into().unwrap()).unwrap(), templates, 1e-6);
        let old = [0.01047, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020_833];
        near("linear complexity", linear_complexity(&bits, 500, &old).unwrap(), complexity, 1e-6);
    }
}

#[test]
fn the_documents_examples_over_e_come_out() {
    let e = Bits::from_bytes(&data("e.bin"));
    // 2.5.8: 100,000 bits of e; 2.11.8: two-bit patterns of a million bits.
    near("rank", sealgate::evaluate::sp800_22::rank(&e.first(100_000)).unwrap(), 0.532_069, 1e-6);
    let [first, second] = serial(&e, 2).unwrap();
    near("serial", first, 0.843_764, 1e-6);
    near("serial", second, 0.561_915, 1e-6);
}

#[test]
fn tests_that_need_more_bits_are_left_out_and_not_guessed() {
    let mut bytes = vec![0; 2_000];
    Seeded::new(5).fill(&mut bytes);
    let lines = run(&Bits::from_bytes(&bytes));
    let tested = |test| lines.iter().filter(|line| line.test == test).all(|line| line.p_value.is_some());
    assert!(tested(Test::Frequency) && tested(Test::Runs) && tested(Test::Spectral));
    for test in [
        Test::NonOverlappingTemplate,
        Test::Rank,
        Test::Universal,
        Test::LinearComplexity,
        Test::Serial,
        Test::RandomExcursions,
    ] {
        assert!(!tested(test), "{test:?}");
    }
    assert_eq!(lines.len(), 188);
}

/// The suite over sequences short enough for a test that is run often.
fn assessment(fill: impl FnOnce(&mut [u8])) -> Assessment {
    let mut data = vec![0; 60 * 2_500];
    fill(&mut data);
    assess(&data, 20_000, || ()).unwrap()
}

#[test]
fn an_even_source_is_not_caught() {
    let fair = assessment(|data| Seeded::new(2).fill(data));
    let failures: Vec<_> = fair.failures().map(|line| (line.test, &line.part)).collect();
    assert!(!fair.is_caught(), "{failures:?}");
    assert_eq!(fair.sequences, 60);
}

#[test]
fn a_slightly_biased_source_is_caught_by_the_frequency_test() {
    // One bit in 64 is set for certain: 50.8 % of ones.
    let biased = assessment(|data| {
        Seeded::new(2).fill(data);
        data.iter_mut().step_by(8).for_each(|byte| *byte |= 1 << 7);
    });
    assert!(biased.is_caught());
    assert!(biased.failures().any(|line| line.test == Test::Frequency));
}

#[test]
fn a_hidden_period_is_caught_by_the_spectrum() {
    let mut seeded = Seeded::new(8);
    let mut pattern = [0; 50];
    seeded.fill(&mut pattern);
    let mut bytes = vec![0; 2_500];
    // A copy of a pattern: one bit in two follows it.
    for (at, byte) in bytes.iter_mut().enumerate() {
        let (random, mask) = (seeded.next_u64() as u8, seeded.next_u64() as u8);
        *byte = (random & !mask) | (pattern[at % 50] & mask);
    }
    assert!(spectral(&Bits::from_bytes(&bytes)).unwrap() < 0.001);
}

#[test]
fn the_answers_hold_what_the_document_prints_so_nobody_grades_himself() {
    let answers: Value = answers();
    near("frequency", number(&answers["sp800_22"]["e"]["frequency"]), 0.953_749, 1e-6);
    assert_eq!(answers["sp800_22"]["e"]["cycles"], 1490);
}
