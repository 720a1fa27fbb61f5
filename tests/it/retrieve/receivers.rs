//! Those who receive what is moved: in which form they get it, what they answer, and what becomes of the rest when one of
//! them refuses or stops reading.

use std::fs;
use std::time::{Duration, Instant};

use sealgate::association::SubOperations;
use sealgate::dicom::Status;
use sealgate::scu::{find, for_service};

use super::faults::{faults, file_of, resident};
use super::site::{Came, Front, needs_of, one_study, slices, tall};
use super::{FIND, differing};
use crate::peers::archive::{STUDY, identifier, uid};
use crate::peers::{Dcmqrscp, Pynetdicom, Sample, free_port};
use crate::taker::{Plan, Taker};

pub(super) fn came_to(taker: &Taker) -> Came {
    let taken = taker.taken().into_iter();
    taken.map(|one| (one.instance.to_string(), (one.transfer_syntax, one.data_set))).collect()
}

/// An archive with a study in it, and receivers that do as planned.
async fn scene(plan: Plan, (study, samples): (String, Vec<Sample>)) -> (Dcmqrscp, Taker, Front, String) {
    let (archive, viewer) = (Dcmqrscp::start(&[]), Taker::start_with(plan).await);
    let address = archive.address();
    let front = Front::begin(free_port(), &[("pacs", &address, "get")], viewer.address.port(), |config| {
        config.replacen("[scu]\n", "[association]\nsend_seconds = 3\n[scu]\nanswer_seconds = 3\n", 1)
    });
    front.store(&samples).await;
    (archive, viewer, front, study)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_gives_what_both_may_have_and_ciphertext_to_those_who_get_it_sealed() {
    let (_, samples) = one_study();
    let (_archive, viewer, front, study) = scene(Plan::default(), one_study()).await;
    let (sealed, _) = front.get("BACKUP", &study, &needs_of(&samples)).await;
    assert_eq!(differing(&samples, &sealed).len(), samples.len());
    for (calling, receiver) in
        [("BACKUP", "BACKUP-IN"), ("BACKUP", "VIEWER-IN"), ("VIEWER", "BACKUP-IN"), ("MRONLY", "VIEWER-IN")]
    {
        let before = viewer.taken().len();
        let (_, ended) = front.move_to(calling, &study, receiver).await;
        assert!(ended.is_complete(), "{calling} to {receiver}: {ended:?}\n{}", front.gateway.log());
        let taken = viewer.taken().split_off(before);
        assert_eq!(taken.len(), samples.len(), "{calling} to {receiver}");
        for one in taken {
            let (syntax, data_set) = &sealed[one.instance.as_str()];
            let is_it = one.transfer_syntax == *syntax && one.data_set == *data_set;
            assert!(is_it, "{calling} to {receiver}: not as the archive has it");
        }
    }
    // Where one of them gets nothing instead, nobody does.
    for (calling, receiver) in [("BACKUP", "NOSY-IN"), ("NOSY", "BACKUP-IN")] {
        let before = viewer.taken().len();
        let (_, ended) = front.move_to(calling, &study, receiver).await;
        assert_eq!(ended.answer.status, Status::NOT_AUTHORIZED, "{calling} to {receiver}");
        assert_eq!(viewer.taken().len(), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_warns_of_or_refuses_is_counted_as_that_and_the_rest_comes() {
    let answers = vec![(2, Status(0xB000)), (4, Status::OUT_OF_RESOURCES), (5, Status(0xC000))];
    let (_, samples) = one_study();
    let (_archive, viewer, front, study) = scene(Plan { answers, ..Plan::default() }, one_study()).await;
    let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
    assert_eq!(ended.answer.status, Status::INCOMPLETE, "{ended:?}");
    let SubOperations { completed, failed, warning, .. } = ended.counts;
    assert_eq!((completed, failed, warning), (Some(5), Some(2), Some(1)), "{}", front.gateway.log());
    let taken = viewer.taken();
    let mut refused = [&taken[3].instance, &taken[4].instance];
    let mut listed: Vec<_> = ended.failed.iter().collect();
    refused.sort();
    listed.sort();
    assert_eq!(listed, refused);
    assert!(taken.len() == samples.len() && differing(&samples, &came_to(&viewer)).is_empty());
    for line in front.gateway.wait_for_logs("instance not delivered", 2) {
        assert!(refused.iter().any(|one| line.contains(one.as_str())), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_alone_are_told_as_warnings_and_nothing_is_named_as_failed() {
    let answers = vec![(1, Status(0xB000)), (2, Status(0xB006))];
    let (_archive, _viewer, front, study) = scene(Plan { answers, ..Plan::default() }, slices(2)).await;
    let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
    assert_eq!((ended.answer.status, ended.counts.warning), (Status::INCOMPLETE, Some(2)), "{ended:?}");
    assert!(ended.counts.failed == Some(0) && ended.failed.is_empty(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_aborts_or_stops_reading_loses_one_image_and_gets_the_others() {
    for plan in [Plan { abort_at: Some(2), ..Plan::default() }, Plan { stuck_at: Some(2), ..Plan::default() }]
    {
        let name = format!("{plan:?}");
        let (_, samples) = tall(4, 16_384);
        let (_archive, viewer, front, study) = scene(plan, tall(4, 16_384)).await;
        let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
        assert_eq!(ended.answer.status, Status::INCOMPLETE, "{name} {ended:?}\n{}", front.gateway.log());
        assert_eq!((ended.counts.completed, ended.counts.failed), (Some(3), Some(1)), "{name} {ended:?}");
        assert_eq!(ended.failed.len(), 1);
        let came = came_to(&viewer);
        let rest: Vec<Sample> =
            samples.into_iter().filter(|one| one.instance.instance != ended.failed[0]).collect();
        assert!(differing(&rest, &came).is_empty(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_the_association_or_is_not_there_is_a_failure_that_names_everything() {
    let refuse = sealgate::association::Rejection::CallingAeTitle;
    let (_, samples) = slices(3);
    let (_archive, viewer, front, study) =
        scene(Plan { refuse: Some(refuse), ..Plan::default() }, slices(3)).await;
    for _ in 0..2 {
        let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
        assert_eq!(ended.answer.status, Status::SUB_OPERATIONS_REFUSED, "{ended:?}");
        assert_eq!((ended.counts.failed, ended.failed.len()), (Some(3), 3), "{ended:?}");
    }
    assert!(viewer.taken().is_empty());
    drop(viewer);
    let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
    assert_eq!((ended.counts.failed, ended.failed.len()), (Some(3), 3), "{ended:?}");
    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    assert!(ended.is_complete() && differing(&samples, &came).is_empty(), "others are served: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pending_responses_count_every_image_once_and_come_no_faster_than_is_asked_for() {
    let viewer = Taker::start_with(Plan { delay: Duration::from_millis(60), ..Plan::default() }).await;
    let archive = Dcmqrscp::start(&[]);
    let (study, samples) = slices(20);
    for milliseconds in [0, 250] {
        let address = archive.address();
        let front =
            Front::begin(free_port(), &[("pacs", &address, "get")], viewer.address.port(), |config| {
                config.replace("pending_milliseconds = 0", &format!("pending_milliseconds = {milliseconds}"))
            });
        front.store(&samples).await;
        let begun = Instant::now();
        let (pending, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
        let passed = begun.elapsed().as_millis();
        assert!(ended.is_complete() && ended.counts.completed == Some(20), "{ended:?}");
        assert!(
            ended.counts.remaining.is_none(),
            "PS3.4 C.4.2.1.6: in pending ones and in a cancelled end alone"
        );
        let told = |of: Option<u16>| of.expect("a pending response counts everything");
        let sums = pending
            .iter()
            .map(|one| told(one.remaining) + told(one.completed) + told(one.failed) + told(one.warning));
        // Before the archive has said how many there are, there are as many as have come.
        let sums: Vec<u16> = sums.collect();
        assert!(sums.windows(2).all(|pair| pair[0] <= pair[1]) && sums.last() == Some(&20), "{sums:?}");
        assert!(pending.windows(2).all(|pair| pair[0].completed <= pair[1].completed), "{pending:?}");
        let most = usize::try_from(passed / 250).unwrap() + 1;
        let fits = if milliseconds == 0 { samples.len()..=1000 } else { 2..=most };
        assert!(fits.contains(&pending.len()), "{} in {passed} ms", pending.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_reads_no_matches_holds_up_the_archive_and_nobody_else() {
    let archive = Pynetdicom::start(&["--matches=6000", "--pad=8000"]);
    let front = Front::with(
        &[("pacs", &archive.address(), "get")],
        "[scu]\n",
        "[association]\nsend_seconds = 6\n[scu]\n",
    );
    let before = resident(front.gateway.id());
    let mut stuck = front.call("VIEWER", &for_service(&uid(FIND))).await;
    let context = stuck.context_of(&uid(FIND)).unwrap();
    let asked = identifier("STUDY", &[(STUDY, "")], context.transfer_syntax.encoding);
    let finding = find(&mut stuck, &context, &asked).await.unwrap();
    // Nothing is read of what comes; another viewer is served meanwhile.
    let mut other = front.call("WARD", &for_service(&uid(FIND))).await;
    let context = other.context_of(&uid(FIND)).unwrap();
    let mut reading = find(&mut other, &context, &asked).await.unwrap();
    for _ in 0..20 {
        assert!(reading.next().await.unwrap().is_some());
    }
    reading.cancel().await.unwrap();
    while reading.next().await.unwrap().is_some() {}
    assert_eq!(reading.ended().unwrap().status, Status::CANCEL);
    let line = front.gateway.wait_for_log("association ended");
    assert!(line.contains("VIEWER"), "{line}");
    let held = resident(front.gateway.id()).saturating_sub(before);
    assert!(held < 24 * 1024 * 1024, "{held} bytes for a viewer that does not read, of 48 MB");
    drop((finding, reading));
    assert!(other.is_free(), "the other one's association goes on");
    other.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_image_does_not_reach_the_receiver_of_a_move_by_either_way_from_the_archive() {
    let (port, viewer) = (free_port(), Taker::start().await);
    let archive = Dcmqrscp::start(&[("SEALGATE", port)]);
    let (study, samples) = one_study();
    let front = Front::start(port, &[("pacs", &archive.address(), "move")], viewer.address.port());
    front.store(&samples).await;
    let cases = [
        ("the version is unknown", "version"),
        ("the suite is unknown", "suite"),
        ("the magic is damaged", "no longer begin with the header"),
        ("the salt is another", "commit"),
        ("the last byte is flipped", "not authentic"),
    ];
    for (sample, (name, _)) in samples.iter().zip(cases) {
        let path = file_of(&archive, sample);
        let bytes = fs::read(&path).unwrap();
        let all = faults(&bytes, sample.instance.instance.as_str());
        let (_, broken) = all.into_iter().find(|(fault, _)| *fault == name).expect("there is such");
        fs::write(&path, broken).unwrap();
    }
    let (broken, good) = samples.split_at(cases.len());
    let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
    let log = front.gateway.log();
    assert_eq!((ended.answer.status, ended.failed.len()), (Status::INCOMPLETE, broken.len()), "{log}");
    assert_eq!(ended.counts.completed.map(usize::from), Some(good.len()));
    let came = came_to(&viewer);
    assert!(came.len() == good.len() && differing(good, &came).is_empty());
    for (sample, (name, says)) in broken.iter().zip(cases) {
        let instance = sample.instance.instance.as_str();
        let told = log.lines().find(|line| line.contains("not released") && line.contains(instance));
        let told = told.unwrap_or_else(|| panic!("{name}\n{log}"));
        assert!(told.contains(says) && told.contains("\"alarm\":true"), "{name}: {told}");
    }
}
