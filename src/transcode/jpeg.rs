//! JPEG (ITU-T T.81): baseline, extended with 8 bits, progressive, and lossless with up to 16.

use jpeg_decoder::{CodingProcess, ColorTransform, Decoder, PixelFormat};

use super::error::TranscodeError;
use super::image::Image;

/// The samples of a frame. `is_lossless` is what the transfer syntax says.
pub(super) fn decode(bytes: &[u8], image: &Image, is_lossless: bool) -> Result<Vec<u8>, TranscodeError> {
    let mut decoder = Decoder::new(bytes);
    let wrong = |error: jpeg_decoder::Error| TranscodeError::Codec(error.to_string());
    decoder.set_max_decoding_buffer_size(image.frame_bytes().saturating_mul(8).max(1 << 16));
    decoder.read_info().map_err(wrong)?;
    let info = decoder.info().ok_or(TranscodeError::Codec("it has no frame header".to_owned()))?;
    let samples = match info.pixel_format {
        PixelFormat::L8 | PixelFormat::L16 => 1,
        PixelFormat::RGB24 => 3,
        PixelFormat::CMYK32 => 4,
    };
    image.check(u32::from(info.width), u32::from(info.height), samples)?;
    let was_lossless = info.coding_process == CodingProcess::Lossless;
    if is_lossless && !was_lossless {
        return Err(TranscodeError::Codec(
            "it is not coded losslessly, as its transfer syntax says".to_owned(),
        ));
    }
    // PS3.5 8.2.1: the colours are what Photometric Interpretation says, whatever the markers of the stream are.
    if samples == 3 && !was_lossless {
        decoder.set_color_transform(match image.photometric.as_str() {
            "RGB" => ColorTransform::RGB,
            "YBR_FULL" | "YBR_FULL_422" => ColorTransform::YCbCr,
            other => return Err(TranscodeError::Photometric(other.to_owned())),
        });
    }
    decoder.decode().map_err(wrong)
}
