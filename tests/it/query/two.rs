//! Several archives behind one title: each match once, and who has not answered is said, and never taken for nothing.

use std::collections::BTreeMap;

use dicom_core::Tag;
use sealgate::dicom::{AeAddress, Encoding};
use sealgate::scu::{for_storing, store};

use super::{Asked, ask, gateway};
use crate::peers::archive::{INSTANCE, PATIENT, SERIES, STUDY, call, read, value};
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, Sample, address, free_port};
use crate::retrieve::site::{Front, one_study, slices, studies};

const STUDIES: [&str; 3] = ["--level=STUDY", "--key=0020000D=", "--key=00081030="];

/// The unique keys of all levels, and what tells patients apart.
const KEYS: [&str; 6] = [
    "--key=00100010=",
    "--key=00100020=",
    "--key=00100030=",
    "--key=0020000D=",
    "--key=0020000E=",
    "--key=00080018=",
];

fn over(archives: &[(&str, &AeAddress)]) -> Front {
    let archives: Vec<_> = archives.iter().map(|(name, address)| (*name, *address, "get")).collect();
    Front::with(&archives, "pending_seconds = 20\n", "pending_seconds = 2\nanswer_seconds = 2\n")
}

/// How often each value of this key was told.
fn told(asked: &[Asked], tag: Tag) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for (_, bytes) in asked.iter().flat_map(|one| &one.found) {
        *told.entry(value(&read(bytes, Encoding::ExplicitLittle), tag)).or_default() += 1;
    }
    // Who has no Patient ID is nobody that could be told apart, and is told by each.
    told.remove("");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_archives_have_is_told_once_at_every_level() {
    let (all, one, two) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let orthanc = Orthanc::start();
    let small = |sample: &Sample| sample.data_set.len() < 4096;
    // Patients and studies of one image, and images of one series.
    let samples: Vec<Sample> = studies().into_values().flatten().filter(small).chain(slices(6).1).collect();
    let alone = Front::over(&[("all", &all.address(), "get")]);
    alone.store(&samples).await;
    // Each of two lacks what the other one has.
    let lacking = |which: usize| -> Vec<Sample> {
        let kept = samples.iter().enumerate().filter(|(at, _)| at % 3 != which);
        kept.map(|(_, sample)| sample.clone()).collect()
    };
    over(&[("one", &one.address()), ("three", &orthanc.address())]).store(&lacking(0)).await;
    over(&[("two", &two.address())]).store(&lacking(1)).await;
    let both = over(&[("one", &one.address()), ("two", &two.address())]);
    // dcmqrscp and Orthanc do not write every name alike, and who differs in his name is another patient.
    let others = over(&[("two", &two.address()), ("three", &orthanc.address())]);
    for (level, unique, fronts) in [
        ("PATIENT", PATIENT, vec![&both]),
        ("STUDY", STUDY, vec![&both, &others]),
        ("SERIES", SERIES, vec![&both, &others]),
        ("IMAGE", INSTANCE, vec![&both, &others]),
    ] {
        let level = format!("--level={level}");
        let options = [&["--model=patient", "--extended=01", &level], &KEYS[..]].concat();
        let expected = told(&ask(&gateway(&alone), &options), unique);
        assert!(expected.len() > 5, "{level}: {expected:?}");
        for front in fronts {
            let asked = ask(&gateway(front), &options);
            assert_eq!(asked[0].status, Some(0), "{level}: {}", front.gateway.log());
            assert_eq!(told(&asked, unique), expected, "{level}");
        }
    }
}

/// The same with another first letter of an element that begins so.
fn beginning(sample: &Sample, head: &[u8], letter: u8) -> Sample {
    let mut data = sample.data_set.to_vec();
    let at =
        data.windows(head.len()).position(|window| window == head).expect("it is there") + head.len() + 2;
    data[at] = letter;
    Sample { data_set: data.into(), ..sample.clone() }
}

/// Stores it as it is, past the gateway.
async fn keep(archive: &Dcmqrscp, sample: &Sample) {
    let mut caller = call(archive.address(), &for_storing([&sample.instance.need()])).await;
    store(&mut caller, &sample.instance, &mut sample.data_set.clone()).await.unwrap();
    caller.release().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn patients_of_two_archives_with_one_id_and_two_names_are_two() {
    let (one, two) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let (_, samples) = one_study();
    for (archive, letter) in [(&one, b'A'), (&two, b'B')] {
        keep(archive, &beginning(&samples[0], b"\x10\0\x10\0PN", letter)).await;
    }
    let front = over(&[("one", &one.address()), ("two", &two.address())]);
    let options = [&["--model=patient", "--level=PATIENT"], &KEYS[..2]].concat();
    let asked = ask(&gateway(&front), &options);
    let patients: Vec<usize> = told(&asked, PATIENT).into_values().collect();
    assert_eq!((patients, told(&asked, Tag(0x0010, 0x0010)).len()), (vec![2], 2), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_study_that_two_archives_describe_differently_is_told_once() {
    let (one, two) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let (study, samples) = one_study();
    for (archive, letter) in [(&one, b'A'), (&two, b'B')] {
        keep(archive, &beginning(&samples[0], b"\x08\0\x30\x10LO", letter)).await;
    }
    let asked = ask(&gateway(&over(&[("one", &one.address()), ("two", &two.address())])), &STUDIES);
    assert_eq!(told(&asked, STUDY), BTreeMap::from([(study, 1)]));
    let description = told(&asked, Tag(0x0008, 0x1030)).into_keys().next().unwrap();
    assert!(description.starts_with(['A', 'B']), "{description}: one of the two, and not a mixture");
}

/// Archives that do not answer a query, each in its way: its options, and what one alone is answered with.
const FAILING: [(&str, &[&str], u16); 4] = [
    ("does not take us", &["--only-from=SOMEBODY"], 0xC001),
    ("has no resources, after a match", &["--matches=1", "--find-status=42752"], 0xA700),
    ("has no resources at all", &["--matches=0", "--find-status=42752"], 0xA700),
    ("is silent", &["--pause=3600"], 0xC001),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_does_not_answer_is_a_warning_beside_another_one_and_a_failure_by_itself() {
    let good = Pynetdicom::start(&["--matches=40"]);
    for (how, options, status) in FAILING {
        let failing = Pynetdicom::start(options);
        let asked = ask(&gateway(&over(&[("bad", &failing.address()), ("good", &good.address())])), &STUDIES);
        assert_eq!((asked[0].found.len(), asked[0].status), (40, Some(0xB000)), "{how}: {asked:?}");
        assert_eq!(asked[0].comment, "bad has not answered in full", "{how}");
        let asked = ask(&gateway(&over(&[("bad", &failing.address())])), &STUDIES);
        assert_eq!(asked[0].status, Some(status), "{how}: {asked:?}");
        let asked = ask(
            &gateway(&over(&[("bad", &failing.address()), ("gone", &address("GONE", free_port()))])),
            &STUDIES,
        );
        // What one of them says of the query is as good as that the other one is gone.
        assert!([Some(status), Some(0xC001)].contains(&asked[0].status), "{how}: {asked:?}");
        assert!(asked[0].found.len() <= 1 && !asked[0].comment.is_empty(), "{how}: {asked:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_archive_holds_nothing_up_that_another_one_has() {
    let (slow, good) =
        (Pynetdicom::start(&["--matches=3", "--pause=1.5"]), Pynetdicom::start(&["--matches=40"]));
    let asked = ask(&gateway(&over(&[("slow", &slow.address()), ("good", &good.address())])), &STUDIES);
    // The first three are those of the slow one too.
    assert_eq!((asked[0].found.len(), asked[0].status), (40, Some(0)), "{asked:?}");
    let both = Pynetdicom::start(&["--matches=60", "--pause=0.05"]);
    let asked = ask(&gateway(&over(&[("slow", &both.address()), ("good", &good.address())])), &STUDIES);
    let first: Vec<_> = asked[0].found.iter().take(40).map(|(_, bytes)| bytes.clone()).collect();
    assert_eq!((asked[0].found.len(), asked[0].status), (60, Some(0)));
    assert!(first.len() == 40 && told(&asked, STUDY).len() == 60);
}
