//! The shape of a carrier: Rows and Columns of an image that holds the sealed stream with as little padding as can be.

/// An image that is nothing but a carrier of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows (0028,0010).
    pub rows: u16,
    /// Columns (0028,0011).
    pub columns: u16,
    /// Bytes of the whole pixel data, padding included.
    pub bytes: u32,
}

/// The stream does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} sealed bytes in {frames} frames do not fit into native pixel data, whose length is a 32-bit number; \
     split the object at the modality, or store fewer frames in one instance"
)]
pub struct TooLarge {
    /// Header and stream.
    pub needed: u64,
    /// Number of frames.
    pub frames: u32,
}

/// How far from the wanted Columns a better fit is looked for.
const COLUMNS_TRIED: u16 = 64;
/// How much longer than wide a frame may be, or wider than long, before a square takes its place.
const ASPECT_MAX: u64 = 16;
/// PS3.5 8.1.1 and table 6.2-1: the length of pixel data is even, and FFFFFFFFH means something else.
const LENGTH_MAX: u64 = 0xFFFF_FFFE;

/// The shape with the least padding whose Columns are near `wanted`, or near those of a square where the wanted ones
/// are 0 or would make a ribbon: there are compressors that break down over an image of one row or column. Between
/// equal ones the nearer wins.
///
/// `frames` and `bytes_per_pixel` are at least 1; `needed` is what header and stream take together.
pub fn fit(needed: u64, frames: u32, bytes_per_pixel: u8, wanted: u16) -> Result<Shape, TooLarge> {
    let too_large = TooLarge { needed, frames };
    let unit = u64::from(frames.max(1)).saturating_mul(u64::from(bytes_per_pixel.max(1)));
    let pixels = needed.div_ceil(unit).max(1);
    let side = u16::try_from(pixels.isqrt().max(1)).map_err(|_| too_large)?;
    let rows_at = |columns: u16| pixels.div_ceil(u64::from(columns.max(1)));
    let is_ribbon = |columns: u16| {
        let rows = rows_at(columns);
        let columns = u64::from(columns);
        rows > u64::from(u16::MAX) || rows.max(columns) > rows.min(columns).saturating_mul(ASPECT_MAX)
    };
    let centre = if wanted == 0 || is_ribbon(wanted) { side } else { wanted };
    let first = centre.saturating_sub(COLUMNS_TRIED / 2).max(centre.div_ceil(2));
    let candidates = first..=first.saturating_add(COLUMNS_TRIED);
    let best = candidates
        .filter_map(|columns| {
            let rows = u16::try_from(rows_at(columns)).ok()?;
            let bytes = unit.checked_mul(u64::from(rows))?.checked_mul(u64::from(columns))?;
            // An odd length takes one byte of padding more, which stands outside the image (PS3.5 8.1.1).
            let even = bytes.checked_next_multiple_of(2).filter(|even| *even <= LENGTH_MAX)?;
            let shape = Shape { rows, columns, bytes: u32::try_from(even).ok()? };
            Some((shape.bytes, columns.abs_diff(centre), columns, shape))
        })
        .min_by_key(|&(bytes, distance, columns, _)| (bytes, distance, columns));
    best.map(|(.., shape)| shape).ok_or(too_large)
}

/// No image, but so many bytes, and one more where they are odd.
pub(super) fn even(needed: u64) -> Result<Shape, TooLarge> {
    let even = needed.checked_next_multiple_of(2).filter(|even| *even <= LENGTH_MAX);
    let bytes = even.and_then(|even| u32::try_from(even).ok()).ok_or(TooLarge { needed, frames: 1 })?;
    Ok(Shape { rows: 0, columns: 0, bytes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slice_keeps_nearly_its_columns_and_wastes_nearly_nothing() {
        let needed = 512 * 512 * 2 + 1417;
        let shape = fit(needed, 1, 2, 512).unwrap();
        assert!(shape.columns.abs_diff(512) <= 32, "{shape:?}");
        assert!(u64::from(shape.bytes) - needed < 64, "{shape:?}");
    }

    #[test]
    fn a_compressed_image_gets_a_square() {
        let shape = fit(1_000_000, 1, 1, 0).unwrap();
        assert!(shape.rows.abs_diff(shape.columns) < 80, "{shape:?}");
    }

    #[test]
    fn the_largest_that_fits_and_the_first_that_does_not() {
        assert!(fit(LENGTH_MAX - 500_000, 1, 2, 512).is_ok());
        for needed in [LENGTH_MAX + 1, 5_000_000_000, u64::MAX] {
            assert_eq!(fit(needed, 1, 1, 512), Err(TooLarge { needed, frames: 1 }));
        }
        // As many frames as the length has bytes: one pixel each, and not one more.
        assert!(fit(10, 4_000_000_000, 1, 512).is_ok());
        assert!(fit(10, u32::MAX, 2, 512).is_err());
    }

    #[test]
    fn small_images_are_no_ribbons() {
        for (needed, frames, wanted) in [(2246, 1, 16), (2246, 1, 1), (5000, 1, 60_000), (64_000, 2000, 512)]
        {
            let shape = fit(needed, frames, 2, wanted).unwrap();
            let (rows, columns) = (u32::from(shape.rows), u32::from(shape.columns));
            assert!(rows * 20 > columns && columns * 20 > rows, "{shape:?}");
        }
    }

    #[test]
    fn one_byte_is_an_image_too() {
        assert_eq!(fit(0, 1, 1, 0), Ok(Shape { rows: 1, columns: 1, bytes: 2 }));
    }

    proptest! {
        #[test]
        fn what_fits_fits(needed in 0_u64..200_000_000, frames in 1_u32..2000, wide in 1_u8..=4, wanted in any::<u16>()) {
            let shape = fit(needed, frames, wide, wanted).unwrap();
            let image = u64::from(shape.rows) * u64::from(shape.columns) * u64::from(frames) * u64::from(wide);
            prop_assert!(image >= needed && shape.rows > 0 && shape.columns > 0);
            prop_assert_eq!(u64::from(shape.bytes), image + image % 2);
        }
    }
}
