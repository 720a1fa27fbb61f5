//! The attributes by which instances are told apart, in the order of their tags.

use dicom_core::Tag;

/// SOP Class UID.
pub const SOP_CLASS: Tag = Tag(0x0008, 0x0016);
/// SOP Instance UID.
pub const SOP_INSTANCE: Tag = Tag(0x0008, 0x0018);
/// Query/Retrieve Level.
pub const LEVEL: Tag = Tag(0x0008, 0x0052);
/// Modality.
pub const MODALITY: Tag = Tag(0x0008, 0x0060);
/// Patient ID.
pub const PATIENT_ID: Tag = Tag(0x0010, 0x0020);
/// Study Instance UID.
pub const STUDY: Tag = Tag(0x0020, 0x000D);
/// Series Instance UID.
pub const SERIES: Tag = Tag(0x0020, 0x000E);
