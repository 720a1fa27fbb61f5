//! What a start finds: the last record, and whether what stands behind it is a crash or a crime.
//!
//! A crash leaves a line without its end, or zeros where blocks did not reach the disk; it is cut off, and a record says
//! so. Whole lines behind the last good record are no crash: the file stays as it is, for whoever looks into it, and the
//! chain goes on in a new one.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use aws_lc_rs::digest;

use super::error::AuditError;
use super::file::{LogFile, list};
use super::key::hex;
use super::read::{Line, Lines};
use super::record::Hash;

/// Bytes behind the last record that are looked at to tell the one from the other.
const TAIL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the log goes on.
#[derive(Debug)]
pub(super) struct Found {
    /// The last good record; 0 and zeros where there is none.
    pub(super) number: u64,
    pub(super) hash: Hash,
    pub(super) unix_millis: u64,
    /// The file that it is in and the bytes up to its end, if that file can be gone on with.
    pub(super) file: Option<(LogFile, u64)>,
    pub(super) tail: Tail,
}

/// What stands behind the last good record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    Clean,
    /// So many bytes with this hash.
    Torn(u64, String),
    /// What is wrong.
    Damaged(String),
}

/// Looks for the end of the log.
pub(super) fn recover(folder: &Path) -> Result<Found, AuditError> {
    let mut files = list(folder)?;
    let mut tail = Tail::Clean;
    while let Some(file) = files.pop() {
        let (last, end) = walk(&file)?;
        let behind = judge(&file, end)?;
        if tail == Tail::Clean {
            tail = behind;
        }
        match last {
            Some((number, hash, unix_millis)) => {
                let goes_on = !matches!(tail, Tail::Damaged(_));
                let file = goes_on.then_some((file, end));
                return Ok(Found { number, hash, unix_millis, file, tail });
            }
            // It was just being made.
            None if !matches!(tail, Tail::Damaged(_)) => {
                fs::remove_file(&file.path).map_err(AuditError::disk("removing", &file.path))?;
            }
            None => {
                let aside = file.path.with_extension("log.damaged");
                fs::rename(&file.path, &aside).map_err(AuditError::disk("renaming", &file.path))?;
            }
        }
    }
    if let Tail::Damaged(why) = tail {
        let why = format!("no record of its log can be read ({why})");
        return Err(AuditError::Key { path: folder.to_owned(), why });
    }
    Ok(Found { number: 0, hash: [0; 32], unix_millis: 0, file: None, tail })
}

/// A record: its number, its hash, and when it was written.
type Last = (u64, Hash, u64);

/// The last record up to which everything in the file follows on, and where it ends.
fn walk(file: &LogFile) -> Result<(Option<Last>, u64), AuditError> {
    let reading = AuditError::disk("reading", &file.path);
    let mut last = None;
    let mut end = 0;
    let mut walked = || {
        let mut lines = Lines::open(&file.path, 0)?;
        while let Some(Line::Record(record, hash)) = lines.next()? {
            let follows = match last {
                None => record.number == file.first,
                Some((number, before, _)) => record.number == number + 1 && record.previous == before,
            };
            if !follows {
                break;
            }
            last = Some((record.number, hash, record.unix_millis));
            end = lines.offset;
        }
        Ok(())
    };
    walked().map_err(reading)?;
    Ok((last, end))
}

/// What stands behind `end`.
fn judge(file: &LogFile, end: u64) -> Result<Tail, AuditError> {
    let reading = AuditError::disk("reading", &file.path);
    let mut rest = Vec::new();
    let mut read = || {
        let mut open = fs::File::open(&file.path)?;
        open.seek(SeekFrom::Start(end))?;
        open.take(TAIL_BYTES_MAX).read_to_end(&mut rest)
    };
    read().map_err(reading)?;
    if rest.is_empty() {
        return Ok(Tail::Clean);
    }
    // No record has a NUL: zeros are blocks that were never written.
    if !rest.contains(&b'\n') || rest.contains(&0) {
        let hash = digest::digest(&digest::SHA256, &rest);
        return Ok(Tail::Torn(rest.len() as u64, hex(hash.as_ref())));
    }
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    Ok(Tail::Damaged(format!("{name} has {} bytes behind byte {end} that do not follow on", rest.len())))
}
