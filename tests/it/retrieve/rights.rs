//! Rights one by one: peers that lack one, conditions that a study meets or not, an access that ends on the way, and requests
//! that cannot be answered.

use std::fmt::Write as _;
use std::process::Command;

use sealgate::dicom::Status;
use sealgate::scu::{Failure, Got, Moved, find, for_getting, for_service, get, move_};

use super::site::{Came, Front, GET, MOVE, needs_of, one_study, study_of, tall};
use super::{FIND, differing};
use crate::peers::archive::{STUDY, identifier, uid};
use crate::peers::{Dcmqrscp, Sample, free_port, python};

fn with_peers(config: &str, peers: &[(&str, &str, String)]) -> String {
    let mut config = config.to_owned();
    for (name, may, more) in peers {
        let _ = write!(
            config,
            "[[peers]]\nname = \"{name}\"\ntitle = \"{name}\"\naddresses = [\"127.0.0.1\"]\nmay = [{may}]\n{more}"
        );
    }
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_lacks_one_right_has_the_others() {
    let archive = Dcmqrscp::start(&[]);
    let peers = [
        ("NOFIND", "\"move\", \"get\", \"open\"", String::new()),
        ("NOGET", "\"find\", \"move\", \"open\"", String::new()),
        ("NOMOVE", "\"find\", \"get\", \"open\"", String::new()),
        ("NOOPEN", "\"find\", \"move\", \"get\"", String::new()),
    ];
    let address = archive.address();
    let front = Front::begin(free_port(), &[("pacs", &address, "get")], free_port(), |config| {
        with_peers(&config, &peers)
    });
    let (study, samples) = one_study();
    front.store(&samples[..1]).await;
    let services = [FIND, GET, MOVE];
    for (peer, expected) in [
        ("NOFIND", [false, true, true]),
        ("NOGET", [true, false, true]),
        ("NOMOVE", [true, true, false]),
        ("NOOPEN", [true, true, true]),
    ] {
        let caller = front.call(peer, &services.map(|service| for_service(&uid(service))).concat()).await;
        // What a peer may never do is not even negotiated.
        assert_eq!(services.map(|service| caller.context_of(&uid(service)).is_ok()), expected, "{peer}");
        caller.release().await;
    }
    let (came, ended) = front.get("NOOPEN", &study, &needs_of(&samples)).await;
    assert!(came.is_empty() && ended.answer.status == Status::NOT_AUTHORIZED, "{ended:?}");
}

/// The same image from this department.
fn of_department(sample: &Sample, department: &str) -> Sample {
    let length = u16::try_from(department.len()).unwrap().to_le_bytes();
    let element = [&b"\x08\0\x40\x10LO"[..], &length, department.as_bytes()].concat();
    let data_set = &sample.data_set;
    let at = |tag: &[u8]| data_set.windows(tag.len()).position(|window| window == tag);
    assert!(department.len().is_multiple_of(2) && at(b"\x08\0\x40\x10LO").is_none());
    // What stands behind it in the header of any image.
    let place = [&b"\x08\0\x90\x10LO"[..], b"\x10\0\x10\0PN"].into_iter().find_map(at).expect("a patient");
    let data_set = [&data_set[..place], &element, &data_set[place..]].concat();
    Sample { data_set: data_set.into(), ..sample.clone() }
}

#[tokio::test(flavor = "multi_thread")]
async fn departments_routes_and_hours_open_what_they_hold_for() {
    let archive = Dcmqrscp::start(&[]);
    let (study, samples) = one_study();
    let samples: Vec<Sample> = samples[..2].iter().map(|one| of_department(one, "CARDIO")).collect();
    assert_eq!(study_of(&samples[0]).as_deref(), Some(study.as_str()));
    let opens = |condition: &str| format!("opens = [{{ {condition} }}]\n");
    let may = "\"find\", \"move\", \"get\", \"open\"";
    let peers = [
        ("HEART", may, opens("department = [\"ORTHO\", \"CARDIO\"]")),
        ("BONES", may, opens("department = [\"ORTHO\"]")),
        ("ELSEWHERE", may, opens("routes = [\"other\"]")),
        ("ALLDAY", may, opens("hours = [\"00:00-24:00\"], modality = [\"CT\"]")),
        ("EITHER", may, "opens = [{ modality = [\"MR\"] }, { department = [\"CARDIO\"] }]\n".to_owned()),
        ("BOTH", may, opens("modality = [\"MR\"], department = [\"CARDIO\"]")),
    ];
    let address = archive.address();
    let front = Front::begin(free_port(), &[("pacs", &address, "get")], free_port(), |config| {
        let other =
            "[[routes]]\nname = \"other\"\nmodality = [\"MR\"]\ndestinations = [\"pacs\"]\n[[routes]]\n";
        with_peers(&config.replacen("[[routes]]\n", other, 1), &peers)
    });
    front.store(&samples).await;
    for (peer, opened) in [
        ("HEART", true),
        ("BONES", false),
        ("ELSEWHERE", false),
        ("ALLDAY", true),
        ("EITHER", true),
        ("BOTH", false),
    ] {
        let (came, ended) = front.get(peer, &study, &needs_of(&samples)).await;
        if opened {
            assert!(
                ended.is_complete() && differing(&samples, &came).is_empty(),
                "{peer} {ended:?}\n{}",
                front.gateway.log()
            );
        } else {
            assert!(came.is_empty() && ended.answer.status == Status::NOT_AUTHORIZED, "{peer}: {ended:?}");
            assert_eq!(ended.failed.len(), 2, "{peer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_access_that_ends_in_the_middle_opens_no_further_image() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = tall(12, 8192);
    front.store(&samples).await;
    assert!(front.site.sealgate(&["grant", "NOSY", "--for", "5m", "--reason", "trauma"]).status.success());
    front.gateway.wait_for_log("emergency access opened");
    let failed = get_until(&front, "NOSY", (&study, &samples), || {
        assert!(front.site.sealgate(&["grant", "end", "NOSY"]).status.success());
        front.gateway.wait_for_log("emergency access over");
    });
    let (failed, log) = (failed.await, front.gateway.log());
    let over = log.lines().position(|line| line.contains("emergency access over")).unwrap();
    let refused = log.lines().skip(over).filter(|line| line.contains("instance not released")).count();
    assert_eq!(refused, failed, "{log}");
}

/// Gets a study whose access `end` ends when two of its images have come. What was on its way then was let out; the rest
/// is refused, and named; says how many that are.
pub(super) async fn get_until(
    front: &Front,
    caller: &str,
    (study, samples): (&str, &[Sample]),
    end: impl Fn(),
) -> usize {
    let mut caller = front.call(caller, &for_getting(&uid(GET), &needs_of(samples))).await;
    let context = caller.context_of(&uid(GET)).unwrap();
    let asked = identifier("STUDY", &[(STUDY, study)], context.transfer_syntax.encoding);
    let mut getting = get(&mut caller, &context, &asked).await.unwrap();
    let mut came = Came::new();
    let ended = loop {
        match getting.next().await.unwrap() {
            Got::Pending(_) => {}
            Got::Ended(ended) => break ended,
            Got::Store(incoming) => {
                let mut data = Vec::new();
                while let Some(piece) = getting.next_data().await.unwrap() {
                    data.extend_from_slice(&piece);
                }
                came.insert(incoming.instance.to_string(), (incoming.context.transfer_syntax, data));
                if came.len() == 2 {
                    end();
                }
                getting.answer(Status::SUCCESS).await.unwrap();
            }
        }
    };
    let log = front.gateway.log();
    assert_eq!(ended.answer.status, Status::INCOMPLETE, "{ended:?}\n{log}");
    assert!((2..samples.len()).contains(&came.len()), "{} came", came.len());
    assert_eq!(came.len() + ended.failed.len(), samples.len(), "{ended:?}");
    assert!(ended.failed.iter().all(|one| !came.contains_key(one.as_str())));
    let here = |sample: &&Sample| came.contains_key(sample.instance.instance.as_str());
    let whole: Vec<Sample> = samples.iter().filter(here).cloned().collect();
    assert!(differing(&whole, &came).is_empty());
    ended.failed.len()
}

/// What a request with this identifier is answered with, by each service.
async fn answers_to(front: &Front, asked: &[u8], samples: &[Sample]) -> Vec<Status> {
    let mut statuses = Vec::new();
    let mut caller = front.call("VIEWER", &for_service(&uid(FIND))).await;
    let context = caller.context_of(&uid(FIND)).unwrap();
    let mut finding = find(&mut caller, &context, asked).await.unwrap();
    let found = finding.next().await;
    assert!(matches!(found, Ok(None) | Err(Failure::Status(_))), "{found:?}");
    statuses.extend(finding.ended().map(|answer| answer.status));
    caller.release().await;
    let mut caller = front.call("VIEWER", &for_getting(&uid(GET), &needs_of(samples))).await;
    let context = caller.context_of(&uid(GET)).unwrap();
    let mut getting = get(&mut caller, &context, asked).await.unwrap();
    if let Got::Ended(ended) = getting.next().await.unwrap() {
        statuses.push(ended.answer.status);
    }
    drop(getting);
    assert!(caller.is_free(), "the association goes on");
    caller.release().await;
    let mut caller = front.call("VIEWER", &for_service(&uid(MOVE))).await;
    let context = caller.context_of(&uid(MOVE)).unwrap();
    let to = sealgate::dicom::AeTitle::parse("VIEWER-IN").unwrap();
    let mut moving = move_(&mut caller, &context, asked, &to).await.unwrap();
    if let Moved::Ended(ended) = moving.next().await.unwrap() {
        statuses.push(ended.answer.status);
    }
    drop(moving);
    caller.release().await;
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_cannot_be_read_have_statuses_of_their_own() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (_, samples) = one_study();
    // One study among very many: more than release.identifier_bytes_max.
    let mut large = b"\x20\0\x0D\0UN\0\0\0\0\x08\0".to_vec();
    large.extend(std::iter::repeat_n(b'1', 512 * 1024));
    assert_eq!(answers_to(&front, &large, &samples).await, [Status::OUT_OF_RESOURCES; 3]);
    // An element that ends behind the end.
    let broken = b"\x08\0\x52\0CS\x06\0STUDY \x20\0\x0D\0UI\xFF\xFF1.2";
    assert_eq!(answers_to(&front, broken, &samples).await, [Status::DATA_SET_MISMATCH; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_without_the_role_of_a_receiver_and_one_without_an_identifier_are_refused_at_once() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let script = format!("{}/tests/peers/poor_requests.py", env!("CARGO_MANIFEST_DIR"));
    let port = front.gateway.address.port().to_string();
    let output = Command::new(python()).args(["-B", &script, &port]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}\n{}", front.gateway.log());
    let expected = [
        "find without an identifier C001",
        "get without an identifier C001",
        "move without an identifier C001",
        "get without a role A702",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{}", front.gateway.log());
}
