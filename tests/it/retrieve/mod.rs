//! The way back with other people's archives behind the gateway and viewers before it.

mod big_endian;
mod cancel;
mod corpus;
mod damaged;
mod death;
mod documents;
pub(crate) mod faults;
mod history;
mod hours;
mod idle;
mod keyless;
mod keystream;
mod large;
mod lossless;
mod migrate;
mod migrate_killed;
mod migrate_on;
mod migrate_out;
mod movers;
mod receivers;
mod rights;
mod rules;
mod shred;
pub(crate) mod site;
mod soak;
mod suites;
mod transcode;
mod two_archives;
mod unsealed;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use dicom_core::Tag;
use dicom_dictionary_std::uids;
use sealgate::dicom::{Encoding, Status, TransferSyntax};
use sealgate::scu::{Need, find, for_service};

use self::site::{Front, needs_of, one_study, studies, tamper};
use crate::peers::archive::{INSTANCE, SERIES, STUDY, identifier, read, uid, value};
use crate::peers::{Dcmqrscp, Orthanc, Sample, free_port};
use crate::taker::Taker;

const FIND: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_FIND;

/// The samples that came back otherwise than they went in. What has no pixels is not sealed, and an archive may have
/// written its sequences anew.
fn differing(expected: &[Sample], came: &site::Came) -> Vec<String> {
    let differs = |one: &&Sample| match came.get(one.instance.instance.as_str()) {
        None => true,
        Some((syntax, data)) => {
            let is_other = *syntax != one.instance.transfer_syntax || *data != one.sent();
            is_other && has_pixels(one)
        }
    };
    expected.iter().filter(differs).map(|one| format!("{one:?}")).collect()
}

/// Whether there is anything in it to seal.
pub(crate) fn has_pixels(sample: &Sample) -> bool {
    let tags: [&[u8]; 2] = [b"\xE0\x7F\x10\0", b"\x7F\xE0\0\x10"];
    let deflated = sample.instance.transfer_syntax.encoding == Encoding::Deflated;
    deflated || tags.iter().any(|tag| sample.data_set.windows(4).any(|window| window == *tag))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_image_comes_back_byte_for_byte() {
    let archive = Orthanc::start();
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let studies = studies();
    let all: Vec<Sample> = studies.values().flatten().cloned().collect();
    front.store(&all).await;
    let mut wrong = Vec::new();
    for (study, samples) in &studies {
        let (came, ended) = front.get("VIEWER", study, &needs_of(samples)).await;
        if !ended.is_complete() {
            wrong.push(format!("{study}: {ended:?}"));
        }
        wrong.extend(differing(samples, &came));
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), front.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_move_to_our_own_door_the_same_comes_and_two_viewers_get_their_own() {
    let (port, archive) = (free_port(), Orthanc::start());
    archive.knows("SEALGATE", port);
    let front = Front::start(port, &[("pacs", &archive.address(), "move")], free_port());
    let (study, samples) = one_study();
    front.store(&samples).await;
    let needs = needs_of(&samples);
    let (one, other) = tokio::join!(front.get("VIEWER", &study, &needs), front.get("BACKUP", &study, &needs));
    let missing = differing(&samples, &one.0);
    assert!(one.1.is_complete() && missing.is_empty(), "{missing:?}\n{}", front.gateway.log());
    assert_eq!(other.0.len(), samples.len(), "{:?}", other.1);
    assert_eq!(differing(&samples, &other.0).len(), samples.len(), "what is sealed is no image");
}

#[tokio::test(flavor = "multi_thread")]
async fn dcmtk_gets_and_moves_what_it_may_and_nothing_else() {
    let (archive, us) = (Dcmqrscp::start(&[]), Taker::start().await);
    let front = Front::start(free_port(), &[("pacs", &archive.address(), "get")], us.address.port());
    let (study, samples) = one_study();
    front.store(&samples).await;
    let folder = tempfile::tempdir().unwrap();
    let (out, asked) = (folder.path().to_str().unwrap(), format!("0020,000d={study}"));
    let keys = ["0008,0052=STUDY", asked.as_str()];
    let output = front.dcmtk("getscu", &["-aet", "VIEWER", "-od", out], &keys);
    assert!(output.status.success(), "{output:?}\n{}", front.gateway.log());
    let files: Vec<_> = fs::read_dir(out).unwrap().collect();
    assert_eq!(files.len(), samples.len());

    let output = front.dcmtk("movescu", &["-aet", "VIEWER", "-aem", "VIEWER-IN"], &keys);
    assert!(output.status.success(), "{output:?}\n{}", front.gateway.log());
    let taken = us.taken();
    assert_eq!(taken.len(), samples.len());
    for one in &taken {
        let sample = samples.iter().find(|sample| sample.instance.instance == one.instance).unwrap();
        assert!(one.data_set == sample.sent(), "{sample:?}");
        assert_eq!(one.originator.as_ref().map(|(title, _)| title.as_str()), Some("VIEWER"));
    }
    for (calling, destination, status) in [
        ("VIEWER", "NOBODY", "A801"),
        // The rights of both count: who moves, and who receives.
        ("VIEWER", "NOSY-IN", "0124"),
        ("NOSY", "VIEWER-IN", "0124"),
    ] {
        let output = front.dcmtk("movescu", &["-d", "-aet", calling, "-aem", destination], &keys);
        let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).to_lowercase();
        assert!(said.contains(&format!("0x{}", status.to_lowercase())), "{destination}: {said}");
    }
    assert_eq!(us.taken().len(), taken.len(), "nothing more came");
    front.gateway.wait_for_log("request refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_open_is_refused_or_given_ciphertext() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    front.store(&samples[..3]).await;
    let needs = needs_of(&samples[..3]);
    let (came, ended) = front.get("NOSY", &study, &needs).await;
    assert!(came.is_empty());
    assert_eq!(ended.answer.status, Status::NOT_AUTHORIZED);
    let (came, ended) = front.get("BACKUP", &study, &needs).await;
    assert!(ended.is_complete(), "{ended:?}");
    for one in &samples[..3] {
        let (_, data) = &came[one.instance.instance.as_str()];
        let pixels = &one.data_set[one.data_set.len() - 64..];
        assert!(!data.windows(64).any(|window| window == pixels), "no clear pixels");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tampered_image_is_a_failed_sub_operation_and_the_rest_comes() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    front.store(&samples).await;
    tamper(archive.files().iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap());
    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    assert_eq!(ended.answer.status, Status(0xB000), "{}", front.gateway.log());
    assert_eq!((ended.counts.failed, ended.failed.len()), (Some(1), 1));
    assert_eq!(came.len(), samples.len() - 1);
    let rest: Vec<Sample> =
        samples.into_iter().filter(|one| one.instance.instance != ended.failed[0]).collect();
    assert!(differing(&rest, &came).is_empty());
    let line = front.gateway.wait_for_log("instance not released");
    assert!(line.contains("alarm") && line.contains(ended.failed[0].as_str()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_takes_another_native_syntax_gets_that() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    front.store(&samples).await;
    let implicit = TransferSyntax::by_uid(TransferSyntax::IMPLICIT_LITTLE).unwrap();
    let needs: Vec<Need> =
        needs_of(&samples).into_iter().map(|need| Need::new(need.class, implicit)).collect();
    let (came, ended) = front.get("VIEWER", &study, &needs[..1]).await;
    let of_class: Vec<&Sample> = samples.iter().filter(|one| one.instance.class == needs[0].class).collect();
    assert!(!of_class.is_empty() && came.len() >= of_class.len(), "{ended:?}\n{}", front.gateway.log());
    for one in of_class {
        let (syntax, data) = &came[one.instance.instance.as_str()];
        assert_eq!(*syntax, implicit);
        let pixels = &one.data_set[one.data_set.len() / 2..][..1000];
        assert!(data.windows(1000).any(|window| window == pixels), "the same pixels: {one:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_are_merged_and_told_in_our_name_with_the_originals_values() {
    let (first, mut second) = (Dcmqrscp::start(&[]), Orthanc::start());
    let front = Front::over(&[("one", &first.address(), "get"), ("two", &second.address(), "get")]);
    let (study, samples) = one_study();
    front.store(&samples).await;
    let mut caller = front.call("VIEWER", &for_service(&uid(FIND))).await;
    let context = caller.context_of(&uid(FIND)).unwrap();
    let encoding = context.transfer_syntax.encoding;
    assert_eq!(encoding, Encoding::ExplicitLittle);
    let title = Tag(0x0008, 0x0054);
    let asked = identifier("STUDY", &[(STUDY, ""), (title, "")], encoding);
    let mut finding = find(&mut caller, &context, &asked).await.unwrap();
    let mut found = Vec::new();
    while let Some(one) = finding.next().await.unwrap() {
        let one = read(&one.identifier, encoding);
        let told = value(&one, title);
        assert!(told.is_empty() || told == "SEALGATE", "{told}");
        found.push(value(&one, STUDY));
    }
    assert_eq!(found, [study.as_str()], "both have it, it is told once");

    let sample = &samples[0];
    let file = dicom_object::open_file(&sample.path).unwrap();
    let rows: u16 = file.element(Tag(0x0028, 0x0010)).unwrap().to_int().unwrap();
    let series = crate::peers::archive::text(&file, SERIES);
    let instance = sample.instance.instance.as_str();
    let mut asked =
        identifier("IMAGE", &[(STUDY, &study), (SERIES, &series), (INSTANCE, instance)], encoding);
    asked.extend_from_slice(b"\x28\0\x10\0US\0\0");
    let mut finding = find(&mut caller, &context, &asked).await.unwrap();
    let one = finding.next().await.unwrap().unwrap();
    assert_eq!(read(&one.identifier, encoding)[&Tag(0x0028, 0x0010)], rows.to_le_bytes());
    assert_eq!(finding.next().await.unwrap(), None);

    second.process.kill();
    let asked = identifier("STUDY", &[(STUDY, "")], encoding);
    let mut finding = find(&mut caller, &context, &asked).await.unwrap();
    let mut found = BTreeSet::new();
    // Its last response is a warning: not everything was told.
    while let Ok(Some(one)) = finding.next().await {
        found.insert(value(&read(&one.identifier, encoding), STUDY));
    }
    assert_eq!(found.len(), 1);
    let ended = finding.ended().unwrap();
    assert_eq!(ended.status, Status::INCOMPLETE);
    assert!(ended.comment.as_ref().unwrap().as_written().contains("two"));
    caller.release().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
}
