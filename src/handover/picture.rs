//! A picture whose samples are changed and nothing else: a PNG, or a DICOM instance with native pixels.

use aws_lc_rs::digest::{Context, SHA256};
use png::{BitDepth, ColorType};

use super::error::HandoverError;
use crate::dicom::{Encoding, TransferSyntax};
use crate::seal::element::PIXEL_DATA;
use crate::seal::scan::{Element, Event, Image, ImageAttributes, Limits, ScanError, Scanner, part10};

/// Most samples of a picture.
const SAMPLES_MAX: usize = 256 * 1024 * 1024;
const PNG_MAGIC: &[u8] = b"\x89PNG\r\n\x1A\n";
const JPEG_MAGIC: &[u8] = b"\xFF\xD8\xFF";

/// The samples of a picture, and how they become a file again.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Pixels of a row.
    pub width: usize,
    /// Rows, of all frames.
    pub height: usize,
    /// Samples of a pixel.
    pub channels: usize,
    /// Bits of a sample that mean something.
    pub bits: u32,
    /// The least value a sample may have.
    pub least: i32,
    /// The greatest.
    pub greatest: i32,
    /// Row by row, the samples of a pixel side by side.
    pub samples: Vec<i32>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    Png {
        color: ColorType,
        depth: BitDepth,
    },
    /// A file, with `bytes` of each sample at `at` and following.
    Dicom {
        file: Vec<u8>,
        at: usize,
        bytes: usize,
    },
}

impl Picture {
    /// Reads a PNG or a DICOM file.
    pub fn read(file: Vec<u8>) -> Result<Self, HandoverError> {
        if file.starts_with(PNG_MAGIC) {
            return Self::read_png(&file);
        }
        if file.starts_with(JPEG_MAGIC) {
            let problem = "it is a JPEG, which keeps no bit that is hidden in it; have the PNG or DICOM file itself sent";
            return Err(HandoverError::Picture(problem.into()));
        }
        Self::read_dicom(file)
    }

    fn read_png(file: &[u8]) -> Result<Self, HandoverError> {
        let wrong = |error: png::DecodingError| HandoverError::Picture(error.to_string());
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::IDENTITY);
        let mut reader = decoder.read_info().map_err(wrong)?;
        let (color, depth) = reader.output_color_type();
        if color == ColorType::Indexed || !matches!(depth, BitDepth::Eight | BitDepth::Sixteen) {
            return Err(HandoverError::Picture(
                "a PNG has to have 8 or 16 bits of grey or colour, and no palette".into(),
            ));
        }
        let bytes = reader.output_buffer_size().filter(|bytes| *bytes <= SAMPLES_MAX);
        let mut pixels = vec![0; bytes.ok_or_else(too_large)?];
        let info = reader.next_frame(&mut pixels).map_err(wrong)?;
        pixels.truncate(info.buffer_size());
        let samples = match depth {
            BitDepth::Eight => pixels.iter().map(|byte| i32::from(*byte)).collect(),
            _ => pixels.as_chunks().0.iter().map(|pair| i32::from(u16::from_be_bytes(*pair))).collect(),
        };
        let bits = if depth == BitDepth::Eight { 8 } else { 16 };
        Ok(Self {
            width: info.width as usize,
            height: info.height as usize,
            channels: color.samples(),
            bits,
            least: 0,
            greatest: (1 << bits) - 1,
            samples,
            form: Form::Png { color, depth },
        })
    }

    fn read_dicom(file: Vec<u8>) -> Result<Self, HandoverError> {
        let unreadable = |error: part10::FrontError| HandoverError::Picture(error.to_string());
        let limits = Limits::default();
        let (front, _) = part10::read(&mut &file[..], &limits, None).map_err(unreadable)?;
        let encoding = TransferSyntax::by_uid(front.transfer_syntax.as_str()).map(|syntax| syntax.encoding);
        let Some(encoding @ (Encoding::ImplicitLittle | Encoding::ExplicitLittle)) = encoding else {
            let problem = format!(
                "it is in transfer syntax {}, and has to be in Implicit or Explicit VR Little Endian: a PACS that compressed \
                 it without loss gives it so when it is asked to",
                front.transfer_syntax
            );
            return Err(HandoverError::Picture(problem));
        };
        let mut found =
            Found { attributes: ImageAttributes::new(encoding), pixels: None, in_pixels: false, length: 0 };
        let data_set = file.get(front.raw.len()..).unwrap_or_default();
        let mut scanner = Scanner::new(encoding, limits, Some(data_set.len() as u64));
        scanner.push(data_set, &mut |event| found.take(&event))?;
        scanner.finish()?;
        let Found { attributes, pixels, length, .. } = found;
        let image = attributes.image()?;
        let at = pixels.ok_or_else(|| HandoverError::Picture("it has no pixels".into()))?;
        Self::of_dicom(&image, file, front.raw.len().saturating_add(at), length)
    }

    fn of_dicom(image: &Image, file: Vec<u8>, at: usize, length: usize) -> Result<Self, HandoverError> {
        let bytes = match image.bits_allocated {
            8 => 1,
            16 => 2,
            other => {
                return Err(HandoverError::Picture(format!("it has {other} bits allocated, not 8 or 16")));
            }
        };
        let stored = u32::from(image.bits_stored);
        if stored == 0
            || stored > 8 * u32::try_from(bytes).unwrap_or(1)
            || image.high_bit + 1 != image.bits_stored
        {
            return Err(HandoverError::Picture("its bits are not stored from the lowest on".into()));
        }
        let signed = image.representation == 1;
        let (least, greatest) =
            if signed { (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) } else { (0, (1 << stored) - 1) };
        let (width, channels) = (usize::from(image.columns), usize::from(image.samples));
        let height = usize::from(image.rows) * image.frames as usize;
        let count = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(channels));
        let count = count.filter(|count| *count <= SAMPLES_MAX).ok_or_else(too_large)?;
        let value = file.get(at..at.saturating_add(length)).unwrap_or_default();
        let value = value.get(..count * bytes).ok_or(HandoverError::Picture("pixels are missing".into()))?;
        let samples: Vec<i32> = match (bytes, signed) {
            (1, false) => value.iter().map(|byte| i32::from(*byte)).collect(),
            (1, true) => value.iter().map(|byte| i32::from(byte.cast_signed())).collect(),
            (_, false) => {
                value.as_chunks().0.iter().map(|pair| i32::from(u16::from_le_bytes(*pair))).collect()
            }
            (_, true) => {
                value.as_chunks().0.iter().map(|pair| i32::from(i16::from_le_bytes(*pair))).collect()
            }
        };
        if samples.iter().any(|sample| *sample < least || *sample > greatest) {
            return Err(HandoverError::Picture(format!("a sample is not of {stored} bits")));
        }
        let form = Form::Dicom { file, at, bytes };
        Ok(Self { width, height, channels: channels.max(1), bits: stored, least, greatest, samples, form })
    }

    /// The file with the samples as they are now; everything else in it is as it was in a DICOM file.
    pub fn write(&self) -> Result<Vec<u8>, HandoverError> {
        match &self.form {
            Form::Png { color, depth } => self.write_png(*color, *depth),
            Form::Dicom { file, at, bytes } => {
                let mut file = file.clone();
                let places = file.get_mut(*at..).unwrap_or_default().chunks_exact_mut(*bytes);
                for (place, sample) in places.zip(&self.samples) {
                    let [low, high, ..] = sample.to_le_bytes();
                    place.copy_from_slice([low, high].get(..*bytes).unwrap_or_default());
                }
                Ok(file)
            }
        }
    }

    fn write_png(&self, color: ColorType, depth: BitDepth) -> Result<Vec<u8>, HandoverError> {
        let bytes: Vec<u8> = match depth {
            BitDepth::Eight => self.samples.iter().map(|sample| sample.to_le_bytes()[0]).collect(),
            _ => self
                .samples
                .iter()
                .flat_map(|sample| [sample.to_le_bytes()[1], sample.to_le_bytes()[0]])
                .collect(),
        };
        let size = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, size(self.width), size(self.height));
        encoder.set_color(color);
        encoder.set_depth(depth);
        let failed = |error: png::EncodingError| HandoverError::Picture(error.to_string());
        encoder.write_header().and_then(|mut writer| writer.write_image_data(&bytes)).map_err(failed)?;
        Ok(out)
    }

    /// A digest of the samples.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut hasher = Context::new(&SHA256);
        for sample in &self.samples {
            hasher.update(&sample.to_be_bytes());
        }
        hasher.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
    }

    /// The peak signal-to-noise ratio between this picture and another of its size, in decibels.
    #[must_use]
    pub fn psnr(&self, other: &Self) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        let sum: f64 = pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a number of samples fits a double's mantissa")]
        let mean = sum / self.samples.len().max(1) as f64;
        let peak = f64::from((1_u32 << self.bits) - 1);
        10.0 * (peak * peak / mean).log10()
    }
}

/// What is looked for in a data set.
struct Found {
    attributes: ImageAttributes,
    pixels: Option<usize>,
    in_pixels: bool,
    length: usize,
}

impl Found {
    fn take(&mut self, event: &Event<'_>) -> Result<(), ScanError> {
        match event {
            Event::Element(element) => return self.take_element(element),
            Event::Begin(head) => {
                self.in_pixels = head.tag == PIXEL_DATA;
                if self.in_pixels {
                    self.pixels = usize::try_from(head.at).ok().and_then(|at| at.checked_add(head.raw.len()));
                }
            }
            Event::Bytes(bytes) if self.in_pixels => self.length = self.length.saturating_add(bytes.len()),
            Event::Bytes(_) => {}
            Event::End(_) => self.in_pixels = false,
        }
        Ok(())
    }

    fn take_element(&mut self, element: &Element<'_>) -> Result<(), ScanError> {
        self.attributes.take(element)
    }
}

fn too_large() -> HandoverError {
    HandoverError::Picture("it has more samples than are held in memory".into())
}
