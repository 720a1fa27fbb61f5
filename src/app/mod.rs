//! Builds the rooms, opens the doors, tells systemd, and ends in good order.

mod certificates;
mod config;
mod doors;
mod emergencies;
#[cfg(debug_assertions)]
mod failpoints;
mod gate;
mod hosts;
mod live;
mod notify;
mod probes;
mod refusals;
mod rooms;
mod serve;
mod signals;

pub use config::{Config, ConfigError, Listener};
pub use probes::ask as ask_probes;
pub use serve::{Ended, ServeError, serve};
