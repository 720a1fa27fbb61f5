//! Builds the rooms, opens the doors, tells systemd, and ends in good order.

mod config;
mod doors;
mod gate;
mod hosts;
mod live;
mod notify;
mod serve;
mod signals;

pub use config::{Config, ConfigError};
pub use serve::{Ended, ServeError, serve};
