//! The bounded streaming scanner: data set bytes in, in pieces of any size; top-level elements out.
//!
//! Nothing that the bytes claim is believed: memory is taken for bytes that arrived, every length is held against
//! what it is in, nesting and counts have limits ([`Limits`]), and there is no recursion.
//!
//! What is let through although the standard says otherwise, because real archives are full of it, is passed on byte
//! for byte and named by [`Scanner::irregularities`]: tags out of order, repeated elements (those that identify or
//! describe the image only with the same value), odd lengths, characters that are no VR, fragments under other tags than pixel data.
//!
//! What is refused, because two readers would see two different images, or one reader would stop early: a second
//! pixel data element, a second, different element that identifies or describes the image, such an element behind the pixels,
//! delimiters and items where none belong, delimiters with a length, groups 0000 and 0002, lengths that do not fit.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod error;
mod event;
mod image;
mod inflate;
mod limits;
mod order;
pub mod part10;
mod walk;

pub use error::{Place, ScanError};
pub use event::{Element, Event, Head, Irregularity, Tail};
pub use image::{Image, ImageAttributes, NativeFit, expected_native_length};
pub use limits::Limits;

use inflate::Inflate;
use walk::{Top, Walk};

use crate::dicom::Encoding;
use crate::seal::element::{ENCAPSULATED_DOCUMENT, Layout, Length, is_pixel_data};

/// The largest value that a document may have and still be told as one element: shorter ones show nothing.
pub(super) const DOCUMENT_BYTES_HELD: u64 = 256;

/// A data set on its way through. See the module for what it refuses.
pub struct Scanner {
    walk: Walk,
    element_bytes_max: u64,
    header_bytes_max: u64,
    /// Bytes told as `Element` so far.
    header_bytes: u64,
    inflate: Option<Box<Inflate>>,
    /// The bytes of the present element that came with earlier pushes; at most `element_bytes_max`.
    held: Vec<u8>,
    /// Whether the present element goes out in pieces.
    streams: bool,
    spent: bool,
}

impl Scanner {
    /// A scanner for one data set. `total` is its length where it is known before, as a file's is: then a length
    /// that lies is found at once. (For [`Encoding::Deflated`] it is not used: it says nothing of the inflated bytes.)
    #[must_use]
    pub fn new(encoding: Encoding, limits: Limits, total: Option<u64>) -> Self {
        let deflated = encoding == Encoding::Deflated;
        let native = encoding != Encoding::Encapsulated;
        let total = if deflated { None } else { total };
        Self {
            walk: Walk::new(Layout::from(encoding), native, limits, total),
            element_bytes_max: limits.element_bytes_max as u64,
            header_bytes_max: limits.header_bytes_max,
            header_bytes: 0,
            inflate: deflated.then(|| Box::new(Inflate::new())),
            held: Vec::new(),
            streams: false,
            spent: false,
        }
    }

    /// Takes the next bytes, and tells `on` what they complete. After an error, its own or one of `on`, the scanner
    /// only answers [`ScanError::Spent`].
    pub fn push<E: From<ScanError>>(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if std::mem::replace(&mut self.spent, true) {
            return Err(ScanError::Spent.into());
        }
        match self.inflate.take() {
            None => self.scan(bytes, on)?,
            Some(mut inflate) => {
                inflate.push(bytes, |inflated| self.scan(inflated, on))?;
                self.inflate = Some(inflate);
            }
        }
        self.spent = false;
        Ok(())
    }

    /// The input is over: an error unless the data set is complete. The scanner is spent afterwards.
    pub fn finish(&mut self) -> Result<(), ScanError> {
        if std::mem::replace(&mut self.spent, true) {
            return Err(ScanError::Spent);
        }
        if let Some(inflate) = &self.inflate {
            inflate.finish()?;
        }
        self.walk.finish()
    }

    /// Bytes of the data set that were scanned (inflated ones, for the deflated syntax).
    #[must_use]
    pub fn position(&self) -> u64 {
        self.walk.at()
    }

    /// What was let through against the standard: the first few, and how many there were.
    #[must_use]
    pub fn irregularities(&self) -> (&[Irregularity], u64) {
        self.walk.order.irregularities()
    }

    fn scan<E: From<ScanError>>(
        &mut self,
        bytes: &[u8],
        on: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // `rest` is not walked through yet; `present` are the bytes of the present element not handed on or held.
        let (mut rest, mut present) = (bytes, bytes);
        while !rest.is_empty() {
            let n = self.walk.step(rest)?;
            rest = rest.get(n..).unwrap_or_default();
            present = self.tell(present, rest.len(), on)?;
        }
        if self.streams && !present.is_empty() {
            return on(Event::Bytes(present));
        }
        self.held.extend_from_slice(present);
        Ok(())
    }

    /// Tells what the last step made known. The last `ahead` bytes of `present` are still to be walked through.
    fn tell<'b, E: From<ScanError>>(
        &mut self,
        mut present: &'b [u8],
        ahead: usize,
        on: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<&'b [u8], E> {
        let Some(top) = self.walk.top() else { return Ok(present) };
        let begins = !self.streams && self.must_stream(top);
        if !begins && !self.walk.is_complete() {
            return Ok(present);
        }
        let top = *top;
        if begins {
            present = self.begin(&top, present, on)?;
        }
        if !self.walk.is_complete() {
            return Ok(present);
        }
        let (own, next) = present.split_at_checked(present.len().saturating_sub(ahead)).unwrap_or_default();
        self.end(&top, own, on)?;
        self.walk.leave();
        Ok(next)
    }

    /// Whether an element goes out in pieces: all pixel data, documents, and what is, or claims to be, too large to hold. So
    /// it depends on the element alone, not on how it arrives.
    fn must_stream(&self, top: &Top) -> bool {
        let claimed = match top.header.length {
            Length::Defined(length) => u64::from(length).saturating_add(u64::from(top.header.size)),
            Length::Undefined => 0,
        };
        let arrived = self.walk.at().saturating_sub(top.at);
        let bytes = claimed.max(arrived);
        let held_max = DOCUMENT_BYTES_HELD.saturating_add(u64::from(top.header.size));
        let is_document = top.header.tag == ENCAPSULATED_DOCUMENT && bytes > held_max;
        is_pixel_data(top.header.tag) || is_document || bytes > self.element_bytes_max
    }

    fn begin<'b, E: From<ScanError>>(
        &mut self,
        top: &Top,
        present: &'b [u8],
        on: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<&'b [u8], E> {
        let size = usize::from(top.header.size);
        self.walk.order.compare(Place { tag: top.header.tag, at: top.at }, None)?;
        on(Event::Begin(Head {
            tag: top.header.tag,
            vr: top.header.vr.vr(),
            length: top.header.length,
            raw: top.raw.get(..size).unwrap_or_default(),
            at: top.at,
        }))?;
        // The header may be in what is held, in `present`, or half in each.
        let held_header = size.min(self.held.len());
        let held = self.held.get(held_header..).unwrap_or_default();
        if !held.is_empty() {
            on(Event::Bytes(held))?;
        }
        self.held.clear();
        self.streams = true;
        Ok(present.get(size.saturating_sub(held_header)..).unwrap_or_default())
    }

    fn end<E: From<ScanError>>(
        &mut self,
        top: &Top,
        own: &[u8],
        on: &mut impl FnMut(Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Top { header, at, holds_pixels, fragments, .. } = *top;
        if std::mem::take(&mut self.streams) {
            if !own.is_empty() {
                on(Event::Bytes(own))?;
            }
            let bytes = self.walk.at().saturating_sub(at);
            return on(Event::End(Tail { tag: header.tag, bytes, holds_pixels, fragments }));
        }
        let place = Place { tag: header.tag, at };
        self.header_bytes = self.header_bytes.saturating_add(self.walk.at().saturating_sub(at));
        if self.header_bytes > self.header_bytes_max {
            return Err(ScanError::HeaderTooLarge { place, max: self.header_bytes_max }.into());
        }
        let raw = if self.held.is_empty() {
            own
        } else {
            self.held.extend_from_slice(own);
            &self.held
        };
        let value = raw.get(usize::from(header.size)..).unwrap_or_default();
        self.walk.order.compare(place, Some(value))?;
        on(Event::Element(Element { tag: header.tag, vr: header.vr.vr(), raw, value, at, holds_pixels }))?;
        self.held.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
