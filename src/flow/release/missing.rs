//! What a PACS still owed when it broke off: how many instances, and which, as far as that is certain.

use std::collections::HashSet;

use super::fetch::Request;
use super::identifier::{self, trimmed};
use crate::dicom::Uid;
use crate::keys::Archive;
use dicom_core::Tag;

const INSTANCE: Tag = Tag(0x0008, 0x0018);
const STUDY: Tag = Tag(0x0020, 0x000D);
const SERIES: Tag = Tag(0x0020, 0x000E);

/// Sub-operations that never came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Missing {
    /// How many.
    pub count: u16,
    /// Which: all of them, or none where it is not certain which.
    pub instances: Vec<Uid>,
}

/// What is left of `total` sub-operations, where the PACS has said so many, once these have come. The instances are those
/// that the identifier names, or that were sealed of its study; they are told if there are as many of them as are left.
pub(super) fn missing(request: &Request, archive: &Archive, total: u16, came: &HashSet<Uid>) -> Missing {
    let left = total.saturating_sub(u16::try_from(came.len()).unwrap_or(u16::MAX));
    let (named, asked) = candidates(request, archive);
    let instances: Vec<Uid> = asked.into_iter().filter(|instance| !came.contains(instance)).collect();
    let count = u16::try_from(instances.len()).unwrap_or(u16::MAX);
    match total {
        // It broke off before it said anything: what was asked for by name has failed.
        0 if named => Missing { count, instances },
        0 => Missing::default(),
        _ if count == left => Missing { count, instances },
        _ => Missing { count: left, instances: Vec::new() },
    }
}

/// What may have been asked for, and whether the identifier itself names it.
fn candidates(request: &Request, archive: &Archive) -> (bool, Vec<Uid>) {
    let encoding = request.context.transfer_syntax.encoding;
    let Ok(values) = identifier::values(&request.identifier, encoding, &[INSTANCE, STUDY, SERIES]) else {
        return (false, Vec::new());
    };
    let of = |tag| -> Vec<Uid> {
        let list = values.get(&tag).map(|value| trimmed(value)).unwrap_or_default();
        list.split(|byte| *byte == b'\\').filter_map(|one| Uid::from_wire(one).ok()).collect()
    };
    let named = of(INSTANCE);
    if !named.is_empty() {
        return (true, named);
    }
    let series = of(SERIES);
    let sealed = of(STUDY).into_iter().flat_map(|study| archive.instances_of(&study).unwrap_or_default());
    let asked =
        sealed.filter(|(_, of)| series.is_empty() || of.as_ref().is_some_and(|of| series.contains(of)));
    let distinct: std::collections::BTreeSet<Uid> = asked.map(|(instance, _)| instance).collect();
    (false, distinct.into_iter().collect())
}
