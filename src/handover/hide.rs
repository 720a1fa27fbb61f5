//! A package hidden in the lowest bits of a picture, and a robust mark by which a recompressed picture is known for what it was.

use super::error::HandoverError;
use super::package::{digest, is_package};
use super::picture::Picture;

const DIGEST_BYTES: usize = 16;
/// Length of the package, and a digest of it.
const HEADER_BYTES: usize = 4 + DIGEST_BYTES;
/// Bits of the robust mark, each in the mean of a block of its own.
const MARK_BITS: usize = 64;
/// Side of a block: that of JPEG, on its grid.
const BLOCK: usize = 8;
/// Means are moved to multiples of half of this: a lossy compression moves them by less than a quarter.
const STEP: i32 = 8;
/// Bits of the mark that do not agree by chance: 32 would, 52 once in 10^6 pictures.
const MARK_MATCHES_MIN: u32 = 53;

/// What was found in a picture.
pub struct Hidden {
    /// The package.
    pub package: Vec<u8>,
}

/// Hides a package in a picture of 8 bits.
pub fn hide(picture: &mut Picture, package: &[u8]) -> Result<(), HandoverError> {
    check(picture)?;
    mark(picture);
    let all = digest(package);
    let length = u32::try_from(package.len()).unwrap_or(u32::MAX).to_be_bytes();
    let (part, _) = all.split_at(DIGEST_BYTES);
    let bytes = [&length, part, package].concat();
    let (needed, limit) = (bytes.len() as u64, picture.samples.len() as u64 / 8);
    if needed > limit {
        let advice = "take a larger picture";
        return Err(HandoverError::TooLarge { what: "what is hidden in the picture", needed, limit, advice });
    }
    let header = HEADER_BYTES * 8;
    let stride = stride(picture.samples.len(), package.len());
    for (number, bit) in bits(&bytes).enumerate() {
        let at = if number < header { number } else { header + (number - header) * stride };
        if let Some(sample) = picture.samples.get_mut(at) {
            *sample = (*sample & !1) | i32::from(bit);
        }
    }
    Ok(())
}

/// Finds the package in a picture, or says what became of it.
pub fn find(picture: &Picture) -> Result<Hidden, HandoverError> {
    check(picture)?;
    if let Some(package) = lowest_bits(picture).filter(|package| is_package(package)) {
        return Ok(Hidden { package });
    }
    let matching = marks(picture);
    if matching >= MARK_MATCHES_MIN {
        return Err(HandoverError::Recompressed { matching });
    }
    Err(HandoverError::NothingHidden)
}

fn check(picture: &Picture) -> Result<(), HandoverError> {
    if picture.bits != 8 || picture.least != 0 {
        let problem = "a cover has to have 8 bits to a sample, unsigned: a PNG, or a Secondary Capture as screens give it";
        return Err(HandoverError::Picture(problem.into()));
    }
    if (picture.width / BLOCK) * (picture.height / BLOCK) < MARK_BITS {
        return Err(HandoverError::Picture("a cover has to have at least 64 x 64 pixels".into()));
    }
    Ok(())
}

/// How far apart the bits of the package stand, so that they are spread over the whole picture.
fn stride(samples: usize, package: usize) -> usize {
    (samples.saturating_sub(HEADER_BYTES * 8) / (package * 8).max(1)).max(1)
}

fn bits(bytes: &[u8]) -> impl Iterator<Item = bool> {
    bytes.iter().flat_map(|byte| (0..8).rev().map(move |shift| byte >> shift & 1 == 1))
}

fn gathered(bits: impl Iterator<Item = i32>) -> Vec<u8> {
    let bits: Vec<u8> = bits.map(|sample| u8::from(sample & 1 == 1)).collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect()
}

fn lowest_bits(picture: &Picture) -> Option<Vec<u8>> {
    let samples = &picture.samples;
    let header = gathered(samples.iter().take(HEADER_BYTES * 8).copied());
    let (length, expected) = header.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    if length == 0 || length.checked_add(HEADER_BYTES)? > samples.len() / 8 {
        return None;
    }
    let places = samples.iter().skip(HEADER_BYTES * 8).step_by(stride(samples.len(), length));
    let package = gathered(places.take(length * 8).copied());
    let good = digest(&package).get(..DIGEST_BYTES) == Some(expected);
    (good && package.len() == length).then_some(package)
}

fn mark_bits() -> [bool; MARK_BITS] {
    let digest = digest(b"sealgate handover mark v1");
    let mut all = bits(&digest);
    std::array::from_fn(|_| all.next().unwrap_or_default())
}

/// The left upper pixel of the block of a bit of the mark.
fn block(picture: &Picture, number: usize) -> (usize, usize) {
    let columns = picture.width / BLOCK;
    let at = number * columns * (picture.height / BLOCK) / MARK_BITS;
    (at % columns * BLOCK, at / columns * BLOCK)
}

/// Where the samples of a block stand that make its brightness; an alpha channel does not.
fn places(picture: &Picture, (left, top): (usize, usize)) -> Vec<usize> {
    let colours = if picture.channels >= 3 { 3 } else { 1 };
    let (width, channels) = (picture.width, picture.channels);
    let pixels = (0..BLOCK * BLOCK).map(|i| (top + i / BLOCK) * width + left + i % BLOCK);
    pixels.flat_map(|pixel| (0..colours).map(move |colour| pixel * channels + colour)).collect()
}

fn mean(picture: &Picture, places: &[usize]) -> f64 {
    let sum: i32 = places.iter().filter_map(|at| picture.samples.get(*at)).sum();
    f64::from(sum) / f64::from(u32::try_from(places.len()).unwrap_or(1))
}

/// Moves the mean of each block to the nearest multiple of half a step that says its bit.
fn mark(picture: &mut Picture) {
    for (number, bit) in mark_bits().into_iter().enumerate() {
        let places = places(picture, block(picture, number));
        // More than once: samples that are black or white already move no further.
        for _ in 0..3 {
            let here = mean(picture, &places);
            let offset = if bit { f64::from(STEP) / 2.0 } else { 0.0 };
            let nearest = ((here - offset) / f64::from(STEP)).round().mul_add(f64::from(STEP), offset);
            let wanted = match nearest {
                above if above > 255.0 => above - f64::from(STEP),
                below if below < 0.0 => below + f64::from(STEP),
                within => within,
            };
            #[expect(clippy::cast_possible_truncation, reason = "a few grey values")]
            let by = (wanted - here).round() as i32;
            for at in &places {
                if let Some(sample) = picture.samples.get_mut(*at) {
                    *sample = (*sample + by).clamp(0, 255);
                }
            }
        }
    }
}

/// How many bits of the mark are there.
fn marks(picture: &Picture) -> u32 {
    let agrees = |(number, bit): (usize, bool)| {
        let here = mean(picture, &places(picture, block(picture, number)));
        let away = (here / f64::from(STEP)).fract();
        (0.25..0.75).contains(&away) == bit
    };
    u32::try_from(mark_bits().into_iter().enumerate().filter(|bit| agrees(*bit)).count()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Structure, noise, and areas as dark and as bright as can be.
    fn cover() -> Picture {
        let pixels: Vec<u8> = (0..256 * 256_u32)
            .map(|i| match (i % 256, i / 256) {
                (..20, _) => 0,
                (240.., _) => 255,
                (x, y) => (40 + x / 2 + y / 4 + (i.wrapping_mul(2_654_435_761) >> 29)).to_le_bytes()[0],
            })
            .collect();
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 256, 256);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        Picture::read(bytes).unwrap()
    }

    fn package() -> Vec<u8> {
        [b"SGHO".to_vec(), (0..1500).map(|i| u8::try_from(i % 251).unwrap()).collect()].concat()
    }

    /// What JPEG does to a block: a cosine transform, and every coefficient rounded to a multiple of `step`.
    fn compressed(picture: &Picture, step: f64) -> Picture {
        let mut out = picture.clone();
        let angle = |n: usize, k: usize| {
            let (n, k) = (f64::from(u32::try_from(n).unwrap()), f64::from(u32::try_from(k).unwrap()));
            let scale = if k == 0.0 { 0.125_f64.sqrt() } else { 0.5 };
            scale * ((2.0 * n + 1.0) * k * std::f64::consts::PI / 16.0).cos()
        };
        for top in (0..256).step_by(8) {
            for left in (0..256).step_by(8) {
                let sample =
                    |y: usize, x: usize| f64::from(picture.samples[(top + y) * 256 + left + x]) - 128.0;
                let all = || (0..64).map(|i| (i / 8, i % 8));
                let coefficients: Vec<f64> = all()
                    .map(|(v, u)| all().map(|(y, x)| sample(y, x) * angle(y, v) * angle(x, u)).sum::<f64>())
                    .map(|coefficient| (coefficient / step).round() * step)
                    .collect();
                for (y, x) in all() {
                    let value: f64 =
                        all().zip(&coefficients).map(|((v, u), c)| c * angle(y, v) * angle(x, u)).sum();
                    #[expect(clippy::cast_possible_truncation, reason = "a grey value")]
                    let value = (value + 128.0).round().clamp(0.0, 255.0) as i32;
                    out.samples[(top + y) * 256 + left + x] = value;
                }
            }
        }
        out
    }

    #[test]
    fn what_is_hidden_is_found_again_through_a_file() {
        let mut picture = cover();
        hide(&mut picture, &package()).unwrap();
        let read = Picture::read(picture.write().unwrap()).unwrap();
        assert_eq!(find(&read).unwrap().package, package());
        assert!(matches!(find(&cover()), Err(HandoverError::NothingHidden)));
    }

    #[test]
    fn a_recompressed_cover_is_known_for_what_it_was() {
        let mut picture = cover();
        hide(&mut picture, &package()).unwrap();
        for step in [2.0, 6.0, 12.0] {
            let error = find(&compressed(&picture, step)).err().unwrap();
            assert!(matches!(error, HandoverError::Recompressed { .. }), "step {step}: {error}");
            // It is the mark that tells, not the compression.
            let error = find(&compressed(&cover(), step)).err().unwrap();
            assert!(matches!(error, HandoverError::NothingHidden), "step {step}: {error}");
        }
    }

    #[test]
    fn one_edited_sample_is_no_package_and_a_small_cover_is_refused() {
        let mut picture = cover();
        hide(&mut picture, &package()).unwrap();
        picture.samples[700] ^= 1;
        assert!(matches!(find(&picture), Err(HandoverError::Recompressed { matching: 60.. })));
        let said = hide(&mut cover(), &[0; 9000]).unwrap_err().to_string();
        assert!(said.contains("take a larger picture"), "{said}");
    }
}
