//! The scanner against files: hostile ones with one fault each, and real ones as another reader sees them.

use sealgate::dicom::{Encoding, TransferSyntax};
use sealgate::seal::scan::{Event, Limits, ScanError, Scanner};

/// What one scan told: the elements in order, and all bytes.
#[derive(Default, PartialEq, Debug)]
struct Told {
    elements: Vec<Seen>,
    raw: Vec<u8>,
}

#[derive(Default, PartialEq, Debug)]
struct Seen {
    tag: String,
    vr: Option<String>,
    undefined: bool,
    value: Vec<u8>,
    holds_pixels: bool,
}

fn scan(encoding: Encoding, bytes: &[u8], total: Option<u64>, piece: usize) -> Result<Told, ScanError> {
    let mut told = Told::default();
    let mut scanner = Scanner::new(encoding, Limits::default(), total);
    let mut on = |event: Event<'_>| {
        let text = |tag: dicom_core::Tag| tag.to_string().trim_matches(['(', ')']).to_owned();
        match event {
            Event::Element(e) => {
                told.raw.extend_from_slice(e.raw);
                let long = e.raw.len() - e.value.len() == 12 || e.vr.is_none();
                let at = e.raw.len() - e.value.len() - 4;
                told.elements.push(Seen {
                    tag: text(e.tag),
                    vr: e.vr.map(|vr| vr.to_string().to_owned()),
                    undefined: long && e.raw[at..at + 4] == [0xFF; 4],
                    value: e.value.to_vec(),
                    holds_pixels: e.holds_pixels,
                });
            }
            Event::Begin(head) => {
                told.raw.extend_from_slice(head.raw);
                told.elements.push(Seen {
                    tag: text(head.tag),
                    vr: head.vr.map(|vr| vr.to_string().to_owned()),
                    undefined: head.length == sealgate::seal::element::Length::Undefined,
                    ..Seen::default()
                });
            }
            Event::Bytes(bytes) => {
                told.raw.extend_from_slice(bytes);
                told.elements.last_mut().expect("begun").value.extend_from_slice(bytes);
            }
            Event::End(tail) => {
                told.elements.last_mut().expect("begun").holds_pixels = tail.holds_pixels;
            }
        }
        Ok::<(), ScanError>(())
    };
    for piece in bytes.chunks(piece) {
        scanner.push(piece, &mut on)?;
    }
    scanner.finish()?;
    Ok(told)
}

#[cfg(feature = "peers")]
mod real {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use sealgate::dicom::Uid;
    use sealgate::seal::scan::part10;

    use super::*;

    fn folder() -> PathBuf {
        std::env::var_os("SEALGATE_REAL_DICOM")
            .expect("SEALGATE_REAL_DICOM names a folder of DICOM files")
            .into()
    }

    /// What pydicom sees: path, transfer syntax, lines of elements.
    fn pydicom(folder: &Path) -> Vec<(String, String, Vec<String>)> {
        let python = std::env::var("SEALGATE_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/elements.py");
        let output = Command::new(python).arg(script).arg(folder).output().expect("python starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut files = Vec::new();
        for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["F", path, syntax] => files.push((path.to_owned(), syntax.to_owned(), Vec::new())),
                ["E", ..] => files.last_mut().expect("a file first").2.push(line.to_owned()),
                _ => println!("{line}"),
            }
        }
        files
    }

    #[test]
    fn real_files_are_read_as_pydicom_reads_them() {
        let folder = folder();
        for (path, syntax, expected) in pydicom(&folder) {
            let file = std::fs::read(folder.join(&path)).expect("the file can be read");
            let fallback = Uid::parse(&syntax).expect("a UID");
            let front = part10::read(&mut &file[..], &Limits::default(), Some(&fallback));
            let (front, _) = match front {
                Ok(f) => f,
                Err(e) => {
                    println!("R {path}: {e}");
                    continue;
                }
            };
            let Some(syntax) = TransferSyntax::by_uid(front.transfer_syntax.as_str()) else {
                println!("S {path} {}", front.transfer_syntax);
                continue;
            };
            let bytes = &file[front.raw.len()..];
            let told = match scan(syntax.encoding, bytes, Some(bytes.len() as u64), 4096) {
                Ok(t) => t,
                Err(e) => {
                    println!("R {path}: {e}");
                    continue;
                }
            };
            let lines: Vec<String> = told.elements.iter().map(line_of).collect();
            if !same(&lines, &expected) {
                println!("D {path}");
                for l in lines.iter().filter(|l| !expected.contains(l)) {
                    println!("   ours   {l}");
                }
                for l in expected.iter().filter(|l| !lines.contains(l)) {
                    println!("   theirs {l}");
                }
            }
        }
    }
    fn same(a: &[String], b: &[String]) -> bool {
        a.len() == b.len()
            && a.iter().zip(b).all(|(a, b)| a.split('\t').zip(b.split('\t')).all(|(a, b)| a == b || b == "-"))
    }

    fn line_of(seen: &Seen) -> String {
        let value = if seen.undefined { &seen.value[..seen.value.len() - 8] } else { &seen.value[..] };
        let length = if seen.undefined { "u".to_owned() } else { value.len().to_string() };
        let mut crc = flate2::Crc::new();
        crc.update(value);
        let vr = seen.vr.as_deref().unwrap_or("--");
        format!("E\t{}\t{vr}\t{length}\t{}", seen.tag, crc.sum())
    }
}
