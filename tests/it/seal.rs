//! Sealing and opening: every real file, every kind of pixels, whatever a PACS does in between.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use sealgate::cipher::Layers;
use sealgate::seal::{
    Binding, Changes, ContentKey, FileError, HeaderMode, KeyId, NewSeal, SealError, Suite, open_file,
    seal_file,
};

pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut pending = vec![folder.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { pending.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

pub(crate) const KEY: [u8; 32] = [0x42; 32];

pub(crate) fn seal(file: &[u8]) -> Result<Vec<u8>, FileError<std::convert::Infallible>> {
    let mut out = Cursor::new(Vec::new());
    seal_file(
        file,
        &mut out,
        &Layers::none(),
        |sop_class, sop_instance| {
            let binding =
                Binding { suite: Suite::DeepKeyGen, key_id: KeyId::new([9; 16]), sop_class, sop_instance };
            Ok(NewSeal { binding, key: ContentKey::new(KEY), key_record: Some(b"a key record".to_vec()) })
        },
        |_| None,
    )?;
    Ok(out.into_inner())
}

pub(crate) fn open(
    file: &[u8],
    mode: HeaderMode,
) -> Result<(Vec<u8>, Changes), FileError<std::convert::Infallible>> {
    let mut out = Vec::new();
    let opened = open_file(file, &mut out, mode, &Layers::none(), |_| Ok(ContentKey::new(KEY)))?;
    Ok((out, opened.changes))
}

#[cfg(feature = "peers")]
pub(crate) fn real_files() -> Vec<PathBuf> {
    let folder = std::env::var("SEALGATE_REAL_DICOM").expect("SEALGATE_REAL_DICOM: see tests/run");
    files_below(Path::new(&folder))
}

#[cfg(feature = "peers")]
#[test]
fn every_real_file_comes_back_byte_for_byte() {
    let (mut sealed_files, mut refused) = (0, Vec::new());
    for path in real_files() {
        let original = std::fs::read(&path).unwrap();
        match seal(&original) {
            Ok(sealed) => {
                for mode in [HeaderMode::Current, HeaderMode::Original] {
                    let (opened, changes) =
                        open(&sealed, mode).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
                    assert!(opened == original, "{} {mode:?} {changes:?}", path.display());
                    assert!(changes.is_empty(), "{} {changes:?}", path.display());
                }
                sealed_files += 1;
            }
            Err(FileError::Seal(SealError::NoPixels)) => {}
            Err(error) => refused.push(format!("{}: {error}", path.display())),
        }
    }
    println!("{sealed_files} {refused:#?}");
    assert!(sealed_files > 100);
}
