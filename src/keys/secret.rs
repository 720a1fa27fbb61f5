//! Secrets of this room: each its own type, erased on drop, opened by `expose_secret`, never printed.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::keys::error::KeysError;
use crate::keys::file::{check_not_for_others, check_private};

/// Longest passphrase or PIN read from a file or a terminal, in bytes.
const PASSPHRASE_BYTES_MAX: u64 = 1024;
/// Shortest passphrase taken for a new key, in characters.
const PASSPHRASE_CHARACTERS_MIN: usize = 12;

/// What a KEM or a key agreement yields.
pub(crate) struct SharedSecret(Zeroizing<Vec<u8>>);

impl SharedSecret {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    pub(crate) fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

/// A private key in its stored encoding, between generation or unsealing and use.
pub(crate) struct PrivateKeyBytes(Zeroizing<Vec<u8>>);

impl PrivateKeyBytes {
    /// Takes the encoding in.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub(crate) fn expose_secret(&self) -> &[u8] {
        &self.0
    }
}

/// A passphrase or a PIN: from a prompt, a file or a credential, never from the command line.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes the text in.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// Reads the first line of a file that only its owner may read.
    pub fn from_file(path: &Path) -> Result<Self, KeysError> {
        let file = File::open(path).map_err(KeysError::file("opening", path))?;
        check_private(&file, path)?;
        Self::read(file, path)
    }

    /// Reads the first line of the credential `name` from the folder systemd made for the service.
    pub fn from_credential(folder: &Path, name: &str) -> Result<Self, KeysError> {
        let (file, path) = open_credential(folder, name)?;
        Self::read(file, &path)
    }

    fn read(mut file: File, path: &Path) -> Result<Self, KeysError> {
        let mut text = Zeroizing::new(String::with_capacity(1025));
        file.by_ref()
            .take(PASSPHRASE_BYTES_MAX.saturating_add(1))
            .read_to_string(&mut text)
            .map_err(KeysError::file("reading", path))?;
        if text.len() as u64 > PASSPHRASE_BYTES_MAX {
            return Err(KeysError::malformed(path, "more than 1024 bytes, a passphrase is one line"));
        }
        let line = text.lines().next().unwrap_or_default();
        if line.is_empty() {
            return Err(KeysError::malformed(path, "the first line is empty, a passphrase was expected"));
        }
        Ok(Self::new(line.to_owned()))
    }

    /// Asks at the terminal, without echo.
    pub fn from_prompt(prompt: &str) -> Result<Self, KeysError> {
        let text = rpassword::prompt_password(prompt).map_err(|error| {
            KeysError::Secret(format!("no passphrase could be read from the terminal: {error}"))
        })?;
        if text.is_empty() {
            return Err(KeysError::Secret("the passphrase is empty".into()));
        }
        Ok(Self::new(text))
    }

    /// Refuses what is too short to seal a new key with.
    pub fn check_strength(&self) -> Result<(), KeysError> {
        let characters = self.0.chars().count();
        if characters < PASSPHRASE_CHARACTERS_MIN {
            return Err(KeysError::Secret(format!(
                "the passphrase has {characters} characters, a new key needs at least {PASSPHRASE_CHARACTERS_MIN}"
            )));
        }
        Ok(())
    }

    pub(crate) fn expose_secret(&self) -> &str {
        &self.0
    }
}

/// 32 bytes that seal key files, handed over by systemd (`LoadCredential=`).
#[derive(Clone)]
pub struct Credential(Zeroizing<[u8; 32]>);

impl Credential {
    /// Takes the bytes in.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the credential `name` from the folder systemd made for the service.
    pub fn load(folder: &Path, name: &str) -> Result<Self, KeysError> {
        let (mut file, path) = open_credential(folder, name)?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(33));
        file.by_ref().take(33).read_to_end(&mut bytes).map_err(KeysError::file("reading", &path))?;
        let bytes: [u8; 32] = bytes.as_slice().try_into().map_err(|_| {
            KeysError::malformed(
                &path,
                "a credential of exactly 32 random bytes was expected; make one with `openssl rand 32`",
            )
        })?;
        Ok(Self::new(bytes))
    }

    pub(crate) fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }
}

fn open_credential(folder: &Path, name: &str) -> Result<(File, PathBuf), KeysError> {
    if name.is_empty() || name.contains(['/', '\0']) || name.starts_with('.') {
        return Err(KeysError::Secret(format!("{name:?} is not the name of a credential")));
    }
    let path = folder.join(name);
    let file = File::open(&path).map_err(KeysError::file("opening the credential", &path))?;
    // systemd grants the service's user access by an ACL, which shows as group bits: only `others` counts here.
    check_not_for_others(&file, &path)?;
    Ok((file, path))
}
