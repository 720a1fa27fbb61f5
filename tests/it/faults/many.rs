//! Many associations, many instances on one, and one instance that is very large.

use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealgate::dicom::Status;
use sealgate::scu::{FromPieces, store};

use super::hospital::{Hospital, call, opened, send};
use super::image::Image;
use super::pacs::{Behaviour, Pacs};
use crate::gateway::{Gateway, SOON};

/// Whether all of it is done, as in `tests/run`: it takes 4 GB of disk and a minute. Otherwise a tenth.
fn in_full() -> bool {
    std::env::var_os("SEALGATE_TEST_LARGE").is_some()
}

fn config(pacs: &Pacs) -> String {
    format!(
        "[[destinations]]\nname = \"pacs\"\naddress = \"{}\"\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
        pacs.peer()
    )
}

/// The most memory that the gateway has had resident, in bytes.
fn resident_max(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn very_many_associations_of_one_instance_each_all_arrive() {
    let count: u32 = if in_full() { 2000 } else { 200 };
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let address = hospital.address;
            tokio::spawn(async move {
                for number in (sender..count).step_by(8) {
                    let mut caller = call(address).await.unwrap();
                    assert_eq!(send(&mut caller, &Image::new(1, number, 16)).await, Ok(Status::SUCCESS));
                    caller.release().await;
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(pacs.keeps(usize::try_from(count).unwrap(), SOON * 30).await, "{}", pacs.instances().len());
    let archive = hospital.archive();
    for kept in pacs.kept().iter().step_by(10) {
        let number = kept.instance.rsplit('.').next().unwrap().parse().unwrap();
        assert!(opened(&archive, kept).unwrap().0 == Image::new(1, number, 16).data_set);
    }
    println!("{count} associations, {} MiB resident", resident_max(&gateway) >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_association_with_very_many_instances_keeps_memory_flat() {
    let count: u32 = if in_full() { 5000 } else { 500 };
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    let mut caller = hospital.call().await.unwrap();
    let mut early = 0;
    for number in 0..count {
        assert_eq!(send(&mut caller, &Image::new(1, number, 64)).await, Ok(Status::SUCCESS));
        if number == count / 5 {
            early = resident_max(&gateway);
        }
    }
    caller.release().await;
    let late = resident_max(&gateway);
    println!("{count} instances, {} MiB resident, {} MiB after a fifth", late >> 20, early >> 20);
    assert!(late < early + (16 << 20), "{early} bytes after a fifth, {late} at the end");
    assert!(late < 128 << 20, "{late}");
    pacs.listen().await;
    pacs.behave(Behaviour::Good);
    assert!(pacs.keeps(usize::try_from(count).unwrap(), SOON * 30).await, "{}", pacs.instances().len());
    assert_eq!(pacs.instances().len(), usize::try_from(count).unwrap(), "each once");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(hospital.spool().entries.is_empty());
}

/// What of a large object goes over the wire at once.
const PIECE_BYTES: usize = 1 << 17;

/// Frames of half a MiB: 3.9 GiB, or enough to see that memory does not grow with them.
fn frames() -> u32 {
    if in_full() { 7987 } else { 512 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_object_goes_through_in_little_memory() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&format!(
        "[association]\npdu_seconds = 600\n[scu]\nanswer_seconds = 3000\n{}",
        config(&pacs)
    ));
    let gateway = hospital.start("");
    pacs.digest(hospital.archive());
    let image = Image::large(frames());
    let mut hasher = blake3::Hasher::new();
    hasher.update(&image.data_set);
    let chunk: Bytes = (0..PIECE_BYTES).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
    let count = frames() as usize * (1 << 19) / PIECE_BYTES;
    let pieces = std::iter::once(image.data_set.clone()).chain(std::iter::repeat_n(chunk.clone(), count));
    let start = Instant::now();
    let mut caller = hospital.call().await.unwrap();
    let answer = store(&mut caller, &image.instance, &mut FromPieces(pieces)).await.unwrap();
    assert_eq!(answer.status, Status::SUCCESS);
    caller.release().await;
    let stored = start.elapsed();
    assert!(pacs.keeps(1, Duration::from_secs(1800)).await, "{}", gateway.log());
    let bytes = image.instance.length.unwrap();
    let resident = resident_max(&gateway);
    println!(
        "{} MiB: stored in {:.1} s, at the PACS after {:.1} s, {} MiB resident at most",
        bytes >> 20,
        stored.as_secs_f64(),
        start.elapsed().as_secs_f64(),
        resident >> 20
    );
    (0..count).for_each(|_| _ = hasher.update(&chunk));
    assert_eq!(pacs.kept()[0].data_set[..], hasher.finalize().as_bytes()[..]);
    assert!(resident < 256 << 20, "{resident} bytes resident");
}
