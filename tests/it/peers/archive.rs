//! A small archive of real studies for queries: what is in it, and identifiers to ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use dicom_core::Tag;
use dicom_object::{InMemDicomObject, OpenFileOptions};
use sealgate::association::{self, Proposal};
use sealgate::dicom::{AeAddress, AeTitle, Encoding, TransferSyntax, Uid};
use sealgate::scu::{Caller, Config, Destination, Tcp, for_storing, store};

use super::{Sample, samples};

pub(crate) const LEVEL: Tag = Tag(0x0008, 0x0052);
pub(crate) const PATIENT: Tag = Tag(0x0010, 0x0020);
pub(crate) const STUDY: Tag = Tag(0x0020, 0x000D);
pub(crate) const SERIES: Tag = Tag(0x0020, 0x000E);
pub(crate) const INSTANCE: Tag = Tag(0x0008, 0x0018);

/// A sample with the values that queries ask for.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) sample: Sample,
    pub(crate) object: InMemDicomObject,
}

impl Kept {
    /// A value as text, without padding.
    pub(crate) fn text(&self, tag: Tag) -> String {
        text(&self.object, tag)
    }
}

/// A value as text, without padding; empty where there is none.
pub(crate) fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let value = object.element_opt(tag).expect("a readable object");
    let value = value.and_then(|element| element.to_str().ok().map(|text| text.into_owned()));
    value.unwrap_or_default().trim_end_matches(['\0', ' ']).to_owned()
}

/// As whom the tests call.
pub(crate) fn to(address: AeAddress) -> Destination {
    Destination { address, calling: AeTitle::parse("SEALGATE").expect("a title") }
}

/// Associates under these limits.
pub(crate) async fn call_with(address: AeAddress, proposals: &[Proposal], config: Config) -> Caller {
    let door = association::Config::default();
    Caller::associate(&Tcp, &to(address), proposals, &door, &Arc::new(config)).await.expect("associated")
}

/// Associates.
pub(crate) async fn call(address: AeAddress, proposals: &[Proposal]) -> Caller {
    call_with(address, proposals, Config::default()).await
}

/// Stores three patients with their studies, in Explicit VR Little Endian, and says what there is now.
pub(crate) async fn fill(address: AeAddress) -> Vec<Kept> {
    let mut kept: Vec<Kept> = samples()
        .into_iter()
        .filter(|sample| {
            let is_plain = sample.instance.transfer_syntax.uid == TransferSyntax::EXPLICIT_LITTLE;
            is_plain && sample.path.to_string_lossy().contains("dicomdirtests")
        })
        .map(|sample| {
            let file = OpenFileOptions::new().open_file(&sample.path).expect("a DICOM file");
            Kept { object: file.into_inner(), sample }
        })
        .collect();
    let mut seen = std::collections::BTreeSet::new();
    kept.retain(|one| seen.insert(one.sample.instance.instance.clone()));
    assert!(kept.len() > 20, "{}", kept.len());
    let mut needs: Vec<_> = kept.iter().map(|one| one.sample.instance.need()).collect();
    needs.dedup();
    let mut caller = call(address, &for_storing(&needs)).await;
    for one in &kept {
        store(&mut caller, &one.sample.instance, &mut one.sample.data_set.clone()).await.expect("stored");
    }
    caller.release().await;
    kept
}

/// An identifier: a level, and keys with their values, which may be empty.
pub(crate) fn identifier(level: &str, keys: &[(Tag, &str)], encoding: Encoding) -> Vec<u8> {
    let mut elements: Vec<(Tag, &str)> = keys.iter().copied().chain([(LEVEL, level)]).collect();
    elements.sort_unstable();
    let mut bytes = Vec::new();
    for (tag, value) in elements {
        let (vr, padding) = match tag {
            PATIENT => (b"LO", b' '),
            LEVEL => (b"CS", b' '),
            _ => (b"UI", 0),
        };
        let mut value = value.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(padding);
        }
        let length = u16::try_from(value.len()).expect("a short value");
        bytes.extend_from_slice(&[tag.group().to_le_bytes(), tag.element().to_le_bytes()].concat());
        match encoding {
            Encoding::ImplicitLittle => bytes.extend_from_slice(&u32::from(length).to_le_bytes()),
            _ => bytes.extend_from_slice(&[&vr[..], &length.to_le_bytes()].concat()),
        }
        bytes.extend_from_slice(&value);
    }
    bytes
}

/// Reads an identifier without sequences of undefined length.
pub(crate) fn read(identifier: &[u8], encoding: Encoding) -> BTreeMap<Tag, Vec<u8>> {
    let u16_at = |bytes: &[u8], at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |bytes: &[u8], at: usize| {
        usize::try_from(u32::from_le_bytes(*bytes[at..].first_chunk().expect("4 bytes"))).expect("a length")
    };
    let (mut rest, mut found) = (identifier, BTreeMap::new());
    while !rest.is_empty() {
        let tag = Tag(u16_at(rest, 0), u16_at(rest, 2));
        let is_long = [b"OB", b"OW", b"SQ", b"UN", b"UT"].iter().any(|vr| rest[4..6] == vr[..]);
        let (length, head) = match (encoding, is_long) {
            (Encoding::ImplicitLittle, _) => (u32_at(rest, 4), 8),
            (_, true) => (u32_at(rest, 8), 12),
            (_, false) => (usize::from(u16_at(rest, 6)), 8),
        };
        found.insert(tag, rest[head..head + length].to_vec());
        rest = &rest[head + length..];
    }
    found
}

/// A value of an identifier as text, without padding.
pub(crate) fn value(identifier: &BTreeMap<Tag, Vec<u8>>, tag: Tag) -> String {
    let bytes = identifier.get(&tag).map(Vec::as_slice).unwrap_or_default();
    String::from_utf8_lossy(bytes).trim_end_matches(['\0', ' ']).to_owned()
}

/// Every value of an attribute there is, once.
pub(crate) fn values(kept: &[Kept], tag: Tag) -> Vec<String> {
    let mut values: Vec<String> = kept.iter().map(|one| one.text(tag)).collect();
    values.sort();
    values.dedup();
    values
}

/// A UID out of a literal.
pub(crate) fn uid(text: &str) -> Uid {
    Uid::parse(text).expect("a UID")
}
