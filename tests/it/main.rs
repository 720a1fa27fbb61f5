//! The one integration test binary; each module is a subject.

mod architecture;
mod gateway;
mod hostile;
mod keys;
mod process;
mod scan;
mod settings;
mod wire;

#[cfg(feature = "peers")]
mod peers_disk;
#[cfg(feature = "peers")]
mod peers_echo;
#[cfg(feature = "peers")]
mod peers_format;
#[cfg(feature = "peers")]
mod peers_token;
