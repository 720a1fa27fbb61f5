//! JPEG XL (ISO/IEC 18181), lossless.

use jxl_oxide::{AllocTracker, JxlImage};
use zune_core::bit_depth::BitDepth;
use zune_core::colorspace::ColorSpace;
use zune_core::options::EncoderOptions;
use zune_jpegxl::JxlSimpleEncoder;

use super::error::TranscodeError;
use super::image::Image;

/// Bytes of a decoder's own for each byte of the image; what a stream claims to be comes to an end there.
const DECODER_BYTES: usize = 64;

/// The samples of a frame.
pub(super) fn decode(bytes: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    let wrong = |error: Box<dyn std::error::Error + Send + Sync>| TranscodeError::Codec(error.to_string());
    let limit = image.frame_bytes().saturating_mul(DECODER_BYTES).max(16 << 20);
    let builder = JxlImage::builder().alloc_tracker(AllocTracker::with_limit(limit));
    let decoder = builder.read(bytes).map_err(wrong)?;
    let (format, depth) =
        (decoder.pixel_format(), decoder.image_header().metadata.bit_depth.bits_per_sample());
    image.check(decoder.width(), decoder.height(), u32::try_from(format.channels()).unwrap_or(u32::MAX))?;
    if depth > u32::from(image.bits_allocated) {
        let (have, wanted) = (format!("of {depth} bits"), format!("{}", image.bits_allocated));
        return Err(TranscodeError::Frame { have, wanted });
    }
    let render = decoder.render_frame(0).map_err(wrong)?;
    let mut stream = render.stream();
    let count = image.pixels() * usize::from(image.samples);
    let short =
        |read: usize| TranscodeError::Frame { have: format!("{read} samples"), wanted: format!("{count}") };
    // What is written is scaled to the type: only samples of its very width stay what they are.
    match (depth, image.bits_allocated) {
        (8, 8 | 16) => {
            let mut out = vec![0_u8; count];
            let read = stream.write_to_buffer(&mut out);
            if read == count { Ok(out) } else { Err(short(read)) }
        }
        (16, 16) => {
            let mut out = vec![0_u16; count];
            let read = stream.write_to_buffer(&mut out);
            if read == count {
                Ok(out.into_iter().flat_map(u16::to_le_bytes).collect())
            } else {
                Err(short(read))
            }
        }
        _ => Err(TranscodeError::Codec(format!("samples of {depth} bits are not decompressed here"))),
    }
}

/// A frame without losses, as a stream of 8 or 16 bits, whatever Bits Stored is.
pub(super) fn encode(samples: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    let colours = if image.samples == 1 { ColorSpace::Luma } else { ColorSpace::RGB };
    let depth = if image.bits_allocated == 8 { BitDepth::Eight } else { BitDepth::Sixteen };
    let (columns, rows) = (usize::from(image.columns), usize::from(image.rows));
    let options = EncoderOptions::new(columns, rows, colours, depth).set_num_threads(1);
    // The encoder takes words in the order of the machine.
    let native: Vec<u8>;
    let samples = if depth == BitDepth::Sixteen && cfg!(target_endian = "big") {
        native = samples.chunks_exact(2).flat_map(|word| [word[1], word[0]]).collect();
        &native
    } else {
        samples
    };
    let mut out = Vec::with_capacity(samples.len() + samples.len() / 2 + 4096);
    JxlSimpleEncoder::new(samples, options)
        .encode(&mut out)
        .map_err(|error| TranscodeError::Codec(format!("{error:?}")))?;
    Ok(out)
}
