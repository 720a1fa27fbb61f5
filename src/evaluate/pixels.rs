//! The first frame of a DICOM file as a raster, and its modality, read through the bounded scanner.

use std::io::{self, Read};

use crate::dicom::tags::MODALITY;
use crate::dicom::{Encoding, TransferSyntax, Uid};
use crate::evaluate::EvaluateError;
use crate::evaluate::image::Raster;
use crate::seal::element::{Length, PIXEL_DATA};
use crate::seal::scan::part10::{self, FrontError};
use crate::seal::scan::{Event, Image, ImageAttributes, Limits, ScanError, Scanner};

/// A frame of more bytes is not measured: the measures would take minutes and say nothing more.
const FRAME_BYTES_MAX: u64 = 32 << 20;

const PIECE_BYTES: u64 = 64 * 1024;

/// Why a file has no pixels to measure.
#[derive(Debug, thiserror::Error)]
pub enum PixelsError {
    /// It cannot be read.
    #[error("it cannot be read: {0}; check the path, and who may read it")]
    Io(#[from] io::Error),
    /// It is not a DICOM file, or a damaged one.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Its transfer syntax is unknown.
    #[error("transfer syntax {0} is not one that this program takes")]
    TransferSyntax(Uid),
    /// There are no pixels.
    #[error("it has no pixels")]
    NoPixels,
    /// The pixels are compressed.
    #[error("its pixels are compressed; decompress it first, the measures are those of native pixels")]
    Compressed,
    /// Pixels of a kind that the measures do not know.
    #[error(
        "{bits} bits allocated, {samples} samples, {photometric}: only whole 8- and 16-bit samples are measured"
    )]
    Kind {
        /// Bits Allocated.
        bits: u16,
        /// Samples per Pixel.
        samples: u16,
        /// Photometric Interpretation.
        photometric: String,
    },
    /// One frame is larger than what is measured.
    #[error("a frame of {bytes} bytes, the limit is {FRAME_BYTES_MAX}")]
    Large {
        /// Its bytes.
        bytes: u64,
    },
    /// The pixels end before the first frame does.
    #[error("the pixels end after {found} bytes, the first frame has {needed}")]
    Short {
        /// Bytes that are there.
        found: usize,
        /// Bytes that it takes.
        needed: usize,
    },
    /// What was read makes no raster.
    #[error(transparent)]
    Raster(#[from] EvaluateError),
}

impl From<FrontError> for PixelsError {
    fn from(error: FrontError) -> Self {
        match error {
            FrontError::Io(error) => Self::Io(error),
            FrontError::Scan(error) => Self::Scan(error),
        }
    }
}

/// A code string has 16 characters at most, PS3.5 section 6.2.
const CODE_BYTES_MAX: usize = 16;

/// What is measured of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstFrame {
    /// The pixels.
    pub image: Raster,
    /// Modality, if it says.
    pub modality: Option<String>,
}

/// Reads a file until its first frame is there.
pub fn first_frame(file: impl Read) -> Result<FirstFrame, PixelsError> {
    let (mut frame, encoding) = read(file, Frame::is_complete)?;
    let modality = frame.modality.take();
    Ok(FirstFrame { image: frame.finish(encoding)?, modality })
}

/// The modality of a file whose pixels can be measured, as far as its header says.
pub fn modality(file: impl Read) -> Result<Option<String>, PixelsError> {
    let (frame, _) = read(file, |frame| frame.wanted.is_some())?;
    if frame.wanted.is_none() {
        return Err(PixelsError::NoPixels);
    }
    Ok(frame.modality)
}

/// Reads a file as far as `enough` says, or to its end.
fn read(mut file: impl Read, enough: fn(&Frame) -> bool) -> Result<(Frame, Encoding), PixelsError> {
    let limits = Limits::default();
    let (front, mut piece) = part10::read(&mut file, &limits, None)?;
    let encoding = TransferSyntax::by_uid(front.transfer_syntax.as_str())
        .ok_or_else(|| PixelsError::TransferSyntax(front.transfer_syntax.clone()))?
        .encoding;
    let mut scanner = Scanner::new(encoding, limits, None);
    let attributes = ImageAttributes::new(encoding);
    let mut frame = Frame { attributes, modality: None, wanted: None, bytes: Vec::new() };
    loop {
        scanner.push(&piece, &mut |event| frame.take(&event))?;
        piece.clear();
        if enough(&frame) || file.by_ref().take(PIECE_BYTES).read_to_end(&mut piece)? == 0 {
            break;
        }
    }
    Ok((frame, encoding))
}

/// What is gathered on the way.
struct Frame {
    attributes: ImageAttributes,
    modality: Option<String>,
    /// The image and the bytes of its first frame, once the pixels have begun.
    wanted: Option<(Image, usize)>,
    bytes: Vec<u8>,
}

impl Frame {
    fn is_complete(&self) -> bool {
        self.wanted.as_ref().is_some_and(|(_, needed)| self.bytes.len() >= *needed)
    }

    fn take(&mut self, event: &Event<'_>) -> Result<(), PixelsError> {
        match event {
            Event::Element(element) => {
                if element.tag == MODALITY && element.value.len() <= CODE_BYTES_MAX {
                    let text = std::str::from_utf8(element.value).unwrap_or_default();
                    self.modality = Some(text.trim_matches([' ', '\0']).to_owned());
                }
                self.attributes.take(element)?;
            }
            Event::Begin(head) if head.tag == PIXEL_DATA => {
                if head.length == Length::Undefined {
                    return Err(PixelsError::Compressed);
                }
                let image = self.attributes.image()?;
                let needed = frame_bytes(&image)?;
                self.bytes.reserve(needed);
                self.wanted = Some((image, needed));
            }
            Event::Bytes(bytes) => {
                if let Some((_, needed)) = self.wanted {
                    let missing = needed - self.bytes.len();
                    self.bytes.extend_from_slice(bytes.get(..missing).unwrap_or(bytes));
                }
            }
            Event::Begin(_) | Event::End(_) => {}
        }
        Ok(())
    }

    fn finish(self, encoding: Encoding) -> Result<Raster, PixelsError> {
        let (image, needed) = self.wanted.ok_or(PixelsError::NoPixels)?;
        let mut bytes = self.bytes;
        if bytes.len() < needed {
            return Err(PixelsError::Short { found: bytes.len(), needed });
        }
        if image.bits_allocated == 16 && encoding == Encoding::ExplicitBig {
            bytes.chunks_exact_mut(2).for_each(|sample| sample.swap(0, 1));
        }
        let (width, height) = (usize::from(image.columns), usize::from(image.rows));
        let channels = usize::from(image.samples);
        if image.planar == Some(1) && channels > 1 {
            bytes = interleaved(&bytes, channels, usize::from(image.bits_allocated / 8));
        }
        let raster = if image.bits_allocated == 8 {
            Raster::from_bytes(width, height, channels, &bytes)
        } else {
            Raster::from_words(width, height, channels, &bytes)
        };
        Ok(raster?)
    }
}

/// The bytes of one frame, if it is of a kind that is measured.
fn frame_bytes(image: &Image) -> Result<usize, PixelsError> {
    let whole = matches!((image.bits_allocated, image.samples), (8 | 16, 1..=4));
    // Two pixels share their chrominance: there is no raster of whole pixels.
    if !whole || image.photometric.ends_with("_422") {
        let (bits, samples) = (image.bits_allocated, image.samples);
        return Err(PixelsError::Kind { bits, samples, photometric: image.photometric.clone() });
    }
    let pixels = u64::from(image.rows) * u64::from(image.columns);
    let bytes = pixels * u64::from(image.samples) * u64::from(image.bits_allocated / 8);
    if bytes > FRAME_BYTES_MAX {
        return Err(PixelsError::Large { bytes });
    }
    Ok(bytes as usize)
}

/// Planes one after the other, put together pixel by pixel (PS3.3 C.7.6.3.1.3).
fn interleaved(planes: &[u8], channels: usize, sample: usize) -> Vec<u8> {
    let plane = planes.len() / channels;
    let mut out = Vec::with_capacity(planes.len());
    for pixel in (0..plane).step_by(sample) {
        for channel in 0..channels {
            out.extend_from_slice(&planes[channel * plane + pixel..][..sample]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_are_put_together_pixel_by_pixel() {
        assert_eq!(interleaved(&[1, 2, 3, 4, 5, 6], 3, 1), [1, 3, 5, 2, 4, 6]);
        assert_eq!(interleaved(&[1, 2, 3, 4, 5, 6, 7, 8], 2, 2), [1, 2, 5, 6, 3, 4, 7, 8]);
    }
}
