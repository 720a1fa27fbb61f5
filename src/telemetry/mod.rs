//! What the gateway says of itself: the log, the metrics and how it is at a moment; its types carry no patient data.

mod log;
pub mod metrics;
pub mod snapshot;
pub mod words;

pub use log::{Config, Format, LevelError, LogHandle, init};
