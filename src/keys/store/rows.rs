//! Rows: how keys and records stand in the tables, and the digests that tell when a row was damaged.

use aws_lc_rs::digest::{self, SHA256};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::dicom::{AeTitle, Uid};
use crate::keys::error::KeysError;
use crate::keys::record::KeyRecord;
use crate::keys::store::{Facts, NewKey, NewVersion, OriginalAttributes, StoredKey, Write};
use crate::keys::wrap::{self, Binding};
use crate::seal::KeyId;

/// The columns [`stored_key`] reads, of `keys AS k` and `records AS r`.
pub(crate) const COLUMNS: &str = "k.id, k.key_id, k.suite, k.sop_class, k.sop_instance, k.study, k.series, k.calling, \
     k.sealed_unix_millis, k.attributes, r.version, r.wrapped_unix_millis, r.record";

/// For `map_err`: SQLite failed at this.
pub(crate) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> KeysError {
    move |source| KeysError::Store { doing, source }
}

/// What a write came to: how many keys the instance has now, or the version of the record; or why it was refused; an error of SQLite fails the whole batch.
pub(crate) type Applied = rusqlite::Result<Result<u32, KeysError>>;

/// Carries out one write within a transaction.
pub(crate) fn apply(connection: &Connection, write: &Write) -> Applied {
    match write {
        Write::Key(new) => match check_record(&new.record, &new.binding) {
            Ok(record) => insert_key(connection, new, &record),
            Err(refused) => Ok(Err(refused)),
        },
        Write::Version(new) => append_version(connection, new),
    }
}

/// A record is looked into before it is stored: what cannot be parsed now will not open later.
fn check_record(bytes: &[u8], binding: &Binding) -> Result<KeyRecord, KeysError> {
    let record = KeyRecord::parse(bytes)?;
    wrap::check_names(&record, binding)?;
    Ok(record)
}

fn insert_key(connection: &Connection, new: &NewKey, record: &KeyRecord) -> Applied {
    let key_id = new.binding.key_id;
    if let Some(row) = find_row(connection, key_id)? {
        let first = read_record(connection, row, 1)?;
        let same =
            binding_of(connection, row)? == new.binding && first.as_deref() == Some(new.record.as_slice());
        return if same {
            keys_of(connection, &new.binding.sop_instance).map(Ok)
        } else {
            Ok(Err(KeysError::Conflict(key_id)))
        };
    }
    let (facts, binding) = (&new.facts, &new.binding);
    let attributes = serde_json::to_string(&facts.attributes)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    connection
        .prepare_cached(
            "INSERT INTO keys (key_id, suite, sop_class, sop_instance, study, series, calling, sealed_unix_millis, \
             attributes, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            key_id.as_bytes(),
            binding.suite,
            binding.sop_class.as_str(),
            binding.sop_instance.as_str(),
            facts.study.as_ref().map(Uid::as_str),
            facts.series.as_ref().map(Uid::as_str),
            facts.calling.as_ref().map(AeTitle::as_str),
            facts.sealed_unix_millis,
            attributes,
            key_digest(binding, facts, &attributes),
        ])?;
    let row = connection.last_insert_rowid();
    insert_record(connection, row, key_id, 1, facts.sealed_unix_millis, &new.record, record)?;
    keys_of(connection, &binding.sop_instance).map(Ok)
}

/// How many keys an instance has: one for each time that it was sealed.
fn keys_of(connection: &Connection, instance: &Uid) -> rusqlite::Result<u32> {
    connection
        .prepare_cached("SELECT count(*) FROM keys WHERE sop_instance = ?1")?
        .query_row([instance.as_str()], |row| row.get(0))
}

fn append_version(connection: &Connection, new: &NewVersion) -> Applied {
    let Some(row) = find_row(connection, new.key_id)? else {
        return Ok(Err(KeysError::UnknownKey(new.key_id)));
    };
    let record = match check_record(&new.record, &binding_of(connection, row)?) {
        Ok(record) => record,
        Err(refused) => return Ok(Err(refused)),
    };
    let latest: u32 = connection
        .prepare_cached("SELECT max(version) FROM records WHERE key = ?1")?
        .query_row([row], |found| found.get(0))?;
    if read_record(connection, row, latest)?.as_deref() == Some(new.record.as_slice()) {
        return Ok(Ok(latest));
    }
    if latest != new.after {
        return Ok(Err(KeysError::Conflict(new.key_id)));
    }
    let version = latest.saturating_add(1);
    insert_record(connection, row, new.key_id, version, new.wrapped_unix_millis, &new.record, &record)?;
    Ok(Ok(version))
}

fn insert_record(
    connection: &Connection,
    row: i64,
    key_id: KeyId,
    version: u32,
    at: i64,
    bytes: &[u8],
    record: &KeyRecord,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO records (key, version, wrapped_unix_millis, kek_set, record, digest) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            row,
            version,
            at,
            record.kek_set(),
            bytes,
            record_digest(key_id, version, at, bytes)
        ])
        .map(drop)
}

fn find_row(connection: &Connection, key_id: KeyId) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached("SELECT id FROM keys WHERE key_id = ?1")?
        .query_row([key_id.as_bytes()], |row| row.get(0))
        .optional()
}

fn read_record(connection: &Connection, row: i64, version: u32) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT record FROM records WHERE key = ?1 AND version = ?2")?
        .query_row(params![row, version], |found| found.get(0))
        .optional()
}

fn binding_of(connection: &Connection, row: i64) -> rusqlite::Result<Binding> {
    connection
        .prepare_cached("SELECT id, key_id, suite, sop_class, sop_instance FROM keys WHERE id = ?1")?
        .query_row([row], binding)
}

fn binding(row: &Row<'_>) -> rusqlite::Result<Binding> {
    Ok(Binding {
        key_id: KeyId::new(row.get(1)?),
        suite: row.get(2)?,
        sop_class: checked(3, &row.get::<_, String>(3)?, Uid::parse)?,
        sop_instance: checked(4, &row.get::<_, String>(4)?, Uid::parse)?,
    })
}

/// A row with [`COLUMNS`].
pub(crate) fn stored_key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    let attributes: String = row.get(9)?;
    let attributes: OriginalAttributes = serde_json::from_str(&attributes).map_err(|e| conversion(9, e))?;
    Ok(StoredKey {
        position: row.get(0)?,
        binding: binding(row)?,
        facts: Facts {
            study: optional(5, row.get(5)?, Uid::parse)?,
            series: optional(6, row.get(6)?, Uid::parse)?,
            calling: optional(7, row.get(7)?, AeTitle::parse)?,
            sealed_unix_millis: row.get(8)?,
            attributes,
        },
        version: row.get(10)?,
        wrapped_unix_millis: row.get(11)?,
        record: row.get(12)?,
    })
}

fn checked<T, E: std::error::Error + Send + Sync + 'static>(
    column: usize,
    text: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    parse(text).map_err(|error| conversion(column, error))
}

fn optional<T, E: std::error::Error + Send + Sync + 'static>(
    column: usize,
    text: Option<String>,
    parse: impl Fn(&str) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    text.map(|text| checked(column, &text, parse)).transpose()
}

fn conversion(column: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// The digest of a row of `keys`: every column, each behind its length.
pub(crate) fn key_digest(binding: &Binding, facts: &Facts, attributes: &str) -> Vec<u8> {
    let text = |uid: &Option<Uid>| uid.as_ref().map(|uid| uid.as_str().to_owned());
    let columns = [
        Some(binding.sop_class.to_string()),
        Some(binding.sop_instance.to_string()),
        text(&facts.study),
        text(&facts.series),
        facts.calling.as_ref().map(ToString::to_string),
        Some(attributes.to_owned()),
    ];
    let mut context = digest::Context::new(&SHA256);
    context.update(binding.key_id.as_bytes());
    context.update(&binding.suite.to_be_bytes());
    context.update(&facts.sealed_unix_millis.to_be_bytes());
    for column in &columns {
        // One more than the length, and 0 for NULL, so that an empty text is not the same as none.
        let length = column.as_ref().map_or(0, |text| (text.len() as u64).saturating_add(1));
        context.update(&length.to_be_bytes());
        context.update(column.as_deref().unwrap_or_default().as_bytes());
    }
    context.finish().as_ref().to_vec()
}

/// The digest of a row of `records`.
pub(crate) fn record_digest(key_id: KeyId, version: u32, wrapped_unix_millis: i64, record: &[u8]) -> Vec<u8> {
    let mut context = digest::Context::new(&SHA256);
    context.update(key_id.as_bytes());
    context.update(&version.to_be_bytes());
    context.update(&wrapped_unix_millis.to_be_bytes());
    context.update(record);
    context.finish().as_ref().to_vec()
}
