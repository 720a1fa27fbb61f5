//! The same UID again, two senders of it at once, and instances that say they are sealed already.

use std::collections::HashMap;
use std::time::Duration;

use sealgate::dicom::Status;
use sealgate::seal::MAGIC;
use sealgate::spool::{State, Summary};

use super::hospital::{Hospital, opened};
use super::image::Image;
use super::pacs::{Behaviour, Pacs};
use crate::gateway::{Gateway, SOON};

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);

fn config(pacs: &Pacs, route: &str) -> String {
    format!(
        "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\nacknowledge_seconds_max = 20\n\
         [[destinations]]\nname = \"pacs\"\naddress = \"{}\"\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n{route}\n",
        pacs.peer()
    )
}

/// The same instance with another patient's name.
fn altered(image: &Image) -> Image {
    let mut bytes = image.data_set.to_vec();
    let at = bytes.windows(8).position(|window| window == b"Doe^Jane").unwrap();
    bytes[at..at + 8].copy_from_slice(b"Doe^John");
    Image { data_set: bytes.into(), ..image.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_waits_the_same_is_kept_once_and_anything_else_is_sealed_anew() {
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let hospital = Hospital::new(&config(&pacs, ""));
    let gateway = hospital.start("");
    let image = Image::new(1, 1, 8);
    let other = altered(&image);
    let one = std::slice::from_ref(&image);
    for _ in 0..3 {
        assert_eq!(hospital.store(one).await, [SUCCESS]);
    }
    assert_eq!(hospital.spool().entries.len(), 1);
    assert_eq!(hospital.store(std::slice::from_ref(&other)).await, [SUCCESS]);
    assert_eq!(hospital.spool().entries.len(), 2);
    let line = gateway.wait_for_log("sealed under a further key");
    assert!(line.contains("sealgate::audit") && line.contains(image.uid()), "{line}");
    pacs.listen().await;
    assert!(pacs.keeps(2, SOON).await, "{}", gateway.log());
    tokio::time::sleep(Duration::from_millis(300)).await;
    // Forwarded: the PACS may have lost or deleted it since, so it goes there again, under a key of its own.
    assert_eq!(hospital.store(one).await, [SUCCESS]);
    assert!(pacs.keeps(3, SOON).await, "{}", gateway.log());
    let archive = hospital.archive();
    let mut keys = Vec::new();
    // One after the other: a PACS keeps what comes last.
    let expected = [&image, &other, &image];
    for (kept, image) in pacs.kept().iter().zip(expected) {
        let (original, key) = opened(&archive, kept).unwrap();
        assert!(original == image.data_set);
        keys.push(key);
    }
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 3, "each under a key of its own");
}

/// The only entry in the spool, once its delivery is in this state.
async fn the_entry(hospital: &Hospital, gateway: &Gateway, wanted: State) -> Summary {
    for _ in 0..SOON.as_millis() / 20 {
        let entries = hospital.spool().entries;
        if let [only] = &entries[..]
            && only.deliveries[0].delivery.state == wanted
        {
            return only.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}\n{}", hospital.spool().entries, gateway.log());
}

async fn is_empty(hospital: &Hospital, gateway: &Gateway) {
    for _ in 0..SOON.as_millis() / 20 {
        if hospital.spool().entries.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}\n{}", hospital.spool().entries, gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_the_pacs_does_not_take_in_place_of_the_first_is_not_given_up() {
    let pacs = Pacs::start().await;
    pacs.behave(Behaviour::KeepFirst(0x0111));
    let hospital = Hospital::new(&config(&pacs, ""));
    let gateway = hospital.start("");
    let image = Image::new(1, 1, 8);
    let other = altered(&image);
    assert_eq!(hospital.store(std::slice::from_ref(&image)).await, [SUCCESS]);
    assert!(pacs.keeps(1, SOON).await, "{}", gateway.log());
    is_empty(&hospital, &gateway).await;
    // Acknowledged, and in no other place than the spool: it stays there, and that is said.
    assert_eq!(hospital.store(std::slice::from_ref(&other)).await, [SUCCESS]);
    let entry = the_entry(&hospital, &gateway, State::Aside).await;
    let reason = &entry.deliveries[0].delivery.reason;
    assert!(reason.contains("keeps an earlier version") && reason.contains("0111H"), "{reason}");
    let line = gateway.wait_for_log("set aside: the destination refuses this instance");
    assert!(line.contains(image.uid()) && line.contains("\"level\":\"ERROR\""), "{line}");
    // The operator has chosen: the PACS deletes the first one, and gets the other.
    pacs.forget();
    assert!(hospital.sealgate(&["spool", "retry"]).status.success());
    assert!(pacs.keeps(1, SOON).await, "{}", gateway.log());
    assert!(opened(&hospital.archive(), &pacs.kept()[0]).unwrap().0 == other.data_set);
    is_empty(&hospital, &gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_does_not_overtake_the_one_before_it() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs, ""));
    let gateway = hospital.start("");
    // Two large ones, and a small later version of each, which would be there first.
    let images = [1, 2].map(|number| Image::new(1, number, 40_000));
    let others = [1, 2].map(|number| Image::new(1, number, 4));
    // Both of each wait when the PACS is there again, whose associations are several.
    pacs.behave(Behaviour::Answer(0xA700));
    for versions in [&images, &others] {
        assert!(hospital.store(versions).await.iter().all(|answer| *answer == SUCCESS));
    }
    pacs.behave(Behaviour::Good);
    assert!(pacs.keeps(4, SOON).await, "{}", gateway.log());
    let (archive, mut last) = (hospital.archive(), HashMap::new());
    for kept in pacs.kept() {
        last.insert(kept.instance.clone(), opened(&archive, &kept).unwrap().0);
    }
    for other in &others {
        assert!(last[other.uid()] == other.data_set, "the later version of {} is there last", other.uid());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_senders_at_once_each_is_answered_and_nothing_is_mixed_up() {
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let hospital = Hospital::new(&config(&pacs, ""));
    let gateway = hospital.start("");
    let image = Image::new(1, 1, 2000);
    let other = altered(&image);
    let store = async |image: &Image| hospital.store(std::slice::from_ref(image)).await;
    let answers = tokio::join!(store(&image), store(&other), store(&image), store(&other), store(&image));
    for answer in [answers.0, answers.1, answers.2, answers.3, answers.4] {
        assert_eq!(answer, [SUCCESS], "{}", gateway.log());
    }
    assert_eq!(hospital.spool().entries.len(), 2, "each version once");
    pacs.listen().await;
    assert!(pacs.keeps(2, SOON).await);
    let archive = hospital.archive();
    let mut originals: Vec<Vec<u8>> =
        pacs.kept().iter().map(|kept| opened(&archive, kept).unwrap().0).collect();
    originals.sort();
    assert!(originals == [image.data_set.to_vec(), other.data_set.to_vec()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_route_that_waits_for_the_pacs_a_repetition_waits_too() {
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let hospital = Hospital::new(&config(&pacs, "acknowledge = \"forwarded\""));
    let gateway = hospital.start("");
    let image = Image::new(1, 1, 8);
    let one = std::slice::from_ref(&image);
    assert_eq!(hospital.store(one).await, [Ok(Status::OUT_OF_RESOURCES)]);
    assert_eq!(hospital.store(one).await, [Ok(Status::OUT_OF_RESOURCES)], "the PACS does not have it yet");
    assert_eq!(hospital.spool().entries.len(), 1);
    pacs.listen().await;
    assert_eq!(hospital.store(one).await, [SUCCESS], "{}", gateway.log());
    assert!(!pacs.instances().is_empty(), "acknowledged is forwarded here");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_passes_as_it_is_and_what_only_says_so_is_sealed() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs, ""));
    let gateway = hospital.start("");
    let image = Image::new(1, 1, 64);
    assert_eq!(hospital.store(std::slice::from_ref(&image)).await, [SUCCESS]);
    assert!(pacs.keeps(1, SOON).await);
    let sealed = pacs.kept().remove(0).data_set;
    let back = |bytes: Vec<u8>| {
        let mut image = image.clone();
        image.instance.length = Some(bytes.len() as u64);
        Image { data_set: bytes.into(), ..image }
    };
    assert_eq!(hospital.store(&[back(sealed.to_vec())]).await, [SUCCESS]);
    assert!(pacs.keeps(2, SOON).await, "{}", gateway.log());
    assert!(pacs.kept()[1].data_set == sealed, "not sealed twice");
    // Two forgeries: a header whose key nobody knows, and one whose key is known and whose stream does not commit to it.
    let magic_at = sealed.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap();
    let archive = hospital.archive();
    for (number, at) in [(3, magic_at + 12), (4, magic_at + 60)] {
        let mut forged = sealed.to_vec();
        forged[at] ^= 1;
        assert_eq!(hospital.store(&[back(forged.clone())]).await, [SUCCESS]);
        assert!(pacs.keeps(number, SOON).await, "{}", gateway.log());
        let kept = pacs.kept().pop().unwrap();
        assert!(kept.data_set[..] != forged[..], "it is sealed");
        assert!(opened(&archive, &kept).unwrap().0 == forged, "as the foreign data it is");
    }
}
