//! A key store that is ruined while the gateway runs, one that comes back from a backup, and keys that were rotated since an
//! archive was backed up.

use std::fs;

use sealgate::dicom::Status;

use super::differing;
use super::faults::file_of;
use super::site::{Front, needs_of, one_study};
use crate::peers::{Dcmqrscp, Sample};

const STORE: [&str; 3] = ["keys/store.sqlite", "keys/store.sqlite-wal", "keys/store.sqlite-shm"];

/// A gateway whose images carry no wrapped keys: without its store nothing opens.
fn without_carried_keys(archive: &Dcmqrscp) -> Front {
    Front::with(&[("pacs", &archive.address(), "get")], "[keys]\n", "[keys]\narchive = \"sidecar\"\n")
}

/// Runs a command of the keys.
fn keys(front: &Front, arguments: &[&str]) {
    let output = front.site.sealgate(&[&["keys"], arguments].concat());
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_store_that_is_ruined_under_the_running_gateway_opens_nothing_and_everything_from_its_backup() {
    let archive = Dcmqrscp::start(&[]);
    let mut front = without_carried_keys(&archive);
    let (study, samples) = one_study();
    let samples = &samples[..3];
    front.store(samples).await;
    let (backup, needs) = (front.site.path("backup.sqlite"), needs_of(samples));
    keys(&front, &["backup", backup.to_str().unwrap()]);
    // Every page of it is noise, for those too who have it open.
    for file in STORE.map(|name| front.site.path(name)) {
        if let Ok(bytes) = fs::read(&file) {
            let open = fs::OpenOptions::new().write(true).open(&file).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&open, &vec![0xA5; bytes.len()], 0).unwrap();
        }
    }
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    let log = front.gateway.log();
    assert!(came.is_empty() && ended.answer.status == Status::SUB_OPERATIONS_REFUSED, "{ended:?}\n{log}");
    assert_eq!(ended.failed.len(), samples.len());
    let told = front.gateway.wait_for_logs("instance not released", samples.len());
    assert!(told.iter().all(|line| line.contains("\"alarm\":true")), "{told:?}");
    // Nobody gets the ciphertext as an image; those who get ciphertext get it still.
    let (came, ended) = front.get("BACKUP", &study, &needs).await;
    assert!(ended.is_complete() && differing(samples, &came).len() == samples.len(), "{ended:?}");

    front.gateway.signal("KILL");
    front.gateway.wait();
    for file in STORE {
        let _ = fs::remove_file(front.site.path(file));
    }
    keys(&front, &["restore", backup.to_str().unwrap()]);
    front.restart();
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(
        ended.is_complete() && differing(samples, &came).is_empty(),
        "{ended:?}\n{}",
        front.gateway.log()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_restored_to_before_a_rotation_of_the_keys_opens_as_it_was_then() {
    let archive = Dcmqrscp::start(&[]);
    let mut front = without_carried_keys(&archive);
    let (study, samples) = one_study();
    let samples = &samples[..2];
    front.store(samples).await;
    let old: Vec<Vec<u8>> = samples.iter().map(|one| fs::read(file_of(&archive, one)).unwrap()).collect();
    for algorithm in ["ecdh-p384", "x-wing"] {
        front.stop();
        keys(&front, &["rotate", "--algorithm", algorithm]);
        keys(&front, &["rewrap"]);
        front.restart();
        // Others of the same names, under the new key.
        let changed: Vec<Sample> =
            samples.iter().map(|one| with_last_byte(one, u8::try_from(algorithm.len()).unwrap())).collect();
        front.store(&changed).await;
        let (came, ended) = front.get("VIEWER", &study, &needs_of(samples)).await;
        assert!(ended.is_complete() && differing(&changed, &came).is_empty(), "{ended:?}");
        for (sample, bytes) in samples.iter().zip(&old) {
            fs::write(file_of(&archive, sample), bytes).unwrap();
        }
        let (came, ended) = front.get("VIEWER", &study, &needs_of(samples)).await;
        let log = front.gateway.log();
        assert!(ended.is_complete() && differing(samples, &came).is_empty(), "{ended:?}\n{log}");
    }
}

/// The same with other pixels.
fn with_last_byte(sample: &Sample, byte: u8) -> Sample {
    let mut data_set = sample.data_set.to_vec();
    let middle = data_set.len() / 2;
    data_set[middle] ^= byte;
    Sample { data_set: data_set.into(), ..sample.clone() }
}
