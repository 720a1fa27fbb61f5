//! JPEG 2000 (ITU-T T.800): read, lossless and not, and written without losses.

use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::AsRawFd;
use std::thread;

use jpeg2k::{DecodeParameters, Image as Decoded};
use openjp2::openjpeg::opj_cparameters_t;
use openjp2::{
    Codec, OPJ_CLRSPC_GRAY, OPJ_CLRSPC_UNSPECIFIED, OPJ_CODEC_J2K, Stream, opj_image, opj_image_comptparm,
};

use super::encode::{fit, numbers};
use super::error::TranscodeError;
use super::image::Image;

/// Bytes that the encoder writes at once.
const WRITE_BYTES: usize = 64 * 1024;

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

/// Whether the encoder transforms colours reversibly (T.800 G.2), which makes them `YBR_RCT`.
pub(super) fn is_transformed(image: &Image) -> bool {
    image.samples == 3 && image.photometric == "RGB"
}

/// A frame without losses: the 5/3 wavelet, one layer, one tile; Bits Stored bits and the sign of Pixel Representation.
pub(super) fn encode(samples: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    if !fit(samples, image) {
        return Err(TranscodeError::Unfit {
            syntax: "JPEG2000Lossless",
            what: "bits in use above Bits Stored",
            value: image.bits_stored.to_string(),
        });
    }
    let mut picture = picture(samples, image)?;
    let (reader, writer) = std::io::pipe().map_err(failed)?;
    // More than this is no compression of it.
    let bytes_max = samples.len() + samples.len() / 4 + WRITE_BYTES;
    thread::scope(|scope| {
        let reading = scope.spawn(move || gathered(reader, bytes_max));
        let written = write(&mut picture, image, writer);
        let read = reading.join().map_err(|_| TranscodeError::Panicked)?;
        written.and(read.map_err(failed))
    })
}

fn failed(error: impl std::fmt::Display) -> TranscodeError {
    TranscodeError::Codec(error.to_string())
}

/// The encoder's own form of a frame.
fn picture(samples: &[u8], image: &Image) -> Result<Box<opj_image>, TranscodeError> {
    let (columns, rows) = (u32::from(image.columns), u32::from(image.rows));
    let component = opj_image_comptparm {
        dx: 1,
        dy: 1,
        w: columns,
        h: rows,
        x0: 0,
        y0: 0,
        prec: u32::from(image.bits_stored),
        bpp: u32::from(image.bits_stored),
        sgnd: u32::from(image.is_signed),
    };
    let count = usize::from(image.samples);
    // What the colours are stands in Photometric Interpretation; a codestream says nothing of it.
    let colours = if count == 1 { OPJ_CLRSPC_GRAY } else { OPJ_CLRSPC_UNSPECIFIED };
    let mut picture = opj_image::create(&vec![component; count], colours)
        .ok_or_else(|| TranscodeError::Codec("there is no memory for it".to_owned()))?;
    (picture.x1, picture.y1) = (columns, rows);
    for (index, plane) in picture.comps_data_mut_iter().into_iter().flatten().enumerate() {
        let own = numbers(samples, image).skip(index).step_by(count);
        plane.iter_mut().zip(own).for_each(|(place, number)| *place = number);
    }
    Ok(picture)
}

/// Writes the codestream into the pipe.
fn write(picture: &mut opj_image, image: &Image, writer: PipeWriter) -> Result<(), TranscodeError> {
    let smaller = image.columns.min(image.rows);
    let mut parameters = opj_cparameters_t {
        tcp_numlayers: 1,
        cp_disto_alloc: 1,
        tcp_mct: is_transformed(image).into(),
        // Each further resolution halves the image; there has to be something left of it.
        numresolution: i32::try_from(smaller.max(1).ilog2() + 1).unwrap_or(1).min(6),
        ..Default::default()
    };
    let wrong = |step: &str| TranscodeError::Codec(format!("the encoder gave up at {step}"));
    let mut codec = Codec::new_encoder(OPJ_CODEC_J2K).ok_or_else(|| wrong("its beginning"))?;
    // The encoder writes to a path alone, and pixels must not touch a disk: the path is that of a pipe of our own.
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let mut stream = Stream::new_file(path, WRITE_BYTES, false).map_err(failed)?;
    drop(writer);
    if codec.setup_encoder(&mut parameters, picture) == 0 {
        return Err(wrong("its parameters"));
    }
    if codec.start_compress(picture, &mut stream) == 0 {
        return Err(wrong("the header"));
    }
    if codec.encode(&mut stream) == 0 {
        return Err(wrong("the pixels"));
    }
    if codec.end_compress(&mut stream) == 0 {
        return Err(wrong("the end"));
    }
    stream.flush().map_err(failed)
}

/// All that comes out of the pipe, if it is no more than that: a reader that is gone makes the encoder give up.
fn gathered(reader: PipeReader, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    // It must not grow: what it leaves behind would not be erased.
    let mut out = Vec::with_capacity(bytes_max);
    reader.take(bytes_max as u64).read_to_end(&mut out)?;
    Ok(out)
}
