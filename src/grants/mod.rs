//! The file of emergency accesses: written by an operator, read by the running service whenever somebody asks for images.
//!
//! Who may write the file may open every image, so it is believed only where nobody else could have written it.

mod config;
mod error;
mod file;
mod told;

pub use config::Config;
pub use error::GrantsError;
pub use file::GrantFile;
pub use told::{News, Told};
