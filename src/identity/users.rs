//! The users file: names, Argon2id records and the rights that each user is limited to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};

use super::error::IdentityError;

/// Bytes of a users file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A record that costs more than this would be a way to bring the gateway down: KiB of memory, passes, lanes.
const COST_MAX: (u32, u32, u32) = (1024 * 1024, 16, 16);
/// OWASP's recommendation for Argon2id: 19 MiB, two passes. Each association costs this once.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
const PASSWORD_CHARACTERS_MIN: usize = 12;

/// What is kept of one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    hash: String,
    /// The words for the only rights the user may use.
    pub(super) only: Option<BTreeSet<String>>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record(secret, {:?})", self.only)
    }
}

impl Record {
    /// Whether the password is this user's. Takes as long as the record says.
    pub(super) fn fits(&self, password: &[u8]) -> bool {
        let Ok(hash) = PasswordHash::new(&self.hash) else { return false };
        Argon2::default().verify_password(password, &hash).is_ok()
    }

    /// One that no password fits, at the usual cost, so that unknown names take as long as known ones.
    pub(super) fn nobody() -> Self {
        Self { hash: argon2id(&[0; 16]).expect("sixteen bytes can be hashed"), only: None }
    }
}

fn argon2id(password: &[u8]) -> Result<String, IdentityError> {
    let failed = |error: argon2::password_hash::Error| IdentityError::Password(error.to_string());
    let (memory, passes, lanes) = COST;
    let params = Params::new(memory, passes, lanes, None).expect("the usual cost is allowed");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| IdentityError::Password("the system gives no random bytes".to_owned()))?;
    let salt = SaltString::encode_b64(&bytes).map_err(failed)?;
    Ok(argon2.hash_password(password, &salt).map_err(failed)?.to_string())
}

/// A line of the users file for this user.
pub fn hash(name: &str, password: &str, only: Option<&BTreeSet<String>>) -> Result<String, IdentityError> {
    if let Some(reason) = bad_name(name) {
        return Err(IdentityError::Password(reason.to_owned()));
    }
    let characters = password.chars().count();
    if characters < PASSWORD_CHARACTERS_MIN {
        return Err(IdentityError::Password(format!(
            "the password has {characters} characters, it needs at least {PASSWORD_CHARACTERS_MIN}"
        )));
    }
    let rights = only.map(|words| format!(":{}", words.iter().cloned().collect::<Vec<_>>().join(",")));
    Ok(format!("{name}:{}{}", argon2id(password.as_bytes())?, rights.unwrap_or_default()))
}

/// Reads a users file: `NAME:RECORD` or `NAME:RECORD:RIGHT,RIGHT` on each line; lines with `#` in front are remarks.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Record>, IdentityError> {
    let file = File::open(path).map_err(IdentityError::file(path))?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(IdentityError::file(path))?;
    if text.len() as u64 == FILE_BYTES_MAX {
        return Err(IdentityError::Config(format!(
            "{} has more than {FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    let mut users = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        let bad = |reason: &str| IdentityError::Line {
            path: path.to_owned(),
            line: index.saturating_add(1),
            reason: reason.to_owned(),
        };
        let (name, record) = read_line(line).map_err(bad)?;
        if users.insert(name, record).is_some() {
            return Err(bad("this user is there twice"));
        }
    }
    Ok(users)
}

fn read_line(line: &str) -> Result<(String, Record), &'static str> {
    let mut fields = line.trim_end().split(':');
    let (Some(name), Some(hash)) = (fields.next(), fields.next()) else {
        return Err("it is not NAME:RECORD");
    };
    let rights = fields.next();
    if fields.next().is_some() {
        return Err("it has more than NAME:RECORD:RIGHTS");
    }
    if let Some(reason) = bad_name(name) {
        return Err(reason);
    }
    let parsed = PasswordHash::new(hash).map_err(|_| "the record cannot be read")?;
    if parsed.algorithm != argon2::ARGON2ID_IDENT || parsed.hash.is_none() {
        return Err("the record is not one of Argon2id");
    }
    let cost = Params::try_from(&parsed).map_err(|_| "the record's parameters cannot be used")?;
    if cost.m_cost() > COST_MAX.0 || cost.t_cost() > COST_MAX.1 || cost.p_cost() > COST_MAX.2 {
        return Err("the record costs more than 1 GiB, 16 passes or 16 lanes");
    }
    let only = rights.map(|words| words.split(',').map(|word| word.trim().to_owned()).collect());
    Ok((name.to_owned(), Record { hash: hash.to_owned(), only }))
}

fn bad_name(name: &str) -> Option<&'static str> {
    let is_good = !name.is_empty()
        && name.len() <= 64
        && !name.starts_with('#')
        && !name.contains(|c: char| c.is_control() || c == ':' || c.is_whitespace());
    (!is_good).then_some("a user name has 1 to 64 bytes, without spaces, colons or a # in front")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read_text(text: &str) -> Result<BTreeMap<String, Record>, IdentityError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        fs::write(&path, text).unwrap();
        read(&path)
    }

    #[test]
    fn a_line_that_was_made_is_read_and_fits_its_password_alone() {
        let only = BTreeSet::from(["find".to_owned(), "get".to_owned()]);
        let line = hash("alice", "correct horse battery", Some(&only)).unwrap();
        let free = hash("bob", "another good password", None).unwrap();
        let users = read_text(&format!("# remark\n\n{line}\n{free}\n")).unwrap();
        assert!(users["alice"].fits(b"correct horse battery"));
        assert!(!users["alice"].fits(b"correct horse batterz") && !users["alice"].fits(b""));
        assert!(!users["bob"].fits(b"correct horse battery"));
        assert_eq!((users["alice"].only.clone(), users["bob"].only.clone()), (Some(only), None));
        assert!(!Record::nobody().fits(b""));
    }

    #[test]
    fn bad_lines_are_named_by_number_and_never_shown() {
        let good = hash("alice", "correct horse battery", None).unwrap();
        for (text, reason) in [
            ("alice".to_owned(), "NAME:RECORD"),
            ("alice:secret".to_owned(), "cannot be read"),
            (good.replace("argon2id", "argon2i"), "Argon2id"),
            (good.replace("m=19456", "m=4000000"), "costs more"),
            (good.replace("alice", "al ice"), "user name"),
            (format!("{good}:find:get"), "more than"),
            (format!("{good}\n{good}"), "twice"),
        ] {
            let error = read_text(&format!("# one\n{text}\n")).unwrap_err().to_string();
            assert!(error.contains("line ") && error.contains(reason), "{text}: {error}");
            assert!(!error.contains("$argon2") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn short_passwords_and_bad_names_get_no_record() {
        assert!(hash("alice", "short", None).is_err());
        assert!(hash("a:b", "correct horse battery", None).is_err());
    }
}
