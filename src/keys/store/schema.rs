//! Opening the database: its permissions, its settings, its schema and the migrations to it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use crate::keys::error::KeysError;
use crate::keys::file;
use crate::keys::store::rows::failed;

/// `SGKS`, in the header of the file, so that no other database is mistaken for a key store.
const APPLICATION_ID: i32 = 0x5347_4B53;

/// The steps from an empty file to the present schema; a released step is never changed.
const MIGRATIONS: &[&str] = &[include_str!("migration_1.sql"), include_str!("migration_2.sql")];

/// The newest schema version this program knows.
pub(crate) fn newest_version() -> u32 {
    u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX)
}

/// Opens the database for writing, making it if it is missing, and brings its schema up to date.
pub(crate) fn open_writer(path: &Path, busy_milliseconds: u32) -> Result<Connection, KeysError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        file::private_folder(folder)?;
    }
    let made = make_file(path)?;
    file::check_writable_folder(path)?;
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy_milliseconds)?;
    check_application(&connection, path)?;
    let doing = failed("setting it up");
    let journal: String =
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0)).map_err(&doing)?;
    if journal != "wal" {
        return Err(KeysError::malformed(
            path,
            &format!("journal mode {journal:?}, the file system cannot do WAL"),
        ));
    }
    // FULL in WAL mode: a commit returns after the log is on the disk. What is deleted is overwritten with zeros. A log that
    // has become large gives its room back.
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; \
             PRAGMA journal_size_limit = 16777216",
        )
        .map_err(&doing)?;
    migrate(&mut connection)?;
    if made {
        file::sync_folder_of(path)?;
    }
    Ok(connection)
}

/// Opens the database for reading only.
pub(crate) fn open_reader(path: &Path, busy_milliseconds: u32) -> Result<Connection, KeysError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY, busy_milliseconds)?;
    check_application(&connection, path)?;
    Ok(connection)
}

/// The schema version of an open database, refused when it is newer than this program.
pub(crate) fn check_version(connection: &Connection) -> Result<u32, KeysError> {
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'";
    let doing = failed("reading the schema version");
    let exists = connection.query_row(table, [], |_| Ok(())).optional().map_err(&doing)?.is_some();
    if !exists {
        return Ok(0);
    }
    let newest = "SELECT coalesce(max(version), 0) FROM schema_version";
    let found: u32 = connection.query_row(newest, [], |row| row.get(0)).map_err(&doing)?;
    let known = newest_version();
    if found > known { Err(KeysError::StoreSchema { found, known }) } else { Ok(found) }
}

fn connect(path: &Path, flags: OpenFlags, busy_milliseconds: u32) -> Result<Connection, KeysError> {
    // Looked at by its name: closing a descriptor of our own would give up the locks that SQLite holds on the file
    // for this process (POSIX, fcntl).
    file::check_private_path(path)?;
    let doing = failed("opening it");
    let connection =
        Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(&doing)?;
    connection.busy_timeout(Duration::from_millis(busy_milliseconds.into())).map_err(&doing)?;
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON").map_err(&doing)?;
    // Statements are kept prepared; without this SQLite compiles them again for each key that is bound to them.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(&doing)?;
    Ok(connection)
}

/// Makes an empty private file, whose mode SQLite gives to the log beside it too.
fn make_file(path: &Path) -> Result<bool, KeysError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(KeysError::File { doing: "making", path: path.to_owned(), source }),
    }
}

/// Refuses a database that something else made.
fn check_application(connection: &Connection, path: &Path) -> Result<(), KeysError> {
    let doing = failed("reading its header");
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(&doing)?;
    let tables: u32 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(&doing)?;
    if id == APPLICATION_ID || (id == 0 && tables == 0) {
        Ok(())
    } else {
        Err(KeysError::malformed(path, "it is a database, and not a key store"))
    }
}

fn migrate(connection: &mut Connection) -> Result<(), KeysError> {
    let doing = failed("bringing the schema up to date");
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&doing)?;
    let found = check_version(&transaction)?;
    for (version, step) in (1_u32..).zip(MIGRATIONS).skip(found as usize) {
        transaction.execute_batch(step).map_err(&doing)?;
        transaction.execute("INSERT INTO schema_version (version) VALUES (?1)", [version]).map_err(&doing)?;
    }
    if found == 0 {
        transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(&doing)?;
    }
    transaction.commit().map_err(&doing)
}
