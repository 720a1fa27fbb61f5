//! Images that are too large to be held back until they have verified: what goes out of one that was tampered with.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sealgate::dicom::{Status, Uid};
use sealgate::scu::{Failure, Got, for_getting, get};

use super::differing;
use super::faults::{MAGIC, file_of};
use super::site::{Came, Front, GET, needs_of, tall};
use crate::gateway::{Gateway, SOON};
use crate::peers::archive::{STUDY, identifier, uid};
use crate::peers::{Dcmqrscp, Sample, StoreScp, free_port};
use crate::taker::Taker;

/// Of each image: 256 bytes. It is three times what these gateways hold back.
const ROWS: u16 = 12_288;
/// Tenths of an image at which a byte is flipped.
const START: usize = 0;
const MIDDLE: usize = 5;
const END: usize = 10;

/// Flips a byte of the sealed stream in a stored file.
fn tamper(path: &Path, tenths: usize) {
    let mut bytes = fs::read(path).unwrap();
    let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap();
    let length = u64::from_be_bytes(bytes[start + 28..start + 36].try_into().unwrap());
    // Behind the fixed header, the salt and the commitment.
    let (first, last) = (start + 36 + 56, start + 35 + usize::try_from(length).unwrap());
    let at = (first + (last - first) * tenths / 10).min(last);
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn names(instances: &[Uid]) -> Vec<&str> {
    let mut names: Vec<&str> = instances.iter().map(Uid::as_str).collect();
    names.sort_unstable();
    names
}

/// Retrieves a study: what came whole, whether a part of another one came, and how it ended.
async fn get_as_far_as_it_goes(front: &Front, study: &str, samples: &[Sample]) -> (Came, bool, Failure) {
    let mut caller = front.call("VIEWER", &for_getting(&uid(GET), &needs_of(samples))).await;
    let context = caller.context_of(&uid(GET)).unwrap();
    let asked = identifier("STUDY", &[(STUDY, study)], context.transfer_syntax.encoding);
    let mut getting = get(&mut caller, &context, &asked).await.unwrap();
    let mut came = Came::new();
    loop {
        let incoming = match getting.next().await {
            Ok(Got::Store(incoming)) => incoming,
            Ok(Got::Pending(_)) => continue,
            Ok(Got::Ended(ended)) => panic!("it ended as if nothing were: {ended:?}"),
            Err(failure) => return (came, false, failure),
        };
        let mut data = Vec::new();
        loop {
            match getting.next_data().await {
                Ok(Some(piece)) => data.extend_from_slice(&piece),
                Ok(None) => break,
                Err(failure) => return (came, !data.is_empty(), failure),
            }
        }
        getting.answer(Status::SUCCESS).await.unwrap();
        came.insert(incoming.instance.to_string(), (incoming.context.transfer_syntax, data));
    }
}

/// The log lines of a kind about an instance, of which there are so many: they come in beside what the client hears.
fn told_of(gateway: &Gateway, what: &str, instance: &str, count: usize) -> Vec<String> {
    let end = Instant::now() + SOON;
    loop {
        let log = gateway.log();
        let is_it = |line: &&str| line.contains(what) && line.contains(instance);
        let found: Vec<String> = log.lines().filter(is_it).map(str::to_owned).collect();
        if found.len() >= count || Instant::now() > end {
            assert_eq!(found.len(), count, "{what} in\n{log}");
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_of_a_large_image_that_breaks_on_its_way_is_aborted_and_one_that_never_began_is_named() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = tall(3, ROWS);
    front.store(&samples).await;
    let broken = samples[1].instance.instance.as_str();
    let file = file_of(&archive, &samples[1]);
    let good = fs::read(&file).unwrap();

    tamper(&file, START);
    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    assert_eq!((ended.answer.status, ended.counts.failed), (Status::INCOMPLETE, Some(1)), "{ended:?}");
    assert_eq!(names(&ended.failed), [broken]);
    assert!(came.len() == 2 && !came.contains_key(broken));
    for (number, tenths) in [MIDDLE, END].into_iter().enumerate() {
        fs::write(&file, &good).unwrap();
        tamper(&file, tenths);
        let (came, is_part, failure) = get_as_far_as_it_goes(&front, &study, &samples).await;
        assert!(is_part && failure.to_string().contains("abort"), "{failure}\n{}", front.gateway.log());
        assert!(!came.contains_key(broken), "a part of it is no image");
        let whole: Vec<Sample> =
            samples.iter().filter(|one| came.contains_key(one.instance.instance.as_str())).cloned().collect();
        assert!(differing(&whole, &came).is_empty() && whole.len() == came.len());
        // Others that were on their way when it was aborted are told of too, and not as tampered with.
        let told = |what: &str, count| told_of(&front.gateway, what, broken, count);
        let (released, _) =
            (told("instance not released", number + 2), told("instance not delivered", number + 1));
        let is_alarm = |line: &String| line.contains("not authentic") && line.contains("\"alarm\":true");
        assert!(released.iter().all(is_alarm), "{released:?}");
    }
    fs::write(&file, &good).unwrap();
    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    assert!(ended.is_complete() && differing(&samples, &came).is_empty(), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_of_large_images_that_break_on_their_way_goes_on_with_the_next_on_another_association() {
    let (archive, viewer) = (Dcmqrscp::start(&[]), Taker::start().await);
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], viewer.address.port());
    let (study, samples) = tall(6, ROWS);
    front.store(&samples).await;
    for (sample, tenths) in samples.iter().zip([START, MIDDLE, END]) {
        tamper(&file_of(&archive, sample), tenths);
    }
    let (broken, good) = samples.split_at(3);
    let (_, ended) = front.move_to("VIEWER", &study, "VIEWER-IN").await;
    assert_eq!(ended.answer.status, Status::INCOMPLETE, "{ended:?}\n{}", front.gateway.log());
    assert_eq!((ended.counts.completed, ended.counts.failed), (Some(3), Some(3)), "{ended:?}");
    let expected: Vec<Uid> = broken.iter().map(|one| one.instance.instance.clone()).collect();
    assert_eq!(names(&ended.failed), names(&expected));
    let came: Came = viewer
        .taken()
        .into_iter()
        .map(|one| (one.instance.to_string(), (one.transfer_syntax, one.data_set)))
        .collect();
    assert!(came.len() == 3 && differing(good, &came).is_empty(), "{:?}", came.keys());
    // What had begun to go out ended its association; what had not did not touch it.
    let ends: Vec<Option<String>> = viewer.seen().into_iter().map(|seen| seen.ended).collect();
    let aborted = ends.iter().flatten().filter(|end| *end != "released").count();
    assert_eq!(aborted, 2, "{ends:?}");
    let log = front.gateway.log();
    assert_eq!(log.matches("instance not released").count(), 3, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dcmtk_keeps_no_part_of_a_large_image_that_was_tampered_with() {
    let (archive, viewer) = (Dcmqrscp::start(&[]), StoreScp::start());
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], viewer.port());
    let (study, samples) = tall(3, ROWS);
    front.store(&samples).await;
    tamper(&file_of(&archive, &samples[1]), END);
    let broken = samples[1].instance.instance.as_str();
    let (folder, asked) = (tempfile::tempdir().unwrap(), format!("0020,000d={study}"));
    let keys = ["0008,0052=STUDY", asked.as_str()];
    let out = folder.path().to_str().unwrap();
    let output = front.dcmtk("getscu", &["-aet", "VIEWER", "-od", out], &keys);
    assert!(!output.status.success(), "{output:?}");
    let kept = fs::read_dir(out).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(kept.filter(|name| name.contains(broken)).count(), 0);

    let output = front.dcmtk("movescu", &["-d", "-aet", "VIEWER", "-aem", "VIEWER-IN"], &keys);
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(said.to_lowercase().contains("0xb000"), "{said}\n{}", front.gateway.log());
    for sample in [&samples[0], &samples[2]] {
        let file = viewer.file(sample.instance.instance.as_str()).expect("the others came");
        assert!(file.ends_with(&sample.data_set[sample.data_set.len() - 10_000..]), "whole");
    }
    // What storescp writes while it arrives is no file of an image: its end is missing.
    let part = viewer.file(broken).unwrap_or_default();
    assert!(part.len() < samples[1].data_set.len(), "{} bytes", part.len());
}
