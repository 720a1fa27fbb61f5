//! The folder of the log: names of files, the head, and small files that come into being whole.
//!
//! `audit-NUMBER.log` holds the records from that number on; the chain goes on from file to file. `head` says, signed, how
//! far the log was when it was signed last. `sent-NAME` says how far a repository is.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::error::AuditError;
use super::key::{SigningKey, hex, is_signed, unhex};
use super::record::{Hash, decimal};

const PREFIX: &str = "audit-";
const SUFFIX: &str = ".log";
const HEAD: &str = "head";

/// One file of the log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogFile {
    /// The number of its first record.
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

/// The file that begins with this record.
pub(super) fn path_of(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{first:020}{SUFFIX}"))
}

/// The files of the log, the oldest first.
pub(super) fn list(folder: &Path) -> Result<Vec<LogFile>, AuditError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(AuditError::disk("reading", folder))? {
        let path = entry.map_err(AuditError::disk("reading", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix(PREFIX).and_then(|name| name.strip_suffix(SUFFIX));
        if let Some(first) = number.filter(|number| number.len() == 20).and_then(|n| n.parse().ok()) {
            files.push(LogFile { first, path });
        }
    }
    files.sort();
    Ok(files)
}

/// How far the log was when it was signed last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) hash: Hash,
}

/// Keeps the head of the log: `number TAB hash TAB signature`.
pub(super) fn write_head(folder: &Path, head: Head, key: &SigningKey) -> Result<(), AuditError> {
    let Head { number, hash } = head;
    write_whole(&folder.join(HEAD), &format!("{number}\t{}\t{}\n", hex(&hash), key.sign(number, &hash)))
}

/// The head; an error in words where it is there and cannot be believed.
pub(super) fn read_head(folder: &Path, public: &[u8; 32]) -> Result<Option<Head>, &'static str> {
    let Ok(text) = fs::read_to_string(folder.join(HEAD)) else { return Ok(None) };
    let fields: Vec<&str> = text.trim_end_matches('\n').split('\t').collect();
    let [number, hash, signature] = fields[..] else { return Err("the file head is none") };
    let (Some(number), Some(hash)) = (decimal(number), unhex(hash)) else {
        return Err("the file head is none");
    };
    if !is_signed(public, number, &hash, signature) {
        return Err("the file head is not signed with the key of this log");
    }
    Ok(Some(Head { number, hash }))
}

fn sent_path(folder: &Path, repository: &str) -> PathBuf {
    folder.join(format!("sent-{repository}"))
}

/// The last record that a repository has; 0 where it has none. What cannot be read counts as none: better twice than not.
pub(super) fn read_sent(folder: &Path, repository: &str) -> u64 {
    let text = fs::read_to_string(sent_path(folder, repository)).unwrap_or_default();
    decimal(text.trim_end()).unwrap_or(0)
}

/// Keeps it.
pub(super) fn write_sent(folder: &Path, repository: &str, number: u64) -> Result<(), AuditError> {
    write_whole(&sent_path(folder, repository), &format!("{number}\n"))
}

/// Puts a small file in place of its earlier self; after a crash it is one of the two.
fn write_whole(path: &Path, text: &str) -> Result<(), AuditError> {
    let part = path.with_extension("new");
    let mut file = File::create(&part).map_err(AuditError::disk("making", &part))?;
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_data())
        .map_err(AuditError::disk("writing", &part))?;
    fs::rename(&part, path).map_err(AuditError::disk("renaming", &part))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), AuditError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(AuditError::disk("syncing", folder))
}

/// Whether there was no room, which may change, rather than a fault.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
