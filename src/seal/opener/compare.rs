//! Whether two encodings of one element say the same, whatever a PACS did to VRs, lengths of sequences and padding.

use dicom_core::{Tag, VR};

use crate::seal::DataDigest;
use crate::seal::carrier::LIMITS;
use crate::seal::element::{
    Conversion, ITEM, ITEM_DELIMITATION, Layout, Length, SEQUENCE_DELIMITATION, dictionary_vr, read_header,
};
use crate::seal::scan::ScanError;

/// An element as it came, with the layout it came in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoded<'a> {
    /// Header and value.
    pub(super) raw: &'a [u8],
    pub(super) layout: Layout,
}

/// Whether both are the same value. What cannot be read is not the same as anything.
pub(super) fn same(one: Encoded<'_>, other: Encoded<'_>) -> bool {
    if one.layout == other.layout && one.raw == other.raw {
        return true;
    }
    let explicit = one.layout.is_explicit() && other.layout.is_explicit();
    if one.layout != other.layout && explicit && little(one).is_ok_and(|one| little(other) == Ok(one)) {
        // Not everything that explicit VR can say can be said in implicit VR.
        return true;
    }
    match (plain(one), plain(other)) {
        (Ok(one), Ok(other)) => one == other || canonical(&one) == canonical(&other),
        _ => false,
    }
}

/// A digest that two encodings of an element have in common if they say the same: lengths of sequences, group lengths,
/// padding, and what stands in private elements within sequences, do not count.
#[must_use]
pub fn element_digest(layout: Layout, raw: &[u8]) -> [u8; 32] {
    let element = Encoded { raw, layout };
    let plainest = plain(element).ok().and_then(|implicit| canonical(&implicit));
    // Not everything that explicit VR can say can be said in implicit VR.
    let said = plainest.or_else(|| little(element).ok());
    DataDigest::of(said.as_deref().unwrap_or(raw))
}

/// In implicit VR, where only tags, lengths and values are left.
fn plain(element: Encoded<'_>) -> Result<Vec<u8>, ScanError> {
    convert(element, Layout::ImplicitLittle)
}

fn little(element: Encoded<'_>) -> Result<Vec<u8>, ScanError> {
    convert(element, Layout::ExplicitLittle)
}

fn convert(element: Encoded<'_>, to: Layout) -> Result<Vec<u8>, ScanError> {
    Conversion { from: element.layout, to, signed_pixels: false }.convert(element.raw, &LIMITS)
}

/// The element with delimiters and lengths of sequences, group lengths, padding and private elements taken out.
///
/// Private elements in a sequence say as little about what a PACS wants as those beside it: many remove them all.
///
/// It is for comparing two elements that were read without an error: where this reader and the one before differ on
/// what is a sequence, the two simply differ.
fn canonical(implicit: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(implicit.len());
    // The ends of the sequences and items that are open; none where a delimiter ends them.
    let mut open: Vec<Option<usize>> = Vec::new();
    // How many were open, and how much was put out, when a private sequence began.
    let mut private: Option<(usize, usize)> = None;
    let mut at = 0;
    loop {
        while open.last().is_some_and(|end| *end == Some(at)) {
            open.pop();
            out.push(b')');
        }
        if let Some((depth, length)) = private.filter(|(depth, _)| open.len() <= *depth) {
            out.truncate(length);
            private = None;
            debug_assert_eq!(open.len(), depth, "each sequence ends in what it began in");
        }
        if at == implicit.len() {
            return open.is_empty().then_some(out);
        }
        let header = read_header(Layout::ImplicitLittle, implicit.get(at..)?).ok()??;
        at = at.checked_add(usize::from(header.size))?;
        let end = match header.length {
            Length::Defined(length) => Some(at.checked_add(usize::try_from(length).ok()?)?),
            Length::Undefined => None,
        };
        let value = || implicit.get(at..end?);
        match (header.tag, end) {
            (ITEM_DELIMITATION | SEQUENCE_DELIMITATION, _) => {
                open.pop()?;
                out.push(b')');
            }
            (ITEM, _) => {
                open.push(end);
                out.push(b'(');
            }
            // A private element, or the length of a group (retired), in an item.
            (Tag(group, number), Some(end)) if !open.is_empty() && (group % 2 == 1 || number == 0) => {
                value()?;
                at = end;
            }
            (tag, Some(end)) if dictionary_vr(tag, false) != Some(VR::SQ) => {
                let value = trimmed(dictionary_vr(tag, false), value()?);
                at = end;
                put_tag(&mut out, tag);
                out.extend_from_slice(&u32::try_from(value.len()).ok()?.to_le_bytes());
                out.extend_from_slice(value);
            }
            (tag, end) => {
                if tag.group() % 2 == 1 && private.is_none() {
                    private = Some((open.len(), out.len()));
                }
                put_tag(&mut out, tag);
                open.push(end);
                out.push(b'[');
            }
        }
    }
}

fn put_tag(out: &mut Vec<u8>, tag: Tag) {
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
}

/// A text without what pads it to an even length; every other value as it is.
fn trimmed(vr: Option<VR>, value: &[u8]) -> &[u8] {
    let is_text = matches!(
        vr,
        Some(
            VR::AE
                | VR::AS
                | VR::CS
                | VR::DA
                | VR::DS
                | VR::DT
                | VR::IS
                | VR::LO
                | VR::LT
                | VR::PN
                | VR::SH
                | VR::ST
                | VR::TM
                | VR::UC
                | VR::UI
                | VR::UR
                | VR::UT
        )
    );
    let padding = |byte: &u8| matches!(byte, b' ' | 0);
    let kept = value.iter().rposition(|byte| !padding(byte)).map_or(0, |last| last.saturating_add(1));
    if is_text { value.get(..kept).unwrap_or_default() } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &[u8] = b"\x10\0\x10\0PN\x04\0A^B ";

    fn explicit(raw: &[u8]) -> Encoded<'_> {
        Encoded { raw, layout: Layout::ExplicitLittle }
    }

    fn implicit(raw: &[u8]) -> Encoded<'_> {
        Encoded { raw, layout: Layout::ImplicitLittle }
    }

    #[test]
    fn encodings_padding_and_lengths_of_sequences_make_no_difference() {
        assert!(same(explicit(NAME), implicit(b"\x10\0\x10\0\x04\0\0\0A^B ")));
        assert!(same(explicit(NAME), explicit(b"\x10\0\x10\0PN\x03\0A^B")));
        assert!(!same(explicit(NAME), explicit(b"\x10\0\x10\0PN\x04\0A^C ")));
        let defined = b"\x08\0\x40\x11\x14\0\0\0\xFE\xFF\0\xE0\x0C\0\0\0\x08\0\x50\x11\x04\0\0\x001.2\0";
        let undefined =
            b"\x08\0\x40\x11\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\x08\0\x50\x11\x04\0\0\x001.2\0\
            \xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
        assert!(same(implicit(defined), implicit(undefined)));
        let with_group_length =
            b"\x08\0\x40\x11\x20\0\0\0\xFE\xFF\0\xE0\x18\0\0\0\x08\0\0\0\x04\0\0\0\x0C\0\0\0\
            \x08\0\x50\x11\x04\0\0\x001.2\0";
        assert!(same(implicit(with_group_length), implicit(undefined)));
        let other = [&defined[..defined.len() - 2], b"3\0"].concat();
        assert!(!same(implicit(&other), implicit(undefined)));
    }

    #[test]
    fn what_implicit_vr_cannot_say_is_compared_in_explicit_vr() {
        // (0010,0011) is a sequence in the dictionary.
        let big = Encoded { raw: b"\0\x10\0\x11CS\0\x02AB", layout: Layout::ExplicitBig };
        assert!(same(big, explicit(b"\x10\0\x11\0CS\x02\0AB")));
        assert!(!same(big, explicit(b"\x10\0\x11\0CS\x02\0AC")));
    }

    #[test]
    fn private_elements_in_sequences_make_no_difference() {
        let item = |inside: &[u8]| {
            let start =
                b"\x08\0\x40\x11\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\xFF\xFF\xFF\xFF\x08\0\x50\x11\x04\0\0\x001.2\0";
            let end = b"\x10\0\x20\0\x02\0\0\0ID\xFE\xFF\x0D\xE0\0\0\0\0\xFE\xFF\xDD\xE0\0\0\0\0";
            [&start[..], inside, end].concat()
        };
        let creator = b"\x09\0\x10\0\x02\0\0\0ME";
        let sequence = b"\x09\0\x10\x10\xFF\xFF\xFF\xFF\xFE\xFF\0\xE0\x0A\0\0\0\x08\0\x50\x11\x02\0\0\x009\0\
            \xFE\xFF\xDD\xE0\0\0\0\0";
        let private = item(&[&creator[..], sequence].concat());
        assert!(same(implicit(&private), implicit(&item(b""))));
        let standard = item(b"\x08\0\x55\x11\x02\0\0\x009\0");
        assert!(!same(implicit(&standard), implicit(&item(b""))));
    }

    #[test]
    fn numbers_are_not_trimmed() {
        let rows = |value: &[u8]| [b"\x28\0\x10\0US\x02\0", value].concat();
        assert!(!same(explicit(&rows(b" \0")), explicit(&rows(b"\0\0"))));
    }

    #[test]
    fn what_cannot_be_read_is_the_same_as_nothing_but_itself() {
        let cut = &NAME[..10];
        assert!(same(explicit(cut), explicit(cut)));
        assert!(!same(explicit(cut), implicit(cut)));
    }
}
