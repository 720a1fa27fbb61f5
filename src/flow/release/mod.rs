//! The way back: queries and retrievals asked of the PACS, and images opened for those who may see them.
//!
//! A query is a task for each PACS, whose matches go through one bounded channel ([`Search`]). A retrieval is one task
//! that fetches ([`Retrieval`]), and a thread for each instance that opens it while it arrives; what comes out waits in
//! memory, never on a disk, until its end has verified, or goes out at once where it is too large for that.

mod backlog;
mod compressed;
mod config;
mod convert;
mod delivery;
mod expect;
mod facts;
mod fetch;
mod identifier;
mod ledger;
mod missing;
mod open;
mod originals;
mod search;
mod send;

pub use config::{Config, Unsealed};
pub(super) use convert::Converter;
pub use delivery::{Delivery, Refused};
pub use expect::{Expectations, Expected, Offer};
pub(super) use facts::Subject;
pub use fetch::{Arrival, Event, Request, Retrieval};
pub(super) use identifier::{convert as convert_data_set, put_element, values as element_values};
pub(crate) use identifier::{failed_list, identifier_of, values as values_of};
pub use missing::Missing;
pub(super) use open::Job;
pub use search::{Found, Query, Search};
pub use send::{NotSent, Sender};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, watch};

use super::gateway::{Gateway, Visitor};
use crate::grants::GrantFile;
use crate::policy::{Access, Destination, Fetch, Limited, Openings, Refusal, Ris, Serves};
use crate::scu;

/// What all retrievals share.
#[derive(Debug)]
pub struct Release {
    /// The limits.
    pub config: Config,
    /// What is expected at our own door.
    pub expectations: Expectations,
    /// Emergency accesses.
    pub grants: GrantFile,
    /// Who may decompress an image: as many as there are cores.
    decoding: Semaphore,
    /// Cancelled queries that are left to themselves until their PACS have stopped.
    leaving: Arc<Semaphore>,
    /// What is left of each peer's openings, by a clock that never goes back.
    openings: Mutex<Openings>,
    began: Instant,
}

impl Release {
    /// Nothing under way yet.
    #[must_use]
    pub fn new(config: Config, grants: GrantFile) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (expectations, openings) = (Expectations::default(), Mutex::default());
        Self {
            config,
            expectations,
            grants,
            decoding: Semaphore::new(cores),
            leaving: Arc::new(Semaphore::new(search::LEFT_MAX)),
            openings,
            began: Instant::now(),
        }
    }
}

impl Release {
    /// Takes one opening of everybody who has a limit on them.
    fn meter(&self, access: &Access) -> Result<(), Limited> {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        access.meter(&mut self.openings.lock().unwrap_or_else(PoisonError::into_inner), now)
    }

    /// Why somebody is given nothing at all now, if that is so.
    pub fn check(&self, access: &Access) -> Result<(), Refusal> {
        access.check(super::moment(), &self.grants.now())
    }
}

/// A PACS that is asked.
#[derive(Debug, Clone)]
struct Source {
    /// Its name, for logs and messages.
    name: Arc<str>,
    /// Whom to call, and as whom.
    to: scu::Destination,
    fetch: Fetch,
}

/// The PACS that hold what this visitor may ask for.
fn sources(gateway: &Gateway, visitor: &Visitor) -> Vec<Source> {
    let rules = (gateway.rules)();
    let source = |destination: &Destination| {
        let to = gateway.target(destination)?;
        Some(Source { name: destination.name.as_str().into(), to, fetch: destination.retrieve })
    };
    rules.sources(&visitor.called).into_iter().filter_map(source).collect()
}

/// The systems that have worklists for this visitor.
fn worklists(gateway: &Gateway, visitor: &Visitor) -> Vec<Source> {
    let rules = (gateway.rules)();
    let source = |ris: &Ris| {
        let to = gateway.calling(&ris.address, ris.calling.as_ref())?;
        Some(Source { name: ris.name.as_str().into(), to, fetch: Fetch::default() })
    };
    rules.serving(Serves::Worklist, &visitor.called).filter_map(source).collect()
}

/// Waits until something is cancelled, or nobody is left who could.
async fn until(cancelled: &mut watch::Receiver<bool>) {
    let _ = cancelled.wait_for(|cancelled| *cancelled).await;
}
