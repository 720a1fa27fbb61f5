//! Custody: who may run which command, and what takes two persons.

mod config;
mod error;
mod person;
mod request;

pub use config::{Config, Role};
pub use error::CustodyError;
pub use person::Person;
pub use request::{Action, Request, Requests};
