//! The few elements that services have to read and write in small data sets, without believing a length.
//!
//! Only the structure is looked at: no character set is decoded, and what is not asked for is skipped.

use dicom_core::Tag;

use crate::dicom::{Encoding, Uid};

/// Nested sequences of undefined length that are walked through.
const DEPTH_MAX: usize = 64;
const ITEM: Tag = Tag(0xFFFE, 0xE000);
const ITEM_END: Tag = Tag(0xFFFE, 0xE00D);
const SEQUENCE_END: Tag = Tag(0xFFFE, 0xE0DD);
const UNDEFINED: u32 = u32::MAX;

/// Why a small data set cannot be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElementsError {
    /// Big Endian or deflated: no service proposes these for its data sets.
    #[error("a data set of a service in a transfer syntax that none is proposed in")]
    Encoding,
    /// The bytes end within an element.
    #[error("{0} claims {1} bytes, {2} are left")]
    TooLong(Tag, u32, usize),
    /// Something that is no header of an element.
    #[error("{0} bytes at the end are no element")]
    NoHeader(usize),
    /// A delimiter, an item or an element where it does not belong.
    #[error("{0} does not belong where it is")]
    Misplaced(Tag),
    /// Nested too deep.
    #[error("sequences nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// An element that the service cannot do without.
    #[error("{0} is missing")]
    Missing(Tag),
    /// An element with a value that is none of its kind.
    #[error("{0} has a value that is not allowed")]
    Value(Tag),
}

/// Little Endian, with or without VRs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Implicit,
    Explicit,
}

impl Syntax {
    pub(super) fn of(encoding: Encoding) -> Result<Self, ElementsError> {
        match encoding {
            Encoding::ImplicitLittle => Ok(Self::Implicit),
            Encoding::ExplicitLittle | Encoding::Encapsulated => Ok(Self::Explicit),
            Encoding::ExplicitBig | Encoding::Deflated => Err(ElementsError::Encoding),
        }
    }
}

/// One element: its value without delimiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: Tag,
    pub(super) value: &'a [u8],
    /// How what is nested in it is encoded.
    inner: Syntax,
}

struct Header {
    tag: Tag,
    length: u32,
    inner: Syntax,
}

/// The elements of one level, in order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    syntax: Syntax,
}

impl<'a> Elements<'a> {
    pub(super) fn new(bytes: &'a [u8], syntax: Syntax) -> Self {
        Self { rest: bytes, syntax }
    }

    pub(super) fn next(&mut self) -> Result<Option<Element<'a>>, ElementsError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let header = self.header(self.syntax)?;
        if matches!(header.tag, ITEM_END | SEQUENCE_END) {
            return Err(ElementsError::Misplaced(header.tag));
        }
        let value = if header.length == UNDEFINED { self.undefined(&header)? } else { self.take(&header)? };
        Ok(Some(Element { tag: header.tag, value, inner: header.inner }))
    }

    /// The first element with this tag on this level.
    pub(super) fn find(mut self, tag: Tag) -> Result<Option<Element<'a>>, ElementsError> {
        while let Some(element) = self.next()? {
            if element.tag == tag {
                return Ok(Some(element));
            }
        }
        Ok(None)
    }

    fn header(&mut self, syntax: Syntax) -> Result<Header, ElementsError> {
        let short = ElementsError::NoHeader(self.rest.len());
        let Some((tag, rest)) = split_tag(self.rest) else { return Err(short) };
        let Some((&second, rest)) = rest.split_first_chunk::<4>() else { return Err(short) };
        // PS3.5 7.5: items and delimiters have no VR in any encoding.
        if syntax == Syntax::Implicit || tag.group() == 0xFFFE {
            self.rest = rest;
            return Ok(Header { tag, length: u32::from_le_bytes(second), inner: syntax });
        }
        let [v, r, low, high] = second;
        // PS3.5 6.2.2 note 2: UN of undefined length holds Implicit VR.
        let inner = if [v, r] == *b"UN" { Syntax::Implicit } else { Syntax::Explicit };
        if !is_long([v, r]) {
            self.rest = rest;
            return Ok(Header { tag, length: u32::from(u16::from_le_bytes([low, high])), inner });
        }
        let Some((&length, rest)) = rest.split_first_chunk() else { return Err(short) };
        self.rest = rest;
        Ok(Header { tag, length: u32::from_le_bytes(length), inner })
    }

    fn take(&mut self, header: &Header) -> Result<&'a [u8], ElementsError> {
        let length = usize::try_from(header.length).unwrap_or(usize::MAX);
        let left = self.rest.len();
        let (value, rest) = self.rest.split_at_checked(length).ok_or(ElementsError::TooLong(
            header.tag,
            header.length,
            left,
        ))?;
        self.rest = rest;
        Ok(value)
    }

    /// The value of an element or item of undefined length: everything before the delimiter that belongs to it.
    fn undefined(&mut self, header: &Header) -> Result<&'a [u8], ElementsError> {
        let start = self.rest;
        let mut open = vec![(header.tag == ITEM, header.inner)];
        while let Some(&(in_item, syntax)) = open.last() {
            if open.len() > DEPTH_MAX {
                return Err(ElementsError::TooDeep);
            }
            let before = self.rest.len();
            let inner = self.header(syntax)?;
            let end = if in_item { ITEM_END } else { SEQUENCE_END };
            if inner.tag == end {
                open.pop();
                if open.is_empty() {
                    return Ok(start.get(..start.len() - before).unwrap_or_default());
                }
            } else if (in_item && inner.tag.group() == 0xFFFE) || (!in_item && inner.tag != ITEM) {
                return Err(ElementsError::Misplaced(inner.tag));
            } else if inner.length == UNDEFINED {
                open.push((inner.tag == ITEM, inner.inner));
            } else {
                self.take(&inner)?;
            }
        }
        Ok(&[])
    }
}

impl<'a> Element<'a> {
    /// The items of a sequence, each as its elements.
    pub(super) fn items(&self) -> Result<Vec<Elements<'a>>, ElementsError> {
        let mut items = Vec::new();
        let mut rest = Elements::new(self.value, self.inner);
        while let Some(item) = rest.next()? {
            if item.tag != ITEM {
                return Err(ElementsError::Misplaced(item.tag));
            }
            items.push(Elements::new(item.value, self.inner));
        }
        Ok(items)
    }

    /// The value as one UID.
    pub(super) fn uid(&self) -> Result<Uid, ElementsError> {
        Uid::from_wire(self.value).map_err(|_| ElementsError::Value(self.tag))
    }

    /// The value as UIDs; what is none is left out.
    pub(super) fn uids(&self) -> Vec<Uid> {
        self.value.split(|byte| *byte == b'\\').filter_map(|value| Uid::from_wire(value).ok()).collect()
    }

    /// The value as a US.
    pub(super) fn u16(&self) -> Result<u16, ElementsError> {
        self.value.try_into().map(u16::from_le_bytes).map_err(|_| ElementsError::Value(self.tag))
    }
}

fn split_tag(bytes: &[u8]) -> Option<(Tag, &[u8])> {
    let (&[a, b, c, d], rest) = bytes.split_first_chunk()?;
    Some((Tag(u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d])), rest))
}

/// PS3.5 table 7.1-1: VRs with two reserved bytes and a length of four.
fn is_long(vr: [u8; 2]) -> bool {
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"].contains(&&vr)
}

/// Writes elements, which the caller gives in the order of their tags.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    out: Vec<u8>,
    syntax: Syntax,
}

impl Writer {
    pub(super) fn new(syntax: Syntax) -> Self {
        Self { out: Vec::new(), syntax }
    }

    pub(super) fn uid(&mut self, tag: Tag, uid: &Uid) {
        let mut value = uid.as_str().as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(0);
        }
        self.put(tag, *b"UI", &value);
    }

    pub(super) fn text(&mut self, tag: Tag, vr: [u8; 2], text: &str) {
        let mut value = text.as_bytes().to_vec();
        if value.len() % 2 == 1 {
            value.push(b' ');
        }
        self.put(tag, vr, &value);
    }

    pub(super) fn u16(&mut self, tag: Tag, value: u16) {
        self.put(tag, *b"US", &value.to_le_bytes());
    }

    /// A sequence whose items are written by `item`.
    pub(super) fn sequence<T>(&mut self, tag: Tag, items: &[T], item: impl Fn(&mut Self, &T)) {
        let mut sequence = Vec::new();
        for one in items {
            let mut inner = Self::new(self.syntax);
            item(&mut inner, one);
            put_tag(&mut sequence, ITEM);
            sequence.extend_from_slice(&length(&inner.out).to_le_bytes());
            sequence.extend_from_slice(&inner.out);
        }
        self.put(tag, *b"SQ", &sequence);
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    /// Values of short VRs are UIDs, titles and numbers, far below the 65,535 bytes that these can have.
    fn put(&mut self, tag: Tag, vr: [u8; 2], value: &[u8]) {
        put_tag(&mut self.out, tag);
        if self.syntax == Syntax::Explicit {
            self.out.extend_from_slice(&vr);
        }
        if self.syntax == Syntax::Explicit && !is_long(vr) {
            let short = u16::try_from(value.len()).expect("UIDs, titles and numbers are short");
            self.out.extend_from_slice(&short.to_le_bytes());
        } else {
            if self.syntax == Syntax::Explicit {
                self.out.extend_from_slice(&[0, 0]);
            }
            self.out.extend_from_slice(&length(value).to_le_bytes());
        }
        self.out.extend_from_slice(value);
    }
}

fn put_tag(out: &mut Vec<u8>, tag: Tag) {
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("small data sets are held to scu.identifier_bytes_max")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: Tag = Tag(0x0008, 0x1199);

    fn uid(text: &str) -> Uid {
        Uid::parse(text).unwrap()
    }

    #[test]
    fn what_is_written_is_read_again_in_both_encodings() {
        for syntax in [Syntax::Implicit, Syntax::Explicit] {
            let mut writer = Writer::new(syntax);
            writer.text(Tag(0x0008, 0x0054), *b"AE", "ODD");
            writer.uid(Tag(0x0008, 0x0058), &uid("1.2.3"));
            writer.sequence(LIST, &[7, 9], |item, number| item.u16(Tag(0x0008, 0x1197), *number));
            let bytes = writer.finish();
            let elements = Elements::new(&bytes, syntax);
            assert_eq!(elements.find(Tag(0x0008, 0x0054)).unwrap().unwrap().value, b"ODD ");
            assert_eq!(elements.find(Tag(0x0008, 0x0058)).unwrap().unwrap().uid(), Ok(uid("1.2.3")));
            let items = elements.find(LIST).unwrap().unwrap().items().unwrap();
            let number = |item: &Elements| item.find(Tag(0x0008, 0x1197)).unwrap().unwrap().u16();
            assert_eq!(items.iter().map(number).collect::<Vec<_>>(), [Ok(7), Ok(9)]);
            assert_eq!(elements.find(Tag(0x0008, 0x0001)), Ok(None));
        }
    }

    /// An element header in Implicit VR.
    fn implicit(tag: Tag, length: u32, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        put_tag(&mut out, tag);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(value);
        out
    }

    #[test]
    fn undefined_lengths_end_where_their_own_delimiter_is() {
        let (item_end, list_end) = (implicit(ITEM_END, 0, &[]), implicit(SEQUENCE_END, 0, &[]));
        let number = implicit(Tag(0x0008, 0x1197), 2, &[5, 0]);
        let empty_list = implicit(LIST, UNDEFINED, &list_end);
        let item = implicit(ITEM, UNDEFINED, &[&empty_list[..], &number, &item_end].concat());
        let list = implicit(LIST, UNDEFINED, &[&item[..], &list_end].concat());
        let behind = implicit(Tag(0x0010, 0x0020), 2, b"ID");
        let bytes = [list, behind].concat();
        let elements = Elements::new(&bytes, Syntax::Implicit);
        let items = elements.find(LIST).unwrap().unwrap().items().unwrap();
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].find(Tag(0x0008, 0x1197)).unwrap().unwrap().u16(), Ok(5));
        assert_eq!(elements.find(Tag(0x0010, 0x0020)).unwrap().unwrap().value, b"ID");
    }

    #[test]
    fn un_of_undefined_length_is_read_as_implicit_vr() {
        let inner = implicit(ITEM, 10, &implicit(Tag(0x0008, 0x1197), 2, &[5, 0]));
        let mut bytes = Vec::new();
        put_tag(&mut bytes, LIST);
        bytes.extend_from_slice(b"UN\0\0\xFF\xFF\xFF\xFF");
        bytes.extend_from_slice(&[&inner[..], &implicit(SEQUENCE_END, 0, &[])].concat());
        let items = Elements::new(&bytes, Syntax::Explicit).find(LIST).unwrap().unwrap().items().unwrap();
        assert_eq!(items[0].find(Tag(0x0008, 0x1197)).unwrap().unwrap().u16(), Ok(5));
    }

    #[test]
    fn lengths_and_depths_are_not_believed() {
        let find = |bytes: &[u8]| Elements::new(bytes, Syntax::Implicit).find(LIST).map(|_| ());
        assert_eq!(find(&implicit(LIST, 9, b"12")), Err(ElementsError::TooLong(LIST, 9, 2)));
        assert_eq!(find(&implicit(LIST, UNDEFINED, &[])), Err(ElementsError::NoHeader(0)));
        assert_eq!(find(&[1, 2, 3]), Err(ElementsError::NoHeader(3)));
        assert_eq!(find(&implicit(ITEM_END, 0, &[])), Err(ElementsError::Misplaced(ITEM_END)));
        let stray = implicit(LIST, UNDEFINED, &implicit(LIST, 0, &[]));
        assert_eq!(find(&stray), Err(ElementsError::Misplaced(LIST)));
        let nested = [implicit(LIST, UNDEFINED, &[]), implicit(ITEM, UNDEFINED, &[])].concat().repeat(5000);
        assert_eq!(find(&nested), Err(ElementsError::TooDeep));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0..100_usize) {
            let mut bytes = bytes;
            // Something to find, at any place.
            let list = implicit(LIST, UNDEFINED, &implicit(ITEM, 4, &[]));
            let at = at.min(bytes.len());
            bytes.splice(at..at, list);
            for syntax in [Syntax::Implicit, Syntax::Explicit] {
                for start in [0, at] {
                    if let Ok(Some(element)) = Elements::new(&bytes[start..], syntax).find(LIST) {
                        for item in element.items().unwrap_or_default() {
                            let _ = item.find(LIST);
                        }
                        let _ = (element.uid(), element.uids(), element.u16());
                    }
                }
            }
        }
    }
}
