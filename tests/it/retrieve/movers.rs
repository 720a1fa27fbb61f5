//! Archives that move in their own way: without a word of which C-MOVE a store belongs to, under another name, or not at all.

use std::process::Command;

use sealgate::dicom::{AeAddress, Status};

use super::differing;
use super::site::{Front, needs_of, one_study};
use crate::peers::{Process, Sample, free_port, python};
use crate::taker::Taker;

/// A running `tests/peers/mover.py`, and a gateway before it that it knows.
struct Scene {
    archive: Process,
    _folder: tempfile::TempDir,
    viewer: Taker,
    front: Front,
    study: String,
    samples: Vec<Sample>,
}

/// Starts `tests/peers/mover.py` with these options, which moves to this port; and what it keeps is in a folder.
pub(super) fn mover(back: u16, options: &[&str]) -> (Process, tempfile::TempDir, AeAddress) {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let script = format!("{}/tests/peers/mover.py", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python());
    command.args(["-B", &script, &format!("--port={port}"), &format!("--back={back}")]);
    command.arg(format!("--folder={}", folder.path().display())).args(options);
    let archive = Process::start(&mut command, folder.path().join("log"), port);
    (archive, folder, AeAddress::parse(&format!("PYNETDICOM@127.0.0.1:{port}")).unwrap())
}

impl Scene {
    async fn new(options: &[&str]) -> Self {
        let (back, viewer) = (free_port(), Taker::start().await);
        let (archive, folder, address) = mover(back, options);
        let front = Front::start(back, &[("pacs", &address, "move")], viewer.address.port());
        let (study, samples) = one_study();
        front.store(&samples).await;
        Self { archive, _folder: folder, viewer, front, study, samples }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_name_no_move_reach_the_one_who_asked_and_two_at_once_get_their_own() {
    let scene = Scene::new(&["--silent"]).await;
    let Scene { front, study, samples, .. } = &scene;
    let needs = needs_of(samples);
    let (came, ended) = front.get("VIEWER", study, &needs).await;
    assert!(
        ended.is_complete() && differing(samples, &came).is_empty(),
        "{ended:?}\n{}",
        front.gateway.log()
    );
    // From now on it is known that this archive names nothing: one waits for the other.
    for _ in 0..2 {
        let (one, other) =
            tokio::join!(front.get("VIEWER", study, &needs), front.get("BACKUP", study, &needs));
        let log = front.gateway.log();
        assert!(one.1.is_complete() && differing(samples, &one.0).is_empty(), "{:?}\n{log}", one.1);
        assert!(other.1.is_complete() && other.0.len() == samples.len(), "{:?}\n{log}", other.1);
        assert_eq!(differing(samples, &other.0).len(), samples.len(), "what is sealed is no image");
    }
    let (_, ended) = front.move_to("VIEWER", study, "VIEWER-IN").await;
    assert!(ended.is_complete() && scene.viewer.taken().len() == samples.len(), "{ended:?}");
    assert_eq!(scene.archive.log().matches("move 8").count(), 6);
    assert_eq!(front.site.in_spool(), 0, "none of it was taken for a new instance");
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_name_the_archive_itself_as_the_originator_reach_the_one_who_asked() {
    let scene = Scene::new(&[]).await;
    let Scene { front, study, samples, .. } = &scene;
    let taken_in = || front.gateway.log().matches("instance taken in").count();
    let before = taken_in();
    let (came, ended) = front.get("VIEWER", study, &needs_of(samples)).await;
    assert!(ended.is_complete() && differing(samples, &came).is_empty(), "{ended:?}");
    assert_eq!(taken_in(), before, "none of it was taken for a new instance");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_viewers_of_an_archive_that_was_not_known_to_name_nothing_never_get_each_others_form() {
    let scene = Scene::new(&["--silent"]).await;
    let Scene { front, study, samples, .. } = &scene;
    let needs = needs_of(samples);
    let (one, other) = tokio::join!(front.get("VIEWER", study, &needs), front.get("BACKUP", study, &needs));
    // A store that could be of both is of neither: then it is missing, and that is told.
    for (who, (came, ended)) in [("VIEWER", &one), ("BACKUP", &other)] {
        let is_whole = ended.is_complete() && came.len() == samples.len();
        let is_told = ended.answer.status != Status::SUCCESS;
        assert!(is_whole || is_told, "{who}: {ended:?}\n{}", front.gateway.log());
    }
    let of = |came: &super::site::Came| -> Vec<Sample> {
        let here = |sample: &&Sample| came.contains_key(sample.instance.instance.as_str());
        samples.iter().filter(here).cloned().collect()
    };
    assert!(differing(&of(&one.0), &one.0).is_empty(), "VIEWER gets images");
    assert_eq!(differing(&of(&other.0), &other.0).len(), other.0.len(), "BACKUP gets ciphertext");
    front.drain().await;
    let (came, ended) = front.get("VIEWER", study, &needs).await;
    assert!(
        ended.is_complete() && differing(samples, &came).is_empty(),
        "afterwards all is as before: {ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_says_it_has_sent_and_has_not_is_told_as_incomplete() {
    let scene = Scene::new(&["--never"]).await;
    let Scene { front, study, samples, .. } = &scene;
    let (came, ended) = front.get("VIEWER", study, &needs_of(samples)).await;
    assert!(came.is_empty() && ended.answer.status == Status::SUB_OPERATIONS_REFUSED, "{ended:?}");
    let comment = ended.answer.comment.as_ref().expect("it says why").as_written();
    assert!(comment.contains("pacs has not answered in full"), "{comment}");
    let line = front.gateway.wait_for_log("a retrieval was not answered in full");
    assert!(line.contains("it has sent 8 instances, 0 came to our door"), "{line}");
    let (_, ended) = front.move_to("VIEWER", study, "VIEWER-IN").await;
    assert_eq!(ended.answer.status, Status::SUB_OPERATIONS_REFUSED, "{ended:?}");
    assert!(scene.viewer.taken().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_sends_under_a_name_that_nobody_knows_gets_in_nowhere() {
    let scene = Scene::new(&["--title=FOREIGN"]).await;
    let Scene { front, study, samples, .. } = &scene;
    let (came, ended) = front.get("VIEWER", study, &needs_of(samples)).await;
    assert!(came.is_empty() && ended.answer.status != Status::SUCCESS, "{ended:?}");
    let line = front.gateway.wait_for_log("association refused");
    assert!(line.contains("FOREIGN"), "{line}");
    assert_eq!(front.site.in_spool(), 0);
}
