//! The integrity check: the database's own, then every row against its digest and every record through the parser.

use rusqlite::{Connection, Row};

use crate::keys::error::KeysError;
use crate::keys::record::KeyRecord;
use crate::keys::store::rows::{COLUMNS, failed, key_digest, record_digest, stored_key};
use crate::keys::store::{CheckReport, Progress, sqlite};
use crate::keys::wrap;

/// Records between two progress reports.
const RECORDS_PER_REPORT: u64 = 1000;

/// Reads everything in one snapshot.
pub(crate) fn check(connection: &Connection, progress: Progress<'_>) -> Result<CheckReport, KeysError> {
    let doing = failed("checking it");
    let snapshot = connection.unchecked_transaction().map_err(&doing)?;
    let mut report = CheckReport::default();
    check_database(&snapshot, &mut report).map_err(&doing)?;
    let total = sqlite::counts(&snapshot).map_err(&doing)?.records;
    let query = format!(
        "SELECT {COLUMNS}, k.digest, r.digest, r.kek_set FROM keys k JOIN records r ON r.key = k.id ORDER BY k.id, r.version"
    );
    let mut statement = snapshot.prepare(&query).map_err(&doing)?;
    let mut rows = statement.query([]).map_err(&doing)?;
    while let Some(row) = rows.next().map_err(&doing)? {
        report.records = report.records.saturating_add(1);
        if let Some(problem) = problem_of(row) {
            report.add(problem);
        }
        if report.records.is_multiple_of(RECORDS_PER_REPORT) {
            progress(report.records, total);
        }
    }
    progress(report.records, total);
    Ok(report)
}

fn check_database(connection: &Connection, report: &mut CheckReport) -> rusqlite::Result<()> {
    let mut own = connection.prepare("PRAGMA integrity_check")?;
    for line in own.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            report.add(format!("database: {line}"));
        }
    }
    // A backup from before has no such table.
    let table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'destroyed'";
    let but_destroyed = if connection.prepare(table)?.exists([])? {
        "SELECT 1 FROM keys k WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.key = k.id) \
         AND NOT EXISTS (SELECT 1 FROM destroyed d WHERE d.key_id = k.key_id)"
    } else {
        "SELECT 1 FROM keys k WHERE NOT EXISTS (SELECT 1 FROM records r WHERE r.key = k.id)"
    };
    let rules = [
        ("PRAGMA foreign_key_check", "a record belongs to no key"),
        (but_destroyed, "a key has no record"),
        (
            "SELECT 1 FROM records GROUP BY key HAVING max(version) <> count(*)",
            "a version of a key is missing",
        ),
    ];
    for (query, problem) in rules {
        if connection.prepare(query)?.exists([])? {
            report.add(problem.into());
        }
    }
    Ok(())
}

fn problem_of(row: &Row<'_>) -> Option<String> {
    let place = row.get::<_, i64>(0).unwrap_or_default();
    let stored = match stored_key(row) {
        Ok(stored) => stored,
        Err(error) => return Some(format!("row {place}: {error}")),
    };
    let (key_id, version) = (stored.binding.key_id, stored.version);
    let about = |what: &str| Some(format!("key {key_id} version {version}: {what}"));
    let column = |at: usize| row.get::<_, Vec<u8>>(at).unwrap_or_default();
    let attributes: String = row.get(9).unwrap_or_default();
    if column(13) != key_digest(&stored.binding, &stored.facts, &attributes) {
        return about("what is kept beside the key does not match its digest");
    }
    if column(14) != record_digest(key_id, version, stored.wrapped_unix_millis, &stored.record) {
        return about("the record does not match its digest");
    }
    match KeyRecord::parse(&stored.record) {
        Err(error) => about(&error.to_string()),
        Ok(record) if column(15) != record.kek_set() => about("its recipients are not those of the record"),
        Ok(record) => {
            wrap::check_names(&record, &stored.binding).err().and_then(|error| about(&error.to_string()))
        }
    }
}

impl CheckReport {
    fn add(&mut self, problem: String) {
        if self.problems.len() < Self::PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}
