//! The key store in SQLite: one writer with group commit, readers beside it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, params};

use crate::keys::config::StoreConfig;
use crate::keys::error::KeysError;
use crate::keys::store::pool::Pool;
use crate::keys::store::rows::{COLUMNS, failed, stored_key};
use crate::keys::store::writer::Writer;
use crate::keys::store::{CheckReport, Counts, Done, Filter, KeyStore, Manifest, Progress, StoredKey, Write};
use crate::keys::store::{backup, check, schema};
use crate::seal::KeyId;

/// A key store in one SQLite file.
pub struct SqliteStore {
    path: PathBuf,
    busy_milliseconds: u32,
    writer: Writer,
    readers: Pool,
}

impl SqliteStore {
    /// Opens the store at `path`, making it if it is missing.
    pub fn open(path: &Path, limits: &StoreConfig) -> Result<Self, KeysError> {
        let connection = schema::open_writer(path, limits.busy_milliseconds_max)?;
        Self::with_writer(connection, path, limits)
    }

    fn with_writer(connection: Connection, path: &Path, limits: &StoreConfig) -> Result<Self, KeysError> {
        let writer = Writer::start(connection, path, limits.commit_records_max, limits.queue_records_max)?;
        let readers = Pool::new(path.to_owned(), limits.busy_milliseconds_max, limits.readers_max);
        Ok(Self { path: path.to_owned(), busy_milliseconds: limits.busy_milliseconds_max, writer, readers })
    }

    /// The database file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Empties the log beside the database, where deleted records would stay readable for a while. Readers that hold on to
    /// an older state are waited for.
    pub fn truncate_log(&self) -> Result<(), KeysError> {
        let connection = schema::open_writer(&self.path, self.busy_milliseconds)?;
        let doing = failed("emptying its log");
        let busy: bool =
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(doing)?;
        if busy { Err(KeysError::StoreInUse(self.path.clone())) } else { Ok(()) }
    }

    /// Why the store writes nothing any more, if so: an alarm.
    #[must_use]
    pub fn stopped(&self) -> Option<&str> {
        self.writer.stopped()
    }
}

impl KeyStore for SqliteStore {
    fn submit(&self, write: Write, done: Done) {
        self.writer.submit(write, done);
    }

    fn stopped(&self) -> Option<&str> {
        Self::stopped(self)
    }

    fn find(&self, key_id: KeyId) -> Result<Option<StoredKey>, KeysError> {
        let latest = format!(
            "SELECT {COLUMNS} FROM keys k JOIN records r ON r.key = k.id WHERE k.key_id = ?1 \
             ORDER BY r.version DESC LIMIT 1"
        );
        self.readers.read(|connection| {
            connection
                .prepare_cached(&latest)
                .and_then(|mut found| found.query_row([key_id.as_bytes()], stored_key).optional())
                .map_err(failed("looking a key up"))
        })
    }

    fn versions(&self, key_id: KeyId) -> Result<Vec<StoredKey>, KeysError> {
        let all = format!(
            "SELECT {COLUMNS} FROM keys k JOIN records r ON r.key = k.id WHERE k.key_id = ?1 ORDER BY r.version"
        );
        self.readers.read(|connection| {
            connection
                .prepare_cached(&all)
                .and_then(|mut found| found.query_map([key_id.as_bytes()], stored_key)?.collect())
                .map_err(failed("looking a key up"))
        })
    }

    fn list(&self, filter: &Filter, after: i64, limit: usize) -> Result<Vec<StoredKey>, KeysError> {
        self.readers.read(|connection| list(connection, filter, after, limit).map_err(failed("listing keys")))
    }

    fn counts(&self) -> Result<Counts, KeysError> {
        self.readers.read(|connection| counts(connection).map_err(failed("counting")))
    }

    fn check(&self, progress: Progress<'_>) -> Result<CheckReport, KeysError> {
        self.readers.read(|connection| check::check(connection, progress))
    }

    fn backup(
        &self,
        target: &Path,
        created_unix_seconds: u64,
        progress: Progress<'_>,
    ) -> Result<Manifest, KeysError> {
        self.readers.read(|connection| backup::backup(connection, target, created_unix_seconds, progress))
    }
}

/// How much a database holds.
pub(crate) fn counts(connection: &Connection) -> rusqlite::Result<Counts> {
    connection.query_row("SELECT (SELECT count(*) FROM keys), (SELECT count(*) FROM records)", [], |row| {
        let count = |at: usize| row.get(at).map(|found: i64| u64::try_from(found).unwrap_or(0));
        Ok(Counts { keys: count(0)?, records: count(1)? })
    })
}

fn list(
    connection: &Connection,
    filter: &Filter,
    after: i64,
    limit: usize,
) -> rusqlite::Result<Vec<StoredKey>> {
    // Only the conditions that are there, so that SQLite can use the index that fits.
    let conditions = [
        (filter.study.is_some(), "k.study = ?2"),
        (filter.sop_instance.is_some(), "k.sop_instance = ?3"),
        (filter.calling.is_some(), "k.calling = ?4"),
        (filter.sealed_from_unix_millis.is_some(), "k.sealed_unix_millis >= ?5"),
        (filter.sealed_before_unix_millis.is_some(), "k.sealed_unix_millis < ?6"),
        (filter.not_wrapped_for.is_some(), "r.kek_set <> ?7"),
    ];
    let wanted: Vec<_> = conditions.iter().filter(|(is_set, _)| *is_set).map(|(_, text)| *text).collect();
    let and = if wanted.is_empty() { String::new() } else { format!("AND {}", wanted.join(" AND ")) };
    let query = format!(
        "SELECT {COLUMNS} FROM keys k JOIN records r ON r.key = k.id \
         WHERE k.id > ?1 AND r.version = (SELECT max(version) FROM records WHERE key = k.id) {and} \
         ORDER BY k.id LIMIT ?8"
    );
    let mut statement = connection.prepare_cached(&query)?;
    let rows = statement.query_map(
        params![
            after,
            filter.study.as_ref().map(|uid| uid.as_str().to_owned()),
            filter.sop_instance.as_ref().map(|uid| uid.as_str().to_owned()),
            filter.calling.as_ref().map(|title| title.as_str().to_owned()),
            filter.sealed_from_unix_millis,
            filter.sealed_before_unix_millis,
            filter.not_wrapped_for,
            i64::try_from(limit).unwrap_or(i64::MAX),
        ],
        stored_key,
    )?;
    rows.collect()
}
