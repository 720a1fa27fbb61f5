//! Verifies a log: every record has its hash, follows the one before, and stands under a signature of the right key.

use std::path::Path;

use serde::Serialize;

use super::error::AuditError;
use super::file::{Head, LogFile, list, read_head};
use super::key::{hex, is_signed, public_of, unhex};
use super::read::{Line, Lines};
use super::record::{Hash, Record, RecordKind, decimal};

/// Problems that are listed one by one.
const PROBLEMS_MAX: usize = 100;

/// What a verification has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether nothing is wrong.
    pub good: bool,
    /// The key that it was verified with, as digits.
    pub key: String,
    /// Records of all kinds.
    pub records: u64,
    /// Records that are audit messages.
    pub events: u64,
    /// Signatures that fit.
    pub signatures: u64,
    /// The first record there is.
    pub first: u64,
    /// The last record.
    pub last: u64,
    /// Its hash.
    pub last_hash: String,
    /// The last record that a signature covers; of what follows the end may be cut off without a trace.
    pub signed: u64,
    /// What is wrong.
    pub problems: Vec<String>,
    /// What is no fault.
    pub notes: Vec<String>,
}

/// Verifies the log of a folder with the public key in it, or with one that was kept elsewhere. `expect` is the number and
/// the hash of a record that has to be there, unless it is so old that it was removed.
pub fn verify(
    folder: &Path,
    public: Option<&str>,
    expect: Option<(u64, &str)>,
) -> Result<Report, AuditError> {
    let key_error = |why: &str| AuditError::Key { path: folder.to_owned(), why: why.to_owned() };
    let public = match public {
        Some(text) => unhex(text.trim()).ok_or_else(|| key_error("the public key is not 64 digits"))?,
        None => public_of(folder).ok_or_else(|| key_error("there is no signing.pub: name the public key"))?,
    };
    let expected = expect.and_then(|(number, hash)| Some(Head { number, hash: unhex(hash)? }));
    let mut check = Check::new(public, [read_head(folder, &public).ok().flatten(), expected]);
    let files = list(folder)?;
    for (index, file) in files.iter().enumerate() {
        check.file(file, index + 1 == files.len())?;
    }
    check.aside(folder);
    check.end(folder);
    Ok(check.report)
}

struct Check {
    public: [u8; 32],
    report: Report,
    /// The record before, if the chain is whole up to it.
    before: Option<(u64, Hash)>,
    unix_millis: u64,
    /// What the first record that is there follows on, if it is not the first of all.
    beginning: Option<(u64, Hash)>,
    removed: Vec<(u64, u64, Hash)>,
    /// Problems that are not listed any more.
    unlisted: usize,
    /// Records that have to be there as they were: the head, and what somebody noted.
    anchors: [Option<Head>; 2],
}

impl Check {
    fn new(public: [u8; 32], anchors: [Option<Head>; 2]) -> Self {
        Self {
            public,
            report: Report { key: hex(&public), ..Report::default() },
            before: None,
            unix_millis: 0,
            beginning: None,
            removed: Vec::new(),
            unlisted: 0,
            anchors,
        }
    }

    fn wrong(&mut self, text: String) {
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(text);
        } else {
            self.unlisted += 1;
        }
    }

    fn file(&mut self, file: &LogFile, is_last: bool) -> Result<(), AuditError> {
        let reading = AuditError::disk("reading", &file.path);
        let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut walk = || {
            let mut lines = Lines::open(&file.path, 0)?;
            let (mut line, mut records) = (0_u64, 0_u64);
            while let Some(found) = lines.next()? {
                line += 1;
                match found {
                    Line::Record(record, hash) => {
                        records += 1;
                        self.first(&name, file, &record, records);
                        self.record(&name, record, hash);
                    }
                    Line::Bad(error) => self.wrong(format!("{name}, line {line}: {error}")),
                    Line::Cut if is_last => {
                        let end = lines.offset;
                        self.report.notes.push(format!(
                            "{name}: half a record behind byte {end}; a writer is at work, or a crash left it and the next start closes it"
                        ));
                        break;
                    }
                    Line::Cut => {
                        self.wrong(format!("{name}: it ends in the middle of a record"));
                        break;
                    }
                }
            }
            if records == 0 && !is_last {
                self.wrong(format!("{name}: there is no record in it"));
            }
            Ok(())
        };
        walk().map_err(reading)
    }

    /// The first record of a file has to be what the name of the file says.
    fn first(&mut self, name: &str, file: &LogFile, record: &Record, records: u64) {
        let is_begin = record.number == file.first && record.kind == RecordKind::Begin;
        if records == 1 && !is_begin {
            self.wrong(format!("{name}: it does not begin as its name says"));
        }
    }

    fn record(&mut self, name: &str, record: Record, hash: Hash) {
        let Record { number, unix_millis, kind, previous, body } = record;
        match self.before {
            None if self.report.records == 0 => {
                self.report.first = number;
                self.beginning = (number > 1).then_some((number - 1, previous));
                if number == 1 && previous != [0; 32] {
                    self.wrong(format!("{name}: record 1 follows on another"));
                }
            }
            Some((before, _)) if number <= before => {
                self.wrong(format!("{name}: record {number} stands behind record {before}"));
            }
            Some((before, _)) if number > before + 1 => {
                let missing = format!("records {} to {} are missing", before + 1, number - 1);
                self.wrong(format!("{name}: {missing}"));
            }
            Some((before, hash)) if previous != hash => {
                self.wrong(format!(
                    "{name}: record {number} does not follow on record {before} as it is here"
                ));
            }
            _ => {}
        }
        if unix_millis < self.unix_millis {
            self.wrong(format!("{name}: record {number} is older than the one before"));
        }
        self.unix_millis = self.unix_millis.max(unix_millis);
        self.report.records += 1;
        match kind {
            RecordKind::Event => self.report.events += 1,
            RecordKind::Sign => self.signature(name, number, &previous, &body),
            RecordKind::Begin => self.begin(name, number, &body),
            RecordKind::Removed => match removed(&body) {
                Some(removed) => self.removed.push(removed),
                None => {
                    self.wrong(format!("{name}: record {number} says of no files that they were removed"));
                }
            },
            RecordKind::Torn => {
                self.report
                    .notes
                    .push(format!("{name}: record {number} closed what a crash left: {body} bytes and hash"));
            }
        }
        self.before = Some((number, hash));
        (self.report.last, self.report.last_hash) = (number, hex(&hash));
        for anchor in self.anchors.into_iter().flatten() {
            if anchor.number == number && anchor.hash != hash {
                self.wrong(format!("{name}: record {number} is not the one that was signed or noted"));
            }
        }
    }

    fn signature(&mut self, name: &str, number: u64, previous: &Hash, body: &str) {
        if is_signed(&self.public, number - 1, previous, body) {
            self.report.signatures += 1;
            self.report.signed = number;
        } else {
            self.wrong(format!("{name}: the signature in record {number} is not one of this key"));
        }
    }

    fn begin(&mut self, name: &str, number: u64, body: &str) {
        let fields: Vec<&str> = body.split(' ').collect();
        match fields[..] {
            ["1", key, why] if unhex(key) == Some(self.public) => {
                if why == "damaged" {
                    self.wrong(format!(
                        "{name}: record {number} was begun because the file before was damaged"
                    ));
                }
            }
            ["1", _, _] => self.wrong(format!("{name}: record {number} names another key")),
            _ => {
                self.wrong(format!("{name}: record {number} begins no file of a version that is known here"));
            }
        }
    }

    /// Files that a start has put aside.
    fn aside(&mut self, folder: &Path) {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        for name in names.filter(|name| name.ends_with(".damaged")) {
            self.wrong(format!("{name}: nothing in it could be read"));
        }
    }

    fn end(&mut self, folder: &Path) {
        for anchor in self.anchors.into_iter().flatten() {
            if anchor.number > self.report.last {
                let (last, number) = (self.report.last, anchor.number);
                self.wrong(format!(
                    "the log ends with record {last}, and had record {number}: its end was cut off"
                ));
            }
        }
        match read_head(folder, &self.public) {
            Ok(None) if self.report.records > 1 => self.wrong("the file head is missing".to_owned()),
            Ok(_) => {}
            Err(why) => self.wrong(why.to_owned()),
        }
        if let Some((last, hash)) = self.beginning
            && !self.removed.iter().any(|(_, to, of)| *to == last && *of == hash)
        {
            self.wrong(format!("records 1 to {last} are missing, and no record says that they were removed"));
        }
        if self.report.records == 0 {
            self.wrong("there is no record".to_owned());
        }
        if self.unlisted > 0 {
            self.report.problems.push(format!("and {} more", self.unlisted));
        }
        self.report.good = self.report.problems.is_empty();
    }
}

/// First and last record that were removed, and the hash of the last.
fn removed(body: &str) -> Option<(u64, u64, Hash)> {
    let fields: Vec<&str> = body.split(' ').collect();
    let [first, last, hash] = fields[..] else { return None };
    Some((decimal(first)?, decimal(last)?, unhex(hash)?))
}
