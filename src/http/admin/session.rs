//! Who is logged in: sessions that end, tokens that forms have to bring back, and a limit on wrong passwords.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;

use crate::http::house::Admin;

/// Sessions at once; the one that was idle longest makes room.
const SESSIONS_MAX: usize = 256;
/// However busy somebody is, after so long they log in again.
const SESSION_MAX: Duration = Duration::from_secs(12 * 3600);
/// Wrong passwords for one name in [`WINDOW`], and from one address, which may be a proxy's with many behind it.
const FAILURES_MAX: u32 = 5;
const FAILURES_PER_ADDRESS_MAX: u32 = 30;
const WINDOW: Duration = Duration::from_secs(300);
/// Names and addresses that are told apart.
const COUNTED_MAX: usize = 1024;

/// Somebody logged in.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) admin: Admin,
    /// What every form has to bring back.
    pub(super) token: String,
    begun: Instant,
    seen: Instant,
}

impl Session {
    /// Whether a form came from a page of this session.
    pub(super) fn fits(&self, token: &str) -> bool {
        verify_slices_are_equal(self.token.as_bytes(), token.as_bytes()).is_ok()
    }
}

/// All sessions, by the digest of the secret in the browser's cookie.
pub(super) struct Sessions {
    open: Mutex<HashMap<[u8; 32], Session>>,
    idle: Duration,
}

/// 64 digits that nobody guesses.
fn secret() -> Option<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok()?;
    let (high, low) = bytes.split_at(16);
    let number = |half: &[u8]| half.first_chunk().map(|bytes| u128::from_be_bytes(*bytes));
    Some(format!("{:032x}{:032x}", number(high)?, number(low)?))
}

fn key_of(secret: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    key
}

impl Sessions {
    pub(super) fn new(idle_minutes: u64) -> Self {
        Self { open: Mutex::default(), idle: Duration::from_secs(idle_minutes.saturating_mul(60)) }
    }

    /// A new session: the secret for the cookie. Nothing where the system gives no random bytes.
    pub(super) fn begin(&self, admin: Admin, now: Instant) -> Option<String> {
        let (secret, token) = (secret()?, secret()?);
        let mut open = self.lock();
        open.retain(|_, session| self.is_open(session, now));
        if open.len() >= SESSIONS_MAX {
            let oldest = open.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| *key);
            oldest.and_then(|key| open.remove(&key));
        }
        open.insert(key_of(&secret), Session { admin, token, begun: now, seen: now });
        Some(secret)
    }

    /// The session of this cookie. What a page fetches by itself does not keep it open.
    pub(super) fn find(&self, secret: &str, by_hand: bool, now: Instant) -> Option<Session> {
        let mut open = self.lock();
        let key = key_of(secret);
        let session = open.get_mut(&key)?;
        if !self.is_open(session, now) {
            open.remove(&key);
            return None;
        }
        if by_hand {
            session.seen = now;
        }
        Some(session.clone())
    }

    pub(super) fn end(&self, secret: &str) {
        self.lock().remove(&key_of(secret));
    }

    fn is_open(&self, session: &Session, now: Instant) -> bool {
        now.saturating_duration_since(session.seen) < self.idle
            && now.saturating_duration_since(session.begun) < SESSION_MAX
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Session>> {
        // The map is whole between any two statements.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whom wrong passwords are counted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Counted {
    Name(String),
    Address(IpAddr),
    /// All beyond those that are told apart.
    Others,
}

/// Wrong passwords of late.
#[derive(Default)]
pub(super) struct Failures(Mutex<HashMap<Counted, (Instant, u32)>>);

impl Failures {
    /// Whether no password is tried now, for this name or from this address.
    pub(super) fn is_closed(&self, name: &str, from: IpAddr, now: Instant) -> bool {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |counted: &Counted, most: u32| {
            let found = failures
                .get(counted)
                .or_else(|| failures.get(&Counted::Others).filter(|_| failures.len() > COUNTED_MAX));
            found.is_some_and(|(since, count)| {
                now.saturating_duration_since(*since) < WINDOW && *count >= most
            })
        };
        of(&Counted::Name(name.to_owned()), FAILURES_MAX)
            || of(&Counted::Address(from), FAILURES_PER_ADDRESS_MAX)
    }

    /// Counts one more, before it is known whether the password is right: many at once get no more tries than one by one.
    pub(super) fn count(&self, name: &str, from: IpAddr, now: Instant) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|_, (since, _)| now.saturating_duration_since(*since) < WINDOW);
        for counted in [Counted::Name(name.to_owned()), Counted::Address(from)] {
            let is_new = !failures.contains_key(&counted);
            let counted = if is_new && failures.len() >= COUNTED_MAX { Counted::Others } else { counted };
            let (_, count) = failures.entry(counted).or_insert((now, 0));
            *count = count.saturating_add(1);
        }
    }

    /// The password was right: what was counted for this name and address does not count.
    pub(super) fn forget(&self, name: &str, from: IpAddr) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&Counted::Name(name.to_owned()));
        failures.remove(&Counted::Address(from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin() -> Admin {
        Admin { name: "alice".into(), roles: Vec::new(), address: IpAddr::from([127, 0, 0, 1]) }
    }

    #[test]
    fn a_session_ends_when_nobody_uses_it_and_when_it_is_old() {
        let (sessions, start) = (Sessions::new(30), Instant::now());
        let secret = sessions.begin(admin(), start).unwrap();
        let minutes = |count: u64| start + Duration::from_secs(count * 60);
        assert!(sessions.find("other", true, start).is_none());
        assert!(sessions.find(&secret, true, minutes(29)).is_some());
        assert!(sessions.find(&secret, false, minutes(58)).is_some());
        assert!(sessions.find(&secret, false, minutes(60)).is_none(), "pages alone do not keep it open");
        let secret = sessions.begin(admin(), start).unwrap();
        for count in 1..72 {
            assert!(sessions.find(&secret, true, minutes(count * 10)).is_some(), "{count}");
        }
        assert!(sessions.find(&secret, true, minutes(720)).is_none());
        let secret = sessions.begin(admin(), start).unwrap();
        sessions.end(&secret);
        assert!(sessions.find(&secret, true, start).is_none());
    }

    #[test]
    fn only_the_token_of_the_session_fits_and_sessions_are_limited() {
        let (sessions, now) = (Sessions::new(30), Instant::now());
        let one = sessions.find(&sessions.begin(admin(), now).unwrap(), true, now).unwrap();
        let other = sessions.find(&sessions.begin(admin(), now).unwrap(), true, now).unwrap();
        assert!(one.fits(&one.token) && !one.fits(&other.token) && !one.fits(""));
        for _ in 0..SESSIONS_MAX + 10 {
            sessions.begin(admin(), now).unwrap();
        }
        assert_eq!(sessions.lock().len(), SESSIONS_MAX);
    }

    #[test]
    fn after_some_wrong_passwords_none_is_tried_for_a_while() {
        let (failures, start) = (Failures::default(), Instant::now());
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        for _ in 0..FAILURES_MAX {
            assert!(!failures.is_closed("alice", one, start));
            failures.count("alice", one, start);
        }
        assert!(failures.is_closed("alice", other, start), "the name");
        assert!(!failures.is_closed("bob", one, start));
        for number in 0..FAILURES_PER_ADDRESS_MAX {
            failures.count(&number.to_string(), one, start);
        }
        assert!(failures.is_closed("bob", one, start), "the address");
        assert!(!failures.is_closed("bob", other, start));
        assert!(!failures.is_closed("alice", one, start + WINDOW));
        failures.forget("alice", one);
        assert!(!failures.is_closed("alice", one, start));
        for number in 0..5000_u32 {
            failures.count(&number.to_string(), other, start);
        }
        assert!(failures.0.lock().unwrap().len() <= COUNTED_MAX + 1);
    }
}
