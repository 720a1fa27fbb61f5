//! RLE Lossless (PS3.5 annex G): a segment for each byte of each sample, the most significant first.

use super::error::TranscodeError;
use super::image::Image;
use crate::seal::ClearBytes;

/// Segments that the header has room for.
const SEGMENTS_MAX: usize = 15;
/// Bytes of the header: the number of segments, and where up to 15 begin.
const HEADER_BYTES: usize = 64;
/// Bytes of one run or literal at most.
const RUN_MAX: usize = 128;

/// The samples of a frame.
pub(super) fn decode(bytes: &[u8], image: &Image) -> Result<Vec<u8>, TranscodeError> {
    let (samples, width) = (usize::from(image.samples), image.sample_bytes());
    let wanted = samples * width;
    let numbers: Vec<usize> = bytes
        .chunks_exact(4)
        .take(SEGMENTS_MAX + 1)
        .filter_map(|bytes| bytes.first_chunk().copied())
        .map(|bytes| usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX))
        .collect();
    let segments = numbers.first().copied().unwrap_or(0);
    if segments != wanted || numbers.len() <= segments {
        let (have, wanted) = (format!("of {segments} segments"), format!("{wanted}"));
        return Err(TranscodeError::Frame { have, wanted });
    }
    let mut out = vec![0; image.frame_bytes()];
    for index in 0..segments {
        let begin = numbers.get(index + 1).copied().unwrap_or(usize::MAX);
        let end = if index + 1 < segments { numbers.get(index + 2).copied() } else { Some(bytes.len()) };
        let segment = end.and_then(|end| bytes.get(begin..end));
        let segment =
            segment.ok_or(TranscodeError::Codec(format!("segment {index} is outside the frame")))?;
        // The bytes of a sample go out with the least significant first.
        let place = (index / width) * width + (width - 1 - index % width);
        unpack(segment, out.iter_mut().skip(place).step_by(wanted))
            .ok_or(TranscodeError::Codec(format!("segment {index} is shorter than a plane")))?;
    }
    Ok(out)
}

/// A frame of native samples, pixel by pixel. Its length is even.
pub(super) fn encode(frame: &[u8], image: &Image) -> Vec<u8> {
    let (samples, width) = (usize::from(image.samples), image.sample_bytes());
    let columns = usize::from(image.columns).max(1);
    let mut header = vec![u32::try_from(samples * width).unwrap_or(u32::MAX)];
    let mut segments: Vec<u8> = Vec::with_capacity(frame.len());
    let mut plane = ClearBytes::with_capacity(image.pixels());
    for index in 0..samples * width {
        header.push(u32::try_from(HEADER_BYTES + segments.len()).unwrap_or(u32::MAX));
        let (sample, byte) = (index / width, width - 1 - index % width);
        plane.clear();
        plane.extend(frame.iter().skip(sample * width + byte).step_by(samples * width).take(image.pixels()));
        plane.chunks(columns).for_each(|row| pack(row, &mut segments));
        if segments.len() % 2 == 1 {
            segments.push(0);
        }
    }
    header.resize(HEADER_BYTES / 4, 0);
    let mut out: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
    out.append(&mut segments);
    out
}

/// One row as runs and literals; none goes over the end of a row (PS3.5 G.3.1).
fn pack(mut row: &[u8], out: &mut Vec<u8>) {
    while let Some(&first) = row.first() {
        let alike = row.iter().take(RUN_MAX).take_while(|byte| **byte == first).count();
        let taken = if alike > 1 {
            out.extend([(257 - alike).to_le_bytes()[0], first]);
            alike
        } else {
            let is_pair = |pair: &[u8]| pair.first() == pair.get(1);
            let length = row.windows(2).position(is_pair).unwrap_or(row.len()).clamp(1, RUN_MAX);
            out.push((length - 1).to_le_bytes()[0]);
            out.extend(row.iter().take(length));
            length
        };
        row = row.get(taken..).unwrap_or_default();
    }
}

/// `PackBits` (PS3.5 G.3.2) into these places; nothing where they are not all filled.
fn unpack<'a>(segment: &[u8], mut places: impl ExactSizeIterator<Item = &'a mut u8>) -> Option<()> {
    let mut rest = segment;
    while places.len() > 0 {
        let (head, behind) = rest.split_first()?;
        match *head {
            // No operation.
            128 => rest = behind,
            literal @ 0..128 => {
                let (bytes, next) = behind.split_at_checked(usize::from(literal) + 1)?;
                bytes.iter().zip(places.by_ref()).for_each(|(byte, place)| *place = *byte);
                rest = next;
            }
            repeat => {
                let (byte, next) = behind.split_first()?;
                let count = 257 - usize::from(repeat);
                places.by_ref().take(count).for_each(|place| *place = *byte);
                rest = next;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(samples: u16, bits_allocated: u16) -> Image {
        let photometric = "RGB".to_owned();
        Image {
            rows: 1,
            columns: 4,
            samples,
            bits_allocated,
            bits_stored: bits_allocated,
            high_bit: bits_allocated - 1,
            is_signed: false,
            frames: 1,
            photometric,
            keeps_planes: false,
            is_lossy: false,
        }
    }

    fn frame(segments: &[&[u8]]) -> Vec<u8> {
        let mut numbers = vec![u32::try_from(segments.len()).unwrap()];
        let mut at = 64;
        for segment in segments {
            numbers.push(at);
            at += u32::try_from(segment.len()).unwrap();
        }
        numbers.resize(16, 0);
        let header = numbers.into_iter().flat_map(u32::to_le_bytes);
        header.chain(segments.concat()).collect()
    }

    #[test]
    fn bytes_of_samples_come_together_again() {
        let words = frame(&[&[253, 1], &[3, 10, 20, 30, 40]]);
        assert_eq!(decode(&words, &image(1, 16)).unwrap(), [10, 1, 20, 1, 30, 1, 40, 1]);
        let colours = frame(&[&[253, 1], &[128, 253, 2], &[1, 3, 4, 255, 5, 0]]);
        assert_eq!(decode(&colours, &image(3, 8)).unwrap(), [1, 2, 3, 1, 2, 4, 1, 2, 5, 1, 2, 5]);
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut long = image(3, 16);
        (long.rows, long.columns) = (3, 700);
        let bytes = |at: usize| [at % 5, at / 300].map(|part| part.to_le_bytes()[0]);
        let by_pixel: Vec<u8> = (0..long.frame_bytes() / 2).flat_map(bytes).collect();
        assert_eq!(decode(&encode(&by_pixel, &long), &long).unwrap(), by_pixel);
    }

    #[test]
    fn what_is_short_is_no_image() {
        for segments in [
            &[&[253_u8, 1][..]][..],
            &[&[253, 1], &[2, 1, 2, 3]],
            &[&[253, 1], &[3, 1, 2, 3]],
            &[&[253, 1], &[]],
        ] {
            assert!(decode(&frame(segments), &image(1, 16)).is_err(), "{segments:?}");
        }
        assert!(decode(&[1, 0, 0], &image(1, 8)).is_err());
    }
}
