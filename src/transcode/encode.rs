//! The codecs that write without losses: which images each takes, and one frame through it.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::error::TranscodeError;
use super::image::Image;
#[cfg(feature = "jpeg-ls")]
use super::jpeg_ls;
use super::{jpeg_2000, jpeg_xl, rle};
use crate::dicom::TransferSyntax;

/// PS3.5 G.2: a segment for each byte of each sample, and room for 15.
const SEGMENTS_MAX: usize = 15;

/// How a native frame is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    #[cfg(feature = "jpeg-ls")]
    JpegLs,
    Rle,
    Jpeg2000,
    JpegXl,
    /// Deflated Image Frame Compression.
    Deflated,
}

impl Packing {
    /// All there are. What is quick, and what most viewers take, comes first.
    pub(super) const ALL: &[Self] = &[
        #[cfg(feature = "jpeg-ls")]
        Self::JpegLs,
        Self::Rle,
        Self::Jpeg2000,
        Self::JpegXl,
        Self::Deflated,
    ];

    pub(super) fn of(syntax: TransferSyntax) -> Option<Self> {
        Self::ALL.iter().copied().find(|packing| packing.syntax() == syntax.uid)
    }

    /// The UID of its transfer syntax.
    pub(super) const fn syntax(self) -> &'static str {
        match self {
            #[cfg(feature = "jpeg-ls")]
            Self::JpegLs => "1.2.840.10008.1.2.4.80",
            Self::Rle => TransferSyntax::RLE_LOSSLESS,
            Self::Jpeg2000 => "1.2.840.10008.1.2.4.90",
            Self::JpegXl => "1.2.840.10008.1.2.4.110",
            Self::Deflated => "1.2.840.10008.1.2.8.1",
        }
    }

    /// Whether samples stay in the order of Planar Configuration.
    pub(super) fn keeps_planes(self) -> bool {
        self == Self::Deflated
    }

    /// Planar Configuration of several samples, where it is not what it was.
    pub(super) fn planar_configuration(self) -> Option<&'static [u8]> {
        match self {
            // PS3.5 table 8.2.2-1: the segments are planes.
            Self::Rle => Some(&[1, 0]),
            Self::Deflated => None,
            // PS3.5 tables 8.2.3-1, 8.2.4-1 and 8.2.15-1.
            _ => Some(&[0, 0]),
        }
    }

    /// Photometric Interpretation, where it is not what it was; padded.
    pub(super) fn photometric(self, image: &Image) -> Option<&'static [u8]> {
        // PS3.5 8.2.4: the reversible transformation, which its decoder takes back.
        (self == Self::Jpeg2000 && jpeg_2000::is_transformed(image)).then_some(b"YBR_RCT ".as_slice())
    }

    /// Whether this codec writes such images at all, by the tables of PS3.5 8.2 and by what its crate can do.
    pub(super) fn check(self, image: &Image) -> Result<(), TranscodeError> {
        let wrong = |what: &'static str, value: String| {
            let syntax = TransferSyntax::by_uid(self.syntax()).map_or("it", |syntax| syntax.keyword);
            Err(TranscodeError::Unfit { syntax, what, value })
        };
        let bits = (image.bits_allocated, image.bits_stored);
        let photometric = image.photometric.as_str();
        if matches!(self, Self::Deflated | Self::Rle) {
            let bytes = usize::from(image.samples) * image.sample_bytes();
            let is_too_wide = self == Self::Rle && bytes > SEGMENTS_MAX;
            return if is_too_wide { wrong("bytes in a pixel", bytes.to_string()) } else { Ok(()) };
        }
        if !matches!(bits.0, 8 | 16) {
            return wrong("Bits Allocated", bits.0.to_string());
        }
        if bits.1 == 0 || bits.1 > bits.0 || image.high_bit + 1 != bits.1 {
            return wrong("Bits Stored and High Bit", format!("{} and {}", bits.1, image.high_bit));
        }
        let is_known = match (self, image.samples) {
            (Self::JpegXl, 1) => matches!(photometric, "MONOCHROME1" | "MONOCHROME2"),
            (Self::JpegXl, 3) => photometric == "RGB",
            (_, 1) => matches!(photometric, "MONOCHROME1" | "MONOCHROME2" | "PALETTE COLOR"),
            (_, 3) => matches!(photometric, "RGB" | "YBR_FULL"),
            _ => return wrong("Samples per Pixel", image.samples.to_string()),
        };
        if !is_known {
            return wrong("Photometric Interpretation", format!("{photometric:?}"));
        }
        // Its encoder's own limit.
        if self == Self::JpegXl && image.rows.min(image.columns) < 2 {
            return wrong("the smaller of Rows and Columns", "1".to_owned());
        }
        // PS3.5 table 8.2.15-1; its samples have no sign either. Of colours only JPEG-LS and JPEG 2000 would, and none has.
        if image.is_signed && (self == Self::JpegXl || image.samples > 1) {
            return wrong("Pixel Representation", "1".to_owned());
        }
        Ok(())
    }
}

/// A frame of native samples, compressed. They are in the order of the pixels, unless the codec keeps planes.
pub(super) fn encode(packing: Packing, samples: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    match packing {
        #[cfg(feature = "jpeg-ls")]
        Packing::JpegLs => jpeg_ls::encode(samples, image),
        Packing::Rle => Ok(rle::encode(samples, image)),
        Packing::Jpeg2000 => jpeg_2000::encode(samples, image),
        Packing::JpegXl => jpeg_xl::encode(samples, image),
        Packing::Deflated => deflated(samples),
    }
}

/// A raw deflated stream (RFC 1951).
fn deflated(samples: &[u8]) -> Result<Vec<u8>, TranscodeError> {
    let wrong = |error: std::io::Error| TranscodeError::Codec(error.to_string());
    // It must not grow: what it leaves behind would not be erased. Stored blocks take five bytes in 16 KiB at most.
    let room = samples.len() + samples.len() / 2048 + 1024;
    let mut encoder = DeflateEncoder::new(Vec::with_capacity(room), Compression::fast());
    encoder.write_all(samples).map_err(wrong)?;
    encoder.finish().map_err(wrong)
}

/// The samples of a frame as numbers.
pub(super) fn numbers<'a>(samples: &'a [u8], image: &Image) -> impl Iterator<Item = i32> + 'a {
    let (width, is_signed) = (image.sample_bytes(), image.is_signed);
    samples.chunks_exact(width.max(1)).map(move |bytes| match (bytes, is_signed) {
        ([one], false) => i32::from(*one),
        ([one], true) => i32::from(one.cast_signed()),
        ([low, high, ..], false) => i32::from(u16::from_le_bytes([*low, *high])),
        ([low, high, ..], true) => i32::from(i16::from_le_bytes([*low, *high])),
        ([], _) => 0,
    })
}

/// Whether all samples are numbers of Bits Stored bits: nothing above them but, with a sign, the sign.
pub(super) fn fit(samples: &[u8], image: &Image) -> bool {
    let bits = u32::from(image.bits_stored.clamp(1, 16));
    let range = if image.is_signed { -(1 << (bits - 1))..1 << (bits - 1) } else { 0..1 << bits };
    numbers(samples, image).all(|number| range.contains(&number))
}
