//! Who may do what: a permit or a refusal, decided from the rules alone; time and addresses are arguments.

mod access;
mod peer;
mod ris;
mod route;
mod rules;

pub use access::{Access, Receiver};
pub use peer::{
    AddressPattern, AddressPatternError, CertificateName, Identification, Peer, Right, WithoutOpen,
};
pub use ris::{Ris, Serves};
pub use route::{
    Acknowledge, Commitment, Destination, Fetch, Instance, PurgeAfter, Route, Unprobed, WithoutPixels,
};
pub use rules::{Caller, HostTable, Permit, Refusal, Rules, RulesError};
