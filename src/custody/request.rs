//! What takes two persons: a request of the first waits on the disk until a second one approves it, or its time is over.
//!
//! The name of a request is a digest of what it asks for, so whoever approves a name approves exactly that.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use serde::{Deserialize, Serialize};

use super::config::{Config, Role};
use super::error::CustodyError;
use super::person::Person;
use crate::dicom::Uid;

/// A request that is larger was not written by us.
const BYTES_MAX: u64 = 4 << 20;
/// Requests that wait at once.
const WAITING_MAX: usize = 1000;

/// Something that nobody does alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "action", deny_unknown_fields)]
pub enum Action {
    /// Destroy keys for good.
    Shred {
        /// Of these studies.
        studies: Vec<Uid>,
        /// Of these keys, as hexadecimal.
        keys: Vec<String>,
        /// Why.
        reason: String,
    },
    /// End a legal hold.
    LiftHold {
        /// Its name.
        hold: String,
        /// Why.
        reason: String,
    },
    /// Open an emergency access.
    Grant {
        /// For this peer.
        peer: String,
        /// For so long.
        seconds: u64,
        /// Why.
        reason: String,
    },
}

impl Action {
    /// Who may ask for it, and who may approve it.
    #[must_use]
    pub const fn roles(&self) -> (&'static [Role], &'static [Role]) {
        match self {
            Self::Shred { .. } | Self::LiftHold { .. } => (&[Role::Custodian], &[Role::Custodian]),
            Self::Grant { .. } => (&[Role::Operator, Role::Custodian], &[Role::Operator, Role::Custodian]),
        }
    }

    /// One line for people.
    #[must_use]
    pub fn words(&self) -> String {
        let list = |items: &[String]| items.join(", ");
        match self {
            Self::Shred { studies, keys, reason } => {
                let studies: Vec<String> = studies.iter().map(ToString::to_string).collect();
                let what = [("study", list(&studies)), ("key", list(keys))];
                let what: Vec<String> = what
                    .into_iter()
                    .filter(|(_, names)| !names.is_empty())
                    .map(|(kind, names)| format!("{kind} {names}"))
                    .collect();
                format!("destroy the keys of {}: {reason}", what.join(" and "))
            }
            Self::LiftHold { hold, reason } => format!("lift the legal hold {hold}: {reason}"),
            Self::Grant { peer, seconds, reason } => {
                format!("emergency access for {peer}, {} minutes: {reason}", seconds.div_ceil(60))
            }
        }
    }
}

/// A request as it lies on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What is asked for.
    pub action: Action,
    /// Who asked, by name.
    pub by: String,
    /// The number of that user.
    pub uid: u32,
    /// When, in seconds since 1970.
    pub asked_unix_seconds: u64,
    /// Random, so that the same wish twice makes two requests.
    nonce: String,
}

impl Request {
    /// The digest by which it is called: 80 bits, so that nobody finds a second request for a name.
    #[must_use]
    pub fn id(&self) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        hex(digest(&SHA256, &[b"sealgate request v1".as_slice(), &text].concat()).as_ref(), 10)
    }

    /// When it can no longer be approved, in seconds since 1970.
    #[must_use]
    pub fn expires(&self, config: &Config) -> u64 {
        self.asked_unix_seconds.saturating_add(u64::from(config.approve_hours_max) * 3600)
    }
}

fn hex(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).fold(String::new(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = std::fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
        text
    })
}

/// The folder of requests.
#[derive(Debug, Clone)]
pub struct Requests {
    folder: PathBuf,
    config: Config,
}

impl Requests {
    /// Those in this folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: PathBuf, config: Config) -> Self {
        Self { folder, config }
    }

    /// Asks for something; it is durable when this returns its name.
    pub fn ask(&self, action: Action, person: &Person, now: u64) -> Result<Request, CustodyError> {
        person.require(action.roles().0, &self.config)?;
        if self.waiting(now)?.len() >= WAITING_MAX {
            return Err(CustodyError::Config(format!("{WAITING_MAX} requests wait already: withdraw some")));
        }
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).map_err(|_| CustodyError::NoEntropy)?;
        let request = Request {
            action,
            by: person.name.clone(),
            uid: person.uid,
            asked_unix_seconds: now,
            nonce: hex(&nonce, 16),
        };
        self.write(&self.path(&request.id()), &request)?;
        Ok(request)
    }

    /// Those that wait and can still be approved, the oldest first.
    pub fn waiting(&self, now: u64) -> Result<Vec<Request>, CustodyError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(CustodyError::Io { path: self.folder.clone(), source }),
        };
        let paths = entries.flatten().map(|entry| entry.path());
        let mut found = Vec::new();
        for path in paths.filter(|path| path.extension().is_some_and(|extension| extension == "request")) {
            let request = read(&path)?;
            if request.expires(&self.config) > now {
                found.push(request);
            }
        }
        found.sort_by_key(|request| request.asked_unix_seconds);
        Ok(found)
    }

    /// A request that this person may approve now. It stays until [`Self::close`].
    pub fn approve(&self, id: &str, person: &Person, now: u64) -> Result<Request, CustodyError> {
        let request = self.find(id)?;
        if request.uid == person.uid {
            return Err(CustodyError::SamePerson(request.by));
        }
        person.require(request.action.roles().1, &self.config)?;
        if request.expires(&self.config) <= now {
            return Err(CustodyError::Expired { id: id.to_owned(), hours: self.config.approve_hours_max });
        }
        Ok(request)
    }

    /// Takes a request back; whoever asked may, and every custodian.
    pub fn withdraw(&self, id: &str, person: &Person) -> Result<Request, CustodyError> {
        let request = self.find(id)?;
        if request.uid != person.uid {
            person.require(&[Role::Custodian], &self.config)?;
        }
        self.close(id)?;
        Ok(request)
    }

    /// What was asked for is done, or will not be: the request counts no more, and its file stays as a record.
    pub fn close(&self, id: &str) -> Result<(), CustodyError> {
        let (from, to) = (self.path(id), self.path(id).with_extension("closed"));
        fs::rename(&from, &to).map_err(|source| CustodyError::Io { path: from, source })?;
        self.sync()
    }

    fn find(&self, id: &str) -> Result<Request, CustodyError> {
        let unknown = || CustodyError::NoRequest(id.to_owned());
        if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        let path = self.path(id);
        if !path.exists() {
            return Err(unknown());
        }
        let request = read(&path)?;
        if request.id() == id { Ok(request) } else { Err(CustodyError::Altered { id: id.to_owned() }) }
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.request"))
    }

    fn write(&self, path: &Path, request: &Request) -> Result<(), CustodyError> {
        let failed = |source| CustodyError::Io { path: path.to_owned(), source };
        let around = self.folder.parent().unwrap_or(Path::new("."));
        let owner = fs::metadata(around).map_err(failed)?;
        let own = rustix::process::geteuid().as_raw();
        let mine = |path: &Path| {
            // Who is root asks for the service's user, whose folder it is.
            if own == 0 { chown(path, Some(owner.uid()), Some(owner.gid())) } else { Ok(()) }
        };
        if !self.folder.exists() {
            fs::create_dir(&self.folder).map_err(failed)?;
            fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
            mine(&self.folder).map_err(failed)?;
        }
        let mut text = serde_json::to_vec_pretty(request).map_err(io::Error::from).map_err(failed)?;
        text.push(b'\n');
        let mut temporary = tempfile::Builder::new()
            .prefix(".request-")
            .make_in(&self.folder, |path| {
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
            })
            .map_err(failed)?;
        temporary.write_all(&text).map_err(failed)?;
        mine(temporary.path()).map_err(failed)?;
        temporary.as_file().sync_all().map_err(failed)?;
        temporary.persist_noclobber(path).map_err(|error| failed(error.error))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), CustodyError> {
        let synced = fs::File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(|source| CustodyError::Io { path: self.folder.clone(), source })
    }
}

fn read(path: &Path) -> Result<Request, CustodyError> {
    let failed = |source| CustodyError::Io { path: path.to_owned(), source };
    let metadata = fs::metadata(path).map_err(failed)?;
    let format = |problem: String| CustodyError::Format { path: path.to_owned(), problem };
    if !metadata.is_file() || metadata.len() > BYTES_MAX {
        return Err(format(format!("it is no file of at most {BYTES_MAX} bytes")));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format(format!("others can write to it (mode {:04o})", metadata.mode() & 0o7777)));
    }
    let text = fs::read(path).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| format(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(uid: u32) -> Person {
        // Nobody has numbers as high as these.
        let mut person = Person::here(None);
        person.uid = uid;
        person.name = format!("#{uid}");
        person
    }

    fn requests() -> (tempfile::TempDir, Requests) {
        let folder = tempfile::tempdir().unwrap();
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let config = Config {
            operators: names(&["#70001"]),
            custodians: names(&["#70002", "#70003"]),
            ..Config::default()
        };
        let requests = Requests::new(folder.path().join("requests"), config);
        (folder, requests)
    }

    fn shred() -> Action {
        let studies = vec![Uid::parse("1.2.3").unwrap()];
        Action::Shred { studies, keys: Vec::new(), reason: "court order".to_owned() }
    }

    #[test]
    fn a_second_custodian_approves_and_nobody_else() {
        let (_folder, requests) = requests();
        let [operator, first, second] = [70001, 70002, 70003].map(person);
        assert!(matches!(requests.ask(shred(), &operator, 0), Err(CustodyError::NotInRole { .. })));
        let asked = requests.ask(shred(), &first, 0).unwrap();
        let id = asked.id();
        assert!(matches!(requests.approve(&id, &first, 1), Err(CustodyError::SamePerson(_))));
        assert!(matches!(requests.approve(&id, &operator, 1), Err(CustodyError::NotInRole { .. })));
        assert_eq!(requests.approve(&id, &second, 1).unwrap(), asked);
        requests.close(&id).unwrap();
        assert!(matches!(requests.approve(&id, &second, 1), Err(CustodyError::NoRequest(_))), "once");
        assert!(requests.waiting(1).unwrap().is_empty());
    }

    #[test]
    fn a_request_that_was_altered_or_is_too_old_is_not_approved() {
        let (_folder, requests) = requests();
        let [first, second] = [70002, 70003].map(person);
        let id = requests.ask(shred(), &first, 1000).unwrap().id();
        let end = 1000 + 72 * 3600;
        assert!(requests.approve(&id, &second, end - 1).is_ok());
        assert!(matches!(requests.approve(&id, &second, end), Err(CustodyError::Expired { .. })));
        let path = requests.path(&id);
        let text = fs::read_to_string(&path).unwrap().replace("1.2.3", "1.2.4");
        fs::write(&path, text).unwrap();
        assert!(matches!(requests.approve(&id, &second, 1001), Err(CustodyError::Altered { .. })));
        for name in ["../x", "", "zz"] {
            assert!(matches!(requests.approve(name, &second, 0), Err(CustodyError::NoRequest(_))), "{name}");
        }
    }

    #[test]
    fn a_request_can_be_withdrawn_by_who_asked() {
        let (_folder, requests) = requests();
        let [operator, first] = [70001, 70002].map(person);
        let id = requests.ask(shred(), &first, 0).unwrap().id();
        assert!(requests.withdraw(&id, &operator).is_err());
        assert!(requests.withdraw(&id, &first).is_ok());
        assert!(requests.waiting(0).unwrap().is_empty());
    }
}
