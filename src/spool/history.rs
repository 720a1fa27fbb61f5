//! What has gone from a spool: for each entry a line, kept for some days, found by the entry's key.
//!
//! In the folder `history` of a spool there is a file for each day on which something was written, `DAY.log` (days since
//! 1970). The clock may be wrong: a file goes when as many later ones are there as days are kept, whatever their numbers
//! say, so that one jump ahead costs one file's worth of time and no more. Where the clock was set back, files go on being
//! numbered behind the last one: what was said last is in the newest. A line is the CRC-32 of
//! its rest (8 hexadecimal digits), a space, the key, a space, and what is remembered. A line that does not verify was cut
//! off by a crash and costs itself alone. Nothing is held in memory: who asks has the files read, the newest first.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::spool::disk::{Disk, DiskFile, RealDisk};
use crate::spool::error::SpoolError;
use crate::spool::rounds::locked;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;
/// The longest line that is read.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// Read at once.
const PIECE_BYTES: usize = 256 * 1024;

/// What is remembered of entries that have gone.
pub struct History {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    days: u64,
    failed: OnceLock<String>,
    today: Mutex<Option<Today>>,
}

struct Today {
    /// By the clock.
    day: u64,
    /// Of its file.
    number: u64,
    file: Box<dyn DiskFile>,
    end: u64,
}

impl History {
    /// Opens that of a spool, which the caller has open; lines are kept for so many days.
    pub fn open(spool_folder: &Path, days: u64) -> Result<Self, SpoolError> {
        Self::open_on(Arc::new(RealDisk), spool_folder, days)
    }

    /// The same on another file system.
    pub fn open_on(disk: Arc<dyn Disk>, spool_folder: &Path, days: u64) -> Result<Self, SpoolError> {
        let folder = spool_folder.join("history");
        disk.make_folder(&folder).map_err(SpoolError::disk("making", &folder))?;
        disk.sync_folder(spool_folder).map_err(SpoolError::disk("syncing", spool_folder))?;
        Ok(Self { disk, folder, days, failed: OnceLock::new(), today: Mutex::new(None) })
    }

    /// Remembers what is said of these keys. When this returns it is on the disk. Neither may have a line's end in it, and
    /// a key no space.
    pub fn add<'a>(
        &self,
        lines: impl IntoIterator<Item = (&'a str, &'a str)>,
        now_unix_millis: u64,
    ) -> Result<(), SpoolError> {
        let mut bytes = Vec::new();
        for (key, text) in lines {
            let rest = format!("{key} {text}");
            let is_line = !rest.contains('\n') && !key.contains(' ') && rest.len() < LINE_BYTES_MAX - 16;
            if !is_line {
                let limit = LINE_BYTES_MAX as u64 - 16;
                return Err(SpoolError::TooLong { what: "a line", bytes: rest.len() as u64, limit });
            }
            bytes.extend_from_slice(format!("{:08x} {rest}\n", crc32fast::hash(rest.as_bytes())).as_bytes());
        }
        if let Some(reason) = self.failed.get() {
            return Err(SpoolError::Failed(reason.clone()));
        }
        let mut today = locked(&self.today);
        let day = now_unix_millis / DAY_MILLIS;
        if today.as_ref().is_none_or(|today| today.day != day) {
            let last = match &*today {
                Some(before) => before.number.saturating_add(1),
                None => self.days()?.last().copied().unwrap_or_default(),
            };
            *today = Some(self.open_day(day, day.max(last))?);
            self.forget()?;
        }
        let Some(open) = today.as_mut() else { return Ok(()) };
        let path = self.path(open.number);
        open.file.write_all_at(&bytes, open.end).map_err(SpoolError::disk("writing", &path))?;
        open.end += bytes.len() as u64;
        open.file.sync().map_err(|error| self.fail(SpoolError::disk("syncing", &path)(error)))
    }

    /// The file of a day, behind whatever is in it; a line that was cut off is ended.
    fn open_day(&self, day: u64, number: u64) -> Result<Today, SpoolError> {
        let path = self.path(number);
        let file = match self.disk.open_to_write(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let file = self.disk.create(&path).map_err(SpoolError::disk("making", &path))?;
                let synced = self.disk.sync_folder(&self.folder);
                synced.map_err(|error| self.fail(SpoolError::disk("syncing", &self.folder)(error)))?;
                file
            }
            other => other.map_err(SpoolError::disk("opening", &path))?,
        };
        let mut end = file.size().map_err(SpoolError::disk("measuring", &path))?;
        if end > 0 {
            file.write_all_at(b"\n", end).map_err(SpoolError::disk("writing", &path))?;
            end += 1;
        }
        Ok(Today { day, number, file, end })
    }

    /// Takes files away that have so many later ones as days are kept, beside that of today.
    fn forget(&self) -> Result<(), SpoolError> {
        let kept = usize::try_from(self.days).unwrap_or(usize::MAX).saturating_add(1);
        for day in self.days()?.into_iter().rev().skip(kept) {
            let path = self.path(day);
            self.disk.remove(&path).map_err(SpoolError::disk("removing", &path))?;
        }
        Ok(())
    }

    fn days(&self) -> Result<BTreeSet<u64>, SpoolError> {
        let names = self.disk.list(&self.folder).map_err(SpoolError::disk("listing", &self.folder))?;
        Ok(names.iter().filter_map(|name| name.to_str()?.strip_suffix(".log")?.parse().ok()).collect())
    }

    /// What was said last of each of these keys, where something was.
    pub fn find(&self, keys: &HashSet<&str>) -> Result<HashMap<String, String>, SpoolError> {
        let mut found: HashMap<String, String> = HashMap::new();
        for day in self.days()?.into_iter().rev() {
            if found.len() >= keys.len() {
                break;
            }
            let mut of_day: HashMap<String, String> = HashMap::new();
            self.read(day, &mut |key, text| {
                if keys.contains(key) && !found.contains_key(key) {
                    of_day.insert(key.to_owned(), text.to_owned());
                }
            })?;
            found.extend(of_day);
        }
        Ok(found)
    }

    /// Tells every line of a day that verifies.
    fn read(&self, day: u64, on: &mut impl FnMut(&str, &str)) -> Result<(), SpoolError> {
        let path = self.path(day);
        let file = self.disk.open(&path).map_err(SpoolError::disk("opening", &path))?;
        let (mut at, mut held) = (0_u64, Vec::new());
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = file.read_at(&mut piece, at).map_err(SpoolError::disk("reading", &path))?;
            at += read as u64;
            held.extend_from_slice(piece.get(..read).unwrap_or_default());
            let whole = held.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in held.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n') {
                if let Some((key, text)) = verified(line) {
                    on(key, text);
                }
            }
            held.drain(..whole);
            if read == 0 {
                return Ok(());
            }
            if held.len() > LINE_BYTES_MAX {
                held.clear();
            }
        }
    }

    fn path(&self, day: u64) -> PathBuf {
        self.folder.join(format!("{day}.log"))
    }

    fn fail(&self, error: SpoolError) -> SpoolError {
        let _first = self.failed.set(error.to_string());
        tracing::error!(%error, "nothing more is remembered after an I/O error");
        error
    }
}

/// Key and text of a line that verifies.
fn verified(line: &[u8]) -> Option<(&str, &str)> {
    let (sum, rest) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    if sum.len() != 8 || u32::from_str_radix(sum, 16).ok()? != crc32fast::hash(rest.as_bytes()) {
        return None;
    }
    rest.split_once(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(history: &History, keys: &[&str]) -> Vec<Option<String>> {
        let found = history.find(&keys.iter().copied().collect()).unwrap();
        keys.iter().map(|key| found.get(*key).cloned()).collect()
    }

    #[test]
    fn what_was_said_last_is_found_and_what_was_cut_off_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path(), 30).unwrap();
        history.add([("1.2", "old"), ("1.3", "x y")], DAY_MILLIS).unwrap();
        history.add([("1.2", "new")], 2 * DAY_MILLIS).unwrap();
        history.add([("1.2", "newer")], 2 * DAY_MILLIS).unwrap();
        drop(history);
        let path = folder.path().join("history/2.log");
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(b"12345678 1.2 cut o");
        std::fs::write(&path, bytes).unwrap();
        let history = History::open(folder.path(), 30).unwrap();
        history.add([("1.4", "behind")], 2 * DAY_MILLIS).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let found = texts(&history, &["1.2", "1.3", "1.4", "1.5"]);
        assert_eq!(found, [some("newer"), some("x y"), some("behind"), None]);
    }

    #[test]
    fn days_that_are_over_are_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path(), 2).unwrap();
        for (day, key) in [(0, "1"), (1, "2"), (3, "3")] {
            history.add([(key, key)], day * DAY_MILLIS).unwrap();
        }
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            texts(&history, &["1", "2", "3"]),
            [some("1"), some("2"), some("3")],
            "two days and today"
        );
        history.add([("4", "4")], 4 * DAY_MILLIS).unwrap();
        assert_eq!(texts(&history, &["1", "2", "3", "4"]), [None, some("2"), some("3"), some("4")]);
    }

    #[test]
    fn a_clock_that_jumps_forgets_nothing_and_what_was_said_last_is_still_found() {
        let folder = tempfile::tempdir().unwrap();
        let years = 3650 * DAY_MILLIS;
        let some = |text: &str| Some(text.to_owned());
        let history = History::open(folder.path(), 3).unwrap();
        history.add([("1", "before"), ("2", "before")], 20_000 * DAY_MILLIS).unwrap();
        history.add([("1", "ahead")], 20_000 * DAY_MILLIS + years).unwrap();
        assert_eq!(texts(&history, &["1", "2"]), [some("ahead"), some("before")]);
        // Set right again, within the run and behind a restart.
        history.add([("1", "back")], 20_000 * DAY_MILLIS).unwrap();
        assert_eq!(texts(&history, &["1", "2"]), [some("back"), some("before")]);
        drop(history);
        let history = History::open(folder.path(), 3).unwrap();
        history.add([("1", "restarted")], 20_000 * DAY_MILLIS).unwrap();
        assert_eq!(texts(&history, &["1", "2"]), [some("restarted"), some("before")]);
        // And its days go on.
        for day in 20_001..20_004 {
            history.add([("3", "later")], day * DAY_MILLIS).unwrap();
        }
        assert_eq!(texts(&history, &["1", "2"]), [some("restarted"), None]);
    }

    #[test]
    fn a_line_in_a_line_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let history = History::open(folder.path(), 2).unwrap();
        assert!(history.add([("1", "a\nb")], 0).is_err());
        assert!(history.add([("1 2", "a")], 0).is_err());
    }
}
