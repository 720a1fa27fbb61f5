//! The suite `dual`: it comes back, hangs on both keys and on the flipped bit, and says which dual key is missing.

use proptest::prelude::*;
use sealgate::cipher::{DualKey, DualKeyId, DualKeys, Kind, LayerSeed, Layers};
use sealgate::seal::Suite;

use super::seal_layers::{KEY, Refusal, golden, inside, layer_seed, open_with, stream_of, with_inside};
use super::{seal_layers, seal_xor};

const PARAMETERS: usize = 81;

/// The dual key of the golden files; testdata/seal/dual.py has it too. It is no secret.
fn keys() -> DualKeys {
    with_root([0x5D; 32])
}

fn with_root(root: [u8; 32]) -> DualKeys {
    let mut keys = DualKeys::default();
    keys.add(DualKey::new(DualKeyId::new([0xD1; 16]), &root));
    keys
}

/// Every inner layer that golden files have.
pub(crate) fn layers() -> Layers {
    seal_xor::layers().with_dual(keys())
}

fn dual(keys: DualKeys) -> Layers {
    Layers::none().with_dual(keys)
}

fn seal_with(layers: &Layers, original: &[u8]) -> Result<Vec<u8>, Refusal> {
    seal_layers::seal_with(Suite::Dual, layers, original)
}

/// An image of many squares.
fn original() -> Vec<u8> {
    golden("deepkeygen-xor-slice")
}

/// The seed of the inner layer.
fn seed(sealed: &[u8], key: [u8; 32]) -> LayerSeed {
    LayerSeed::new(layer_seed(sealed, key))
}

/// What these records are under the layer, with its parameters before it.
fn layered(seed: &LayerSeed, records: &[u8]) -> Vec<u8> {
    let (mut out, mut layer) = dual(keys()).to_seal(Kind::Dual, seed, &[]).unwrap();
    layer.push(records, &mut out).unwrap();
    layer.finish(&mut out).unwrap();
    out
}

/// The records of a sealed file.
fn records(seed: &LayerSeed, inside: &[u8]) -> Vec<u8> {
    let (parameters, sealed) = inside.split_at(PARAMETERS);
    let mut layer = dual(keys()).to_open(Kind::Dual, parameters, seed).unwrap();
    let mut out = Vec::new();
    layer.push(sealed, &mut out).unwrap();
    layer.finish(&mut out).unwrap();
    out
}

/// Files that no opener may open, each with the answer it gets and what is wrong in its name.
pub(crate) fn faults(good: &[u8], key: [u8; 32]) -> Vec<(String, Vec<u8>)> {
    let (start, _) = stream_of(good);
    let (inner, seed) = (inside(good, key), seed(good, key));
    let clear = records(&seed, &inner);
    let inside = |bytes: &[u8]| with_inside(good, key, bytes);
    let changed = |at: usize, by: u8| {
        let mut bytes = inner.clone();
        bytes[at] ^= by;
        inside(&bytes)
    };
    let mut suite = good.to_vec();
    // 20H XOR 21H is 1: what was sealed under a layer is not taken for what has none.
    suite[start + 11] ^= 0x21;
    [
        ("commitment--dual-another-suite", suite),
        ("layer--dual-missing-key", changed(3, 1)),
        ("layer--dual-no-point", changed(16, 1)),
        ("layer--dual-another-position", changed(80, 0x11)),
        ("layer--dual-no-parameters", inside(&inner[..80])),
        ("layer--dual-cut-in-a-block", inside(&inner[..inner.len() - 3])),
        ("layer--dual-without-the-layer", inside(&[&inner[..PARAMETERS], &clear].concat())),
        ("record--dual-nothing-under-the-layer", inside(&layered(&seed, &[]))),
    ]
    .map(|(name, file)| (name.to_owned(), file))
    .to_vec()
}

#[test]
fn an_image_comes_back_bit_for_bit() {
    let sealed = seal_with(&dual(keys()), &original()).unwrap();
    assert!(open_with(&dual(keys()), &sealed).unwrap() == original());
    // The parameters, up to sixteen bytes of padding, and the tag of at most one more chunk.
    assert!(sealed.len() < original().len() + 3000, "{} bytes", sealed.len());
}

#[test]
fn what_the_seal_holds_is_not_the_records() {
    let sealed = seal_with(&dual(keys()), &original()).unwrap();
    let inner = inside(&sealed, KEY);
    assert_eq!(inner[..16], [0xD1; 16]);
    let clear = records(&seed(&sealed, KEY), &inner);
    assert_eq!(clear[0], 1, "the first record is `begin`");
    let equal = clear.iter().zip(&inner[PARAMETERS..]).filter(|(a, b)| a == b).count();
    assert!(equal < clear.len() / 150, "{equal} of {} bytes are as they were", clear.len());
}

#[test]
fn two_sealings_under_one_content_key_have_nothing_in_common() {
    let [one, other] =
        [(); 2].map(|()| inside(&seal_with(&dual(keys()), &original()).unwrap(), KEY)[PARAMETERS..].to_vec());
    let equal = one.iter().zip(&other).filter(|(a, b)| a == b).count();
    assert!(equal < one.len() / 150, "{equal} of {} bytes are equal", one.len());
}

#[test]
fn with_the_content_key_alone_it_does_not_open_and_says_which_dual_key_it_needs() {
    let sealed = seal_with(&dual(keys()), &original()).unwrap();
    let said = open_with(&Layers::none(), &sealed).unwrap_err().to_string();
    assert!(said.contains(&format!("dual key {}", "d1".repeat(16))), "{said}");
    let said = seal_with(&Layers::none(), &original()).unwrap_err().to_string();
    assert!(said.contains("needs the site's dual key, and there is none"), "{said}");
}

#[test]
fn one_wrong_bit_of_the_dual_key_keeps_it_shut() {
    let sealed = seal_with(&dual(keys()), &original()).unwrap();
    let mut root = [0x5D; 32];
    root[31] ^= 1;
    assert!(open_with(&dual(with_root(root)), &sealed).is_err());
}

#[test]
fn a_new_dual_key_leaves_what_the_old_one_sealed_open() {
    let sealed = seal_with(&dual(keys()), &original()).unwrap();
    let mut both = keys();
    both.add(DualKey::new(DualKeyId::new([0xD2; 16]), &[1; 32]));
    assert!(open_with(&dual(both.clone()), &sealed).unwrap() == original());
    let newer = seal_with(&dual(both), &original()).unwrap();
    assert_eq!(inside(&newer, KEY)[..16], [0xD2; 16]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn one_changed_bit_under_the_seal_is_no_image(at in any::<prop::sample::Index>(), bit in 0..8) {
        let original = golden("deepkeygen-fragments");
        let sealed = seal_with(&dual(keys()), &original).unwrap();
        let mut inner = inside(&sealed, KEY);
        let at = at.index(inner.len());
        inner[at] ^= 1_u8 << bit;
        prop_assert!(open_with(&dual(keys()), &with_inside(&sealed, KEY, &inner)).is_err());
    }
}
