//! The web server: metrics, health, status, and the admin page as a browser and as an attacker would use it.

mod access;
mod admin;
pub(crate) mod client;
mod metrics;
mod trial;
mod unreadable;

#[cfg(feature = "peers")]
mod chromium;
#[cfg(feature = "peers")]
mod deeds;
#[cfg(feature = "peers")]
mod promtool;
