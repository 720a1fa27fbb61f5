//! How a study comes from an archive: by C-GET on the association that asks, or by C-MOVE to a door of our own.

use bytes::Bytes;
use dicom_dictionary_std::uids::{
    STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET, STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
};
use tokio::sync::{mpsc, oneshot};

use super::identify::of_study;
use super::instance::Piece;
use super::landing::Expecting;
use super::{MigrateError, Migration, Place};
use crate::association::{CONTEXTS_MAX, Proposal, Roles};
use crate::dicom::{Status, TransferSyntax, Uid};
use crate::policy::Fetch;
use crate::scu::{
    Caller, Failure, Getting, Got, Incoming, Moved, Moving, Retrieved, for_service, get, move_,
};

/// The transfer syntaxes that archives keep images in, the ones of sealed images first.
const SYNTAXES: [&str; 13] = [
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.51",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
];

/// A study on its way.
pub(super) enum Coming<'a> {
    Get(Getting<'a>),
    Move { moving: Moving<'a>, expecting: Expecting, current: Option<Current> },
}

/// The instance that comes through our door now.
pub(super) struct Current {
    pieces: mpsc::Receiver<Piece>,
    answer: oneshot::Sender<Status>,
    ended: bool,
}

/// What comes next.
pub(super) enum Step {
    /// An instance: its data set is read with [`Coming::next_data`], and answered with [`Coming::answer`].
    Store { class: Uid, instance: Uid, syntax: TransferSyntax },
    /// Nothing more.
    Ended(Retrieved),
}

impl Migration {
    /// An association for asking an archive for instances of these classes.
    pub(super) async fn call(&self, place: &Place, classes: &[Uid]) -> Result<Caller, MigrateError> {
        let proposals = match place.fetch {
            Fetch::Get => proposals(classes),
            Fetch::Move => for_service(&model(place.fetch)),
        };
        self.pool.associate(&place.node, &proposals).await.map_err(fetching)
    }

    /// Asks for a study on such an association.
    pub(super) async fn ask<'a>(
        &self,
        caller: &'a mut Caller,
        place: &Place,
        study: &Uid,
    ) -> Result<Coming<'a>, MigrateError> {
        let context = caller.context_of(&model(place.fetch)).map_err(fetching)?;
        let request = of_study(study, context.transfer_syntax.encoding);
        if place.fetch == Fetch::Get {
            return get(caller, &context, &request).await.map(Coming::Get).map_err(fetching);
        }
        let no_door = || Failure::Protocol("there is no door for a C-MOVE".to_owned());
        let landing = self.landing.as_ref().ok_or_else(no_door).map_err(fetching)?;
        let expecting = landing.expect(place.node.address.title.clone()).await;
        let moving = move_(caller, &context, &request, &place.node.calling).await.map_err(fetching)?;
        Ok(Coming::Move { moving, expecting, current: None })
    }
}

impl Coming<'_> {
    /// The next instance, or the end.
    pub(super) async fn next(&mut self) -> Result<Step, MigrateError> {
        loop {
            let step = match self {
                Self::Get(getting) => match getting.next().await.map_err(fetching)? {
                    Got::Pending(_) => continue,
                    Got::Ended(retrieved) => Step::Ended(retrieved),
                    Got::Store(Incoming { class, instance, context }) => {
                        Step::Store { class, instance, syntax: context.transfer_syntax }
                    }
                },
                Self::Move { moving, expecting, current } => {
                    *current = None;
                    tokio::select! {
                        // What has come goes before the end that tells of it.
                        biased;
                        Some(parcel) = expecting.next() => {
                            *current = Some(Current { pieces: parcel.pieces, answer: parcel.answer, ended: false });
                            Step::Store { class: parcel.class, instance: parcel.instance, syntax: parcel.syntax }
                        }
                        moved = moving.next() => match moved.map_err(fetching)? {
                            Moved::Pending(_) => continue,
                            Moved::Ended(retrieved) => Step::Ended(retrieved),
                        },
                    }
                }
            };
            return Ok(step);
        }
    }

    /// The next piece of the instance; nothing behind its end.
    pub(super) async fn next_data(&mut self) -> Result<Option<Bytes>, MigrateError> {
        match self {
            Self::Get(getting) => getting.next_data().await.map_err(fetching),
            Self::Move { current, .. } => {
                let Some(current) = current.as_mut().filter(|current| !current.ended) else {
                    return Ok(None);
                };
                match current.pieces.recv().await {
                    Some(Piece::Data(piece)) => Ok(Some(piece)),
                    Some(Piece::End) => {
                        current.ended = true;
                        Ok(None)
                    }
                    None => {
                        let what = "the archive broke off in the middle of an instance".to_owned();
                        Err(fetching(Failure::Protocol(what)))
                    }
                }
            }
        }
    }

    /// Answers the instance that came in last; what was not read of it is skipped.
    pub(super) async fn answer(&mut self, status: Status) -> Result<(), MigrateError> {
        match self {
            Self::Get(getting) => getting.answer(status).await.map_err(fetching),
            Self::Move { current, .. } => {
                if let Some(current) = current.take() {
                    // Its sender may be gone; then the end of the C-MOVE says so.
                    let _ = current.answer.send(status);
                }
                Ok(())
            }
        }
    }
}

fn model(fetch: Fetch) -> Uid {
    let uid = match fetch {
        Fetch::Get => STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET,
        Fetch::Move => STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE,
    };
    Uid::parse(uid).expect("a UID of the standard")
}

/// One context for each class in each syntax, as many as there is room for; the native ones of all classes first.
fn proposals(classes: &[Uid]) -> Vec<Proposal> {
    let receiving = Roles { scu: false, scp: true };
    let service = for_service(&model(Fetch::Get));
    let room = CONTEXTS_MAX - service.len();
    let storage = SYNTAXES.into_iter().filter_map(TransferSyntax::by_uid).flat_map(|syntax| {
        classes.iter().map(move |class| Proposal::new(class.clone(), vec![syntax]).with_roles(receiving))
    });
    service.into_iter().chain(storage.take(room)).collect()
}

pub(super) fn fetching(failure: Failure) -> MigrateError {
    MigrateError::Peer { what: "fetching", failure }
}
