//! What an earlier version left on the disk - keys, a full spool, an audit trail - is taken over by this one.
//!
//! `testdata/upgrade/VERSION` was written by that version, with
//! `cargo test --test it writes_what_this_version_leaves -- --ignored`, and is never changed.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sealgate::dicom::Status;

use super::hospital::{Hospital, opened};
use super::image::Image;
use super::pacs::Pacs;
use crate::gateway::SOON;

/// Images that wait in the spool of a fixture.
const WAITING: u32 = 6;
const STUDY: u32 = 20;

fn image(number: u32) -> Image {
    Image::new(STUDY, number, 40)
}

fn config(address: &str) -> String {
    format!(
        "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\n\
         [[destinations]]\nname = \"pacs\"\naddress = \"{address}\"\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n"
    )
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/upgrade")
}

/// Copies a folder, everything in it for its owner alone: what is checked out knows no modes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, new) = entry.map(|entry| (entry.path(), to.join(entry.file_name()))).unwrap();
        if path.is_dir() {
            copy(&path, &new);
        } else if path.extension().is_none_or(|end| end != "spare") {
            fs::write(&new, fs::read(&path).unwrap()).unwrap();
            fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// A site over what a version left.
fn left_by(version: &Path, address: &str) -> Hospital {
    let hospital = Hospital::without_keys(&config(address));
    for folder in ["keys", "spool", "audit"] {
        copy(&version.join(folder), &hospital.path(folder));
    }
    // What is checked out knows no empty folders.
    fs::DirBuilder::new().mode(0o700).create(hospital.path("spool/damaged")).unwrap();
    hospital
}

#[tokio::test(flavor = "multi_thread")]
async fn every_earlier_version_hands_over_its_keys_its_queue_and_its_trail() {
    let mut versions: Vec<_> = fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    versions.retain(|path| path.is_dir());
    assert!(!versions.is_empty(), "there is no fixture");
    for version in versions {
        let name = version.display();
        let pacs = Pacs::start().await;
        let hospital = left_by(&version, &pacs.peer());
        assert_eq!(hospital.spool().entries.len(), WAITING as usize, "{name}");
        let mut gateway = hospital.start("");
        assert!(pacs.keeps(WAITING as usize, SOON * 3).await, "{name}\n{}", gateway.log());
        let archive = hospital.archive();
        for kept in pacs.kept() {
            let number = kept.instance.rsplit('.').next().unwrap().parse().unwrap();
            let (original, _) = opened(&archive, &kept).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(original == image(number).data_set, "{name}: image {number} is another");
        }
        // And life goes on.
        let new = Image::new(STUDY, 1000, 40);
        assert_eq!(hospital.store(std::slice::from_ref(&new)).await, [Ok(Status::SUCCESS)], "{name}");
        assert!(pacs.keeps(WAITING as usize + 1, SOON).await, "{name}\n{}", gateway.log());
        gateway.signal("TERM");
        assert!(gateway.wait().success(), "{name}\n{}", gateway.log());
        for check in [&["keys", "verify"][..], &["audit", "verify"]] {
            let output = hospital.sealgate(check);
            assert!(output.status.success(), "{name}: {check:?}: {output:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes testdata/upgrade for the version that is being released"]
async fn writes_what_this_version_leaves() {
    let out = fixtures().join(concat!("v", env!("CARGO_PKG_VERSION")));
    assert!(!out.exists(), "{} is there already, and is never changed", out.display());
    // Nothing listens on port 9.
    let hospital = Hospital::new(&config("PACS@127.0.0.1:9"));
    let mut gateway = hospital.start("");
    let images: Vec<_> = (1..=WAITING).map(image).collect();
    let answers = hospital.store(&images).await;
    assert!(answers.iter().all(|answer| *answer == Ok(Status::SUCCESS)), "{answers:?}");
    gateway.signal("TERM");
    gateway.wait();
    for folder in ["keys", "spool", "audit"] {
        copy(&hospital.path(folder), &out.join(folder));
    }
}
