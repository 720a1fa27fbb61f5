//! A place in the log from which a repository is served, record by record and file by file.

use std::io;
use std::path::{Path, PathBuf};

use super::file::list;
use super::read::{Line, Lines};
use super::record::RecordKind;
use super::syslog::syslog;

/// Bytes of messages that are read at once.
const BATCH_BYTES: usize = 256 * 1024;

/// A message to be sent.
#[derive(Debug)]
pub(super) struct Message {
    text: String,
    unix_millis: u64,
}

impl Message {
    pub(super) fn syslog(&self, host: &str) -> Vec<u8> {
        syslog(&self.text, self.unix_millis, host)
    }
}

/// See the top of the file.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    folder: PathBuf,
    /// The last record that was read.
    pub(super) last: u64,
    /// The file that it is in, and where the next one begins.
    place: Option<(u64, PathBuf, u64)>,
}

impl Cursor {
    /// Just behind this record.
    pub(super) fn behind(folder: &Path, last: u64) -> Self {
        Self { folder: folder.to_owned(), last, place: None }
    }

    /// The next messages, none of them behind record `durable`. Nothing when there are none.
    pub(super) fn batch(&mut self, durable: u64) -> io::Result<Vec<Message>> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        while self.last < durable && bytes < BATCH_BYTES {
            let Some((first, path, offset)) = self.place()? else { break };
            let mut lines = Lines::open(&path, offset)?;
            let mut came = false;
            while self.last < durable && bytes < BATCH_BYTES {
                let record = match lines.next()? {
                    Some(Line::Record(record, _)) => Some(record),
                    // What was damaged is told by who finds it at the start, and by `verify`.
                    Some(Line::Bad(_)) => None,
                    Some(Line::Cut) | None => break,
                };
                came = true;
                let Some(record) = record.filter(|record| record.number > self.last) else { continue };
                self.last = record.number;
                if record.kind == RecordKind::Event {
                    bytes += record.body.len();
                    messages.push(Message { text: record.body, unix_millis: record.unix_millis });
                }
            }
            self.place = Some((first, path, lines.offset));
            if !came && !self.next_file(first)? {
                break;
            }
        }
        Ok(messages)
    }

    /// Where to read on.
    fn place(&mut self) -> io::Result<Option<(u64, PathBuf, u64)>> {
        if self.place.is_none() {
            let files = list(&self.folder).map_err(io::Error::other)?;
            let holds = files.iter().rev().find(|file| file.first <= self.last + 1);
            let found = holds.or(files.first());
            self.place = found.map(|file| (file.first, file.path.clone(), 0));
        }
        Ok(self.place.clone())
    }

    /// Goes to the file behind this one, if there is one.
    fn next_file(&mut self, first: u64) -> io::Result<bool> {
        let files = list(&self.folder).map_err(io::Error::other)?;
        let next = files.into_iter().find(|file| file.first > first);
        let found = next.is_some();
        if let Some(file) = next {
            self.place = Some((file.first, file.path, 0));
        }
        Ok(found)
    }
}
