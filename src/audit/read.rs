//! Reads the lines of a log file, whatever stands in it: no line costs more memory than a record may have.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::record::{Hash, LINE_BYTES_MAX, Record, RecordError};

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A record, with its hash.
    Record(Record, Hash),
    /// A whole line that is none.
    Bad(RecordError),
    /// The end of the file, in the middle of a line.
    Cut,
}

/// The lines of a file from some place on.
pub(super) struct Lines {
    reader: BufReader<File>,
    /// Where the next line begins.
    pub(super) offset: u64,
    buffer: Vec<u8>,
}

impl Lines {
    pub(super) fn open(path: &Path, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { reader: BufReader::with_capacity(128 * 1024, file), offset, buffer: Vec::new() })
    }

    /// The next line; nothing at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        self.buffer.clear();
        let limit = LINE_BYTES_MAX as u64;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.buffer)?;
        if read == 0 {
            return Ok(None);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.offset += read as u64;
            self.buffer.pop();
            return Ok(Some(match Record::parse(&self.buffer) {
                Ok((record, hash)) => Line::Record(record, hash),
                Err(error) => Line::Bad(error),
            }));
        }
        if read < LINE_BYTES_MAX {
            return Ok(Some(Line::Cut));
        }
        let skipped = self.skip()?;
        Ok(Some(match skipped {
            Some(more) => {
                self.offset += read as u64 + more;
                Line::Bad(RecordError::TooLong)
            }
            None => Line::Cut,
        }))
    }

    /// Goes behind the end of the line; nothing if it has none.
    fn skip(&mut self) -> io::Result<Option<u64>> {
        let mut skipped = 0;
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                return Ok(None);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            self.reader.consume(taken);
            skipped += taken as u64;
            if end.is_some() {
                return Ok(Some(skipped));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::record::RecordKind;

    #[test]
    fn goes_on_behind_what_is_no_record() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut good = Vec::new();
        let record = Record {
            number: 1,
            unix_millis: 0,
            kind: RecordKind::Event,
            previous: [0; 32],
            body: "x".into(),
        };
        record.encode(&mut good);
        let bytes = [&b"no\n"[..], &vec![b'y'; 3 * LINE_BYTES_MAX], b"\n", &good, b"half"].concat();
        std::fs::write(&path, &bytes).unwrap();
        let mut lines = Lines::open(&path, 0).unwrap();
        assert_eq!(lines.next().unwrap(), Some(Line::Bad(RecordError::Form)));
        assert_eq!(lines.next().unwrap(), Some(Line::Bad(RecordError::TooLong)));
        let before = lines.offset;
        assert!(matches!(lines.next().unwrap(), Some(Line::Record(..))));
        assert_eq!(lines.next().unwrap(), Some(Line::Cut));
        assert_eq!(lines.offset, bytes.len() as u64 - 4);
        assert!(matches!(Lines::open(&path, before).unwrap().next().unwrap(), Some(Line::Record(..))));
    }
}
