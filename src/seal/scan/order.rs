//! Which top-level elements may follow each other: twice, out of order, behind the pixels.

use std::collections::BTreeSet;

use dicom_core::Tag;

use super::error::{Place, ScanError};
use super::event::Irregularity;
use super::limits::Limits;
use crate::seal::element::is_pixel_data;

/// No honest value of these elements is longer: a name has up to three times 64 characters (PS3.5 6.2).
const SINGLE_BYTES_MAX: usize = 1024;

/// What is known of the top-level elements so far.
#[derive(Debug)]
pub(super) struct Order {
    limits: Limits,
    /// The tags that came in ascending order.
    ascending: Vec<Tag>,
    /// Those that came behind a larger one.
    late: BTreeSet<Tag>,
    pixels: Option<Tag>,
    /// Those that there may be only one of, with their values if they are short.
    singles: Vec<(Tag, Option<Box<[u8]>>)>,
    irregularities: Vec<Irregularity>,
    irregularities_count: u64,
}

impl Order {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            // As many as most images have.
            ascending: Vec::with_capacity(160),
            late: BTreeSet::new(),
            pixels: None,
            singles: Vec::new(),
            irregularities: Vec::new(),
            irregularities_count: 0,
        }
    }

    /// Lets the next top-level element in, or says why not.
    pub(super) fn admit(&mut self, place: Place) -> Result<(), ScanError> {
        let tag = place.tag;
        if matches!(tag.group(), 0x0000 | 0x0002) {
            return Err(ScanError::ForbiddenGroup { place });
        }
        let seen = u64::try_from(self.ascending.len().saturating_add(self.late.len())).unwrap_or(u64::MAX);
        if seen >= self.limits.top_elements_max {
            return Err(ScanError::TooManyElements { place, max: self.limits.top_elements_max });
        }
        self.admit_in_order(place)?;
        match self.pixels {
            Some(first) if is_pixel_data(tag) => return Err(ScanError::SecondPixelData { place, first }),
            Some(_) if is_single(tag) => return Err(ScanError::AfterPixels { place }),
            None if is_pixel_data(tag) => self.pixels = Some(tag),
            _ => {}
        }
        Ok(())
    }

    fn admit_in_order(&mut self, place: Place) -> Result<(), ScanError> {
        let tag = place.tag;
        if self.ascending.last().is_none_or(|last| *last < tag) {
            self.ascending.push(tag);
            return Ok(());
        }
        if self.ascending.binary_search(&tag).is_ok() || !self.late.insert(tag) {
            if is_pixel_data(tag) {
                return Err(ScanError::Duplicate { place });
            }
            self.note(Irregularity::Repeated(place));
        } else {
            self.note(Irregularity::OutOfOrder(place));
        }
        Ok(())
    }

    /// Looks at the value of an element, none if it is too large to be held. A second element that identifies or
    /// describes the image is let through only if it says the same: the colour palettes that come with the standard
    /// have their SOP Instance UID twice.
    pub(super) fn compare(&mut self, place: Place, value: Option<&[u8]>) -> Result<(), ScanError> {
        if !is_single(place.tag) {
            return Ok(());
        }
        let value = value.filter(|value| value.len() <= SINGLE_BYTES_MAX);
        match self.singles.iter().find(|(tag, _)| *tag == place.tag) {
            None => self.singles.push((place.tag, value.map(Into::into))),
            Some((_, Some(first))) if value == Some(first) => {}
            Some(_) => return Err(ScanError::Duplicate { place }),
        }
        Ok(())
    }

    pub(super) fn note(&mut self, irregularity: Irregularity) {
        self.irregularities_count = self.irregularities_count.saturating_add(1);
        if self.irregularities.len() < self.limits.irregularities_max {
            self.irregularities.push(irregularity);
        }
    }

    pub(super) fn irregularities(&self) -> (&[Irregularity], u64) {
        (&self.irregularities, self.irregularities_count)
    }
}

/// Elements that say whose the image is and what it is: with two of them, one reader takes the first and another
/// the last, and they would see different images; behind the pixels they come too late to seal by.
fn is_single(tag: Tag) -> bool {
    match tag.group() {
        0x0008 => matches!(tag.element(), 0x0016 | 0x0018),
        0x0010 => matches!(tag.element(), 0x0010 | 0x0020),
        0x0020 => matches!(tag.element(), 0x000D | 0x000E),
        0x0028 => {
            matches!(tag.element(), 0x0002 | 0x0004 | 0x0006 | 0x0008 | 0x0010 | 0x0011 | 0x0100..=0x0103)
        }
        _ => false,
    }
}
