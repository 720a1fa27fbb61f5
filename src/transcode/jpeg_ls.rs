//! JPEG-LS (ITU-T T.87): read, lossless and nearly so, and written without losses.

use charls::{CharLS, FrameInfo, InterleaveMode};

use super::encode::fit;
use super::error::TranscodeError;
use super::image::Image;

/// Start of frame of JPEG-LS, and start of scan.
const SOF55: u8 = 0xF7;
const SOS: u8 = 0xDA;

/// The samples of a frame.
pub(super) fn decode(bytes: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    let wrong = |text: &str| TranscodeError::Codec(text.to_owned());
    let frame = marker(bytes, SOF55).ok_or_else(|| wrong("it has no frame header"))?;
    let number =
        |at: usize| frame.get(at..).and_then(<[u8]>::first_chunk).map(|bytes| u16::from_be_bytes(*bytes));
    let (rows, columns) = (number(1).unwrap_or(0), number(3).unwrap_or(0));
    let samples = frame.get(5).copied().unwrap_or(0);
    image.check(u32::from(columns), u32::from(rows), u32::from(samples))?;
    let decoded =
        CharLS::default().decode(bytes).map_err(|error| TranscodeError::Codec(error.to_string()))?;
    let scan = marker(bytes, SOS).ok_or_else(|| wrong("it has no scan"))?;
    // T.87 C.2.3: components, two bytes for each, NEAR, then the interleave mode; 0 is plane after plane.
    let components = usize::from(scan.first().copied().unwrap_or(0));
    let is_planar = samples > 1 && scan.get(components * 2 + 2).copied() == Some(0);
    if !is_planar {
        return Ok(decoded);
    }
    let (pixels, width) = (image.pixels(), decoded.len() / image.pixels() / usize::from(samples));
    let mut out = Vec::with_capacity(decoded.len());
    for pixel in 0..pixels {
        for plane in 0..usize::from(samples) {
            let at = (plane * pixels + pixel) * width;
            out.extend_from_slice(decoded.get(at..at + width).unwrap_or_default());
        }
    }
    Ok(out)
}

/// Whether samples may differ from what they were (T.87 C.2.3: NEAR).
pub(super) fn is_lossy(bytes: &[u8]) -> bool {
    let near = |scan: &[u8]| scan.get(usize::from(scan.first().copied()?) * 2 + 1).copied();
    marker(bytes, SOS).and_then(near).is_some_and(|near| near > 0)
}

/// A frame without losses. Samples have Bits Stored bits; where there is a sign, or something above those bits, all of
/// them, as the codec knows no sign (T.87) and everything is to come back.
pub(super) fn encode(samples: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    let wrong = |error: charls::Error| TranscodeError::Codec(error.to_string());
    let is_narrow = !image.is_signed && fit(samples, image);
    let bits = if is_narrow { image.bits_stored.max(2) } else { image.bits_allocated };
    // Samples of up to 8 bits are bytes to the codec.
    let bytes: Vec<u8>;
    let own = if bits <= 8 && image.bits_allocated == 16 {
        bytes = samples.iter().copied().step_by(2).collect();
        &bytes
    } else {
        samples
    };
    let frame = FrameInfo {
        width: u32::from(image.columns),
        height: u32::from(image.rows),
        bits_per_sample: i32::from(bits),
        component_count: i32::from(image.samples),
    };
    let mut codec = CharLS::default();
    if image.samples > 1 {
        codec.set_interleave_mode(InterleaveMode::Line).map_err(wrong)?;
    }
    codec.encode(frame, 0, own).map_err(wrong)
}

/// The contents of the first marker segment of this kind.
fn marker(bytes: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(&[0xFF, 0xD8])?;
    loop {
        let (head, behind) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (body, next) = behind.split_at_checked(length.checked_sub(2)?)?;
        match head {
            [0xFF, found, ..] if *found == kind => return Some(body),
            [0xFF, ..] => rest = next,
            _ => return None,
        }
    }
}
