//! What a look at the process and its state finds: certificates, memory, why it is not ready, what somebody should see to.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::telemetry::snapshot::{Certificate, Process, Snapshot};
use crate::tls::Profiles;

/// Days before its end from which a certificate is an alarm.
const CERTIFICATE_DAYS: u64 = 14;

/// Certificates and revocation lists in use, the first to end first.
pub(super) fn certificates(profiles: &Profiles) -> Vec<Certificate> {
    let mut found: Vec<Certificate> = profiles
        .expiries()
        .map(|expiry| Certificate {
            profile: expiry.profile.clone(),
            key: expiry.key.to_owned(),
            name: expiry.name.clone(),
            not_after_unix: seconds(expiry.not_after),
        })
        .collect();
    found.sort_by_key(|one| one.not_after_unix);
    found
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What the system says of this process; zeros where it says nothing.
pub(super) fn process() -> Process {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let descriptors = fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64);
    Process { resident_bytes: resident.unwrap_or(0).saturating_mul(1024), descriptors }
}

/// Why it does not take what it is there for.
pub(super) fn not_ready(snapshot: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(spool) = &snapshot.spool {
        match (&spool.failed, spool.pressure) {
            (Some(why), _) => found.push(format!("the spool has stopped: {why}")),
            (None, 2) => found.push("the spool is full, stores are refused".to_owned()),
            _ => {}
        }
    }
    if let Some(why) = snapshot.keys.as_ref().and_then(|keys| keys.stopped.as_ref()) {
        found.push(format!("the key store has stopped: {why}"));
    }
    found
}

/// What somebody should look at.
pub(super) fn alarms(snapshot: &Snapshot) -> Vec<String> {
    let mut found = snapshot.not_ready.clone();
    if snapshot.spool.as_ref().is_some_and(|spool| spool.pressure == 1) {
        found.push("the spool is nearly full, new associations that store are refused".to_owned());
    }
    for one in &snapshot.destinations {
        if let Some(seconds) = one.down_seconds {
            found.push(format!("nothing has got through to {} for {seconds} s", one.name));
        }
        if one.aside > 0 {
            found.push(format!("{} instances were set aside: {} does not take them", one.aside, one.name));
        }
    }
    if let Some(alarm) = snapshot.generator.as_ref().and_then(|generator| generator.alarm.as_ref()) {
        found.push(format!("the generator is {alarm}; keys rest on system entropy alone"));
    }
    let now = snapshot.now_unix_millis / 1000;
    for one in &snapshot.certificates {
        let days = one.not_after_unix.saturating_sub(now) / 86_400;
        if one.not_after_unix <= now {
            found.push(format!("{} of tls profile {} has expired", one.name, one.profile));
        } else if days < CERTIFICATE_DAYS && one.key != "crls" {
            found.push(format!("{} of tls profile {} expires in {days} days", one.name, one.profile));
        }
    }
    if let Some(audit) = &snapshot.audit {
        if !audit.recording {
            found.push("the audit trail cannot be written".to_owned());
        }
        if audit.lost > 0 {
            found.push(format!("{} events of the audit trail were lost", audit.lost));
        }
    }
    if snapshot.grants_open > 0 {
        found.push(format!("{} emergency accesses are open", snapshot.grants_open));
    }
    found
}
