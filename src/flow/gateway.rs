//! What all associations share: keys, spool, associations to the PACS, and the rules in force.

use std::sync::Arc;

use super::release::Release;
use crate::dicom::AeTitle;
use crate::keys::Archive;
use crate::policy::{Destination, Permit, Rules};
use crate::scu::{self, Pool};

/// The peer of an association, as the gatekeeper let it in.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What it may do.
    pub permit: Permit,
    /// The title it calls itself.
    pub calling: AeTitle,
    /// The title it called.
    pub called: AeTitle,
}

/// What the gateway works with.
pub struct Gateway {
    /// Keyring and key store.
    pub archive: Arc<Archive>,
    /// Associations to the PACS.
    pub pool: Pool,
    /// Gives the rules in force now.
    pub rules: Box<dyn Fn() -> Arc<Rules> + Send + Sync>,
    /// What the way back shares.
    pub release: Release,
}

impl Gateway {
    /// Whom we call for a destination, and as whom.
    #[must_use]
    pub fn target(&self, destination: &Destination) -> Option<scu::Destination> {
        let rules = (self.rules)();
        let calling = destination.calling.clone().or_else(|| rules.titles().first().cloned())?;
        Some(scu::Destination { address: destination.address.clone(), calling })
    }
}
