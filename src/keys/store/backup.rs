//! Online backup: one consistent snapshot into a new file, while the writer goes on.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::keys::error::KeysError;
use crate::keys::file::Part;
use crate::keys::store::manifest::{Manifest, manifest_path};
use crate::keys::store::rows::failed;
use crate::keys::store::{Progress, schema, sqlite};

/// Pages copied between two progress reports.
const PAGES_PER_STEP: i32 = 1024;

/// Copies what `source` shows now to `target`, and writes the manifest beside it.
pub(crate) fn backup(
    source: &Connection,
    target: &Path,
    created_unix_seconds: u64,
    progress: Progress<'_>,
) -> Result<Manifest, KeysError> {
    for path in [target.to_owned(), manifest_path(target)] {
        if path.exists() {
            return Err(KeysError::Exists(path));
        }
    }
    let doing = failed("backing it up");
    // A snapshot held from here on: without it every commit of the writer would make the copy start anew.
    let snapshot = source.unchecked_transaction().map_err(&doing)?;
    let counts = sqlite::counts(&snapshot).map_err(&doing)?;
    let schema_version = schema::check_version(&snapshot)?;
    let part = Part::create(target)?;
    copy(&snapshot, part.path(), progress).map_err(&doing)?;
    drop(snapshot);
    let manifest = Manifest::describe(part.path(), created_unix_seconds, schema_version, counts)?;
    part.publish(target)?;
    manifest.write(target)?;
    Ok(manifest)
}

fn copy(source: &Connection, path: &Path, progress: Progress<'_>) -> rusqlite::Result<()> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut copy = Connection::open_with_flags(path, flags)?;
    let running = Backup::new(source, &mut copy)?;
    loop {
        let step = running.step(PAGES_PER_STEP)?;
        let state = running.progress();
        let count = |pages: i32| u64::try_from(pages).unwrap_or(0);
        progress(count(state.pagecount.saturating_sub(state.remaining)), count(state.pagecount));
        if step == StepResult::Done {
            break;
        }
    }
    drop(running);
    // One file, without a log beside it.
    copy.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get::<_, String>(0))?;
    copy.close().map_err(|(_, error)| error)
}
