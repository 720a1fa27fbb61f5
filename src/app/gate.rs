//! Where the rules meet the door: a request for an association becomes a question to `policy`, its answer a code.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::{debug, info};

use super::live::{Live, State};
use crate::association::{Admission, Gatekeeper, Knock, Offer, Rejection, Roles};
use crate::dicom::{Uid, VERIFICATION, is_storage};
use crate::policy::{Caller, Permit, Refusal, Right};

/// Asks the rules that are in force when somebody knocks.
pub(super) struct Gate {
    live: Live,
}

impl Gate {
    pub(super) fn new(live: Live) -> Self {
        Self { live }
    }
}

impl Gatekeeper for Gate {
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection> {
        let state = self.live.now();
        let identity = knock.identity.as_ref();
        let caller = Caller {
            calling: &knock.calling,
            called: &knock.called,
            address: knock.address,
            certificate: knock.certificate.as_ref(),
            identity,
        };
        match state.rules.admit(caller) {
            Ok(permit) => {
                if let Some(kind) = permit.claims() {
                    debug!(peer = %permit.peer().name, ?kind, "a user identity was claimed, nothing verifies it");
                }
                Ok(admission(permit, &state))
            }
            Err(refusal) => {
                info!(address = %knock.address, reason = %refusal, "association refused");
                Err(code(&refusal))
            }
        }
    }
}

fn admission(permit: Permit, state: &State) -> Admission {
    Admission {
        peer: permit.peer().name.as_str().into(),
        associations_max: permit.peer().associations_max,
        offer: Box::new(Services { permit, private_classes: Arc::clone(&state.private_classes) }),
    }
}

/// A wrong address or certificate gets the answer of an unknown title: who guesses titles learns nothing from it.
fn code(refusal: &Refusal) -> Rejection {
    match refusal {
        Refusal::UnknownCalling(_)
        | Refusal::WrongAddress { .. }
        | Refusal::NoCertificate { .. }
        | Refusal::WrongCertificate { .. }
        | Refusal::NoRight { .. } => Rejection::CallingAeTitle,
        Refusal::WrongCalled { .. } => Rejection::CalledAeTitle,
    }
}

/// What one permit opens.
struct Services {
    permit: Permit,
    private_classes: Arc<BTreeSet<Uid>>,
}

impl Offer for Services {
    fn roles(&self, abstract_syntax: &Uid) -> Option<Roles> {
        if abstract_syntax.as_str() == VERIFICATION {
            return self.permit.covers(Right::Echo).then_some(Roles::DEFAULT);
        }
        if is_storage(abstract_syntax.as_str()) || self.private_classes.contains(abstract_syntax) {
            // A peer that retrieves with C-GET receives on these contexts (PS3.4 C.4.3).
            let roles = Roles { scu: self.permit.covers(Right::Store), scp: self.permit.covers(Right::Get) };
            return (roles.scu || roles.scp).then_some(roles);
        }
        None
    }
}
