//! DICOM associations (PS3.8): bytes in, typed requests out; every length and every wait has a limit.
#![warn(clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod acceptor;
mod codes;
mod command;
mod config;
mod error;
mod established;
mod frame;
mod items;
mod negotiate;
mod pdv;
mod requestor;
mod slots;

pub use acceptor::Acceptor;
pub use codes::{Abort, Rejected, Rejection};
pub use command::{Command, element, field};
pub use config::{Config, ConfigError};
pub use error::Error;
pub use established::{Association, Ending, Message};
pub use negotiate::{
    Admission, Context, Gatekeeper, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, Identity,
    IdentityKind, Knock, Offer, Roles,
};
pub use requestor::{Proposal, request};
pub use slots::Slots;
