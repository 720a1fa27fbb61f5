//! C-FIND with other people's software: every level, every match, bytes untouched, no faster than it is read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dicom_core::Tag;
use dicom_dictionary_std::uids;
use sealgate::dicom::{AeAddress, Encoding, Status, TransferSyntax};
use sealgate::scu::{Caller, Config, Failure, Meaning, find, for_service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::peers::archive::{
    INSTANCE, Kept, PATIENT, SERIES, STUDY, call, call_with, fill, identifier, read, uid, value, values,
};
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom};

const PATIENT_ROOT: &str = uids::PATIENT_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;
const STUDY_ROOT: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;

/// All matches, read.
async fn ask(
    caller: &mut Caller,
    model: &str,
    encoding: Encoding,
    level: &str,
    keys: &[(Tag, &str)],
) -> Vec<BTreeMap<Tag, Vec<u8>>> {
    let syntax = match encoding {
        Encoding::ImplicitLittle => TransferSyntax::IMPLICIT_LITTLE,
        _ => TransferSyntax::EXPLICIT_LITTLE,
    };
    let syntax = TransferSyntax::by_uid(syntax).expect("a syntax");
    let context = caller.context(&uid(model), syntax).expect("accepted");
    let mut finding = find(caller, &context, &identifier(level, keys, encoding)).await.expect("asked");
    let mut matches = Vec::new();
    while let Some(found) = finding.next().await.expect("a match") {
        assert!(found.status.is_pending());
        matches.push(read(&found.identifier, encoding));
    }
    assert_eq!(finding.ended().map(|answer| answer.status), Some(Status::SUCCESS));
    assert!(caller.is_free());
    matches
}

fn sorted(matches: &[BTreeMap<Tag, Vec<u8>>], tag: Tag) -> Vec<String> {
    let mut values: Vec<String> = matches.iter().map(|one| value(one, tag)).collect();
    values.sort();
    values
}

/// Asks at every level and compares with what is in the archive.
async fn at_all_levels(address: AeAddress, kept: &[Kept]) {
    let proposals = [for_service(&uid(PATIENT_ROOT)), for_service(&uid(STUDY_ROOT))].concat();
    let mut caller = call(address, &proposals).await;
    for encoding in [Encoding::ExplicitLittle, Encoding::ImplicitLittle] {
        let found = ask(&mut caller, PATIENT_ROOT, encoding, "PATIENT", &[(PATIENT, "")]).await;
        assert_eq!(sorted(&found, PATIENT), values(kept, PATIENT));
        let found = ask(&mut caller, STUDY_ROOT, encoding, "STUDY", &[(STUDY, "")]).await;
        assert_eq!(sorted(&found, STUDY), values(kept, STUDY));
        for study in values(kept, STUDY) {
            let of_study: Vec<Kept> = kept.iter().filter(|one| one.text(STUDY) == study).cloned().collect();
            let keys = [(STUDY, study.as_str()), (SERIES, "")];
            let found = ask(&mut caller, STUDY_ROOT, encoding, "SERIES", &keys).await;
            assert_eq!(sorted(&found, SERIES), values(&of_study, SERIES));
            let series = values(&of_study, SERIES).remove(0);
            let of_series: Vec<Kept> =
                of_study.iter().filter(|one| one.text(SERIES) == series).cloned().collect();
            let keys = [(STUDY, study.as_str()), (SERIES, series.as_str()), (INSTANCE, "")];
            let found = ask(&mut caller, STUDY_ROOT, encoding, "IMAGE", &keys).await;
            assert_eq!(sorted(&found, INSTANCE), values(&of_series, INSTANCE));
        }
        let nothing = ask(&mut caller, STUDY_ROOT, encoding, "STUDY", &[(STUDY, "1.2.3.4.5")]).await;
        assert!(nothing.is_empty());
    }
    caller.release().await;
}

#[tokio::test]
async fn dcmqrscp_is_asked_at_every_level() {
    let peer = Dcmqrscp::start(&[]);
    let kept = fill(peer.address()).await;
    assert_eq!(peer.files().len(), kept.len());
    at_all_levels(peer.address(), &kept).await;
}

#[tokio::test]
async fn orthanc_is_asked_at_every_level() {
    let peer = Orthanc::start();
    let kept = fill(peer.address()).await;
    assert_eq!(peer.count(), kept.len());
    at_all_levels(peer.address(), &kept).await;
}

#[tokio::test]
async fn a_worklist_is_found_and_its_characters_are_not_touched() {
    let peer = Pynetdicom::start(&["--matches=2"]);
    let worklist = uid(uids::MODALITY_WORKLIST_INFORMATION_MODEL_FIND);
    let mut caller = call(peer.address(), &for_service(&worklist)).await;
    let context = caller.context_of(&worklist).expect("accepted");
    let asked = identifier("STUDY", &[(PATIENT, "")], Encoding::ExplicitLittle);
    let mut finding = find(&mut caller, &context, &asked).await.expect("asked");
    let mut statuses = Vec::new();
    while let Some(found) = finding.next().await.expect("a match") {
        // Latin 1, as the peer's Specific Character Set says; UTF-8 would be two bytes for each letter.
        let name = b"M\xFCller^\xC4nne";
        assert!(found.identifier.windows(name.len()).any(|window| window == name));
        statuses.push(found.status);
    }
    assert_eq!(statuses, [Status::PENDING, Status::PENDING_WITHOUT_OPTIONAL_KEYS]);
    caller.release().await;
}

#[tokio::test]
async fn a_query_that_fails_is_no_empty_result() {
    let peer = Pynetdicom::start(&["--matches=1", "--find-status=42752"]);
    let mut caller = call(peer.address(), &for_service(&uid(STUDY_ROOT))).await;
    let context = caller.context_of(&uid(STUDY_ROOT)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, "")], context.transfer_syntax.encoding);
    let mut finding = find(&mut caller, &context, &asked).await.expect("asked");
    assert!(finding.next().await.expect("a match").is_some());
    let failure = finding.next().await.expect_err("A700H");
    assert_eq!(failure.answer().map(|answer| Meaning::of(answer.status)), Some(Meaning::OutOfResources));
    assert!(matches!(finding.next().await, Ok(None)), "and then it is over");
    assert!(caller.is_free(), "the association goes on");
    caller.release().await;
}

#[tokio::test]
async fn a_query_is_cancelled_in_the_middle() {
    let peer = Pynetdicom::start(&["--matches=100000"]);
    let mut caller = call(peer.address(), &for_service(&uid(STUDY_ROOT))).await;
    let context = caller.context_of(&uid(STUDY_ROOT)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, "")], context.transfer_syntax.encoding);
    let mut finding = find(&mut caller, &context, &asked).await.expect("asked");
    for _ in 0..10 {
        assert!(finding.next().await.expect("a match").is_some());
    }
    finding.cancel().await.expect("sent");
    let mut late = 0;
    while finding.next().await.expect("a match or the end").is_some() {
        late += 1;
    }
    assert!(late < 90_000, "{late}");
    assert_eq!(finding.ended().map(|answer| answer.status), Some(Status::CANCEL));
    assert!(caller.is_free());
    peer.process.says("cancelled after", 1);
    caller.release().await;
}

/// A way to the peer that counts the bytes which come from it.
pub(crate) async fn counting(peer: AeAddress) -> (AeAddress, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = crate::peers::address(peer.title.as_str(), listener.local_addr().expect("bound").port());
    let passed = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&passed);
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.expect("our own call");
        let far = TcpStream::connect(("127.0.0.1", peer.port)).await.expect("the peer");
        let ((mut near_in, mut near_out), (mut far_in, mut far_out)) = (near.into_split(), far.into_split());
        tokio::spawn(async move { tokio::io::copy(&mut near_in, &mut far_out).await });
        let mut piece = vec![0; 1 << 16];
        while let Ok(length @ 1..) = far_in.read(&mut piece).await {
            count.fetch_add(length as u64, Ordering::Relaxed);
            near_out.write_all(&piece[..length]).await.expect("we are there");
        }
    });
    (address, passed)
}

#[tokio::test]
async fn two_thousand_matches_come_no_faster_than_they_are_read() {
    let peer = Pynetdicom::start(&["--matches=2000", "--pad=60000"]);
    let (address, passed) = counting(peer.address()).await;
    let mut caller = call(address, &for_service(&uid(STUDY_ROOT))).await;
    let context = caller.context_of(&uid(STUDY_ROOT)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, "")], context.transfer_syntax.encoding);
    let mut finding = find(&mut caller, &context, &asked).await.expect("asked");
    assert!(finding.next().await.expect("a match").is_some());
    tokio::time::sleep(Duration::from_secs(2)).await;
    // 120 MB do not fit into what the kernel holds, and we hold none; the peer itself may hold them all.
    let before = passed.load(Ordering::Relaxed);
    assert!(before < 60_000_000, "{before} bytes taken, and nobody has read them");
    let mut count = 1;
    while let Some(found) = finding.next().await.expect("a match") {
        assert!(found.identifier.len() > 10_000);
        count += 1;
    }
    assert_eq!(count, 2000);
    assert!(passed.load(Ordering::Relaxed) > 120_000_000, "all of it");
    caller.release().await;
}

#[tokio::test]
async fn a_peer_that_dies_in_the_middle_is_a_broken_connection() {
    let mut peer = Pynetdicom::start(&["--matches=100000", "--pad=1000"]);
    let mut caller = call(peer.address(), &for_service(&uid(STUDY_ROOT))).await;
    let context = caller.context_of(&uid(STUDY_ROOT)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, "")], context.transfer_syntax.encoding);
    let mut finding = find(&mut caller, &context, &asked).await.expect("asked");
    assert!(finding.next().await.expect("a match").is_some());
    peer.process.kill();
    let failure = loop {
        if let Err(failure) = finding.next().await {
            break failure;
        }
    };
    assert!(matches!(failure, Failure::Connection(_)) && failure.may_pass(), "{failure:?}");
    assert!(!caller.is_free());
    caller.release().await;
}

#[tokio::test]
async fn a_peer_that_falls_silent_is_not_waited_for() {
    let peer = Pynetdicom::start(&["--matches=100000", "--pad=1000"]);
    let config = Config { pending_seconds: 1, answer_seconds: 1, ..Config::default() };
    let mut caller = call_with(peer.address(), &for_service(&uid(STUDY_ROOT)), config).await;
    let context = caller.context_of(&uid(STUDY_ROOT)).expect("accepted");
    let asked = identifier("STUDY", &[(STUDY, "")], context.transfer_syntax.encoding);
    let mut finding = find(&mut caller, &context, &asked).await.expect("asked");
    assert!(finding.next().await.expect("a match").is_some());
    peer.process.signal("STOP");
    let mut since = Instant::now();
    let failure = loop {
        match finding.next().await {
            Ok(_) => since = Instant::now(),
            Err(failure) => break failure,
        }
    };
    peer.process.signal("CONT");
    assert!(matches!(failure, Failure::TimedOut { seconds: 1, .. }), "{failure:?}");
    assert!(since.elapsed() < Duration::from_secs(10));
    caller.release().await;
}
