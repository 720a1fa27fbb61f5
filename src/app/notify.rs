//! What systemd is told: ready, reloading, stopping, still alive.

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::debug;

/// Sends `states`; outside systemd there is nobody to tell, and that is fine.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        debug!(%error, "systemd was not reached");
    }
}

/// The doors are open.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins. [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The end begins.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what is in hand")]);
}

/// Still alive.
pub(super) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear that we are alive: half of the limit it set, if it set one.
pub(super) fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 2)
}
