//! Documents: sealed at the PACS, given back to those who may open them, and by the way out.

use std::fs;

use sealgate::scu::for_storing;

use super::faults::MAGIC;
use super::site::{Front, needs_of, study_of};
use crate::peers::{Orthanc, Sample, data_set_of};
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

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_letter_on_a_route_that_passes_letters_is_not_called_clear() {
    let archive = Orthanc::start();
    let archives = [("pacs", &archive.address(), "get")];
    let mut front = Front::with(&archives, "name = \"all\"\n", "name = \"all\"\nwithout_pixels = \"seal\"\n");
    let folder = tempfile::tempdir().unwrap();
    for words in [WORDS.to_owned(), WORDS.repeat(4000)] {
        let letter = pdf_instance(&words, folder.path());
        front.store(std::slice::from_ref(&letter)).await;
        let held = archive.file(letter.instance.instance.as_str()).unwrap();
        let sealed = Sample { data_set: data_set_of(&held).unwrap().to_vec().into(), ..letter.clone() };
        front.stop();
        let path = front.site.path("gateway.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace("without_pixels = \"seal\"", "without_pixels = \"pass\"")).unwrap();
        front.restart();
        front.store(&[sealed]).await;
        let line = front.gateway.wait_for_log("instance taken in");
        assert!(line.contains("came sealed under") && !line.contains("in clear"), "{line}");
        // A letter in clear is called that, and one that claims to be sealed and is not, too.
        let mut forged = data_set_of(&held).unwrap().to_vec();
        let at = forged.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap();
        forged[at + MAGIC.len() + 40] ^= 1;
        for data_set in [letter.data_set.to_vec(), forged] {
            front.store(&[Sample { data_set: data_set.into(), ..letter.clone() }]).await;
        }
        for line in &front.gateway.wait_for_logs("instance taken in", 3)[1..] {
            assert!(line.contains("in clear, without pixels"), "{line}");
        }
        fs::write(&path, config).unwrap();
        front.stop();
        front.restart();
    }
}
