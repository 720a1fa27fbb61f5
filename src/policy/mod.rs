//! Who may do what: a permit or a refusal, decided from the rules alone; time and addresses are arguments.

mod peer;
mod route;
mod rules;

pub use peer::{AddressPattern, AddressPatternError, CertificateName, Identification, Peer, Right};
pub use route::{Acknowledge, Destination, Instance, Route, WithoutPixels};
pub use rules::{Caller, HostTable, Permit, Refusal, Rules, RulesError};
