//! Moving every wrapped key over to the current recipients, and trying whether every one still opens.

use std::sync::mpsc;

use serde::Serialize;

use crate::keys::error::KeysError;
use crate::keys::keyring::Keyring;
use crate::keys::store::{Filter, KeyStore, NewVersion, Progress, StoredKey, Write};

/// Keys in one step: enough to fill group commits.
const KEYS_PER_STEP: usize = 256;
/// Most failures told one by one.
const FAILURES_MAX: usize = 100;

/// What became of a rewrap or a verification.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Outcome {
    /// Keys looked at.
    pub keys: u64,
    /// Records rewrapped, or opened.
    pub done: u64,
    /// Records that could not be.
    pub failed: u64,
    /// Why, one line each; at most 100.
    pub failures: Vec<String>,
}

impl Outcome {
    fn fail(&mut self, stored: &StoredKey, error: &KeysError) {
        self.failed = self.failed.saturating_add(1);
        if self.failures.len() < FAILURES_MAX {
            self.failures.push(format!("key {} version {}: {error}", stored.binding.key_id, stored.version));
        }
    }

    fn succeed(&mut self) {
        self.done = self.done.saturating_add(1);
    }
}

/// Wraps every key for the current recipients that is not yet; images are not touched, old versions stay.
///
/// Killed in the middle it goes on where it was: what is moved already no longer fits the question.
pub fn rewrap(
    store: &dyn KeyStore,
    keyring: &Keyring,
    now_unix_millis: i64,
    progress: Progress<'_>,
) -> Result<Outcome, KeysError> {
    let filter = Filter { not_wrapped_for: Some(keyring.current_set()?), ..Filter::default() };
    let total = store.counts()?.keys;
    let mut outcome = Outcome::default();
    let mut after = 0;
    loop {
        let step = store.list(&filter, after, KEYS_PER_STEP)?;
        let Some(last) = step.last() else { break };
        after = last.position;
        rewrap_step(store, keyring, now_unix_millis, &step, &mut outcome)?;
        outcome.keys = outcome.keys.saturating_add(step.len() as u64);
        progress(u64::try_from(after).unwrap_or(0).min(total), total);
    }
    progress(total, total);
    Ok(outcome)
}

/// Hands all of a step over before it waits for the first, so that they share commits.
fn rewrap_step(
    store: &dyn KeyStore,
    keyring: &Keyring,
    now_unix_millis: i64,
    step: &[StoredKey],
    outcome: &mut Outcome,
) -> Result<(), KeysError> {
    let mut waiting = Vec::with_capacity(step.len());
    for stored in step {
        match wrap_anew(keyring, stored) {
            Ok(record) => {
                let (sender, receiver) = mpsc::sync_channel(1);
                let version = NewVersion {
                    key_id: stored.binding.key_id,
                    after: stored.version,
                    record,
                    wrapped_unix_millis: now_unix_millis,
                };
                let done = Box::new(move |result| {
                    let _ = sender.send(result);
                });
                store.submit(Write::Version(version), done);
                waiting.push((stored, receiver));
            }
            Err(error) if concerns_all(&error) => return Err(error),
            Err(error) => outcome.fail(stored, &error),
        }
    }
    for (stored, receiver) in waiting {
        match receiver.recv() {
            Ok(Ok(_)) => outcome.succeed(),
            // Somebody else moved it meanwhile.
            Ok(Err(KeysError::Conflict(_))) => {}
            Ok(Err(error)) if concerns_all(&error) => return Err(error),
            Ok(Err(error)) => outcome.fail(stored, &error),
            Err(_) => return Err(KeysError::StoreStopped("its writer has ended".into())),
        }
    }
    Ok(())
}

fn wrap_anew(keyring: &Keyring, stored: &StoredKey) -> Result<Vec<u8>, KeysError> {
    let content_key = keyring.unwrap(&stored.record, &stored.binding)?;
    keyring.wrap(&content_key, &stored.binding)
}

/// Going on to the next key would only fail the same way.
fn concerns_all(error: &KeysError) -> bool {
    matches!(
        error,
        KeysError::Locked(_)
            | KeysError::Token { .. }
            | KeysError::Recipient(_)
            | KeysError::Crypto(_)
            | KeysError::Store { .. }
            | KeysError::StoreFull
            | KeysError::StoreReadOnly
            | KeysError::StoreStopped(_)
    )
}

/// Opens every version of every key with the present keyring, or only `sample` keys, evenly spread.
pub fn verify(
    store: &dyn KeyStore,
    keyring: &Keyring,
    sample: Option<u64>,
    progress: Progress<'_>,
) -> Result<Outcome, KeysError> {
    let total = store.counts()?.keys;
    let mut outcome = Outcome::default();
    match sample.filter(|sample| *sample < total) {
        Some(sample) => verify_sample(store, keyring, sample, total, &mut outcome, progress)?,
        None => verify_all(store, keyring, total, &mut outcome, progress)?,
    }
    Ok(outcome)
}

fn verify_all(
    store: &dyn KeyStore,
    keyring: &Keyring,
    total: u64,
    outcome: &mut Outcome,
    progress: Progress<'_>,
) -> Result<(), KeysError> {
    let mut after = 0;
    loop {
        let step = store.list(&Filter::default(), after, KEYS_PER_STEP)?;
        let Some(last) = step.last() else { return Ok(()) };
        after = last.position;
        verify_step(store, keyring, &step, outcome)?;
        progress(outcome.keys.min(total), total);
    }
}

fn verify_sample(
    store: &dyn KeyStore,
    keyring: &Keyring,
    sample: u64,
    total: u64,
    outcome: &mut Outcome,
    progress: Progress<'_>,
) -> Result<(), KeysError> {
    for turn in 0..sample {
        // Positions count up from 1 without gaps worth mentioning, since nothing is ever deleted.
        let after = u128::from(turn).saturating_mul(total.into()).checked_div(sample.into());
        let after = after.and_then(|after| i64::try_from(after).ok()).unwrap_or(0);
        verify_step(store, keyring, &store.list(&Filter::default(), after, 1)?, outcome)?;
        progress(turn.saturating_add(1), sample);
    }
    Ok(())
}

fn verify_step(
    store: &dyn KeyStore,
    keyring: &Keyring,
    step: &[StoredKey],
    outcome: &mut Outcome,
) -> Result<(), KeysError> {
    for stored in step {
        outcome.keys = outcome.keys.saturating_add(1);
        let older = if stored.version > 1 { store.versions(stored.binding.key_id)? } else { Vec::new() };
        let versions = if older.is_empty() { std::slice::from_ref(stored) } else { older.as_slice() };
        for version in versions {
            match keyring.unwrap(&version.record, &version.binding) {
                Ok(_) => outcome.succeed(),
                Err(error) => outcome.fail(version, &error),
            }
        }
    }
    Ok(())
}
