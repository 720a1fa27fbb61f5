//! What the web server may ask of the gateway, and may not go beyond: it knows no keys, no spool and no trail but through this.

use std::net::IpAddr;

use serde::Serialize;

use crate::custody::Role;
use crate::dicom::Uid;
use crate::telemetry::snapshot::Snapshot;

/// Somebody who is logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// The name in the users file.
    pub name: String,
    /// What they are to the gateway.
    pub roles: Vec<Role>,
    /// From where.
    pub address: IpAddr,
}

impl Admin {
    /// Whether one of these roles is theirs.
    #[must_use]
    pub fn has(&self, wanted: &[Role]) -> bool {
        self.roles.iter().any(|role| wanted.contains(role))
    }
}

/// An instance in the queue, at one of its destinations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queued {
    /// The entry of the spool.
    pub entry: String,
    /// SOP Instance UID.
    pub instance: String,
    /// Where it goes.
    pub destination: String,
    /// `waiting`, `in hand`, `later` or `set aside`.
    pub state: &'static str,
    /// How often it was tried and failed.
    pub attempts: u32,
    /// Why, in the words of the last failure.
    pub reason: String,
    /// Bytes of it.
    pub bytes: u64,
    /// Seconds since it was taken in.
    pub age_seconds: u64,
}

/// That an instance was sealed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// SOP Instance UID.
    pub instance: String,
    /// SOP Class UID.
    pub class: String,
    /// The suite.
    pub suite: String,
    /// The key's id.
    pub key_id: String,
    /// Who sent it.
    pub calling: String,
    /// When, as RFC 3339.
    pub time: String,
}

/// A record of the audit trail, in a few fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Its number.
    pub number: u64,
    /// When, as RFC 3339.
    pub time: String,
    /// What happened.
    pub event: String,
    /// Whether it succeeded.
    pub ok: bool,
    /// Who took part.
    pub parties: Vec<String>,
    /// What it is about.
    pub objects: Vec<String>,
    /// Why it failed, or what the alert says.
    pub text: String,
}

/// What is known of a study.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Study {
    /// What was sealed of it.
    pub seals: Vec<Sealed>,
    /// What was recorded about it, the newest first.
    pub records: Vec<Recorded>,
}

/// Which records are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The name of the event; empty for all.
    pub event: String,
    /// Somebody who took part; empty for all.
    pub party: String,
    /// Failures and refusals alone.
    pub failed: bool,
}

/// An emergency access.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Emergency {
    /// Its number.
    pub id: String,
    /// Who may open everything.
    pub peer: String,
    /// Why.
    pub reason: String,
    /// Who opened it.
    pub by: String,
    /// From when, as RFC 3339.
    pub from: String,
    /// Until when, as RFC 3339.
    pub until: String,
    /// Whether it is open now.
    pub open: bool,
}

/// A picture before and after sealing, each a PNG.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The original.
    pub before: Vec<u8>,
    /// What the PACS holds.
    pub after: Vec<u8>,
}

/// The gateway as the web server sees it. What changes something says who wants it, and is recorded in the audit trail.
///
/// All of it may block on a disk.
pub trait House: Send + Sync + 'static {
    /// How it is now.
    fn snapshot(&self) -> Snapshot;

    /// What waits or was set aside, the oldest first, up to `limit`.
    fn queue(&self, limit: usize) -> Vec<Queued>;

    /// Has deliveries tried again that were put off or set aside: of one entry, or of all. How many.
    fn retry(&self, entry: Option<&str>, by: &Admin) -> Result<usize, String>;

    /// What is known of a study, or of one instance.
    fn study(&self, uid: &Uid) -> Result<Study, String>;

    /// Records of the audit trail, the newest first, up to `limit`.
    fn records(&self, wanted: &Wanted, limit: usize) -> Result<Vec<Recorded>, String>;

    /// Emergency accesses, open or over, the newest first.
    fn emergencies(&self) -> Result<Vec<Emergency>, String>;

    /// Opens one.
    fn open_emergency(&self, peer: &str, minutes: u64, reason: &str, by: &Admin) -> Result<(), String>;

    /// Ends one before its time.
    fn end_emergency(&self, id: &str, by: &Admin) -> Result<(), String>;

    /// A test image before and after sealing.
    fn sample(&self) -> Result<Sample, String>;

    /// Records that somebody logged in, or could not.
    fn logged_in(&self, name: &str, from: IpAddr, failure: Option<&str>);
}
