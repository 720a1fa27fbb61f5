//! When certificates and revocation lists end, for metrics, for the log, and for whoever asks.

use std::time::{Duration, SystemTime};

use super::config::Place;

/// So many days before its end a certificate is warned about.
pub const WARN_DAYS: u64 = 30;
/// Revocation lists are renewed every few days or weeks; they are warned about later.
const WARN_DAYS_CRL: u64 = 2;

/// The end of one certificate or revocation list in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The tls profile.
    pub profile: String,
    /// `certificate`, `ca` or `crls`: the key of the profile.
    pub key: &'static str,
    /// Where it was read.
    pub place: Place,
    /// The subject's name, or the issuer's of a revocation list.
    pub name: String,
    /// From then on it is worth nothing.
    pub not_after: SystemTime,
}

impl Expiry {
    /// Whole days left; nothing when it is over.
    #[must_use]
    pub fn days_left(&self, now: SystemTime) -> Option<u64> {
        self.not_after.duration_since(now).ok().map(|left| left.as_secs() / 86_400)
    }

    /// What someone should hear about it now, if anything.
    #[must_use]
    pub fn warning(&self, now: SystemTime) -> Option<String> {
        let Self { profile, key, place, name, .. } = self;
        let what = format!("tls profile {profile}: {name} in {place} (`{key}`)");
        let limit = if *key == "crls" { WARN_DAYS_CRL } else { WARN_DAYS };
        match self.days_left(now) {
            None => Some(format!("{what} has expired: nobody who checks believes it; replace it")),
            Some(days) if days < limit => Some(format!("{what} expires in {days} days: replace it before")),
            Some(_) => None,
        }
    }
}

/// A point in time from its seconds since 1970, as certificates have it.
pub(super) fn at(seconds: i64) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or_default();
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_warned_about_in_its_last_thirty_days() {
        let day = Duration::from_secs(86_400);
        let end = at(2_000_000_000);
        let expiry = |key| Expiry {
            profile: "clinic".into(),
            key,
            place: Place::parse("/c.pem").unwrap(),
            name: "CN=gateway".into(),
            not_after: end,
        };
        assert_eq!(expiry("certificate").warning(end - 31 * day), None);
        assert!(expiry("certificate").warning(end - 10 * day).unwrap().contains("in 10 days"));
        assert!(expiry("certificate").warning(end + day).unwrap().contains("has expired"));
        assert_eq!(expiry("crls").warning(end - 10 * day), None);
        assert!(expiry("crls").warning(end - day).is_some());
    }
}
