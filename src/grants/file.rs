//! The file itself: checked and read when it has changed, written as a whole under a lock.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::error;

use super::config::Config;
use super::error::GrantsError;
use crate::policy::{Grant, Grants};

/// A file that is larger was not written by us.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Accesses that are remembered; the oldest that are over go first.
const KEPT_MAX: usize = 1000;
/// Characters of a reason.
const REASON_MAX: usize = 200;

/// The file of emergency accesses.
#[derive(Debug, Default)]
pub struct GrantFile {
    config: Config,
    read: Mutex<LastRead>,
}

/// What was read last.
#[derive(Debug, Default)]
struct LastRead {
    /// Of the file and of its folder.
    stamps: [Option<Stamp>; 2],
    grants: Arc<Grants>,
}

/// By what a file or folder that changed is recognised: every writing gives a file another inode, and who may write is
/// part of it, because the clock of a file system may stand still between two changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
    mode: u32,
    owner: u32,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            mode: metadata.mode(),
            owner: metadata.uid(),
        })
    }
}

impl GrantFile {
    /// The file that this names; it need not be there.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config, read: Mutex::default() }
    }

    /// What stands in it now. A file that cannot be believed or read opens nothing, and is told once.
    #[must_use]
    pub fn now(&self) -> Arc<Grants> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = [self.config.file.as_path(), &folder_of(&self.config.file)].map(Stamp::of);
        if stamps != read.stamps {
            read.grants = match self.load() {
                Ok(grants) => Arc::new(grants),
                Err(problem) => {
                    error!(error = %problem, alarm = true, "no emergency access counts");
                    Arc::default()
                }
            };
            read.stamps = stamps;
        }
        Arc::clone(&read.grants)
    }

    /// Reads the file; nothing where there is none.
    pub fn load(&self) -> Result<Grants, GrantsError> {
        let path = &self.config.file;
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Grants::default()),
            Err(error) => return Err(about(path, error)),
        };
        let metadata = file.metadata().map_err(|error| about(path, error))?;
        let folder = folder_of(path);
        let around = fs::metadata(&folder).map_err(|error| about(&folder, error))?;
        trusted(&folder, &around, None)?;
        trusted(path, &metadata, Some(around.uid()))?;
        if !metadata.is_file() || metadata.len() > BYTES_MAX {
            return Err(self.format(format!("it is no file of at most {BYTES_MAX} bytes")));
        }
        let mut text = String::new();
        Read::by_ref(&mut file)
            .take(BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| about(path, error))?;
        let grants = serde_json::from_str(&text).map_err(|error| self.format(error.to_string()))?;
        Ok(Grants::new(grants))
    }

    /// Opens an access for `seconds` from `now` on, both in seconds; it is durable when this returns.
    pub fn open(
        &self,
        peer: &str,
        seconds: u64,
        reason: &str,
        by: &str,
        now: u64,
    ) -> Result<Grant, GrantsError> {
        let max = self.config.hours_max;
        if !(60..=u64::from(max) * 3600).contains(&seconds) {
            return Err(GrantsError::Duration { asked: format!("{seconds} seconds"), max });
        }
        let reason = reason.trim();
        let length = reason.chars().count();
        if length == 0 || length > REASON_MAX || reason.chars().any(char::is_control) {
            return Err(GrantsError::Reason);
        }
        self.change(|grants| {
            let number = grants.iter().filter_map(|grant| grant.id.parse::<u64>().ok()).max().unwrap_or(0);
            let grant = Grant {
                id: (number + 1).to_string(),
                peer: peer.to_owned(),
                reason: reason.to_owned(),
                by: by.to_owned(),
                from: now,
                until: now.saturating_add(seconds),
                ended: None,
            };
            grants.push(grant.clone());
            Ok(grant)
        })
    }

    /// Ends an access by its id, or all of a peer by its name.
    pub fn end(&self, name: &str, now: u64) -> Result<Vec<Grant>, GrantsError> {
        self.change(|grants| {
            let meant = |grant: &&mut Grant| grant.is_open(now) && (grant.id == name || grant.peer == name);
            let ended: Vec<Grant> = grants
                .iter_mut()
                .filter(meant)
                .map(|grant| {
                    grant.ended = Some(now);
                    grant.clone()
                })
                .collect();
            if ended.is_empty() { Err(GrantsError::NotOpen(name.to_owned())) } else { Ok(ended) }
        })
    }

    /// Changes the file as a whole, one writer at a time.
    fn change<T>(
        &self,
        edit: impl FnOnce(&mut Vec<Grant>) -> Result<T, GrantsError>,
    ) -> Result<T, GrantsError> {
        let path = &self.config.file;
        let folder = folder_of(path);
        let around = fs::metadata(&folder).map_err(|error| about(&folder, error))?;
        trusted(&folder, &around, None)?;
        let lock = File::open(&folder).map_err(|error| about(&folder, error))?;
        lock.lock().map_err(|error| about(&folder, error))?;
        let mut grants = self.load()?.all().to_vec();
        let made = edit(&mut grants)?;
        let surplus = grants.len().saturating_sub(KEPT_MAX);
        grants.drain(..surplus);
        let mut text = serde_json::to_vec_pretty(&grants).map_err(|error| about(path, error.into()))?;
        text.push(b'\n');
        // An operator who is root writes it; the service, whose folder it is, has to read it.
        let owner = (own_user() == 0).then_some(&around);
        replace(path, &text, owner).map_err(|error| about(path, error))?;
        Ok(made)
    }

    fn format(&self, why: String) -> GrantsError {
        GrantsError::Format { path: self.config.file.clone(), why }
    }
}

/// Puts these bytes in the place of a file as a whole, for its owner alone; durable when this returns.
pub(super) fn replace(path: &Path, bytes: &[u8], owner: Option<&Metadata>) -> io::Result<()> {
    let folder = folder_of(path);
    let mut temporary = tempfile::Builder::new().prefix(".grants-").tempfile_in(&folder)?;
    temporary.write_all(bytes)?;
    if let Some(owner) = owner {
        chown(temporary.path(), Some(owner.uid()), Some(owner.gid()))?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn about(path: &Path, error: io::Error) -> GrantsError {
    GrantsError::Io { path: path.to_owned(), error }
}

/// The user that this process is. Not the owner of `/proc/self`: that is root for a process that cannot be dumped.
fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether nobody but root, the user of this process, or the owner of the folder could have written it. Whoever is root
/// takes the folder as it was made for the service.
fn trusted(path: &Path, metadata: &Metadata, folder_owner: Option<u32>) -> Result<(), GrantsError> {
    let (owner, own) = (metadata.uid(), own_user());
    let refused = |why: String| Err(GrantsError::Untrusted { path: path.to_owned(), why });
    let is_known = owner == 0 || owner == own || folder_owner.map_or(own == 0, |folder| owner == folder);
    if !is_known {
        return refused(format!("it belongs to user {owner}"));
    }
    if metadata.mode() & 0o022 != 0 {
        return refused(format!("its mode is {:04o}", metadata.mode() & 0o7777));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file() -> (tempfile::TempDir, GrantFile) {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { file: folder.path().join("grants.json"), hours_max: 2 };
        (folder, GrantFile::new(config))
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_opened_is_seen_by_who_has_read_before_and_ends() {
        let (folder, operator) = file();
        let service = GrantFile::new(operator.config.clone());
        assert!(service.now().all().is_empty());
        let grant = operator.open("er", 600, " trauma ", "root", 1000).unwrap();
        assert_eq!((grant.id.as_str(), grant.reason.as_str(), grant.until), ("1", "trauma", 1600));
        assert_eq!(service.now().of("er", 1001), Some(&grant));
        assert_eq!(service.now().of("er", 1600), None, "by itself");
        assert_eq!(operator.open("er", 60, "again", "root", 1000).unwrap().id, "2");
        assert_eq!(operator.end("er", 1010).unwrap().len(), 2);
        assert_eq!(service.now().of("er", 1010), None);
        assert!(matches!(operator.end("er", 1011), Err(GrantsError::NotOpen(_))));
        assert_eq!(service.now().all().len(), 2, "what is over is remembered");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn an_access_has_a_reason_and_an_end() {
        let (_folder, operator) = file();
        for (seconds, reason) in [(59, "trauma"), (7201, "trauma"), (600, "  "), (600, "a\nb")] {
            assert!(operator.open("er", seconds, reason, "root", 0).is_err(), "{seconds} {reason:?}");
        }
        assert!(operator.open("er", 7200, &"x".repeat(201), "root", 0).is_err());
        assert!(operator.load().unwrap().all().is_empty());
    }

    #[test]
    fn a_file_that_others_could_write_opens_nothing() {
        let (folder, operator) = file();
        operator.open("er", 600, "trauma", "root", 1000).unwrap();
        let path = &operator.config.file;
        for (path, good, bad) in
            [(path.as_path(), 0o600, 0o660), (path, 0o600, 0o602), (folder.path(), 0o700, 0o777)]
        {
            set_mode(path, bad);
            assert!(matches!(operator.load(), Err(GrantsError::Untrusted { .. })), "{bad:o}");
            assert!(operator.now().all().is_empty());
            set_mode(path, good);
        }
        assert_eq!(operator.now().all().len(), 1);
        fs::write(path, "[{}]").unwrap();
        assert!(matches!(operator.load(), Err(GrantsError::Format { .. })));
        assert!(operator.now().all().is_empty());
    }

    #[test]
    fn two_operators_at_once_lose_nothing() {
        let (_folder, operator) = file();
        let open_five = |own: GrantFile| {
            for _ in 0..5 {
                own.open("er", 600, "trauma", "root", 1000).unwrap();
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let own = GrantFile::new(operator.config.clone());
                scope.spawn(move || open_five(own));
            }
        });
        let ids: std::collections::BTreeSet<String> =
            operator.load().unwrap().all().iter().map(|grant| grant.id.clone()).collect();
        assert_eq!(ids.len(), 20);
    }
}
