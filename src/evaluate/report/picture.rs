//! Pictures as PNG inside the page.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use crate::evaluate::image::Raster;

/// Pictures are shown at no more than this many pixels on a side.
const EDGE_MAX: usize = 256;

/// An image element that holds the picture itself, made smaller by leaving out pixels.
pub(super) fn element(image: &Raster, label: &str) -> String {
    within(image, label, EDGE_MAX)
}

/// The same with no more than `edge` pixels on a side.
pub(super) fn within(image: &Raster, label: &str, edge: usize) -> String {
    let step = image.width().max(image.height()).div_ceil(edge.max(1)).max(1);
    let (width, height) = (image.width() / step, image.height() / step);
    if width == 0 || height == 0 {
        return String::new();
    }
    format!(
        "<img alt=\"{}\" width=\"{width}\" height=\"{height}\" src=\"data:image/png;base64,{}\">",
        super::svg::escape(label),
        base64(&png(image, step, width, height))
    )
}

/// Grey pictures of one size side by side and below each other, a white line between them.
pub(super) fn mosaic(rows: &[Vec<Raster>]) -> Option<Raster> {
    const GAP: usize = 4;
    let first = rows.first()?.first()?;
    let (width, height) = (first.width() + GAP, first.height() + GAP);
    let across = rows.iter().map(Vec::len).max()?;
    let mut samples = vec![255_u16; across * width * rows.len() * height];
    for (down, row) in rows.iter().enumerate() {
        for (right, tile) in row.iter().enumerate() {
            for (y, line) in tile.samples().chunks_exact(first.width()).enumerate() {
                let at = (down * height + y) * across * width + right * width;
                samples[at..at + line.len()].copy_from_slice(line);
            }
        }
    }
    Raster::new(across * width, rows.len() * height, 1, 8, samples).ok()
}

/// An 8-bit PNG, grey or colour.
fn png(image: &Raster, step: usize, width: usize, height: usize) -> Vec<u8> {
    let channels = if image.channels() == 3 { 3 } else { 1 };
    let shift = u32::from(image.bits().saturating_sub(8));
    let stretch = 8_u32.saturating_sub(u32::from(image.bits()));
    let mut rows = Vec::with_capacity(height * (width * channels + 1));
    for y in 0..height {
        // Each row begins with its filter: none.
        rows.push(0);
        for x in 0..width {
            let at = (y * step * image.width() + x * step) * image.channels();
            rows.extend(image.samples()[at..at + channels].iter().map(|s| ((s >> shift) << stretch) as u8));
        }
    }
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::default());
    packed.write_all(&rows).expect("memory takes everything");
    let packed = packed.finish().expect("memory takes everything");
    let mut header = Vec::with_capacity(13);
    header.extend_from_slice(&(width as u32).to_be_bytes());
    header.extend_from_slice(&(height as u32).to_be_bytes());
    header.extend_from_slice(&[8, if channels == 3 { 2 } else { 0 }, 0, 0, 0]);
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, body) in [(b"IHDR", &header[..]), (b"IDAT", &packed), (b"IEND", &[])] {
        file.extend_from_slice(&(body.len() as u32).to_be_bytes());
        let mut check = flate2::Crc::new();
        check.update(name);
        check.update(body);
        file.extend_from_slice(name);
        file.extend_from_slice(body);
        file.extend_from_slice(&check.sum().to_be_bytes());
    }
    file
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648 section 10.
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn a_mosaic_keeps_its_tiles_apart() {
        let tile = |value| Raster::from_bytes(2, 1, 1, &[value; 2]).unwrap();
        let mosaic = mosaic(&[vec![tile(1), tile(2)], vec![tile(3), tile(4)]]).unwrap();
        assert_eq!((mosaic.width(), mosaic.height()), (12, 10));
        assert_eq!([mosaic.samples()[0], mosaic.samples()[2], mosaic.samples()[6]], [1, 255, 2]);
        assert_eq!([mosaic.samples()[60], mosaic.samples()[67]], [3, 4]);
        assert_eq!(super::mosaic(&[]), None);
    }

    #[test]
    fn a_picture_keeps_within_its_edge() {
        let image = Raster::new(600, 300, 1, 16, vec![40_000; 180_000]).unwrap();
        let element = element(&image, "cipher");
        assert!(element.contains("width=\"200\" height=\"100\""), "{}", &element[..80]);
    }
}
