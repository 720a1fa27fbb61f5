//! Image measures against SciPy, NumPy and scikit-image.

use sealgate::evaluate::image::{
    Direction, Raster, correlation, difference, entropy, histogram, mse, psnr, similarity, ssim,
};
use serde_json::Value;

use super::{answers, data, near, number};

/// The pairs of pictures, one behind the other in a file, in the order of their making.
fn pairs(answers: &Value) -> Vec<(&'static str, Raster, Raster)> {
    let stored = data("pictures.bin");
    let mut rest = &stored[..];
    let mut pairs = Vec::new();
    for name in ["grey8", "cipher8", "rgb8", "grey16"] {
        let known = &answers["images"][name];
        let [width, height, channels, bytes] = ["width", "height", "channels", "bytes"]
            .map(|key| usize::try_from(known[key].as_u64().unwrap()).unwrap());
        let mut next = || {
            let (image, behind) = rest.split_at(width * height * channels * bytes);
            rest = behind;
            if bytes == 2 {
                Raster::from_words(width, height, channels, image).unwrap()
            } else {
                Raster::from_bytes(width, height, channels, image).unwrap()
            }
        };
        pairs.push((name, next(), next()));
    }
    assert!(rest.is_empty(), "all pictures were read");
    pairs
}

#[test]
fn every_measure_is_the_known_one() {
    let answers = answers();
    for (name, a, b) in pairs(&answers) {
        let known = &answers["images"][name];
        let check = |measure: &str, ours: f64| {
            near(&format!("{name}, {measure}"), ours, number(&known[measure]), 1e-9)
        };
        let found = difference(&a, &b).unwrap();
        check("npcr", found.npcr);
        check("uaci", found.uaci);
        check("mse", mse(&a, &b).unwrap());
        check("psnr", psnr(&a, &b).unwrap());
        check("ssim", ssim(&a, &b).unwrap());
        check("chi_square", histogram(&a).chi_square);
        check("chi_square_p", histogram(&a).p_value);
        let mut counts = vec![0; 1 << a.bits()];
        a.samples().iter().for_each(|sample| counts[usize::from(*sample)] += 1);
        check("entropy", entropy(&counts));
        for direction in Direction::ALL {
            let ours = correlation(&a, direction).unwrap().coefficient.unwrap();
            near(name, ours, number(&known["correlation"][direction.name()]), 1e-9);
        }
    }
}

#[test]
fn similarity_gives_the_three_at_once() {
    let answers = answers();
    let (_, a, b) = pairs(&answers).remove(2);
    let all = similarity(&a, &b).unwrap();
    assert!(
        (all.mse - mse(&a, &b).unwrap()).abs() < 1e-12 && (all.ssim - ssim(&a, &b).unwrap()).abs() < 1e-12
    );
}
