//! The keys of `[audit]`: whether there is a trail, where it is kept, how it is bounded, who gets a copy.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::error::AuditError;

/// The keys of `[audit]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether there is an audit trail at all.
    pub on: bool,
    /// Its log, the key that signs it, and how far each repository is.
    pub folder: PathBuf,
    /// Audit Source ID; empty for the name of the machine.
    pub source: String,
    /// Audit Enterprise Site ID; left out where empty.
    pub site: String,
    /// Whether messages say which patient, and queries what they ask for.
    pub patient_ids: bool,
    /// What happens to openings that cannot be recorded.
    pub when_full: WhenFull,
    /// Bytes after which a new file is begun.
    pub file_bytes_max: u64,
    /// Bytes of all files; the oldest that every repository has are removed beyond that.
    pub bytes_max: u64,
    /// Bytes of records that wait in memory while the disk takes none.
    pub held_bytes_max: u64,
    /// Events that wait for the thread that writes them.
    pub waiting_max: usize,
    /// How long instances that move between the same two nodes are gathered for one message.
    pub group_seconds: u64,
    /// How long a record that nobody waits for may take to become durable.
    pub sync_milliseconds: u64,
    /// Records after which the log is signed.
    pub sign_records: u64,
    /// Seconds after which it is signed if anything is new.
    pub sign_seconds: u64,
    /// The first wait after a repository could not be reached.
    pub retry_seconds_min: u64,
    /// The longest such wait.
    pub retry_seconds_max: u64,
    /// How long a TLS connection has to go on after a message until the message counts as arrived.
    pub confirm_seconds: u64,
    /// Who gets a copy of every message.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repositories: Vec<Repository>,
}

/// What happens to openings while the log takes no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// They are refused: no image is opened without a record.
    Refuse,
    /// They go on, with an alarm.
    Continue,
}

/// One entry of `[[audit.repositories]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    /// In logs, and of the file that says how far it is; unique.
    pub name: String,
    /// `host:port`.
    pub address: String,
    /// How messages get there.
    #[serde(default)]
    pub transport: Transport,
    /// The TLS profile to call it with.
    #[serde(default)]
    pub tls: Option<String>,
    /// The name its certificate has to be for, if it is not the host of `address`.
    #[serde(default)]
    pub server_name: Option<String>,
}

/// RFC 5425 or RFC 5426.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Syslog over TLS.
    #[default]
    Tls,
    /// Syslog over UDP: in clear, and whatever is lost on the way is lost there.
    Udp,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            on: true,
            folder: PathBuf::from("/var/lib/sealgate/audit"),
            source: String::new(),
            site: String::new(),
            patient_ids: true,
            when_full: WhenFull::Refuse,
            file_bytes_max: 16 * 1024 * 1024,
            bytes_max: 1024 * 1024 * 1024,
            held_bytes_max: 16 * 1024 * 1024,
            waiting_max: 20_000,
            group_seconds: 5,
            sync_milliseconds: 1000,
            sign_records: 1000,
            sign_seconds: 60,
            retry_seconds_min: 1,
            retry_seconds_max: 60,
            confirm_seconds: 30,
            repositories: Vec::new(),
        }
    }
}

/// The smallest file: a few of the largest records.
const FILE_BYTES_MIN: u64 = 256 * 1024;

impl Config {
    /// Whether a trail could be kept by it.
    pub fn check(&self) -> Result<(), AuditError> {
        let refuse = |text: String| Err(AuditError::Config(text));
        if self.file_bytes_max < FILE_BYTES_MIN {
            return refuse(format!(
                "audit.file_bytes_max is {}, the least is {FILE_BYTES_MIN}",
                self.file_bytes_max
            ));
        }
        if self.bytes_max < self.file_bytes_max.saturating_mul(2) {
            let (all, one) = (self.bytes_max, self.file_bytes_max);
            return refuse(format!("audit.bytes_max is {all}: make it at least two files of {one} bytes"));
        }
        if self.held_bytes_max < FILE_BYTES_MIN {
            return refuse(format!(
                "audit.held_bytes_max is {}, the least is {FILE_BYTES_MIN}",
                self.held_bytes_max
            ));
        }
        let positive = [
            ("waiting_max", self.waiting_max as u64),
            ("group_seconds", self.group_seconds),
            ("sync_milliseconds", self.sync_milliseconds),
            ("sign_records", self.sign_records),
            ("sign_seconds", self.sign_seconds),
            ("retry_seconds_min", self.retry_seconds_min),
            ("confirm_seconds", self.confirm_seconds),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return refuse(format!("audit.{key} is 0: give it at least 1"));
        }
        if self.retry_seconds_max < self.retry_seconds_min {
            return refuse("audit.retry_seconds_max is below audit.retry_seconds_min".to_owned());
        }
        self.check_repositories()
    }

    fn check_repositories(&self) -> Result<(), AuditError> {
        let mut names = BTreeSet::new();
        for Repository { name, address, transport, tls, server_name } in &self.repositories {
            let refuse = |text: &str| Err(AuditError::Config(format!("audit repository {name:?} {text}")));
            // The name becomes that of a file.
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if name.is_empty() || name.len() > 64 || !name.chars().all(plain) {
                return refuse("needs a name of at most 64 letters, digits, - and _");
            }
            if !names.insert(name) {
                return refuse("is there twice");
            }
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty());
            if port.and_then(|(_, port)| port.parse::<u16>().ok()).is_none_or(|port| port == 0) {
                return refuse("needs an address of the form host:port; syslog over TLS has port 6514");
            }
            match transport {
                Transport::Tls if tls.is_none() => {
                    return refuse("is called over TLS and names no tls profile");
                }
                Transport::Udp if tls.is_some() || server_name.is_some() => {
                    return refuse("is called over UDP, which has no TLS");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Repository {
    /// The host of its address, without the brackets of an IPv6 one.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(self.address.as_str(), |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(repository: Repository) -> Config {
        Config { repositories: vec![repository], ..Config::default() }
    }

    #[test]
    fn the_defaults_keep_a_log_and_send_it_nowhere() {
        let config = Config::default();
        assert!(config.on && config.patient_ids && config.repositories.is_empty());
        assert_eq!(config.when_full, WhenFull::Refuse);
        config.check().unwrap();
    }

    #[test]
    fn a_repository_that_could_not_work_is_refused() {
        let good = Repository {
            name: "central".into(),
            address: "[::1]:6514".into(),
            transport: Transport::Tls,
            tls: Some("hospital".into()),
            server_name: None,
        };
        with(good.clone()).check().unwrap();
        assert_eq!(good.host(), "::1");
        for bad in [
            Repository { name: "../x".into(), ..good.clone() },
            Repository { name: String::new(), ..good.clone() },
            Repository { address: "host".into(), ..good.clone() },
            Repository { address: "host:0".into(), ..good.clone() },
            Repository { tls: None, ..good.clone() },
            Repository { transport: Transport::Udp, ..good.clone() },
        ] {
            assert!(with(bad.clone()).check().is_err(), "{bad:?}");
        }
        let twice = Config { repositories: vec![good.clone(), good], ..Config::default() };
        assert!(twice.check().is_err());
    }

    #[test]
    fn limits_that_leave_no_room_are_refused() {
        assert!(Config { file_bytes_max: 1, ..Config::default() }.check().is_err());
        assert!(Config { bytes_max: 17 * 1024 * 1024, ..Config::default() }.check().is_err());
        assert!(Config { sign_seconds: 0, ..Config::default() }.check().is_err());
    }
}
