//! A small text embedded in an image so that the image can be had back bit for bit: histogram shifting of prediction errors.
//!
//! `docs/FORMAT-handover.md`. A sample is predicted by the one before it. Errors of 0 carry a bit each, as 0 or 1; greater ones
//! move up by one to make room. No sample changes by more than one, and none behind the last bit.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

use super::error::HandoverError;
use super::picture::Picture;

/// At least so much is left of the image, in decibels.
const PSNR_MIN: f64 = 50.0;
const DIGEST_BYTES: usize = 32;
/// Digest of the samples, how many were made ready, length of the map.
const HEADER_BYTES: usize = DIGEST_BYTES + 4 + 4;
/// Most bytes embedded.
const PAYLOAD_BYTES_MAX: usize = 1024 * 1024;
const LENGTH_BITS: usize = 32;

/// What an embedding did to an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Embedded {
    /// Samples that changed.
    pub changed: usize,
    /// The peak signal-to-noise ratio that is left, measured, in decibels.
    pub psnr: f64,
}

/// Embeds a package in an image.
pub fn embed(picture: &mut Picture, package: &[u8]) -> Result<Embedded, HandoverError> {
    let before = picture.clone();
    let whole = picture.samples.len();
    let mut ready = (picture.width * picture.channels * BAND_ROWS).min(whole);
    while !try_embed(picture, &before, ready, package)? {
        if ready == whole {
            let (needed, limit) = (package.len() as u64 * 8, capacity(&before));
            *picture = before;
            let advice = "take an image with more even areas, or a shorter text";
            return Err(HandoverError::TooLarge {
                what: "what is embedded, in bits,",
                needed,
                limit,
                advice,
            });
        }
        ready = ready.saturating_mul(2).min(whole);
    }
    let psnr = before.psnr(picture);
    if psnr <= PSNR_MIN {
        *picture = before;
        return Err(HandoverError::Psnr { psnr });
    }
    let changed = before.samples.iter().zip(&picture.samples).filter(|(a, b)| a != b).count();
    Ok(Embedded { changed, psnr })
}

/// Rows that are made ready first; more are taken when they do not hold the package.
const BAND_ROWS: usize = 16;

/// Takes the package out, and puts the image back as it was.
pub fn extract(picture: &mut Picture) -> Result<Vec<u8>, HandoverError> {
    let payload = take_out(picture)?;
    let wrong = HandoverError::NotEmbedded;
    let (header, rest) = payload.split_first_chunk::<HEADER_BYTES>().ok_or(wrong("it is too short"))?;
    let (digest, numbers) = header.split_at(DIGEST_BYTES);
    let number = |bytes: &[u8]| bytes.iter().fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
    let (ready, map_length) = (number(&numbers[..4]), number(&numbers[4..]));
    let (map, package) = rest.split_at_checked(map_length).ok_or(wrong("its map is cut off"))?;
    let samples = picture.samples.get_mut(..ready).ok_or(wrong("it was another image"))?;
    restore_greatest(samples, picture.greatest, map)?;
    if picture.digest() != digest {
        return Err(wrong("its samples are not those that were there before the embedding"));
    }
    Ok(package.to_vec())
}

/// Samples that could carry a bit.
fn capacity(picture: &Picture) -> u64 {
    let samples = &picture.samples;
    let ahead = samples.iter().skip(picture.channels).zip(samples);
    ahead.filter(|(sample, before)| sample == before).count() as u64
}

/// Whether the first `ready` samples hold the package; if so, they do now.
fn try_embed(
    picture: &mut Picture,
    before: &Picture,
    ready: usize,
    package: &[u8],
) -> Result<bool, HandoverError> {
    picture.samples.clone_from(&before.samples);
    let Some(samples) = picture.samples.get_mut(..ready) else { return Ok(false) };
    let map = spare_greatest(samples, picture.greatest)?;
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let payload = [&before.digest()[..], &number(ready), &number(map.len()), &map, package].concat();
    if payload.len() > PAYLOAD_BYTES_MAX {
        let (needed, limit) = (payload.len() as u64, PAYLOAD_BYTES_MAX as u64);
        return Err(HandoverError::TooLarge {
            what: "what is embedded",
            needed,
            limit,
            advice: "shorten the text",
        });
    }
    let stream = [&number(payload.len())[..], &payload].concat();
    let mut bits = stream.iter().flat_map(|byte| (0..8).rev().map(move |shift| i32::from(byte >> shift & 1)));
    let mut next = bits.next();
    let channels = picture.channels;
    // The predictors are the samples before the change: what stands before is changed already.
    let original = samples.to_vec();
    for (sample, predicted) in samples.iter_mut().skip(channels).zip(&original) {
        let Some(bit) = next else { return Ok(true) };
        match *sample - predicted {
            0 => {
                *sample += bit;
                next = bits.next();
            }
            1.. => *sample += 1,
            _ => {}
        }
    }
    Ok(next.is_none())
}

/// The embedded bytes; the samples up to their last bit are as they were when they were made ready.
fn take_out(picture: &mut Picture) -> Result<Vec<u8>, HandoverError> {
    let channels = picture.channels;
    let (mut bits, mut wanted) = (Vec::new(), LENGTH_BITS);
    for at in channels..picture.samples.len() {
        let (predicted, sample) = (picture.samples[at - channels], picture.samples[at]);
        let bit = match sample - predicted {
            error @ (0 | 1) => Some(error),
            2.. => {
                picture.samples[at] -= 1;
                None
            }
            _ => None,
        };
        let Some(bit) = bit else { continue };
        picture.samples[at] = predicted;
        bits.push(u8::from(bit == 1));
        if bits.len() == LENGTH_BITS {
            let length = bits.iter().fold(0_usize, |sum, bit| sum << 1 | usize::from(*bit));
            if length > PAYLOAD_BYTES_MAX {
                return Err(HandoverError::NotEmbedded("it does not begin like one that does"));
            }
            wanted = LENGTH_BITS + length * 8;
        }
        if bits.len() == wanted {
            let bytes = bits[LENGTH_BITS..].chunks_exact(8);
            return Ok(bytes.map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | bit)).collect());
        }
    }
    Err(HandoverError::NotEmbedded("it ends before what it says is embedded"))
}

/// Lowers samples of the greatest value by one, so that none overflows; gives the map that tells them from those that were so.
fn spare_greatest(samples: &mut [i32], greatest: i32) -> Result<Vec<u8>, HandoverError> {
    let mut map = Vec::new();
    for sample in samples.iter_mut().filter(|sample| **sample >= greatest - 1) {
        map.push(u8::from(*sample == greatest));
        *sample = greatest - 1;
    }
    let packed: Vec<u8> = map.chunks(8).map(|bits| bits.iter().fold(0, |sum, bit| sum << 1 | bit)).collect();
    let mut packer = DeflateEncoder::new(Vec::new(), Compression::best());
    packer.write_all(&packed)?;
    Ok(packer.finish()?)
}

fn restore_greatest(samples: &mut [i32], greatest: i32, map: &[u8]) -> Result<(), HandoverError> {
    let mut packed = Vec::new();
    let limit = samples.len() as u64;
    let unpacked = DeflateDecoder::new(map).take(limit).read_to_end(&mut packed);
    unpacked.map_err(|_| HandoverError::NotEmbedded("its map does not unpack"))?;
    let mut lowered = samples.iter_mut().filter(|sample| **sample == greatest - 1);
    let count = lowered.by_ref().count();
    drop(lowered);
    let lowered = samples.iter_mut().filter(|sample| **sample == greatest - 1);
    for (number, sample) in lowered.enumerate() {
        let bits = (count - number / 8 * 8).min(8);
        let byte = packed.get(number / 8).copied().unwrap_or_default();
        if byte >> (bits - 1 - number % 8) & 1 == 1 {
            *sample = greatest;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn png(width: usize, height: usize, samples: &[u8]) -> Picture {
        let mut bytes = Vec::new();
        let size = |pixels: usize| u32::try_from(pixels).unwrap();
        let mut encoder = png::Encoder::new(&mut bytes, size(width), size(height));
        encoder.set_color(png::ColorType::Grayscale);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(samples).unwrap();
        Picture::read(bytes).unwrap()
    }

    /// Even areas, edges, and samples as white as can be.
    fn image() -> Picture {
        let samples: Vec<u8> = (0..256 * 256_usize)
            .map(|i| match (i % 256, i / 256) {
                (200.., _) => 255,
                (x, y) => u8::try_from((x / 8 * 5 + y / 16 * 3) % 256).unwrap(),
            })
            .collect();
        png(256, 256, &samples)
    }

    #[test]
    fn a_text_comes_out_and_the_image_is_as_it_was() {
        let before = image();
        let package: Vec<u8> = (0..1500).map(|i| u8::try_from(i * 31 % 256).unwrap()).collect();
        let mut picture = before.clone();
        let embedded = embed(&mut picture, &package).unwrap();
        assert!(embedded.psnr > 50.0 && embedded.changed > 0, "{embedded:?}");
        assert_ne!(picture.samples, before.samples);
        assert!(picture.samples.iter().all(|sample| (0..=255).contains(sample)));
        // Through a file.
        let mut read = Picture::read(picture.write().unwrap()).unwrap();
        assert_eq!(extract(&mut read).unwrap(), package);
        assert_eq!(read.samples, before.samples);
    }

    #[test]
    fn an_image_that_was_changed_or_never_carried_anything_is_refused() {
        let mut picture = image();
        assert!(matches!(extract(&mut picture.clone()), Err(HandoverError::NotEmbedded(_))));
        embed(&mut picture, b"text").unwrap();
        let last = picture.samples.len() - 1;
        picture.samples[last] ^= 1;
        assert!(matches!(extract(&mut picture), Err(HandoverError::NotEmbedded(_))));
    }

    #[test]
    fn noise_has_no_room_and_says_so() {
        let samples: Vec<u8> =
            (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11).to_le_bytes()[0]).collect();
        let mut picture = png(64, 64, &samples);
        let before = picture.samples.clone();
        assert!(matches!(embed(&mut picture, &[1; 400]), Err(HandoverError::TooLarge { .. })));
        assert_eq!(picture.samples, before, "it was left alone");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_image_that_takes_it_gives_it_back(
            levels in 2_u8..6, top in 0_u8..=255, seed in any::<u32>(), length in 0_usize..40,
        ) {
            let mut state = seed;
            let samples: Vec<u8> = (0..96 * 96).map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                top.wrapping_sub(state.to_be_bytes()[0] % levels)
            }).collect();
            let before = png(96, 96, &samples);
            let mut picture = before.clone();
            let package = vec![0xA7; length];
            match embed(&mut picture, &package) {
                Ok(embedded) => {
                    prop_assert!(embedded.psnr > 50.0);
                    prop_assert_eq!(extract(&mut picture).unwrap(), package);
                    prop_assert_eq!(picture.samples, before.samples);
                }
                Err(HandoverError::TooLarge { .. } | HandoverError::Psnr { .. }) => {}
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
