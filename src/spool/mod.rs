//! Bytes that survive a crash, in order. This room knows no DICOM, and imports no other room.
//!
//! The story: `Spool::begin` gives a `Draft`, which is written while an instance arrives, and patched where a field
//! is known only at the end. `Draft::commit` returns a `Receipt` once content, record and name are on the disk.
//! Workers `take` `Job`s, the oldest first, and end each with a verdict. An entry goes when every
//! destination has it and nothing holds it. After a crash `Spool::open` finds everything that had a receipt.
//!
//! The files: `record.rs` has the bytes of an entry, `changes.rs` those of the journal. In the folder there are
//!
//! ```text
//! lock                   held by the process that has the spool open
//! journal                what became of entries after their commit
//! entries/ID.draft       being written; removed at the next start
//! entries/ID.spare       of an entry that has gone, to be written over by the next; removed at the next start
//! entries/ID.entry       content and record, whole and fsynced before it got this name
//! requests/               what an operator asks of the running service, see `mailbox.rs`
//! damaged/ID.entry       did not verify; never deleted
//! damaged/ID.reason      why
//! damaged/journal.ID     a copy of a journal with damage in the middle
//! papers/, history/      see `papers.rs` and `history.rs`; only where somebody has use for them
//! ```
#![warn(clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::indexing_slicing))]

mod changes;
mod config;
mod content;
mod damage;
mod disk;
mod draft;
mod error;
mod fields;
mod history;
mod id;
mod index;
mod job;
mod journal;
mod mailbox;
mod papers;
mod queue;
mod record;
mod recover;
mod rounds;
mod shared;
mod space;
mod spares;
#[expect(clippy::module_inception, reason = "the thing itself, beside its parts")]
mod spool;
mod state;
mod view;

pub use config::Config;
pub use content::Content;
pub use damage::Damaged;
pub use disk::{Disk, DiskFile, RealDisk};
pub use draft::{Draft, Receipt};
pub use error::SpoolError;
pub use history::History;
pub use id::EntryId;
pub use job::Job;
pub use mailbox::{Mailbox, Reply, Request, Wish};
pub use papers::{Papers, PapersFound};
pub use queue::{Counts, Order};
pub use record::Meta;
pub use recover::{JournalFound, Recovery};
pub use space::{Pressure, Usage};
pub use spool::{HandOver, Spool};
pub use state::{Delivery, State};
pub use view::{DeliverySummary, Listing, Summary, look, look_at};
