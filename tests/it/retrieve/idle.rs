//! Receivers that die while nothing is sent to them, and come back: the association that stood idle meanwhile costs the next
//! retrieval no image, and nothing is told or counted twice.

use sealgate::dicom::Status;

use super::differing;
use super::receivers::came_to;
use super::site::{Front, slices, tall};
use crate::faults::middle::Middle;
use crate::peers::{Dcmqrscp, Sample, StoreScp, free_port};
use crate::taker::{Plan, Taker};

/// An archive with a study in it, and a gateway whose viewers receive on this port. Associations are kept for longer than
/// a test takes.
async fn scene(viewer: u16, samples: &[Sample]) -> (Dcmqrscp, Front) {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::begin(free_port(), &[("pacs", &archive.address(), "get")], viewer, |config| {
        config.replacen(
            "[scu]\n",
            "[association]\nsend_seconds = 3\n[scu]\nanswer_seconds = 3\nreuse_seconds = 600\n",
            1,
        )
    });
    front.store(samples).await;
    (archive, front)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_died_without_a_word_between_two_moves_gets_every_image_of_the_second_once() {
    // Those that are held until they have verified, and one that goes out while it comes.
    for (resets, is_held, (study, samples)) in
        [(true, true, slices(3)), (false, true, slices(3)), (false, false, tall(2, 16_384))]
    {
        let viewer = Taker::start().await;
        let middle = Middle::before(viewer.address).await;
        let (_archive, front) = scene(middle.address.port(), &samples).await;
        let name = || format!("resets {resets}, held {is_held}\n{}", front.gateway.log());
        let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
        assert!(ended.is_complete() && middle.calls() == 1, "{ended:?} {}", name());
        middle.die(resets);
        let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
        assert!(ended.is_complete(), "{ended:?} {}", name());
        assert_eq!(ended.counts.completed.map(usize::from), Some(samples.len()), "{}", name());
        assert_eq!((middle.calls(), viewer.taken().len()), (2, 2 * samples.len()), "{}", name());
        assert!(differing(&samples, &came_to(&viewer)).is_empty());
        let log = front.gateway.log();
        assert_eq!(log.contains("an association that was idle is dead"), is_held, "{}", name());
        assert!(!log.contains("instance not delivered"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_took_before_its_idle_association_broke_is_counted_once() {
    let duplicate = vec![(3, Status::DUPLICATE_SOP_INSTANCE)];
    let full = vec![(2, Status::OUT_OF_RESOURCES)];
    // Completed, with a warning, failed; and how often the second move has sent it.
    for (plan, counts, sent) in [
        (Plan { abort_at: Some(2), ..Plan::default() }, [1, 0, 0], 2),
        (Plan { abort_at: Some(2), answers: duplicate, ..Plan::default() }, [0, 1, 0], 2),
        (Plan { answers: full, ..Plan::default() }, [0, 0, 1], 1),
    ] {
        let viewer = Taker::start_with(plan).await;
        let (study, samples) = slices(1);
        let (_archive, front) = scene(viewer.address.port(), &samples).await;
        let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
        assert!(ended.is_complete(), "{ended:?}\n{}", front.gateway.log());
        let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
        let counted = [ended.counts.completed, ended.counts.warning, ended.counts.failed];
        assert_eq!(counted, counts.map(Some), "{}", front.gateway.log());
        assert_eq!(viewer.taken().len(), 1 + sent, "{}", front.gateway.log());
        assert_eq!(ended.failed.len(), usize::from(counts[2]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storescp_for_one_caller_at_a_time_is_never_called_beside_an_idle_association() {
    for (study, samples) in [slices(2), tall(2, 16_384)] {
        let mut viewer = StoreScp::start_with(&["+xa"]);
        let (_archive, front) = scene(viewer.port(), &samples).await;
        for _ in 0..2 {
            let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
            assert!(ended.is_complete(), "{ended:?}\n{}", front.gateway.log());
        }
        viewer.process.kill();
        let viewer = StoreScp::start_at(viewer.port(), &["+xa"]);
        let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
        assert!(ended.is_complete(), "{ended:?}\n{}", front.gateway.log());
        assert_eq!(viewer.files().len(), samples.len());
    }
}
