//! The answering side: from a connection to an association, or to the refusal that the standard has for it.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dicom_ul::pdu::{Pdu, write_pdu};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, info};
use zeroize::Zeroize;

use super::codes::Rejection;
use super::config::Config;
use super::ending::Ending;
use super::error::Error;
use super::established::{Association, abort_pdu, aborted};
use super::frame::{Framed, Limit, Phase, kind, short_pdu};
use super::items;
use super::negotiate::{self, Agreement, Gatekeeper, Knock};
use super::slots::{Full, PeerPlace, Slots};
use crate::telemetry::metrics::{ByPeer, ByReason, metrics};
use crate::tls::{Connection, HandshakeError, Refused, Server};

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

    /// Takes a plain connection in under these limits: an association, or nothing when it was refused, which is logged.
    pub async fn accept<S>(
        &self,
        stream: S,
        from: SocketAddr,
        config: Arc<Config>,
    ) -> Option<Association<Connection<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.take_in(stream, None, from, config).await
    }

    /// The same on a listener that takes nothing but TLS.
    pub async fn accept_tls<S>(
        &self,
        stream: S,
        server: &Server,
        from: SocketAddr,
        config: Arc<Config>,
    ) -> Option<Association<Connection<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.take_in(stream, Some(server), from, config).await
    }

    async fn take_in<S>(
        &self,
        stream: S,
        server: Option<&Server>,
        from: SocketAddr,
        config: Arc<Config>,
    ) -> Option<Association<Connection<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (total, per_address) = (config.associations_max, config.associations_per_address_max);
        let place = match self.slots.connection(from.ip(), total, per_address) {
            Ok(place) => place,
            Err(full) => {
                Box::pin(self.refuse(stream, server, from, &config, full)).await;
                return None;
            }
        };
        let mut knocking = self.open(stream, server, from, &config, config.artim_seconds).await?;
        match knocking.request().await {
            // In a box, so that a connection which says nothing costs little.
            Ok(Some(body)) => Box::pin(self.answer(knocking, body, config, Box::new(place))).await,
            Ok(None) => None,
            Err(error) => {
                refused("protocol");
                knocking.end(&error).await;
                None
            }
        }
    }

    /// Brings the connection to where a request can be read; nothing if there is no TLS, which is logged.
    async fn open<S>(
        &self,
        stream: S,
        server: Option<&Server>,
        from: SocketAddr,
        config: &Config,
        seconds: u64,
    ) -> Option<Knocking<Connection<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        // PS3.8 9.1.4: ARTIM runs from the connection to the whole of the request, the handshake included.
        let limit = Limit::from_now(seconds, "to ask for an association");
        let knock = |connection| Knocking::new(connection, from, config, limit, seconds, &self.ending);
        let Some(server) = server else { return Some(knock(Connection::Plain(stream))) };
        let mut ending = self.ending.clone();
        let handshake = Box::pin(ending.cuts_short(limit.bound(server.accept(stream)))).await;
        let (error, stream) = match handshake {
            Some(Ok(Ok(connection))) => {
                debug!(address = %from.ip(), tls = connection.describe(), "TLS connection");
                return Some(knock(connection));
            }
            Some(Ok(Err(Refused { error, stream }))) => (Error::Tls(error), Some(stream)),
            Some(Err(slow)) => (slow, None),
            None => (Error::Ending, None),
        };
        let Some(stream) = stream else {
            info!(address = %from.ip(), %error, "no association");
            return None;
        };
        refused("tls");
        let limit = Limit::from_now(REFUSED_SECONDS, "to hear why it was refused");
        let told =
            Knocking::new(Connection::Plain(stream), from, config, limit, REFUSED_SECONDS, &self.ending);
        match error {
            // Who connects and says nothing, as port scans and load balancers do, is no event.
            Error::Tls(HandshakeError::Closed(_)) => {
                debug!(address = %from.ip(), %error, "no association");
            }
            // PS3.8 9.3.8: who speaks DICOM hears at once that nothing will come of it.
            Error::Tls(HandshakeError::PlainDicom) => {
                self.gatekeeper.turned_away(from.ip(), &error);
                told.end(&error).await;
            }
            _ => {
                self.gatekeeper.turned_away(from.ip(), &error);
                info!(address = %from.ip(), %error, "no association");
                told.close().await;
            }
        }
        None
    }

    async fn answer<S>(
        &self,
        mut knocking: Knocking<Connection<S>>,
        body: Bytes,
        config: Arc<Config>,
        place: Box<dyn Send + Sync>,
    ) -> Option<Association<Connection<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let entry = match self.decide(body, &knocking, &config).await {
            Ok(entry) => entry,
            Err(Refusal::Reject(rejection)) => {
                knocking.reject(rejection).await;
                return None;
            }
            Err(Refusal::Abort(error)) => {
                refused("protocol");
                knocking.end(&error).await;
                return None;
            }
        };
        if let Err(error) = knocking.framed.write(&entry.acceptance).await {
            knocking.end(&error).await;
            return None;
        }
        let Entry { peer, agreement, place: peer_place, .. } = entry;
        metrics().association.accepted.count(&ByPeer::of(&peer));
        debug!(%peer, contexts = agreement.contexts.len(), "association accepted");
        let places = Box::new((place, peer_place));
        let ending = self.ending.clone();
        Some(Association::new(knocking.framed, config, agreement, peer, ending, places))
    }

    /// Reads a request and decides on it; the only wait is for who verifies users.
    async fn decide<S>(
        &self,
        body: Bytes,
        knocking: &Knocking<Connection<S>>,
        config: &Config,
    ) -> Result<Entry, Refusal> {
        if !items::is_version_1(&body) {
            return Err(Refusal::Reject(Rejection::ProtocolVersion));
        }
        let (request, identity) = items::read_request(&body).map_err(Refusal::Abort)?;
        let titles = titles_of(&body);
        if identity.is_some() {
            erase(body);
        }
        let (calling, called) = negotiate::read_titles(&request).map_err(Refusal::Reject)?;
        let certificate = knocking.framed.stream().certificate();
        let address = knocking.from.ip().to_canonical();
        let mut knock = Knock { calling, called, address, certificate, identity, user: None };
        if knock.identity.is_some() {
            let verified = knocking.limit.bound(self.gatekeeper.verify(&knock)).await;
            // Too many users at once is our limit, not a mistake of this one.
            knock.user = verified.map_err(|_| Refusal::Reject(Rejection::Congestion))?;
        }
        let admission = self.gatekeeper.admit(&knock).map_err(Refusal::Reject)?;
        let wants_answer = knock.user.is_some() && knock.identity.is_some_and(|claim| claim.wants_answer);
        let limit = config.associations_per_peer_max;
        let limit = admission.associations_max.map_or(limit, |own| own.min(limit));
        let place = self.slots.peer(&admission.peer, limit).map_err(|full| {
            info!(peer = %admission.peer, limit = full.words(), "association refused, a limit is reached");
            Refusal::Reject(Rejection::Congestion)
        })?;
        let (mut answer, mut agreement) =
            negotiate::answer(&request, &*admission.offer, config.pdu_bytes_max);
        if wants_answer {
            answer.user_variables.push(negotiate::identity_answer());
        }
        agreement.pass = Some(admission.pass);
        let mut acceptance = Vec::new();
        write_pdu(&mut acceptance, &Pdu::AssociationAC(answer))
            .map_err(|error| Refusal::Abort(Error::Malformed(error.to_string())))?;
        // PS3.8 9.3.3: both titles and what is reserved behind them go back as they came, to the byte.
        if let (Some(field), Some(titles)) = (acceptance.get_mut(TITLES_IN_PDU), titles) {
            field.copy_from_slice(&titles);
        }
        Ok(Entry { acceptance, agreement, peer: admission.peer, place })
    }

    /// Hears a connection out for a moment and tells it that there is no room.
    async fn refuse<S>(
        &self,
        stream: S,
        server: Option<&Server>,
        from: SocketAddr,
        config: &Config,
        full: Full,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        info!(address = %from.ip(), limit = full.words(), "connection refused, a limit is reached");
        let per_address = REFUSED_AT_ONCE_MAX / 4;
        let Ok(_place) = self.refusing.connection(from.ip(), REFUSED_AT_ONCE_MAX, per_address) else {
            return;
        };
        let opened = self.open(stream, server, from, config, REFUSED_SECONDS).await;
        let Some(mut knocking) = opened else { return };
        match knocking.request().await {
            Ok(Some(_)) => knocking.reject(Rejection::Congestion).await,
            Ok(None) => {}
            Err(error) => knocking.end(&error).await,
        }
    }
}

/// Everything about an association that was decided on and not yet answered.
struct Entry {
    acceptance: Vec<u8>,
    agreement: Agreement,
    peer: Arc<str>,
    place: PeerPlace,
}

enum Refusal {
    Reject(Rejection),
    Abort(Error),
}

/// Where titles and reserved bytes stand in an A-ASSOCIATE PDU (PS3.8 tables 9-11 and 9-17).
const TITLES_IN_PDU: Range<usize> = 10..74;

fn titles_of(body: &[u8]) -> Option<[u8; 64]> {
    body.get(4..)?.first_chunk().copied()
}

/// Overwrites a request that held a passcode.
fn erase(body: Bytes) {
    if let Ok(mut bytes) = body.try_into_mut() {
        bytes.zeroize();
    }
}

/// Counts one that came to nothing.
fn refused(reason: &'static str) {
    metrics().association.refused.count(&ByReason { reason });
}

fn rejection(rejection: Rejection) -> [u8; 10] {
    let codes = rejection.codes();
    short_pdu(kind::ASSOCIATE_RJ, [0, codes.result, codes.source, codes.reason])
}

/// A connection that has not been answered yet.
struct Knocking<S> {
    framed: Framed<S>,
    from: SocketAddr,
    /// Ends everything before the answer.
    limit: Limit,
    seconds: u64,
    ending: Ending,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Knocking<S> {
    fn new(
        stream: S,
        from: SocketAddr,
        config: &Config,
        limit: Limit,
        seconds: u64,
        ending: &Ending,
    ) -> Self {
        let framed = Framed::new(stream, config, limit);
        Self { framed, from, limit, seconds, ending: ending.clone() }
    }

    /// The body of the A-ASSOCIATE-RQ; nothing if the connection was closed without one.
    async fn request(&mut self) -> Result<Option<Bytes>, Error> {
        let asked = self.ending.cuts_short(self.framed.next(Phase::Request, None)).await;
        match asked.unwrap_or(Err(Error::Ending))? {
            Some(frame) if frame.kind == kind::ABORT => Err(aborted(&frame.body)),
            other => Ok(other.map(|frame| frame.body)),
        }
    }

    async fn reject(mut self, reason: Rejection) {
        refused(reason.word());
        if self.framed.write(&rejection(reason)).await.is_ok() {
            self.close().await;
        }
    }

    async fn end(mut self, error: &Error) {
        info!(address = %self.from.ip(), %error, "no association");
        // PS3.8 9.2.3, AA-2: when ARTIM expires the connection is closed without a word.
        let silent = matches!(error, Error::TooSlow { .. } | Error::Ending);
        let abort = error.abort().filter(|_| !silent);
        if let Some(abort) = abort
            && self.framed.write(&abort_pdu(abort)).await.is_ok()
        {
            self.close().await;
        }
    }

    /// PS3.8 9.1.5: after a refusal the peer closes; ARTIM bounds the wait for it.
    async fn close(mut self) {
        self.ending.cuts_short(self.framed.close(self.seconds)).await;
    }
}
