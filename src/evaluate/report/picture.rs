//! Pictures as PNG inside the page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use png::{BitDepth, ColorType, Encoder};

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
        STANDARD.encode(png(image, step, width, height))
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
    let (channels, colour) =
        if image.channels() == 3 { (3, ColorType::Rgb) } else { (1, ColorType::Grayscale) };
    let shift = u32::from(image.bits().saturating_sub(8));
    let stretch = 8_u32.saturating_sub(u32::from(image.bits()));
    let mut samples = Vec::with_capacity(width * height * channels);
    for y in 0..height {
        for x in 0..width {
            let at = (y * step * image.width() + x * step) * image.channels();
            samples
                .extend(image.samples()[at..at + channels].iter().map(|s| ((s >> shift) << stretch) as u8));
        }
    }
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width as u32, height as u32);
    encoder.set_color(colour);
    encoder.set_depth(BitDepth::Eight);
    let mut writer = encoder.write_header().expect("memory takes everything, and no side is zero");
    writer.write_image_data(&samples).expect("as many samples as the header says");
    writer.finish().expect("memory takes everything");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader of PNG finds in an element.
    fn shown(element: &str) -> (ColorType, Vec<u8>) {
        let (_, data) = element.split_once("base64,").unwrap();
        let file = STANDARD.decode(data.trim_end_matches("\">")).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut samples = vec![0; reader.output_buffer_size().unwrap()];
        let frame = reader.next_frame(&mut samples).unwrap();
        samples.truncate(frame.buffer_size());
        (frame.color_type, samples)
    }

    #[test]
    fn a_picture_shows_every_other_pixel_in_eight_bits() {
        let colour = Raster::from_bytes(2, 2, 3, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).unwrap();
        let all = colour.to_bytes();
        assert_eq!(shown(&element(&colour, "all")), (ColorType::Rgb, all));
        assert_eq!(shown(&within(&colour, "half", 1)), (ColorType::Rgb, vec![1, 2, 3]));
        let deep = Raster::new(4, 2, 1, 12, vec![0xFFF, 1, 0x7F0, 1, 1, 1, 1, 1]).unwrap();
        assert_eq!(shown(&within(&deep, "deep", 2)), (ColorType::Grayscale, vec![0xFF, 0x7F]));
        let dark = Raster::new(1, 1, 1, 4, vec![0xF]).unwrap();
        assert_eq!(shown(&element(&dark, "four bits")), (ColorType::Grayscale, vec![0xF0]));
        assert_eq!(within(&Raster::new(300, 1, 1, 8, vec![0; 300]).unwrap(), "too flat", 128), "");
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
