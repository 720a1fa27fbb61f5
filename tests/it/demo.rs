//! `sealgate demo`: the first thing that somebody new sees.

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

fn demo(folder: &std::path::Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sealgate"))
        .args(["demo", "--once", "--json", "--folder"])
        .arg(folder)
        .output()
        .unwrap()
}

#[test]
fn a_demo_shows_every_image_sealed_opened_and_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path());
    assert!(output.status.success(), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["ok"], true);
    let images = told["images"].as_array().unwrap();
    assert_eq!(images.len(), 5);
    for image in images {
        assert_eq!(image["viewer_got_the_original"], true, "{image}");
        assert_eq!(image["archive_shows_pixels"], false, "{image}");
        assert_eq!(image["stranger"], serde_json::json!(["0124H", 0]), "{image}");
    }
    let picture = |name: &str| fs::read(folder.path().join("pictures").join(name)).unwrap();
    let [sent, archived, viewed] =
        ["1-sent", "2-in-the-archive", "3-viewed"].map(|stage| picture(&format!("CT-16-bits-{stage}.png")));
    assert_eq!(sent, viewed);
    // Noise does not compress.
    assert!(archived.len() > sent.len() * 3 / 2, "{} and {}", archived.len(), sent.len());
    assert_eq!(
        fs::read_dir(folder.path().join("pictures")).unwrap().count(),
        3 * images.len(),
        "all can be looked at"
    );
    assert_eq!(fs::read_dir(folder.path().join("archive")).unwrap().count(), 5);
    let waits = |file: &fs::DirEntry| file.path().extension().is_none_or(|end| end != "spare");
    let spool = fs::read_dir(folder.path().join("spool/entries")).unwrap();
    assert_eq!(spool.filter(|file| waits(file.as_ref().unwrap())).count(), 0, "all forwarded");
}

#[test]
fn a_demo_leaves_a_folder_alone_that_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine"), "kept").unwrap();
    let output = demo(folder.path());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("is not empty: give a new folder"),
        "{output:?}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
