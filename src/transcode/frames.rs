//! The frames of encapsulated pixels (PS3.5 A.4): which fragments belong to which.

use std::borrow::Cow;

use super::error::TranscodeError;
use super::frame::Codec;

const ITEM: [u8; 4] = [0xFE, 0xFF, 0x00, 0xE0];

/// A fragment, and where its item begins behind the offset table.
struct Fragment<'a> {
    at: u64,
    bytes: &'a [u8],
}

/// The frames in their order. `extended` is the Extended Offset Table, empty where there is none.
pub(super) fn split<'a>(
    value: &'a [u8],
    extended: &[u64],
    frames: u32,
    codec: Codec,
) -> Result<Vec<Cow<'a, [u8]>>, TranscodeError> {
    let (table, fragments) = items(value);
    let wrong = || TranscodeError::Fragments { fragments: fragments.len(), frames };
    let count = usize::try_from(frames).map_err(|_| wrong())?;
    if fragments.is_empty() {
        return Err(wrong());
    }
    if count == 1 {
        return Ok(vec![joined(&fragments)]);
    }
    if fragments.len() == count {
        return Ok(fragments.iter().map(|fragment| Cow::Borrowed(fragment.bytes)).collect());
    }
    let begins: Vec<usize> = if extended.len() == count || table.len() == count {
        let offsets = if extended.len() == count { extended } else { &table };
        let place = |offset: &u64| fragments.iter().position(|fragment| fragment.at == *offset);
        offsets.iter().map(place).collect::<Option<_>>().ok_or_else(wrong)?
    } else {
        let is_first = |fragment: &Fragment<'_>| codec.begins(fragment.bytes);
        fragments.iter().enumerate().filter(|(_, one)| is_first(one)).map(|(index, _)| index).collect()
    };
    if begins.len() != count || begins.first() != Some(&0) || !begins.is_sorted_by(|a, b| a < b) {
        return Err(wrong());
    }
    let ends = begins.iter().skip(1).copied().chain([fragments.len()]);
    let groups = begins.iter().zip(ends).map(|(begin, end)| fragments.get(*begin..end).map(joined));
    groups.collect::<Option<_>>().ok_or_else(wrong)
}

/// The Basic Offset Table, and the fragments behind it. The scanner has seen that items are whole.
fn items(value: &[u8]) -> (Vec<u64>, Vec<Fragment<'_>>) {
    let (mut table, mut fragments) = (None, Vec::new());
    let (mut rest, mut at) = (value, 0_u64);
    while let Some((ITEM, behind)) = rest.split_first_chunk::<4>().map(|(tag, behind)| (*tag, behind)) {
        let Some((length, behind)) = behind.split_first_chunk::<4>() else { break };
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let Some((bytes, behind)) = behind.split_at_checked(length) else { break };
        rest = behind;
        if table.is_none() {
            let numbers = bytes.chunks_exact(4).filter_map(|bytes| bytes.first_chunk().copied());
            table = Some(numbers.map(|number| u64::from(u32::from_le_bytes(number))).collect());
            continue;
        }
        fragments.push(Fragment { at, bytes });
        at += 8 + length as u64;
    }
    (table.unwrap_or_default(), fragments)
}

fn joined<'a>(fragments: &[Fragment<'a>]) -> Cow<'a, [u8]> {
    match fragments {
        [one] => Cow::Borrowed(one.bytes),
        several => Cow::Owned(several.iter().flat_map(|fragment| fragment.bytes).copied().collect()),
    }
}
