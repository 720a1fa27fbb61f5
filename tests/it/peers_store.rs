//! C-STORE with other people's software: what they hold is what was sent.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, Status};
use sealgate::scu::{
    Caller, Comment, Config, Destination, Failure, FromReader, Meaning, Need, Tcp, for_storing, store,
};

use crate::peers::{Orthanc, Pynetdicom, Sample, StoreScp, data_set_of, samples};

const COLOR_PALETTE: &str = "1.2.840.10008.5.1.4.39.1";

fn to(address: AeAddress) -> Destination {
    Destination { address, calling: AeTitle::parse("SEALGATE").expect("a title") }
}

fn needs(samples: &[Sample]) -> Vec<Need> {
    let mut seen = Vec::new();
    for sample in samples {
        let need = sample.instance.need();
        if !seen.contains(&need) {
            seen.push(need);
        }
    }
    assert!(seen.len() <= 128, "one association is enough");
    seen
}

async fn call(address: AeAddress, needs: &[Need]) -> Caller {
    let (door, config) = (association::Config::default(), Arc::new(Config::default()));
    Caller::associate(&Tcp, &to(address), &for_storing(needs), &door, &config).await.expect("associated")
}

/// Sends all on one association; what the peer took, and what it has no context for or answers that it cannot process.
async fn send_all(
    address: AeAddress,
    samples: &[Sample],
    check: impl Fn(&Sample),
) -> (Vec<Sample>, Vec<Sample>) {
    let mut caller = call(address, &needs(samples)).await;
    let (mut taken, mut refused) = (Vec::new(), Vec::new());
    for sample in samples {
        let mut instance = sample.instance.clone();
        instance.length = Some(sample.data_set.len() as u64);
        // A reader, so that the file is not in memory as a whole.
        let mut source = FromReader::new(&sample.data_set[..]);
        match store(&mut caller, &instance, &mut source).await {
            Ok(_) => {
                // The next one may have the same UID.
                check(sample);
                taken.push(sample.clone());
            }
            Err(Failure::NoContext { .. } | Failure::Status(_)) => refused.push(sample.clone()),
            Err(failure) => panic!("{}: {failure}", sample.path.display()),
        }
    }
    caller.release().await;
    (taken, refused)
}

#[tokio::test]
async fn storescp_holds_every_real_instance_bit_for_bit() {
    let (peer, all) = (StoreScp::start(), samples());
    let check = |sample: &Sample| {
        let file = peer.file(sample.instance.instance.as_str()).expect("it was written");
        assert!(data_set_of(&file) == Some(&sample.sent()), "{sample:?}");
    };
    let (taken, refused) = send_all(peer.address(), &all, check).await;
    // Its list of classes has no palettes, and DCMTK 3.6.7 is older than these transfer syntaxes.
    let is_unknown = |sample: &Sample| {
        let syntax = sample.instance.transfer_syntax.keyword;
        sample.instance.class.as_str() == COLOR_PALETTE
            || syntax.starts_with("HTJ2K")
            || syntax.starts_with("JPEGXL")
    };
    assert!(refused.iter().all(is_unknown), "{refused:#?}");
    let syntaxes: BTreeSet<_> = taken.iter().map(|one| one.instance.transfer_syntax.uid).collect();
    let classes: BTreeSet<_> = taken.iter().map(|one| &one.instance.class).collect();
    assert!(taken.len() > 150 && syntaxes.len() >= 11 && classes.len() >= 15, "{syntaxes:?} {classes:?}");
}

#[tokio::test]
async fn pynetdicom_holds_every_real_instance_bit_for_bit() {
    let (peer, all) = (Pynetdicom::start(&["--any-class"]), samples());
    let check = |sample: &Sample| {
        let held = peer.data_set(sample.instance.instance.as_str()).expect("it was written");
        assert!(held == sample.sent(), "{sample:?}");
    };
    let (taken, refused) = send_all(peer.address(), &all, check).await;
    assert!(refused.is_empty() && taken.len() == all.len(), "{refused:?}");
}

#[tokio::test]
async fn orthanc_holds_the_same_pixels() {
    let peer = Orthanc::start();
    let mut by_kind = BTreeMap::new();
    for sample in samples() {
        let key = (sample.instance.class.clone(), sample.instance.transfer_syntax.uid);
        by_kind.entry(key).or_insert(sample);
    }
    let all: Vec<Sample> = by_kind.into_values().collect();
    let compared = AtomicUsize::new(0);
    let check = |sample: &Sample| {
        let file = peer.file(sample.instance.instance.as_str()).expect("it is there");
        // Orthanc writes some elements anew, but not these.
        let (ours, theirs) = (pixels(&fs::read(&sample.path).expect("a sample")), pixels(&file));
        assert!(ours == theirs, "{sample:?}");
        compared.fetch_add(usize::from(ours.is_some()), Ordering::Relaxed);
    };
    let (taken, refused) = send_all(peer.address(), &all, check).await;
    assert!(refused.len() < 12, "{refused:#?}");
    assert!(taken.len() > 20 && compared.into_inner() > 20, "{}", taken.len());
}

/// Pixel Data, as bytes or fragments.
fn pixels(file: &[u8]) -> Option<Vec<Vec<u8>>> {
    let object = dicom_object::from_reader(&file[128..]).expect("a DICOM file");
    let element = object.get(dicom_core::Tag(0x7FE0, 0x0010))?;
    match element.fragments() {
        Some(fragments) => Some(fragments.to_vec()),
        None => Some(vec![element.to_bytes().expect("bytes").into_owned()]),
    }
}

#[tokio::test]
async fn what_the_peer_answers_comes_with_its_meaning() {
    let sample = &samples()[0];
    for (status, meaning) in [
        (0xB000, Meaning::Warning),
        (0xB006, Meaning::Warning),
        (0xB007, Meaning::Warning),
        (0x0111, Meaning::Duplicate),
        (0xA700, Meaning::OutOfResources),
        (0xA900, Meaning::DoesNotMatch),
        (0xC123, Meaning::CannotUnderstand),
        (0x0124, Meaning::NotAuthorized),
    ] {
        let peer = Pynetdicom::start(&[&format!("--status={status}"), "--comment=ask^SMITH"]);
        let mut caller = call(peer.address(), &[sample.instance.need()]).await;
        let answered = store(&mut caller, &sample.instance, &mut sample.data_set.clone()).await;
        let answer = match answered {
            Ok(answer) => answer,
            Err(Failure::Status(answer)) => *answer,
            Err(other) => panic!("{other}"),
        };
        assert_eq!((answer.status, Meaning::of(answer.status)), (Status(status), meaning));
        assert_eq!(answer.comment.as_ref().map(Comment::as_written), Some("ask^SMITH"));
        assert!(!format!("{answer} {answer:?}").contains("SMITH"));
        assert_eq!(answer.offending, [dicom_core::Tag(0x0008, 0x0018)]);
        // A status is no end: the association goes on.
        assert!(caller.is_free());
        let again = store(&mut caller, &sample.instance, &mut sample.data_set.clone()).await;
        assert_eq!(again.is_ok(), meaning == Meaning::Warning);
        caller.release().await;
    }
}

#[tokio::test]
async fn the_originator_of_a_move_goes_with_the_store() {
    let (peer, sample) = (Pynetdicom::start(&[]), samples().remove(0));
    let mut caller = call(peer.address(), &[sample.instance.need()]).await;
    let mut instance = sample.instance.clone();
    instance.originator = Some((AeTitle::parse("VIEWER").expect("a title"), 4711));
    store(&mut caller, &instance, &mut sample.data_set.clone()).await.expect("stored");
    caller.release().await;
    peer.process.says("originator VIEWER 4711", 1);
}

#[tokio::test]
async fn a_peer_that_dies_in_the_middle_of_a_store_is_a_broken_connection() {
    let samples = samples();
    let sample = samples.iter().find(|sample| sample.data_set.len() > 300_000).expect("a larger one");
    let mut peer = StoreScp::start_with(&["-pm", "+xa", "--sleep-during", "30"]);
    let mut caller = call(peer.address(), &[sample.instance.need()]).await;
    let killing = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        peer.process.kill();
    };
    let mut data = sample.data_set.clone();
    let (answered, ()) = tokio::join!(store(&mut caller, &sample.instance, &mut data), killing);
    let failure = answered.expect_err("it is dead");
    assert!(matches!(failure, Failure::Connection(_)) && failure.may_pass(), "{failure:?}");
    assert!(!caller.is_free());
    caller.release().await;
}

#[tokio::test]
async fn every_end_of_a_real_peer_has_its_class() {
    let samples = samples();
    let sample = samples.iter().find(|sample| sample.data_set.len() > 300_000).expect("a larger one");
    for (option, class) in
        [("--refuse", "refused"), ("--abort-after", "aborted"), ("--abort-during", "aborted")]
    {
        let peer = StoreScp::start_with(&[option, "-pm", "+xa"]);
        let (door, config) = (association::Config::default(), Arc::new(Config::default()));
        let proposals = for_storing([&sample.instance.need()]);
        let caller = Caller::associate(&Tcp, &to(peer.address()), &proposals, &door, &config).await;
        let failure = match caller {
            Err(failure) => failure,
            Ok(mut caller) => {
                let failure = store(&mut caller, &sample.instance, &mut sample.data_set.clone())
                    .await
                    .expect_err("it does not answer");
                assert!(!caller.is_free());
                caller.abort().await;
                failure
            }
        };
        let fits = match class {
            "refused" => matches!(&failure, Failure::Refused(codes) if codes.result == 1),
            _ => matches!(failure, Failure::Aborted { .. }),
        };
        assert!(fits, "{option}: {failure:?} {}", peer.process.log());
    }
}
