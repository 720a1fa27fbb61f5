//! A package as QR codes on sheets to print, and back from pictures of them; one lost code is made up for.

use std::collections::BTreeMap;

use png::{BitDepth, ColorType};
use qrcode::bits::Bits;
use qrcode::{Color, EcLevel, QrCode, Version};

use super::error::HandoverError;
use super::package::digest;

/// Most codes of one package, the one that makes up for a lost one not counted.
pub const CODES_MAX: usize = 96;

const MAGIC: &[u8; 3] = b"SGQ";
const VERSION: u8 = 1;
/// Magic, version, package tag, number, how many there are, length of the package.
const PART_HEADER_BYTES: usize = 3 + 1 + 4 + 2 + 2 + 4;
/// Bytes of the package in one code: what version 15 holds at level M, less the header.
const PART_BYTES: usize = 396;
/// 77 x 77 modules: small enough for a telephone's camera at arm's length.
const QR_VERSION: Version = Version::Normal(15);
/// ISO/IEC 18004 table 12: level M recovers about 15 % of the code words of each code.
const LEVEL: EcLevel = EcLevel::M;

/// Modules of quiet zone. ISO/IEC 18004 6.3.8 asks for four; the more there are, the better readers tell codes apart.
const QUIET: usize = 20;
const MODULE_PIXELS: usize = 6;
const COLUMNS: usize = 3;
const ROWS: usize = 4;
const CODE_PIXELS: usize = (77 + 2 * QUIET) * MODULE_PIXELS;
/// Most pixels of a picture that is read.
const PIXELS_MAX: usize = 100_000_000;

/// Draws a package as PNG sheets of up to twelve codes, which fill an A4 page at 240 pixels to the inch.
pub fn write_codes(package: &[u8]) -> Result<Vec<Vec<u8>>, HandoverError> {
    let count = package.len().div_ceil(PART_BYTES);
    if count > CODES_MAX {
        let (needed, limit) = (count as u64, CODES_MAX as u64);
        let advice = "hand it over as a file";
        return Err(HandoverError::TooLarge { what: "the number of QR codes", needed, limit, advice });
    }
    let mut parity = vec![0; PART_BYTES];
    let mut codes = Vec::new();
    for (number, part) in package.chunks(PART_BYTES).enumerate() {
        parity.iter_mut().zip(part).for_each(|(sum, byte)| *sum ^= byte);
        codes.push(draw(&part_of(package, count, number, part))?);
    }
    codes.push(draw(&part_of(package, count, count, &parity))?);
    codes.chunks(COLUMNS * ROWS).map(sheet).collect()
}

fn part_of(package: &[u8], count: usize, number: usize, body: &[u8]) -> Vec<u8> {
    let short = |number: usize| u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
    let length = u32::try_from(package.len()).unwrap_or(u32::MAX).to_be_bytes();
    [MAGIC, &[VERSION][..], &tag(package), &short(number), &short(count), &length, body].concat()
}

/// Which package a code belongs to.
fn tag(package: &[u8]) -> [u8; 4] {
    *digest(package).first_chunk().expect("a digest has 32 bytes")
}

fn draw(part: &[u8]) -> Result<QrCode, HandoverError> {
    let failed = |_| HandoverError::Malformed("a QR code cannot be drawn");
    // As bytes and nothing else: readers disagree about what else the standard has.
    let mut bits = Bits::new(QR_VERSION);
    bits.push_byte_data(part).map_err(failed)?;
    bits.push_terminator(LEVEL).map_err(failed)?;
    QrCode::with_bits(bits, LEVEL).map_err(failed)
}

fn sheet(codes: &[QrCode]) -> Result<Vec<u8>, HandoverError> {
    let columns = COLUMNS.min(codes.len());
    let (width, height) = (columns * CODE_PIXELS, codes.len().div_ceil(columns) * CODE_PIXELS);
    let mut pixels = vec![255; width * height];
    for (at, code) in codes.iter().enumerate() {
        let (left, top) = (at % columns * CODE_PIXELS, at / columns * CODE_PIXELS);
        for (module, _) in code.to_colors().iter().enumerate().filter(|(_, color)| **color == Color::Dark) {
            let x = left + (module % code.width() + QUIET) * MODULE_PIXELS;
            let y = top + (module / code.width() + QUIET) * MODULE_PIXELS;
            for row in pixels.chunks_exact_mut(width).skip(y).take(MODULE_PIXELS) {
                row.iter_mut().skip(x).take(MODULE_PIXELS).for_each(|pixel| *pixel = 0);
            }
        }
    }
    let size = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, size(width), size(height));
    encoder.set_color(ColorType::Grayscale);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_pixel_dims(Some(png::PixelDimensions { xppu: 9449, yppu: 9449, unit: png::Unit::Meter }));
    let failed = |error: png::EncodingError| HandoverError::Picture(error.to_string());
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&pixels)).map_err(failed)?;
    Ok(out)
}

/// What was read from pictures.
#[derive(Debug)]
pub struct Reading {
    /// The package.
    pub package: Vec<u8>,
    /// How many codes it takes.
    pub codes: usize,
    /// Whether one was missing and made up for.
    pub repaired: bool,
}

/// Reads a package from pictures of its codes, turned, scaled and in any order.
pub fn read_codes(pictures: &[Vec<u8>]) -> Result<Reading, HandoverError> {
    let mut found = Parts::default();
    for picture in pictures {
        let (width, height, whole) = grey(picture)?;
        // Noise and moiré vanish in a smaller picture.
        for (width, height, grey) in
            [(width / 2, height / 2, halved(width, height, &whole)), (width, height, whole)]
        {
            found.look_everywhere(width, height, &grey);
            if found.missing() == 0 {
                break;
            }
        }
    }
    found.join()
}

/// The parts of one package.
#[derive(Default)]
struct Parts {
    /// Tag, number of parts, length of the package: of the first code that was found.
    of: Option<([u8; 4], usize, usize)>,
    parts: BTreeMap<usize, Vec<u8>>,
}

impl Parts {
    /// Looks at the picture, then through smaller and smaller windows until nothing is missing: where many codes stand side by
    /// side, the reader takes corners of different ones together.
    fn look_everywhere(&mut self, width: usize, height: usize, grey: &[u8]) {
        self.look_at((0, 0), (width, height), width, grey);
        for parts in [2, 3] {
            let window = (width.min(height) / parts).max(1);
            let step = (window / 2).max(1);
            let tops = (0..height).step_by(step);
            for (left, top) in tops.flat_map(|top| (0..width).step_by(step).map(move |left| (left, top))) {
                if self.missing() == 0 {
                    return;
                }
                let part = (window.min(width - left), window.min(height - top));
                self.look_at((left, top), part, width, grey);
            }
        }
    }

    fn look_at(&mut self, (left, top): (usize, usize), (w, h): (usize, usize), width: usize, grey: &[u8]) {
        let pixel = |x: usize, y: usize| grey.get((top + y) * width + left + x).copied().unwrap_or(255);
        let mut picture = rqrr::PreparedImage::prepare_from_greyscale(w, h, pixel);
        for grid in picture.detect_grids() {
            let mut bytes = Vec::new();
            if grid.decode_to(&mut bytes).is_ok() {
                self.take(&bytes);
            }
        }
    }

    /// Takes what a code says, if it is one of ours and of the same package as those before.
    fn take(&mut self, bytes: &[u8]) -> Option<()> {
        let (header, body) = bytes.split_first_chunk::<PART_HEADER_BYTES>()?;
        let [m0, m1, m2, version, t0, t1, t2, t3, n0, n1, c0, c1, l0, l1, l2, l3] = *header;
        let number = usize::from(u16::from_be_bytes([n0, n1]));
        let count = usize::from(u16::from_be_bytes([c0, c1]));
        let length = usize::try_from(u32::from_be_bytes([l0, l1, l2, l3])).ok()?;
        let fits = count <= CODES_MAX && number <= count && length.div_ceil(PART_BYTES) == count;
        if [m0, m1, m2] != *MAGIC || version != VERSION || !fits {
            return None;
        }
        let of = ([t0, t1, t2, t3], count, length);
        if *self.of.get_or_insert(of) == of {
            self.parts.insert(number, body.to_vec());
        }
        Some(())
    }

    /// How many are missing, of those that carry the package.
    fn missing(&self) -> usize {
        let count = self.of.map_or(usize::MAX, |(_, count, _)| count);
        count - self.parts.keys().filter(|number| **number < count).count()
    }

    fn join(mut self) -> Result<Reading, HandoverError> {
        let (tag_found, codes, length) = self.of.ok_or(HandoverError::NoCodes)?;
        let missing = self.missing();
        let parity = self.parts.remove(&codes);
        match (missing, parity) {
            (0, _) => {}
            (1, Some(parity)) => self.repair(codes, parity),
            _ => return Err(HandoverError::MissingCodes { missing, total: codes }),
        }
        let mut package = self.parts.into_values().flatten().collect::<Vec<_>>();
        package.truncate(length);
        if package.len() != length || tag(&package) != tag_found {
            return Err(HandoverError::Malformed("its QR codes do not make what they say"));
        }
        Ok(Reading { package, codes, repaired: missing > 0 })
    }

    /// Makes up for the one part that is missing: it is the sum of all others and the last code.
    fn repair(&mut self, codes: usize, parity: Vec<u8>) {
        let Some(lost) = (0..codes).find(|number| !self.parts.contains_key(number)) else { return };
        let mut part = parity;
        for other in self.parts.values() {
            part.iter_mut().zip(other).for_each(|(sum, byte)| *sum ^= byte);
        }
        self.parts.insert(lost, part);
    }
}

/// A PNG as bytes of grey.
fn grey(picture: &[u8]) -> Result<(usize, usize, Vec<u8>), HandoverError> {
    let wrong = |error: png::DecodingError| HandoverError::Picture(error.to_string());
    let mut decoder = png::Decoder::new(std::io::Cursor::new(picture));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(wrong)?;
    let (width, height) = (reader.info().width as usize, reader.info().height as usize);
    let bytes = reader.output_buffer_size().filter(|bytes| *bytes <= 4 * PIXELS_MAX);
    let mut pixels =
        vec![0; bytes.ok_or_else(|| HandoverError::Picture("it has more than 100 million pixels".into()))?];
    let info = reader.next_frame(&mut pixels).map_err(wrong)?;
    pixels.truncate(info.buffer_size());
    let samples = info.color_type.samples();
    let colours = if samples >= 3 { 3 } else { 1 };
    let mean = |pixel: &[u8]| {
        let sum: usize = pixel.iter().take(colours).map(|sample| usize::from(*sample)).sum();
        u8::try_from(sum / colours).unwrap_or(u8::MAX)
    };
    Ok((width, height, pixels.chunks_exact(samples).map(mean).collect()))
}

/// Every second pixel of every second row, each the mean of four.
fn halved(width: usize, height: usize, grey: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(grey.len() / 4);
    for y in 0..height / 2 {
        for x in 0..width / 2 {
            let at = |dx: usize, dy: usize| u16::from(grey[(2 * y + dy) * width + 2 * x + dx]);
            let sum = at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1);
            out.push(u8::try_from(sum / 4).unwrap_or(u8::MAX));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(length: usize) -> Vec<u8> {
        (0..length).map(|i| u8::try_from(((i * 7919) >> 3) & 0xFF).unwrap()).collect()
    }

    /// The picture turned by so many degrees and scaled, on white, as bytes of a PNG.
    #[expect(clippy::many_single_char_names, reason = "coordinates")]
    fn photographed(sheet: &[u8], degrees: f64, scale: f64, noise: u32) -> Vec<u8> {
        let (width, height, pixels) = grey(sheet).unwrap();
        let (sine, cosine) = degrees.to_radians().sin_cos();
        #[expect(clippy::cast_precision_loss, reason = "sizes of a picture")]
        let (w, h) = (width as f64, height as f64);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of a picture")]
        let side = ((w.hypot(h)) * scale) as usize + 20;
        let mut out = vec![220; side * side];
        let mut state = 1_u32;
        for (at, pixel) in out.iter_mut().enumerate() {
            #[expect(clippy::cast_precision_loss, reason = "sizes of a picture")]
            let (x, y) = ((at % side) as f64 - side as f64 / 2.0, (at / side) as f64 - side as f64 / 2.0);
            let (u, v) =
                ((x * cosine + y * sine) / scale + w / 2.0, (y * cosine - x * sine) / scale + h / 2.0);
            if u >= 0.0 && v >= 0.0 && u < w && v < h {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "inside")]
                let found = pixels[v as usize * width + u as usize];
                // Paper is not white, ink not black, and light falls from one side.
                *pixel = 40 + found / 2 + found / 16 + u8::try_from(at % side * 30 / side).unwrap();
            }
            // And no camera sees a pixel twice alike.
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let off = u8::try_from((state >> 16) % (noise + 1)).unwrap();
            *pixel = pixel.saturating_add(off).saturating_sub(u8::try_from(noise / 2).unwrap());
        }
        let mut bytes = Vec::new();
        let size = u32::try_from(side).unwrap();
        let mut encoder = png::Encoder::new(&mut bytes, size, size);
        encoder.set_color(ColorType::Grayscale);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&out).unwrap();
        bytes
    }

    #[test]
    fn codes_come_back_from_turned_scaled_and_noisy_pictures() {
        let package = package(700);
        let sheets = write_codes(&package).unwrap();
        assert_eq!(sheets.len(), 1);
        assert_eq!(read_codes(&sheets).unwrap().package, package);
        for (degrees, scale, noise) in
            [(90.0, 1.0, 0), (7.0, 0.8, 40), (-30.0, 1.2, 60), (181.0, 0.7, 20), (3.0, 1.0, 70)]
        {
            let reading = read_codes(&[photographed(&sheets[0], degrees, scale, noise)])
                .unwrap_or_else(|error| panic!("{degrees} degrees, {scale}, {noise}: {error}"));
            assert_eq!(reading.package, package, "{degrees} degrees, {scale}");
            assert_eq!(reading.codes, 2);
        }
    }

    /// Paints the cells of these codes white.
    fn without(sheet: &[u8], codes: &[usize]) -> Vec<u8> {
        let (width, height, mut pixels) = grey(sheet).unwrap();
        let columns = width / CODE_PIXELS;
        for (at, pixel) in pixels.iter_mut().enumerate() {
            let cell = at / width / CODE_PIXELS * columns + at % width / CODE_PIXELS;
            if codes.contains(&cell) {
                *pixel = 255;
            }
        }
        let mut bytes = Vec::new();
        let size = |pixels: usize| u32::try_from(pixels).unwrap();
        let mut encoder = png::Encoder::new(&mut bytes, size(width), size(height));
        encoder.set_color(ColorType::Grayscale);
        encoder.set_depth(BitDepth::Eight);
        encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
        bytes
    }

    #[test]
    fn one_lost_code_is_made_up_for_and_two_are_asked_for() {
        let package = package(1500);
        let sheet = write_codes(&package).unwrap().remove(0);
        for lost in 0..5 {
            let reading = read_codes(&[without(&sheet, &[lost])]).unwrap();
            assert!(reading.package == package && reading.repaired == (lost < 4), "code {lost}");
        }
        let error = read_codes(&[without(&sheet, &[1, 3])]).unwrap_err();
        assert!(matches!(error, HandoverError::MissingCodes { missing: 2, total: 4 }), "{error}");
        // Two pictures that have one each are as good as one with both.
        let halves = [without(&sheet, &[0, 1]), without(&sheet, &[2, 3])];
        assert_eq!(read_codes(&halves).unwrap().package, package);
    }

    #[test]
    fn codes_of_two_packages_are_not_mixed() {
        let (one, two) = (write_codes(&package(900)).unwrap(), write_codes(&package(901)).unwrap());
        let mixed = [without(&one[0], &[1, 2]), two[0].clone()];
        assert!(matches!(read_codes(&mixed), Err(HandoverError::MissingCodes { missing: 2, .. })));
        assert!(matches!(read_codes(&[without(&one[0], &[0, 1, 2, 3])]), Err(HandoverError::NoCodes)));
    }

    #[test]
    fn more_than_can_be_printed_is_refused_with_advice() {
        let said = write_codes(&package(60_000)).unwrap_err().to_string();
        assert!(said.contains("152") && said.contains("as a file"), "{said}");
    }
}
