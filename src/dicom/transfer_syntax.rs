//! The transfer syntaxes Sealgate speaks, and how each encodes a data set.

/// How the bytes of a data set are laid out (PS3.5 annex A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// Implicit VR Little Endian, native pixels.
    ImplicitLittle,
    /// Explicit VR Little Endian, native pixels.
    ExplicitLittle,
    /// Explicit VR Big Endian (retired), native pixels.
    ExplicitBig,
    /// Explicit VR Little Endian, the whole data set deflated.
    Deflated,
    /// Explicit VR Little Endian, pixels in fragments.
    Encapsulated,
}

/// A transfer syntax out of the standard's registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransferSyntax {
    /// Its UID.
    pub uid: &'static str,
    /// Its keyword in PS3.6 table A-1.
    pub keyword: &'static str,
    /// How a data set in it is encoded.
    pub encoding: Encoding,
}

impl TransferSyntax {
    /// Implicit VR Little Endian, which every node must take (PS3.5 section 10.1).
    pub const IMPLICIT_LITTLE: &'static str = "1.2.840.10008.1.2";
    /// Explicit VR Little Endian.
    pub const EXPLICIT_LITTLE: &'static str = "1.2.840.10008.1.2.1";
    /// Explicit VR Big Endian, which was retired in 2006.
    pub const EXPLICIT_BIG: &'static str = "1.2.840.10008.1.2.2";
    /// Deflated Explicit VR Little Endian: the whole data set is one deflated stream (PS3.5 A.5).
    pub const DEFLATED: &'static str = "1.2.840.10008.1.2.1.99";
    /// RLE Lossless.
    pub const RLE_LOSSLESS: &'static str = "1.2.840.10008.1.2.5";

    /// The syntax with this UID, if Sealgate takes it.
    #[must_use]
    pub fn by_uid(uid: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.0 == uid).map(|&(uid, keyword, encoding)| Self { uid, keyword, encoding })
    }

    /// All that Sealgate takes, in the order of their UIDs.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|&(uid, keyword, encoding)| Self { uid, keyword, encoding })
    }
}

/// PS3.6 table A-1, 2026, less those whose pixels are not in the instance and so could not be sealed: the JPIP ones
/// (a URL leads to clear pixels), SMPTE ST 2110 (a live stream), and the retired MIME, XML and Papyrus encodings,
/// which were never sent with C-STORE.
#[rustfmt::skip]
const TABLE: &[(&str, &str, Encoding)] = &[
    ("1.2.840.10008.1.2", "ImplicitVRLittleEndian", Encoding::ImplicitLittle),
    ("1.2.840.10008.1.2.1", "ExplicitVRLittleEndian", Encoding::ExplicitLittle),
    ("1.2.840.10008.1.2.1.98", "EncapsulatedUncompressedExplicitVRLittleEndian", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.1.99", "DeflatedExplicitVRLittleEndian", Encoding::Deflated),
    ("1.2.840.10008.1.2.2", "ExplicitVRBigEndian", Encoding::ExplicitBig),
    ("1.2.840.10008.1.2.4.50", "JPEGBaseline8Bit", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.51", "JPEGExtended12Bit", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.52", "JPEGExtended35", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.53", "JPEGSpectralSelectionNonHierarchical68", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.54", "JPEGSpectralSelectionNonHierarchical79", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.55", "JPEGFullProgressionNonHierarchical1012", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.56", "JPEGFullProgressionNonHierarchical1113", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.57", "JPEGLossless", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.58", "JPEGLosslessNonHierarchical15", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.59", "JPEGExtendedHierarchical1618", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.60", "JPEGExtendedHierarchical1719", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.61", "JPEGSpectralSelectionHierarchical2022", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.62", "JPEGSpectralSelectionHierarchical2123", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.63", "JPEGFullProgressionHierarchical2426", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.64", "JPEGFullProgressionHierarchical2527", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.65", "JPEGLosslessHierarchical28", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.66", "JPEGLosslessHierarchical29", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.70", "JPEGLosslessSV1", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.80", "JPEGLSLossless", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.81", "JPEGLSNearLossless", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.90", "JPEG2000Lossless", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.91", "JPEG2000", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.92", "JPEG2000MCLossless", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.93", "JPEG2000MC", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.100", "MPEG2MPML", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.100.1", "MPEG2MPMLF", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.101", "MPEG2MPHL", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.101.1", "MPEG2MPHLF", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.102", "MPEG4HP41", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.102.1", "MPEG4HP41F", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.103", "MPEG4HP41BD", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.103.1", "MPEG4HP41BDF", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.104", "MPEG4HP422D", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.104.1", "MPEG4HP422DF", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.105", "MPEG4HP423D", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.105.1", "MPEG4HP423DF", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.106", "MPEG4HP42STEREO", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.106.1", "MPEG4HP42STEREOF", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.107", "HEVCMP51", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.108", "HEVCM10P51", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.110", "JPEGXLLossless", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.111", "JPEGXLJPEGRecompression", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.112", "JPEGXL", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.201", "HTJ2KLossless", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.202", "HTJ2KLosslessRPCL", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.4.203", "HTJ2K", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.5", "RLELossless", Encoding::Encapsulated),
    ("1.2.840.10008.1.2.8.1", "DeflatedImageFrameCompression", Encoding::Encapsulated),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_how_the_common_ones_are_encoded() {
        let encoding = |uid| TransferSyntax::by_uid(uid).map(|t| t.encoding);
        assert_eq!(encoding(TransferSyntax::IMPLICIT_LITTLE), Some(Encoding::ImplicitLittle));
        assert_eq!(encoding(TransferSyntax::EXPLICIT_LITTLE), Some(Encoding::ExplicitLittle));
        assert_eq!(encoding("1.2.840.10008.1.2.2"), Some(Encoding::ExplicitBig));
        assert_eq!(encoding("1.2.840.10008.1.2.1.99"), Some(Encoding::Deflated));
        assert_eq!(encoding("1.2.840.10008.1.2.4.90"), Some(Encoding::Encapsulated));
    }

    #[test]
    fn leaves_out_what_has_its_pixels_elsewhere() {
        for uid in ["1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.7.1"] {
            assert_eq!(TransferSyntax::by_uid(uid), None, "{uid}");
        }
    }

    #[test]
    fn has_no_uid_twice() {
        let mut uids: Vec<_> = TransferSyntax::all().map(|t| t.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        assert_eq!(uids.len(), TABLE.len());
    }
}
