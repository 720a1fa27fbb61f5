//! Carrying keys to another site: in a file, as QR codes, or hidden in a picture; and a text embedded in an image and taken out.
//!
//! `docs/FORMAT-handover.md`. What travels is sealed for one key encryption key of the other site, whatever carries it.

mod codes;
mod error;
mod hide;
mod keys;
mod package;
mod picture;
mod reversible;

pub use codes::{CODES_MAX, Reading, read_codes, write_codes};
pub use error::HandoverError;
pub use hide::{Hidden, find, hide};
pub use keys::{Carried, Handover, WithDual};
pub use package::{Contents, PACKAGE_BYTES_MAX, open, seal};
pub use picture::Picture;
pub use reversible::{Embedded, embed, extract};
