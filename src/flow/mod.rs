//! The stories: what becomes of an instance between a modality and the PACS, and between the PACS and a viewer.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod gateway;
pub mod release;

pub use gateway::{Gateway, Visitor};
