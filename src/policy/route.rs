//! Where an instance goes: destinations and the routes that choose among them.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::criteria::Facts;
use crate::dicom::{AeAddress, AeTitle, Uid};

/// A PACS that receives sealed instances and answers queries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// The name that routes use; unique.
    pub name: String,
    /// Where it listens, as `AE@host:port`.
    pub address: AeAddress,
    /// The AE title Sealgate uses towards it; by default the first of the gateway's titles.
    #[serde(default)]
    pub calling: Option<AeTitle>,
    /// The TLS profile to call it with; without one it is called in clear.
    #[serde(default)]
    pub tls: Option<String>,
    /// The name its certificate has to be for, if not the host of the address.
    #[serde(default)]
    pub server_name: Option<String>,
    /// How instances are fetched from it.
    #[serde(default)]
    pub retrieve: Fetch,
    /// How it is found out that it has instances for good.
    #[serde(default)]
    pub commitment: Commitment,
    /// Until when an instance stays in the spool.
    #[serde(default)]
    pub purge_after: PurgeAfter,
    /// What is done while nobody has probed it.
    #[serde(default)]
    pub unprobed: Unprobed,
    /// Whether it is used although its probe failed.
    #[serde(default)]
    pub allow_failed_probe: bool,
    /// Whether the instances of a study reach it in the order in which they came in.
    #[serde(default)]
    pub ordered: bool,
    /// Instances that are sent to it at once, where that is fewer than for others.
    #[serde(default)]
    pub sends_max: Option<NonZeroUsize>,
    /// The destination that takes over what waits for this one while it is down.
    #[serde(default)]
    pub fallback: Option<String>,
    /// Seconds it has to be down before that.
    #[serde(default = "default_fallback_seconds")]
    pub fallback_after_seconds: u64,
}

/// How it is found out that a PACS has instances for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Commitment {
    /// By storage commitment.
    #[default]
    Request,
    /// By C-FIND for each instance.
    Find,
    /// By C-GET of each instance, opened and compared.
    ReadBack,
    /// Not at all: that it has answered the store with success is enough.
    Trust,
}

/// Until when an instance stays in the spool after it was delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PurgeAfter {
    /// Until the PACS has answered the store with success.
    #[default]
    Stored,
    /// Until it has committed itself, in the way of [`Destination::commitment`].
    Committed,
    /// Until it was read back, opened and compared.
    ReadBack,
}

impl Destination {
    /// How it is found out, on our own account, that it has what it took; nothing where its word is enough.
    #[must_use]
    pub const fn confirmation(&self) -> Option<Commitment> {
        match (self.purge_after, self.commitment) {
            (PurgeAfter::Stored, _) | (PurgeAfter::Committed, Commitment::Trust) => None,
            (PurgeAfter::Committed, way) => Some(way),
            (PurgeAfter::ReadBack, _) => Some(Commitment::ReadBack),
        }
    }

    /// Whether instances may be read back from it.
    #[must_use]
    pub fn reads_back(&self) -> bool {
        self.commitment == Commitment::ReadBack || self.purge_after == PurgeAfter::ReadBack
    }
}

/// What is done with a destination that was never probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unprobed {
    /// It is used.
    Allow,
    /// It is used, and the log says that it was not probed.
    #[default]
    Warn,
    /// The configuration is refused.
    Refuse,
}

/// How instances come back from a PACS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fetch {
    /// By C-GET, on the association that asks.
    #[default]
    Get,
    /// By C-MOVE to the gateway's own door.
    Move,
}

/// Which instances go where, and how they are sealed. An empty list matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The name in logs and messages; unique.
    pub name: String,
    /// Calling AE titles.
    #[serde(default)]
    pub calling: BTreeSet<AeTitle>,
    /// Called AE titles; the gateway answers to each of them.
    #[serde(default)]
    pub called: BTreeSet<AeTitle>,
    /// Modality (0008,0060), such as `CT`.
    #[serde(default)]
    pub modality: BTreeSet<String>,
    /// SOP Class UIDs.
    #[serde(default)]
    pub sop_class: BTreeSet<Uid>,
    /// Station Name (0008,1010).
    #[serde(default)]
    pub station: BTreeSet<String>,
    /// Names of destinations; each receives the instance.
    pub destinations: Vec<String>,
    /// How the instance is sealed.
    #[serde(default = "default_suite")]
    pub suite: String,
    /// When a sender gets 0000H.
    #[serde(default)]
    pub acknowledge: Acknowledge,
    /// What happens to objects without pixels.
    #[serde(default)]
    pub without_pixels: WithoutPixels,
}

/// When a sender gets 0000H.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// When the sealed instance and its key are on the disk.
    #[default]
    Spooled,
    /// When every destination has it; a refusal of theirs is passed on.
    Forwarded,
}

/// What happens to objects without pixels, such as reports and plans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WithoutPixels {
    /// They are refused.
    Refuse,
    /// They are forwarded as they are, in clear.
    #[default]
    Pass,
    /// Encapsulated documents are sealed; everything else without pixels is refused.
    Seal,
}

impl Destination {
    /// One with everything else as it is without further settings.
    #[must_use]
    pub fn new(name: &str, address: AeAddress) -> Self {
        Self {
            name: name.to_owned(),
            address,
            calling: None,
            tls: None,
            server_name: None,
            retrieve: Fetch::default(),
            commitment: Commitment::default(),
            purge_after: PurgeAfter::default(),
            unprobed: Unprobed::default(),
            allow_failed_probe: false,
            ordered: false,
            sends_max: None,
            fallback: None,
            fallback_after_seconds: default_fallback_seconds(),
        }
    }
}

fn default_fallback_seconds() -> u64 {
    300
}

fn default_suite() -> String {
    "deepkeygen".to_owned()
}

/// What is known of an instance when its route is chosen.
#[derive(Debug, Clone, Copy)]
pub struct Instance<'a> {
    /// Calling AE title of the association.
    pub calling: &'a AeTitle,
    /// Called AE title of the association.
    pub called: &'a AeTitle,
    /// Modality (0008,0060), if the instance has one.
    pub modality: Option<&'a str>,
    /// SOP Class UID.
    pub sop_class: &'a Uid,
    /// Station Name (0008,1010), if the instance has one.
    pub station: Option<&'a str>,
}

impl Route {
    /// Whether this route takes the instance.
    #[must_use]
    pub fn takes(&self, instance: &Instance<'_>) -> bool {
        let any_of = |set: &BTreeSet<String>, value: Option<&str>| {
            set.is_empty() || value.is_some_and(|value| set.contains(value))
        };
        (self.calling.is_empty() || self.calling.contains(instance.calling))
            && (self.called.is_empty() || self.called.contains(instance.called))
            && (self.sop_class.is_empty() || self.sop_class.contains(instance.sop_class))
            && any_of(&self.modality, instance.modality)
            && any_of(&self.station, instance.station)
    }

    /// Whether an image that comes from an archive is one that this route would carry there, whoever sent it.
    #[must_use]
    pub fn carries(&self, facts: &Facts) -> bool {
        let any_of = |set: &BTreeSet<String>, value: &Option<String>| {
            set.is_empty() || value.as_ref().is_some_and(|value| set.contains(value))
        };
        self.destinations.contains(&facts.pacs)
            && (self.sop_class.is_empty()
                || facts.sop_class.as_ref().is_some_and(|class| self.sop_class.contains(class)))
            && any_of(&self.modality, &facts.modality)
            && any_of(&self.station, &facts.station)
    }
}
