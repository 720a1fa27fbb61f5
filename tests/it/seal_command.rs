//! `sealgate seal`, `open` and `inspect` on files, as an operator types them.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::keys::command::Site;

const SLICE: &str = "pydicom/test_files/CT_small.dcm";
const PALETTE: &str = "pydicom/test_files/examples_palette.dcm";
const REPORT: &str = "pydicom/test_files/reportsi.dcm";

fn real(name: &str) -> Vec<u8> {
    let folder = std::env::var("SEALGATE_REAL_DICOM").expect("SEALGATE_REAL_DICOM: see tests/run");
    fs::read(Path::new(&folder).join(name)).unwrap()
}

/// A site with a key, and a folder `in` with two images, one of them in a folder of its own.
fn site() -> Site {
    let site = Site::new();
    assert!(site.sealgate(&["keys", "init"]).status.success());
    fs::create_dir_all(site.path("in/deep")).unwrap();
    fs::write(site.path("in/slice.dcm"), real(SLICE)).unwrap();
    fs::write(site.path("in/deep/palette.dcm"), real(PALETTE)).unwrap();
    site
}

impl Site {
    fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn seal(&self, input: &str, out: &str, more: &[&str]) -> Output {
        self.sealgate(&[&["seal", &self.at(input), "--out", &self.at(out)], more].concat())
    }

    fn open(&self, input: &str, out: &str, more: &[&str]) -> Output {
        self.sealgate(&[&["open", &self.at(input), "--out", &self.at(out)], more].concat())
    }
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[test]
fn a_folder_is_sealed_and_opened_again() {
    let site = site();
    let sealed = site.seal("in", "sealed", &["--json"]);
    assert!(sealed.status.success(), "{sealed:?}");
    assert_eq!(lines(&sealed).len(), 2);
    let slice = fs::read(site.path("sealed/slice.dcm")).unwrap();
    assert_ne!(slice, real(SLICE));

    let inspected = site.sealgate(&["inspect", &site.at("sealed/slice.dcm")]);
    assert!(said(&inspected).contains("sealed with deepkeygen"), "{inspected:?}");
    assert!(said(&inspected).contains("opens with site (key 1)"), "{inspected:?}");

    let opened = site.open("sealed", "opened", &["--json"]);
    assert!(opened.status.success(), "{opened:?}");
    for line in lines(&opened) {
        assert_eq!(
            (&line["key_from"], &line["changed"]),
            (&"store".into(), &serde_json::json!([])),
            "{line}"
        );
    }
    assert!(fs::read(site.path("opened/slice.dcm")).unwrap() == real(SLICE));
    assert!(fs::read(site.path("opened/deep/palette.dcm")).unwrap() == real(PALETTE));
}

#[test]
fn each_archive_mode_opens_from_where_it_keeps_the_key() {
    for (mode, from) in [("tag", "tag"), ("sidecar", "store"), ("both", "store")] {
        let site = site();
        let set = format!("keys.archive={mode}");
        let sealed = site.seal("in/slice.dcm", "sealed", &["--set", &set]);
        assert!(sealed.status.success(), "{sealed:?}");
        let opened = site.open("sealed", "opened", &["--json"]);
        assert_eq!(lines(&opened)[0]["key_from"], from, "{opened:?}");
        assert!(fs::read(site.path("opened/slice.dcm")).unwrap() == real(SLICE));
    }
}

#[test]
fn a_lost_key_store_is_made_up_for_by_the_tag_and_nothing_else() {
    let site = site();
    assert!(site.seal("in/slice.dcm", "both", &[]).status.success());
    assert!(site.seal("in/slice.dcm", "sidecar", &["--set", "keys.archive=sidecar"]).status.success());
    for file in fs::read_dir(site.path("keys")).unwrap().map(|entry| entry.unwrap().path()) {
        if file.to_str().unwrap().contains("store.sqlite") {
            fs::remove_file(file).unwrap();
        }
    }
    let opened = site.open("both", "opened", &["--json"]);
    assert_eq!(lines(&opened)[0]["key_from"], "tag", "{opened:?}");
    let refused = site.open("sidecar", "opened2", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("key"), "{refused:?}");
    assert!(!site.path("opened2/slice.dcm").exists(), "nothing is left of what did not open");
}

#[test]
fn nothing_is_overwritten_unless_asked() {
    let site = site();
    assert!(site.seal("in/slice.dcm", "sealed", &[]).status.success());
    let before = fs::read(site.path("sealed/slice.dcm")).unwrap();
    let again = site.seal("in/slice.dcm", "sealed", &[]);
    assert_eq!(again.status.code(), Some(1));
    assert!(said(&again).contains("--force"), "{again:?}");
    assert_eq!(fs::read(site.path("sealed/slice.dcm")).unwrap(), before);
    assert!(site.seal("in/slice.dcm", "sealed", &["--force"]).status.success());
    assert_ne!(fs::read(site.path("sealed/slice.dcm")).unwrap(), before, "a new key each time");
}

#[test]
fn what_is_sealed_is_not_sealed_twice_and_what_only_claims_it_is() {
    let site = site();
    assert!(site.seal("in/slice.dcm", "sealed", &[]).status.success());
    let twice = site.seal("sealed/slice.dcm", "twice", &[]);
    assert_eq!(twice.status.code(), Some(1));
    assert!(said(&twice).contains("sealed already"), "{twice:?}");

    // Of another site, and so with a key that this one does not have: foreign data, and sealed.
    let other = Site::new();
    assert!(other.sealgate(&["keys", "init"]).status.success());
    fs::copy(site.path("sealed/slice.dcm"), other.path("foreign.dcm")).unwrap();
    assert!(other.seal("foreign.dcm", "sealed", &[]).status.success());
    assert!(other.open("sealed", "opened", &["--original"]).status.success());
    assert!(
        fs::read(other.path("opened/foreign.dcm")).unwrap() == fs::read(other.path("foreign.dcm")).unwrap()
    );
    assert!(other.open("sealed", "current", &[]).status.success());
    assert!(
        fs::read(other.path("current/foreign.dcm")).unwrap() == fs::read(other.path("foreign.dcm")).unwrap()
    );
}

#[test]
fn files_without_pixels_are_refused_copied_or_left_out_as_asked() {
    let site = site();
    fs::write(site.path("report.dcm"), real(REPORT)).unwrap();
    let refused = site.seal("report.dcm", "a", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        said(&refused).contains("no pixels") && said(&refused).contains("--without-pixels"),
        "{refused:?}"
    );
    assert!(site.seal("report.dcm", "b", &["--without-pixels", "skip"]).status.success());
    assert!(!site.path("b/report.dcm").exists());
    assert!(site.seal("report.dcm", "c", &["--without-pixels", "copy"]).status.success());
    assert!(fs::read(site.path("c/report.dcm")).unwrap() == real(REPORT));
}

#[test]
fn an_altered_file_is_named_and_the_others_open() {
    let site = site();
    assert!(site.seal("in", "sealed", &[]).status.success());
    let path = site.path("sealed/slice.dcm");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() - 9000;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let opened = site.open("sealed", "opened", &["--json"]);
    assert_eq!(opened.status.code(), Some(1));
    let lines = lines(&opened);
    let bad = lines.iter().find(|line| line["ok"] == false).expect("one of the two");
    assert!(bad["error"].as_str().unwrap().contains("not authentic"), "{bad}");
    assert!(lines.iter().any(|line| line["ok"] == true));
    assert!(!site.path("opened/slice.dcm").exists());
    assert!(fs::read(site.path("opened/deep/palette.dcm")).unwrap() == real(PALETTE));
}

#[test]
fn what_an_archive_changed_is_taken_over_or_left_out_as_asked() {
    let site = site();
    assert!(site.seal("in/slice.dcm", "sealed", &[]).status.success());
    let path = site.path("sealed/slice.dcm");
    let bytes = fs::read(&path).unwrap();
    let name = b"CompressedSamples^CT1";
    let at =
        bytes.windows(name.len()).position(|window| window == name).expect("the patient's name is in clear");
    let mut coerced = bytes.clone();
    coerced[at..at + 10].copy_from_slice(b"Corrected ");
    fs::write(&path, coerced).unwrap();
    let opened = site.open("sealed", "opened", &["--json"]);
    assert_eq!(lines(&opened)[0]["changed"], serde_json::json!(["(0010,0010)"]), "{opened:?}");
    let current = fs::read(site.path("opened/slice.dcm")).unwrap();
    assert!(current.windows(10).any(|window| window == b"Corrected "));
    let original = site.open("sealed", "original", &["--original", "--json"]);
    assert_eq!(lines(&original)[0]["changed"], serde_json::json!([]));
    assert!(fs::read(site.path("original/slice.dcm")).unwrap() == real(SLICE));
}

#[test]
fn the_suite_with_a_keystream_opens_with_its_generator_and_says_when_it_is_missing() {
    let site = site();
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/keygen/untrained-lite.sgg");
    let imported = site.sealgate(&["generator", "import", model, "--json"]);
    let imported: Value = serde_json::from_slice(&imported.stdout).unwrap();
    let id = imported["imported"][0]["id"].as_str().unwrap().to_owned();
    let generator = format!("keygen.generator={id}");
    let more = ["--suite", "deepkeygen-xor", "--set", &generator, "--json"];
    let sealed = site.seal("in/slice.dcm", "sealed", &more);
    assert!(sealed.status.success(), "{sealed:?}");
    assert_eq!(lines(&sealed)[0]["suite"], "deepkeygen-xor");
    let inspected = site.sealgate(&["inspect", &site.at("sealed/slice.dcm")]);
    assert!(said(&inspected).contains("sealed with deepkeygen-xor"), "{inspected:?}");

    // Another generator makes the new keys by now; the image is opened with its own.
    let opened = site.open("sealed", "opened", &[]);
    assert!(opened.status.success(), "{opened:?}");
    assert!(fs::read(site.path("opened/slice.dcm")).unwrap() == real(SLICE));

    fs::remove_file(site.path(&format!("generators/{id}.sgg"))).unwrap();
    let refused = site.open("sealed", "refused", &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains(&id) && said(&refused).contains("generator import"), "{refused:?}");
    assert!(!site.path("refused/slice.dcm").exists(), "nothing is left of what did not open");
}
