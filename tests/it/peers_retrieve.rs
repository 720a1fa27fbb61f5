//! C-MOVE and C-GET with other people's software: everything that was kept comes, to others and to us.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dicom_dictionary_std::uids;
use sealgate::dicom::{AeAddress, AeTitle, Status};
use sealgate::scu::{
    Caller, Failure, Got, Meaning, Moved, Need, Retrieved, for_getting, for_service, get, move_,
};

use crate::peers::archive::{Kept, STUDY, call, fill, identifier, uid, values};
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, StoreScp, Taker, data_set_of, free_port};

const MOVE: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;
const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("a title")
}

fn of_study<'a>(kept: &'a [Kept], study: &str) -> BTreeMap<String, &'a Kept> {
    let of_study = kept.iter().filter(|one| one.text(STUDY) == study);
    of_study.map(|one| (one.sample.instance.instance.to_string(), one)).collect()
}

/// The study with the most instances.
fn largest(kept: &[Kept]) -> String {
    values(kept, STUDY).into_iter().max_by_key(|study| of_study(kept, study).len()).expect("a study")
}

/// Moves a study; every pending response, and the end.
async fn move_study(caller: &mut Caller, study: &str, destination: &str) -> (Vec<Moved>, Retrieved) {
    let context = caller.context_of(&uid(MOVE)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, study)], context.transfer_syntax.encoding);
    let mut moving = move_(caller, &context, &asked, &title(destination)).await.expect("asked");
    let mut pending = Vec::new();
    loop {
        match moving.next().await.expect("a response") {
            Moved::Ended(retrieved) => return (pending, retrieved),
            step => pending.push(step),
        }
    }
}

/// Moves every study to a third node and to our own acceptor.
async fn to_others_and_to_us(address: AeAddress, kept: &[Kept], third: &StoreScp, us: &Taker) {
    let mut caller = call(address, &for_service(&uid(MOVE))).await;
    for study in values(kept, STUDY) {
        let expected = of_study(kept, &study);
        let count = u16::try_from(expected.len()).expect("few");
        let (_, ended) = move_study(&mut caller, &study, "STORESCP").await;
        assert!(ended.is_complete(), "{ended:?}");
        assert_eq!(ended.counts.completed, Some(count));
        for (instance, one) in &expected {
            let file = third.file(instance).expect("it was written");
            // What a PACS re-encodes may differ in group lengths and padding; the image does not.
            let (sent, came) = (&one.sample.data_set, data_set_of(&file).expect("a data set"));
            assert_eq!(came[came.len() - 100..], sent[sent.len() - 100..], "{instance}");
        }
        let before = us.taken().len();
        let message_id = caller.operations() + 1;
        let (_, ended) = move_study(&mut caller, &study, "TAKER").await;
        assert!(ended.is_complete(), "{ended:?}");
        let taken = us.taken().split_off(before);
        let came: BTreeSet<String> = taken.iter().map(|one| one.instance.to_string()).collect();
        assert_eq!(came, expected.keys().cloned().collect());
        for one in &taken {
            // PS3.7 9.1.1.1: who asked, in which message.
            let originator = (title("SEALGATE"), u16::try_from(message_id).expect("few"));
            assert_eq!(one.originator, Some(originator));
        }
    }
    let (_, ended) = move_study(&mut caller, &largest(kept), "NOBODY").await;
    assert_eq!(Meaning::of(ended.answer.status), expected_of_nobody(&caller, &ended));
    assert!(caller.is_free());
    caller.release().await;
}

/// DCMTK answers A801H as the standard has it; Orthanc says C000H.
fn expected_of_nobody(_: &Caller, ended: &Retrieved) -> Meaning {
    let meaning = Meaning::of(ended.answer.status);
    let is_refusal = matches!(meaning, Meaning::UnknownDestination | Meaning::CannotUnderstand);
    assert!(is_refusal && ended.clone().complete().is_err(), "{ended:?}");
    meaning
}

#[tokio::test]
async fn dcmqrscp_moves_to_others_and_to_us() {
    let (third, us) = (StoreScp::start(), Taker::start().await);
    let peer = Dcmqrscp::start(&[("STORESCP", third.port()), ("TAKER", us.address.port())]);
    let kept = fill(peer.address()).await;
    to_others_and_to_us(peer.address(), &kept, &third, &us).await;
}

#[tokio::test]
async fn orthanc_moves_to_others_and_to_us() {
    let (third, us, peer) = (StoreScp::start(), Taker::start().await, Orthanc::start());
    peer.knows("STORESCP", third.port());
    peer.knows("TAKER", us.address.port());
    let kept = fill(peer.address()).await;
    to_others_and_to_us(peer.address(), &kept, &third, &us).await;
}

#[tokio::test]
async fn a_move_to_a_node_that_is_not_there_ends_with_what_failed() {
    let peer = Dcmqrscp::start(&[("GONE", free_port())]);
    let kept = fill(peer.address()).await;
    let mut caller = call(peer.address(), &for_service(&uid(MOVE))).await;
    let study = largest(&kept);
    let (_, ended) = move_study(&mut caller, &study, "GONE").await;
    assert!(!ended.is_complete(), "{ended:?}");
    caller.release().await;
}

#[tokio::test]
async fn a_move_is_cancelled_in_the_middle() {
    let slow = StoreScp::start_with(&["--fork", "+xa", "-pm", "--sleep-during", "1"]);
    let peer = Dcmqrscp::start(&[("STORESCP", slow.port())]);
    let kept = fill(peer.address()).await;
    let study = largest(&kept);
    let count = of_study(&kept, &study).len();
    let mut caller = call(peer.address(), &for_service(&uid(MOVE))).await;
    let context = caller.context_of(&uid(MOVE)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, &study)], context.transfer_syntax.encoding);
    let mut moving = move_(&mut caller, &context, &asked, &title("STORESCP")).await.expect("asked");
    assert!(matches!(moving.next().await.expect("a response"), Moved::Pending(_)));
    moving.cancel().await.expect("sent");
    let ended = moving.finish().await.expect("an end");
    assert!(ended.was_cancelled(), "{ended:?}");
    assert!(slow.files().len() < count, "{} of {count}", slow.files().len());
    assert!(caller.is_free());
    caller.release().await;
}

/// Gets a study, answering each instance with what `answer` says.
async fn get_study(
    caller: &mut Caller,
    study: &str,
    answer: impl Fn(usize) -> Status,
) -> (BTreeMap<String, Vec<u8>>, Retrieved) {
    let context = caller.context_of(&uid(GET)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, study)], context.transfer_syntax.encoding);
    let mut getting = get(caller, &context, &asked).await.expect("asked");
    let mut came = BTreeMap::new();
    loop {
        match getting.next().await.expect("a step") {
            Got::Ended(retrieved) => return (came, retrieved),
            Got::Pending(_) => {}
            Got::Store(incoming) => {
                let mut data = Vec::new();
                while let Some(piece) = getting.next_data().await.expect("a piece") {
                    data.extend_from_slice(&piece);
                }
                getting.answer(answer(came.len())).await.expect("answered");
                came.insert(incoming.instance.to_string(), data);
            }
        }
    }
}

fn needs(kept: &[Kept]) -> Vec<Need> {
    let mut needs: Vec<Need> = Vec::new();
    for one in kept {
        if !needs.contains(&one.sample.instance.need()) {
            needs.push(one.sample.instance.need());
        }
    }
    needs
}

async fn get_everything(address: AeAddress, kept: &[Kept]) {
    let mut caller = call(address, &for_getting(&uid(GET), &needs(kept))).await;
    for study in values(kept, STUDY) {
        let expected = of_study(kept, &study);
        let (came, ended) = get_study(&mut caller, &study, |_| Status::SUCCESS).await;
        assert!(ended.is_complete() && ended.failed.is_empty(), "{ended:?}");
        assert_eq!(ended.counts.completed.map(usize::from), Some(expected.len()));
        for (instance, one) in expected {
            let (sent, came) = (&one.sample.data_set, &came[&instance]);
            assert_eq!(came[came.len() - 100..], sent[sent.len() - 100..], "{instance}");
        }
    }
    let study = largest(kept);
    let count = of_study(kept, &study).len();
    let refuse_second = |number| if number == 1 { Status::OUT_OF_RESOURCES } else { Status::SUCCESS };
    let (came, ended) = get_study(&mut caller, &study, refuse_second).await;
    assert_eq!(came.len(), count, "the rest goes on");
    assert!(!ended.is_complete() && ended.counts.failed == Some(1), "{ended:?}");
    assert_eq!(Meaning::of(ended.answer.status), Meaning::Warning);
    assert!(caller.is_free());
    caller.release().await;
}

#[tokio::test]
async fn everything_is_got_from_dcmqrscp() {
    let peer = Dcmqrscp::start(&[]);
    let kept = fill(peer.address()).await;
    get_everything(peer.address(), &kept).await;
}

#[tokio::test]
async fn everything_is_got_from_orthanc() {
    let peer = Orthanc::start();
    let kept = fill(peer.address()).await;
    get_everything(peer.address(), &kept).await;
}

#[tokio::test]
async fn a_get_is_cancelled_in_the_middle() {
    let peer = Dcmqrscp::start(&[]);
    let kept = fill(peer.address()).await;
    let study = largest(&kept);
    let count = of_study(&kept, &study).len();
    let mut caller = call(peer.address(), &for_getting(&uid(GET), &needs(&kept))).await;
    let context = caller.context_of(&uid(GET)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, &study)], context.transfer_syntax.encoding);
    let mut getting = get(&mut caller, &context, &asked).await.expect("asked");
    let mut came = 0;
    let ended = loop {
        match getting.next().await.expect("a step") {
            Got::Ended(ended) => break ended,
            Got::Pending(_) => {}
            Got::Store(_) => {
                came += 1;
                if came == 2 {
                    getting.cancel().await.expect("sent");
                }
                getting.answer(Status::SUCCESS).await.expect("answered");
            }
        }
    };
    assert!(ended.was_cancelled(), "{ended:?}");
    assert!(came < count, "{came} of {count}");
    assert!(caller.is_free());
    caller.release().await;
}

#[tokio::test]
async fn without_a_role_for_storage_a_get_fails_before_it_is_sent() {
    let peer = Dcmqrscp::start(&[]);
    let mut caller = call(peer.address(), &for_service(&uid(GET))).await;
    let context = caller.context_of(&uid(GET)).expect("accepted");
    let failure = get(&mut caller, &context, b"").await.err().expect("a failure");
    assert!(matches!(failure, Failure::NoContext { .. }), "{failure}");
    assert!(failure.to_string().contains("SCP role"), "{failure}");
    assert_eq!(caller.operations(), 0);
    caller.release().await;
}

#[tokio::test]
async fn a_pacs_that_dies_in_the_middle_of_a_get_is_a_broken_connection() {
    let mut peer = Orthanc::start();
    let kept = fill(peer.address()).await;
    let mut caller = call(peer.address(), &for_getting(&uid(GET), &needs(&kept))).await;
    let context = caller.context_of(&uid(GET)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, &largest(&kept))], context.transfer_syntax.encoding);
    let mut getting = get(&mut caller, &context, &asked).await.expect("asked");
    assert!(matches!(getting.next().await.expect("a step"), Got::Store(_)));
    peer.process.kill();
    let failure = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            if let Err(failure) = getting.next().await {
                break failure;
            }
        }
    });
    let failure = failure.await.expect("it is noticed");
    assert!(matches!(failure, Failure::Connection(_)), "{failure:?}");
    assert!(!caller.is_free());
}

#[tokio::test]
async fn a_service_that_the_peer_does_not_have_has_no_context() {
    let peer = Pynetdicom::start(&[]);
    let caller = call(peer.address(), &for_service(&uid(MOVE))).await;
    let failure = caller.context_of(&uid(MOVE)).expect_err("not accepted");
    assert!(matches!(failure, Failure::NoContext { .. }), "{failure}");
    caller.release().await;
}
