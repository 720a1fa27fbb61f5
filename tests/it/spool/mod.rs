//! The spool: what it promises about bytes, order, limits, crashes and faults, seen from outside.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test too")]

mod crash;
mod damage;
mod faults;
mod folder;
#[cfg(feature = "peers")]
mod full;
mod kill;
mod limits;
mod papers;
mod queue;
pub(crate) mod sim;
mod story;
