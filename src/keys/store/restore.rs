//! Restoring a backup: verified first, and never at the price of a record that only the present store has.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use serde::Serialize;

use crate::keys::error::KeysError;
use crate::keys::file::{self, Part};
use crate::keys::store::manifest::Manifest;
use crate::keys::store::rows::failed;
use crate::keys::store::{CheckReport, Progress, check, schema, sqlite};
use crate::seal::KeyId;

/// Milliseconds to wait for somebody who has the store open.
const BUSY_MILLISECONDS: u32 = 500;

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// What was restored.
    pub manifest: Manifest,
    /// Where the store that was in place is now.
    pub replaced: Option<PathBuf>,
}

/// Compares a backup with its manifest and reads every record in it.
pub fn verify_backup(backup: &Path, progress: Progress<'_>) -> Result<(Manifest, CheckReport), KeysError> {
    let manifest = Manifest::read(backup)?;
    manifest.compare(backup)?;
    let connection = open_backup(backup)?;
    let found = sqlite::counts(&connection).map_err(failed("counting"))?;
    if schema::check_version(&connection)? != manifest.schema_version || found != manifest.counts {
        return Err(KeysError::malformed(backup, "it does not hold what its manifest says"));
    }
    let report = check::check(&connection, progress)?;
    Ok((manifest, report))
}

/// Puts a backup in the place of the store, which nobody may have open.
///
/// A store that is there has to be contained in the backup; it is moved aside, not deleted.
pub fn restore(
    backup: &Path,
    store: &Path,
    now_unix_seconds: u64,
    progress: Progress<'_>,
) -> Result<Restored, KeysError> {
    let (manifest, report) = verify_backup(backup, progress)?;
    if let Some(problem) = report.problems.first() {
        return Err(KeysError::malformed(backup, &problem));
    }
    if let Some(folder) = store.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        file::private_folder(folder)?;
    }
    if store.exists() {
        check_contained(backup, store)?;
    }
    let part = Part::create(store)?;
    copy(backup, part.path())?;
    manifest.compare(part.path())?;
    let replaced = move_aside(store, now_unix_seconds)?;
    part.publish(store)?;
    Ok(Restored { manifest, replaced })
}

fn open_backup(path: &Path) -> Result<Connection, KeysError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed("opening the backup"))?;
    connection.execute_batch("PRAGMA trusted_schema = OFF").map_err(failed("opening the backup"))?;
    Ok(connection)
}

/// Refuses when the store has any record that the backup lacks or has otherwise.
fn check_contained(backup: &Path, store: &Path) -> Result<(), KeysError> {
    let connection = schema::open_writer(store, BUSY_MILLISECONDS).map_err(|error| in_use(error, store))?;
    let doing = |error| in_use(failed("comparing it with the backup")(error), store);
    connection
        .execute("ATTACH DATABASE ?1 AS backup", [backup.to_string_lossy().as_ref()])
        .map_err(failed("comparing it with the backup"))?;
    // In WAL mode an exclusive lock is to be had only when no other connection is open.
    connection.execute_batch("PRAGMA main.locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").map_err(doing)?;
    let lost: (i64, Option<[u8; 16]>) = connection
        .query_row(
            "SELECT count(*), min(k.key_id) FROM main.records r JOIN main.keys k ON k.id = r.key \
             WHERE NOT EXISTS (SELECT 1 FROM backup.records br JOIN backup.keys bk ON bk.id = br.key \
             WHERE bk.key_id = k.key_id AND bk.digest = k.digest AND br.version = r.version AND br.digest = r.digest)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .map_err(failed("comparing it with the backup"))?;
    connection.execute_batch("COMMIT").map_err(failed("comparing it with the backup"))?;
    match lost {
        (count, Some(first)) if count > 0 => {
            let count = count.unsigned_abs();
            Err(KeysError::RestoreWouldLose { path: store.to_owned(), count, first: KeyId::new(first) })
        }
        _ => connection.close().map_err(|(_, error)| failed("closing it")(error)),
    }
}

fn in_use(error: KeysError, store: &Path) -> KeysError {
    match &error {
        KeysError::Store { source, .. }
            if matches!(
                source.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ) =>
        {
            KeysError::StoreInUse(store.to_owned())
        }
        _ => error,
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), KeysError> {
    let mut source = File::open(from).map_err(KeysError::file("opening", from))?;
    let mut target = File::options().write(true).open(to).map_err(KeysError::file("opening", to))?;
    io::copy(&mut source, &mut target).map_err(KeysError::file("writing", to))?;
    Ok(())
}

/// Renames the store and the files SQLite keeps beside it: a log that stayed would be played into the restored file.
fn move_aside(store: &Path, now_unix_seconds: u64) -> Result<Option<PathBuf>, KeysError> {
    let with = |suffix: &str| {
        let mut name = store.file_name().unwrap_or_default().to_owned();
        name.push(suffix);
        store.with_file_name(name)
    };
    let mut replaced = None;
    for suffix in ["-wal", "-shm", "-journal", ""] {
        let (from, to) = (with(suffix), with(&format!(".replaced-{now_unix_seconds}{suffix}")));
        if to.exists() {
            return Err(KeysError::Exists(to));
        }
        if from.exists() {
            fs::rename(&from, &to).map_err(KeysError::file("moving aside", &from))?;
            replaced = Some(to);
        }
    }
    Ok(replaced)
}
