//! Readers written from `docs/FORMAT.md` alone, in another language, open what Sealgate wrote.

use std::process::Command;

#[test]
fn a_reader_written_from_the_document_opens_every_wrapped_key() {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(format!("{root}/tests/.venv/bin/python"))
        .arg(format!("{root}/testdata/keys/open.py"))
        .output()
        .expect("the virtual environment is there: run tests/run install");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.lines().count() == 4, "{output:?}");
}

#[test]
fn a_reader_written_from_the_document_opens_every_golden_file_and_no_fault() {
    let root = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(format!("{root}/tests/.venv/bin/python"))
        .arg(format!("{root}/testdata/seal/open.py"))
        .output()
        .expect("the virtual environment is there: run tests/run install");
    let said = String::from_utf8_lossy(&output.stdout);
    let count = |word: &str| said.lines().filter(|line| line.starts_with(word)).count();
    assert!(output.status.success(), "{output:?}");
    assert_eq!((count("opened"), count("refused")), (22, 93), "{said}");
}
