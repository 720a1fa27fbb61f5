//! The journal, byte by byte: what changed about entries after their commit.
//!
//! Numbers are big-endian. The file begins with `SGSPOOLJ`, a version (2 bytes, 1) and 6 zero bytes. Then come records:
//!
//! | field | bytes | |
//! |---|---|---|
//! | magic | 4 | `SGJR` |
//! | length | 2 | of the payload |
//! | sum | 4 | CRC-32 over length and payload |
//! | kind | 1 | the payload begins here: 1 a delivery, 2 the holds |
//! | id | 16 | of the entry |
//!
//! A delivery goes on with: destination (1 + n, UTF-8), state (1: 0 waiting, 1 later, 2 done, 3 aside, 4 dropped),
//! attempts (4), not before (8), changed (8), reason (2 + n, UTF-8). The holds go on with the flags (4).
//!
//! Behind the last record there are zero bytes, written ahead so that a full disk does not stop deliveries from being
//! noted, which is what makes room again. Each record says the whole new state and none depends on another, so a
//! record that does not verify costs itself alone: the reader looks for the next magic. What is lost with it is
//! progress, never an entry: the instance is then delivered once more.

use std::sync::Arc;

use crate::spool::fields::{Append, Reader};
use crate::spool::id::EntryId;
use crate::spool::state::{Delivery, State};

pub(crate) const HEADER: [u8; 16] = *b"SGSPOOLJ\0\x01\0\0\0\0\0\0";
pub(crate) const VERSION: u16 = 1;
const RECORD_MAGIC: &[u8; 4] = b"SGJR";
const RECORD_HEAD_BYTES: usize = 10;
const KIND_DELIVERY: u8 = 1;
const KIND_HOLDS: u8 = 2;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// What has become of an entry at a destination.
    Delivery { id: EntryId, destination: Arc<str>, delivery: Delivery },
    /// The flags that keep an entry.
    Holds { id: EntryId, holds: u32 },
}

impl Change {
    /// The entry it is about.
    pub(crate) fn id(&self) -> EntryId {
        let (Self::Delivery { id, .. } | Self::Holds { id, .. }) = self;
        *id
    }

    /// Appends the record.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(128);
        match self {
            Self::Delivery { id, destination, delivery } => {
                payload.push(KIND_DELIVERY);
                payload.extend_from_slice(id.as_bytes());
                payload.short(destination.as_bytes());
                payload.push(delivery.state.tag());
                payload.extend_from_slice(&delivery.attempts.to_be_bytes());
                payload.extend_from_slice(&delivery.not_before_unix_millis.to_be_bytes());
                payload.extend_from_slice(&delivery.changed_unix_millis.to_be_bytes());
                payload.medium(delivery.reason.as_bytes());
            }
            Self::Holds { id, holds } => {
                payload.push(KIND_HOLDS);
                payload.extend_from_slice(id.as_bytes());
                payload.extend_from_slice(&holds.to_be_bytes());
            }
        }
        let mut counted = Vec::with_capacity(payload.len() + 2);
        counted.medium(&payload);
        out.extend_from_slice(RECORD_MAGIC);
        out.extend_from_slice(counted.get(..2).unwrap_or_default());
        out.extend_from_slice(&crc32fast::hash(&counted).to_be_bytes());
        out.extend_from_slice(&payload);
    }

    /// Reads the record that `bytes` begin with, and its length.
    fn decode(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut head = Reader(bytes);
        if head.take(RECORD_MAGIC.len())? != RECORD_MAGIC {
            return None;
        }
        let (length, sum) = (head.array::<2>()?, head.u32()?);
        let payload = head.take(u16::from_be_bytes(length).into())?;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&length);
        hasher.update(payload);
        if hasher.finalize() != sum {
            return None;
        }
        let mut reader = Reader(payload);
        let change = Self::decode_payload(&mut reader)?;
        reader.0.is_empty().then_some((change, RECORD_HEAD_BYTES + payload.len()))
    }

    fn decode_payload(reader: &mut Reader<'_>) -> Option<Self> {
        let kind = reader.u8()?;
        let id = EntryId::from_bytes(reader.array()?);
        match kind {
            KIND_DELIVERY => {
                let destination = std::str::from_utf8(reader.short()?).ok()?.into();
                let state = State::from_tag(reader.u8()?)?;
                let attempts = reader.u32()?;
                let not_before_unix_millis = reader.u64()?;
                let changed_unix_millis = reader.u64()?;
                let reason = std::str::from_utf8(reader.medium()?).ok()?.into();
                let delivery =
                    Delivery { state, attempts, not_before_unix_millis, changed_unix_millis, reason };
                Some(Self::Delivery { id, destination, delivery })
            }
            KIND_HOLDS => Some(Self::Holds { id, holds: reader.u32()? }),
            _ => None,
        }
    }
}

/// What stands in a journal.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Parsed {
    /// Every record that verifies, in order.
    pub(crate) changes: Vec<Change>,
    /// Where the last of them ends.
    pub(crate) end: usize,
    /// Stretches that do not verify and have a record behind them.
    pub(crate) gaps: usize,
    /// Whether something that is no record stands behind the last one: a write that the crash cut off.
    pub(crate) torn: bool,
}

/// Reads a journal; `Err` with the version of a later program.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, u16> {
    let bytes = without_zeros(bytes);
    let mut found = Parsed { end: HEADER.len().min(bytes.len()), ..Parsed::default() };
    let mut in_gap = !bytes.starts_with(&HEADER);
    let version = bytes.strip_prefix(b"SGSPOOLJ").and_then(|rest| Reader(rest).u16());
    if let Some(later) = version.filter(|version| *version > VERSION) {
        return Err(later);
    }
    let mut at = if in_gap { 0 } else { HEADER.len() };
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some((change, length)) = Change::decode(rest) {
            found.gaps += usize::from(std::mem::take(&mut in_gap));
            found.changes.push(change);
            at += length;
            found.end = at;
            continue;
        }
        in_gap = true;
        // One further, then to the next place that looks like a record.
        let next =
            rest.get(1..).and_then(|rest| rest.windows(RECORD_MAGIC.len()).position(|w| w == RECORD_MAGIC));
        at = next.map_or(bytes.len(), |next| at + 1 + next);
    }
    found.torn = bytes.get(found.end..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0));
    Ok(found)
}

/// Cuts off most of the zeros that were written ahead. A record may end with some, so one stretch is left.
fn without_zeros(bytes: &[u8]) -> &[u8] {
    const STRETCH: usize = 4096;
    const ZEROS: [u8; STRETCH] = [0; STRETCH];
    let last = bytes.chunks(STRETCH).rposition(|stretch| ZEROS.get(..stretch.len()) != Some(stretch));
    let end = last.map_or(0, |last| (last + 2) * STRETCH).min(bytes.len());
    bytes.get(..end).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Vec<Change> {
        let id = EntryId::from_bytes([7; 16]);
        let delivery = Delivery {
            state: State::Later,
            attempts: 3,
            not_before_unix_millis: 5,
            changed_unix_millis: 4,
            reason: "A700H".into(),
        };
        let longest = "x".repeat(Delivery::REASON_BYTES_MAX);
        let aside = Delivery { state: State::Aside, reason: longest.into(), ..delivery.clone() };
        vec![
            Change::Delivery { id, destination: "pacs".into(), delivery },
            Change::Holds { id, holds: 0x8000_0001 },
            Change::Delivery { id, destination: "d".repeat(255).into(), delivery: aside },
        ]
    }

    fn journal(changes: &[Change]) -> Vec<u8> {
        let mut bytes = HEADER.to_vec();
        for change in changes {
            change.encode(&mut bytes);
        }
        bytes
    }

    #[test]
    fn what_is_written_is_read_back_with_zeros_behind_it_or_without() {
        let (changes, mut bytes) = (changes(), journal(&changes()));
        let end = bytes.len();
        for _ in 0..2 {
            let parsed = Parsed { changes: changes.clone(), end, gaps: 0, torn: false };
            assert_eq!(parse(&bytes), Ok(parsed));
            bytes.extend_from_slice(&[0; 10_000]);
        }
    }

    #[test]
    fn a_record_that_does_not_verify_costs_itself_alone() {
        let (changes, whole) = (changes(), journal(&changes()));
        let first = HEADER.len();
        let second = journal(&changes[..1]).len();
        let third = journal(&changes[..2]).len();
        for at in 0..whole.len() {
            for flip in [0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                let Ok(parsed) = parse(&bytes) else {
                    assert!((8..10).contains(&at), "only the version refuses, not {at}");
                    continue;
                };
                let mut left = changes.clone();
                if at >= first {
                    left.remove(usize::from(at >= second) + usize::from(at >= third));
                }
                assert_eq!(parsed.changes, left, "byte {at}");
                assert!(parsed.gaps == 1 || parsed.torn, "byte {at} is noticed");
            }
        }
    }

    #[test]
    fn a_journal_cut_anywhere_keeps_what_is_whole() {
        let (changes, whole) = (changes(), journal(&changes()));
        for cut in 0..whole.len() {
            let parsed = parse(&whole[..cut]).unwrap();
            assert_eq!(parsed.changes, changes[..parsed.changes.len()]);
            assert_eq!(parsed.gaps, 0);
        }
    }

    #[test]
    fn the_journal_of_a_later_version_is_refused() {
        let mut bytes = journal(&changes());
        bytes[9] = 2;
        assert_eq!(parse(&bytes), Err(2));
    }
}
