//! What the scanner tells: the data set as a sequence of top-level elements, every byte exactly once and in order.

use dicom_core::{Tag, VR};

use super::error::Place;
use crate::seal::element::Length;

/// One step through a data set.
///
/// `Element.raw`, `Head.raw` and `Bytes` one after the other are the input, byte for byte (the inflated input, for
/// the deflated syntax). Which of an element and of begin, bytes, end it is does not depend on how the input was cut
/// into pieces; only the number and size of the `Bytes` do.
#[derive(Debug)]
pub enum Event<'a> {
    /// A complete top-level element of at most `element_bytes_max` bytes.
    Element(Element<'a>),
    /// The start of one that is too large to hold, and of pixel data of any size.
    Begin(Head<'a>),
    /// The next bytes of the value begun, item headers and delimiters included. Never empty.
    Bytes(&'a [u8]),
    /// The end of the element begun.
    End(Tail),
}

/// A complete top-level element.
#[derive(Debug, Clone, Copy)]
pub struct Element<'a> {
    /// Its tag.
    pub tag: Tag,
    /// Its VR: none in implicit VR, UN if the header has characters that are no VR.
    pub vr: Option<VR>,
    /// Header and value as received.
    pub raw: &'a [u8],
    /// The value as received; of an undefined length, up to and including the delimiter.
    pub value: &'a [u8],
    /// Its first byte's position in the data set.
    pub at: u64,
    /// Whether something nested in it holds pixels; see [`Tail::holds_pixels`].
    pub holds_pixels: bool,
}

/// The start of a large element, or of pixel data.
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Its tag.
    pub tag: Tag,
    /// Its VR: none in implicit VR, UN if the header has characters that are no VR.
    pub vr: Option<VR>,
    /// The length in its header.
    pub length: Length,
    /// The header as received.
    pub raw: &'a [u8],
    /// Its first byte's position in the data set.
    pub at: u64,
}

impl Head<'_> {
    /// The tag and position, for messages.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { tag: self.tag, at: self.at }
    }
}

/// The end of a large element, or of pixel data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// Its tag.
    pub tag: Tag,
    /// Header and value, in bytes.
    pub bytes: u64,
    /// Whether something nested in it holds pixels: pixel data or overlay data in an item, fragments under another
    /// tag, or a private value that begins like a sequence but cannot be read as one, so that nobody knows.
    /// It is not known before the end: who has to know first raises `element_bytes_max`.
    pub holds_pixels: bool,
    /// For encapsulated data, the items in it, Basic Offset Table included; 0 for everything else.
    pub fragments: u64,
}

/// Something a careful writer would not have written, but which is passed on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Irregularity {
    /// A top-level element with a smaller tag than one before it (PS3.5 7.1 wants them ascending).
    OutOfOrder(Place),
    /// A top-level element for the second time.
    Repeated(Place),
    /// A value of odd length (PS3.5 7.1.1 wants even ones).
    OddLength(Place),
    /// Characters that are no VR.
    UnknownVr(Place, [u8; 2]),
    /// A private or unknown value that begins like a sequence but is none.
    BrokenSequence(Place),
}
