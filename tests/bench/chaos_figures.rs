//! The figures of `docs/CHAOS.md`: the paper's measures of the layers by themselves on real images, and SP 800-22 on their keys.
//!
//! `cargo bench --bench chaos_figures` prints two tables, with `SEALGATE_REAL_DICOM` from `tests/real-dicom`. It fails where
//! an image does not come back, or a figure is not one of random bytes. `SEALGATE_SEQUENCES` (100) says how many are tested.
#![allow(clippy::unwrap_used, reason = "a bench that cannot run should stop")]
#![allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealgate::cipher::{Kind, LayerSeed, Layers};
use sealgate::evaluate::image::{
    Direction, Raster, correlation, critical_values, difference, entropy, entropy_expected, histogram, mse,
    psnr,
};
use sealgate::evaluate::papers::chaotic;
use sealgate::evaluate::pixels::first_frame;
use sealgate::evaluate::sp800_22::assess;
use sealgate::keygen::{Config, Engines};
use sealgate::seal::Suite;

/// Real files of pydicom's collections, by what they show.
const REAL: [(&str, &str); 5] = [
    ("CT", "693_UNCI.dcm"),
    ("CT", "CT_small.dcm"),
    ("MR", "MR-SIEMENS-DICOM-WithOverlays.dcm"),
    ("MR", "MR_small.dcm"),
    ("X-ray", "RG3_UNCR.dcm"),
];
const METADATA: &[u8] = b"20240131101500";
/// Bits of a sequence, as SP 800-22 asks for at least.
const BITS: usize = 1_000_000;

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let entries: Vec<PathBuf> =
        fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let here =
        entries.iter().find(|path| path.is_file() && path.file_name().is_some_and(|found| found == name));
    here.cloned().or_else(|| entries.iter().filter(|path| path.is_dir()).find_map(|path| find(path, name)))
}

/// The image in 8 bits, as the paper's are: the window from the first to the last hundredth.
fn in_eight_bits(image: &Raster) -> Raster {
    let grey: Vec<u16> = image.samples().iter().step_by(image.channels()).copied().collect();
    let mut sorted = grey.clone();
    sorted.sort_unstable();
    let at = |share: usize| f64::from(sorted[(sorted.len() - 1) * share / 100]);
    let (low, high) = (at(1), at(99).max(at(1) + 1.0));
    let byte = |sample: &u16| ((f64::from(*sample) - low) / (high - low)).clamp(0.0, 1.0) * 255.0;
    let samples = grey.iter().map(|sample| byte(sample) as u16).collect();
    Raster::new(image.width(), image.height(), 1, 8, samples).unwrap()
}

/// No real one is at hand: a disc that fades towards its edge, a bright spot, and vessels that leave it.
fn fundus(side: usize) -> Raster {
    let sample = |at: usize| {
        let place = |n: usize| 2.0 * n as f64 / side as f64 - 1.0;
        let (x, y) = (place(at % side), place(at / side));
        let r = x.hypot(y);
        if r > 0.95 {
            return 0;
        }
        let spot = 60.0 * (-((x - 0.4).powi(2) + y * y) / 0.01).exp();
        let vessel = |k: f64| (2.0 * y.atan2(x - 0.4) + k + 3.0 * r).sin().powi(2) / 0.003;
        let vessels: f64 = (0..9_u8).map(|k| 40.0 * (-vessel(f64::from(k))).exp()).sum();
        (150.0 * (1.0 - 0.4 * r) + spot - vessels).clamp(0.0, 255.0) as u16
    };
    Raster::new(side, side, 1, 8, (0..side * side).map(sample).collect()).unwrap()
}

fn images() -> Vec<(String, Raster)> {
    let root = PathBuf::from(
        std::env::var("SEALGATE_REAL_DICOM").expect("SEALGATE_REAL_DICOM: see tests/real-dicom"),
    );
    let real = REAL.iter().filter_map(|(what, name)| {
        let image = first_frame(File::open(find(&root, name)?).unwrap()).unwrap();
        Some(((*what).to_owned(), in_eight_bits(&image.image)))
    });
    real.chain([("fundus, drawn".to_owned(), fundus(512))]).collect()
}

fn seal(layers: &Layers, kind: Kind, plain: &[u8], seed: [u8; 32], metadata: &[u8]) -> Vec<u8> {
    let seed = LayerSeed::new(seed);
    let (parameters, mut layer) = layers.to_seal(kind, &seed, metadata).unwrap();
    let mut sealed = Vec::new();
    layer.push(plain, &mut sealed).unwrap();
    layer.finish(&mut sealed).unwrap();
    let (mut layer, mut opened) = (layers.to_open(kind, &parameters, &seed).unwrap(), Vec::new());
    layer.push(&sealed, &mut opened).unwrap();
    layer.finish(&mut opened).unwrap();
    assert!(opened == plain, "it comes back");
    sealed
}

fn measure(name: &str, image: &Raster, suite: Suite, kind: Kind, layers: &Layers) {
    let plain = image.to_bytes();
    let raster = |bytes: &[u8]| Raster::from_bytes(image.width(), image.height(), 1, bytes).unwrap();
    let mut seed = [7; 32];
    let sealed = raster(&seal(layers, kind, &plain, seed, METADATA));
    let mut metadata = METADATA.to_vec();
    metadata[13] ^= 1;
    let one_bit_of_metadata =
        difference(&sealed, &raster(&seal(layers, kind, &plain, seed, &metadata))).unwrap();
    seed[31] ^= 1;
    let one_bit_of_secret =
        difference(&sealed, &raster(&seal(layers, kind, &plain, seed, METADATA))).unwrap();
    let to_image = difference(image, &sealed).unwrap();
    let bits = entropy(&histogram(&sealed).counts);
    let neighbours = Direction::ALL.map(|direction| correlation(&sealed, direction).unwrap());
    let coefficients = neighbours.each_ref().map(|found| found.coefficient.unwrap());
    let (low, high) =
        (coefficients.iter().copied().fold(1.0, f64::min), coefficients.iter().copied().fold(-1.0, f64::max));
    println!(
        "| {name}, {} x {} | {suite} | {:.2} | {:.2} | {:.2} | {:.2} | {bits:.4} | {low:.4} to {high:.4} | {:.0} | {:.2} |",
        image.width(),
        image.height(),
        100.0 * one_bit_of_secret.npcr,
        100.0 * one_bit_of_metadata.npcr,
        100.0 * one_bit_of_secret.uaci,
        100.0 * to_image.uaci,
        mse(image, &sealed).unwrap(),
        psnr(image, &sealed).unwrap()
    );
    // One in a million of truly random images would be refused.
    let critical = critical_values(8, plain.len(), 1e-6);
    for found in [one_bit_of_secret, one_bit_of_metadata] {
        assert!(
            found.npcr >= critical.npcr_min
                && (critical.uaci_range[0]..=critical.uaci_range[1]).contains(&found.uaci),
            "{found:?}"
        );
    }
    let expected = entropy_expected(256, plain.len());
    assert!((bits - expected).abs() < 100.0 / plain.len() as f64, "{bits}, expected {expected}");
    for (found, coefficient) in neighbours.iter().zip(coefficients) {
        assert!(coefficient.abs() < 2.5 * found.noise(), "{coefficient}");
    }
}

/// The keys that the layers put over images: what they make of zeros, which no permutation changes.
fn keys(suite: Suite, kind: Kind, layers: &Layers) {
    let sequences = std::env::var("SEALGATE_SEQUENCES").map_or(100, |text| text.parse().unwrap());
    let (mut all, mut entropies) = (Vec::new(), Vec::new());
    for number in 0..sequences as u64 {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        let key = seal(layers, kind, &vec![0; 2 * 65_536], seed, &number.to_be_bytes());
        entropies.push(entropy(&histogram(&Raster::from_bytes(256, 256, 1, &key[..65_536]).unwrap()).counts));
        all.extend_from_slice(&key[..BITS / 8]);
    }
    let assessment = assess(&all, BITS, || {}).unwrap();
    let mean = entropies.iter().sum::<f64>() / entropies.len() as f64;
    let least = entropies.iter().copied().fold(8.0, f64::min);
    println!(
        "| {suite} | {mean:.4}, least {least:.4} | {} of {} | {} |",
        assessment.tested() - assessment.failures().count(),
        assessment.tested(),
        assessment.failures_borne()
    );
    assert!(!assessment.is_caught(), "{suite} does not look random");
}

fn main() {
    let layers = Layers::new(Arc::new(Engines::new(&Config::default())));
    let suites = || {
        Suite::ALL
            .iter()
            .copied()
            .filter_map(|suite| Some((suite, suite.inner().filter(|kind| kind.reads_metadata())?)))
    };
    println!(
        "| image | suite | NPCR % | NPCR %, one bit of metadata | UACI % | UACI % to the image | entropy | correlation | MSE | PSNR dB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    println!(
        "| the paper | | {} | | | up to {} | {} to {} | {} to {} | {:.0} to {:.0} | {} to {} |",
        chaotic::NPCR,
        chaotic::UACI_MAX,
        chaotic::ENTROPY[0],
        chaotic::ENTROPY[1],
        chaotic::CORRELATION[0],
        chaotic::CORRELATION[1],
        chaotic::MSE[0],
        chaotic::MSE[1],
        chaotic::PSNR[0],
        chaotic::PSNR[1]
    );
    for (name, image) in images() {
        suites().for_each(|(suite, kind)| measure(&name, &image, suite, kind, &layers));
    }
    println!(
        "\n| suite | entropy of a key of 65,536 bytes | lines of SP 800-22 that hold | failures that chance explains |"
    );
    println!("|---|---|---|---|");
    println!("| the paper, \"effective key entropy\" | {:.4} | | |", chaotic::EFFECTIVE_KEY_ENTROPY);
    suites().for_each(|(suite, kind)| keys(suite, kind, &layers));
}
