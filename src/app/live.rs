//! What a reload replaces while associations go on: the rules, the limits, the private classes.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::association;
use crate::dicom::Uid;
use crate::policy::Rules;
use crate::settings::Settings;

/// One state of everything that a reload replaces as a whole.
#[derive(Debug)]
pub(super) struct State {
    pub(super) rules: Rules,
    pub(super) limits: Arc<association::Config>,
    pub(super) private_classes: Arc<BTreeSet<Uid>>,
}

/// The state in force. Whoever asks gets one that fits together, never half of two.
#[derive(Debug, Clone)]
pub(super) struct Live(Arc<RwLock<Arc<State>>>);

impl State {
    pub(super) fn new(settings: &Settings, rules: Rules) -> Self {
        Self {
            rules,
            limits: Arc::new(settings.association.clone()),
            private_classes: Arc::new(settings.private_storage_classes.iter().cloned().collect()),
        }
    }
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
