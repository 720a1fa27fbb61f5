//! Keeps an eye on the files of TLS profiles: new ones are taken in, bad ones reported, ends announced.

use std::time::SystemTime;

use tracing::{error, info, warn};

use super::live::Live;
use crate::policy::Rules;
use crate::settings::Settings;
use crate::tls::{LoadError, Profiles, Refreshed};

/// How often the ends of certificates are looked at.
pub(super) const ENDS_SECONDS: u64 = 86_400;

/// Reads the files, and checks that they make what the settings use them for.
pub(super) fn load(settings: &Settings, before: &Profiles) -> Result<Profiles, LoadError> {
    let profiles = Profiles::load(&settings.tls, before)?;
    settings.ways(&profiles)?;
    Ok(profiles)
}

/// Takes in what has changed on disk since the last look. Associations that are there go on.
pub(super) fn refresh(live: &Live, settings: &Settings) {
    let state = live.now();
    let Some(Refreshed { profiles, changed, failed }) = state.tls.refresh() else { return };
    let rules = Rules::clone(&state.rules);
    live.replace(state.next(settings, rules, profiles, state.verifier.clone()));
    for name in changed {
        info!(profile = name, "a tls profile's files have changed, new connections use them");
    }
    for (name, error) in failed {
        error!(profile = name, %error, "a tls profile's files have changed and cannot be used, it stays as it was");
    }
}

/// Says which certificates and revocation lists end soon, or have ended.
pub(super) fn warn_of_ends(profiles: &Profiles) {
    let now = SystemTime::now();
    for warning in profiles.expiries().filter_map(|expiry| expiry.warning(now)) {
        warn!("{warning}");
    }
}
