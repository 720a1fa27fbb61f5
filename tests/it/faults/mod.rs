//! The whole path under faults: the gateway killed at every step, a PACS that misbehaves, a disk that fails.

#[cfg(feature = "peers")]
mod answers;
mod clock;
mod destinations;
mod disk;
mod drain;
mod fallback;
mod forwarded;
mod hospital;
mod image;
mod kill;
mod many;
#[cfg(feature = "peers")]
pub(crate) mod middle;
mod outage;
mod pacs;
mod repeated;
mod stores;
pub(crate) mod strays;
mod strike;
mod upgrade;
#[cfg(feature = "peers")]
mod vanish;
#[cfg(feature = "peers")]
mod way_tls;
