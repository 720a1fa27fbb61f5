//! What the key images of the generators that come with Sealgate have to show: on a sample in every run, and on as many
//! as are promised with `SEALGATE_SOAK=1`. It finds defects; it proves no security.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use sealgate::keygen::evidence::{chi_square, difference, entropy, histogram};
use sealgate::keygen::{Choice, Ending, Engine, Evidence, Exact, GeneratorStore, KeyImage, Kind, SIDE, Seed};

/// The engine of a shipped generator.
fn shipped(kind: Kind) -> Exact {
    let model = GeneratorStore::new("/nonexistent").get(Choice::Shipped(kind)).unwrap();
    Exact::new(&model, 0).unwrap()
}

/// How many key images are looked at of a generator. Without optimisation each of `full` takes a second.
fn count(kind: Kind, soak: u64) -> u64 {
    match (std::env::var_os("SEALGATE_SOAK").is_some(), kind) {
        (true, _) => soak,
        (false, Kind::Full) => 4,
        (false, Kind::Lite) => 12,
    }
}

fn seeds(count: u64) -> Vec<Seed> {
    let parent = Seed::new([0x42; 32]);
    (0..count).map(|number| parent.child(number)).collect()
}

fn float(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

#[test]
fn every_key_image_is_uniform_and_no_two_are_alike() {
    for kind in Kind::ALL {
        let (engine, count) = (shipped(kind), count(kind, 10_000));
        let (mut seen, mut chi_squares, mut entropy_min) = (HashSet::new(), 0.0, f64::INFINITY);
        for batch in seeds(count).chunks(64) {
            let images = engine.generate(batch).unwrap();
            let evidence = Evidence::of(&images);
            assert_eq!(evidence.check(), Ok(()), "{kind}");
            chi_squares += evidence.chi_square_mean * float(images.len() as u64);
            entropy_min = entropy_min.min(evidence.entropy_min);
            for image in &images {
                let digest = digest(&SHA256, image.expose_secret()).as_ref().to_vec();
                assert!(seen.insert(digest), "{kind}: two key images are equal");
            }
        }
        let mean = chi_squares / float(count);
        println!("{kind}: {count} key images, entropy at least {entropy_min:.5}, mean chi-square {mean:.1}");
        // The mean of a chi-square with 255 degrees of freedom is 255, with a standard deviation of 22.6.
        assert!((mean - 255.0).abs() < 5.0 * 22.6 / float(count).sqrt(), "{kind}: mean chi-square {mean}");
    }
}

/// A generator whose mode has collapsed gives much the same image for all seeds: pairs then have bytes in common, and a
/// place of the image has its own mean over all seeds.
#[test]
fn no_mode_has_collapsed() {
    for kind in Kind::ALL {
        let count = count(kind, 1000);
        let images: Vec<KeyImage> =
            seeds(count).chunks(64).flat_map(|batch| shipped(kind).generate(batch).unwrap()).collect();
        let mut equal_max: f64 = 0.0;
        for (at, one) in images.iter().enumerate().step_by(images.len().div_ceil(30)) {
            for other in &images[..at] {
                let (changed, _) = difference(one.expose_secret(), other.expose_secret());
                equal_max = equal_max.max(1.0 - changed);
            }
        }
        // 1 in 256 by chance, give or take 0.014 %.
        assert!(equal_max < 0.004_9, "{kind}: {equal_max} of the bytes of two key images are equal");
        let n = float(count);
        let off = |at: usize| {
            let sum: u64 = images.iter().map(|image| u64::from(image.expose_secret()[at])).sum();
            float(sum) / n - 127.5
        };
        let squares: f64 = (0..KeyImage::LENGTH).map(|at| off(at).powi(2)).sum();
        // The variance of a uniform byte, (256^2 - 1) / 12, over n; the ratio is 1, give or take 0.3 %.
        let ratio = squares / 196_608.0 / (65_535.0 / 12.0 / n);
        println!(
            "{kind}: {count} key images, equal bytes of two at most {equal_max:.5}, means vary {ratio:.4} times as by chance"
        );
        assert!((ratio - 1.0).abs() < 0.02, "{kind}: the mean of a place varies {ratio} times as by chance");
    }
}

#[test]
fn one_bit_of_the_seed_changes_the_whole_key_image() {
    for kind in Kind::ALL {
        let engine = shipped(kind);
        let bits: Vec<usize> =
            if std::env::var_os("SEALGATE_SOAK").is_some() { (0..256).collect() } else { vec![0, 130, 255] };
        let mut all: Vec<Seed> = vec![Seed::new([0x37; 32])];
        for bit in &bits {
            let mut other = [0x37; 32];
            other[bit / 8] ^= 1 << (bit % 8);
            all.push(Seed::new(other));
        }
        let images = engine.generate(&all).unwrap();
        let (mut npcr_mean, mut uaci_mean) = (0.0, 0.0);
        for (bit, image) in bits.iter().zip(&images[1..]) {
            let (npcr, uaci) = difference(images[0].expose_secret(), image.expose_secret());
            // Two random images: NPCR 255/256 = 99.609 % give or take 0.014, UACI 257/768 = 33.464 % give or take 0.053.
            assert!((npcr - 0.996_094).abs() < 0.000_8, "{kind}, bit {bit}: NPCR {npcr}");
            assert!((uaci - 0.334_635).abs() < 0.003, "{kind}, bit {bit}: UACI {uaci}");
            npcr_mean += npcr / float(bits.len() as u64);
            uaci_mean += uaci / float(bits.len() as u64);
        }
        println!("{kind}: {} bits, mean NPCR {npcr_mean:.5}, mean UACI {uaci_mean:.5}", bits.len());
    }
}

/// The figures of section 8 of `docs/GENERATOR.md` about the plain network, without the expansion of seeds.
#[test]
fn the_plain_network_hardly_reacts_to_one_pixel() {
    for kind in Kind::ALL {
        let engine = shipped(kind);
        let picture: Vec<u8> = (0..SIDE * SIDE * 3)
            .map(|at| u8::try_from(usize::midpoint(at / 3 % SIDE, at / 3 / SIDE)).unwrap())
            .collect();
        let mut changed = picture.clone();
        let pixel = (128 * SIDE + 100) * 3;
        changed[pixel..pixel + 3].copy_from_slice(&[255, 0, 255]);
        for ending in [Ending::Tanh, Ending::Fold] {
            let [one, other] = [&picture, &changed].map(|image| engine.transform(image, ending).unwrap());
            let (npcr, uaci) = difference(one.expose_secret(), other.expose_secret());
            println!("{kind}, one pixel, {ending:?}: NPCR {npcr:.4} UACI {uaci:.4}");
            if ending == Ending::Tanh {
                assert!(uaci < 0.05, "{kind}: the plain network reacts more than it is said to: UACI {uaci}");
            }
        }
        let unfolded = engine.transform(&Seed::new([1; 32]).expand(), Ending::Tanh).unwrap();
        let counts = histogram(unfolded.expose_secret());
        println!(
            "{kind}, tanh on a random seed image: entropy {:.4}, chi-square {:.0}",
            entropy(&counts),
            chi_square(&counts)
        );
        assert!(chi_square(&counts) > 1000.0, "{kind}: a tanh output is not uniform");
    }
}
