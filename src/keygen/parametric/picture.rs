//! Metadata drawn as an image of 224 by 224 pixels with three samples each.

use aws_lc_rs::digest::{SHA256, digest};

use crate::keygen::Seed;

/// Rows of the picture, and columns.
pub const PICTURE_SIDE: usize = 224;
/// Bytes of the picture.
pub const PICTURE_BYTES: usize = PICTURE_SIDE * PICTURE_SIDE * 3;
/// Rows at the top that show the metadata as it is.
const TEXT_ROWS: usize = 32;
const TEXT_BYTES: usize = TEXT_ROWS * PICTURE_SIDE * 3;

/// Draws metadata: at the top the bytes themselves, as many as there is room for; below what their digest expands to. Of a
/// picture of the text alone a convolutional network hardly notices a changed letter.
#[must_use]
pub fn draw(metadata: &[u8]) -> Vec<u8> {
    let mut picture = vec![0; PICTURE_BYTES];
    let (top, below) = picture.split_at_mut(TEXT_BYTES);
    top.iter_mut().zip(metadata).for_each(|(sample, byte)| *sample = *byte);
    let mut seed = [0; 32];
    seed.copy_from_slice(digest(&SHA256, metadata).as_ref());
    Seed::new(seed).expand_into(below);
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_stands_at_the_top_and_one_bit_changes_everything_below() {
        let (one, other) = (draw(b"20240101"), draw(b"20240102"));
        assert_eq!(one[..9], *b"20240101\0");
        let same = |range: std::ops::Range<usize>| range.filter(|at| one[*at] == other[*at]).count();
        assert_eq!(same(0..TEXT_BYTES), TEXT_BYTES - 1);
        let below = same(TEXT_BYTES..PICTURE_BYTES);
        // 1 in 256 by chance: 504, give or take 22.
        assert!((400..610).contains(&below), "{below} samples are equal");
    }

    #[test]
    fn more_metadata_than_there_is_room_for_still_counts_to_its_last_byte() {
        let long = vec![b'a'; TEXT_BYTES + 1];
        let mut other = long.clone();
        other[TEXT_BYTES] = b'b';
        assert!(draw(&long) != draw(&other));
    }
}
