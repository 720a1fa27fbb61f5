//! What C-GET and C-MOVE have in common: instances arrive one after the other, are counted, and a cancel may come meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::tally::Tally;
use crate::association::{Association, Error, Message};
use crate::audit::Trail;
use crate::dicom::Uid;
use crate::flow::Gateway;
use crate::flow::audit;
use crate::flow::release::{Arrival, Delivery, Event, Retrieval};

/// How long a sub-operation may still take that was under way when the caller cancelled.
const FINISHING_MAX: Duration = Duration::from_secs(2);

/// A retrieval that a caller waits for.
pub(super) struct Retrieving<'a, S> {
    pub(super) association: &'a mut Association<S>,
    pub(super) message: &'a Message,
    pub(super) tally: Tally,
    retrieval: Retrieval,
    trail: Trail,
    /// C-GET or C-MOVE, for the audit trail.
    operation: &'static str,
    /// Who receives, for the audit trail.
    receiver: Arc<str>,
    /// Whether its end was told.
    has_ended: bool,
}

/// What became of a wait beside which a cancel may come.
enum Heard<T> {
    Cancel,
    Done(T),
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send> Retrieving<'a, S> {
    pub(super) fn new(
        association: &'a mut Association<S>,
        message: &'a Message,
        gateway: &Gateway,
        (operation, receiver): (&'static str, Arc<str>),
        retrieval: Retrieval,
    ) -> Self {
        let tally = Tally::new(gateway.release.config.pending_milliseconds);
        let trail = gateway.trail.clone();
        Self { association, message, tally, retrieval, trail, operation, receiver, has_ended: false }
    }

    /// The Message ID of the request.
    pub(super) fn id(&self) -> u16 {
        self.message.command.message_id().unwrap_or_default()
    }

    /// The next instance to send; none at the end, or once it is cancelled.
    pub(super) async fn next(&mut self) -> Result<Option<Delivery>, Error> {
        while !self.tally.cancelled {
            let id = self.id();
            let heard = tokio::select! {
                biased;
                heard = self.association.cancelled(id) => {
                    heard?;
                    Heard::Cancel
                }
                event = self.retrieval.next() => Heard::Done(event),
            };
            match heard {
                Heard::Cancel => self.cancel(),
                Heard::Done(Event::Arrived(arrival)) => {
                    if let Some(delivery) = self.ready(arrival).await? {
                        return Ok(Some(delivery));
                    }
                }
                Heard::Done(Event::Total(total)) => self.tally.set_total(total),
                Heard::Done(Event::Done { pacs, result }) => self.tally.pacs_done(&pacs, &result),
                Heard::Done(Event::Missing(missing)) => self.tally.all_done(missing),
                Heard::Done(Event::Ended) => return Ok(None),
            }
            self.pending().await?;
        }
        Ok(None)
    }

    /// What has arrived, once it may go out.
    async fn ready(&mut self, mut arrival: Arrival) -> Result<Option<Delivery>, Error> {
        let id = self.id();
        let ready = tokio::select! {
            biased;
            heard = self.association.cancelled(id) => {
                heard?;
                self.cancel();
                return Ok(None);
            }
            ready = arrival.ready() => ready,
        };
        match ready {
            Ok(delivery) => Ok(Some(delivery)),
            // Why it is not was told where it was found out.
            Err(refused) => {
                let instance = &arrival.instance;
                let may_come = |times| self.retrieval.may_still_come(instance, times);
                self.tally.refused(instance, &refused, may_come);
                Ok(None)
            }
        }
    }

    /// A pending response, if it is time for one.
    pub(super) async fn pending(&mut self) -> Result<(), Error> {
        self.tally.pending(self.association, self.message).await
    }

    pub(super) fn cancel(&mut self) {
        self.tally.cancel();
        self.retrieval.cancel();
    }

    /// Waits for a sub-operation on another association; nothing where a cancel came meanwhile, and it was not done soon.
    pub(super) async fn beside<T>(
        &mut self,
        mut sending: Pin<&mut impl Future<Output = T>>,
    ) -> Result<Option<T>, Error> {
        let id = self.id();
        tokio::select! {
            biased;
            heard = self.association.cancelled(id) => heard?,
            sent = &mut sending => return Ok(Some(sent)),
        }
        self.cancel();
        // An image that is half there is better let out than broken off, as long as nobody waits for it.
        Ok(tokio::time::timeout(FINISHING_MAX, sending).await.ok())
    }

    /// An instance was ready, and has not reached its receiver.
    pub(super) fn failed(&mut self, instance: &Uid, reason: &dyn std::fmt::Display) {
        audit::undelivered(&self.trail, self.association.peer(), &self.receiver, instance, reason);
        self.tally.failed(instance, |times| self.retrieval.may_still_come(instance, times));
    }

    /// The last response.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        let (peer, counts) = (self.association.peer(), self.tally.counts());
        audit::retrieval_ended(peer, &self.receiver, self.operation, counts, self.tally.status());
        // What went out is durable before they hear that it was all.
        self.trail.settle(self.retrieval.ticket).await;
        self.has_ended = true;
        self.tally.end(self.association, self.message).await
    }

    /// Nothing more is sent. `result` is an error where the association has ended in the middle.
    pub(super) async fn close(self, result: Result<(), Error>) -> Result<(), Error> {
        if let (Err(error), false) = (&result, self.has_ended) {
            let (peer, counts) = (self.association.peer(), self.tally.counts());
            audit::retrieval_broken_off(&self.trail, peer, &self.receiver, self.operation, (counts, error));
            self.trail.settle(self.retrieval.ticket).await;
        }
        if self.tally.cancelled {
            self.retrieval.leave();
        }
        result
    }
}
