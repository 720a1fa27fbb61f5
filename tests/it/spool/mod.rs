//! The spool: what it promises about bytes, order, limits, crashes and faults, seen from outside.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail the test too")]

mod crash;
mod sim;
mod story;
