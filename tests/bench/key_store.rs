//! The key store with 32 writers: records made durable in a second, beside one transaction for each record.
//!
//! `cargo bench --bench key_store [-- FOLDER]` prints both in turns and their ratio; it fails below 2,000 a second. The
//! folder has to be on a real disk: in memory an fsync costs nothing.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use sealgate::dicom::{AeTitle, Uid};
use sealgate::keys::store::{Facts, NewKey, OriginalAttributes, Write};
use sealgate::keys::{
    Algorithm, Binding, Credential, KeyStore, Keyring, NewCustody, RecipientName, SealingSecret, SqliteStore,
    StoreConfig,
};
use sealgate::seal::{ContentKey, KeyId};

const WRITERS: usize = 32;
const TURNS: usize = 5;
const GROUPED: usize = 8_000;
const SINGLE: usize = 1_000;
const BAR: f64 = 2_000.0;

fn main() -> ExitCode {
    let place =
        env::args().skip(1).find(|word| !word.starts_with('-')).map_or_else(env::temp_dir, PathBuf::from);
    let folder = tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&place)
        .expect("a temporary folder");
    let keyring = keyring(&folder.path().join("kek"));
    println!("{} records of {} bytes, {WRITERS} writers, on {}", GROUPED, sample(&keyring), place.display());
    let mut rates = Vec::new();
    for turn in 0..TURNS {
        let path = folder.path().join(format!("{turn}.sqlite"));
        let grouped = rate(&keyring, &path, &StoreConfig::default(), GROUPED);
        fs::remove_file(&path).expect("the store is removed");
        let limits = StoreConfig { commit_records_max: 1, ..StoreConfig::default() };
        let single = rate(&keyring, &path, &limits, SINGLE);
        fs::remove_file(&path).expect("the store is removed");
        println!(
            "group commit {grouped:7.0}/s   one transaction each {single:6.0}/s   ratio {:5.1}",
            grouped / single
        );
        rates.push(grouped);
    }
    rates.sort_by(f64::total_cmp);
    let median = rates[TURNS / 2];
    println!("median {median:.0} durable records a second, the bar is {BAR:.0}");
    ExitCode::from(u8::from(median < BAR))
}

fn keyring(path: &Path) -> Keyring {
    let mut keyring = Keyring::load(path, &[RecipientName::site()]).expect("an empty keyring");
    let custody = NewCustody::File(SealingSecret::Credential(Credential::new([1; 32])));
    keyring.generate(&RecipientName::site(), Algorithm::XWing, &custody, 1).expect("a key");
    keyring
}

fn sample(keyring: &Keyring) -> usize {
    new_key(keyring, 0).record.len()
}

fn new_key(keyring: &Keyring, number: usize) -> NewKey {
    let mut id = [0; 16];
    let number = number as u64;
    id[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    id[8..].copy_from_slice(&number.to_be_bytes());
    let uid = |text: String| Uid::parse(&text).expect("a valid UID");
    let binding = Binding {
        key_id: KeyId::new(id),
        suite: 1,
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2".into()),
        sop_instance: uid(format!(
            "1.3.6.1.4.1.5962.99.1.{}.{number}",
            number.wrapping_mul(2_654_435_761) % 1_000_000_007
        )),
    };
    let record = keyring.wrap(&ContentKey::new([3; 32]), &binding).expect("it wraps");
    let facts = Facts {
        study: Some(uid(format!("1.3.6.1.4.1.5962.99.2.{}", number / 400))),
        series: Some(uid(format!("1.3.6.1.4.1.5962.99.3.{}", number / 100))),
        calling: AeTitle::parse("CT 1").ok(),
        sealed_unix_millis: 1_700_000_000_000,
        attributes: OriginalAttributes {
            rows: Some(512),
            columns: Some(512),
            ..OriginalAttributes::default()
        },
    };
    NewKey { binding, facts, record }
}

/// Durable records a second; wrapping happens before the clock starts.
fn rate(keyring: &Keyring, path: &Path, limits: &StoreConfig, count: usize) -> f64 {
    let keys: Vec<_> = (0..count).map(|number| new_key(keyring, number)).collect();
    let store = SqliteStore::open(path, limits).expect("a new store");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for part in keys.chunks(count.div_ceil(WRITERS)) {
            let store = &store;
            scope.spawn(move || {
                for key in part {
                    store.write(Write::Key(key.clone())).expect("it is stored");
                }
            });
        }
    });
    let took: Duration = start.elapsed();
    assert_eq!(store.counts().expect("it counts").keys, count as u64);
    f64::from(u32::try_from(count).expect("some thousands")) / took.as_secs_f64()
}
