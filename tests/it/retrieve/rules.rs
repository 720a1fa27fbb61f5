//! Who gets what opened: conditions on the study and the hours, and emergency access.

use std::fs;
use std::time::Duration;

use dicom_dictionary_std::uids;
use sealgate::dicom::Status;
use sealgate::scu::{Moved, for_service, move_};

use super::differing;
use super::site::{Front, needs_of, one_study};
use crate::peers::archive::{STUDY, identifier, uid};
use crate::peers::{Dcmqrscp, free_port};
use crate::taker::Taker;

const MOVE: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_MOVE;

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_with_conditions_gets_what_they_hold_for_and_nothing_else() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..3];
    front.store(samples).await;
    let needs = needs_of(samples);
    for peer in ["WARD", "ROUTED"] {
        let (came, ended) = front.get(peer, &study, &needs).await;
        assert!(ended.is_complete() && differing(samples, &came).is_empty(), "{peer}: {ended:?}");
    }
    for peer in ["RECENT", "LATER"] {
        let (came, ended) = front.get(peer, &study, &needs).await;
        assert_eq!(ended.answer.status, Status::NOT_AUTHORIZED, "{peer}: {ended:?}");
        assert!(came.is_empty());
    }
    assert!(front.gateway.wait_for_log("none of the conditions").contains("sealgate::audit"));
    let (came, ended) = front.get("MRONLY", &study, &needs).await;
    assert!(ended.is_complete() && came.len() == 3, "{ended:?}");
    assert_eq!(differing(samples, &came).len(), 3, "sealed, as the archive has them");

    // The archive says that they are what this peer may open: what was sealed says otherwise.
    for path in archive.files() {
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(10).position(|window| window == b"\x08\0\x60\0CS\x02\0CT").unwrap();
        bytes[at + 8..at + 10].copy_from_slice(b"MR");
        fs::write(&path, bytes).unwrap();
    }
    let (came, _) = front.get("MRONLY", &study, &needs).await;
    let pixels = &samples[0].data_set[samples[0].data_set.len() - 64..];
    assert_eq!(came.len(), 3);
    assert!(
        came.values().all(|(_, data)| !data.windows(64).any(|window| window == pixels)),
        "no clear pixels"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_the_receiver_of_a_move_count_too() {
    let (archive, us) = (Dcmqrscp::start(&[]), Taker::start().await);
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], us.address.port());
    let (study, samples) = one_study();
    front.store(&samples[..2]).await;
    for (caller, receiver, status, came) in [
        ("VIEWER", "RECENT-IN", Status::NOT_AUTHORIZED, 0),
        ("RECENT", "VIEWER-IN", Status::NOT_AUTHORIZED, 0),
        ("VIEWER", "WARD-IN", Status::SUCCESS, 2),
    ] {
        let mut asking = front.call(caller, &for_service(&uid(MOVE))).await;
        let context = asking.context_of(&uid(MOVE)).unwrap();
        let asked = identifier("STUDY", &[(STUDY, &study)], context.transfer_syntax.encoding);
        let to = sealgate::dicom::AeTitle::parse(receiver).unwrap();
        let before = us.taken().len();
        let mut moving = move_(&mut asking, &context, &asked, &to).await.unwrap();
        let ended = loop {
            if let Moved::Ended(ended) = moving.next().await.unwrap() {
                break ended;
            }
        };
        assert_eq!(ended.answer.status, status, "{caller} to {receiver}\n{}", front.gateway.log());
        assert_eq!(us.taken().len() - before, came);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_access_opens_images_until_it_ends_and_leaves_a_trail() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..2];
    front.store(samples).await;
    let needs = needs_of(samples);
    let grant = |arguments: &[&str]| front.site.sealgate(&[&["grant"], arguments].concat());
    assert!(!grant(&["NOBODY", "--for", "5m", "--reason", "x"]).status.success());
    assert!(
        !grant(&["NOSY", "--for", "90h", "--reason", "x"]).status.success(),
        "longer than grants.hours_max"
    );
    // One may ask and not open, the other may do nothing at all.
    for peer in ["NOSY", "ER"] {
        let opened = grant(&[peer, "--for", "5m", "--reason", "trauma room", "--json"]);
        assert!(opened.status.success(), "{opened:?}");
        let (came, ended) = front.get(peer, &study, &needs).await;
        assert!(
            ended.is_complete() && differing(samples, &came).is_empty(),
            "{ended:?}\n{}",
            front.gateway.log()
        );
    }
    let line = front.gateway.wait_for_log("emergency access opened");
    assert!(line.contains("trauma room") && line.contains("sealgate::audit"), "{line}");
    let log = front.gateway.log();
    assert!(
        log.lines().any(|line| line.contains("instance opened") && line.contains("\"grant\":\"1\"")),
        "{log}"
    );
    let listed = String::from_utf8(grant(&["list"]).stdout).unwrap();
    assert!(listed.contains("NOSY") && listed.contains("ER") && listed.contains("trauma room"), "{listed}");
    let checked = String::from_utf8(front.site.sealgate(&["check"]).stdout).unwrap();
    assert!(checked.contains("Emergency access 1: NOSY"), "{checked}");

    assert!(grant(&["end", "NOSY"]).status.success());
    let (came, ended) = front.get("NOSY", &study, &needs).await;
    assert!(came.is_empty() && ended.answer.status == Status::NOT_AUTHORIZED, "{ended:?}");
    front.gateway.wait_for_log("emergency access over");
    assert!(!String::from_utf8(grant(&["list"]).stdout).unwrap().contains("NOSY"));

    // A file that anybody could have written opens nothing.
    let file = front.site.path("grants.json");
    let writable = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(&file, writable).unwrap();
    front.gateway.wait_for_log("no emergency access counts");
    tokio::time::sleep(Duration::from_millis(10)).await;
    let checked = String::from_utf8(front.site.sealgate(&["check"]).stdout).unwrap();
    assert!(checked.contains("No emergency access counts"), "{checked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_opens_no_more_than_its_rate_and_the_alarm_is_raised() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..4];
    front.store(samples).await;
    let needs = needs_of(samples);
    let (came, ended) = front.get("SLOW", &study, &needs).await;
    assert_eq!((came.len(), ended.counts.failed), (2, Some(2)), "{ended:?}");
    assert_eq!(ended.answer.status, Status::INCOMPLETE);
    let line = front.gateway.wait_for_log("openings limited");
    assert!(line.contains("\"alarm\":true") && line.contains("1 a minute, 2 at once"), "{line}");
    let (came, ended) = front.get("SLOW", &study, &needs).await;
    // On a machine that took a minute for this, one more may open.
    assert!(came.len() < 2, "{ended:?}");
    if came.is_empty() {
        assert_eq!(ended.answer.status, Status::RESOURCE_LIMITATION, "{ended:?}");
    }
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(ended.is_complete() && came.len() == 4, "others are not held up: {ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_study_whose_keys_were_destroyed_opens_for_nobody_and_says_so() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..2];
    front.store(samples).await;
    let needs = needs_of(samples);
    assert!(front.get("VIEWER", &study, &needs).await.1.is_complete());
    let command = |who: &str, arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .args(arguments)
            .args(["--json", "--config"])
            .arg(front.site.path("gateway.toml"))
            .env("SUDO_UID", who)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()
    };
    // While the gateway runs, and although the instances carry their wrapped keys.
    let asked = command("70001", &["keys", "shred", "--study", &study, "--reason", "patient's wish"]);
    command("70002", &["approve", asked["request"].as_str().unwrap()]);
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(came.is_empty() && ended.counts.failed == Some(2), "{ended:?}");
    let comment = ended.answer.comment.as_ref().unwrap().as_written().to_owned();
    assert!(comment.contains("destroyed"), "{comment}");
    let line = front.gateway.wait_for_log("was destroyed on");
    assert!(line.contains("#70001 and #70002") && !line.contains("alarm"), "{line}");
}
