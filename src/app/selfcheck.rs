//! The security self-check: what is weak about the configuration, its files and the machine, and what to do about it.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use crate::settings::{Settings, Severity, Source, Weakness};
use crate::tls::{Expiry, Profiles};

/// How long the system may take to say whether its clock is right.
const CLOCK_WAIT: Duration = Duration::from_secs(2);

/// Everything that is weak, the worst first.
#[must_use]
pub fn self_check(settings: &Settings, source: &Source, profiles: Option<&Profiles>) -> Vec<Weakness> {
    let mut found = settings.weaknesses();
    if let Some(file) = &source.file {
        found.extend(config_file(file));
    }
    found.extend(key_files(settings));
    found.extend(secrets_in(env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned())));
    found.extend(profiles.iter().flat_map(|profiles| certificates(profiles, SystemTime::now())));
    found.extend(clock());
    found.sort_by_key(|weakness| std::cmp::Reverse(weakness.severity));
    found
}

/// The same in the log: each weakness once, and how many there are.
pub(super) fn tell(found: &[Weakness]) {
    for weakness in found.iter().filter(|weakness| weakness.severity > Severity::Low) {
        warn!(severity = %weakness.severity, check = weakness.check, "{weakness}");
    }
    let count = |severity| found.iter().filter(|weakness| weakness.severity == severity).count();
    let (high, medium, low) = (count(Severity::High), count(Severity::Medium), count(Severity::Low));
    info!(high, medium, low, "security self-check done, `sealgate check` says what to do");
}

fn mode_of(path: &Path) -> Option<u32> {
    fs::metadata(path).ok().map(|metadata| metadata.mode() & 0o7777)
}

/// Whoever can write the configuration decides who opens images.
fn config_file(path: &Path) -> Option<Weakness> {
    let mode = mode_of(path)?;
    let name = path.display();
    (mode & 0o022 != 0).then(|| {
        let what = format!("Others than its owner can write the configuration {name} (mode {mode:04o})");
        Weakness::new(Severity::High, "writable-configuration", what, "chmod 0640, owned by root")
    })
}

/// Files that hold secrets, and the folders around them.
fn key_files(settings: &Settings) -> Vec<Weakness> {
    let keys = &settings.keys;
    let folders = [keys.folder.clone(), keys.keyring_path()];
    let files = [keys.store_path()]
        .into_iter()
        .chain(keys.passphrase_file.clone())
        .chain(keys.pkcs11.pin_file.clone());
    let in_keyring =
        fs::read_dir(keys.keyring_path()).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<Weakness> = folders
        .into_iter()
        .chain(files)
        .chain(in_keyring)
        .filter_map(|path| {
            let mode = mode_of(&path).filter(|mode| mode & 0o077 != 0)?;
            let right = if path.is_dir() { "0700" } else { "0600" };
            let what = format!("Others can get at {} (mode {mode:04o}), which holds keys", path.display());
            let advice = format!("chmod {right}, owned by the service's user");
            Some(Weakness::new(Severity::High, "open-key-file", what, advice))
        })
        .collect();
    let users =
        settings.identity.users.as_deref().filter(|path| mode_of(path).is_some_and(|mode| mode & 0o004 != 0));
    found.extend(users.map(|path| {
        let what = format!("Everybody on this machine can read {}", path.display());
        Weakness::new(Severity::Medium, "open-users-file", what, "chmod 0600")
    }));
    found
}

/// What stands in the environment is seen by every child, and ends up in logs and dumps.
fn secrets_in(names: impl Iterator<Item = String>) -> Vec<Weakness> {
    let is_secret = |name: &String| {
        let name = name.to_ascii_uppercase();
        let ours = name.starts_with("SEALGATE");
        ours && !name.ends_with("_FILE")
            && ["PASSPHRASE", "PASSWORD", "SECRET", "_PIN"].iter().any(|word| name.contains(word))
    };
    names
        .filter(is_secret)
        .map(|name| {
            let what = format!("The environment variable {name} holds a secret, or is meant to");
            let advice = "hand secrets over as systemd credentials; nothing reads them from the environment";
            Weakness::new(Severity::High, "secret-in-environment", what, advice)
        })
        .collect()
}

/// Certificates that end, and private keys that everybody can read.
fn certificates(profiles: &Profiles, now: SystemTime) -> Vec<Weakness> {
    let ending = |expiry: &Expiry| {
        let said = expiry.warning(now)?;
        let (what, advice) = said.rsplit_once(": ").unwrap_or((&said, "replace it"));
        let over = expiry.days_left(now).is_none();
        let (severity, check) =
            if over { (Severity::High, "expired") } else { (Severity::Medium, "expires-soon") };
        Some(Weakness::new(severity, check, what.to_owned(), advice.to_owned()))
    };
    let open = profiles.open_keys().map(|key| {
        let what = format!("Everybody on this machine can read the private key {key}");
        Weakness::new(Severity::High, "open-tls-key", what, "chmod 0600, owned by the service's user")
    });
    profiles.expiries().filter_map(ending).chain(open).collect()
}

/// Hours of rules, ends of certificates and times of audit records rest on the clock.
fn clock() -> Option<Weakness> {
    let advice = "run chrony, ntpd-rs or systemd-timesyncd";
    match is_synchronised() {
        Some(true) => None,
        Some(false) => {
            let what = "The system's clock is not synchronised";
            Some(Weakness::new(Severity::Medium, "clock-not-synchronised", what, advice))
        }
        None => {
            let what = "Whether the system's clock is synchronised cannot be found out";
            Some(Weakness::new(Severity::Low, "clock-unknown", what, advice))
        }
    }
}

/// What the kernel says of its clock, by way of systemd.
fn is_synchronised() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let mut child = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let end = Instant::now() + CLOCK_WAIT;
    while child.try_wait().ok()?.is_none() {
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_environment_is_found_and_a_file_of_one_is_not() {
        let names =
            ["SEALGATE_PASSPHRASE", "SEALGATE__KEYS__PASSPHRASE_FILE", "HOME", "SEALGATE__LOG__LEVEL"];
        let found = secrets_in(names.map(str::to_owned).into_iter());
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("SEALGATE_PASSPHRASE") && found[0].severity == Severity::High);
    }
}
