//! An archive that was there before: sealed in place, read back, and opened again; crashed in the middle and gone on with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use dicom_core::Tag;
use dicom_object::open_file;
use sealgate::scu::{for_storing, store};

use super::site::{Front, needs_of, one_study};
use crate::peers::archive::call;
use crate::peers::{Dcmqrscp, Sample, free_port};

async fn fill(archive: &Dcmqrscp, samples: &[Sample]) {
    let mut caller = call(archive.address(), &for_storing(&needs_of(samples))).await;
    for one in samples {
        store(&mut caller, &one.instance, &mut one.data_set.clone()).await.unwrap();
    }
    caller.release().await;
}

fn has_clear_pixels(archive: &Dcmqrscp, samples: &[Sample]) -> bool {
    // A run from the middle that is no plain background.
    let middle = &samples[0].data_set[samples[0].data_set.len() / 2..];
    let is_telling = |run: &&[u8]| run.iter().collect::<BTreeSet<_>>().len() > 16;
    let pixels = middle.windows(64).find(is_telling).expect("an image");
    archive.files().iter().any(|path| fs::read(path).unwrap().windows(64).any(|window| window == pixels))
}

fn text(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_sealed_in_place_and_opened_again() {
    let (archive, other) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let front = Front::over(&[("pacs", &archive.address(), "get"), ("other", &other.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..4];
    fill(&archive, samples).await;
    assert!(has_clear_pixels(&archive, samples), "as it was");
    let journal = front.site.path("journal");
    let journal = journal.to_str().unwrap();
    let migrate = |more: &[&str]| {
        front.site.sealgate(&[&["migrate", "--from", "pacs", "--journal", journal], more].concat())
    };

    let seen = text(&migrate(&["--dry-run"]));
    assert!(seen.contains(&study) && !front.site.path("journal").exists(), "{seen}");
    let sealed = migrate(&["--json", "--per-second", "50"]);
    assert!(sealed.status.success(), "{}", text(&sealed));
    assert!(text(&sealed).contains("\"changed\":4"), "{}", text(&sealed));
    assert!(!has_clear_pixels(&archive, samples), "what was clear is gone");
    let (came, ended) = front.get("VIEWER", &study, &needs_of(samples)).await;
    // The archive has written headers anew before they were sealed; pixels are as they were.
    let shows_pixels = |one: &Sample| {
        let middle = one.data_set.len() / 2;
        let pixels = &one.data_set[middle..middle + 1000];
        came[one.instance.instance.as_str()].1.windows(1000).any(|window| window == pixels)
    };
    assert!(ended.is_complete() && samples.iter().all(shows_pixels), "{ended:?}");
    let again = migrate(&[]);
    assert!(again.status.success() && text(&again).contains("1 were before"), "{}", text(&again));
    let wrong = migrate(&["--to", "other"]);
    assert!(!wrong.status.success() && text(&wrong).contains("another migration"), "{}", text(&wrong));

    // The way out: into a folder, and to another archive.
    let folder = front.site.path("out");
    fs::create_dir(&folder).unwrap();
    let open =
        |more: &[&str]| front.site.sealgate(&[&["migrate", "--from", "pacs", "--open"], more].concat());
    let opened =
        open(&["--out", folder.to_str().unwrap(), "--journal", front.site.path("j2").to_str().unwrap()]);
    assert!(opened.status.success(), "{}", text(&opened));
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let file = open_file(entry.unwrap().path()).unwrap();
        let instance =
            file.element(Tag(0x0008, 0x0018)).unwrap().to_str().unwrap().trim_end_matches('\0').to_owned();
        files.insert(instance, file.element(Tag(0x7FE0, 0x0010)).unwrap().to_bytes().unwrap().to_vec());
    }
    assert_eq!(files.len(), samples.len());
    for one in samples {
        assert!(
            one.data_set.ends_with(&files[one.instance.instance.as_str()]) || {
                let pixels = &files[one.instance.instance.as_str()];
                one.data_set.windows(pixels.len()).any(|window| window == pixels)
            }
        );
    }
    let opened = open(&["--to", "other", "--journal", front.site.path("j3").to_str().unwrap()]);
    assert!(opened.status.success(), "{}", text(&opened));
    assert!(has_clear_pixels(&other, samples));
    assert!(!open(&[]).status.success(), "it has to be said where");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_back_is_not_called_done() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], free_port());
    let (_, samples) = one_study();
    fill(&archive, &samples[..2]).await;
    let journal = front.site.path("journal");
    let migrate =
        || front.site.sealgate(&["migrate", "--from", "pacs", "--journal", journal.to_str().unwrap()]);
    // One file of the archive is gone, its index does not know it.
    fs::remove_file(&archive.files()[0]).unwrap();
    let output = migrate();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    let written = fs::read_to_string(&journal).unwrap();
    assert!(written.contains("\"done\":false") && written.contains("1 of 2 instances failed"), "{written}");
    fill(&archive, &samples[..2]).await;
    let output = migrate();
    assert!(output.status.success(), "{}", text(&output));
}
