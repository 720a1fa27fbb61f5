//! Builds the rooms, opens the doors, tells systemd, and ends in good order.

mod certificates;
mod config;
mod doors;
mod emergencies;
mod gate;
mod hosts;
mod live;
mod notify;
mod rooms;
mod serve;
mod signals;

pub use config::{Config, ConfigError, Listener};
pub use serve::{Ended, ServeError, serve};
