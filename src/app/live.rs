//! What a reload replaces while associations go on: the rules, the limits, the private classes.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use super::config::Listener;
use crate::association::{self, Transport};
use crate::dicom::{AeAddress, Uid};
use crate::identity::Verifier;
use crate::policy::Rules;
use crate::settings::Settings;
use crate::tls::{self, Profiles};

/// One state of everything that a reload replaces as a whole.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rules: Arc<Rules>,
    pub(super) limits: Arc<association::Config>,
    pub(super) private_classes: Arc<BTreeSet<Uid>>,
    /// The TLS profiles with what was read of them.
    pub(super) tls: Profiles,
    /// What users' identities are verified against.
    pub(super) verifier: Verifier,
    /// How each destination is reached.
    pub(super) ways: HashMap<AeAddress, Transport>,
    /// The listeners of the start, in their order.
    pub(super) doors: Vec<DoorState>,
}

/// What callers at one listener are answered by.
#[derive(Debug, Clone)]
pub(super) struct DoorState {
    /// As configured, so with the port 0 where any port would do.
    address: SocketAddr,
    /// Nothing on a plain listener.
    pub(super) server: Option<tls::Server>,
}

/// The state in force. Whoever asks gets one that fits together, never half of two.
#[derive(Debug, Clone)]
pub(super) struct Live(Arc<RwLock<Arc<State>>>);

impl State {
    /// Everything that `settings` say at the start, with files read and host names resolved.
    pub(super) fn new(settings: &Settings, rules: Rules, tls: Profiles, verifier: Verifier) -> Self {
        let doors = settings
            .listeners
            .iter()
            .map(|listener| DoorState { address: listener.address, server: server(listener, &tls) });
        Self {
            rules: Arc::new(rules),
            limits: Arc::new(settings.association.clone()),
            private_classes: Arc::new(settings.private_storage_classes.iter().cloned().collect()),
            doors: doors.collect(),
            // They were tried when the configuration was checked; one that fails now is told when it is called.
            ways: settings.ways(&tls).unwrap_or_default(),
            tls,
            verifier,
        }
    }

    /// What these settings make of it later: the addresses stay those of the start, and one that the settings have no
    /// more stays as it was, until a restart.
    pub(super) fn next(&self, settings: &Settings, rules: Rules, tls: Profiles, verifier: Verifier) -> Self {
        let fresh = &settings.listeners;
        let same = fresh.len() == self.doors.len()
            && fresh.iter().zip(&self.doors).all(|(listener, door)| listener.address == door.address);
        let doors = self.doors.iter().enumerate().map(|(index, door)| {
            // Where port 0 stands twice, only the place tells one from the other.
            let found = if same {
                fresh.get(index)
            } else {
                fresh.iter().find(|listener| listener.address == door.address)
            };
            match found {
                Some(listener) => DoorState { server: server(listener, &tls), ..door.clone() },
                None => door.clone(),
            }
        });
        let doors = doors.collect();
        Self { doors, ..Self::new(settings, rules, tls, verifier) }
    }
}

fn server(listener: &Listener, tls: &Profiles) -> Option<tls::Server> {
    let name = listener.tls.as_ref()?;
    Some(
        tls.server(name, listener.asks())
            .expect("a profile that passed the check for listeners makes a server"),
    )
}

impl Live {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(state))))
    }

    /// The state in force now.
    pub(super) fn now(&self) -> Arc<State> {
        // A panic elsewhere cannot leave the pointer half written.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another state in force for everything that begins from now on.
    pub(super) fn replace(&self, state: State) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
    }
}
