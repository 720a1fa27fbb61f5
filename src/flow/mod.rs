//! The stories: what becomes of an instance between a modality and the PACS, and between the PACS and a viewer.
#![cfg_attr(not(test), warn(clippy::indexing_slicing))]

mod attend;
pub(crate) mod audit;
pub(crate) mod audit_custody;
mod commit;
pub mod commitment;
mod config;
mod forward;
mod gateway;
mod header;
mod intake;
mod key_source;
mod lost;
pub mod migrate;
mod passing;
mod pieces;
pub mod procedure;
mod refusal;
pub mod release;
pub mod snapshot;
pub(crate) mod steps;
mod ticket;
mod waiting;

pub use attend::{attend, decide};
pub use config::Config;
pub use forward::{Forwarder, forward};
pub use gateway::{Gateway, Visitor};
pub use intake::{Intake, Kept, Offered, Stored};
pub use key_source::{Generated, Generators};
pub use refusal::Refused;
pub use ticket::Ticket;

use release::convert_data_set as convert;

/// How the spool says that another destination took an instance over, before its name.
const TAKEN_OVER: &str = "taken over by";

/// Now, in milliseconds since 1970. A clock before 1970 is one that is not set.
pub(crate) fn now_unix_millis() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    #[cfg(debug_assertions)]
    let now = now.saturating_add_signed(CLOCK_AHEAD_MILLIS.load(std::sync::atomic::Ordering::Relaxed));
    now
}

/// How wrong the clock is that tests give it.
#[cfg(debug_assertions)]
pub(crate) static CLOCK_AHEAD_MILLIS: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);

/// Now, as time windows and ages of studies are held against: the local date and hour.
pub(crate) fn moment() -> crate::policy::Moment {
    use chrono::{DateTime, Datelike, Local, NaiveDate, Timelike, Utc};
    let millis = now_unix_millis();
    let now = i64::try_from(millis).ok().and_then(DateTime::<Utc>::from_timestamp_millis);
    let now = now.unwrap_or_default().with_timezone(&Local);
    let minute = u16::try_from(now.hour() * 60 + now.minute()).unwrap_or_default();
    let epoch = NaiveDate::default();
    let day = i64::from(now.date_naive().num_days_from_ce() - epoch.num_days_from_ce());
    crate::policy::Moment { unix: millis / 1000, day, minute }
}
