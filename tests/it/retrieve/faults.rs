//! What can go wrong behind and before the gateway: every fault of the format through the network, an archive restored from
//! a backup, a key store that is gone, viewers that stop reading, and callers that lie about who they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, Status};
use sealgate::scu::{Caller, Config, Destination, Got, Tcp, for_getting, get};

use super::differing;
use super::site::{Front, GET, needs_of, one_study, slices, tall};
use crate::peers::archive::{STUDY, identifier, uid};
use crate::peers::{Dcmqrscp, Sample};

/// Where the pixels of a sealed instance begin is found by this (docs/FORMAT.md).
pub(super) const MAGIC: &[u8] = b"\x93SGATE\r\0";
const HEADER: usize = 36;
const PREFIX: usize = 56;
const CHUNK: usize = 16 * 1024 + 16;

pub(super) fn file_of(archive: &Dcmqrscp, sample: &Sample) -> PathBuf {
    let instance = sample.instance.instance.as_str().as_bytes();
    let has =
        |path: &PathBuf| fs::read(path).unwrap().windows(instance.len()).any(|window| window == instance);
    archive.files().into_iter().find(has).expect("the archive has it")
}

/// The stored file with one fault each.
pub(super) fn faults(good: &[u8], instance: &str) -> Vec<(&'static str, Vec<u8>)> {
    let start = good.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap();
    let number = |at: usize| u64::from_be_bytes(good[at..at + 8].try_into().unwrap());
    let length = usize::try_from(number(start + 28)).unwrap();
    let (stream, last) = (start + HEADER, start + HEADER + length - 1);
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.to_vec();
        bytes[at] = byte;
        bytes
    };
    let flipped = |at: usize| changed(at, good[at] ^ 0x10);
    let other_uid = {
        let at = good.windows(instance.len()).rposition(|window| window == instance.as_bytes()).unwrap();
        changed(at + instance.len() - 2, b'9')
    };
    let shorter = {
        let mut cut = good[..stream + PREFIX + CHUNK].to_vec();
        let left = u32::try_from(cut.len() - start).unwrap();
        cut[start - 4..start].copy_from_slice(&left.to_le_bytes());
        cut
    };
    let agreeing = {
        let mut cut = shorter.clone();
        cut[start + 28..start + 36].copy_from_slice(&((PREFIX + CHUNK) as u64).to_be_bytes());
        cut
    };
    vec![
        ("the version is unknown", changed(start + 8, 255)),
        ("a reserved bit is set", flipped(start + 9)),
        ("the suite is unknown", changed(start + 11, 0xEE)),
        ("the magic is damaged", flipped(start)),
        ("the key id is another", flipped(start + 12)),
        ("the salt is another", flipped(stream)),
        ("the commitment is another", flipped(stream + 24)),
        ("the first byte is flipped", flipped(stream + PREFIX)),
        ("the first tag is flipped", flipped(stream + PREFIX + CHUNK - 1)),
        ("the second chunk is flipped", flipped(stream + PREFIX + CHUNK)),
        ("the last byte is flipped", flipped(last)),
        ("the padding is not zero", flipped((last + 1).min(good.len() - 1))),
        ("the length is one less", changed(start + 35, good[start + 35].wrapping_sub(1))),
        ("the length is one more", changed(start + 35, good[start + 35].wrapping_add(1))),
        ("the length is too large", changed(start + 28, 1)),
        ("the instance is another", other_uid),
        ("the pixels are cut", shorter),
        ("the pixels are cut and the header agrees", agreeing),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_sealed_image_is_a_failed_sub_operation_and_never_an_image() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = slices(20);
    front.store(&samples).await;
    let (good, broken) = samples.split_at(2);
    // The first of the broken ones gets the pixels of a good one.
    let theirs = fs::read(file_of(&archive, &good[0])).unwrap();
    let stolen = file_of(&archive, &broken[0]);
    let mut swapped = fs::read(&stolen).unwrap();
    let at = |bytes: &[u8]| bytes.windows(MAGIC.len()).position(|window| window == MAGIC).unwrap();
    let (to, from) = (at(&swapped), at(&theirs));
    swapped.truncate(to);
    swapped.extend_from_slice(&theirs[from..]);
    fs::write(&stolen, swapped).unwrap();
    let mut names = vec!["the pixels are those of another image"];
    for (index, sample) in broken.iter().enumerate().skip(1) {
        let path = file_of(&archive, sample);
        let (name, bytes) =
            faults(&fs::read(&path).unwrap(), sample.instance.instance.as_str()).remove(index);
        fs::write(&path, bytes).unwrap();
        names.push(name);
    }
    let (came, ended) = front.get("VIEWER", &study, &needs_of(&samples)).await;
    assert_eq!(ended.answer.status, Status(0xB000), "{ended:?}\n{}", front.gateway.log());
    assert!(differing(good, &came).is_empty());
    for (sample, name) in broken.iter().zip(&names) {
        let instance = sample.instance.instance.as_str();
        assert!(!came.contains_key(instance), "{name}");
        let is_listed = ended.failed.iter().any(|failed| failed.as_str() == instance);
        assert!(is_listed, "{name} is not in the list\n{}", front.gateway.log());
    }
    assert_eq!(came.len(), good.len());
    front.gateway.wait_for_logs("instance not released", broken.len() - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_restored_from_a_backup_opens_as_it_was_then() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    let samples = &samples[..1];
    front.store(samples).await;
    let backup = fs::read(file_of(&archive, &samples[0])).unwrap();
    // The modality sends it again with other pixels: another key, and the old one stays.
    let mut changed = samples[0].clone();
    let mut data_set = changed.data_set.to_vec();
    let middle = data_set.len() / 2;
    data_set[middle] ^= 1;
    changed.data_set = data_set.into();
    front.store(std::slice::from_ref(&changed)).await;
    let needs = needs_of(samples);
    let (came, _) = front.get("VIEWER", &study, &needs).await;
    assert!(differing(std::slice::from_ref(&changed), &came).is_empty(), "{}", front.gateway.log());
    fs::write(file_of(&archive, &samples[0]), backup).unwrap();
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(ended.is_complete() && differing(samples, &came).is_empty(), "{ended:?}");
}

fn move_store(front: &Front, from: &str, to: &str) {
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(front.site.path(&format!("keys/{to}{ending}")));
        let (from, to) = (format!("keys/{from}{ending}"), format!("keys/{to}{ending}"));
        let _ = fs::rename(front.site.path(&from), front.site.path(&to));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_key_store_nothing_is_opened_and_with_it_everything_again() {
    let archive = Dcmqrscp::start(&[]);
    let mut front =
        Front::with(&[("pacs", &archive.address(), "get")], "[keys]\n", "[keys]\narchive = \"sidecar\"\n");
    let (study, samples) = one_study();
    let samples = &samples[..3];
    front.store(samples).await;
    let needs = needs_of(samples);
    front.stop();
    move_store(&front, "store.sqlite", "elsewhere");
    front.restart();
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(came.is_empty() && ended.answer.status == Status(0xA702), "{ended:?}");
    assert_eq!(ended.failed.len(), samples.len());
    assert!(front.gateway.wait_for_log("instance not released").contains("alarm"));
    front.stop();
    move_store(&front, "elsewhere", "store.sqlite");
    front.restart();
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(ended.is_complete() && differing(samples, &came).is_empty(), "{ended:?}");
}

/// Bytes that a process holds in memory.
pub(crate) fn resident(id: u32) -> u64 {
    let status = fs::read_to_string(Path::new("/proc").join(id.to_string()).join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewer_that_stops_reading_holds_up_nobody_and_no_memory() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::with(
        &[("pacs", &archive.address(), "get")],
        "[scu]\n",
        "[association]\nsend_seconds = 3\n[scu]\n",
    );
    let (study, samples) = tall(12, 16_384);
    front.store(&samples).await;
    let needs = needs_of(&samples);
    let before = resident(front.gateway.id());
    let mut stuck = front.call("VIEWER", &for_getting(&uid(GET), &needs)).await;
    let context = stuck.context_of(&uid(GET)).unwrap();
    let asked = identifier("STUDY", &[(STUDY, &study)], context.transfer_syntax.encoding);
    let getting = get(&mut stuck, &context, &asked).await.unwrap();
    // Nothing is read of what comes.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let held = resident(front.gateway.id()).saturating_sub(before);
    assert!(held < 40 * 1024 * 1024, "{held} bytes for a viewer that does not read, of 50 MB");
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(
        ended.is_complete() && differing(&samples, &came).is_empty(),
        "the other one is served: {ended:?}\n{}",
        front.gateway.log()
    );
    front.gateway.wait_for_log("association ended");
    drop(getting);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_stops_the_archive_and_the_association_goes_on() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = tall(12, 8192);
    front.store(&samples).await;
    for _ in 0..2 {
        let mut caller = front.call("VIEWER", &for_getting(&uid(GET), &needs_of(&samples))).await;
        let context = caller.context_of(&uid(GET)).unwrap();
        let asked = identifier("STUDY", &[(STUDY, &study)], context.transfer_syntax.encoding);
        let mut getting = get(&mut caller, &context, &asked).await.unwrap();
        let (mut came, mut since) = (0, None);
        let ended = loop {
            match getting.next().await.unwrap() {
                Got::Store(_) => {
                    came += 1;
                    if came == 2 {
                        since = Some(Instant::now());
                        getting.cancel().await.unwrap();
                    }
                    getting.answer(Status::SUCCESS).await.unwrap();
                }
                Got::Pending(_) => {}
                Got::Ended(ended) => break ended,
            }
        };
        assert!(came < samples.len(), "{came}: it was in the middle");
        assert!(since.unwrap().elapsed() < Duration::from_secs(15), "at once");
        assert!(ended.was_cancelled(), "{ended:?}");
        assert!(ended.counts.remaining.unwrap_or_default() > 0, "{ended:?}");
        assert!(caller.is_free(), "the association goes on");
        caller.release().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lies_about_its_title_gets_no_association() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    // A title that nobody has, and one whose peer calls from another address.
    for title in ["NOBODY", "FAR"] {
        let address = AeAddress::parse(&format!("SEALGATE@{}", front.gateway.address)).unwrap();
        let to = Destination { address, calling: AeTitle::parse(title).unwrap() };
        let (door, config) = (association::Config::default(), Config::default().into());
        let refused = Caller::associate(&Tcp, &to, &for_getting(&uid(GET), &[]), &door, &config).await;
        let refused = refused.err().expect("refused").to_string();
        assert!(refused.contains("calling AE title"), "{refused}");
        let output = front.dcmtk("getscu", &["-aet", title, "-od", "/tmp"], &["0008,0052=STUDY"]);
        assert!(!output.status.success());
    }
    front.gateway.wait_for_log("association refused");
}
