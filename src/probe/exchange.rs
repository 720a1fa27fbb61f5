//! The way there and back: C-STORE, then C-GET, or C-MOVE to a door of our own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use bytes::Bytes;

use super::door::Door;
use super::specimen::{Specimen, identifier};
use crate::association;
use crate::dicom::{Model, Retrieve, Status, TransferSyntax, Uid, query_retrieve_class};
use crate::policy::Fetch;
use crate::scu::{
    self, Caller, Destination, Dialer, Failure, Getting, Got, Incoming, Need, for_getting, for_service,
    for_storing, get, move_, store,
};

/// Bytes of an instance that comes back; a specimen has some hundred kilobytes.
pub(super) const CAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Instances that are kept of what comes back; there are eight.
pub(super) const CAME_MAX: usize = 64;

/// How the PACS is called.
pub struct Line<'a> {
    /// The connection.
    pub dialer: &'a dyn Dialer,
    /// Whom we call, and as whom.
    pub to: Destination,
    /// How images come back.
    pub fetch: Fetch,
    /// Where a C-MOVE leads to.
    pub door: Option<&'a Door>,
    /// Limits of associations.
    pub association: association::Config,
    /// Limits of requests.
    pub scu: Arc<scu::Config>,
}

/// What the PACS said to a specimen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stored {
    /// It has it.
    Taken,
    /// It does not want it.
    Refused(String),
}

/// An instance that came back.
#[derive(Debug, Clone)]
pub(super) struct Came {
    pub(super) transfer_syntax: TransferSyntax,
    pub(super) data_set: Vec<u8>,
}

/// What came back, by SOP Instance UID; of an instance that comes twice the first.
pub(super) type Back = BTreeMap<Uid, Came>;

impl Line<'_> {
    /// Stores one on an association of its own: a PACS that aborts over one kind is still asked for the others.
    pub(super) async fn store(&self, specimen: &Specimen) -> Result<Stored, Failure> {
        let instance = specimen.to_store();
        let mut caller = self.call(&for_storing([&instance.need()])).await?;
        let mut source = Bytes::copy_from_slice(&specimen.sealed);
        let stored = store(&mut caller, &instance, &mut source).await;
        caller.release().await;
        match stored {
            Ok(_) => Ok(Stored::Taken),
            Err(failure @ (Failure::NoContext { .. } | Failure::Status(_) | Failure::Aborted { .. })) => {
                Ok(Stored::Refused(failure.to_string()))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks for the whole study; what comes is added to `back`.
    pub(super) async fn fetch(
        &self,
        study: &Uid,
        specimens: &[Specimen],
        back: &mut Back,
    ) -> Result<(), Failure> {
        match self.fetch {
            Fetch::Get => self.by_get(study, specimens, back).await,
            Fetch::Move => self.by_move(study, back).await,
        }
    }

    async fn by_get(&self, study: &Uid, specimens: &[Specimen], back: &mut Back) -> Result<(), Failure> {
        let class = service(Retrieve::Get);
        let mut needs: Vec<Need> = Vec::new();
        for class in specimens.iter().map(|specimen| &specimen.class) {
            for uid in [TransferSyntax::EXPLICIT_LITTLE, TransferSyntax::IMPLICIT_LITTLE] {
                let syntax = TransferSyntax::by_uid(uid).expect("it is in the table");
                let need = Need::new(class.clone(), syntax);
                if !needs.contains(&need) {
                    needs.push(need);
                }
            }
        }
        let mut caller = self.call(&for_getting(&class, &needs)).await?;
        let got = take_all(&mut caller, &class, study, back).await;
        caller.release().await;
        got
    }

    async fn by_move(&self, study: &Uid, back: &mut Back) -> Result<(), Failure> {
        let door = self.door.ok_or_else(|| Failure::Protocol("there is no door for a C-MOVE".to_owned()))?;
        let class = service(Retrieve::Move);
        let mut caller = self.call(&for_service(&class)).await?;
        let context = caller.context_of(&class)?;
        let asked = identifier(study, context.transfer_syntax.encoding);
        let moved = match move_(&mut caller, &context, &asked, &self.to.calling).await {
            Ok(moving) => moving.finish().await,
            Err(failure) => Err(failure),
        };
        caller.release().await;
        for (instance, came) in door.take() {
            back.entry(instance).or_insert(came);
        }
        moved?.complete().map(|_| ())
    }

    async fn call(&self, proposals: &[association::Proposal]) -> Result<Caller, Failure> {
        Caller::associate(self.dialer, &self.to, proposals, &self.association, &self.scu).await
    }
}

fn service(retrieve: Retrieve) -> Uid {
    query_retrieve_class(Model::StudyRoot, retrieve).expect("it is in the table")
}

/// Takes what a C-GET brings until its end.
async fn take_all(caller: &mut Caller, class: &Uid, study: &Uid, back: &mut Back) -> Result<(), Failure> {
    let context = caller.context_of(class)?;
    let asked = identifier(study, context.transfer_syntax.encoding);
    let mut getting = get(caller, &context, &asked).await?;
    loop {
        match getting.next().await? {
            Got::Store(incoming) => take(&mut getting, incoming, back).await?,
            Got::Pending(_) => {}
            Got::Ended(retrieved) => return retrieved.complete().map(|_| ()),
        }
    }
}

async fn take(getting: &mut Getting<'_>, incoming: Incoming, back: &mut Back) -> Result<(), Failure> {
    let mut data_set = Vec::new();
    while let Some(piece) = getting.next_data().await? {
        // What is longer than anything that was stored is kept long enough to be judged.
        let room = CAME_BYTES_MAX.saturating_sub(data_set.len());
        data_set.extend_from_slice(piece.get(..room.min(piece.len())).unwrap_or_default());
    }
    getting.answer(Status::SUCCESS).await?;
    let came = Came { transfer_syntax: incoming.context.transfer_syntax, data_set };
    keep(back, incoming.instance, came);
    Ok(())
}

/// Adds what came, unless it came before or there is more than any PACS would have.
pub(super) fn keep(back: &mut Back, instance: Uid, came: Came) {
    let is_full = back.len() >= CAME_MAX;
    if let Entry::Vacant(place) = back.entry(instance)
        && !is_full
    {
        place.insert(came);
    }
}
