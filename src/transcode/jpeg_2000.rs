//! JPEG 2000 (ITU-T T.800), lossless and not.

use jpeg2k::{DecodeParameters, Image as Decoded};

use super::error::TranscodeError;
use super::image::Image;

/// The samples of a frame.
pub(super) fn decode(bytes: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    let (columns, rows, samples) =
        size(bytes).ok_or(TranscodeError::Codec("it has no image size marker".to_owned()))?;
    // Checked before anything is taken for it.
    image.check(columns, rows, samples)?;
    let parameters = DecodeParameters::new().strict(true);
    let decoded = Decoded::from_bytes_with(bytes, parameters)
        .map_err(|error| TranscodeError::Codec(error.to_string()))?;
    let components = decoded.components();
    image.check(decoded.width(), decoded.height(), u32::try_from(components.len()).unwrap_or(u32::MAX))?;
    let (width, step) = (image.sample_bytes(), image.sample_bytes() * components.len());
    let mut out = vec![0; image.frame_bytes()];
    for (index, component) in components.iter().enumerate() {
        let data = component.data();
        if data.len() != image.pixels() || component.precision() > u32::from(image.bits_allocated) {
            let have = format!("{} samples of {} bits in a component", data.len(), component.precision());
            let wanted = format!("{} of {}", image.pixels(), image.bits_allocated);
            return Err(TranscodeError::Frame { have, wanted });
        }
        for (pixel, sample) in out.chunks_exact_mut(step).zip(data) {
            let bytes = sample.to_le_bytes();
            let place = pixel.get_mut(index * width..(index + 1) * width);
            if let Some(place) = place {
                place.copy_from_slice(bytes.get(..width).unwrap_or_default());
            }
        }
    }
    Ok(out)
}

/// Columns, rows and components of the SIZ marker, which is the first (T.800 A.5.1); in a JP2 file of the first stream.
fn size(bytes: &[u8]) -> Option<(u32, u32, u32)> {
    let at = bytes.windows(4).position(|window| window == [0xFF, 0x4F, 0xFF, 0x51])?;
    let marker = bytes.get(at + 4..)?;
    let number = |at: usize| Some(u32::from_be_bytes(*marker.get(at..)?.first_chunk()?));
    // Lsiz, Rsiz, then Xsiz, Ysiz, XOsiz, YOsiz, four of the tiles, Csiz.
    let (right, bottom, left, top) = (number(4)?, number(8)?, number(12)?, number(16)?);
    let components = u16::from_be_bytes(*marker.get(36..)?.first_chunk()?);
    Some((right.checked_sub(left)?, bottom.checked_sub(top)?, u32::from(components)))
}
