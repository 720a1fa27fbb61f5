//! What an operator can set about keys.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::keys::error::KeysError;
use crate::keys::keyring::RecipientName;
use crate::keys::keyring::sealed::Argon2Cost;
use crate::keys::record::RECIPIENTS_MAX;

/// Where wrapped content keys are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArchiveMode {
    /// In a private block of the sealed instance only.
    Tag,
    /// In the key store only; the instance carries nothing but the key id.
    Sidecar,
    /// In both, so that either may be lost.
    #[default]
    Both,
}

impl ArchiveMode {
    /// Whether the instance carries the record.
    #[must_use]
    pub const fn has_tag(self) -> bool {
        matches!(self, Self::Tag | Self::Both)
    }

    /// Whether the store has the record.
    #[must_use]
    pub const fn has_store(self) -> bool {
        matches!(self, Self::Sidecar | Self::Both)
    }
}

/// What opens the private key files when the service starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnlockMethod {
    /// 32 random bytes in a systemd credential: the file `credential` in `$CREDENTIALS_DIRECTORY`.
    #[default]
    Credential,
    /// A passphrase in a systemd credential, in its first line.
    PassphraseCredential,
    /// A passphrase, the first line of `passphrase_file`.
    PassphraseFile,
    /// A passphrase, asked for at the terminal.
    Prompt,
    /// A PKCS#11 token, with the PIN in `pkcs11.pin_file`.
    Token,
    /// Nothing: images are sealed, and cannot be opened here.
    Locked,
}

/// The keys' part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of the key files and the store; mode 0700. Default `/var/lib/sealgate/keys`.
    pub folder: PathBuf,
    /// Where wrapped keys are kept: `tag`, `sidecar` or `both`. Default `both`.
    pub archive: ArchiveMode,
    /// Whether the wrapped key in an instance is worth nothing without a key of its study that only the key store has, so
    /// that destroying the study's keys reaches it. Then the store, or a backup of it, is needed for every opening.
    /// Default false.
    pub shred_key: bool,
    /// The recipients every content key is wrapped for, by name; each must have a key. Default `["site"]`.
    pub recipients: Vec<RecipientName>,
    /// Whether what is sealed is signed by this gateway, with the key that `sealgate keys signer` makes. Default false.
    pub sign: bool,
    /// Whether only what a known gateway signed is opened: images that nobody signed, or somebody else, are refused. Default false.
    pub require_signature: bool,
    /// The names of the signing keys that are meant, as `sealgate inspect` gives them; none for all that are known. Default `[]`.
    pub signers: Vec<RecipientName>,
    /// What opens the private keys: `credential`, `passphrase-credential`, `passphrase-file`, `prompt`, `token` or
    /// `locked`. Default `credential`.
    pub unlock: UnlockMethod,
    /// Name of the systemd credential. Default `sealgate-kek`.
    pub credential: String,
    /// File with the passphrase in its first line, mode 0600. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase_file: Option<PathBuf>,
    /// Cost of a passphrase for new key files.
    pub argon2: Argon2Cost,
    /// The PKCS#11 token.
    pub pkcs11: Pkcs11Config,
    /// Limits of the key store.
    pub store: StoreConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: "/var/lib/sealgate/keys".into(),
            archive: ArchiveMode::default(),
            shred_key: false,
            recipients: vec![RecipientName::site()],
            sign: false,
            require_signature: false,
            signers: Vec::new(),
            unlock: UnlockMethod::default(),
            credential: "sealgate-kek".into(),
            passphrase_file: None,
            argon2: Argon2Cost::default(),
            pkcs11: Pkcs11Config::default(),
            store: StoreConfig::default(),
        }
    }
}

/// Where the PKCS#11 token is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pkcs11Config {
    /// The vendor's library, an absolute path. No default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<PathBuf>,
    /// The label of the token. Default `sealgate`.
    pub token: String,
    /// File with the user PIN in its first line, mode 0600; without it the PIN is asked for at the terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pin_file: Option<PathBuf>,
    /// Sessions held open at once. Default 4.
    pub sessions_max: usize,
}

impl Default for Pkcs11Config {
    fn default() -> Self {
        Self { module: None, token: "sealgate".into(), pin_file: None, sessions_max: 4 }
    }
}

/// Limits of the key store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The database, in `folder` unless it is an absolute path. Default `store.sqlite`.
    pub file: PathBuf,
    /// Most records in one commit. Default 256.
    pub commit_records_max: usize,
    /// Most records that wait for a commit before writers are held up. Default 4096.
    pub queue_records_max: usize,
    /// Connections that read at once. Default 8.
    pub readers_max: usize,
    /// Milliseconds to wait for another process that holds the database. Default 10000.
    pub busy_milliseconds_max: u32,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            file: "store.sqlite".into(),
            commit_records_max: 256,
            queue_records_max: 4096,
            readers_max: 8,
            busy_milliseconds_max: 10_000,
        }
    }
}

impl Config {
    /// The database file.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        self.folder.join(&self.store.file)
    }

    /// The folder of the key files.
    #[must_use]
    pub fn keyring_path(&self) -> PathBuf {
        self.folder.join("kek")
    }

    /// Refuses settings that contradict each other.
    pub fn check(&self) -> Result<(), KeysError> {
        let refuse = |text: &str| Err(KeysError::Config(text.to_owned()));
        if self.recipients.is_empty() {
            return refuse("`recipients` is empty; name at least one, such as \"site\"");
        }
        if self.recipients.len() > RECIPIENTS_MAX {
            return refuse("`recipients` has more than 8 names, which is as many as a key record holds");
        }
        if self.recipients.iter().collect::<HashSet<_>>().len() < self.recipients.len() {
            return refuse("`recipients` has the same name twice");
        }
        if !self.signers.is_empty() && !self.require_signature {
            return refuse(
                "`signers` has names, and `require_signature` is false: nobody would look at them",
            );
        }
        if self.unlock == UnlockMethod::PassphraseFile && self.passphrase_file.is_none() {
            return refuse("`unlock` is `passphrase-file`, and `passphrase_file` is not set");
        }
        if self.unlock == UnlockMethod::Token && self.pkcs11.module.is_none() {
            return refuse("`unlock` is `token`, and `pkcs11.module` is not set");
        }
        let limits = [self.store.commit_records_max, self.store.queue_records_max, self.store.readers_max];
        if limits.contains(&0) || self.pkcs11.sessions_max == 0 {
            return refuse("a limit of `store` or `pkcs11` is 0; it has to be at least 1");
        }
        self.argon2.check().map_err(KeysError::Config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold_together() {
        assert!(Config::default().check().is_ok());
    }

    #[test]
    fn refuses_settings_that_contradict_each_other() {
        let cases: [fn(&mut Config); 9] = [
            |c| c.recipients.clear(),
            |c| c.recipients.push(RecipientName::site()),
            |c| c.recipients = (0..9).map(|n| format!("n{n}").parse().unwrap()).collect(),
            |c| c.unlock = UnlockMethod::PassphraseFile,
            |c| c.unlock = UnlockMethod::Token,
            |c| c.signers.push(RecipientName::site()),
            |c| c.store.commit_records_max = 0,
            |c| c.pkcs11.sessions_max = 0,
            |c| c.argon2.memory_mebibytes = 1,
        ];
        for spoil in cases {
            let mut config = Config::default();
            spoil(&mut config);
            assert!(matches!(config.check(), Err(KeysError::Config(_))), "{config:?}");
        }
    }

    #[test]
    fn refuses_a_key_it_does_not_know() {
        assert!(serde_json::from_str::<Config>(r#"{"folder":"/k","archive":"both"}"#).is_ok());
        assert!(serde_json::from_str::<Config>(r#"{"flder":"/k"}"#).is_err());
        assert!(serde_json::from_str::<Config>(r#"{"recipients":["No Blanks"]}"#).is_err());
    }
}
