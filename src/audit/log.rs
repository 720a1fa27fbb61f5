//! The durable log: records appended to files of bounded size, in one chain that is signed at intervals.
//!
//! Bounds. A file is closed when it would pass `audit.file_bytes_max`: it is signed, synced, and the next one begins with a
//! record that carries on the chain. When all files pass `audit.bytes_max`, the oldest that every repository has go, and a
//! record says which; with none to go the log is full. What the disk does not take is held in memory up to
//! `audit.held_bytes_max`, and written when it can be. After a failed fsync nothing is written any more until a restart:
//! the kernel reports a failed write-back once.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{error, warn};

use super::clock::now_unix_millis;
use super::config::Config;
use super::error::AuditError;
use super::file::{Head, LogFile, list, path_of, read_head, sync_folder, write_head};
use super::key::{SigningKey, hex};
use super::record::{Hash, Record, RecordKind};
use super::recover::{Found, Tail, recover};

/// A log that is being written.
pub(super) struct Log {
    config: Config,
    key: SigningKey,
    /// Held for as long as we write.
    _lock: File,
    file: File,
    current: LogFile,
    /// Older files with their bytes.
    older: Vec<(LogFile, u64)>,
    /// Bytes of the current file that are written.
    written: u64,
    /// Records that are not written yet.
    pending: Vec<u8>,
    number: u64,
    hash: Hash,
    unix_millis: u64,
    /// The last record that is durable.
    durable: u64,
    unsigned: u64,
    signed_at: Instant,
    stopped: Option<String>,
    /// Beyond the bound of all, and no file can go.
    is_over: bool,
}

impl Log {
    /// Opens the log of a folder, or begins one; says in words what was found wrong with it.
    pub(super) fn open(config: &Config) -> Result<(Self, Vec<String>), AuditError> {
        let folder = &config.folder;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(AuditError::disk("making", folder))?;
        let lock = lock(folder)?;
        super::inbox::open(folder)?;
        let is_new = list(folder)?.is_empty();
        let key = SigningKey::open(folder, is_new)?;
        let found = recover(folder)?;
        let mut complaints = Vec::new();
        complain(folder, &key, &found, &mut complaints);
        let mut older = Vec::new();
        for file in list(folder)? {
            let bytes = fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
            older.push((file, bytes));
        }
        let Found { number, hash, unix_millis, file: going_on, tail } = found;
        let (current, file, written, begins) = if let Some((current, end)) = going_on {
            older.retain(|(file, _)| *file != current);
            let file = OpenOptions::new().write(true).open(&current.path);
            let file = file.map_err(AuditError::disk("opening", &current.path))?;
            file.set_len(end).map_err(AuditError::disk("cutting", &current.path))?;
            (current, file, end, false)
        } else {
            let (current, file) = create(folder, number + 1)?;
            (current, file, 0, true)
        };
        let mut log = Self {
            config: config.clone(),
            key,
            _lock: lock,
            file,
            current,
            older,
            written,
            pending: Vec::new(),
            number,
            hash,
            unix_millis,
            durable: number,
            unsigned: 1,
            signed_at: Instant::now(),
            stopped: None,
            is_over: false,
        };
        if begins {
            log.begin(if is_new { "first" } else { "damaged" });
        }
        if let Tail::Torn(bytes, hash) = tail {
            log.push(RecordKind::Torn, now_unix_millis(), format!("{bytes} {hash}"));
        }
        log.commit()?;
        if is_new {
            // From the first record on: a log without a head is one whose head somebody took.
            log.keep_head();
        }
        Ok((log, complaints))
    }

    /// Appends a message. It is not durable yet.
    pub(super) fn append(&mut self, unix_millis: u64, message: String) -> Result<(), AuditError> {
        if let Some(why) = &self.stopped {
            return Err(AuditError::Stopped(why.clone()));
        }
        if self.is_over {
            let max = self.config.bytes_max;
            return Err(AuditError::Full(format!(
                "it has more than {max} bytes, and repositories lack the oldest file"
            )));
        }
        let held = self.pending.len() as u64;
        if held + message.len() as u64 > self.config.held_bytes_max {
            return Err(AuditError::Full(format!("{held} bytes of records wait in memory")));
        }
        let after = self.written + held + message.len() as u64;
        // Beside the first record of a file and its signature something has to fit in.
        if after > self.config.file_bytes_max && self.number > self.current.first {
            // A disk that takes no new file takes no record either: it waits in memory, with all that follow.
            let rotated = self.rotate();
            if let (Err(error), true) = (rotated, self.stopped.is_some()) {
                return Err(error);
            }
        }
        self.push(RecordKind::Event, unix_millis, message);
        if self.unsigned >= self.config.sign_records {
            self.sign();
        }
        Ok(())
    }

    /// Writes what is pending, and makes it durable.
    pub(super) fn commit(&mut self) -> Result<(), AuditError> {
        if let Some(why) = &self.stopped {
            return Err(AuditError::Stopped(why.clone()));
        }
        let path = &self.current.path;
        if !self.pending.is_empty() {
            let wrote = self.file.write_all_at(&self.pending, self.written);
            if let Err(error) = wrote {
                // What of it is there would be a torn tail; the same bytes go there again.
                let _ = self.file.set_len(self.written);
                return Err(failed(path, error));
            }
        }
        if let Err(error) = self.file.sync_data() {
            self.stopped = Some(format!("syncing {}: {error}", path.display()));
            return Err(AuditError::disk("syncing", path)(error));
        }
        self.written += self.pending.len() as u64;
        self.pending.clear();
        self.pending.shrink_to(1024 * 1024);
        self.durable = self.number;
        Ok(())
    }

    /// Signs what is new, if it is time to; says whether something was appended.
    pub(super) fn sign_in_time(&mut self) -> bool {
        let is_time = self.signed_at.elapsed() >= Duration::from_secs(self.config.sign_seconds);
        if is_time && self.unsigned > 0 {
            self.sign();
            return true;
        }
        false
    }

    /// Signs and keeps the head. The last thing before the end, and before a new file.
    pub(super) fn seal(&mut self) -> Result<(), AuditError> {
        if self.unsigned > 0 {
            self.sign();
        }
        self.commit()?;
        self.keep_head();
        Ok(())
    }

    /// Keeps how far the log is. Without it the log is as good, and one of its ends less well guarded.
    pub(super) fn keep_head(&self) {
        let head = Head { number: self.number, hash: self.hash };
        if self.durable != self.number {
            return;
        }
        if let Err(error) = write_head(&self.config.folder, head, &self.key) {
            warn!(%error, "the head of the audit trail cannot be kept");
        }
    }

    /// The last record that is durable.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// For the normal log, where an auditor finds how far the trail was.
    pub(super) fn head_in_words(&self) -> (u64, String) {
        (self.number, hex(&self.hash))
    }

    /// Removes the oldest files beyond the bound of all, as far as every repository has them (up to record `sent`).
    /// Where none can go and the bound holds no more, nothing is taken until it does.
    pub(super) fn prune(&mut self, sent: u64) {
        self.is_over = !self.is_within(sent);
    }

    fn is_within(&mut self, sent: u64) -> bool {
        loop {
            let bytes: u64 = self.older.iter().map(|(_, bytes)| bytes).sum::<u64>()
                + self.written
                + self.pending.len() as u64;
            if bytes <= self.config.bytes_max {
                return true;
            }
            let Some((oldest, _)) = self.older.first() else { return true };
            let next = self.older.get(1).map_or(self.current.first, |(file, _)| file.first);
            let (first, last) = (oldest.first, next - 1);
            if last > sent {
                return bytes <= self.config.bytes_max.saturating_add(self.config.file_bytes_max);
            }
            let Some(hash) = last_hash(&oldest.path) else { return false };
            let path = oldest.path.clone();
            self.push(RecordKind::Removed, now_unix_millis(), format!("{first} {last} {}", hex(&hash)));
            // The record first: a file that is gone without one is a theft.
            if let Err(error) = self.seal().and_then(|()| remove(&path)) {
                error!(%error, alarm = true, "an old file of the audit trail cannot be removed");
                return false;
            }
            self.older.remove(0);
        }
    }

    fn rotate(&mut self) -> Result<(), AuditError> {
        self.seal()?;
        let (current, file) = create(&self.config.folder, self.number + 1)?;
        let before = std::mem::replace(&mut self.current, current);
        self.older.push((before, self.written));
        self.file = file;
        self.written = 0;
        self.begin("full");
        Ok(())
    }

    fn begin(&mut self, why: &str) {
        let body = format!("1 {} {why}", hex(&self.key.public()));
        self.push(RecordKind::Begin, now_unix_millis(), body);
    }

    fn sign(&mut self) {
        let signature = self.key.sign(self.number, &self.hash);
        self.push(RecordKind::Sign, now_unix_millis(), signature);
        self.unsigned = 0;
        self.signed_at = Instant::now();
    }

    fn push(&mut self, kind: RecordKind, unix_millis: u64, body: String) {
        // A clock that was set back must not make the log look reordered.
        self.unix_millis = self.unix_millis.max(unix_millis);
        let unix_millis = self.unix_millis;
        let record = Record { number: self.number + 1, unix_millis, kind, previous: self.hash, body };
        self.hash = record.encode(&mut self.pending);
        self.number += 1;
        self.unsigned += 1;
    }
}

/// What an auditor has to know of what a start has found.
fn complain(folder: &Path, key: &SigningKey, found: &Found, complaints: &mut Vec<String>) {
    if let Tail::Damaged(why) = &found.tail {
        complaints.push(format!("the audit trail was damaged: {why}"));
    }
    match read_head(folder, &key.public()) {
        Ok(Some(head)) if head.number > found.number => complaints.push(format!(
            "the audit trail ends with record {}, and was signed up to record {}: records were removed",
            found.number, head.number
        )),
        Ok(None) if found.number > 1 => complaints.push("the head of the audit trail is gone".to_owned()),
        Ok(_) => {}
        Err(why) => complaints.push(format!("the head of the audit trail is of no use: {why}")),
    }
}

fn lock(folder: &Path) -> Result<File, AuditError> {
    let path = folder.join("lock");
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = opened.map_err(AuditError::disk("opening", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(AuditError::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(AuditError::disk("locking", &path)(error)),
    }
}

/// A new, empty file, whose name is durable.
fn create(folder: &Path, first: u64) -> Result<(LogFile, File), AuditError> {
    let path = path_of(folder, first);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let file = opened.map_err(|error| failed(&path, error))?;
    sync_folder(folder)?;
    Ok((LogFile { first, path }, file))
}

fn failed(path: &Path, error: std::io::Error) -> AuditError {
    if super::file::is_full(&error) {
        return AuditError::Full(format!("{}: {error}", path.display()));
    }
    AuditError::disk("writing", path)(error)
}

fn remove(path: &Path) -> Result<(), AuditError> {
    fs::remove_file(path).map_err(AuditError::disk("removing", path))
}

/// The hash of the last record of a file.
fn last_hash(path: &Path) -> Option<Hash> {
    let mut lines = super::read::Lines::open(path, 0).ok()?;
    let mut last = None;
    while let Ok(Some(line)) = lines.next() {
        if let super::read::Line::Record(_, hash) = line {
            last = Some(hash);
        }
    }
    last
}
