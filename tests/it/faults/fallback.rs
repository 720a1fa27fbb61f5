//! A destination that takes over for one that is ordered, or that has to confirm what it took; and is either itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use sealgate::dicom::Status;

use super::destinations::arrivals;
use super::hospital::Hospital;
use super::image::Image;
use super::pacs::{Behaviour, Pacs};
use crate::gateway::{Gateway, SOON};

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);

fn config(first: &str, of_first: &str, second: &str, of_second: &str) -> String {
    format!(
        "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\n\
         [commitment]\ngather_seconds = 0\nretry_seconds_min = 1\nretry_seconds_max = 1\n\
         [[destinations]]\nname = \"one\"\naddress = \"{first}\"\nfallback = \"two\"\n{of_first}\n\
         [[destinations]]\nname = \"two\"\naddress = \"{second}\"\n{of_second}\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"one\"]\n"
    )
}

/// Of three studies in turn, so many of each, from this number on.
fn images(numbers: std::ops::Range<u32>) -> Vec<Image> {
    numbers.flat_map(|number| (0..3).map(move |study| Image::new(study, number, 8))).collect()
}

async fn store(hospital: &Hospital, images: &[Image]) {
    let answers = hospital.store(images).await;
    assert!(answers.iter().all(|answer| *answer == SUCCESS), "{answers:?}");
}

async fn gone(hospital: &Hospital, gateway: &Gateway) {
    let end = Instant::now() + SOON;
    while !hospital.spool().entries.is_empty() {
        assert!(Instant::now() < end, "{:?}\n{}", hospital.spool().entries, gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn in_order(pacs: &Pacs, numbers: std::ops::Range<u32>) -> bool {
    let expected: Vec<u32> = numbers.collect();
    let found: BTreeMap<String, Vec<u32>> = arrivals(pacs);
    found.len() == 3 && found.values().all(|numbers| *numbers == expected)
}

#[tokio::test(flavor = "multi_thread")]
async fn studies_keep_their_order_at_the_one_that_takes_over() {
    let (mut one, two) = (Pacs::start().await, Pacs::start().await);
    one.leave();
    // It stumbles too, and is asked to keep the order all the same.
    two.behave(Behaviour::AbortMidway);
    let ordered = "ordered = true\nfallback_after_seconds = 1";
    let hospital = Hospital::new(&config(&one.peer(), ordered, &two.peer(), "ordered = true"));
    let gateway = hospital.start("");
    store(&hospital, &images(0..5)).await;
    gateway.wait_for_log("another takes the instance");
    store(&hospital, &images(5..8)).await;
    two.behave(Behaviour::AnswerBelow(0xA700, 3));
    tokio::time::sleep(Duration::from_millis(1500)).await;
    two.behave(Behaviour::Good);
    assert!(two.keeps(24, SOON).await, "{:?}\n{}", two.instances(), gateway.log());
    gone(&hospital, &gateway).await;
    assert!(in_order(&two, 0..8), "{:?}", two.instances());
    one.listen().await;
    // What is tried first finds the way again; until then it may still be handed over.
    let end = Instant::now() + SOON;
    let mut next = 8;
    while one.instances().is_empty() {
        assert!(Instant::now() < end, "{}", gateway.log());
        store(&hospital, &images(next..next + 1)).await;
        next += 1;
        gone(&hospital, &gateway).await;
    }
    store(&hospital, &images(next..next + 5)).await;
    gone(&hospital, &gateway).await;
    // Of all that came every image is at exactly one of them, each study in its order.
    let both: Vec<_> = one.instances().into_iter().chain(two.instances()).collect();
    let mut distinct = both.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((both.len(), distinct.len()), (3 * (next as usize + 5), 3 * (next as usize + 5)), "{both:?}");
    for pacs in [&one, &two] {
        assert!(arrivals(pacs).values().all(|numbers| numbers.is_sorted()), "{:?}", pacs.instances());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_a_take_over_loses_nothing_and_keeps_the_order() {
    let (mut one, two) = (Pacs::start().await, Pacs::start().await);
    one.leave();
    let ordered = "ordered = true\nfallback_after_seconds = 0";
    let hospital = Hospital::new(&config(&one.peer(), ordered, &two.peer(), "ordered = true"));
    // It puts the first of each study off, and would take the others.
    two.behave(Behaviour::AnswerBelow(0xA700, 3));
    let gateway = hospital.start("");
    store(&hospital, &images(0..8)).await;
    gateway.wait_for_log("another takes the instance");
    gateway.wait_for_logs("A700H", 2);
    // SIGKILL.
    drop(gateway);
    two.behave(Behaviour::Slow(20));
    let gateway = hospital.start("");
    assert!(two.keeps(5, SOON).await, "{}", gateway.log());
    drop(gateway);
    two.is_alone().await;
    let gateway = hospital.start("");
    gone(&hospital, &gateway).await;
    assert!(in_order(&two, 0..8), "each came first in its order: {:?}", two.instances());
    // One of each study.
    assert!(two.instances().len() <= 24 + 3, "what was in hand alone comes twice: {:?}", two.instances());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_handed_over_does_not_wait_for_the_confirmation_of_the_one_that_never_had_it() {
    let (mut one, two) = (Pacs::start().await, Pacs::start().await);
    one.leave();
    let confirms =
        "purge_after = \"committed\"\ncommitment = \"find\"\nordered = true\nfallback_after_seconds = 0";
    let hospital = Hospital::new(&config(&one.peer(), confirms, &two.peer(), ""));
    let gateway = hospital.start("");
    store(&hospital, &images(0..3)).await;
    assert!(two.keeps(9, SOON).await, "{}", gateway.log());
    gone(&hospital, &gateway).await;
    assert_eq!(two.instances().len(), 9);
}

#[cfg(feature = "peers")]
#[tokio::test(flavor = "multi_thread")]
async fn orthanc_takes_over_in_order_and_is_read_back_before_anything_goes() {
    use crate::peers::{Orthanc, Sample, samples};

    let (mut one, orthanc) = (Pacs::start().await, Orthanc::start());
    one.leave();
    let ordered = "ordered = true\nfallback_after_seconds = 0";
    let read_back = "ordered = true\npurge_after = \"read-back\"";
    let two = orthanc.address().to_string();
    let text = config(&one.peer(), ordered, &two, read_back);
    let hospital = Hospital::new(&text.replace("gather_seconds = 0", "gather_seconds = 2"));
    let gateway = hospital.start("");
    let need = Image::new(1, 1, 1).instance.need();
    let fits =
        |one: &Sample| one.instance.need() == need && orthanc_takes(one) && one.data_set.len() < 600_000;
    let mut found: Vec<Sample> = samples().into_iter().filter(fits).collect();
    found.dedup_by_key(|one| one.instance.instance.clone());
    found.truncate(3);
    let images = found.into_iter().map(|one| Image { instance: one.instance, data_set: one.data_set });
    let images: Vec<Image> = images.collect();
    assert!(images.len() > 1);
    store(&hospital, &images).await;
    let end = Instant::now() + SOON;
    while orthanc.count() < images.len() {
        assert!(Instant::now() < end, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // It has them; whether for good is not known yet.
    assert_eq!(hospital.spool().entries.len(), images.len(), "{}", gateway.log());
    let listed = String::from_utf8(hospital.sealgate(&["spool", "list"]).stdout).unwrap();
    assert!(listed.contains("kept until read-back"), "{listed}");
    gone(&hospital, &gateway).await;
    assert!(images.iter().all(|image| orthanc.file(image.uid()).is_some()));
}

/// Orthanc refuses what has no Study Instance UID.
#[cfg(feature = "peers")]
fn orthanc_takes(sample: &crate::peers::Sample) -> bool {
    sample.data_set.windows(6).any(|window| window == b"\x20\0\x0D\0UI")
}
