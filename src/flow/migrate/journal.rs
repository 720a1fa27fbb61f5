//! The journal: a line for each study that is done or failed, durable before the next one begins.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::dicom::Uid;
use crate::flow::steps::{Step, reached};

/// Bytes of a line; a longer one is not ours.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// What the journal says of a study.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Study Instance UID.
    pub study: Uid,
    /// Whether every instance was read back as it should be.
    pub done: bool,
    /// Instances that were sealed or opened.
    pub changed: u64,
    /// Instances that were as they should be.
    pub unchanged: u64,
    /// Instances without pixels.
    pub without_pixels: u64,
    /// Why it is not done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The first line: what the migration is, so that another one does not go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Title {
    migration: String,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The system.
    #[error("{}: {error}; check the disk, and that this user may write there", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is not a journal.
    #[error("{} is no journal of a migration, line {line}: name another file", .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where.
        line: usize,
    },
    /// It is that of another migration.
    #[error("{} belongs to another migration, {found}: name another file", .path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What it says that it is.
        found: String,
    },
    /// Somebody else works by it.
    #[error("{} is in use by another migration: wait for its end, or name another file", .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    entries: BTreeMap<Uid, Entry>,
}

impl Journal {
    /// Opens the journal of this migration, or begins it. A line that a crash has cut off is taken back.
    pub fn open(path: &Path, migration: &str) -> Result<Self, JournalError> {
        let about = |error| JournalError::Io { path: path.to_owned(), error };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(about)?;
        file.try_lock().map_err(|_| JournalError::InUse { path: path.to_owned() })?;
        let (entries, whole) = read(path, &mut file, migration)?;
        file.set_len(whole).map_err(about)?;
        file.seek(SeekFrom::Start(whole)).map_err(about)?;
        let mut journal = Self { file, path: path.to_owned(), entries };
        if whole == 0 {
            let title = serde_json::to_string(&Title { migration: migration.to_owned() });
            journal.line(&title.expect("a text can be written"))?;
        }
        Ok(journal)
    }

    /// Whether a study needs nothing more.
    #[must_use]
    pub fn is_done(&self, study: &Uid) -> bool {
        self.entries.get(study).is_some_and(|entry| entry.done)
    }

    /// What it says, study by study.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Writes a line; it is durable when this returns.
    pub fn write(&mut self, entry: Entry) -> Result<(), JournalError> {
        reached(Step::MigratedReadBack);
        self.line(&serde_json::to_string(&entry).expect("numbers and texts can be written"))?;
        reached(Step::MigratedWritten);
        self.entries.insert(entry.study.clone(), entry);
        Ok(())
    }

    fn line(&mut self, text: &str) -> Result<(), JournalError> {
        let written = self.file.write_all(format!("{text}\n").as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|error| JournalError::Io { path: self.path.clone(), error })
    }
}

/// The entries, the last of a study counts; and how many bytes are whole lines.
fn read(path: &Path, file: &mut File, migration: &str) -> Result<(BTreeMap<Uid, Entry>, u64), JournalError> {
    let (mut entries, mut whole) = (BTreeMap::new(), 0);
    let mut reader = BufReader::new(file);
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let length = reader
            .read_until(b'\n', &mut text)
            .map_err(|error| JournalError::Io { path: path.to_owned(), error })?;
        if length == 0 || !text.ends_with(b"\n") {
            break;
        }
        let wrong = || JournalError::Format { path: path.to_owned(), line };
        if length > LINE_BYTES_MAX {
            return Err(wrong());
        }
        if line == 1 {
            let title: Title = serde_json::from_slice(&text).map_err(|_| wrong())?;
            if title.migration != migration {
                return Err(JournalError::Other { path: path.to_owned(), found: title.migration });
            }
        } else {
            let entry: Entry = serde_json::from_slice(&text).map_err(|_| wrong())?;
            entries.insert(entry.study.clone(), entry);
        }
        whole += length as u64;
    }
    Ok((entries, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(study: &str, done: bool) -> Entry {
        let study = Uid::parse(study).unwrap();
        Entry { study, done, changed: 3, unchanged: 1, without_pixels: 0, error: None }
    }

    #[test]
    fn a_second_run_goes_on_where_the_first_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::open(&path, "seal PACS").unwrap();
        journal.write(entry("1.2", true)).unwrap();
        journal.write(entry("1.3", false)).unwrap();
        assert!(matches!(Journal::open(&path, "seal PACS"), Err(JournalError::InUse { .. })));
        drop(journal);
        // A crash in the middle of a line.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"study\":\"1.4\",\"done\":tr").unwrap();
        drop(file);
        let mut journal = Journal::open(&path, "seal PACS").unwrap();
        let is_done = |journal: &Journal, study: &str| journal.is_done(&Uid::parse(study).unwrap());
        assert!(is_done(&journal, "1.2") && !is_done(&journal, "1.3") && !is_done(&journal, "1.4"));
        journal.write(entry("1.3", true)).unwrap();
        drop(journal);
        let journal = Journal::open(&path, "seal PACS").unwrap();
        assert!(is_done(&journal, "1.3") && journal.entries().count() == 2);
    }

    #[test]
    fn a_file_of_something_else_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, "shopping list\n").unwrap();
        assert!(matches!(Journal::open(&path, "seal PACS"), Err(JournalError::Format { line: 1, .. })));
        assert_eq!(std::fs::read(&path).unwrap(), b"shopping list\n");
        std::fs::remove_file(&path).unwrap();
        drop(Journal::open(&path, "seal PACS").unwrap());
        assert!(matches!(Journal::open(&path, "open PACS"), Err(JournalError::Other { .. })));
    }
}
