//! Whether a destination may be used, by what its probe found; pure.

use super::profile::{Profile, ProfileError};
use crate::dicom::AeAddress;
use crate::keys::ArchiveMode;
use crate::policy::{Destination, Unprobed};

/// What is said about one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leave {
    /// It may be used; these are worth knowing.
    Given(Vec<String>),
    /// It may not, and this is what to do about it.
    Refused(String),
}

/// Of whom it is asked.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The destination.
    pub destination: &'a Destination,
    /// Where keys are kept.
    pub archive: ArchiveMode,
}

/// Asks about a destination with the profile it has, if any.
#[must_use]
pub fn admit(subject: Subject<'_>, profile: &Result<Option<Profile>, ProfileError>) -> Leave {
    let Destination { name, address, allow_failed_probe, .. } = subject.destination;
    let profile = match profile {
        Ok(Some(profile)) if profile.address == *address => profile,
        Ok(Some(profile)) => return unprobed(subject, &moved(&profile.address)),
        Ok(None) => return unprobed(subject, "was never probed"),
        Err(error) => return unprobed(subject, &format!("has a profile that cannot be used: {error}")),
    };
    let verdict = profile.verdict(subject.archive);
    let Some(first) = verdict.failures.first() else { return Leave::Given(Vec::new()) };
    let more = match verdict.failures.len().saturating_sub(1) {
        0 => String::new(),
        more => format!(" ({more} more in its profile)"),
    };
    if *allow_failed_probe {
        let said = format!(
            "Destination {name} failed its probe, and is used because allow_failed_probe is set: {first}{more}"
        );
        return Leave::Given(vec![said]);
    }
    Leave::Refused(format!(
        "destination {name} failed its probe: {first}{more} Correct that at the PACS and run `sealgate probe {name}` \
         again; or take it out of the routes; or set allow_failed_probe = true on it, if you know that it does no harm"
    ))
}

fn moved(before: &AeAddress) -> String {
    format!("was probed at another address, {before}")
}

fn unprobed(subject: Subject<'_>, why: &str) -> Leave {
    let Destination { name, unprobed, .. } = subject.destination;
    let advice = format!("run `sealgate probe {name}`, which shows whether sealed images come back from it");
    match unprobed {
        Unprobed::Allow => Leave::Given(Vec::new()),
        Unprobed::Warn => Leave::Given(vec![format!("Destination {name} {why}: {advice}.")]),
        Unprobed::Refuse => {
            Leave::Refused(format!("destination {name} {why}, and unprobed = \"refuse\": {advice}"))
        }
    }
}
