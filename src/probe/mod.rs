//! A PACS tried out before it is used: synthetic sealed images of every kind go there, come back, and are held against
//! what they were.
//!
//! What was found is a `Profile`, a file for each destination; `serve` asks `admit` about it before it calls one.

mod admit;
mod config;
mod door;
mod exchange;
mod judge;
mod profile;
mod run;
mod specimen;
#[cfg(test)]
mod tests;

pub use admit::{Leave, Subject, admit};
pub use config::Config;
pub use door::Door;
pub use exchange::Line;
pub use judge::{Finding, Outcome};
pub use profile::{Profile, ProfileError, Verdict};
pub use run::{Plan, ProbeError, Step, probe};
pub use specimen::Kind;
