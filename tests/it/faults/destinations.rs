//! Several destinations: each with its own state, one that takes over for another, and the order of a study kept.

use std::collections::BTreeMap;
use std::time::Duration;

use sealgate::dicom::Status;
use sealgate::spool::State;

use super::hospital::{Hospital, call_as, send};
use super::image::Image;
use super::pacs::{Behaviour, Pacs};
use crate::gateway::SOON;

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);

fn config(first: &Pacs, second: &Pacs, of_first: &str, route: &str) -> String {
    format!(
        "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\nacknowledge_seconds_max = 20\n\
         [[destinations]]\nname = \"one\"\naddress = \"{}\"\n{of_first}\n\
         [[destinations]]\nname = \"two\"\naddress = \"{}\"\n\
         [[routes]]\nname = \"all\"\n{route}\n",
        first.peer(),
        second.peer()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn each_destination_has_its_own_state() {
    let (mut one, two) = (Pacs::start().await, Pacs::start().await);
    one.leave();
    let hospital = Hospital::new(&config(&one, &two, "", "destinations = [\"one\", \"two\"]"));
    let gateway = hospital.start("");
    let images: Vec<Image> = (0..5).map(|number| Image::new(1, number, 4)).collect();
    assert!(hospital.store(&images).await.iter().all(|answer| *answer == SUCCESS));
    assert!(two.keeps(5, SOON).await, "{}", gateway.log());
    assert_eq!(hospital.spool().entries.len(), 5, "they wait for the other");
    one.listen().await;
    assert!(one.keeps(5, SOON).await, "{}", gateway.log());
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(hospital.spool().entries.is_empty());
    assert_eq!((one.instances().len(), two.instances().len()), (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_never_answers_holds_up_neither_senders_nor_another_destination() {
    let (one, two) = (Pacs::start().await, Pacs::start().await);
    one.behave(Behaviour::Silent);
    let hospital = Hospital::new(&config(&one, &two, "", "destinations = [\"one\", \"two\"]"));
    let gateway = hospital.start("");
    let images: Vec<Image> = (0..40).map(|number| Image::new(1, number, 40)).collect();
    assert!(hospital.store(&images).await.iter().all(|answer| *answer == SUCCESS));
    assert!(two.keeps(40, SOON).await, "{}", gateway.log());
    assert!(one.instances().is_empty());
    assert_eq!(hospital.spool().entries.len(), 40, "all of them wait for the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_is_sent_no_more_at_once_than_it_may_be() {
    let (one, two) = (Pacs::start().await, Pacs::start().await);
    one.behave(Behaviour::Slow(50));
    two.behave(Behaviour::Slow(50));
    let route = "destinations = [\"one\", \"two\"]";
    let hospital = Hospital::new(&config(&one, &two, "sends_max = 2", route));
    let gateway = hospital.start("");
    let images: Vec<Image> = (0..16).map(|number| Image::new(1, number, 4)).collect();
    assert!(hospital.store(&images).await.iter().all(|answer| *answer == SUCCESS));
    for pacs in [&one, &two] {
        assert!(pacs.keeps(16, SOON).await, "{}", gateway.log());
    }
    assert_eq!((one.at_once_max(), two.at_once_max()), (2, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_destination_takes_over_and_gives_back() {
    let (mut one, two) = (Pacs::start().await, Pacs::start().await);
    one.leave();
    let fallback = "fallback = \"two\"\nfallback_after_seconds = 2";
    let hospital = Hospital::new(&config(&one, &two, fallback, "destinations = [\"one\"]"));
    let gateway = hospital.start("");
    let images: Vec<Image> = (0..6).map(|number| Image::new(1, number, 4)).collect();
    assert!(hospital.store(&images[..4]).await.iter().all(|answer| *answer == SUCCESS));
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert!(two.instances().is_empty(), "not yet: the other may be back soon");
    assert!(two.keeps(4, SOON).await, "{}", gateway.log());
    let line = gateway.wait_for_log("another takes the instance");
    assert!(line.contains("sealgate::audit") && line.contains("\"fallback\":\"two\""), "{line}");
    assert!(hospital.store(&images[4..5]).await.iter().all(|answer| *answer == SUCCESS));
    assert!(two.keeps(5, SOON).await, "what comes meanwhile too: {}", gateway.log());
    one.listen().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(hospital.store(&images[5..]).await.iter().all(|answer| *answer == SUCCESS));
    assert!(one.keeps(1, SOON).await, "{}", gateway.log());
    assert_eq!(one.instances(), [images[5].uid()], "what the other has is not sent again");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(hospital.spool().entries.is_empty() && two.instances().len() == 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_took_over_is_kept_until_that_one_is_known_to_have_it() {
    let (mut one, two) = (Pacs::start().await, Pacs::start().await);
    one.leave();
    let fallback = "fallback = \"two\"\nfallback_after_seconds = 0";
    // It takes stores, and answers no query: it is never known to have anything.
    let route = "destinations = [\"one\"]";
    let config = config(&one, &two, fallback, route)
        .replace("name = \"two\"\n", "name = \"two\"\npurge_after = \"committed\"\ncommitment = \"find\"\n");
    let config =
        format!("[commitment]\ngather_seconds = 0\nretry_seconds_min = 1\nretry_seconds_max = 1\n{config}");
    let hospital = Hospital::new(&config);
    let gateway = hospital.start("");
    assert_eq!(hospital.store(&[Image::new(1, 1, 4)]).await, [SUCCESS]);
    assert!(two.keeps(1, SOON).await, "{}", gateway.log());
    gateway.wait_for_log("a PACS is not known to have what it took");
    let listed = || {
        let output = hospital.sealgate(&["spool", "list", "--json"]);
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    let at_two = |listed: &serde_json::Value| {
        let deliveries = listed["entries"][0]["deliveries"].as_array().expect("it is still there").clone();
        deliveries.into_iter().find(|one| one["destination"] == "two").expect("it was handed over")
    };
    assert_eq!(at_two(&listed())["kept_until"], "committed", "{}", listed());
    // A crash does not forget it either.
    drop(gateway);
    assert_eq!(at_two(&listed())["kept_until"], "committed", "{}", listed());
    let gateway = hospital.start("");
    gateway.wait_for_log("a PACS is not known to have what it took");
    assert_eq!(two.instances().len(), 1, "and it is not sent again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_waits_for_the_pacs_hears_from_the_one_that_took_over() {
    let (mut one, two) = (Pacs::start().await, Pacs::start().await);
    one.leave();
    let fallback = "fallback = \"two\"\nfallback_after_seconds = 0";
    let route = "destinations = [\"one\"]\nacknowledge = \"forwarded\"";
    let hospital = Hospital::new(&config(&one, &two, fallback, route));
    let gateway = hospital.start("");
    // The first try finds out that the destination is down, and its sender hears so.
    let image = Image::new(1, 1, 4);
    assert_eq!(hospital.store(&[image]).await, [Ok(Status::OUT_OF_RESOURCES)]);
    assert!(two.keeps(1, SOON).await, "{}", gateway.log());
    let image = Image::new(1, 2, 4);
    let answer = hospital.store(std::slice::from_ref(&image)).await;
    if answer != [SUCCESS] {
        // It was the one that tried whether the first is back.
        assert_eq!(hospital.store(&[image]).await, [SUCCESS], "{}", gateway.log());
    }
    assert!(two.keeps(2, SOON).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_no_reason_for_another_to_take_over() {
    let (one, two) = (Pacs::start().await, Pacs::start().await);
    one.behave(Behaviour::Answer(0xC000));
    let fallback = "fallback = \"two\"\nfallback_after_seconds = 0";
    let hospital = Hospital::new(&config(&one, &two, fallback, "destinations = [\"one\"]"));
    let gateway = hospital.start("");
    assert_eq!(hospital.store(&[Image::new(1, 1, 4)]).await, [SUCCESS]);
    gateway.wait_for_log("set aside");
    assert!(two.instances().is_empty());
    assert_eq!(hospital.spool().entries[0].deliveries[0].delivery.state, State::Aside);
}

/// The numbers of each study's images, in the order of arrival, each where it came first.
pub(super) fn arrivals(pacs: &Pacs) -> BTreeMap<String, Vec<u32>> {
    let mut found: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for uid in pacs.instances() {
        let mut parts = uid.rsplit('.');
        let number = parts.next().unwrap().parse().unwrap();
        let study = found.entry(parts.next().unwrap().to_owned()).or_default();
        if !study.contains(&number) {
            study.push(number);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_arrives_in_its_order_where_that_is_asked_for() {
    let (one, two) = (Pacs::start().await, Pacs::start().await);
    one.behave(Behaviour::AbortMidway);
    let hospital = Hospital::new(&config(&one, &two, "ordered = true", "destinations = [\"one\"]"));
    let gateway = hospital.start("");
    let images: Vec<Image> = (0..60)
        .map(|number| Image::new(number % 3, number / 3, if number % 7 == 0 { 3000 } else { 2 }))
        .collect();
    assert!(hospital.store(&images).await.iter().all(|answer| *answer == SUCCESS));
    // Everything fails, then works, then fails for some, then works.
    for behaviour in [Behaviour::Slow(20), Behaviour::Answer(0xA700), Behaviour::CloseMidway, Behaviour::Good]
    {
        one.behave(behaviour);
        tokio::time::sleep(Duration::from_millis(1200)).await;
    }
    assert!(one.keeps(60, SOON).await, "{} {}", one.instances().len(), gateway.log());
    let in_order: Vec<u32> = (0..20).collect();
    for (study, numbers) in arrivals(&one) {
        assert_eq!(numbers, in_order, "study {study}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_bytes_by_two_routes_go_to_the_destinations_of_both() {
    let (mut one, two) = (Pacs::start().await, Pacs::start().await);
    one.leave();
    let research = "destinations = [\"one\"]\ncalled = [\"CLINIC\"]\n\
                    [[routes]]\nname = \"research\"\ndestinations = [\"two\"]\ncalled = [\"RESEARCH\"]";
    let hospital = Hospital::new(&config(&one, &two, "", research));
    let gateway = hospital.start("");
    let image = Image::new(1, 1, 4);
    for called in ["CLINIC", "RESEARCH"] {
        let mut caller = call_as(hospital.address, called).await.unwrap();
        assert_eq!(send(&mut caller, &image).await, SUCCESS);
        caller.release().await;
    }
    assert!(two.keeps(1, SOON).await, "{}", gateway.log());
    one.listen().await;
    assert!(one.keeps(1, SOON).await, "{}", gateway.log());
}
