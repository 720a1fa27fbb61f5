//! The suite `deepkeygen-xor`: it comes back, never uses a key image twice, and says which generator is missing.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use sealgate::cipher::Layers;
use sealgate::keygen::{Choice, Config, Engine, Engines, Exact, GeneratorStore, KeyImage, Model, Seed};
use sealgate::seal::Suite;

use super::seal_layers::{
    HEADER, KEY, golden, inside, layer_seed, open_with, seal_with, stream_of, with_inside,
};

const SUITE: Suite = Suite::DeepKeyGenXor;

/// An image of more than one key image.
fn original() -> Vec<u8> {
    golden("deepkeygen-xor-slice")
}

fn model() -> Model {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/keygen/untrained-lite.sgg");
    Model::load(&file).unwrap()
}

/// Inner layers of the untrained generator of the tests. It is no secret and stays what it is, as golden files need.
pub(crate) fn layers() -> Layers {
    static LAYERS: OnceLock<Layers> = OnceLock::new();
    LAYERS
        .get_or_init(|| {
            let folder = tempfile::tempdir().unwrap();
            let model = model();
            GeneratorStore::new(folder.path()).import(&model).unwrap();
            let generator = Choice::Id(model.id());
            let config = Config { generator, folder: folder.path().into(), ..Config::default() };
            let engines = Arc::new(Engines::new(&config));
            // The folder goes now; the engine stays.
            engines.current().unwrap();
            Layers::new(engines)
        })
        .clone()
}

/// Key image `number` of a sealed file.
fn key_image(sealed: &[u8], key: [u8; 32], number: u64) -> Vec<u8> {
    let seed = layer_seed(sealed, key);
    let image = Exact::new(&model(), 0).unwrap().generate(&[Seed::new(seed).child(number)]).unwrap();
    image[0].expose_secret().to_vec()
}

fn xor(bytes: &[u8], key: &[u8]) -> Vec<u8> {
    bytes.iter().zip(key).map(|(byte, key)| byte ^ key).collect()
}

/// Files that no opener may open, each with the answer it gets and what is wrong in its name.
pub(crate) fn faults(good: &[u8], key: [u8; 32]) -> Vec<(String, Vec<u8>)> {
    let (start, _) = stream_of(good);
    let (inner, image) = (inside(good, key), key_image(good, key, 0));
    let (id, layered) = inner.split_at(32);
    let records = xor(layered, &image);
    let of = |id: &[u8], layered: &[u8]| with_inside(good, key, &[id, layered].concat());
    let changed = |at: usize| {
        let mut file = good.to_vec();
        file[at] ^= 3;
        file
    };
    let next = xor(&records, &key_image(good, key, 1));
    [
        // 2 XOR 3 is 1: what was sealed under a layer is not taken for what has none.
        ("commitment--xor-another-suite", changed(start + 11)),
        ("chunk--xor-generator-id", changed(start + HEADER + 56)),
        ("layer--xor-missing-generator", of(&[0xAB; 32], layered)),
        ("layer--xor-no-generator", with_inside(good, key, &id[..31])),
        ("record--xor-without-the-layer", of(id, &records)),
        ("record--xor-from-the-second-key-image", of(id, &next)),
        ("record--xor-nothing-under-the-layer", of(id, &[])),
    ]
    .map(|(name, file)| (name.to_owned(), file))
    .to_vec()
}

#[test]
fn an_image_comes_back_bit_for_bit() {
    let (layers, original) = (layers(), original());
    assert!(original.len() > KeyImage::LENGTH, "it takes more than one key image");
    let sealed = seal_with(SUITE, &layers, &original).unwrap();
    assert!(open_with(&layers, &sealed).unwrap() == original);
}

#[test]
fn what_the_seal_holds_is_the_records_under_the_key_images() {
    let sealed = seal_with(SUITE, &layers(), &original()).unwrap();
    let inner = inside(&sealed, KEY);
    assert_eq!(inner[..32], *model().id().as_bytes());
    let first = xor(&inner[32..32 + KeyImage::LENGTH], &key_image(&sealed, KEY, 0));
    // The first record: its kind, its length, no preamble before it counted in the length of 128 and more bytes.
    assert_eq!(first[..1], [1], "the first record is `begin`");
    let second = xor(&inner[32 + KeyImage::LENGTH..], &key_image(&sealed, KEY, 1));
    let pixels = original();
    let tail = &second[..1000];
    assert!(pixels.windows(1000).any(|window| window == tail), "the second key image follows the first");
}

#[test]
fn two_sealings_under_one_content_key_share_no_keystream() {
    let (layers, original) = (layers(), original());
    let [one, other] =
        [(); 2].map(|()| inside(&seal_with(SUITE, &layers, &original).unwrap(), KEY)[32..].to_vec());
    assert_eq!(one.len(), other.len());
    let equal = one.iter().zip(&other).filter(|(a, b)| a == b).count();
    // 1 byte in 256 is equal by chance.
    assert!(equal < one.len() / 200, "{equal} of {} bytes are equal", one.len());
}

#[test]
fn without_its_generator_an_instance_does_not_open_and_says_which() {
    let sealed = seal_with(SUITE, &layers(), &original()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = Config { folder: folder.path().into(), ..Config::default() };
    let without = Layers::new(Arc::new(Engines::new(&config)));
    let said = open_with(&without, &sealed).unwrap_err().to_string();
    assert!(said.contains(&format!("generator {} is not in", model().id())), "{said}");
    // Brought back, it opens at once.
    GeneratorStore::new(folder.path()).import(&model()).unwrap();
    assert!(open_with(&without, &sealed).unwrap() == original());
    let said = open_with(&Layers::none(), &sealed).unwrap_err().to_string();
    assert!(said.contains("generators are not at hand"), "{said}");
    let said = seal_with(SUITE, &Layers::none(), &original()).unwrap_err().to_string();
    assert!(said.contains("generators are not at hand"), "{said}");
}
