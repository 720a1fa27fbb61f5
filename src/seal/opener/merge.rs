//! The original's header with what the PACS has changed in it since (`docs/FORMAT.md` section 10).

use std::collections::{BTreeMap, BTreeSet};

use dicom_core::Tag;

use super::compare::{Encoded, same};
use crate::seal::carrier::{ClearRule, LIMITS};
use crate::seal::element::{Conversion, Layout, PIXEL_DATA};
use crate::seal::scan::{Element, ScanError};

/// What a PACS changed in the attributes that it could see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Attributes that have another value now; the PACS's value was taken.
    pub changed: Vec<Tag>,
    /// Attributes that the original did not have; they were taken over.
    pub added: Vec<Tag>,
    /// Attributes that the PACS has no more; they were left out.
    pub removed: Vec<Tag>,
}

impl Changes {
    /// Whether the PACS has everything as it was.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

/// The standard attributes that the PACS has, by tag.
pub(super) struct PacsHeader {
    layout: Layout,
    rule: ClearRule,
    elements: BTreeMap<Tag, Theirs>,
}

/// What the PACS has under a tag.
struct Theirs {
    raw: Vec<u8>,
    /// Whether a sealer would show it. Lengths change with the encoding, so this is asked only of what the original
    /// has not: what was shown in few bytes may stand here in many.
    shown: bool,
}

impl PacsHeader {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, rule: ClearRule::default(), elements: BTreeMap::new() }
    }

    /// Takes an element of the sealed instance. Private ones say nothing about what the PACS wants.
    pub(super) fn take(&mut self, element: &Element<'_>) {
        if element.tag.group().is_multiple_of(2) && !element.holds_pixels {
            let shown = self.rule.shows(element);
            self.elements.insert(element.tag, Theirs { raw: element.raw.to_vec(), shown });
        }
    }
}

/// Gathers the original's header, and gives it back merged.
pub(super) struct Merge {
    pacs: PacsHeader,
    rule: ClearRule,
    layout: Layout,
    signed_pixels: bool,
    bytes: Vec<u8>,
    index: Vec<Entry>,
    changes: Changes,
    /// The standard attributes that were shown, and whether the PACS has them as they were.
    decided: BTreeMap<Tag, bool>,
}

/// An element of the original.
#[derive(Debug, Clone, Copy)]
struct Entry {
    tag: Tag,
    start: usize,
    end: usize,
    shown: bool,
}

impl Merge {
    pub(super) fn new(pacs: PacsHeader, layout: Layout) -> Self {
        Self {
            pacs,
            rule: ClearRule::default(),
            layout,
            signed_pixels: false,
            bytes: Vec::new(),
            index: Vec::with_capacity(192),
            changes: Changes::default(),
            decided: BTreeMap::new(),
        }
    }

    /// Takes an element of the original's header.
    pub(super) fn take(&mut self, element: &Element<'_>) {
        if element.tag == Tag(0x0028, 0x0103) {
            self.signed_pixels = element.value.contains(&1);
        }
        let shown = self.rule.shows(element);
        let start = self.bytes.len();
        self.bytes.extend_from_slice(element.raw);
        self.index.push(Entry { tag: element.tag, start, end: self.bytes.len(), shown });
    }

    /// The header up to an element with this tag, which comes next, into `out`; what was taken is given up.
    pub(super) fn flush(&mut self, next: Tag, out: &mut Vec<u8>) -> Result<(), ScanError> {
        let entries = std::mem::take(&mut self.index);
        let bytes = std::mem::take(&mut self.bytes);
        let mut decided = Vec::with_capacity(entries.len());
        // Groups whose length is no longer what it was.
        let mut changed = BTreeSet::new();
        for entry in &entries {
            let raw = bytes.get(entry.start..entry.end).unwrap_or_default();
            let decision = self.decide(entry, raw)?;
            if !matches!(decision, Decision::Original) {
                changed.insert(entry.tag.group());
            }
            decided.push((entry.tag, decision));
        }
        // Where one of an element's two was sealed away, the carrier shows the other.
        for entry in &entries {
            self.pacs.elements.remove(&entry.tag);
        }
        let added = self.additions(next)?;
        changed.extend(added.iter().map(|(tag, _)| tag.group()));
        let mut added = added.into_iter().peekable();
        for ((tag, replacement), entry) in decided.into_iter().zip(&entries) {
            while let Some((_, raw)) = added.next_if(|(added, _)| *added < tag) {
                out.extend_from_slice(&raw);
            }
            match replacement {
                Decision::Original if tag.element() == 0 && changed.contains(&tag.group()) => {}
                Decision::Original => {
                    out.extend_from_slice(bytes.get(entry.start..entry.end).unwrap_or_default());
                }
                Decision::Pacs(raw) => out.extend_from_slice(&raw),
                Decision::Nothing => {}
            }
        }
        for (_, raw) in added {
            out.extend_from_slice(&raw);
        }
        Ok(())
    }

    /// Whether nothing that was merged so far differs from the original.
    pub(super) fn is_unchanged(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn into_changes(self) -> Changes {
        self.changes
    }

    fn decide(&mut self, entry: &Entry, raw: &[u8]) -> Result<Decision, ScanError> {
        let tag = entry.tag;
        if !entry.shown || tag.group() % 2 == 1 {
            return Ok(Decision::Original);
        }
        // Of an element that came twice, the carrier showed the first one; the second goes its way.
        if let Some(kept) = self.decided.get(&tag) {
            return Ok(if *kept { Decision::Original } else { Decision::Nothing });
        }
        let pacs = self.pacs.elements.remove(&tag);
        let theirs = pacs.as_ref().map(|pacs| Encoded { raw: &pacs.raw, layout: self.pacs.layout });
        let kept = theirs.is_some_and(|theirs| same(theirs, Encoded { raw, layout: self.layout }));
        self.decided.insert(tag, kept);
        match pacs {
            _ if kept => Ok(Decision::Original),
            None => {
                self.changes.removed.push(tag);
                Ok(Decision::Nothing)
            }
            Some(pacs) => {
                self.changes.changed.push(tag);
                Ok(Decision::Pacs(self.converted(&pacs.raw)?))
            }
        }
    }

    /// What the PACS has and the original did not, below `next`.
    fn additions(&mut self, next: Tag) -> Result<Vec<(Tag, Vec<u8>)>, ScanError> {
        let later = self.pacs.elements.split_off(&next);
        let now = std::mem::replace(&mut self.pacs.elements, later);
        let mut out = Vec::with_capacity(now.len());
        for (tag, theirs) in now {
            if theirs.shown && tag < PIXEL_DATA {
                self.changes.added.push(tag);
                out.push((tag, self.converted(&theirs.raw)?));
            }
        }
        Ok(out)
    }

    fn converted(&self, pacs: &[u8]) -> Result<Vec<u8>, ScanError> {
        let Self { layout, signed_pixels, .. } = *self;
        if self.pacs.layout == layout {
            return Ok(pacs.to_vec());
        }
        Conversion { from: self.pacs.layout, to: layout, signed_pixels }.convert(pacs, &LIMITS)
    }
}

enum Decision {
    Original,
    Pacs(Vec<u8>),
    Nothing,
}
