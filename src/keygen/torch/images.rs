//! The source domain: medical images out of DICOM and PNG files, as three planes of 256 by 256 bytes.

use std::fs;
use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};
use dicom_pixeldata::{DecodedPixelData, PixelDecoder};

use super::TrainError;
use super::draw::Draws;
use crate::keygen::chaos::{IMAGE_BYTES, PLANES, SIDE};

/// Images that a training holds in memory, 200 MB; the paper's had 138.
const IMAGES_MAX: usize = 1024;
/// The largest file that is looked into.
const FILE_BYTES_MAX: u64 = 512 << 20;
/// The largest image that is decoded, in samples of one frame.
const SAMPLES_MAX: usize = 64 << 20;
/// Folders within folders.
const DEPTH_MAX: usize = 16;

/// The images of a folder.
#[derive(Debug)]
pub struct Images {
    planes: Vec<Vec<u8>>,
    /// Files that are no image, or one that cannot be decoded.
    pub skipped: usize,
    /// SHA-256 over the images, one after the other, in hexadecimal digits.
    pub digest: String,
}

impl Images {
    /// Reads up to 1,024 images of a folder and its folders, in an order that follows from `seed`.
    pub fn read(folder: &Path, seed: &str) -> Result<Self, TrainError> {
        let mut files = Vec::new();
        list(folder, 0, &mut files)?;
        // The order of the names, then the order of the seed: which images are taken does not depend on the file system.
        files.sort();
        let mut draws = Draws::new(seed, "files", 0);
        let mut shuffled = files.clone();
        (1..shuffled.len()).rev().for_each(|last| shuffled.swap(last, draws.below(last + 1)));
        let (mut planes, mut skipped) = (Vec::new(), 0);
        for path in shuffled {
            if planes.len() == IMAGES_MAX {
                break;
            }
            // The decoders are many and old: one that panics over a damaged file must not end the training.
            match catch_unwind(AssertUnwindSafe(|| convert(&path))) {
                Ok(Some(image)) => planes.push(image),
                _ => skipped += 1,
            }
        }
        if planes.is_empty() {
            return Err(TrainError::NoImages { path: folder.to_owned(), files: files.len() });
        }
        Ok(Self { digest: digest(&planes), planes, skipped })
    }

    /// How many there are; never 0.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.planes.len()
    }

    /// Without the last tenth, and that tenth; none where there is only one image.
    pub(super) fn apart(mut self) -> Option<(Self, Self)> {
        let kept = self.planes.len().div_ceil(10);
        let rest = self.planes.split_off(self.planes.len().checked_sub(kept)?);
        let images = |planes: Vec<Vec<u8>>, skipped| Self { digest: digest(&planes), planes, skipped };
        (!self.planes.is_empty()).then(|| (images(self.planes, self.skipped), images(rest, 0)))
    }

    /// One of them.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        &self.planes[index]
    }
}

fn digest(planes: &[Vec<u8>]) -> String {
    let mut context = Context::new(&SHA256);
    for image in planes {
        context.update(image);
    }
    context.finish().as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn list(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), TrainError> {
    for entry in fs::read_dir(folder).map_err(TrainError::file(folder))? {
        let path = entry.map_err(TrainError::file(folder))?.path();
        // Links are not followed: they could lead in circles.
        let kind = fs::symlink_metadata(&path).map_err(TrainError::file(&path))?;
        if kind.is_file() && kind.len() <= FILE_BYTES_MAX {
            files.push(path);
        } else if kind.is_dir() && depth < DEPTH_MAX {
            list(&path, depth + 1, files)?;
        }
    }
    Ok(())
}

/// The image in a file, if there is one that we can decode.
fn convert(path: &Path) -> Option<Vec<u8>> {
    let mut start = [0; 132];
    let length = fs::File::open(path).ok()?.take(132).read(&mut start).ok()?;
    if start.starts_with(b"\x89PNG\r\n\x1a\n") {
        return from_png(path);
    }
    (length == 132 && start.ends_with(b"DICM")).then(|| from_dicom(path)).flatten()
}

/// Samples of one frame: rows, in them pixels, in them one or three channels.
struct Frame {
    samples: Vec<f64>,
    columns: usize,
    rows: usize,
    channels: usize,
}

fn from_png(path: &Path) -> Option<Vec<u8>> {
    let limits = png::Limits { bytes: SAMPLES_MAX };
    let mut decoder = png::Decoder::new_with_limits(BufReader::new(fs::File::open(path).ok()?), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().ok()?;
    let mut bytes = vec![0; reader.output_buffer_size().filter(|size| *size <= SAMPLES_MAX)?];
    let info = reader.next_frame(&mut bytes).ok()?;
    let per_pixel = info.color_type.samples();
    // Without the alpha channel, where there is one.
    let channels = if per_pixel >= 3 { 3 } else { 1 };
    let pixels = bytes.get(..info.buffer_size())?.chunks_exact(per_pixel);
    let samples = pixels.flat_map(|pixel| pixel[..channels].iter().map(|byte| f64::from(*byte))).collect();
    let side = |n: u32| usize::try_from(n).ok();
    Frame { samples, columns: side(info.width)?, rows: side(info.height)?, channels }.fit()
}

fn from_dicom(path: &Path) -> Option<Vec<u8>> {
    let object = dicom_object::open_file(path).ok()?;
    let number = |tag| object.element(tag).ok()?.to_int::<u32>().ok();
    let frames = number(dicom_dictionary_std::tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1);
    // The middle of a series of slices shows more than its ends.
    let decoded = object.decode_pixel_data_frame((frames - 1) / 2).ok()?;
    frame_of(&decoded)?.fit()
}

fn frame_of(decoded: &DecodedPixelData<'_>) -> Option<Frame> {
    let side = |n: u32| usize::try_from(n).ok();
    let (columns, rows) = (side(decoded.columns())?, side(decoded.rows())?);
    let channels = usize::from(decoded.samples_per_pixel());
    let total = columns.checked_mul(rows)?.checked_mul(channels)?;
    if !matches!(channels, 1 | 3) || total > SAMPLES_MAX {
        return None;
    }
    let samples: Vec<f64> = decoded.to_vec_frame(0).ok()?;
    (samples.len() == total).then_some(Frame { samples, columns, rows, channels })
}

impl Frame {
    /// Stretches the frame to 256 by 256 and its values to 0 to 255; none when they are all the same.
    fn fit(&self) -> Option<Vec<u8>> {
        if self.samples.iter().any(|sample| !sample.is_finite()) || self.columns == 0 || self.rows == 0 {
            return None;
        }
        let low = self.samples.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low >= high {
            return None;
        }
        let mut image = Vec::with_capacity(IMAGE_BYTES);
        for i in 0..IMAGE_BYTES {
            let (plane, row, column) = (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
            let value = self.at(row, column, plane.min(self.channels - 1));
            image.push(to_byte((value - low) / (high - low)));
        }
        debug_assert_eq!(image.len(), PLANES * SIDE * SIDE);
        Some(image)
    }

    /// The value between the four samples around a place of the 256 by 256 image.
    fn at(&self, row: usize, column: usize, channel: usize) -> f64 {
        let (top, bottom, down) = between(row, self.rows);
        let (left, right, along) = between(column, self.columns);
        let sample = |y: usize, x: usize| self.samples[(y * self.columns + x) * self.channels + channel];
        let upper = sample(top, left) * (1.0 - along) + sample(top, right) * along;
        let lower = sample(bottom, left) * (1.0 - along) + sample(bottom, right) * along;
        upper * (1.0 - down) + lower * down
    }
}

/// Where place `at` of 256 lies among `count` samples: the two around it, and how far it is from the first.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "below 2^32"
)]
fn between(at: usize, count: usize) -> (usize, usize, f64) {
    let place = ((at as f64 + 0.5) * count as f64 / SIDE as f64 - 0.5).clamp(0.0, (count - 1) as f64);
    let first = place as usize;
    (first, (first + 1).min(count - 1), place.fract())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte first")]
fn to_byte(unit: f64) -> u8 {
    (unit * 255.0 + 0.5).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_png(path: &Path, width: u32, height: u32, colour: png::ColorType, bytes: &[u8]) {
        let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
        encoder.set_color(colour);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(bytes).unwrap();
    }

    #[test]
    fn a_png_becomes_three_planes_and_what_is_no_image_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        // Two by one pixels: black and white, stretched to a ramp from left to right.
        write_png(&folder.path().join("a.png"), 2, 1, png::ColorType::Grayscale, &[0, 255]);
        write_png(&inner.join("b.png"), 1, 2, png::ColorType::Rgba, &[255, 0, 0, 9, 0, 0, 255, 9]);
        fs::write(folder.path().join("notes.txt"), "no image").unwrap();
        fs::write(folder.path().join("cut.png"), b"\x89PNG\r\n\x1a\n\0\0\0").unwrap();
        write_png(&folder.path().join("black.png"), 2, 2, png::ColorType::Grayscale, &[0; 4]);
        let images = Images::read(folder.path(), "1").unwrap();
        assert_eq!((images.len(), images.skipped), (2, 3));
        let ramp = images.planes.iter().find(|image| image[0] == 0).unwrap();
        assert_eq!((ramp[63], ramp[128], ramp[255], ramp[SIDE * SIDE]), (0, 128, 255, 0));
        let colours = images.planes.iter().find(|image| image[0] == 255).unwrap();
        let plane = SIDE * SIDE;
        assert_eq!((colours[0], colours[plane], colours[2 * plane]), (255, 0, 0));
        assert_eq!((colours[plane - 1], colours[2 * plane - 1], colours[3 * plane - 1]), (0, 0, 255));
    }

    #[test]
    fn a_folder_without_images_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("notes.txt"), "no image").unwrap();
        let error = Images::read(folder.path(), "1").unwrap_err().to_string();
        assert!(error.contains("none of 1 files"), "{error}");
        assert!(Images::read(&folder.path().join("absent"), "1").unwrap_err().to_string().contains("absent"));
    }

    #[test]
    fn the_order_follows_from_the_seed() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..9_u8 {
            let path = folder.path().join(format!("{n}.png"));
            write_png(&path, 3, 1, png::ColorType::Grayscale, &[0, 20 * n, 255]);
        }
        let digest = |seed: &str| Images::read(folder.path(), seed).unwrap().digest;
        assert_eq!(digest("1"), digest("1"));
        assert_ne!(digest("1"), digest("2"));
    }
}
