//! The audit trail (PS3.15 A.5, IHE ATNA): what happened, as the standard's messages, in a chained log and at repositories.
//!
//! `Trail` takes events from everywhere; a thread of its own makes them messages (`message`) and appends them to the
//! log (`log`); `ship` sends what is durable on. `docs/ARCHITECTURE.md` says what that is worth, and what not.

mod alert;
mod clock;
mod config;
mod cursor;
mod error;
mod event;
mod file;
mod group;
mod inbox;
mod key;
mod log;
mod message;
mod read;
mod record;
mod recover;
mod ship;
mod show;
mod syslog;
mod trail;
mod verify;
mod writer;
mod xml;

pub use alert::{Alert, What};
pub use clock::rfc3339;
pub use config::{Config, Repository, Transport, WhenFull};
pub use error::AuditError;
pub use event::{Access, Event, Instance, Kind, LogUse, Login, Party, Query, Transfer};
pub use inbox::{note, note_access, note_use};
pub use message::{Source, message};
pub use record::{BODY_BYTES_MAX, Record, RecordError, RecordKind};
pub use ship::{Clients, Shipper, ship};
pub use show::{Entry, Filter, entries};
pub use syslog::syslog;
pub use trail::Trail;
pub use verify::{Report, verify};
