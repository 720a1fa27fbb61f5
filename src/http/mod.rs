//! The web server: metrics and health for machines, the admin page for people. What it knows of the gateway comes through
//! `House`.

mod admin;
mod config;
mod house;
mod plain;
mod server;
mod web;

pub use config::{Config, ConfigError};
pub use house::{Admin, Emergency, House, Queued, Recorded, Sample, Sealed, Study, Wanted};
pub use plain::{Unreadable, snapshot};
pub use server::{Secured, WebServer};
pub use web::router;
