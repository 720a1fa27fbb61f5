//! The answering side: from a connection to an association, or to the refusal that the standard has for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dicom_ul::pdu::{Pdu, write_pdu};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::{debug, info};

use super::codes::Rejection;
use super::config::Config;
use super::error::Error;
use super::established::{Association, Ending, aborted};
use super::frame::{Frame, Framed, Patience, Phase, kind, short_pdu};
use super::items;
use super::negotiate::{self, Gatekeeper, Knock};
use super::slots::{Full, Slots};

/// Connections over a limit that are still listened to, so that they hear a refusal instead of a reset.
const REFUSED_AT_ONCE_MAX: usize = 64;
/// How long such a connection may take to ask.
const REFUSED_SECONDS: u64 = 2;

/// What every connection is taken in by.
#[derive(Clone)]
pub struct Acceptor {
    /// Who comes in.
    pub gatekeeper: Arc<dyn Gatekeeper>,
    /// Who is there already.
    pub slots: Slots,
    /// Tells when the process ends.
    pub ending: Ending,
    refusing: Slots,
}

impl Acceptor {
    /// An acceptor with nobody there yet.
    #[must_use]
    pub fn new(gatekeeper: Arc<dyn Gatekeeper>, ending: Ending) -> Self {
        Self { gatekeeper, slots: Slots::default(), ending, refusing: Slots::default() }
    }

    /// Takes a connection in under these limits: an association, or nothing when it was refused, which is logged.
    pub async fn accept<S>(&self, stream: S, from: SocketAddr, config: Arc<Config>) -> Option<Association<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let framed = Framed::new(stream, &config);
        let (total, per_address) = (config.associations_max, config.associations_per_address_max);
        let place = match self.slots.connection(from.ip().to_canonical(), total, per_address) {
            Ok(place) => place,
            Err(full) => {
                self.refuse(framed, from, full).await;
                return None;
            }
        };
        let seconds = config.artim_seconds;
        let mut knocking = Knocking { framed, from, config, ending: self.ending.clone() };
        // PS3.8 9.1.4: ARTIM runs from the connection to the whole of the request.
        let slow = Error::TooSlow { what: "to ask for an association", seconds };
        let request = timeout(Duration::from_secs(seconds), knocking.request()).await.unwrap_or(Err(slow));
        match request {
            Ok(Some(frame)) => self.answer(knocking, &frame, Box::new(place)).await,
            Ok(None) => None,
            Err(error) => {
                knocking.end(&error).await;
                None
            }
        }
    }

    async fn answer<S>(
        &self,
        mut knocking: Knocking<S>,
        frame: &Frame,
        place: Box<dyn Send + Sync>,
    ) -> Option<Association<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let mut request = match items::read_request(&frame.body) {
            Ok(request) => request,
            Err(error) => {
                knocking.end(&error).await;
                return None;
            }
        };
        let identity = negotiate::take_identity(&mut request);
        let admitted = negotiate::read_titles(&request).and_then(|(calling, called)| {
            let knock = Knock { calling, called, address: knocking.from.ip().to_canonical(), identity };
            self.gatekeeper.admit(&knock)
        });
        let admission = match admitted {
            Ok(admission) => admission,
            Err(rejection) => {
                knocking.reject(rejection).await;
                return None;
            }
        };
        let general = knocking.config.associations_per_peer_max;
        let limit = admission.associations_max.map_or(general, |own| own.min(general));
        let peer_place = match self.slots.peer(&admission.peer, limit) {
            Ok(place) => place,
            Err(full) => {
                info!(peer = %admission.peer, limit = full.words(), "association refused, a limit is reached");
                knocking.reject(Rejection::Congestion).await;
                return None;
            }
        };
        let (answer, agreement) =
            negotiate::answer(&request, &*admission.offer, knocking.config.pdu_bytes_max);
        let mut bytes = Vec::new();
        // Writing to memory fails only for texts that do not fit their fields, and these came out of such fields.
        write_pdu(&mut bytes, &Pdu::AssociationAC(answer)).ok()?;
        if let Err(error) = knocking.framed.write(&bytes).await {
            knocking.end(&error).await;
            return None;
        }
        let Knocking { framed, config, .. } = knocking;
        debug!(peer = %admission.peer, contexts = agreement.contexts.len(), "association accepted");
        let places = Box::new((place, peer_place));
        Some(Association::new(framed, config, agreement, admission.peer, self.ending.clone(), places))
    }

    /// Hears a connection out for a moment and tells it that there is no room.
    async fn refuse<S>(&self, framed: Framed<S>, from: SocketAddr, full: Full)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        info!(address = %from.ip(), limit = full.words(), "connection refused, a limit is reached");
        let per_address = REFUSED_AT_ONCE_MAX / 4;
        let Ok(_place) = self.refusing.connection(from.ip().to_canonical(), REFUSED_AT_ONCE_MAX, per_address)
        else {
            return;
        };
        let mut framed = framed;
        let patience = Patience { seconds: REFUSED_SECONDS, what: "to ask for an association" };
        let asked =
            timeout(Duration::from_secs(REFUSED_SECONDS), framed.next(Phase::Request, patience)).await;
        if let Ok(Ok(Some(_))) = asked {
            let _ = framed.write(&rejection(Rejection::Congestion)).await;
            framed.close(REFUSED_SECONDS).await;
        }
    }
}

fn rejection(rejection: Rejection) -> [u8; 10] {
    let codes = rejection.codes();
    short_pdu(kind::ASSOCIATE_RJ, [0, codes.result, codes.source, codes.reason])
}

/// A connection that has not been answered yet.
struct Knocking<S> {
    framed: Framed<S>,
    from: SocketAddr,
    config: Arc<Config>,
    ending: Ending,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Knocking<S> {
    /// The A-ASSOCIATE-RQ; nothing if the connection was closed, or given up, without one.
    async fn request(&mut self) -> Result<Option<Frame>, Error> {
        let patience = Patience { seconds: self.config.artim_seconds, what: "to ask for an association" };
        let asked = self.ending.cuts_short(self.framed.next(Phase::Request, patience)).await;
        match asked.unwrap_or(Err(Error::Ending))? {
            Some(frame) if frame.kind == kind::ABORT => Err(aborted(&frame.body)),
            other => Ok(other),
        }
    }

    async fn reject(mut self, reason: Rejection) {
        if self.framed.write(&rejection(reason)).await.is_ok() {
            self.close().await;
        }
    }

    async fn end(mut self, error: &Error) {
        info!(address = %self.from.ip(), %error, "no association");
        // PS3.8 9.2.3, AA-2: when ARTIM expires the connection is closed without a word.
        let silent = matches!(error, Error::TooSlow { .. } | Error::Ending);
        if let Some(abort) = error.abort().filter(|_| !silent) {
            let (source, reason) = abort.codes();
            let aborted = self.framed.write(&short_pdu(kind::ABORT, [0, 0, source, reason])).await;
            if aborted.is_ok() {
                self.close().await;
            }
        }
    }

    /// PS3.8 9.1.5: after a refusal the peer closes; ARTIM bounds the wait for it.
    async fn close(mut self) {
        self.ending.cuts_short(self.framed.close(self.config.artim_seconds)).await;
    }
}
