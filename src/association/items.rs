//! A-ASSOCIATE-RQ and -AC: every item held to the one around it, then read by dicom-ul.
//!
//! dicom-ul reads sub-items without looking at the length of what they are in, and fails on items it does not know,
//! which PS3.8 9.3.1 and PS3.7 annex D want ignored. So the items are copied here first: those that are known, whole.

use std::collections::BTreeSet;

use dicom_ul::pdu::{AssociationAC, AssociationRQ, MAXIMUM_PDU_SIZE, Pdu, read_pdu};

use zeroize::Zeroizing;

use super::error::Error;
use super::frame::kind;
use crate::dicom::{Identity, IdentityKind};

/// PS3.8 table 9-11: everything before the variable items.
const FIXED_BYTES: usize = 68;
/// Presentation contexts that one association has room for: ids are the odd numbers of a byte.
pub const CONTEXTS_MAX: usize = 128;

/// Transfer syntaxes of one context that are looked at; the standard has about 60.
const TRANSFER_SYNTAXES_MAX: u32 = 128;
mod item {
    pub(super) const APPLICATION_CONTEXT: u8 = 0x10;
    pub(super) const CONTEXT_PROPOSED: u8 = 0x20;
    pub(super) const CONTEXT_RESULT: u8 = 0x21;
    pub(super) const ABSTRACT_SYNTAX: u8 = 0x30;
    pub(super) const TRANSFER_SYNTAX: u8 = 0x40;
    pub(super) const USER_INFORMATION: u8 = 0x50;
    pub(super) const MAXIMUM_LENGTH: u8 = 0x51;
    pub(super) const CLASS_UID: u8 = 0x52;
    pub(super) const OPERATIONS_WINDOW: u8 = 0x53;
    pub(super) const ROLES: u8 = 0x54;
    pub(super) const VERSION_NAME: u8 = 0x55;
    pub(super) const EXTENDED: u8 = 0x56;
    pub(super) const IDENTITY: u8 = 0x58;
}

/// Whether an A-ASSOCIATE-RQ is of version 1 of the protocol; no other one's items can be read.
pub(super) fn is_version_1(body: &[u8]) -> bool {
    // PS3.8 9.3.2: only bit 0 is tested. What is too short for any version is refused for that.
    body.len() < FIXED_BYTES || body.get(1).is_some_and(|low| low & 1 == 1)
}

/// Reads the body of an A-ASSOCIATE-RQ. The identity in it is handed over, never to dicom-ul.
pub(super) fn read_request(body: &[u8]) -> Result<(AssociationRQ, Option<Identity>), Error> {
    let copy = copy_known(kind::ASSOCIATE_RQ, body)?;
    match decode(kind::ASSOCIATE_RQ, &copy.bytes)? {
        Pdu::AssociationRQ(request) => Ok((request, copy.identity)),
        _ => Err(malformed("the A-ASSOCIATE-RQ was read as something else")),
    }
}

/// Reads the body of an A-ASSOCIATE-AC.
pub(super) fn read_acceptance(body: &[u8]) -> Result<AssociationAC, Error> {
    match decode(kind::ASSOCIATE_AC, &copy_known(kind::ASSOCIATE_AC, body)?.bytes)? {
        Pdu::AssociationAC(acceptance) => Ok(acceptance),
        _ => Err(malformed("the A-ASSOCIATE-AC was read as something else")),
    }
}

fn decode(kind: u8, clean: &[u8]) -> Result<Pdu, Error> {
    let length = u32::try_from(clean.len()).map_err(|_| malformed("an A-ASSOCIATE PDU beyond 4 GiB"))?;
    let mut pdu = Vec::with_capacity(clean.len().saturating_add(6));
    pdu.extend_from_slice(&[kind, 0]);
    pdu.extend_from_slice(&length.to_be_bytes());
    pdu.extend_from_slice(clean);
    // The error would quote what the peer wrote: it is not passed on.
    let read = read_pdu(&pdu[..], MAXIMUM_PDU_SIZE, false)
        .map_err(|_| malformed("an A-ASSOCIATE PDU with a wrong item"))?;
    read.ok_or_else(|| malformed("an A-ASSOCIATE PDU that ends in the middle of an item"))
}

fn malformed(what: &str) -> Error {
    Error::Malformed(what.to_owned())
}

/// The items of one level, one after the other, each whole.
struct Items<'a> {
    rest: &'a [u8],
    level: &'static str,
}

impl<'a> Items<'a> {
    fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, Error> {
        let Some((&kind, rest)) = self.rest.split_first() else { return Ok(None) };
        let (Some(&[_, high, low]), Some(rest)) = (rest.first_chunk(), rest.get(3..)) else {
            return Err(Error::Malformed(format!("the last item of {} has no whole header", self.level)));
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((value, rest)) = rest.split_at_checked(length) else {
            let left = rest.len();
            return Err(Error::Malformed(format!(
                "item {kind:02X}H claims {length} bytes, {} has {left}",
                self.level
            )));
        };
        self.rest = rest;
        Ok(Some((kind, value)))
    }
}

fn put(out: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), Error> {
    let length = u16::try_from(value.len()).map_err(|_| malformed("an item beyond 65,535 bytes"))?;
    out.extend_from_slice(&[kind, 0]);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// The items of a PDU that are known, and what is not for everybody's eyes.
struct Copy {
    bytes: Vec<u8>,
    identity: Option<Identity>,
}

fn copy_known(kind: u8, body: &[u8]) -> Result<Copy, Error> {
    let Some((fixed, rest)) = body.split_at_checked(FIXED_BYTES) else {
        return Err(Error::Malformed(format!(
            "an A-ASSOCIATE PDU of {} bytes, it takes at least {FIXED_BYTES}",
            body.len()
        )));
    };
    let context_kind = if kind == kind::ASSOCIATE_RQ { item::CONTEXT_PROPOSED } else { item::CONTEXT_RESULT };
    let mut out = fixed.to_vec();
    let mut identity = None;
    let mut items = Items { rest, level: "the PDU" };
    let (mut ids, mut application, mut user) = (BTreeSet::new(), false, false);
    while let Some((found, value)) = items.next()? {
        match found {
            item::APPLICATION_CONTEXT if !application => {
                application = true;
                put(&mut out, found, value)?;
            }
            item::USER_INFORMATION if !user => {
                user = true;
                let copy = copy_user_information(value)?;
                identity = copy.identity;
                put(&mut out, found, &copy.bytes)?;
            }
            item::APPLICATION_CONTEXT | item::USER_INFORMATION => {
                return Err(Error::Malformed(format!("item {found:02X}H is there twice")));
            }
            _ if found == context_kind => {
                let id = value.first().copied().unwrap_or_default();
                if id % 2 == 0 || !ids.insert(id) {
                    return Err(Error::Malformed(format!("context id {id} is even or there twice")));
                }
                put(&mut out, found, &copy_context(found, value)?)?;
            }
            _ => {}
        }
    }
    if ids.is_empty() || ids.len() > CONTEXTS_MAX {
        return Err(Error::Malformed(format!(
            "{} presentation contexts, 1 to {CONTEXTS_MAX} are allowed",
            ids.len()
        )));
    }
    if !application {
        // Read as a name that nobody supports, so that it is refused for what it is.
        put(&mut out, item::APPLICATION_CONTEXT, b"none")?;
    }
    Ok(Copy { bytes: out, identity })
}

/// PS3.8 9.3.2.2 and 9.3.3.2: four bytes, then one abstract syntax or none, and transfer syntaxes.
fn copy_context(kind: u8, value: &[u8]) -> Result<Vec<u8>, Error> {
    let Some((head, rest)) = value.split_at_checked(4) else {
        return Err(malformed("a presentation context of fewer than 4 bytes"));
    };
    let mut out = head.to_vec();
    let mut items = Items { rest, level: "a presentation context" };
    let (mut abstracts, mut transfers) = (0_u32, 0_u32);
    while let Some((found, value)) = items.next()? {
        match found {
            item::ABSTRACT_SYNTAX => abstracts = abstracts.saturating_add(1),
            // More than there are: the rest is not looked at, so that an item cannot grow in memory.
            item::TRANSFER_SYNTAX if transfers == TRANSFER_SYNTAXES_MAX => continue,
            item::TRANSFER_SYNTAX => transfers = transfers.saturating_add(1),
            _ => continue,
        }
        put(&mut out, found, value)?;
    }
    if kind == item::CONTEXT_PROPOSED && abstracts != 1 {
        return Err(Error::Malformed(format!(
            "a presentation context with {abstracts} abstract syntaxes, it takes one"
        )));
    }
    if kind == item::CONTEXT_RESULT && transfers == 0 {
        // PS3.8 9.3.3.2: not significant in a refusal, so some leave it out; dicom-ul wants one.
        put(&mut out, item::TRANSFER_SYNTAX, b"1.2.840.10008.1.2")?;
    }
    Ok(out)
}

/// PS3.7 annex D.3.3: sub-items that are known and whose inner lengths fit.
fn copy_user_information(value: &[u8]) -> Result<Copy, Error> {
    let mut copy = Copy { bytes: Vec::new(), identity: None };
    let mut items = Items { rest: value, level: "the user information" };
    let mut seen = BTreeSet::new();
    while let Some((found, value)) = items.next()? {
        let fits = match found {
            item::MAXIMUM_LENGTH => value.try_into().is_ok_and(is_usable_maximum),
            item::OPERATIONS_WINDOW => value.len() == 4,
            item::CLASS_UID | item::VERSION_NAME => value.len() <= 64,
            item::ROLES => inner(value, 0).is_some_and(|(_, rest)| rest.len() == 2),
            item::EXTENDED => inner(value, 0).is_some(),
            item::IDENTITY => fields_of_identity(value).is_some(),
            _ => continue,
        };
        if !fits {
            return Err(Error::Malformed(format!(
                "user information item {found:02X}H has lengths or a value that do not fit"
            )));
        }
        // PS3.7 table D.3-1 and on: the others come once for each SOP class.
        if !matches!(found, item::ROLES | item::EXTENDED) && !seen.insert(found) {
            return Err(Error::Malformed(format!("user information item {found:02X}H is there twice")));
        }
        match found {
            item::IDENTITY => copy.identity = read_identity(value),
            _ => put(&mut copy.bytes, found, value)?,
        }
    }
    Ok(copy)
}

/// 0 is no limit; into a PDU of fewer bytes than this no message could be cut.
fn is_usable_maximum(bytes: [u8; 4]) -> bool {
    !(1..64).contains(&u32::from_be_bytes(bytes))
}

/// PS3.7 D.3.3.7: type, response requested, then two fields, each behind its length, and nothing more.
fn fields_of_identity(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let (primary, rest) = inner(value, 2)?;
    let (secondary, rest) = inner(rest, 0)?;
    rest.is_empty().then_some((primary, secondary))
}

fn read_identity(value: &[u8]) -> Option<Identity> {
    let (primary, secondary) = fields_of_identity(value)?;
    let &[kind, wants_answer] = value.first_chunk()?;
    Some(Identity {
        kind: IdentityKind::from_code(kind)?,
        primary: Zeroizing::new(primary.to_vec()),
        secondary: Zeroizing::new(secondary.to_vec()),
        wants_answer: wants_answer == 1,
    })
}

/// The bytes behind a 16-bit length that stands `at` bytes into `value`, and what follows them.
fn inner(value: &[u8], at: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = value.get(at..)?.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
