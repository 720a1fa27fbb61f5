//! A disk that fails under the whole gateway, call by call: the sender is refused or acknowledged, and neither is a lie.

use std::fs;
use std::net::TcpStream;
use std::process::Child;
use std::time::Duration;

use sealgate::dicom::Status;
use sealgate::spool::{Config, Spool, Summary, look};

use super::hospital::{Hospital, opened};
use super::image::Image;
use super::kill::spawn;
use super::pacs::{Kept, Pacs};
use crate::gateway::SOON;
use crate::mount::Mount;

const ROUTE: &str = "[[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n";

fn config(pacs: &Pacs) -> String {
    format!(
        "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\n\
         [[destinations]]\nname = \"pacs\"\naddress = \"{}\"\n{ROUTE}",
        pacs.peer()
    )
}

/// What a dead gateway left in its spool.
pub(crate) fn spooled(hospital: &Hospital) -> Vec<Kept> {
    let (spool, recovery) =
        Spool::open(&Config { folder: hospital.path("spool"), ..Config::default() }).unwrap();
    assert!(recovery.damaged.is_empty(), "{recovery:?}");
    let transfer_syntax = Image::new(1, 1, 1).instance.transfer_syntax;
    let read = |entry: Summary| {
        let mut content = spool.read(entry.id).unwrap();
        let mut data_set = Vec::new();
        loop {
            let block = content.next_block().unwrap();
            if block.is_empty() {
                break;
            }
            data_set.extend_from_slice(block);
        }
        let instance = String::from_utf8(entry.key).unwrap();
        Kept { instance, transfer_syntax, data_set: data_set.into() }
    };
    spool.list(0, usize::MAX).into_iter().map(read).collect()
}

/// Sealed instances that are still to be delivered, as they lie there: nothing is mended before the next start does.
pub(super) fn to_deliver(hospital: &Hospital) -> Vec<Vec<u8>> {
    let folder = hospital.path("spool/entries");
    let read = |entry: Summary| {
        let mut bytes = fs::read(folder.join(format!("{}.entry", entry.id))).unwrap();
        bytes.truncate(usize::try_from(entry.content_bytes).unwrap());
        bytes
    };
    // Killed early enough, it has made no spool.
    let found = look(&hospital.path("spool")).map(|listing| listing.entries).unwrap_or_default();
    found.into_iter().filter(Summary::is_open).map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_io_error_at_any_call_loses_nothing_that_was_acknowledged() {
    let (mut tried, mut refused) = (0, 0);
    for call in ["make", "write", "sync", "rename", "sync-folder", "open", "read", "remove"] {
        for number in [1, 2, 3, 5] {
            let pacs = Pacs::start().await;
            let hospital = Hospital::new(&config(&pacs));
            // The calls of the first start, which makes the folder, are not the ones meant.
            drop(hospital.start(""));
            let mut gateway = spawn(&hospital, &format!("{call}:{number}:eio"));
            if !is_up(&hospital, &mut gateway).await {
                // Refused at the start: nothing was promised.
                refused += 1;
                continue;
            }
            let images: Vec<Image> = (0..6).map(|number| Image::new(1, number, 1500)).collect();
            let mut acknowledged = Vec::new();
            for image in &images {
                if hospital.store(std::slice::from_ref(image)).await == [Ok(Status::SUCCESS)] {
                    acknowledged.push(image);
                }
            }
            gateway.kill().unwrap();
            gateway.wait().unwrap();
            hospital.assert_nothing_in_clear();
            let archive = hospital.archive();
            let there: Vec<Kept> = pacs.kept().into_iter().chain(spooled(&hospital)).collect();
            // What cannot be read is kept, out of the way, and named.
            let damaged = hospital.spool().damaged;
            let is_named =
                |image: &Image| damaged.iter().any(|one| one.key.as_deref() == Some(image.uid().as_bytes()));
            for image in acknowledged.iter().filter(|image| !is_named(image)) {
                let kept = there.iter().find(|kept| kept.instance == image.uid());
                let kept = kept.unwrap_or_else(|| {
                    panic!("{call}:{number}: {} is lost\n{}", image.uid(), log(&hospital))
                });
                assert!(opened(&archive, kept).unwrap().0 == image.data_set, "{call}:{number}");
            }
            assert!(
                damaged.is_empty() || log(&hospital).contains("an entry of the spool is damaged"),
                "with an alarm"
            );
            assert!(
                damaged.len() <= 1 && (damaged.is_empty() || ["open", "read"].contains(&call)),
                "{damaged:?}"
            );
            tried += acknowledged.len();
            // A new start goes on with all of it.
            let gateway = hospital.start("");
            assert_eq!(hospital.store(&images[..1]).await, [Ok(Status::SUCCESS)], "{}", gateway.log());
        }
    }
    assert!(
        tried > 60 && refused < 12,
        "{tried} were acknowledged in spite of the errors, {refused} starts refused"
    );
}

fn log(hospital: &Hospital) -> String {
    fs::read_to_string(hospital.path("log")).unwrap()
}

/// Whether it listens, or has ended instead.
pub(super) async fn is_up(hospital: &Hospital, gateway: &mut Child) -> bool {
    while TcpStream::connect(hospital.address).is_err() {
        if gateway.try_wait().unwrap().is_some() {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_full_refuses_stores_and_delivers_what_it_has() {
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let hospital = Hospital::new(&config(&pacs));
    drop(hospital.start(""));
    // Each image takes some two writes.
    let gateway = hospital.start("write:7:full");
    let images: Vec<Image> = (0..8).map(|number| Image::new(1, number, 1500)).collect();
    let answers = hospital.store(&images).await;
    let taken = answers.iter().filter(|answer| **answer == Ok(Status::SUCCESS)).count();
    let refused = answers.iter().filter(|answer| **answer == Ok(Status::OUT_OF_RESOURCES)).count();
    assert!(taken > 0 && refused > 0 && taken + refused == 8, "{answers:?}");
    assert_eq!(hospital.spool().entries.len(), taken, "of what was refused nothing stays");
    pacs.listen().await;
    assert!(pacs.keeps(taken, SOON).await, "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_disk_fills_up_refuses_and_recovers_once_the_pacs_is_back() {
    let mut pacs = Pacs::start().await;
    pacs.leave();
    let mut hospital = Hospital::new(&config(&pacs));
    fs::create_dir(hospital.path("spool")).unwrap();
    let Some(_mount) = Mount::new(hospital.path("spool"), "24m") else { return };
    hospital
        .configure("refuse_associations_free_bytes = 1048576", "refuse_associations_free_bytes = 6291456");
    let gateway = hospital.start("");
    // Half a megabyte each: over an association that is there, until stores are refused.
    let images: Vec<Image> = (0..60).map(|number| Image::new(1, number, 4096)).collect();
    let answers = hospital.store(&images).await;
    let taken = answers.iter().filter(|answer| **answer == Ok(Status::SUCCESS)).count();
    let full = Ok(Status::OUT_OF_RESOURCES);
    assert!(taken > 15 && answers[taken..].iter().all(|answer| *answer == full), "{answers:?}");
    // A new association is refused before anything is sent on it.
    let refused = hospital.store(&images[..1]).await.remove(0).unwrap_err();
    assert!(refused.contains("refused the association"), "{refused}");
    assert_eq!(hospital.spool().entries.len(), taken);
    pacs.listen().await;
    assert!(pacs.keeps(taken, SOON * 2).await, "{}", gateway.log());
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(hospital.store(&images[59..]).await, [Ok(Status::SUCCESS)], "{}", gateway.log());
    let archive = hospital.archive();
    for kept in pacs.kept() {
        let number: usize = kept.instance.rsplit('.').next().unwrap().parse().unwrap();
        assert!(opened(&archive, &kept).unwrap().0 == images[number].data_set);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_store_that_is_locked_refuses_and_goes_on_when_it_is_free() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&format!("[keys.store]\nbusy_milliseconds_max = 300\n{}", config(&pacs)));
    let gateway = hospital.start("");
    let images: Vec<Image> = (0..2).map(|number| Image::new(1, number, 8)).collect();
    assert_eq!(hospital.store(&images[..1]).await, [Ok(Status::SUCCESS)]);
    let other = rusqlite::Connection::open(hospital.path("keys/store.sqlite")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(hospital.store(&images[1..]).await, [Ok(Status::OUT_OF_RESOURCES)], "{}", gateway.log());
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(hospital.store(&images[1..]).await, [Ok(Status::SUCCESS)], "{}", gateway.log());
    assert!(pacs.keeps(2, SOON).await);
    hospital.assert_nothing_in_clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_store_that_is_gone_acknowledges_nothing() {
    let pacs = Pacs::start().await;
    let hospital = Hospital::new(&config(&pacs));
    let gateway = hospital.start("");
    let images: Vec<Image> = (0..3).map(|number| Image::new(1, number, 8)).collect();
    assert_eq!(hospital.store(&images[..1]).await, [Ok(Status::SUCCESS)]);
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::rename(
            hospital.path(&format!("keys/store.sqlite{suffix}")),
            hospital.path(&format!("away{suffix}")),
        );
    }
    for image in &images[1..] {
        let answer = hospital.store(std::slice::from_ref(image)).await;
        assert_eq!(answer, [Ok(Status::OUT_OF_RESOURCES)], "its key would be lost: {}", gateway.log());
    }
    gateway.wait_for_log("key store stopped");
    assert_eq!(pacs.instances().len(), 1);
}
