//! What the gateway says of itself: the log for now; its types carry no patient data.

mod log;

pub use log::{Config, Format, LevelError, LogHandle, init};
