//! Routes that wait for the PACS: what it answers is what the sender hears, whatever that is, and nothing is lost meanwhile.

use std::time::{Duration, Instant};

use sealgate::dicom::Status;

use super::hospital::Hospital;
use super::image::Image;
use super::pacs::{Behaviour, Pacs};
use crate::gateway::{Gateway, SOON};

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);
/// As `acknowledge_seconds_max` has it below.
const PATIENCE: Duration = Duration::from_secs(2);

fn config(pacs: &[&Pacs]) -> String {
    let names: Vec<String> = (0..pacs.len()).map(|number| format!("\"pacs{number}\"")).collect();
    let destinations = pacs
        .iter()
        .zip(&names)
        .map(|(one, name)| format!("[[destinations]]\nname = {name}\naddress = \"{}\"\n", one.peer()));
    format!(
        "[scu]\nanswer_seconds = 4\nreuse_seconds = 0\n[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\nrefusals_max = 2\n\
         acknowledge_seconds_max = {}\n{}[[routes]]\nname = \"all\"\nacknowledge = \"forwarded\"\ndestinations = [{}]\n",
        PATIENCE.as_secs(),
        destinations.collect::<String>(),
        names.join(", ")
    )
}

async fn store(hospital: &Hospital, image: &Image) -> Result<Status, String> {
    hospital.store(std::slice::from_ref(image)).await.remove(0)
}

/// Waits until nothing is in the spool, with everything tried at once.
async fn gone(hospital: &Hospital, gateway: &Gateway) {
    assert!(hospital.sealgate(&["spool", "retry"]).status.success());
    let end = Instant::now() + SOON;
    while !hospital.spool().entries.is_empty() {
        assert!(Instant::now() < end, "{:?}\n{}", hospital.spool().entries, gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pacs_answers_is_what_the_sender_hears() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&[&pacs]));
    let gateway = hospital.start("");
    let taken = [0x0000, 0xB000, 0xB006, 0xB007];
    let refused = [0xA700, 0xA702, 0xA900, 0xA9FF, 0xC000, 0xC123, 0x0110, 0x0122, 0x0124];
    for (number, code) in taken.into_iter().chain(refused).enumerate() {
        let image = Image::new(1, u32::try_from(number).unwrap(), 40);
        pacs.behave(Behaviour::Answer(code));
        assert_eq!(store(&hospital, &image).await, Ok(Status(code)), "{code:04X}: {}", gateway.log());
        if refused.contains(&code) {
            // It is not the sender's alone any more: it stays, with the reason.
            let listed = String::from_utf8(hospital.sealgate(&["spool", "list"]).stdout).unwrap();
            assert!(listed.contains(image.uid()) && listed.contains(&format!("{code:04X}H")), "{listed}");
        }
        pacs.behave(Behaviour::Good);
        gone(&hospital, &gateway).await;
        let copies = pacs.instances().iter().filter(|one| *one == image.uid()).count();
        assert_eq!(copies, 1, "{code:04X}");
    }
    // It has it: from an earlier try, whose answer was lost.
    pacs.behave(Behaviour::Answer(0x0111));
    assert_eq!(store(&hospital, &Image::new(1, 100, 40)).await, SUCCESS, "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_pacs_the_one_that_fails_is_heard() {
    let (one, two) = (Pacs::start().await, Pacs::start().await);
    let hospital = Hospital::new(&config(&[&one, &two]));
    let gateway = hospital.start("");
    let good = Behaviour::Good;
    let full = 0xA700;
    for (number, (first, second, expected)) in [
        (good, good, 0),
        (good, Behaviour::Answer(0xA900), 0xA900),
        (Behaviour::Answer(0xC000), good, 0xC000),
        (Behaviour::Answer(0xB007), good, 0xB007),
        (good, Behaviour::Answer(0xB006), 0xB006),
        (Behaviour::Answer(0xB007), Behaviour::Answer(0xA700), full),
        (good, Behaviour::Silent, full),
        (Behaviour::Silent, Behaviour::Answer(0xA900), 0xA900),
        (good, Behaviour::NoContext, full),
    ]
    .into_iter()
    .enumerate()
    {
        let image = Image::new(1, u32::try_from(number).unwrap(), 40);
        let name = format!("{first:?} and {second:?}");
        one.behave(first);
        two.behave(second);
        assert_eq!(store(&hospital, &image).await, Ok(Status(expected)), "{name}: {}", gateway.log());
        one.behave(good);
        two.behave(good);
        // The sender tries again, as it has heard of a failure: the same instance, which waits still or has gone out.
        let is_silent = first == Behaviour::Silent || second == Behaviour::Silent;
        if expected != 0 && expected >> 12 != 0xB && !is_silent {
            assert!(hospital.sealgate(&["spool", "retry"]).status.success());
            assert_eq!(store(&hospital, &image).await, SUCCESS, "{name}: {}", gateway.log());
        }
        gone(&hospital, &gateway).await;
        for pacs in [&one, &two] {
            assert!(pacs.instances().iter().any(|one| one == image.uid()), "{name}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_that_is_silent_costs_the_sender_its_patience_and_no_instance() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&[&pacs]));
    let gateway = hospital.start("");
    pacs.behave(Behaviour::Silent);
    let (image, begun) = (Image::new(1, 1, 40), Instant::now());
    assert_eq!(store(&hospital, &image).await, Ok(Status::OUT_OF_RESOURCES));
    let waited = begun.elapsed();
    assert!(waited >= PATIENCE && waited < PATIENCE * 4, "{waited:?}");
    let line = gateway.wait_for_log("instance not taken in");
    assert!(line.contains("has not taken it in time; it stays in the spool"), "{line}");
    assert_eq!(hospital.spool().entries.len(), 1);
    pacs.behave(Behaviour::Good);
    assert!(pacs.keeps(1, SOON).await, "{}", gateway.log());
    gone(&hospital, &gateway).await;
    assert_eq!(pacs.instances(), [image.uid()]);
}
