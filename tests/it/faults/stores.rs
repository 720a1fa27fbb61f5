//! A disk that fails under what stands beside the spool, while the gateway runs: the key store, requests for commitment, the
//! history of what has left, the audit trail. What is said to be kept is kept, what cannot be is refused, and it goes on.

use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, STORAGE_COMMITMENT, Status};
use sealgate::scu::{
    Caller, CommitmentRequest, Config, Destination, Failure, Reference, Tcp, commit, for_service,
};

use super::hospital::{Hospital, opened};
use super::image::Image;
use super::pacs::{Kept, Pacs};
use super::strike::{EIO, ENOSPC, Strike};
use crate::gateway::SOON;
use crate::keys::uid;
use crate::mount::Mount;

const SUCCESS: Result<Status, String> = Ok(Status::SUCCESS);
const FULL: Result<Status, String> = Ok(Status::OUT_OF_RESOURCES);

fn config(pacs: &Pacs) -> String {
    format!(
        "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\n\
         [commitment]\nretry_seconds_min = 1\nretry_seconds_max = 1\n\
         [[destinations]]\nname = \"pacs\"\naddress = \"{}\"\ncommitment = \"trust\"\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
        pacs.peer()
    )
}

/// One whose modality may ask for commitment too.
fn with_commitment(pacs: &Pacs) -> Hospital {
    let mut hospital = Hospital::new(&config(pacs));
    hospital.configure("may = [\"echo\", \"store\"]", "may = [\"echo\", \"store\", \"commit\"]");
    hospital
}

async fn store(hospital: &Hospital, image: &Image) -> Result<Status, String> {
    hospital.store(std::slice::from_ref(image)).await.remove(0)
}

/// Fails unless the PACS has exactly these, and each opens to what was sent.
fn assert_there(hospital: &Hospital, pacs: &Pacs, images: &[&Image]) {
    let (archive, kept) = (hospital.archive(), pacs.kept());
    assert_eq!(kept.len(), images.len(), "{:?}", pacs.instances());
    for image in images {
        let kept: &Kept = kept.iter().find(|kept| kept.instance == image.uid()).expect("it is there");
        assert!(opened(&archive, kept).unwrap().0 == image.data_set, "{}", image.uid());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_store_on_a_failing_disk_acknowledges_nothing_and_goes_on_when_it_is_mended() {
    // Whether the process goes on by itself: after an error nobody knows what the disk holds.
    for (call, pattern, error, goes_on) in [
        ("write", "*/store.sqlite-wal", ENOSPC, true),
        ("write", "*/store.sqlite-wal", EIO, false),
        ("sync", "*/store.sqlite-wal", EIO, false),
        ("sync", "*/store.sqlite-wal", ENOSPC, false),
    ] {
        let (name, pacs) = (format!("{call} {error}"), Pacs::start().await);
        let hospital = Hospital::new(&config(&pacs));
        let strike = Strike::of(&hospital);
        let mut gateway = strike.start(&hospital);
        let images: Vec<Image> = (0..4).map(|number| Image::new(1, number, 40)).collect();
        assert_eq!(store(&hospital, &images[0]).await, SUCCESS, "{name}");
        strike.on(call, pattern, error);
        assert_eq!(store(&hospital, &images[1]).await, FULL, "{name}");
        assert!(strike.struck() > 0, "{name}");
        gateway.wait_for_log("instance not taken in");
        strike.off();
        if goes_on {
            assert_eq!(store(&hospital, &images[1]).await, SUCCESS, "{name}: {}", gateway.log());
        } else {
            gateway.wait_for_log("key store stopped after an I/O error");
            assert_eq!(store(&hospital, &images[1]).await, FULL, "{name}");
            drop(gateway);
            gateway = hospital.start("");
            assert_eq!(store(&hospital, &images[1]).await, SUCCESS, "{name}: {}", gateway.log());
        }
        assert_eq!(store(&hospital, &images[2]).await, SUCCESS, "{name}");
        gateway.until("delivered", || hospital.spool().entries.is_empty()).await;
        assert_there(&hospital, &pacs, &[&images[0], &images[1], &images[2]]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_database_that_takes_nothing_from_its_log_is_an_alarm_and_costs_no_key() {
    const ALARM: &str = "the key store's file does not take what is in its log, which grows";
    for (call, error, dies) in [("write", EIO, true), ("write", ENOSPC, false), ("sync", EIO, false)] {
        let (name, pacs) = (format!("{call} {error}"), Pacs::start().await);
        let hospital = Hospital::new(&config(&pacs));
        let strike = Strike::of(&hospital);
        let mut gateway = strike.start(&hospital);
        // Each half is more than the log takes before it goes into the file.
        let images: Vec<Image> = (0..280).map(|number| Image::new(1, number, 2)).collect();
        strike.on(call, "*/store.sqlite", error);
        let answers = hospital.store(&images[..140]).await;
        assert!(answers.iter().all(|answer| *answer == SUCCESS), "{name}: they are durable in the log");
        let line = gateway.wait_for_log(ALARM);
        assert!(line.contains("ERROR") && strike.struck() > 0, "{name}: {line}");
        assert_eq!(gateway.log().matches(ALARM).count(), 1, "{name}");
        if dies {
            // What is under way at a kill may come twice.
            gateway.until("delivered", || hospital.spool().entries.is_empty()).await;
            drop(gateway);
            strike.off();
            gateway = hospital.start("");
        } else {
            strike.off();
        }
        let answers = hospital.store(&images[140..]).await;
        assert!(answers.iter().all(|answer| *answer == SUCCESS), "{name}: {}", gateway.log());
        if !dies {
            gateway.wait_for_log("the key store's file takes what is in its log again");
        }
        gateway.until("delivered", || hospital.spool().entries.is_empty()).await;
        drop(gateway);
        assert_there(&hospital, &pacs, &images.iter().collect::<Vec<_>>());
        let verified = hospital.sealgate(&["keys", "verify"]);
        assert!(verified.status.success(), "{name}: {verified:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_store_that_does_not_read_refuses_what_may_be_sealed_already() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let strike = Strike::of(&hospital);
    let gateway = strike.start(&hospital);
    let image = Image::new(1, 1, 40);
    assert_eq!(store(&hospital, &image).await, SUCCESS);
    assert!(pacs.keeps(1, SOON).await, "{}", gateway.log());
    let sealed = pacs.kept().remove(0).data_set;
    let mut again = image.clone();
    again.instance.length = Some(sealed.len() as u64);
    again.data_set = sealed.to_vec().into();
    strike.on("read", "*/store.sqlite*", EIO);
    assert_eq!(store(&hospital, &again).await, FULL, "to seal it again would make noise of it");
    assert!(strike.struck() > 0);
    strike.off();
    assert_eq!(store(&hospital, &again).await, SUCCESS, "{}", gateway.log());
    assert!(pacs.keeps(2, SOON).await, "{}", gateway.log());
    assert!(pacs.kept()[1].data_set == sealed, "and it passes as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_the_keys_gets_full_under_the_gateway_and_empty_again() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::without_keys(&config(&pacs));
    std::fs::create_dir(hospital.path("keys")).unwrap();
    let Some(disk) = Mount::new(hospital.path("keys"), "16m") else { return };
    assert!(hospital.sealgate(&["keys", "init"]).status.success());
    let gateway = hospital.start("");
    let images: Vec<Image> = (0..60).map(|number| Image::new(1, number, 2)).collect();
    assert_eq!(store(&hospital, &images[0]).await, SUCCESS);
    disk.fill("filler");
    let answers = hospital.store(&images[1..]).await;
    let taken = 1 + answers.iter().take_while(|answer| **answer == SUCCESS).count();
    assert!(taken < 59, "it had room for {taken}");
    assert!(answers[taken - 1..].iter().all(|answer| *answer == FULL), "{answers:?}");
    let line = gateway.wait_for_log("instance not taken in");
    assert!(line.contains("ERROR") && line.contains("full"), "{line}");
    assert!(!gateway.log().contains("key store stopped"), "{}", gateway.log());
    std::fs::remove_file(hospital.path("keys/filler")).unwrap();
    let answers = hospital.store(&images[taken..]).await;
    assert!(answers.iter().all(|answer| *answer == SUCCESS), "{answers:?}\n{}", gateway.log());
    assert!(pacs.keeps(images.len(), SOON).await, "{}", gateway.log());
    assert_there(&hospital, &pacs, &images.iter().collect::<Vec<_>>());
}

/// What a request for commitment of an image is answered, asked on an association of its own.
async fn ask(hospital: &Hospital, transaction: &str, image: &Image) -> Status {
    let class = uid(STORAGE_COMMITMENT);
    let address = AeAddress::parse(&format!("SEALGATE@{}", hospital.address)).unwrap();
    let to = Destination { address, calling: AeTitle::parse("MODALITY").unwrap() };
    let (door, config) = (association::Config::default(), std::sync::Arc::new(Config::default()));
    let mut caller = Caller::associate(&Tcp, &to, &for_service(&class), &door, &config).await.unwrap();
    let context = caller.context_of(&class).unwrap();
    let (class, instance) = (image.instance.class.clone(), image.instance.instance.clone());
    let request =
        CommitmentRequest { transaction: uid(transaction), references: vec![Reference { class, instance }] };
    let status = match commit(&mut caller, &context, &request).await {
        Ok(answer) => answer.status,
        Err(Failure::Status(answer)) => answer.status,
        Err(failure) => panic!("{failure}"),
    };
    caller.release().await;
    status
}

/// The transactions that an operator sees.
fn transactions(hospital: &Hospital) -> Vec<String> {
    let said = hospital.sealgate(&["spool", "commitments", "--json"]);
    let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
    let seen = said["commitments"].as_array().unwrap().iter();
    seen.map(|one| one["transaction"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_commitment_that_cannot_be_kept_is_not_acknowledged() {
    for (call, pattern, error, goes_on) in [
        ("make", "*/papers/*.new", ENOSPC, true),
        ("write", "*/papers/*.new", ENOSPC, true),
        ("write", "*/papers/*.new", EIO, true),
        ("rename", "*/papers/*.paper", EIO, true),
        ("sync", "*/papers/*.new", EIO, false),
        ("sync", "*/papers", EIO, false),
    ] {
        let (name, mut pacs) = (format!("{call} {pattern} {error}"), Pacs::start().await);
        // Nothing is forwarded, so that a request that is kept stays.
        pacs.leave();
        let hospital = with_commitment(&pacs);
        let strike = Strike::of(&hospital);
        let mut gateway = strike.start(&hospital);
        let image = Image::new(1, 1, 40);
        assert_eq!(store(&hospital, &image).await, SUCCESS, "{name}");
        strike.on(call, pattern, error);
        assert_eq!(ask(&hospital, "1.2.1", &image).await, Status::PROCESSING_FAILURE, "{name}");
        assert!(strike.struck() > 0, "{name}");
        let line = gateway.wait_for_log("a request for commitment cannot be kept");
        assert!(line.contains("ERROR"), "{line}");
        strike.off();
        if !goes_on {
            gateway.wait_for_log("no paper is taken any more after an I/O error");
            assert_eq!(ask(&hospital, "1.2.1", &image).await, Status::PROCESSING_FAILURE, "{name}");
            drop(gateway);
            gateway = hospital.start("");
        }
        assert_eq!(ask(&hospital, "1.2.1", &image).await, Status::SUCCESS, "{name}: {}", gateway.log());
        assert_eq!(transactions(&hospital), ["1.2.1"], "{name}");
        drop(gateway);
        let _gateway = hospital.start("");
        assert_eq!(transactions(&hospital), ["1.2.1"], "{name}: what was acknowledged survives a crash");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_remembered_stays_in_the_spool_until_it_can() {
    for (call, pattern, error, goes_on) in [
        ("make", "*/history/*.log", ENOSPC, true),
        ("write", "*/history/*.log", ENOSPC, true),
        ("write", "*/history/*.log", EIO, true),
        ("sync", "*/history/*.log", EIO, false),
        ("sync", "*/history", EIO, false),
    ] {
        let (name, pacs) = (format!("{call} {pattern} {error}"), Pacs::start().await);
        let hospital = with_commitment(&pacs);
        let strike = Strike::of(&hospital);
        let mut gateway = strike.start(&hospital);
        strike.on(call, pattern, error);
        let image = Image::new(1, 1, 40);
        assert_eq!(store(&hospital, &image).await, SUCCESS, "{name}");
        assert!(pacs.keeps(1, SOON).await, "{name}");
        let alarm = "entries that are delivered stay in the spool, their history cannot be written";
        assert!(gateway.wait_for_log(alarm).contains("ERROR"));
        assert!(strike.struck() > 0, "{name}");
        let listed = String::from_utf8(hospital.sealgate(&["spool", "list"]).stdout).unwrap();
        assert!(listed.contains(image.uid()) && listed.contains("done"), "{name}: {listed}");
        // Known all the same: it is committed, as the PACS is trusted.
        assert_eq!(ask(&hospital, "1.2.1", &image).await, Status::SUCCESS, "{name}");
        strike.off();
        if !goes_on {
            gateway.wait_for_log("nothing more is remembered after an I/O error");
            drop(gateway);
            gateway = hospital.start("");
        }
        gateway
            .until(&format!("{name}: it is remembered, and goes"), || hospital.spool().entries.is_empty())
            .await;
        let history = std::fs::read_dir(hospital.path("spool/history")).unwrap();
        let history: String =
            history.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
        assert!(history.contains(image.uid()), "{name}: {history}");
        assert_eq!(pacs.instances().len(), 1, "{name}: it is not sent again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_audit_trail_on_a_failing_disk_holds_up_no_store_and_goes_on_when_it_is_mended() {
    for (call, error, goes_on) in
        [("write", ENOSPC, true), ("write", EIO, true), ("sync", EIO, false), ("sync", ENOSPC, false)]
    {
        let (name, pacs) = (format!("{call} {error}"), Pacs::start().await);
        let hospital = Hospital::new(&config(&pacs));
        let strike = Strike::of(&hospital);
        let mut gateway = strike.start(&hospital);
        strike.on(call, "*/audit-*.log", error);
        let images: Vec<Image> = (0..2).map(|study| Image::new(study, 1, 4)).collect();
        assert_eq!(store(&hospital, &images[0]).await, SUCCESS, "{name}");
        assert!(gateway.wait_for_log("the audit trail cannot be written").contains("ERROR"));
        assert!(strike.struck() > 0, "{name}");
        assert_eq!(store(&hospital, &images[0]).await, SUCCESS, "{name}: stores go on");
        strike.off();
        if goes_on {
            gateway.wait_for_log("the audit trail is written again");
        } else {
            drop(gateway);
            gateway = hospital.start("");
        }
        assert_eq!(store(&hospital, &images[1]).await, SUCCESS, "{name}");
        gateway.signal("TERM");
        gateway.wait();
        let verified = hospital.sealgate(&["audit", "verify"]);
        assert!(verified.status.success(), "{name}: {verified:?}");
        let shown = hospital.sealgate(&["audit", "show", "--json"]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        assert!(shown.contains(images[1].uid()), "{name}: {shown}");
        assert!(shown.contains(images[0].uid()) || !goes_on, "{name}: held in memory meanwhile: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_of_the_audit_trail_gets_full_under_the_gateway_and_empty_again() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    std::fs::create_dir_all(hospital.path("audit")).unwrap();
    let Some(disk) = Mount::new(hospital.path("audit"), "1m") else { return };
    let mut gateway = hospital.start("");
    disk.fill("filler");
    // Each of a study of its own, which is a record of its own.
    let images: Vec<Image> = (0..30).map(|study| Image::new(study, 1, 4)).collect();
    assert!(hospital.store(&images).await.iter().all(|answer| *answer == SUCCESS), "{}", gateway.log());
    gateway.wait_for_log("the audit trail cannot be written");
    std::fs::remove_file(hospital.path("audit/filler")).unwrap();
    gateway.wait_for_log("the audit trail is written again");
    gateway.signal("TERM");
    gateway.wait();
    let verified = hospital.sealgate(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
    let shown = hospital.sealgate(&["audit", "show", "--json"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    for image in &images {
        assert!(shown.contains(image.uid()), "{}: {shown}", image.uid());
    }
}
