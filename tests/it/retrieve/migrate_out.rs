//! The way out of a migration: what is written to a folder is compared byte by byte, what goes to another archive attribute
//! by attribute, before it is called done.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use sealgate::scu::{for_storing, store};

use super::has_pixels;
use super::migrate_on::said;
use super::movers::mover;
use super::site::{Front, needs_of, one_study, studies};
use crate::mount::Mount;
use crate::peers::archive::call;
use crate::peers::{Dcmqrscp, free_port};

/// An archive with a sealed study in it.
async fn sealed() -> (Dcmqrscp, Front) {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    front.store(&one_study().1[..4]).await;
    (archive, front)
}

fn open(front: &Front, out: &Path, journal: &str, more: &[&str]) -> Output {
    let journal = front.site.path(journal);
    let own = ["migrate", "--from", "pacs", "--open", "--out", out.to_str().unwrap()];
    front.site.sealgate(&[&own[..], &["--journal", journal.to_str().unwrap()], more].concat())
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_made_for_its_user_alone_and_no_file_in_it_is_ever_replaced() {
    let (_archive, front) = sealed().await;
    let out = front.site.path("out");
    let opened = open(&front, &out, "j1", &[]);
    assert!(opened.status.success(), "{}", said(&opened));
    assert_eq!(fs::metadata(&out).unwrap().mode() & 0o777, 0o700);
    let first = files(&out);
    assert_eq!(first.len(), 4);
    for path in first.keys() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (stem, kind) = name.split_once('.').unwrap();
        assert!(
            kind == "dcm" && stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{name}"
        );
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600, "{name}");
    }
    let inodes = |out: &Path| -> Vec<u64> {
        files(out).keys().map(|path| fs::metadata(path).unwrap().ino()).collect()
    };
    let before = inodes(&out);
    // The same again is the same; another file of that name stays, and its study is not done.
    assert!(open(&front, &out, "j2", &[]).status.success());
    assert_eq!(inodes(&out), before);
    let path = first.keys().next().unwrap();
    fs::write(path, b"somebody's own").unwrap();
    let refused = open(&front, &out, "j3", &[]);
    assert!(
        refused.status.code() == Some(5) && said(&refused).contains("move it away"),
        "{}",
        said(&refused)
    );
    assert_eq!(fs::read(path).unwrap(), b"somebody's own");
    assert!(fs::read_to_string(front.site.path("j3")).unwrap().contains("\"done\":false"));
    fs::remove_file(path).unwrap();
    assert!(open(&front, &out, "j3", &[]).status.success());
    assert!(files(&out) == first, "as they were");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_the_disk_gives_back_otherwise_is_not_called_done() {
    let (_archive, front) = sealed().await;
    let out = front.site.path("out");
    fs::create_dir(&out).unwrap();
    // What a bad disk does: a byte of the first file is another one before the last file is written.
    let spoiling = std::thread::spawn({
        let out = out.clone();
        move || {
            let end = Instant::now() + Duration::from_secs(60);
            loop {
                assert!(Instant::now() < end, "no file comes");
                let found = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
                if let Some(path) =
                    found.filter(|path| path.extension().is_some()).find(|path| path.is_file())
                {
                    let mut bytes = fs::read(&path).unwrap();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    fs::write(&path, bytes).unwrap();
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let opened = open(&front, &out, "j1", &["--per-second", "2"]);
    spoiling.join().unwrap();
    let words = said(&opened);
    assert!(opened.status.code() == Some(5) && words.contains("other bytes than were written"), "{words}");
    assert!(words.contains("1 of 4 instances failed"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_no_half_file_and_is_gone_on_with_when_there_is_room() {
    let (_archive, front) = sealed().await;
    let out = front.site.path("out");
    fs::create_dir(&out).unwrap();
    let mount = Mount::new(&out, "100k").expect("mounted");
    let full = open(&front, &out, "j1", &[]);
    let words = said(&full);
    assert!(full.status.code() == Some(5) && words.contains("No space left"), "{words}");
    assert!(files(&out).values().all(|file| file.len() > 30_000), "what has a name is whole");
    mount.remount("size=10m");
    let opened = open(&front, &out, "j1", &[]);
    assert!(opened.status.success(), "{}", said(&opened));
    assert_eq!(files(&out).len(), 4);
}

/// An archive in clear, and another one that gives its copies back so.
async fn copied(change: &str) -> (Dcmqrscp, Front, impl Sized) {
    let archive = Dcmqrscp::start(&[]);
    let (other, folder, address) = mover(free_port(), &[change]);
    let front = Front::over(&[("pacs", &archive.address(), "get"), ("other", &address, "get")]);
    let (_, samples) = one_study();
    // An image and a report, both in clear.
    let report = studies()
        .into_values()
        .flatten()
        .find(|one| !has_pixels(one) && one.instance.class.as_str().contains(".88."));
    let report = report.expect("a report");
    for one in [&samples[0], &report] {
        let mut caller = call(archive.address(), &for_storing(&needs_of(std::slice::from_ref(one)))).await;
        store(&mut caller, &one.instance, &mut one.data_set.clone()).await.unwrap();
        caller.release().await;
    }
    (archive, front, (other, folder))
}

fn copy(front: &Front, journal: &str, more: &[&str]) -> Output {
    let journal = front.site.path(journal);
    let own = ["migrate", "--from", "pacs", "--open", "--to", "other", "--json"];
    front.site.sealgate(&[&own[..], &["--journal", journal.to_str().unwrap()], more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_attributes_another_archive_changes_or_drops_is_named_and_done_only_if_that_is_accepted()
{
    let (_archive, front, _other) = copied("--change=StudyID=OTHER").await;
    let sealed = front.site.sealgate(&[
        "migrate",
        "--from",
        "pacs",
        "--journal",
        front.site.path("j0").to_str().unwrap(),
    ]);
    assert!(sealed.status.success(), "{}", said(&sealed));
    let changed = copy(&front, "j1", &[]);
    let words = said(&changed);
    assert_eq!(changed.status.code(), Some(5), "{words}");
    assert!(
        words.contains("1 of its attributes") && words.contains("(0020,0010); where the archive"),
        "{words}"
    );
    let accepted = copy(&front, "j1", &["--accept-changes"]);
    let words = said(&accepted);
    assert!(accepted.status.success() && words.matches("\"changed_by_archive\":1").count() == 2, "{words}");

    let (_archive, front, _other) = copied("--change=ContentSequence").await;
    let dropped = copy(&front, "j1", &[]);
    let words = said(&dropped);
    assert!(dropped.status.code() == Some(5) && words.contains("(0040,A730)"), "{words}");
    assert!(words.contains("\"done\":true"), "the image is as it was: {words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_pixels_another_archive_changes_is_never_called_done() {
    let (_archive, front, _other) = copied("--change=PixelData").await;
    let changed = copy(&front, "j1", &["--accept-changes"]);
    let words = said(&changed);
    assert!(changed.status.code() == Some(5) && words.contains("it has other pixels"), "{words}");
    assert!(words.contains("\"done\":true"), "the report is as it was: {words}");
}
