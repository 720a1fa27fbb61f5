//! The private block of a sealed instance: the wrapped content key, found by its creator and never by its number.

use dicom_core::{Tag, VR};

use super::clear::is_our_creator;
use crate::seal::element::{Layout, Length, write_header};
use crate::seal::key::KeyId;

/// The private creator (PS3.5 7.8.1), an even number of characters. Its number is the version of the block.
pub(super) const CREATOR: &[u8] = b"SEALGATE 1";
/// The group it is written in, between the descriptions of an image and its overlays: "SG".
pub(super) const GROUP: u16 = 0x5347;
/// The same in an encapsulated document, which stands in group 0042: whoever opens it needs the key before.
pub(super) const GROUP_BEFORE_DOCUMENT: u16 = 0x0041;
/// (gggg,xx01): the key record.
const KEY_RECORD: u16 = 0x01;
/// (gggg,xx02): the key id, where there is no key record.
const KEY_ID: u16 = 0x02;

/// Writes creator and key record, or key id, in a block that no creator in `taken` has.
///
/// Gives the elements one by one, with their tags.
pub(super) fn write(
    layout: Layout,
    group: u16,
    taken: &[Tag],
    key_id: KeyId,
    key_record: Option<&[u8]>,
    mut element: impl FnMut(Tag, &[u8]),
) {
    let block = (0x10..=0xFF).find(|block| !taken.contains(&Tag(group, *block))).unwrap_or(0x10);
    let numbered = |number: u16| Tag(group, (block << 8) | number);
    let mut put = |tag: Tag, vr: VR, value: &[u8]| {
        let mut raw = Vec::with_capacity(value.len().saturating_add(13));
        let padded = value.len().next_multiple_of(2);
        write_header(&mut raw, layout, tag, vr, Length::Defined(u32::try_from(padded).unwrap_or(u32::MAX)));
        raw.extend_from_slice(value);
        if padded != value.len() {
            raw.push(0);
        }
        element(tag, &raw);
    };
    put(Tag(group, block), VR::LO, CREATOR);
    // A key record has the key id in it.
    match key_record {
        Some(record) => put(numbered(KEY_RECORD), VR::OB, record),
        None => put(numbered(KEY_ID), VR::OB, key_id.as_bytes()),
    }
}

/// Finds the block among the private elements of an instance, wherever a PACS has put it.
#[derive(Debug, Default)]
pub(in crate::seal) struct BlockFinder {
    creator: Option<(u16, u16)>,
    key_record: Option<Vec<u8>>,
}

impl BlockFinder {
    /// Looks at one private element. The creator comes before what it reserves: its number is smaller.
    pub(in crate::seal) fn take(&mut self, tag: Tag, value: &[u8]) {
        let Tag(group, number) = tag;
        if self.creator.is_none() && (0x0010..=0x00FF).contains(&number) && is_our_creator(value) {
            self.creator = Some((group, number));
        } else if self.creator == Some((group, number >> 8)) && number & 0xFF == KEY_RECORD {
            self.key_record = Some(value.to_vec());
        }
    }

    /// The key record, if the instance carries one; a padding byte may stand behind it.
    pub(in crate::seal) fn key_record(&self) -> Option<&[u8]> {
        self.key_record.as_deref()
    }

    /// Whether there is such a block at all.
    pub(in crate::seal) fn is_present(&self) -> bool {
        self.creator.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::element::read_header;

    fn written(taken: &[Tag]) -> Vec<(Tag, Vec<u8>)> {
        let mut out = Vec::new();
        let id = KeyId::new([7; 16]);
        write(Layout::ExplicitLittle, GROUP, taken, id, Some(b"odd"), |tag, raw| {
            out.push((tag, raw.to_vec()));
        });
        out
    }

    #[test]
    fn a_block_is_found_again_in_any_group_and_under_any_number() {
        for shift in [0, 0x0042] {
            let mut finder = BlockFinder::default();
            for (tag, raw) in written(&[]) {
                let header = read_header(Layout::ExplicitLittle, &raw).unwrap().unwrap();
                let number = if tag.element() < 0x100 { shift } else { shift << 8 };
                finder.take(Tag(0x0019, tag.element() + number), &raw[usize::from(header.size)..]);
            }
            assert_eq!(finder.key_record(), Some(&b"odd\0"[..]));
        }
    }

    #[test]
    fn a_block_that_is_taken_is_left_alone() {
        let blocks = [Tag(GROUP, 0x10), Tag(GROUP, 0x11)];
        let tags: Vec<Tag> = written(&blocks).into_iter().map(|(tag, _)| tag).collect();
        assert_eq!(tags, [Tag(GROUP, 0x12), Tag(GROUP, 0x1201)]);
    }
}
