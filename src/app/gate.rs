//! Where the rules meet the door: a request for an association becomes a question to `policy`, its answer a code.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, error, info};

use super::live::{Live, State};
use super::refusals::Refusals;
use crate::association::{Admission, Error, Gatekeeper, Knock, Offer, Rejection, Roles, Verifying};
use crate::audit::{Alert, Event, Login, Party, What};
use crate::dicom::{
    Model, PERFORMED_PROCEDURE_STEP, Retrieve, STORAGE_COMMITMENT, Uid, VERIFICATION, is_storage,
    query_retrieve,
};
use crate::flow::{Gateway, Visitor, audit};
use crate::policy::{Caller, Permit, Refusal, Right};
use crate::spool::Pressure;

/// Asks the rules that are in force when somebody knocks.
pub(super) struct Gate {
    live: Live,
    gateway: Option<Arc<Gateway>>,
    refusals: Refusals,
}

impl Gate {
    pub(super) fn new(live: Live, gateway: Option<Arc<Gateway>>) -> Self {
        Self { live, gateway, refusals: Refusals::default() }
    }

    /// What an emergency access of this peer adds.
    fn in_emergency(&self, permit: Permit) -> Permit {
        let now = crate::flow::now_unix_millis() / 1000;
        let grants = self.gateway.as_ref().map(|gateway| gateway.release.grants.now());
        if grants.is_some_and(|grants| grants.of(&permit.peer().name, now).is_some()) {
            return permit.in_emergency();
        }
        permit
    }

    fn refused(&self, who: Party, from: IpAddr, why: &dyn std::fmt::Display) {
        let Some(unsaid) = self.refusals.count(from, Instant::now()) else { return };
        let more =
            if unsaid > 0 { format!("; {unsaid} more from there were not recorded") } else { String::new() };
        let alert = Alert::failed(What::AssociationRefused, format_args!("{why}{more}"));
        self.record(|| Event::Alert(Box::new(alert.by(who.at(from)))));
    }

    fn record(&self, event: impl FnOnce() -> Event) {
        if let Some(gateway) = self.gateway.as_ref().filter(|gateway| gateway.trail.is_on()) {
            gateway.trail.record(event());
        }
    }

    /// Whether somebody who stores would find no room: better no association than one in which every store fails.
    fn is_full(&self) -> bool {
        self.gateway.as_ref().is_some_and(|gateway| gateway.spool.pressure() != Pressure::Open)
    }
}

impl Gatekeeper for Gate {
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection> {
        let state = self.live.now();
        match state.rules.admit(caller(knock)) {
            Ok(permit) => {
                match (permit.user(), permit.claims()) {
                    (Some(user), kind) => {
                        info!(peer = %permit.peer().name, user, ?kind, "user identity verified");
                        self.record(|| login(knock, &permit.peer().name, Ok(user)));
                    }
                    (None, Some(kind)) => {
                        debug!(peer = %permit.peer().name, ?kind, "a user identity was claimed, nothing verifies it");
                    }
                    (None, None) => {}
                }
                if permit.covers(Right::Store) && self.is_full() {
                    error!(peer = %permit.peer().name, "association refused, the spool is nearly full or has failed");
                    return Err(Rejection::LocalLimit);
                }
                Ok(admission(self.in_emergency(permit), knock, &state))
            }
            Err(refusal) => {
                let (calling, called) = (knock.calling.as_str(), knock.called.as_str());
                audit::association_refused(&knock.address, calling, called, &refusal);
                self.refused(Party::named(calling).titled(calling), knock.address, &refusal);
                Err(code(&refusal))
            }
        }
    }

    fn verify<'a>(&'a self, knock: &'a Knock) -> Verifying<'a> {
        let state = self.live.now();
        Box::pin(async move {
            let identity = knock.identity.as_ref()?;
            // Whoever is not let in for another reason gets no password tried.
            let Err(Refusal::NoUser { peer, .. }) = state.rules.admit(caller(knock)) else { return None };
            let ways = state.rules.peers().find(|known| known.name == peer).map(|known| &known.identity)?;
            if !ways.iter().any(|way| way.fits(identity.kind)) {
                return None;
            }
            match state.verifier.verify(identity).await {
                Ok(user) => Some(user),
                Err(error) => {
                    audit::identity_refused(&peer, &knock.address, &error);
                    self.record(|| login(knock, &peer, Err(error.to_string())));
                    None
                }
            }
        })
    }

    fn turned_away(&self, from: IpAddr, error: &Error) {
        self.refused(Party::named(&from.to_string()), from, error);
    }
}

fn login(knock: &Knock, peer: &str, verified: Result<&str, String>) -> Event {
    let node = Party::named(peer).titled(knock.calling.as_str()).at(knock.address);
    let user = verified.as_ref().ok().map(|user| (*user).to_owned());
    Event::Login(Box::new(Login { user, node, failure: verified.err() }))
}

fn caller(knock: &Knock) -> Caller<'_> {
    Caller {
        calling: &knock.calling,
        called: &knock.called,
        address: knock.address,
        certificate: knock.certificate.as_ref(),
        identity: knock.identity.as_ref(),
        user: knock.user.as_ref(),
    }
}

fn admission(permit: Permit, knock: &Knock, state: &State) -> Admission {
    let visitor = Visitor {
        permit: permit.clone(),
        calling: knock.calling.clone(),
        called: knock.called.clone(),
        address: knock.address,
    };
    Admission {
        pass: Arc::new(visitor),
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
        | Refusal::NoRight { .. }
        | Refusal::NotThese { .. }
        | Refusal::TooMany { .. } => Rejection::CallingAeTitle,
        Refusal::NoUser { .. } => Rejection::Identity,
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
        if abstract_syntax.as_str() == STORAGE_COMMITMENT {
            let (asks, reports) = (self.permit.covers(Right::Commit), self.permit.covers(Right::Report));
            // A PACS that reports is the SCP (PS3.4 J.3.3); some forget to say so, and are heard all the same.
            return (asks || reports).then_some(Roles { scu: true, scp: reports });
        }
        if abstract_syntax.as_str() == PERFORMED_PROCEDURE_STEP {
            return self.permit.covers(Right::Mpps).then_some(Roles::DEFAULT);
        }
        if let Some((model, service)) = query_retrieve(abstract_syntax.as_str()) {
            let right = match (model, service) {
                (Model::Worklist, _) => Right::Worklist,
                (_, Retrieve::Find) => Right::Find,
                (_, Retrieve::Move) => Right::Move,
                (_, Retrieve::Get) => Right::Get,
            };
            return self.permit.covers(right).then_some(Roles::DEFAULT);
        }
        if is_storage(abstract_syntax.as_str()) || self.private_classes.contains(abstract_syntax) {
            // A peer that retrieves with C-GET receives on these contexts (PS3.4 C.4.3).
            let roles = Roles { scu: self.permit.covers(Right::Store), scp: self.permit.covers(Right::Get) };
            return (roles.scu || roles.scp).then_some(roles);
        }
        None
    }

    /// PS3.4 C.5.1.1 and C.5.2.1: relational queries and retrievals go on to the archive, which says what it does of them;
    /// nothing else that can be asked for is promised.
    fn extended(&self, abstract_syntax: &Uid, asked: &[u8]) -> Option<Vec<u8>> {
        query_retrieve(abstract_syntax.as_str())?;
        let relational = u8::from(asked.first() == Some(&1));
        Some(std::iter::once(relational).chain(asked.iter().skip(1).map(|_| 0)).collect())
    }
}
