//! A PACS that misbehaves in every way there is: what is tried again, what is set aside, and nothing lost.

use std::time::Duration;

use sealgate::association::Rejection;
use sealgate::dicom::Status;
use sealgate::spool::{DeliverySummary, State};

use super::hospital::{Hospital, opened, send};
use super::image::{Image, shows_pixels};
use super::pacs::{Behaviour, Pacs};
use crate::gateway::{Gateway, SOON};
use crate::tls::pki::Pki;

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);

fn config(pacs: &Pacs) -> String {
    format!(
        "[association]\nconnect_seconds = 1\n[scu]\nanswer_seconds = 1\nreuse_seconds = 0\n\
         [forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\nrefusals_max = 2\n\
         [[destinations]]\nname = \"pacs\"\naddress = \"{}\"\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
        pacs.peer()
    )
}

/// The one delivery in the spool, once it is as wanted.
async fn delivery(
    hospital: &Hospital,
    gateway: &Gateway,
    wanted: impl Fn(&DeliverySummary) -> bool,
) -> DeliverySummary {
    for _ in 0..SOON.as_millis() / 20 {
        let entries = hospital.spool().entries;
        let found = entries.first().and_then(|entry| entry.deliveries.first()).filter(|found| wanted(found));
        if let Some(found) = found {
            return found.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}\n{}", hospital.spool().entries, gateway.log());
}

/// Asks for everything to be tried now, while the service runs.
fn retry(hospital: &Hospital) -> usize {
    let output = hospital.sealgate(&["spool", "retry", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    usize::try_from(said["retried"].as_u64().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_tried_while_nobody_was_there_goes_as_soon_as_somebody_is() {
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let settings = config(&pacs).replace("retry_seconds_max = 1", "retry_seconds_max = 4");
    let hospital = Hospital::new(&settings);
    let gateway = hospital.start("");
    let mut caller = hospital.call().await.unwrap();
    assert_eq!(send(&mut caller, &Image::new(1, 1, 16)).await, SUCCESS);
    caller.release().await;
    let tries = gateway.wait_for_logs("not forwarded, trying again", 3);
    let seconds: Vec<u64> = tries
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seconds"].as_u64().unwrap())
        .collect();
    // As long as the way is left alone, and not as much again for its own failures.
    assert!(seconds.iter().zip([1, 2, 4]).all(|(waits, rests)| *waits <= rests), "{seconds:?}");
    pacs.listen().await;
    pacs.behave(Behaviour::Good);
    assert!(pacs.keeps(1, SOON).await, "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_failure_has_its_class_and_loses_nothing() {
    let mut pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    let aside = "aside";
    let later = "later";
    let cases = [
        (Behaviour::Refuse(Rejection::Congestion), later, "refused the association"),
        (Behaviour::Refuse(Rejection::CallingAeTitle), later, "refused the association"),
        (Behaviour::NoContext, aside, "no presentation context"),
        (Behaviour::Answer(0xA700), later, "A700H"),
        (Behaviour::Answer(0xA900), aside, "A900H"),
        (Behaviour::Answer(0xC000), aside, "C000H"),
        (Behaviour::Answer(0x0110), aside, "0110H"),
        (Behaviour::Answer(0x0122), aside, "0122H"),
        (Behaviour::Answer(0x0124), aside, "0124H"),
        (Behaviour::Silent, later, "more than 1 s"),
        (Behaviour::HalfOpen, later, "more than 1 s"),
        (Behaviour::AbortMidway, later, "aborted"),
        (Behaviour::CloseMidway, later, ""),
    ];
    let archive = hospital.archive();
    for (number, (behaviour, class, reason)) in cases.into_iter().enumerate() {
        let image = Image::new(1, u32::try_from(number).unwrap(), 4000);
        pacs.behave(behaviour);
        assert_eq!(hospital.store(std::slice::from_ref(&image)).await, [SUCCESS], "{behaviour:?}");
        let (expected, tries) = if class == aside { (State::Aside, 2) } else { (State::Later, 1) };
        let found = delivery(&hospital, &gateway, |found| found.delivery.attempts >= tries).await;
        assert_eq!(found.delivery.state, expected, "{behaviour:?}: {found:?}");
        assert!(found.delivery.reason.contains(reason), "{behaviour:?}: {found:?}");
        // An administrator sees it.
        let listed = hospital.sealgate(&["spool", "list"]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.contains(image.uid()) && listed.contains(class), "{listed}");
        let before = pacs.instances().len();
        pacs.behave(Behaviour::Good);
        let retried = retry(&hospital);
        assert!(retried == 1 || class == later, "{behaviour:?}: {retried}");
        assert!(pacs.keeps(before + 1, SOON).await, "{behaviour:?}: {}", gateway.log());
        let kept = pacs.kept().pop().unwrap();
        assert!(!shows_pixels(&kept.data_set));
        assert_eq!(opened(&archive, &kept).unwrap().0, image.data_set, "{behaviour:?}");
        gone(&hospital, &gateway).await;
    }
    pacs.leave();
    let image = Image::new(1, 100, 4);
    assert_eq!(hospital.store(std::slice::from_ref(&image)).await, [SUCCESS]);
    let found = delivery(&hospital, &gateway, |found| found.delivery.attempts >= 1).await;
    assert_eq!(found.delivery.state, State::Later, "{found:?}");
    let before = pacs.instances().len();
    pacs.listen().await;
    assert!(pacs.keeps(before + 1, SOON).await, "{}", gateway.log());
}

/// Waits until the spool is empty.
async fn gone(hospital: &Hospital, gateway: &Gateway) {
    for _ in 0..SOON.as_millis() / 10 {
        if hospital.spool().entries.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}\n{}", hospital.spool().entries, gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_whose_tls_fails_is_tried_again_and_gets_everything_when_it_is_mended() {
    let (pacs, pki) = (Pacs::start().await, Pki::new());
    // It speaks no TLS at all, which is what a wrong port does.
    let route = "[[routes]]";
    let with_tls = format!("tls = \"clinic\"\n{}{route}", pki.profile(""));
    let mut hospital = Hospital::new(&config(&pacs).replace(route, &with_tls));
    let image = Image::new(1, 1, 4);
    {
        let gateway = hospital.start("");
        assert_eq!(hospital.store(std::slice::from_ref(&image)).await, [SUCCESS]);
        // More often than a refusal would be: it does not count against the instance.
        let found = delivery(&hospital, &gateway, |found| found.delivery.attempts >= 3).await;
        assert_eq!(found.delivery.state, State::Later, "{found:?}");
        assert!(found.delivery.reason.to_lowercase().contains("tls"), "{found:?}");
        let listed = String::from_utf8(hospital.sealgate(&["spool", "list"]).stdout).unwrap();
        assert!(listed.contains(image.uid()) && listed.to_lowercase().contains("tls"), "{listed}");
    }
    assert!(pacs.instances().is_empty());
    hospital.configure("tls = \"clinic\"\n", "");
    let gateway = hospital.start("");
    assert!(pacs.keeps(1, SOON).await, "{}", gateway.log());
    assert_eq!(opened(&hospital.archive(), &pacs.kept()[0]).unwrap().0, image.data_set);
    gone(&hospital, &gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn warnings_and_duplicates_are_successes_with_a_line_in_the_log() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    for (number, code) in [0xB000, 0xB006, 0xB007, 0x0111].into_iter().enumerate() {
        pacs.behave(Behaviour::Answer(code));
        let image = Image::new(1, u32::try_from(number).unwrap(), 4);
        assert_eq!(hospital.store(&[image]).await, [SUCCESS]);
        let line = gateway.wait_for_log(&format!("{code:04X}H"));
        assert!(line.contains("forwarded with a warning") && line.contains("WARN"), "{line}");
        gone(&hospital, &gateway).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_costs_a_second_delivery_and_no_instance() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    pacs.behave(Behaviour::CloseAnswering);
    let image = Image::new(1, 1, 4);
    assert_eq!(hospital.store(std::slice::from_ref(&image)).await, [SUCCESS]);
    assert!(pacs.keeps(1, SOON).await);
    pacs.behave(Behaviour::Good);
    assert!(pacs.keeps(2, SOON).await);
    let kept = pacs.kept();
    assert!(kept[0].data_set == kept.last().unwrap().data_set, "the same sealed bytes");
    gone(&hospital, &gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_down_is_left_alone_however_much_waits() {
    let pacs = Pacs::start().await;
    let text = config(&pacs).replace("retry_seconds_max = 1", "retry_seconds_max = 60");
    let hospital = Hospital::new(&text);
    let gateway = hospital.start("");
    pacs.behave(Behaviour::Refuse(Rejection::Congestion));
    let images: Vec<Image> = (0..40).map(|number| Image::new(1, number, 2)).collect();
    assert!(hospital.store(&images).await.iter().all(|answer| *answer == SUCCESS));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let knocks = pacs.knocks();
    // At once, then after 1 s and 2 s more, each a fifth more or less; four at most were on their way at the first failure.
    assert!((2..=8).contains(&knocks.len()), "{} calls: {}", knocks.len(), gateway.log());
    let last = knocks[knocks.len() - 1] - knocks[knocks.len() - 2];
    assert!(last > Duration::from_millis(1500), "{last:?}: it waits longer each time");
    pacs.behave(Behaviour::Good);
    retry(&hospital);
    assert!(pacs.keeps(40, SOON).await, "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_that_are_put_off_for_ever_let_all_others_by() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    // The first ones: they are the oldest whenever something is due.
    pacs.behave(Behaviour::AnswerBelow(0xA700, 4));
    let images: Vec<Image> = (0..20).map(|number| Image::new(1, number, 8)).collect();
    assert_eq!(hospital.store(&images[..4]).await, vec![SUCCESS; 4]);
    delivery(&hospital, &gateway, |found| found.delivery.attempts >= 2).await;
    assert_eq!(hospital.store(&images[4..]).await, vec![SUCCESS; 16]);
    assert!(pacs.keeps(16, SOON).await, "{}", gateway.log());
    delivery(&hospital, &gateway, |found| found.delivery.attempts >= 4).await;
    pacs.behave(Behaviour::Good);
    assert!(pacs.keeps(20, SOON).await, "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn outages_do_not_count_against_an_instance() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    pacs.behave(Behaviour::AbortMidway);
    assert_eq!(hospital.store(&[Image::new(1, 1, 4)]).await, [SUCCESS]);
    delivery(&hospital, &gateway, |found| found.delivery.attempts >= 3).await;
    pacs.behave(Behaviour::Answer(0xA900));
    let found = delivery(&hospital, &gateway, |found| found.delivery.reason.contains("A900H")).await;
    assert_eq!(found.delivery.state, State::Later, "the first refusal of two: {found:?}");
    delivery(&hospital, &gateway, |found| found.delivery.state == State::Aside).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_is_dropped_while_the_service_runs_and_written_down() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    pacs.behave(Behaviour::Answer(0xC000));
    let image = Image::new(1, 1, 4);
    assert_eq!(hospital.store(std::slice::from_ref(&image)).await, [SUCCESS]);
    delivery(&hospital, &gateway, |found| found.delivery.state == State::Aside).await;
    let entry = hospital.spool().entries[0].id.to_string();
    let unknown = hospital.sealgate(&["spool", "drop", &"0".repeat(32), "--reason", "a test"]);
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
    let dropped = hospital.sealgate(&["spool", "drop", &entry, "--reason", "sent by hand"]);
    assert!(dropped.status.success(), "{dropped:?}");
    assert!(hospital.spool().entries.is_empty());
    let line = gateway.wait_for_log("deliveries were given up");
    assert!(
        line.contains("sealgate::audit") && line.contains("sent by hand") && line.contains(image.uid()),
        "{line}"
    );
}
