//! The log beside the database (SQLite's WAL): when it goes into the file, and an alarm where the file does not take it.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::keys::error::KeysError;
use crate::keys::store::rows::failed;

/// Records after which it is tried: about four megabytes of log.
const RECORDS: usize = 128;

/// What is known of the log.
pub(super) struct Log {
    path: PathBuf,
    /// Records since the last try.
    records: usize,
    /// Its bytes when it was last told that the file does not take it.
    told_bytes: Option<u64>,
}

impl Log {
    /// Takes over from SQLite, which says nothing where it cannot do it.
    pub(super) fn of(connection: &Connection, database: &Path) -> Result<Self, KeysError> {
        let doing = failed("setting its log up");
        connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(doing)?;
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Ok(Self { path: path.into(), records: 0, told_bytes: None })
    }

    /// So many records more are in it. Nobody waits for what this does.
    ///
    /// A failure loses nothing, and stops nothing: what was committed stays in the log, from where all of it is written
    /// again the next time, and the log is begun anew only behind a file that was synced.
    pub(super) fn grew(&mut self, connection: &Connection, records: usize) {
        self.records = self.records.saturating_add(records);
        if self.records < RECORDS {
            return;
        }
        self.records = 0;
        // Its row says how far it came: readers may be in the way, and then the rest goes next time.
        let tried = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        let log_bytes = fs::metadata(&self.path).map_or(0, |found| found.len());
        match tried {
            Ok(()) => {
                if self.told_bytes.take().is_some() {
                    tracing::info!(log_bytes, "the key store's file takes what is in its log again");
                }
            }
            Err(error) => {
                if self.told_bytes.is_none_or(|told| log_bytes / 2 >= told) {
                    self.told_bytes = Some(log_bytes);
                    tracing::error!(
                        %error, log_bytes,
                        "the key store's file does not take what is in its log, which grows"
                    );
                }
            }
        }
    }
}
