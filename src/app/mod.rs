//! Builds the rooms, opens the doors, tells systemd, and ends in good order.

mod certificates;
mod config;
mod doors;
mod emergencies;
#[cfg(debug_assertions)]
mod failpoints;
mod gate;
mod harden;
mod hosts;
mod house;
mod live;
mod look;
mod notify;
mod probes;
mod refusals;
mod rooms;
mod selfcheck;
mod serve;
mod signals;
mod status;
mod web;

#[cfg(debug_assertions)]
pub(crate) use failpoints::watch_steps;

pub use config::{Config, ConfigError, Listener};
pub use harden::refuse_dumps;
pub use probes::ask as ask_probes;
pub use selfcheck::self_check;
pub use serve::{Ended, ServeError, serve};
pub use status::{StatusError, ask as ask_status};
