//! Documents: sealed at the PACS, given back to those who may open them, and by the way out.

use std::fs;

use sealgate::scu::for_storing;

use super::site::{Front, needs_of, study_of};
use crate::peers::{Orthanc, data_set_of};
use crate::store::pdf_instance;

const WORDS: &str = "a diagnosis that nobody else may read ";

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_ciphertext_at_the_pacs_and_comes_back_to_those_who_may_open_it() {
    let archive = Orthanc::start();
    let archives = [("pacs", &archive.address(), "get")];
    let front = Front::with(&archives, "name = \"all\"\n", "name = \"all\"\nwithout_pixels = \"seal\"\n");
    let folder = tempfile::tempdir().unwrap();
    let letter = pdf_instance(WORDS, folder.path());
    let uid = letter.instance.instance.to_string();
    let study = study_of(&letter).unwrap();
    front.store(std::slice::from_ref(&letter)).await;
    let held = archive.file(&uid).unwrap();
    assert!(!held.windows(11).any(|at| at == b"a diagnosis"), "the PACS cannot read it");

    let needs = needs_of(std::slice::from_ref(&letter));
    assert!(!for_storing(&needs).is_empty());
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(ended.is_complete(), "{ended:?}\n{}", front.gateway.log());
    assert_eq!(came[&uid].0, letter.instance.transfer_syntax);
    assert!(came[&uid].1 == letter.sent(), "byte for byte");
    let (came, _) = front.get("BACKUP", &study, &needs).await;
    assert!(data_set_of(&held) == Some(&came[&uid].1[..]), "who may not open gets what the PACS has");

    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    let (out_text, journal) = (out.to_str().unwrap(), folder.path().join("journal"));
    let whence = ["migrate", "--from", "pacs", "--journal", journal.to_str().unwrap()];
    let output = front.site.sealgate(&[&whence[..], &["--open", "--out", out_text]].concat());
    assert!(output.status.success(), "{output:?}");
    let files = crate::seal::files_below(&out);
    assert_eq!(files.len(), 1, "{output:?}");
    let opened = fs::read(&files[0]).unwrap();
    assert!(data_set_of(&opened) == Some(&letter.sent()[..]), "the way out opens it too");
}
