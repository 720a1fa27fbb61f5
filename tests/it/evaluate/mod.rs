//! The measures against answers made with SciPy, scikit-image and the NIST documents, and weak sources against the report.

mod images;
mod min_entropy;
mod report;
mod suite;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/evaluate").join(name)
}

fn data(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

/// What `testdata/evaluate/known_answers.py` found.
fn answers() -> Value {
    serde_json::from_slice(&data("known_answers.json")).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is a number"))
}

#[track_caller]
fn near(what: &str, ours: f64, theirs: f64, tolerance: f64) {
    let distance = (ours - theirs).abs() / theirs.abs().max(1.0);
    assert!(distance <= tolerance, "{what}: {ours}, the known answer is {theirs}");
}
