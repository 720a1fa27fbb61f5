//! Papers: small documents that survive a crash, each a file of its own that is written anew as a whole.
//!
//! In the folder `papers` of a spool there are
//!
//! ```text
//! ID.paper     magic `SGPAPER` and a version (1), CRC-32 of the content (4, big-endian), then the content
//! ID.new       being written; removed at the next start
//! ID.damaged   did not verify; never deleted
//! ```
//!
//! A paper is written as `ID.new`, fsynced and renamed, and the folder is fsynced: whoever was told that it is kept finds
//! the old or the new one after a crash, never a part.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::spool::disk::{Disk, RealDisk};
use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;
use crate::spool::rounds::locked;

const MAGIC: [u8; 8] = *b"SGPAPER\x01";
const HEAD_BYTES: usize = 12;
/// The largest content.
const BYTES_MAX: u64 = 64 << 20;

/// What a start found.
#[derive(Debug, Default)]
pub struct PapersFound {
    /// Every paper that verifies.
    pub papers: Vec<(EntryId, Vec<u8>)>,
    /// Those that do not, which are set aside.
    pub damaged: Vec<EntryId>,
}

/// The papers of a spool.
pub struct Papers {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    failed: OnceLock<String>,
    /// One is written at a time.
    writing: Mutex<()>,
}

impl Papers {
    /// Opens those in the folder of a spool, which the caller has open: its lock holds for them too.
    pub fn open(spool_folder: &Path) -> Result<(Self, PapersFound), SpoolError> {
        Self::open_on(Arc::new(RealDisk), spool_folder)
    }

    /// The same on another file system.
    pub fn open_on(disk: Arc<dyn Disk>, spool_folder: &Path) -> Result<(Self, PapersFound), SpoolError> {
        let folder = spool_folder.join("papers");
        disk.make_folder(&folder).map_err(SpoolError::disk("making", &folder))?;
        disk.sync_folder(spool_folder).map_err(SpoolError::disk("syncing", spool_folder))?;
        let papers = Self { disk, folder, failed: OnceLock::new(), writing: Mutex::new(()) };
        let mut found = PapersFound::default();
        let names = papers.disk.list(&papers.folder).map_err(SpoolError::disk("listing", &papers.folder))?;
        for name in names {
            let id = |suffix| name.to_str()?.strip_suffix(suffix)?.parse::<EntryId>().ok();
            if let Some(id) = id(".new") {
                let path = papers.path(id, "new");
                papers.disk.remove(&path).map_err(SpoolError::disk("removing", &path))?;
            } else if let Some(id) = id(".paper") {
                match papers.read(id)? {
                    Some(content) => found.papers.push((id, content)),
                    None => found.damaged.push(id),
                }
            }
        }
        for id in &found.damaged {
            let (from, to) = (papers.path(*id, "paper"), papers.path(*id, "damaged"));
            papers.disk.rename(&from, &to).map_err(SpoolError::disk("moving aside", &from))?;
        }
        papers.sync_folder()?;
        Ok((papers, found))
    }

    /// Reads those in the folder of a spool that another process may have open, and changes nothing.
    pub fn look(spool_folder: &Path) -> Result<PapersFound, SpoolError> {
        let folder = spool_folder.join("papers");
        let (failed, writing) = (OnceLock::new(), Mutex::new(()));
        let papers = Self { disk: Arc::new(RealDisk), folder, failed, writing };
        let names = match papers.disk.list(&papers.folder) {
            // Nobody has kept any yet.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(PapersFound::default()),
            other => other.map_err(SpoolError::disk("listing", &papers.folder))?,
        };
        let mut found = PapersFound::default();
        for name in names {
            let id = |suffix| name.to_str()?.strip_suffix(suffix)?.parse::<EntryId>().ok();
            if let Some(id) = id(".damaged") {
                found.damaged.push(id);
            } else if let Some(id) = id(".paper") {
                match papers.read(id) {
                    Ok(Some(content)) => found.papers.push((id, content)),
                    Ok(None) => found.damaged.push(id),
                    // It has been taken away just now.
                    Err(SpoolError::Disk { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(found)
    }

    /// A name for a new paper.
    pub fn name() -> Result<EntryId, SpoolError> {
        EntryId::random()
    }

    /// Keeps a paper, new or in place of what had its name. When this returns it is on the disk.
    pub fn keep(&self, id: EntryId, content: &[u8]) -> Result<(), SpoolError> {
        let bytes = content.len() as u64;
        if bytes > BYTES_MAX {
            return Err(SpoolError::TooLong { what: "a paper", bytes, limit: BYTES_MAX });
        }
        let _one = locked(&self.writing);
        self.check_running()?;
        let (new, path) = (self.path(id, "new"), self.path(id, "paper"));
        let written = self
            .write(&new, content)
            .and_then(|()| self.disk.rename(&new, &path).map_err(SpoolError::disk("renaming", &new)));
        if let Err(error) = written {
            // Or the next one of this name could not be made.
            let _gone = self.disk.remove(&new);
            return Err(error);
        }
        self.sync_folder()
    }

    fn write(&self, path: &Path, content: &[u8]) -> Result<(), SpoolError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&crc32fast::hash(content).to_be_bytes());
        bytes.extend_from_slice(content);
        let file = self.disk.create(path).map_err(SpoolError::disk("making", path))?;
        file.write_all_at(&bytes, 0).map_err(SpoolError::disk("writing", path))?;
        file.sync().map_err(|error| self.fail(SpoolError::disk("syncing", path)(error)))
    }

    /// Takes a paper away; one that a crash brings back is as good as one that was never taken away.
    pub fn discard(&self, id: EntryId) -> Result<(), SpoolError> {
        let _one = locked(&self.writing);
        self.check_running()?;
        let path = self.path(id, "paper");
        match self.disk.remove(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(SpoolError::disk("removing", &path)(error))
            }
            _ => self.sync_folder(),
        }
    }

    /// The content; none where it does not verify.
    fn read(&self, id: EntryId) -> Result<Option<Vec<u8>>, SpoolError> {
        let path = self.path(id, "paper");
        let file = self.disk.open(&path).map_err(SpoolError::disk("opening", &path))?;
        let size = file.size().map_err(SpoolError::disk("measuring", &path))?;
        if size > BYTES_MAX + HEAD_BYTES as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, filled as u64).map_err(SpoolError::disk("reading", &path))? {
                0 => return Ok(None),
                read => filled += read,
            }
        }
        let Some((head, content)) = bytes.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let expected = [&MAGIC[..], &crc32fast::hash(content).to_be_bytes()].concat();
        Ok((head[..] == expected[..]).then(|| content.to_vec()))
    }

    fn path(&self, id: EntryId, kind: &str) -> PathBuf {
        self.folder.join(format!("{id}.{kind}"))
    }

    fn sync_folder(&self) -> Result<(), SpoolError> {
        let synced = self.disk.sync_folder(&self.folder);
        synced.map_err(|error| self.fail(SpoolError::disk("syncing", &self.folder)(error)))
    }

    fn check_running(&self) -> Result<(), SpoolError> {
        self.failed.get().map_or(Ok(()), |reason| Err(SpoolError::Failed(reason.clone())))
    }

    /// After a failed fsync nobody knows what the disk holds: nothing more is taken until the next start.
    fn fail(&self, error: SpoolError) -> SpoolError {
        let _first = self.failed.set(error.to_string());
        tracing::error!(%error, "no paper is taken any more after an I/O error");
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paper_is_found_again_as_it_was_kept_last() {
        let folder = tempfile::tempdir().unwrap();
        let (papers, found) = Papers::open(folder.path()).unwrap();
        assert!(found.papers.is_empty());
        let (one, other) = (Papers::name().unwrap(), Papers::name().unwrap());
        papers.keep(one, b"first").unwrap();
        papers.keep(one, b"second").unwrap();
        papers.keep(other, b"").unwrap();
        papers.discard(other).unwrap();
        papers.discard(other).unwrap();
        drop(papers);
        assert_eq!(Papers::look(folder.path()).unwrap().papers, [(one, b"second".to_vec())]);
        std::fs::write(folder.path().join(format!("papers/{other}.new")), b"cut o").unwrap();
        let (_, found) = Papers::open(folder.path()).unwrap();
        assert_eq!(found.papers, [(one, b"second".to_vec())]);
        assert_eq!(std::fs::read_dir(folder.path().join("papers")).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_paper_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let (papers, _) = Papers::open(folder.path()).unwrap();
        let id = Papers::name().unwrap();
        papers.keep(id, b"content").unwrap();
        let path = folder.path().join(format!("papers/{id}.paper"));
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[14] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (_, found) = Papers::open(folder.path()).unwrap();
        assert_eq!((found.papers.len(), found.damaged), (0, vec![id]));
        assert!(path.with_extension("damaged").exists());
        assert_eq!(Papers::look(folder.path()).unwrap().damaged, [id], "it stays visible");
    }
}
