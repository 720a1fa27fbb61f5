//! What the probes of the destinations say, asked at the start and at every reload.

use tracing::warn;

use crate::policy::Destination;
use crate::probe::{Leave, Profile, Subject, admit};
use crate::settings::{Settings, SettingsError};

/// Asks about every destination that a route leads to: what is worth knowing, or the first one that must not be used.
pub fn ask(settings: &Settings) -> Result<Vec<String>, SettingsError> {
    let mut notes = Vec::new();
    for destination in settings.destinations.iter().filter(|one| is_used(settings, one)) {
        let profile = Profile::load(&settings.probe.folder, &destination.name);
        let subject = Subject { destination, archive: settings.keys.archive };
        match admit(subject, &profile) {
            Leave::Given(said) => notes.extend(said),
            Leave::Refused(why) => return Err(SettingsError::Value(why)),
        }
    }
    Ok(notes)
}

/// The same, with what is worth knowing in the log.
pub(super) fn check(settings: &Settings) -> Result<(), SettingsError> {
    for note in ask(settings)? {
        warn!("{note}");
    }
    Ok(())
}

fn is_used(settings: &Settings, destination: &Destination) -> bool {
    settings.routes.iter().any(|route| route.destinations.contains(&destination.name))
}
