//! What all associations share: keys, spool, associations to the PACS, and the rules in force.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::commitment::Commitments;
use super::config::Config;
use super::forward::Ways;
use super::key_source::{Generated, Generators};
use super::release::Release;
use super::waiting::Waiting;
use crate::audit::{Party, Trail};
use crate::cipher::Layers;
use crate::dicom::{AeAddress, AeTitle, Uid};
use crate::keys::Archive;
use crate::policy::{Destination, Permit, Rules};
use crate::scu::{self, Pool};
use crate::seal::KeySource;
use crate::spool::Spool;

/// The peer of an association, as the gatekeeper let it in.
#[derive(Debug, Clone)]
pub struct Visitor {
    /// What it may do.
    pub permit: Permit,
    /// The title it calls itself.
    pub calling: AeTitle,
    /// The title it called.
    pub called: AeTitle,
    /// From where it calls.
    pub address: IpAddr,
}

impl Visitor {
    /// As the audit trail names it.
    #[must_use]
    pub fn party(&self) -> Party {
        Party::named(&self.permit.peer().name).titled(self.calling.as_str()).at(self.address)
    }

    /// Ourselves, as it called us.
    #[must_use]
    pub fn ourselves(&self) -> Party {
        Party::named("sealgate").titled(self.called.as_str())
    }

    /// The user that calls through it, if one was verified.
    #[must_use]
    pub fn user(&self) -> Option<Party> {
        self.permit.user().map(Party::named)
    }
}

/// What the gateway works with.
pub struct Gateway {
    /// Keyring and key store.
    pub archive: Arc<Archive>,
    /// Where content keys come from.
    pub key_source: Arc<dyn KeySource>,
    /// The generator at work behind them.
    pub generated: Option<Arc<Generated>>,
    /// The inner layers of suites that have one.
    pub layers: Layers,
    /// What waits for the PACS.
    pub spool: Spool,
    /// Associations to the PACS.
    pub pool: Pool,
    /// Limits of forwarding.
    pub config: Config,
    /// Gives the rules in force now.
    pub rules: Box<dyn Fn() -> Arc<Rules> + Send + Sync>,
    /// What retrievals share.
    pub release: Release,
    /// Requests for storage commitment, and what is remembered for them.
    pub commitments: Commitments,
    /// What is recorded of all this.
    pub trail: Trail,
    pub(super) waiting: Waiting,
    /// Which destinations are down.
    pub(super) ways: Ways,
    /// Instances that are about to be committed.
    pub(super) committing: Committing,
}

impl Gateway {
    /// Puts it together.
    #[must_use]
    pub fn new(
        archive: Arc<Archive>,
        generators: Generators,
        spool: Spool,
        pool: Pool,
        config: Config,
        rules: Box<dyn Fn() -> Arc<Rules> + Send + Sync>,
        release: Release,
    ) -> Self {
        let (waiting, ways, committing) = (Waiting::default(), Ways::default(), Committing::default());
        let Generators { key_source, generated, layers } = generators;
        Self {
            archive,
            key_source,
            generated,
            layers,
            spool,
            pool,
            config,
            rules,
            release,
            commitments: Commitments::none(),
            trail: Trail::off(),
            waiting,
            ways,
            committing,
        }
    }

    /// The same with storage commitment.
    #[must_use]
    pub fn with_commitments(self, commitments: Commitments) -> Self {
        Self { commitments, ..self }
    }

    /// The same with an audit trail.
    #[must_use]
    pub fn with_trail(self, trail: Trail) -> Self {
        Self { trail, ..self }
    }

    /// Whom we call for a destination, and as whom.
    #[must_use]
    pub fn target(&self, destination: &Destination) -> Option<scu::Destination> {
        self.calling(&destination.address, destination.calling.as_ref())
    }

    /// Whom we call at an address, and as whom: this title, or the first of ours.
    #[must_use]
    pub fn calling(&self, address: &AeAddress, title: Option<&AeTitle>) -> Option<scu::Destination> {
        let calling = title.cloned().or_else(|| (self.rules)().titles().first().cloned())?;
        Some(scu::Destination { address: address.clone(), calling })
    }
}

/// SOP instances whose commit is under way: two senders of one instance come one after the other.
#[derive(Default)]
pub(super) struct Committing {
    instances: Mutex<HashSet<Uid>>,
    changed: tokio::sync::Notify,
}

/// The turn of one sender.
pub(super) struct Turn<'a> {
    committing: &'a Committing,
    instance: Uid,
}

impl Committing {
    /// Waits until nobody else is committing this instance.
    pub(super) async fn turn(&self, instance: &Uid) -> Turn<'_> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.lock().insert(instance.clone()) {
                return Turn { committing: self, instance: instance.clone() };
            }
            changed.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<Uid>> {
        // The set is whole between any two statements.
        self.instances.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.committing.lock().remove(&self.instance);
        self.committing.changed.notify_waiters();
    }
}
