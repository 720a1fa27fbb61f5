//! Images without any sign of a seal: which of them are sealed ones that lost every sign, and are noise.
//!
//! A PACS that processes pixels and drops private elements leaves nothing in the instance that says so. The key store still
//! knows that it was sealed, and what the original was: a carrier is described otherwise.

use super::header::{Reached, each_element};
use crate::dicom::{Encoding, Uid};
use crate::keys::Archive;
use crate::keys::store::OriginalAttributes;
use crate::seal::scan::ImageAttributes;

/// Whether this image, which bears no sign of a seal, was sealed and is not its original either, by the beginning of its data
/// set; nothing while that does not reach to the pixels. A key store that cannot be asked must not let noise through as an
/// image.
pub(super) fn is_lost<T: AsRef<[u8]>>(
    archive: &Archive,
    instance: &Uid,
    encoding: Encoding,
    header: &[T],
) -> Option<bool> {
    match archive.original(instance) {
        Ok(None) => Some(false),
        Ok(Some(original)) => describes(&original, encoding, header).map(|describes| !describes),
        Err(error) => {
            tracing::warn!(%instance, %error, "whether an image without a seal was sealed cannot be found out");
            Some(true)
        }
    }
}

/// Whether a header is that of the original: of an image that was opened again, or of one from before it was sealed. What a
/// PACS changes when it decompresses is not looked at.
fn describes<T: AsRef<[u8]>>(
    original: &OriginalAttributes,
    encoding: Encoding,
    header: &[T],
) -> Option<bool> {
    // Of a document the store keeps no more than that it was sealed, and no PACS processes one.
    let (Some(_), Some(syntax)) = (original.rows, original.transfer_syntax.clone()) else {
        return Some(true);
    };
    let shape = |of: &OriginalAttributes| {
        (of.rows, of.columns, of.frames, of.samples_per_pixel, of.bits_allocated, of.bits_stored)
    };
    let mut attributes = ImageAttributes::new(encoding);
    let reached = each_element(header, encoding, |element| attributes.take(element))?;
    let found = attributes.image().map(|image| OriginalAttributes::of(Some(&image), syntax));
    Some(reached == Reached::Pixels && found.is_ok_and(|found| shape(&found) == shape(original)))
}
