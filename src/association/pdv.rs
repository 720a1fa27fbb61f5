//! Presentation data values: the fragments of messages inside P-DATA-TF (PS3.8 9.3.5 and annex E).

use bytes::{Buf, BufMut, Bytes};

use super::error::Error;

/// Context id and message control header.
pub(super) const PDV_OVERHEAD: usize = 6;

/// One fragment of a command or a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pdv {
    pub(super) context: u8,
    pub(super) is_command: bool,
    pub(super) is_last: bool,
    pub(super) bytes: Bytes,
}

/// Takes the next fragment off the body of a P-DATA-TF; none when it is used up.
pub(super) fn next(body: &mut Bytes) -> Result<Option<Pdv>, Error> {
    if body.is_empty() {
        return Ok(None);
    }
    let Some(&[a, b, c, d]) = body.first_chunk::<4>() else {
        return Err(Error::Misplaced(format!("{} bytes at the end of a P-DATA-TF are no PDV", body.len())));
    };
    let claimed = u32::from_be_bytes([a, b, c, d]);
    let length = usize::try_from(claimed).unwrap_or(usize::MAX);
    body.advance(4);
    // PS3.8 table 9-23: the length counts the context id and the control header, so it is at least 2.
    if length < 2 || length > body.len() {
        return Err(Error::Misplaced(format!(
            "a PDV claims {claimed} bytes, its PDU has {} left",
            body.len()
        )));
    }
    let mut pdv = body.split_to(length);
    let (context, control) = (pdv.get_u8(), pdv.get_u8());
    // PS3.8 E.2: bit 0 command or data set, bit 1 last fragment; the others are not tested.
    Ok(Some(Pdv { context, is_command: control & 1 == 1, is_last: control & 2 == 2, bytes: pdv }))
}

/// What stands before the fragment in a P-DATA-TF that has one: PDU header and PDV header.
pub(super) const HEADER_BYTES: usize = 12;

/// Appends a P-DATA-TF with one fragment.
pub(super) fn write(out: &mut Vec<u8>, context: u8, is_command: bool, is_last: bool, fragment: &[u8]) {
    out.extend_from_slice(&header(context, is_command, is_last, fragment.len()));
    out.extend_from_slice(fragment);
}

/// Both headers of a fragment of so many bytes.
pub(super) fn header(
    context: u8,
    is_command: bool,
    is_last: bool,
    fragment_bytes: usize,
) -> [u8; HEADER_BYTES] {
    let control = u8::from(is_command) | u8::from(is_last) << 1;
    let pdv_length = u32::try_from(fragment_bytes.saturating_add(2)).unwrap_or(u32::MAX);
    let mut header = [0; HEADER_BYTES];
    let mut fields = &mut header[..];
    fields.put_slice(&[super::frame::kind::P_DATA_TF, 0]);
    fields.put_u32(pdv_length.saturating_add(4));
    fields.put_u32(pdv_length);
    fields.put_slice(&[context, control]);
    header
}
