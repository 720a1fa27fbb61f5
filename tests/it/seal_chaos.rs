//! The four chaotic suites: they come back, and one bit or one last place that is wrong gives nothing.

use sealgate::cipher::{LayerSeed, Layers};
use sealgate::seal::{FileError, Suite};

use super::seal_layers::{
    HEADER, KEY, Refusal, golden, inside, open_with, seal_with, stream_of, with_inside,
};
use super::seal_xor::layers;

pub(crate) const SUITES: [Suite; 4] =
    [Suite::LogisticResNet18, Suite::LogisticMobileNetV2, Suite::LorenzResNet18, Suite::LorenzMobileNetV2];

/// The network's id, then six numbers.
const PARAMETERS: usize = 32 + 48;

/// The suite that a golden file is named after.
pub(crate) fn suite_of(name: &str) -> Suite {
    SUITES.into_iter().find(|suite| name.starts_with(&suite.to_string())).unwrap_or(Suite::DeepKeyGen)
}

fn seal(suite: Suite, original: &[u8]) -> Result<Vec<u8>, Refusal> {
    seal_with(suite, &layers(), original)
}

/// Opens with no generator and no network at hand.
fn open(sealed: &[u8]) -> Result<Vec<u8>, Refusal> {
    open_with(&Layers::none(), sealed)
}

/// A golden original: more than one block.
fn original(suite: Suite) -> Vec<u8> {
    golden(&format!("{suite}-slice"))
}

/// The parameters with the number at `at` replaced.
fn with_number(inner: &[u8], at: usize, change: impl Fn(f64) -> f64) -> Vec<u8> {
    let mut out = inner.to_vec();
    let place = &mut out[32 + 8 * at..40 + 8 * at];
    let number = f64::from_be_bytes((&*place).try_into().unwrap());
    place.copy_from_slice(&change(number).to_be_bytes());
    out
}

/// The next number away from zero, or the one before where that is out of the range.
fn last_place(number: f64) -> f64 {
    f64::from_bits(number.to_bits() ^ 1)
}

/// Files that no opener may open, each with the answer it gets and what is wrong in its name.
pub(crate) fn faults(suite: Suite, good: &[u8], key: [u8; 32]) -> Vec<(String, Vec<u8>)> {
    let (start, _) = stream_of(good);
    let inner = inside(good, key);
    let changed = |at: usize, bit: u8| {
        let mut file = good.to_vec();
        file[at] ^= bit;
        file
    };
    let of = |inner: &[u8]| with_inside(good, key, inner);
    let mut other_network = inner.clone();
    other_network[0] ^= 1;
    let (parameters, layered) = inner.split_at(PARAMETERS);
    // The records as they are without a layer begin with kind 1 and a length.
    let bare = [parameters, &[1, 0, 0, 0, 5, 0, 0, 0, 0, 0]].concat();
    let mut masked = inner.clone();
    masked[PARAMETERS] ^= 1;
    let halved = [parameters, &layered[layered.len() / 2..]].concat();
    [
        ("commitment", "another-suite", changed(start + 11, 1)),
        ("chunk", "parameters", changed(start + HEADER + 56 + 40, 1)),
        ("layer", "too-few-parameters", of(&inner[..PARAMETERS - 1])),
        ("layer", "parameter-too-large", of(&with_number(&inner, 0, |_| 40.0))),
        ("layer", "parameter-not-a-number", of(&with_number(&inner, 4, |_| f64::NAN))),
        ("record", "last-place-of-a-parameter", of(&with_number(&inner, 0, last_place))),
        ("record", "another-network", of(&other_network)),
        ("record", "without-the-layer", of(&bare)),
        ("record", "second-half-alone", of(&halved)),
    ]
    .map(|(answer, what, file)| (format!("{answer}--{suite}-{what}"), file))
    .to_vec()
}

#[test]
fn an_image_comes_back_bit_for_bit_without_any_network() {
    for suite in SUITES {
        let original = original(suite);
        let sealed = seal(suite, &original).unwrap();
        assert!(open(&sealed).unwrap() == original, "{suite}");
    }
}

#[test]
fn the_last_place_of_any_parameter_decides() {
    for suite in SUITES {
        let sealed = seal(suite, &original(suite)).unwrap();
        let inner = inside(&sealed, KEY);
        for at in 0..6 {
            let wrong = with_inside(&sealed, KEY, &with_number(&inner, at, last_place));
            let error = open(&wrong).expect_err("opened with a wrong parameter");
            assert!(matches!(error, FileError::Open(_)), "{suite} {at}: {error}");
        }
    }
}

#[test]
fn two_sealings_of_one_image_share_neither_parameters_nor_keystream() {
    for suite in SUITES {
        let original = original(suite);
        let [one, other] = [(); 2].map(|()| inside(&seal(suite, &original).unwrap(), KEY));
        assert_eq!(one.len(), other.len());
        assert_eq!(one[..32], other[..32], "the same network");
        assert!((0..6).all(|at| one[32 + 8 * at..40 + 8 * at] != other[32 + 8 * at..40 + 8 * at]));
        let equal = one[PARAMETERS..].iter().zip(&other[PARAMETERS..]).filter(|(a, b)| a == b).count();
        // 1 byte in 256 is equal by chance.
        assert!(equal < one.len() / 150, "{suite}: {equal} of {} bytes are equal", one.len());
    }
}

#[test]
fn one_changed_bit_of_metadata_or_secret_changes_everything() {
    let plain: Vec<u8> = (0..100_000_u32).map(|at| (at * 7 + at / 256) as u8).collect();
    for suite in SUITES {
        let turned = |secret: [u8; 32], metadata: &[u8]| {
            let (_, mut layer) =
                layers().to_seal(suite.inner().unwrap(), &LayerSeed::new(secret), metadata).unwrap();
            let mut out = Vec::new();
            layer.push(&plain, &mut out).unwrap();
            layer.finish(&mut out).unwrap();
            out
        };
        let (secret, metadata) = ([3; 32], b"20240131101500 1.2.826.0.1.3680043.10.1.1 CT01");
        let (mut other_secret, mut other_metadata) = (secret, *metadata);
        other_secret[31] ^= 1;
        other_metadata[13] ^= 1;
        let one = turned(secret, metadata);
        assert!(one == turned(secret, metadata), "it follows from these alone");
        for (what, other) in
            [("secret", turned(other_secret, metadata)), ("metadata", turned(secret, &other_metadata))]
        {
            let equal = one.iter().zip(&other).filter(|(a, b)| a == b).count();
            // 1 in 256 by chance: 391, give or take 20.
            assert!((270..520).contains(&equal), "{suite}, {what}: {equal} of 100000 are equal");
        }
    }
}
