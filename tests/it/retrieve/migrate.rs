//! An archive that was there before: sealed in place, read back, and opened again; crashed in the middle and gone on with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;

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

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_asked_by_move_is_sealed_and_opened_through_our_own_door() {
    let port = free_port();
    let archive = Dcmqrscp::start(&[("SEALGATE", port)]);
    let front = Front::over(&[("pacs", &archive.address(), "move")]);
    let (study, samples) = one_study();
    let samples = &samples[..4];
    fill(&archive, samples).await;
    let (door, journal) = (format!("127.0.0.1:{port}"), front.site.path("journal"));
    let migrate = |more: &[&str]| {
        let common = ["migrate", "--from", "pacs", "--json", "--listen", &door];
        front.site.sealgate(&[&common[..], more].concat())
    };
    let sealed = migrate(&["--journal", journal.to_str().unwrap()]);
    assert!(sealed.status.success() && text(&sealed).contains("\"changed\":4"), "{}", text(&sealed));
    assert!(!has_clear_pixels(&archive, samples), "what was clear is gone");
    archive.process.says("Move", 1);

    let (folder, journal) = (front.site.path("out"), front.site.path("j2"));
    fs::create_dir(&folder).unwrap();
    let opened =
        migrate(&["--open", "--out", folder.to_str().unwrap(), "--journal", journal.to_str().unwrap()]);
    assert!(opened.status.success() && text(&opened).contains("\"changed\":4"), "{}", text(&opened));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), samples.len());

    // Where nobody listens for it, it is not done, and says for which study.
    let journal = front.site.path("j3");
    let astray = free_port();
    let elsewhere = format!("127.0.0.1:{astray}");
    let failed = front.site.sealgate(&[
        "migrate",
        "--from",
        "pacs",
        "--json",
        "--listen",
        &elsewhere,
        "--journal",
        journal.to_str().unwrap(),
    ]);
    assert_eq!(failed.status.code(), Some(5), "{}", text(&failed));
    assert!(text(&failed).contains(&study), "{}", text(&failed));
}

#[tokio::test]
async fn the_door_of_a_migration_is_closed_to_whoever_was_not_asked() {
    let own = sealgate::dicom::AeTitle::parse("SEALGATE").unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let limits = sealgate::association::Config::default();
    let landing = sealgate::flow::migrate::Landing::open(any, None, own, limits).await.unwrap();
    let (_, samples) = one_study();
    let address = sealgate::dicom::AeAddress::parse(&format!("SEALGATE@{}", landing.address())).unwrap();
    let calling = sealgate::dicom::AeTitle::parse("PACS").unwrap();
    let to = sealgate::scu::Destination { address, calling };
    let (door, config) = (sealgate::association::Config::default(), Arc::default());
    let proposals = for_storing([&samples[0].instance.need()]);
    let refused =
        sealgate::scu::Caller::associate(&sealgate::scu::Tcp, &to, &proposals, &door, &config).await;
    let refused = refused.err().expect("refused").to_string();
    assert!(refused.contains("calling AE title"), "{refused}");
}
