//! What an operator asks of the service while it has the spool open: a request as a file, and a reply as another.
//!
//! In the folder `requests` of the spool there are `ID.request` and `ID.reply`, both JSON, each written under another name,
//! fsynced and renamed, so that neither is ever seen in part. The service carries a request out, writes the reply, and
//! removes the request last: after a crash in between it is carried out once more, which changes nothing.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::spool::error::SpoolError;
use crate::spool::id::EntryId;

/// Largest request or reply that is read.
const BYTES_MAX: u64 = 4 << 20;
/// How often it is looked for a reply.
const LOOK: Duration = Duration::from_millis(50);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// To try deliveries again that were put off or set aside.
    Retry,
    /// To give deliveries up.
    Drop,
}

/// What an operator asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// What to do.
    pub wish: Wish,
    /// With which entries; with none, to retry, all of them.
    pub entries: Vec<EntryId>,
    /// With their delivery to this destination alone.
    pub destination: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// Who asks, as the command was told by its environment.
    pub by: String,
}

/// What the service says to it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// Deliveries that were changed.
    pub changed: usize,
    /// What could not be done, and why.
    pub problems: Vec<String>,
}

/// The folder of requests and replies.
#[derive(Debug, Clone)]
pub struct Mailbox(PathBuf);

impl Mailbox {
    /// That of the spool in this folder.
    #[must_use]
    pub fn of(spool: &Path) -> Self {
        Self(spool.join("requests"))
    }

    /// Makes the folder, and removes replies that nobody has fetched. For the service, at its start.
    pub fn open(&self) -> Result<(), SpoolError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(SpoolError::disk("making", &self.0))?;
        for (_, path) in self.files(".reply")? {
            remove(&path)?;
        }
        Ok(())
    }

    /// Requests that wait, each with its name; what is none is removed.
    pub fn requests(&self) -> Result<Vec<(EntryId, Request)>, SpoolError> {
        let mut found = Vec::new();
        for (id, path) in self.files(".request")? {
            match read(&path) {
                Ok(request) => found.push((id, request)),
                Err(problem) => {
                    tracing::error!(request = %id, error = %problem, "a request about the spool cannot be read");
                    remove(&path)?;
                }
            }
        }
        Ok(found)
    }

    /// Replies to a request that has been carried out.
    pub fn reply(&self, id: EntryId, reply: &Reply) -> Result<(), SpoolError> {
        self.write(id, ".reply", reply)?;
        remove(&self.path(id, ".request"))
    }

    /// Asks the service, and waits for its reply; nothing when none came in time, and the request is withdrawn.
    pub fn ask(&self, request: &Request, patience: Duration) -> Result<Option<Reply>, SpoolError> {
        let id = EntryId::random()?;
        let (asked, answered) = (self.path(id, ".request"), self.path(id, ".reply"));
        self.write(id, ".request", request)?;
        let end = Instant::now() + patience;
        loop {
            if answered.exists() {
                let reply = read(&answered).map_err(SpoolError::disk("reading", &answered))?;
                remove(&answered)?;
                return Ok(Some(reply));
            }
            if Instant::now() >= end {
                remove(&asked)?;
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }

    fn path(&self, id: EntryId, suffix: &str) -> PathBuf {
        self.0.join(format!("{id}{suffix}"))
    }

    fn files(&self, suffix: &str) -> Result<Vec<(EntryId, PathBuf)>, SpoolError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(SpoolError::disk("listing", &self.0))? {
            let entry = entry.map_err(SpoolError::disk("listing", &self.0))?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(suffix)?.parse().ok());
            found.extend(id.map(|id| (id, entry.path())));
        }
        found.sort();
        Ok(found)
    }

    /// Writes a file that is there whole or not at all, and belongs to whom the folder belongs to.
    fn write(&self, id: EntryId, suffix: &str, value: &impl Serialize) -> Result<(), SpoolError> {
        let (new, path) = (self.path(id, ".new"), self.path(id, suffix));
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec(value)?)?;
            let owner = fs::metadata(&self.0)?;
            // Where an administrator asks, the service has to be able to read it. Others own the folder anyway.
            let _ = chown(&new, Some(owner.uid()), Some(owner.gid()));
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().map_err(SpoolError::disk("writing", &path))
    }
}

fn remove(path: &Path) -> Result<(), SpoolError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SpoolError::disk("removing", path)(error))
        }
        _ => Ok(()),
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        Request {
            wish: Wish::Retry,
            entries: vec![EntryId::from_bytes([5; 16])],
            destination: Some("pacs".into()),
            reason: "because".into(),
            by: "somebody".into(),
        }
    }

    #[test]
    fn a_request_is_asked_once_and_its_reply_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::of(folder.path());
        mailbox.open().unwrap();
        let reply = Reply { changed: 3, problems: vec!["none".into()] };
        let heard = thread::scope(|scope| {
            let asking = scope.spawn(|| mailbox.ask(&request(), Duration::from_secs(20)).unwrap());
            let found = loop {
                if let Some(found) = mailbox.requests().unwrap().pop() {
                    break found;
                }
            };
            assert_eq!(found.1, request());
            mailbox.reply(found.0, &reply).unwrap();
            asking.join().unwrap()
        });
        assert_eq!(heard, Some(reply));
        assert_eq!(fs::read_dir(&mailbox.0).unwrap().count(), 0);
    }

    #[test]
    fn a_request_that_nobody_answers_is_withdrawn_and_what_is_none_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = Mailbox::of(folder.path());
        mailbox.open().unwrap();
        assert_eq!(mailbox.ask(&request(), Duration::ZERO).unwrap(), None);
        let id = EntryId::from_bytes([1; 16]);
        fs::write(mailbox.path(id, ".request"), "{").unwrap();
        fs::write(mailbox.path(id, ".reply"), "{}").unwrap();
        assert_eq!(mailbox.requests().unwrap(), []);
        mailbox.open().unwrap();
        assert_eq!(fs::read_dir(&mailbox.0).unwrap().count(), 0);
    }
}
