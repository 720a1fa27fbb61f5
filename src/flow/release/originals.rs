//! What the originals were, for answering queries while the PACS describes the carriers (`docs/FORMAT.md` section 8).

use bytes::Bytes;
use dicom_core::{Tag, VR};

use super::identifier::{self, Edit, Values, even, trimmed};
use crate::dicom::tags::{LEVEL, SOP_INSTANCE};
use crate::dicom::{Encoding, Uid};
use crate::keys::Archive;
use crate::keys::store::OriginalAttributes;
use crate::seal::scan::ScanError;

const SYNTAX: Tag = Tag(0x0008, 0x3002);
const SAMPLES: Tag = Tag(0x0028, 0x0002);
const PHOTOMETRIC: Tag = Tag(0x0028, 0x0004);
const PLANAR: Tag = Tag(0x0028, 0x0006);
const FRAMES: Tag = Tag(0x0028, 0x0008);
const ROWS: Tag = Tag(0x0028, 0x0010);
const COLUMNS: Tag = Tag(0x0028, 0x0011);
const BITS_ALLOCATED: Tag = Tag(0x0028, 0x0100);
const BITS_STORED: Tag = Tag(0x0028, 0x0101);
const HIGH_BIT: Tag = Tag(0x0028, 0x0102);
const REPRESENTATION: Tag = Tag(0x0028, 0x0103);

/// The attributes that the carrier has of its own, and its original may have other values for.
const CHANGED: [(Tag, VR); 8] = [
    (SYNTAX, VR::UI),
    (SAMPLES, VR::US),
    (PHOTOMETRIC, VR::CS),
    (FRAMES, VR::IS),
    (ROWS, VR::US),
    (COLUMNS, VR::US),
    (BITS_ALLOCATED, VR::US),
    (BITS_STORED, VR::US),
];

/// What the carrier has of its own too, and nothing is kept of: the original alone tells it.
const UNTOLD: [Tag; 3] = [PLANAR, HIGH_BIT, REPRESENTATION];

/// What of a query concerns such attributes.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    /// Every one that is asked for, with the value to match, empty for any.
    keys: Values,
    /// Whether images are asked for, and not what they are in.
    is_image: bool,
}

impl Wanted {
    /// Looks through a request.
    pub(super) fn read(request: &[u8], encoding: Encoding) -> Result<Self, ScanError> {
        let level = identifier::values(request, encoding, &[LEVEL])?;
        let is_image = level.get(&LEVEL).map(|value| trimmed(value)) == Some(b"IMAGE");
        let tags: Vec<Tag> = CHANGED.into_iter().map(|(tag, _)| tag).chain(UNTOLD).collect();
        Ok(Self { keys: identifier::values(request, encoding, &tags)?, is_image })
    }

    /// Whether there is nothing to do.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The request for the PACS: what the carrier would not match, it is not asked to match.
    pub(super) fn request(&self, request: &Bytes, encoding: Encoding) -> Result<Bytes, ScanError> {
        Edit { replace: self.nothing(|_| true), ..Edit::default() }.apply(request, encoding)
    }

    /// A match with the values of its original; nothing if these do not match. One that was never sealed is held to the
    /// values that the PACS says.
    pub(super) fn answer(
        &self,
        found: &Bytes,
        encoding: Encoding,
        archive: &Archive,
    ) -> Result<Option<Bytes>, ScanError> {
        if !self.is_image {
            // Some PACS take such values from any one image, which is a carrier.
            let edit = Edit { replace: self.nothing(|_| true), ..Edit::default() };
            return edit.apply(found, encoding).map(Some);
        }
        let tags: Vec<Tag> = self.keys.keys().copied().chain([SOP_INSTANCE]).collect();
        let said = identifier::values(found, encoding, &tags)?;
        let original = identifier::uid(&said, SOP_INSTANCE).and_then(|instance| original(archive, &instance));
        // Documents have none of these, and their carriers neither.
        let Some(original) = original.filter(|original| original.rows.is_some()) else {
            return Ok(self.fits(|tag| said.get(&tag).cloned()).then(|| found.clone()));
        };
        if !self.fits(|tag| value(&original, tag)) {
            return Ok(None);
        }
        let is_asked = |tag: &Tag| self.keys.get(tag).is_some_and(|key| !says_nothing(*tag, key, &original));
        let told = CHANGED.into_iter().filter(|(tag, _)| is_asked(tag));
        let set = told.filter_map(|(tag, vr)| Some((tag, (vr, value(&original, tag)?)))).collect();
        let replace = self.nothing(|tag| UNTOLD.contains(tag));
        Edit { replace, set }.apply(found, encoding).map(Some)
    }

    /// Whether every key matches. A key that there is no value for at all was not supported, and matches.
    fn fits(&self, value: impl Fn(Tag) -> Option<Vec<u8>>) -> bool {
        self.keys.iter().all(|(tag, key)| value(*tag).is_none_or(|value| matches(*tag, key, &value)))
    }

    /// These keys without their values.
    fn nothing(&self, which: impl Fn(&Tag) -> bool) -> Values {
        self.keys.keys().filter(|tag| which(tag)).map(|tag| (*tag, Vec::new())).collect()
    }
}

/// Whether the PACS knows as well: an original of one frame may have said so or not, and the carrier does as it did.
fn says_nothing(tag: Tag, key: &[u8], original: &OriginalAttributes) -> bool {
    tag == FRAMES && original.frames == Some(1) && key.is_empty()
}

/// What is kept of an original. A store that cannot be asked leaves the answer as the PACS gave it.
fn original(archive: &Archive, instance: &Uid) -> Option<OriginalAttributes> {
    match archive.original(instance) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%instance, %error, "a query is answered without the values of the original");
            None
        }
    }
}

fn value(original: &OriginalAttributes, tag: Tag) -> Option<Vec<u8>> {
    let number = |value: Option<u16>| value.map(|value| value.to_le_bytes().to_vec());
    match tag {
        SYNTAX => original.transfer_syntax.as_ref().map(|uid| even(uid.as_str().as_bytes(), 0)),
        SAMPLES => number(original.samples_per_pixel),
        PHOTOMETRIC => original.photometric_interpretation.as_ref().map(|text| even(text.as_bytes(), b' ')),
        FRAMES => original.frames.map(|frames| even(frames.to_string().as_bytes(), b' ')),
        ROWS => number(original.rows),
        COLUMNS => number(original.columns),
        BITS_ALLOCATED => number(original.bits_allocated),
        BITS_STORED => number(original.bits_stored),
        _ => None,
    }
}

/// Whether a value matches a key (PS3.4 C.2.2.2): any, one of a list, or with wild cards where it is a text.
fn matches(tag: Tag, key: &[u8], value: &[u8]) -> bool {
    let (key, value) = match tag {
        PHOTOMETRIC | FRAMES | SYNTAX => (trimmed(key), trimmed(value)),
        _ => (key, value),
    };
    if key.is_empty() || key == value {
        return true;
    }
    match tag {
        SYNTAX => key.split(|byte| *byte == b'\\').any(|one| trimmed(one) == value),
        PHOTOMETRIC => matches_wild(key, value),
        FRAMES => {
            let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.trim().parse::<i64>().ok();
            number(key).is_some() && number(key) == number(value)
        }
        _ => false,
    }
}

/// `*` for any characters, `?` for one. Goes back to the last `*` only, so that no key takes long.
fn matches_wild(key: &[u8], value: &[u8]) -> bool {
    let (mut k, mut v, mut star) = (0, 0, None);
    while v < value.len() {
        match key.get(k) {
            Some(b'*') => {
                star = Some((k, v));
                k += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == value.get(v) => {
                k += 1;
                v += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    k = at + 1;
                    v = from + 1;
                }
                None => return false,
            },
        }
    }
    key.iter().skip(k).all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_match_the_values_of_the_original() {
        assert!(
            matches(ROWS, &[], &[0, 2])
                && matches(ROWS, &[0, 2], &[0, 2])
                && !matches(ROWS, &[0, 2], &[1, 2])
        );
        assert!(matches(PHOTOMETRIC, b"MONO*", b"MONOCHROME2 ") && matches(PHOTOMETRIC, b"R?B ", b"RGB "));
        assert!(
            !matches(PHOTOMETRIC, b"MONO*1", b"MONOCHROME2 ") && matches(PHOTOMETRIC, b"*2", b"MONOCHROME2 ")
        );
        assert!(matches(FRAMES, b"03", b"3 ") && !matches(FRAMES, b"x ", b"3 "));
        assert!(matches(SYNTAX, b"1.2\\1.3\0", b"1.3\0") && !matches(SYNTAX, b"1.2\\1.4\0", b"1.3\0"));
    }
}
