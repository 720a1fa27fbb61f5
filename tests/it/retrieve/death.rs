//! A real archive that is killed in the middle of a retrieval: what failed is named, nothing hangs, and once it is back it
//! serves again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dicom_dictionary_std::uids;
use sealgate::dicom::{AeTitle, Status};
use sealgate::scu::{Got, Moved, Retrieved, for_getting, for_service, get, move_};

use super::differing;
use super::site::{Came, Front, GET, needs_of, tall};
use crate::peers::archive::{STUDY, identifier, uid};
use crate::peers::{Orthanc, Sample, free_port};
use crate::taker::{Plan, Taker};

const MOVE: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;
/// So long may anything take on a loaded machine that ends at once otherwise.
const SOON: Duration = Duration::from_secs(60);
const IMAGES: u32 = 12;
/// Of each image: 256 bytes. They are held until they have verified, and too many to be all on their way at once.
const ROWS: u16 = 2000;

/// Orthanc behind a gateway, asked by C-GET or by C-MOVE to the gateway's own door, with a study in it.
pub(super) struct Scene {
    pub(super) archive: Orthanc,
    pub(super) front: Front,
    port: u16,
    pub(super) study: String,
    pub(super) samples: Vec<Sample>,
}

impl Scene {
    async fn new(retrieve: &str, viewer: u16) -> Self {
        let (archive, port) = (Orthanc::start(), free_port());
        archive.knows("SEALGATE", port);
        let front = Front::start(port, &[("pacs", &archive.address(), retrieve)], viewer);
        let (study, samples) = tall(IMAGES, ROWS);
        front.store(&samples).await;
        Self { archive, front, port, study, samples }
    }

    /// Starts the archive again, and retrieves everything.
    async fn serves_again(&mut self) {
        self.archive.restart();
        self.archive.knows("SEALGATE", self.port);
        let (came, ended) = self.front.get("VIEWER", &self.study, &needs_of(&self.samples)).await;
        let missing = differing(&self.samples, &came);
        assert!(ended.is_complete() && missing.is_empty(), "{ended:?}\n{}", self.front.gateway.log());
    }

    /// Whether what came and what is named as failed are together the study, and neither overlaps the other.
    fn assert_accounted_for(&self, came: &BTreeSet<String>, ended: &Retrieved) {
        let log = self.front.gateway.log();
        assert_eq!(ended.answer.status, Status(0xB000), "{ended:?}\n{log}");
        let comment = ended.answer.comment.as_ref().expect("it says why").as_written().to_owned();
        assert!(comment.contains("pacs has not answered in full"), "{comment}");
        let failed: BTreeSet<String> = ended.failed.iter().map(ToString::to_string).collect();
        let all: BTreeSet<String> =
            self.samples.iter().map(|sample| sample.instance.instance.to_string()).collect();
        assert!(came.is_disjoint(&failed), "{came:?} came, {failed:?} failed");
        assert_eq!(&came.union(&failed).cloned().collect::<BTreeSet<_>>(), &all, "{ended:?}\n{log}");
        assert_eq!(ended.counts.completed.map(usize::from), Some(came.len()), "{ended:?}");
        assert_eq!(ended.counts.failed.map(usize::from), Some(failed.len()), "{ended:?}");
    }
}

/// Gets the study, and kills the archive when the third image has begun.
async fn get_while_it_dies(scene: &mut Scene) -> (Came, Retrieved) {
    let mut caller = scene.front.call("VIEWER", &for_getting(&uid(GET), &needs_of(&scene.samples))).await;
    let context = caller.context_of(&uid(GET)).unwrap();
    let asked = identifier("STUDY", &[(STUDY, &scene.study)], context.transfer_syntax.encoding);
    let mut getting = get(&mut caller, &context, &asked).await.unwrap();
    let mut came = Came::new();
    loop {
        match getting
            .next()
            .await
            .unwrap_or_else(|failure| panic!("{failure}\n{}", scene.front.gateway.log()))
        {
            Got::Pending(_) => {}
            Got::Store(incoming) => {
                if came.len() == 2 {
                    scene.archive.process.kill();
                }
                let mut data = Vec::new();
                while let Some(piece) = getting.next_data().await.unwrap() {
                    data.extend_from_slice(&piece);
                }
                getting.answer(Status::SUCCESS).await.unwrap();
                came.insert(incoming.instance.to_string(), (incoming.context.transfer_syntax, data));
            }
            Got::Ended(ended) => {
                drop(getting);
                assert!(caller.is_free(), "the association goes on");
                caller.release().await;
                return (came, ended);
            }
        }
    }
}

async fn dies_in_a_get(retrieve: &str) {
    let mut scene = Scene::new(retrieve, free_port()).await;
    let dying = tokio::time::timeout(SOON, get_while_it_dies(&mut scene)).await;
    let (came, ended) = dying.expect("it ends by itself");
    // What came is whole.
    let here = |sample: &&Sample| came.contains_key(sample.instance.instance.as_str());
    let whole: Vec<Sample> = scene.samples.iter().filter(here).cloned().collect();
    assert!(differing(&whole, &came).is_empty() && came.len() == whole.len());
    assert!((2..scene.samples.len()).contains(&came.len()), "{} came", came.len());
    scene.assert_accounted_for(&came.into_keys().collect(), &ended);
    scene.serves_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_killed_in_the_middle_of_a_get_is_a_named_failure_and_serves_again_afterwards() {
    dies_in_a_get("get").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_killed_while_it_moves_to_our_own_door_is_a_named_failure_and_serves_again_afterwards() {
    dies_in_a_get("move").await;
}

/// Moves the study to the viewer, and kills the archive when two images have come there.
async fn move_while_it_dies(scene: &mut Scene, viewer: &Taker) -> Retrieved {
    let mut caller = scene.front.call("VIEWER", &for_service(&uid(MOVE))).await;
    let context = caller.context_of(&uid(MOVE)).unwrap();
    let asked = identifier("STUDY", &[(STUDY, &scene.study)], context.transfer_syntax.encoding);
    let to = AeTitle::parse("VIEWER-IN").unwrap();
    let mut moving = move_(&mut caller, &context, &asked, &to).await.unwrap();
    let mut is_dead = false;
    loop {
        let moved = tokio::time::timeout(Duration::from_millis(5), moving.next()).await;
        if !is_dead && viewer.taken().len() >= 2 {
            scene.archive.process.kill();
            is_dead = true;
        }
        match moved.map(|moved| moved.unwrap()) {
            Ok(Moved::Ended(ended)) => return ended,
            Ok(Moved::Pending(_)) | Err(_) => {}
        }
    }
}

async fn dies_in_a_move(retrieve: &str) {
    // Slow enough that most are still to come when two are there.
    let plan = Plan { delay: Duration::from_millis(300), ..Plan::default() };
    let viewer = Taker::start_with(plan).await;
    let mut scene = Scene::new(retrieve, viewer.address.port()).await;
    let dying = tokio::time::timeout(SOON, move_while_it_dies(&mut scene, &viewer)).await;
    let ended = dying.expect("it ends by itself");
    let taken: BTreeMap<String, Vec<u8>> =
        viewer.taken().into_iter().map(|one| (one.instance.to_string(), one.data_set)).collect();
    for sample in &scene.samples {
        if let Some(data_set) = taken.get(sample.instance.instance.as_str()) {
            assert!(*data_set == sample.sent(), "{sample:?} came otherwise than it went in");
        }
    }
    assert!((2..scene.samples.len()).contains(&taken.len()), "{} came", taken.len());
    scene.assert_accounted_for(&taken.into_keys().collect(), &ended);
    scene.serves_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_killed_in_the_middle_of_a_move_is_a_named_failure_and_serves_again_afterwards() {
    dies_in_a_move("get").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_killed_in_a_move_that_comes_by_our_own_door_is_one_too() {
    dies_in_a_move("move").await;
}
