//! The words of the standard as types that are checked once, on the way in.

mod address;
mod ae_title;
mod certificate;
mod identity;
mod implementation;
mod query_retrieve;
mod sop_class;
mod status;
pub mod tags;
mod text;
mod transfer_syntax;
mod uid;
mod user;

pub use address::{AeAddress, AeAddressError};
pub use ae_title::{AeTitle, AeTitleError};
pub use certificate::{Certificate, Fingerprint, FingerprintError};
pub use identity::{Identity, IdentityKind};
pub use implementation::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};
pub use query_retrieve::{Model, Retrieve, query_retrieve, query_retrieve_class};
pub use sop_class::{
    PERFORMED_PROCEDURE_STEP, STORAGE_COMMITMENT, VERIFICATION, common_storage, is_document, is_storage,
    never_has_pixels,
};
pub use status::Status;
pub use text::text_of;
pub use transfer_syntax::{Encoding, TransferSyntax};
pub use uid::{Uid, UidError};
pub use user::User;
