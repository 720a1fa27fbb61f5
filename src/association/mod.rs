//! DICOM associations (PS3.8): bytes in, typed requests out; every length and every wait has a limit.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod acceptor;
mod codes;
mod command;
mod config;
mod door;
mod ending;
mod error;
mod established;
mod fields;
mod frame;
mod items;
mod negotiate;
mod outgoing;
mod pdv;
mod requestor;
mod requests;
mod slots;

pub use acceptor::Acceptor;
pub use codes::{Abort, Rejected, Rejection};
pub use command::{Command, element, field};
pub use config::Config;
pub use door::{Door, Host, Visit};
pub use ending::Ending;
pub use error::Error;
pub use established::{Association, Message};
pub use fields::{Priority, SubOperations};
pub use items::CONTEXTS_MAX;
pub use negotiate::{Admission, Context, Gatekeeper, Knock, Offer, Roles, Verifying};
pub use outgoing::Outgoing;
pub use requestor::{Proposal, Transport, reach, request, request_over, request_via};
pub use slots::Slots;
