//! Two archives behind one title that have the same images, or some of them: what one owes and the other brings has come.

use std::collections::BTreeSet;
use std::fs;

use dicom_core::Tag;
use dicom_dictionary_std::uids;
use sealgate::association::SubOperations;
use sealgate::dicom::{Encoding, Status};
use sealgate::scu::{Failure, Got, Retrieved, find, for_getting, for_service, for_storing, get, store};

use super::differing;
use super::site::{Came, Front, GET, needs_of, one_study, tall, tamper};
use crate::peers::archive::{INSTANCE, PATIENT, SERIES, STUDY, call, identifier, read, text, uid, value};
use crate::peers::{Dcmqrscp, Orthanc, Process, Pynetdicom, Sample};

const STUDY_FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
const FIND: &str = uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;

/// Two archives with the same study, in the order in which they are asked.
async fn mirrored(one: &Dcmqrscp, two: &Dcmqrscp) -> (Front, String, Vec<Sample>) {
    let front = Front::over(&[("one", &one.address(), "get"), ("two", &two.address(), "get")]);
    let (study, samples) = one_study();
    front.store(&samples).await;
    (front, study, samples)
}

fn names(samples: &[Sample]) -> BTreeSet<String> {
    samples.iter().map(|sample| sample.instance.instance.to_string()).collect()
}

fn failed(ended: &Retrieved) -> BTreeSet<String> {
    ended.failed.iter().map(ToString::to_string).collect()
}

fn counts(ended: &Retrieved) -> (Option<u16>, Option<u16>, Option<u16>) {
    (ended.counts.completed, ended.counts.failed, ended.counts.warning)
}

/// No response on the way tells of more images than there are, or of a failure that is none.
fn assert_plausible(told: &[SubOperations], images: usize) {
    for counts in told {
        let SubOperations { remaining, completed, failed, warning } = *counts;
        let all: u16 = [remaining, completed, failed, warning].into_iter().flatten().sum();
        assert!(usize::from(all) <= images && failed == Some(0), "{counts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_down_fails_nothing_that_the_other_one_brings() {
    let (mut one, two) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let (front, study, samples) = mirrored(&one, &two).await;
    one.process.kill();
    let needs = needs_of(&samples);
    let (came, ended, told) = front.get_by("VIEWER", ("STUDY", &[(STUDY, &study)]), &needs).await;
    assert!(differing(&samples, &came).is_empty());
    assert_eq!((counts(&ended), failed(&ended).len()), ((Some(8), Some(0), Some(0)), 0));
    // Nobody knows what else it has.
    assert_eq!(ended.answer.status, Status::INCOMPLETE);
    assert!(ended.answer.comment.as_ref().unwrap().as_written().contains("one has not answered"));
    assert_plausible(&told, samples.len());

    // Of what is asked for by name, everything is known.
    let list: Vec<String> = names(&samples).into_iter().collect();
    let list = list.join("\\");
    let series = text(&dicom_object::open_file(&samples[0].path).unwrap(), SERIES);
    let keys = [(STUDY, study.as_str()), (SERIES, &series), (INSTANCE, &list)];
    let (came, ended, _) = front.get_by("VIEWER", ("IMAGE", &keys), &needs).await;
    assert!(differing(&samples, &came).is_empty(), "{ended:?}\n{}", two.process.log());
    assert!(ended.is_complete() && failed(&ended).is_empty(), "{ended:?}");
    assert_eq!(ended.answer.comment, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_archive_has_lost_comes_from_the_other_and_what_both_have_lost_has_failed() {
    let (one, two) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let (front, study, samples) = mirrored(&one, &two).await;
    let needs = needs_of(&samples);
    let lose = |archive: &Dcmqrscp, sample: &Sample| {
        fs::remove_file(archive.file(sample.instance.instance.as_str()).unwrap()).unwrap();
    };
    samples[..3].iter().for_each(|sample| lose(&one, sample));
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(differing(&samples, &came).is_empty(), "{}", one.process.log());
    assert_eq!((counts(&ended), failed(&ended).len()), ((Some(8), Some(0), Some(0)), 0), "{ended:?}");
    assert!(ended.is_complete(), "{ended:?}");

    samples[2..5].iter().for_each(|sample| lose(&two, sample));
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert_eq!(came.len(), 7);
    assert_eq!((counts(&ended), failed(&ended)), ((Some(7), Some(1), Some(0)), names(&samples[2..3])));
    assert_eq!(ended.answer.status, Status::INCOMPLETE);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_copy_hides_no_good_one() {
    let (one, two) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let (front, study, samples) = mirrored(&one, &two).await;
    let needs = needs_of(&samples);
    for sample in &samples[..2] {
        tamper(&one.file(sample.instance.instance.as_str()).unwrap());
    }
    let (came, ended, told) = front.get_by("VIEWER", ("STUDY", &[(STUDY, &study)]), &needs).await;
    assert!(differing(&samples, &came).is_empty(), "{}", front.gateway.log());
    assert!(ended.is_complete() && counts(&ended) == (Some(8), Some(0), Some(0)), "{ended:?}");
    assert_plausible(&told, samples.len());
    // Somebody has to look after the damaged ones.
    let alarm = front.gateway.wait_for_log("instance not released");
    assert!(alarm.contains("\"alarm\":true") && alarm.contains("\"one\""), "{alarm}");

    tamper(&two.file(samples[0].instance.instance.as_str()).unwrap());
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(differing(&samples[1..], &came).is_empty() && came.len() == 7);
    assert_eq!((counts(&ended), failed(&ended)), ((Some(7), Some(1), Some(0)), names(&samples[..1])));
    assert_eq!(ended.failed.len(), 1, "it is named once");
}

/// Gets the study, and kills an archive when the third image has begun.
async fn get_and_kill(
    front: &Front,
    process: &mut Process,
    study: &str,
    samples: &[Sample],
) -> (Came, Retrieved, Vec<SubOperations>) {
    let mut caller = front.call("VIEWER", &for_getting(&uid(GET), &needs_of(samples))).await;
    let context = caller.context_of(&uid(GET)).unwrap();
    let asked = identifier("STUDY", &[(STUDY, study)], context.transfer_syntax.encoding);
    let mut getting = get(&mut caller, &context, &asked).await.unwrap();
    let (mut came, mut told) = (Came::new(), Vec::new());
    loop {
        match getting.next().await.unwrap_or_else(|failure| panic!("{failure}\n{}", front.gateway.log())) {
            Got::Pending(counts) => told.push(counts),
            Got::Store(incoming) => {
                if came.len() == 2 {
                    process.kill();
                }
                let mut data = Vec::new();
                while let Some(piece) = getting.next_data().await.unwrap() {
                    data.extend_from_slice(&piece);
                }
                getting.answer(Status::SUCCESS).await.unwrap();
                came.insert(incoming.instance.to_string(), (incoming.context.transfer_syntax, data));
            }
            Got::Ended(ended) => return (came, ended, told),
        }
    }
}

const IMAGES: usize = 12;

/// Orthanc and dcmqrscp, with images large enough that not all of them are on their way at once.
async fn tall_ones(is_first: bool) -> (Orthanc, Dcmqrscp, Front, String, Vec<Sample>) {
    let (mortal, other) = (Orthanc::start(), Dcmqrscp::start(&[]));
    let (mortals, others) = (mortal.address(), other.address());
    let mut archives = [("mortal", &mortals, "get"), ("other", &others, "get")];
    if !is_first {
        archives.reverse();
    }
    let front = Front::over(&archives);
    let (study, samples) = tall(IMAGES as u32, 2000);
    front.store(&samples).await;
    (mortal, other, front, study, samples)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_owed_when_it_died_comes_from_the_second() {
    let (mut mortal, _other, front, study, samples) = tall_ones(true).await;
    let (came, ended, told) = get_and_kill(&front, &mut mortal.process, &study, &samples).await;
    assert!(differing(&samples, &came).is_empty(), "{}", front.gateway.log());
    assert_eq!((counts(&ended), failed(&ended).len()), ((Some(12), Some(0), Some(0)), 0), "{ended:?}");
    assert_eq!(ended.answer.status, Status::INCOMPLETE, "nobody knows what else it has");
    assert_plausible(&told, samples.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_second_owed_when_it_died_has_failed_and_is_named() {
    let (mut mortal, other, front, study, samples) = tall_ones(false).await;
    // The first one has two, and says so of the others.
    for sample in &samples[2..] {
        fs::remove_file(other.file(sample.instance.instance.as_str()).unwrap()).unwrap();
    }
    let (came, ended, _) = get_and_kill(&front, &mut mortal.process, &study, &samples).await;
    assert!((2..IMAGES).contains(&came.len()), "{} came", came.len());
    let came: BTreeSet<String> = came.into_keys().collect();
    let lost: BTreeSet<String> = names(&samples).difference(&came).cloned().collect();
    assert_eq!(failed(&ended), lost, "{ended:?}\n{}", front.gateway.log());
    assert_eq!(ended.counts.completed.map(usize::from), Some(came.len()));
    assert_eq!(ended.counts.failed.map(usize::from), Some(lost.len()));
    assert_eq!(ended.answer.status, Status::INCOMPLETE);
}

/// The names that are found at the level of patients, with Patient ID and Issuer.
async fn patients(front: &Front) -> (Vec<(String, String, String)>, Status) {
    let mut caller = front.call("VIEWER", &for_service(&uid(FIND))).await;
    let context = caller.context_of(&uid(FIND)).unwrap();
    let encoding = context.transfer_syntax.encoding;
    assert_eq!(encoding, Encoding::ExplicitLittle);
    let (name, issuer) = (Tag(0x0010, 0x0010), Tag(0x0010, 0x0021));
    let mut asked = identifier("PATIENT", &[], encoding);
    asked.extend_from_slice(b"\x10\0\x10\0PN\0\0\x10\0\x20\0LO\0\0\x10\0\x21\0LO\0\0");
    let mut finding = find(&mut caller, &context, &asked).await.unwrap();
    let mut found = Vec::new();
    while let Some(one) = finding.next().await.unwrap() {
        let one = read(&one.identifier, encoding);
        found.push((value(&one, PATIENT), value(&one, issuer), value(&one, name)));
    }
    let status = finding.ended().unwrap().status;
    caller.release().await;
    found.sort();
    (found, status)
}

/// The sample as one of another patient with the same Patient ID.
fn renamed(sample: &Sample) -> Sample {
    let mut data = sample.data_set.to_vec();
    let at = data.windows(6).position(|window| window == b"\x10\0\x10\0PN").expect("a name") + 8;
    data[at] = b'Z';
    Sample { data_set: data.into(), ..sample.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_patient_is_hidden_behind_another_one_with_the_same_patient_id() {
    let (one, two) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let front = Front::over(&[("one", &one.address(), "get"), ("two", &two.address(), "get")]);
    let (_, samples) = one_study();
    for (archive, sample) in [(&one, samples[0].clone()), (&two, renamed(&samples[0]))] {
        let mut caller = call(archive.address(), &for_storing([&sample.instance.need()])).await;
        store(&mut caller, &sample.instance, &mut sample.data_set.clone()).await.unwrap();
        caller.release().await;
    }
    let (found, status) = patients(&front).await;
    assert_eq!((found.len(), status), (2, Status::SUCCESS), "{found:?}");
    assert!(found[0].0 == found[1].0 && found[0].2 != found[1].2, "{found:?}");

    // Two of one archive, which differ in their Issuer alone, and the same two of its mirror.
    let twins = [(); 2].map(|()| Pynetdicom::start(&["--matches=2", "--issuers"]));
    let front = Front::over(&[("one", &twins[0].address(), "get"), ("two", &twins[1].address(), "get")]);
    let (found, _) = patients(&front).await;
    let issuers: Vec<&str> = found.iter().map(|(_, issuer, _)| issuer.as_str()).collect();
    assert_eq!(issuers, ["HOSPITAL0", "HOSPITAL1"], "{found:?}");
    assert_eq!(found[0].0, found[1].0);
}

/// Asks for all studies: the matches that came until the end, and how it ended. `meanwhile` is done at the first match.
async fn query(front: &Front, meanwhile: impl FnOnce()) -> (BTreeSet<String>, Status, String) {
    let mut caller = front.call("VIEWER", &for_service(&uid(STUDY_FIND))).await;
    let context = caller.context_of(&uid(STUDY_FIND)).unwrap();
    let encoding = context.transfer_syntax.encoding;
    let asked = identifier("STUDY", &[(STUDY, "")], encoding);
    let mut finding = find(&mut caller, &context, &asked).await.unwrap();
    let (mut found, mut meanwhile) = (BTreeSet::new(), Some(meanwhile));
    let answer = loop {
        match finding.next().await {
            Ok(Some(one)) => {
                found.insert(value(&read(&one.identifier, encoding), STUDY));
                if let Some(meanwhile) = meanwhile.take() {
                    meanwhile();
                }
            }
            Ok(None) => break finding.ended().unwrap().clone(),
            Err(Failure::Status(answer)) => break *answer,
            Err(failure) => panic!("{failure}\n{}", front.gateway.log()),
        }
    };
    let comment = answer.comment.as_ref().map(|comment| comment.as_written().to_owned());
    (found, answer.status, comment.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_fails_a_query_is_named_and_what_the_other_one_has_is_told() {
    let good = Pynetdicom::start(&["--matches=3"]);
    for status in ["--find-status=42752", "--find-status=49152", "--find-status=65024"] {
        let failing = Pynetdicom::start(&["--matches=1", status]);
        let archives = [("failing", &failing.address(), "get"), ("good", &good.address(), "get")];
        let (found, told, comment) = query(&Front::over(&archives), || ()).await;
        assert_eq!((found.len(), told), (3, Status::INCOMPLETE), "{status}: {found:?}");
        assert!(comment.contains("failing has not answered"), "{status}: {comment}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_dies_in_the_middle_of_a_query_is_named_and_what_the_other_one_has_is_told() {
    let good = Pynetdicom::start(&["--matches=3"]);
    // Too many to be on their way at once.
    let mut mortal = Pynetdicom::start(&["--matches=100000", "--pad=1000"]);
    let front = Front::over(&[("mortal", &mortal.address(), "get"), ("good", &good.address(), "get")]);
    let (found, told, comment) = query(&front, || mortal.process.kill()).await;
    assert!((3..100_000).contains(&found.len()), "{}", found.len());
    assert_eq!(told, Status::INCOMPLETE);
    assert!(comment.contains("mortal has not answered"), "{comment}");
}
