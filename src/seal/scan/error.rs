//! Everything that can be wrong with the structure of a data set, each with its place and both sides.

use std::fmt;

use dicom_core::{Tag, VR};

use crate::dicom::Status;

/// An element, by its tag and the position of its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The tag.
    pub tag: Tag,
    /// Bytes of the data set before it (inflated ones, for the deflated syntax).
    pub at: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.tag, self.at)
    }
}

/// What is wrong with a data set. Always the sender's fault, and sending the same again will not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// A length that goes beyond the end of what it is in.
    #[error("{place} claims {claimed} bytes, {left} are left")]
    Length {
        /// The element or item.
        place: Place,
        /// Its length field.
        claimed: u64,
        /// Bytes up to the end of the item, sequence or data set it is in.
        left: u64,
    },
    /// Fewer bytes than a header takes before the end of an item, a sequence or a data set of known size.
    #[error("an element begins at byte {at} where only {left} bytes are left, and a header takes {needed}")]
    HeaderCut {
        /// Where the header would begin.
        at: u64,
        /// Bytes up to the end of what it is in.
        left: u64,
        /// 8 or 12.
        needed: u64,
    },
    /// More bytes than the caller announced.
    #[error("the data set goes on after the {total} bytes that it was announced with")]
    TooLong {
        /// The announced length.
        total: u64,
    },
    /// Fewer bytes than the caller announced.
    #[error("the data set ends at byte {end}, it was announced with {total}")]
    TooShort {
        /// The announced length.
        total: u64,
        /// How many bytes there were.
        end: u64,
    },
    /// The data set ends inside an element.
    #[error("the data set ends at byte {end} inside {place}")]
    Truncated {
        /// The top-level element that is not complete.
        place: Place,
        /// How many bytes there were.
        end: u64,
    },
    /// The data set ends inside a header.
    #[error("the data set ends at byte {end} inside the header that begins at byte {at}")]
    TruncatedHeader {
        /// Where the header begins.
        at: u64,
        /// How many bytes there were.
        end: u64,
    },
    /// No element at all.
    #[error("the data set is empty")]
    Empty,
    /// An item or sequence of undefined length without its delimiter.
    #[error("{place} has undefined length, and what it is in ends at byte {end} before its delimiter came")]
    MissingDelimiter {
        /// The item or sequence.
        place: Place,
        /// The end of the sequence or item around it.
        end: u64,
    },
    /// A delimiter, or an item, where none belongs.
    #[error("{place} is a delimiter or item that does not belong there")]
    StrayDelimiter {
        /// The delimiter.
        place: Place,
    },
    /// A delimiter with a length.
    #[error("the delimiter {place} claims {claimed} bytes, the standard says 0")]
    DelimiterLength {
        /// The delimiter.
        place: Place,
        /// Its length field.
        claimed: u32,
    },
    /// Something else where an item belongs.
    #[error("{place} is where an item of {sequence} should be")]
    ItemExpected {
        /// What is there.
        place: Place,
        /// The sequence, or the encapsulated pixel data.
        sequence: Place,
    },
    /// A fragment of undefined length.
    #[error("the fragment {place} of encapsulated data has undefined length, fragments have a length")]
    FragmentLength {
        /// The fragment.
        place: Place,
    },
    /// Encapsulated pixel data without even a Basic Offset Table item.
    #[error("{place} is encapsulated but has no Basic Offset Table item")]
    NoOffsetTable {
        /// The pixel data.
        place: Place,
    },
    /// Undefined length on an element whose VR does not allow it.
    #[error("{place} has undefined length, which only SQ, UN, OB and OW may have")]
    UndefinedLength {
        /// The element.
        place: Place,
    },
    /// An element that a reader of implicit VR would take for the sequence it is in the dictionary.
    #[error(
        "{place} has the VR {vr} but is a sequence in the standard, so it cannot be written in Implicit VR"
    )]
    NotASequence {
        /// The element.
        place: Place,
        /// Its VR.
        vr: VR,
    },
    /// Encapsulated pixel data in a transfer syntax for native pixels.
    #[error(
        "{place} is encapsulated, but the transfer syntax is for native pixels; \
         let the sender propose the transfer syntax that the image is compressed with"
    )]
    EncapsulatedInNative {
        /// The pixel data.
        place: Place,
    },
    /// Two bytes that cannot be a VR.
    #[error(
        "{place} has the bytes {:02X} {:02X} for a VR; \
         perhaps the data set is in Implicit VR and the sender named the wrong transfer syntax", bytes[0], bytes[1]
    )]
    BadVr {
        /// The element.
        place: Place,
        /// What is where the VR should be.
        bytes: [u8; 2],
    },
    /// Command or file meta information elements inside a data set.
    #[error("{place} belongs to a command or to file meta information, not into a data set")]
    ForbiddenGroup {
        /// The element.
        place: Place,
    },
    /// An element twice, with different values, that says what the image is or whose it is.
    #[error(
        "{place} is there for the second time with another value, and readers would differ in which they take"
    )]
    Duplicate {
        /// The second one.
        place: Place,
    },
    /// More than one of Pixel Data, Float Pixel Data and Double Float Pixel Data.
    #[error("{place} comes after {first} already brought the pixels, and an image has one of them")]
    SecondPixelData {
        /// The second one.
        place: Place,
        /// The first one.
        first: Tag,
    },
    /// An element that says what the image is, behind the image.
    #[error("{place} describes the image but comes after its pixels")]
    AfterPixels {
        /// The element.
        place: Place,
    },
    /// Sequences in sequences in sequences.
    #[error("{place} is a sequence inside {max} sequences, the limit is {max}")]
    TooDeep {
        /// The innermost sequence.
        place: Place,
        /// The limit.
        max: usize,
    },
    /// More elements than the limit.
    #[error("{place} is one element more than the limit of {max}")]
    TooManyElements {
        /// The element.
        place: Place,
        /// The limit.
        max: u64,
    },
    /// More bytes of small elements than the limit.
    #[error("with {place} the elements beside the pixels come to more than {max} bytes, the limit")]
    HeaderTooLarge {
        /// The element.
        place: Place,
        /// The limit.
        max: u64,
    },
    /// Bytes that do not inflate.
    #[error("the deflated data set cannot be inflated: {reason}, after {inflated} inflated bytes")]
    Inflate {
        /// What the decompressor says.
        reason: &'static str,
        /// How far it came.
        inflated: u64,
    },
    /// Bytes behind the deflated stream, other than padding or a gzip trailer.
    #[error("{extra} bytes or more follow the end of the deflated data set")]
    AfterDeflate {
        /// How many, as far as was looked.
        extra: u64,
    },
    /// A value that says nothing sensible about the image.
    #[error("{tag} has the value {found:?}, expected {expected}")]
    BadValue {
        /// The element.
        tag: Tag,
        /// Its bytes as text or hexadecimal.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Pixels without a word about their size.
    #[error("the image has pixels but no {tag}")]
    MissingValue {
        /// The element that is not there.
        tag: Tag,
    },
    /// A file that does not begin like a DICOM file.
    #[error(
        "neither DICM at byte 128 nor file meta information at the start: not a DICOM file; \
         if it is a bare data set, name its transfer syntax"
    )]
    NotPart10,
    /// File meta information larger than the limit.
    #[error("the file meta information goes on beyond {max} bytes, the limit")]
    MetaTooLong {
        /// The limit.
        max: usize,
    },
    /// File meta information without a transfer syntax.
    #[error("the file meta information has no Transfer Syntax UID (0002,0010); name the transfer syntax")]
    NoTransferSyntax,
    /// A transfer syntax UID that is no UID.
    #[error("Transfer Syntax UID (0002,0010): {0}")]
    BadTransferSyntax(#[from] crate::dicom::UidError),
    /// The scanner was used again after it had failed.
    #[error("the scanner was used again after an error")]
    Spent,
}

impl ScanError {
    /// The C-STORE status for it: C000H, Error: Cannot understand (PS3.4 B.2.3), for every fault of structure.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Spent => Status::PROCESSING_FAILURE,
            _ => Status(0xC000),
        }
    }

    /// The element it is about, for the Offending Element (0000,0901) of the response.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match self {
            Self::Length { place, .. }
            | Self::Truncated { place, .. }
            | Self::MissingDelimiter { place, .. }
            | Self::StrayDelimiter { place }
            | Self::DelimiterLength { place, .. }
            | Self::ItemExpected { place, .. }
            | Self::FragmentLength { place }
            | Self::NoOffsetTable { place }
            | Self::UndefinedLength { place }
            | Self::NotASequence { place, .. }
            | Self::EncapsulatedInNative { place }
            | Self::BadVr { place, .. }
            | Self::ForbiddenGroup { place }
            | Self::Duplicate { place }
            | Self::SecondPixelData { place, .. }
            | Self::AfterPixels { place }
            | Self::TooDeep { place, .. }
            | Self::HeaderTooLarge { place, .. }
            | Self::TooManyElements { place, .. } => Some(place.tag),
            Self::BadValue { tag, .. } | Self::MissingValue { tag } => Some(*tag),
            Self::NoTransferSyntax | Self::BadTransferSyntax(_) => Some(Tag(0x0002, 0x0010)),
            _ => None,
        }
    }

    /// Whether a limit of ours was passed, rather than a rule of the standard broken.
    #[must_use]
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooDeep { .. }
                | Self::TooManyElements { .. }
                | Self::HeaderTooLarge { .. }
                | Self::MetaTooLong { .. }
        )
    }
}
