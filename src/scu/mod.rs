//! The services we use towards other nodes.
//!
//! All are of one shape: a `Caller` is an association that we asked for, each service a function on it that sends its
//! request and gives what comes back, one operation at a time. Data sets are bytes, passed through untouched.

mod answer;
mod caller;
mod commit;
mod config;
mod dial;
mod echo;
mod elements;
mod failure;
mod find;
mod get;
mod move_;
mod mpps;
mod pool;
mod proposals;
mod retrieve;
mod source;
mod store;

pub use answer::{Answer, Comment, Meaning};
pub use caller::{Caller, Destination, Report, Response};
pub use commit::{
    CommitmentReport, CommitmentRequest, Reference, STORAGE_COMMITMENT_INSTANCE, commit, report,
};
pub use config::Config;
pub use dial::{Dialer, Dialing, Duplex, Switchboard, Tcp, Wire};
pub use echo::{Echoed, echo};
pub use elements::ElementsError;
pub use failure::{Failure, Fault};
pub use find::{Finding, Match, find};
pub use get::{Getting, Got, Incoming, get};
pub use move_::{Moved, Moving, move_};
pub use mpps::{create as create_step, set as set_step};
pub use pool::{Lease, Pool};
pub use proposals::{Need, for_extended_service, for_getting, for_reporting, for_service, for_storing};
pub use retrieve::Retrieved;
pub use source::{FromPieces, FromReader, Source};
pub use store::{Instance, store};
