//! One frame through its codec, and what that makes of the image's attributes.

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::error::TranscodeError;
use super::image::Image;
#[cfg(feature = "jpeg-ls")]
use super::jpeg_ls;
use super::{jpeg, jpeg_2000, jpeg_xl, rle};
use crate::dicom::TransferSyntax;

/// How pixels are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Jpeg,
    JpegLossless,
    #[cfg(feature = "jpeg-ls")]
    JpegLs,
    Jpeg2000,
    JpegXl,
    Rle,
    Deflated,
    /// Fragments of native pixels.
    None,
}

impl Codec {
    pub(super) fn of(syntax: TransferSyntax) -> Option<Self> {
        Some(match syntax.keyword {
            "JPEGBaseline8Bit" | "JPEGExtended12Bit" => Self::Jpeg,
            "JPEGLossless" | "JPEGLosslessSV1" => Self::JpegLossless,
            #[cfg(feature = "jpeg-ls")]
            "JPEGLSLossless" | "JPEGLSNearLossless" => Self::JpegLs,
            "JPEG2000Lossless" | "JPEG2000" => Self::Jpeg2000,
            "JPEGXLLossless" => Self::JpegXl,
            "RLELossless" => Self::Rle,
            "DeflatedImageFrameCompression" => Self::Deflated,
            "EncapsulatedUncompressedExplicitVRLittleEndian" => Self::None,
            _ => return None,
        })
    }

    /// Whether a frame begins with this fragment, where no table says so.
    pub(super) fn begins(self, fragment: &[u8]) -> bool {
        match self {
            Self::Jpeg | Self::JpegLossless => fragment.starts_with(&[0xFF, 0xD8]),
            #[cfg(feature = "jpeg-ls")]
            Self::JpegLs => fragment.starts_with(&[0xFF, 0xD8]),
            Self::Jpeg2000 => fragment.starts_with(&[0xFF, 0x4F]),
            // PS3.5 A.4.12: the codestream, in a container or not.
            Self::JpegXl => fragment.starts_with(&[0xFF, 0x0A]) || fragment.starts_with(&[0, 0, 0, 12]),
            Self::Rle | Self::Deflated | Self::None => true,
        }
    }
}

/// The samples of a frame, little endian, pixel by pixel; what changes in the image is changed in `image`.
pub(super) fn decode(
    codec: Codec,
    bytes: &[u8],
    before: &Image,
    image: &mut Image,
) -> Result<Vec<u8>, TranscodeError> {
    let photometric = |image: &mut Image, text: &str| text.clone_into(&mut image.photometric);
    let samples = match codec {
        Codec::Jpeg => {
            if before.samples == 3 {
                photometric(image, "RGB");
            }
            image.is_lossy = true;
            jpeg::decode(bytes, before, false)?
        }
        Codec::JpegLossless => jpeg::decode(bytes, before, true)?,
        #[cfg(feature = "jpeg-ls")]
        Codec::JpegLs => {
            image.is_lossy |= jpeg_ls::is_lossy(bytes);
            jpeg_ls::decode(bytes, before)?
        }
        Codec::Jpeg2000 => {
            // PS3.5 8.2.4: the codec takes these transformations back.
            if matches!(before.photometric.as_str(), "YBR_RCT" | "YBR_ICT") {
                photometric(image, "RGB");
            }
            jpeg_2000::decode(bytes, before)?
        }
        Codec::JpegXl => jpeg_xl::decode(bytes, before)?,
        Codec::Rle => rle::decode(bytes, before)?,
        Codec::Deflated => {
            image.keeps_planes = true;
            inflated(bytes, before)?
        }
        Codec::None => {
            image.keeps_planes = true;
            bytes.get(..before.frame_bytes()).unwrap_or(bytes).to_vec()
        }
    };
    let (have, wanted) = (samples.len(), before.frame_bytes());
    if have == wanted {
        return Ok(samples);
    }
    // A codec gives bytes for up to 8 bits, the header may have 16 for each.
    if before.sample_bytes() == 2 && have * 2 == wanted {
        return Ok(samples.into_iter().flat_map(|byte| [byte, 0]).collect());
    }
    Err(TranscodeError::Frame { have: format!("{have} bytes"), wanted: format!("{wanted} bytes") })
}

/// PS3.5 A.4.11: a raw deflated stream for each frame.
fn inflated(bytes: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    let mut samples = Vec::with_capacity(image.frame_bytes());
    let limit = image.frame_bytes() as u64 + 2;
    let read = DeflateDecoder::new(bytes).take(limit).read_to_end(&mut samples);
    read.map_err(|error| TranscodeError::Codec(error.to_string()))?;
    // A frame of odd length may have been padded before it was deflated.
    if samples.len() == image.frame_bytes() + 1 {
        samples.pop();
    }
    Ok(samples)
}
