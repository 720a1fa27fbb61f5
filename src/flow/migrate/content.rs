//! What a data set says, however it is written: by this a copy that is read back from an archive is compared with what went
//! there.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dicom_core::Tag;

use crate::dicom::{Encoding, TransferSyntax};
use crate::flow::release::Converter;
use crate::seal::element::Layout;
use crate::seal::scan::{Event, Limits, ScanError, Scanner};
use crate::seal::{DataDigest, element_digest};

/// Attributes that are named in a message; all are counted.
const NAMED_MAX: usize = 8;
/// Data Set Trailing Padding, which means nothing.
const PADDING: Tag = Tag(0xFFFC, 0xFFFC);

/// Digests of one data set: of each attribute, and of what streams, which is its pixels or its document.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Content {
    attributes: BTreeMap<Tag, [u8; 32]>,
    bulk: [u8; 32],
}

/// How a copy differs from what it is of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Its pixels, or its document.
    Bulk,
    /// These attributes are gone or have another value. What an archive has added does not count.
    Attributes(Vec<Tag>),
}

/// Reads a data set as it comes.
pub(super) struct ContentReader {
    /// What is in big endian is compared as little endian.
    converter: Option<Converter>,
    scanner: Scanner,
    layout: Layout,
    attributes: BTreeMap<Tag, [u8; 32]>,
    bulk: DataDigest,
}

impl ContentReader {
    pub(super) fn new(syntax: TransferSyntax) -> Self {
        let is_big = syntax.encoding == Encoding::ExplicitBig;
        let encoding = if is_big { Encoding::ExplicitLittle } else { syntax.encoding };
        Self {
            converter: is_big.then(|| Converter::new(syntax.encoding, encoding)),
            scanner: Scanner::new(encoding, Limits::default(), None),
            layout: Layout::from(encoding),
            attributes: BTreeMap::new(),
            bulk: DataDigest::default(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        match &mut self.converter {
            Some(converter) => {
                let little = converter.push(bytes)?;
                self.take(&little)
            }
            None => self.take(bytes),
        }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), ScanError> {
        let Self { scanner, layout, attributes, bulk, .. } = self;
        scanner.push(bytes, &mut |event| {
            match event {
                // Group lengths are retired, and each writer's own.
                Event::Element(element) if element.tag.element() == 0 || element.tag == PADDING => {}
                Event::Element(element) => {
                    let own = element_digest(*layout, element.raw);
                    // One that comes twice counts twice.
                    let both = |before: &[u8; 32]| DataDigest::of(&[*before, own].concat());
                    let digest = attributes.get(&element.tag).map_or(own, both);
                    attributes.insert(element.tag, digest);
                }
                Event::Begin(head) => {
                    bulk.update(&[head.tag.group().to_le_bytes(), head.tag.element().to_le_bytes()].concat());
                }
                Event::Bytes(bytes) => bulk.update(bytes),
                Event::End(_) => {}
            }
            Ok::<(), ScanError>(())
        })
    }

    /// The data set is over: an error unless it is complete.
    pub(super) fn finish(mut self) -> Result<Content, ScanError> {
        if let Some(mut converter) = self.converter {
            converter.finish()?;
        }
        self.scanner.finish()?;
        Ok(Content { attributes: self.attributes, bulk: self.bulk.finish() })
    }
}

impl Content {
    /// How `copy` differs from this, if it does.
    pub(super) fn compare(&self, copy: &Self) -> Result<(), Difference> {
        if self.bulk != copy.bulk {
            return Err(Difference::Bulk);
        }
        let differs = |(tag, own): &(&Tag, &[u8; 32])| copy.attributes.get(tag) != Some(own);
        let differing: Vec<Tag> = self.attributes.iter().filter(differs).map(|(tag, _)| *tag).collect();
        if differing.is_empty() { Ok(()) } else { Err(Difference::Attributes(differing)) }
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bulk => f.write_str("it has other pixels, or another document"),
            Self::Attributes(tags) => {
                let named = tags.iter().take(NAMED_MAX).fold(String::new(), |mut text, tag| {
                    let _ = write!(text, " {tag}");
                    text
                });
                write!(
                    f,
                    "{} of its attributes are gone or have another value:{named}; where the archive may do that, \
                     say --accept-changes",
                    tags.len()
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x10\0\x10\0PN\x08\0Doe^John";
    const PADDED: &[u8] = b"\x10\0\x10\0PN\x0A\0Doe^John  ";
    const SEQUENCE: &[u8] =
        b"\x08\0\x11\x11SQ\0\0\x12\0\0\0\xFE\xFF\0\xE0\x0A\0\0\0\x28\0\x10\0US\x02\0\x01\x02";
    const UNDEFINED: &[u8] =
        b"\x08\0\x11\x11SQ\0\0\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\x28\0\x10\0US\x02\0\x01\x02\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
    const PIXELS: &[u8] = b"\xE0\x7F\x10\0OW\0\0\x04\0\0\0abcd";

    fn content(uid: &str, parts: &[&[u8]]) -> Content {
        let mut reader = ContentReader::new(TransferSyntax::by_uid(uid).unwrap());
        parts.concat().chunks(7).for_each(|piece| reader.push(piece).unwrap());
        reader.finish().unwrap()
    }

    fn explicit(parts: &[&[u8]]) -> Content {
        content(TransferSyntax::EXPLICIT_LITTLE, parts)
    }

    #[test]
    fn other_ways_of_writing_the_same_are_the_same() {
        let sent = explicit(&[SEQUENCE, NAME, PIXELS]);
        let length: &[u8] = b"\x10\0\0\0UL\x04\0\x12\0\0\0";
        let added: &[u8] = b"\x10\0\x20\0LO\x02\x00A ";
        let padding: &[u8] = b"\xFC\xFF\xFC\xFFOB\0\0\x02\0\0\0\0\0";
        assert_eq!(sent.compare(&explicit(&[UNDEFINED, length, PADDED, added, PIXELS, padding])), Ok(()));
        let big: &[u8] = b"\0\x10\0\x10PN\0\x08Doe^John\x7F\xE0\0\x10OW\0\0\0\0\0\x04badc";
        let without = explicit(&[NAME, PIXELS]);
        assert_eq!(without.compare(&content(TransferSyntax::EXPLICIT_BIG, &[big])), Ok(()));
        let implicit: &[u8] = b"\x10\0\x10\0\x08\0\0\0Doe^John\xE0\x7F\x10\0\x04\0\0\0abcd";
        assert_eq!(without.compare(&content(TransferSyntax::IMPLICIT_LITTLE, &[implicit])), Ok(()));
    }

    #[test]
    fn what_is_gone_or_other_is_found_and_named_without_its_value() {
        let sent = explicit(&[SEQUENCE, NAME, PIXELS]);
        let other = b"\x10\0\x10\0PN\x08\0Doe^Jane";
        let found = sent.compare(&explicit(&[other, PIXELS])).unwrap_err();
        assert_eq!(found, Difference::Attributes(vec![Tag(0x0008, 0x1111), Tag(0x0010, 0x0010)]));
        let said = found.to_string();
        assert!(
            said.starts_with("2 of its attributes") && said.contains("(0010,0010)") && !said.contains("Doe"),
            "{said}"
        );
        let pixels = [&PIXELS[..PIXELS.len() - 1], b"e"].concat();
        assert_eq!(sent.compare(&explicit(&[SEQUENCE, NAME, &pixels])), Err(Difference::Bulk));
        assert_eq!(sent.compare(&explicit(&[SEQUENCE, NAME])), Err(Difference::Bulk));
        let mut cut = ContentReader::new(TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).unwrap());
        cut.push(&PIXELS[..10]).unwrap();
        assert!(cut.finish().is_err());
    }
}
