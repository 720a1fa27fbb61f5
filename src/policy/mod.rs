//! Who may do what: a permit or a refusal, decided from the rules alone; time and addresses are arguments.

mod access;
mod checks;
mod criteria;
mod error;
mod grant;
mod hours;
mod peer;
mod permit;
mod rate;
mod ris;
mod route;
mod rules;

pub use access::{Access, Answer, Limited, Receiver};
pub use criteria::{Criteria, Facts};
pub use error::RulesError;
pub use grant::{EMERGENCY, Grant, Grants};
pub use hours::{Hours, HoursError, Moment};
pub use peer::{
    AddressPattern, AddressPatternError, CertificateName, Identification, Peer, Right, WithoutOpen,
};
pub use permit::{Caller, Permit, Refusal};
pub use rate::{Metered, OpeningRate, Openings};
pub use ris::{Ris, Serves};
pub use route::{
    Acknowledge, Commitment, Destination, Fetch, Instance, PurgeAfter, Route, Unprobed, WithoutPixels,
};
pub use rules::{HostTable, Rules};
