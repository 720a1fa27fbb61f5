//! The front of a DICOM file: preamble, prefix and file meta information, kept byte for byte (PS3.10 section 7.1).

use std::io::{self, Read};

use dicom_core::{Tag, VR};

use super::error::{Place, ScanError};
use super::limits::Limits;
use crate::dicom::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Uid};
use crate::seal::element::{Layout, Length, read_header, tag_of, write_header};

const TRANSFER_SYNTAX_UID: Tag = Tag(0x0002, 0x0010);
const PREAMBLE_BYTES: usize = 128;
const PREFIX: &[u8] = b"DICM";

/// What stands before the data set of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front {
    /// Preamble, prefix and file meta information as they are in the file; empty for a bare data set.
    pub raw: Vec<u8>,
    /// The transfer syntax of the data set behind it.
    pub transfer_syntax: Uid,
}

/// Preamble, prefix and file meta information for a data set of ours (PS3.10 table 7.1-1).
#[must_use]
pub fn write(sop_class: &Uid, sop_instance: &Uid, transfer_syntax: &str) -> Vec<u8> {
    let mut elements = Vec::with_capacity(256);
    let mut put = |number: u16, vr: VR, value: &[u8]| {
        let padded = value.len().next_multiple_of(2);
        let length = Length::Defined(u32::try_from(padded).unwrap_or(u32::MAX));
        write_header(&mut elements, Layout::ExplicitLittle, Tag(0x0002, number), vr, length);
        elements.extend_from_slice(value);
        if padded != value.len() {
            elements.push(if vr == VR::SH { b' ' } else { 0 });
        }
    };
    put(0x0001, VR::OB, &[0, 1]);
    put(0x0002, VR::UI, sop_class.as_str().as_bytes());
    put(0x0003, VR::UI, sop_instance.as_str().as_bytes());
    put(0x0010, VR::UI, transfer_syntax.as_bytes());
    put(0x0012, VR::UI, IMPLEMENTATION_CLASS_UID.as_bytes());
    put(0x0013, VR::SH, IMPLEMENTATION_VERSION_NAME.as_bytes());
    let mut out = vec![0; PREAMBLE_BYTES];
    out.extend_from_slice(PREFIX);
    write_header(&mut out, Layout::ExplicitLittle, Tag(0x0002, 0x0000), VR::UL, Length::Defined(4));
    out.extend_from_slice(&u32::try_from(elements.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&elements);
    out
}

/// What [`split`] makes of the start of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Split {
    /// The front is longer than this; come again with more bytes from the start of the file.
    NeedsMore,
    /// The data set begins behind so many bytes, in this transfer syntax.
    At(usize, Uid),
}

/// Why the front of a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// The file cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no DICOM file, or a bad one.
    #[error("{0}")]
    Scan(#[from] ScanError),
}

/// Reads the front of a file, and returns it with the first bytes of the data set, which were read with it.
///
/// Tolerated, because archives hold such files: no preamble, no prefix, a wrong group length. `fallback` is the
/// transfer syntax of files that do not say it themselves: those without file meta information, or with one that
/// lacks it. Without it such files are refused; nothing is guessed.
pub fn read(
    source: &mut impl Read,
    limits: &Limits,
    fallback: Option<&Uid>,
) -> Result<(Front, Vec<u8>), FrontError> {
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        source.by_ref().take(4096).read_to_end(&mut bytes)?;
        let ended = bytes.len() == before;
        if let Split::At(end, transfer_syntax) = split(&bytes, ended, limits, fallback)? {
            let rest = bytes.split_off(end);
            return Ok((Front { raw: bytes, transfer_syntax }, rest));
        }
    }
}

/// Finds where the data set begins, in the first bytes of a file; `ended` says that there are no more.
pub fn split(bytes: &[u8], ended: bool, limits: &Limits, fallback: Option<&Uid>) -> Result<Split, ScanError> {
    if bytes.len() < PREAMBLE_BYTES.saturating_add(PREFIX.len()) && !ended {
        return Ok(Split::NeedsMore);
    }
    let Some(start) = meta_start(bytes) else {
        return match fallback {
            Some(syntax) => Ok(Split::At(0, syntax.clone())),
            None => Err(ScanError::NotPart10),
        };
    };
    match walk(bytes, start, ended)? {
        Some((end, _)) if end > limits.meta_bytes_max => {
            Err(ScanError::MetaTooLong { max: limits.meta_bytes_max })
        }
        Some((end, syntax)) => {
            let syntax = match syntax {
                Some(value) => Some(Uid::from_wire(value)?),
                None => fallback.cloned(),
            };
            syntax.map(|syntax| Split::At(end, syntax)).ok_or(ScanError::NoTransferSyntax)
        }
        None if bytes.len() > limits.meta_bytes_max => {
            Err(ScanError::MetaTooLong { max: limits.meta_bytes_max })
        }
        None => Ok(Split::NeedsMore),
    }
}

/// Where the file meta information begins, if the file begins like one that has it.
fn meta_start(bytes: &[u8]) -> Option<usize> {
    let after_prefix = PREAMBLE_BYTES.saturating_add(PREFIX.len());
    if bytes.get(PREAMBLE_BYTES..after_prefix) == Some(PREFIX) {
        Some(after_prefix)
    } else if bytes.starts_with(PREFIX) {
        Some(PREFIX.len())
    } else if bytes.starts_with(&[0x02, 0x00]) {
        Some(0)
    } else {
        None
    }
}

/// Where the elements of group 0002 end, and the value of the transfer syntax among them.
type Meta<'a> = (usize, Option<&'a [u8]>);

/// The end of the elements of group 0002 and the value of the transfer syntax among them; none if bytes are missing.
///
/// PS3.10 7.1: always Explicit VR Little Endian. The group length is not believed: it is wrong in many files, and
/// the groups themselves say where group 0002 ends.
fn walk(bytes: &[u8], start: usize, ended: bool) -> Result<Option<Meta<'_>>, ScanError> {
    let (mut at, mut syntax) = (start, None);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let offset = at as u64;
        if rest.first_chunk().is_some_and(|group| *group != [0x02, 0x00]) || (ended && rest.is_empty()) {
            return Ok(Some((at, syntax)));
        }
        let bad_vr = |letters| ScanError::BadVr {
            place: Place { tag: tag_of(Layout::ExplicitLittle, rest), at: offset },
            bytes: letters,
        };
        let Some(header) = read_header(Layout::ExplicitLittle, rest).map_err(bad_vr)? else {
            let end = bytes.len() as u64;
            return if ended { Err(ScanError::TruncatedHeader { at: offset, end }) } else { Ok(None) };
        };
        let place = Place { tag: header.tag, at: offset };
        let Length::Defined(length) = header.length else {
            return Err(ScanError::UndefinedLength { place });
        };
        let value = rest.get(usize::from(header.size)..).unwrap_or_default();
        let Some(value) = usize::try_from(length).ok().and_then(|n| value.get(..n)) else {
            let (claimed, left) = (u64::from(length), value.len() as u64);
            return if ended { Err(ScanError::Length { place, claimed, left }) } else { Ok(None) };
        };
        if header.tag == TRANSFER_SYNTAX_UID && syntax.replace(value).is_some() {
            return Err(ScanError::Duplicate { place });
        }
        at = at.saturating_add(usize::from(header.size)).saturating_add(value.len());
    }
}

#[cfg(test)]
mod tests {
    use dicom_core::VR;

    use super::*;
    use crate::seal::element::write_header;

    fn element(tag: Tag, vr: VR, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let length = Length::Defined(u32::try_from(value.len()).unwrap());
        write_header(&mut out, Layout::ExplicitLittle, tag, vr, length);
        [&out[..], value].concat()
    }

    fn meta() -> Vec<u8> {
        let parts = [
            element(Tag(0x0002, 0x0000), VR::UL, &[1, 0, 0, 0]),
            element(Tag(0x0002, 0x0001), VR::OB, &[0, 1]),
            element(TRANSFER_SYNTAX_UID, VR::UI, b"1.2.840.10008.1.2.1\0"),
        ];
        parts.concat()
    }

    fn data_set() -> Vec<u8> {
        element(Tag(0x0010, 0x0010), VR::PN, &[b'x'; 5000])
    }

    fn front(file: &[u8], fallback: Option<&str>) -> Result<(Front, Vec<u8>), FrontError> {
        let fallback = fallback.map(|uid| Uid::parse(uid).unwrap());
        read(&mut &file[..], &Limits::default(), fallback.as_ref())
    }

    #[test]
    fn takes_files_with_and_without_preamble_and_keeps_their_bytes() {
        let preamble = [7; PREAMBLE_BYTES];
        for start in [&[&preamble, PREFIX].concat()[..], PREFIX, &[]] {
            let head = [start, &meta()].concat();
            let mut file = head.clone();
            file.extend(data_set());
            let (front, mut rest) = front(&file, None).unwrap();
            assert_eq!(front.raw, head);
            assert_eq!(front.transfer_syntax.as_str(), "1.2.840.10008.1.2.1");
            rest.extend(&file[head.len() + rest.len()..]);
            assert_eq!(rest, data_set());
        }
    }

    #[test]
    fn takes_a_bare_data_set_only_where_its_syntax_is_named() {
        assert!(matches!(front(&data_set(), None), Err(FrontError::Scan(ScanError::NotPart10))));
        let (front, _) = front(&data_set(), Some("1.2.840.10008.1.2")).unwrap();
        assert_eq!((front.raw.len(), front.transfer_syntax.as_str()), (0, "1.2.840.10008.1.2"));
    }

    #[test]
    fn wants_a_transfer_syntax_from_somewhere() {
        let file = [element(Tag(0x0002, 0x0001), VR::OB, &[0, 1]), data_set()].concat();
        assert!(matches!(front(&file, None), Err(FrontError::Scan(ScanError::NoTransferSyntax))));
        assert!(front(&file, Some("1.2.840.10008.1.2.1")).is_ok());
        let file = [meta(), meta(), data_set()].concat();
        assert!(matches!(front(&file, None), Err(FrontError::Scan(ScanError::Duplicate { .. }))));
    }

    #[test]
    fn reads_no_more_than_the_limit() {
        let mut endless = io::repeat(0).take(300 * 1024);
        let mut start: &[u8] = b"\x02\0\x01\0OB\0\0\xF0\xFF\xFF\xFF";
        let error = read(&mut Read::chain(&mut start, &mut endless), &Limits::default(), None).unwrap_err();
        assert!(matches!(error, FrontError::Scan(ScanError::MetaTooLong { max: 262_144 })), "{error}");
    }

    #[test]
    fn is_the_same_wherever_the_bytes_are_cut() {
        let file = [&[0; PREAMBLE_BYTES], PREFIX, &meta(), &data_set()[..]].concat();
        let end = PREAMBLE_BYTES + PREFIX.len() + meta().len();
        for n in 0..file.len() {
            let expected = if n < end + 2 {
                Split::NeedsMore
            } else {
                split(&file, true, &Limits::default(), None).unwrap()
            };
            assert_eq!(split(&file[..n], false, &Limits::default(), None), Ok(expected), "{n} bytes");
        }
        for n in 0..end {
            let cut = split(&file[..n], true, &Limits::default(), None);
            assert!(!matches!(cut, Ok(Split::NeedsMore)), "an end is an end, {n} bytes: {cut:?}");
        }
    }
}
