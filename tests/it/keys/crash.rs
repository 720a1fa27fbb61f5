//! Killed while 32 writers store keys: every key that was acknowledged is there afterwards.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sealgate::keys::rotation::verify;
use sealgate::keys::store::Write;
use sealgate::keys::{KeyStore, Keyring, KeysError, SqliteStore, StoreConfig};

use super::{key_id, name, new_key, secrets, site_keyring};

/// Tells the child what to do: the folder, and the number of its first key.
const CHILD: &str = "SEALGATE_TEST_KEYS_CHILD";
const WRITERS: usize = 32;

fn store(folder: &Path) -> Result<SqliteStore, KeysError> {
    SqliteStore::open(&folder.join("store.sqlite"), &StoreConfig::default())
}

fn keyring(folder: &Path) -> Keyring {
    let mut keyring = Keyring::load(&folder.join("kek"), &[name("site")]).unwrap();
    keyring.unlock(&secrets()).unwrap();
    keyring
}

/// This test binary again, running only `child`.
fn spawn_child(folder: &Path, first: u64, wrapper: &[&str]) -> std::process::Child {
    let binary = std::env::current_exe().unwrap();
    let mut words = wrapper.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    words.extend([binary.to_str().unwrap().to_owned()]);
    words.extend(["keys::crash::child", "--exact", "--ignored", "--nocapture"].map(str::to_owned));
    Command::new(&words[0])
        .args(&words[1..])
        .env(CHILD, format!("{first} {}", folder.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the other tests here run it as a process of its own"]
fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (first, folder) = order.split_once(' ').unwrap();
    let (next, folder) = (AtomicU64::new(first.parse().unwrap()), Path::new(folder));
    let (store, keyring) = (store(folder).unwrap(), keyring(folder));
    std::thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| while write_one(&store, &keyring, &next) {});
        }
    });
}

/// Writes one record and says on standard output what became of it; false when it was refused.
fn write_one(store: &SqliteStore, keyring: &Keyring, next: &AtomicU64) -> bool {
    let number = next.fetch_add(1, Ordering::Relaxed);
    let written = store.write(Write::Key(new_key(keyring, number)));
    let line = match &written {
        Ok(_) => format!("ack {number}\n"),
        Err(error) => format!("refused {number} {error}\n"),
    };
    // One write call each, so that lines stay whole.
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
    written.is_ok()
}

fn acknowledged(line: &str) -> Option<u64> {
    line.strip_prefix("ack ")?.parse().ok()
}

#[test]
fn every_acknowledged_key_survives_a_kill() {
    let folder = super::folder();
    site_keyring(folder.path());
    let mut acks: Vec<u64> = Vec::new();
    let mut rounds_with_acks = 0;
    for round in 0..40 {
        let mut child = spawn_child(folder.path(), round * 1_000_000, &[]);
        let lines = BufReader::new(child.stdout.take().unwrap());
        let (sender, receiver) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            lines.lines().map_while(Result::ok).for_each(|line| sender.send(line).unwrap());
        });
        let mut wait = receiver.recv_timeout(Duration::from_secs(60)).ok();
        while wait.as_deref().is_some_and(|line| acknowledged(line).is_none()) {
            wait = receiver.recv_timeout(Duration::from_secs(60)).ok();
        }
        // In the middle of commits, at a different moment each time.
        std::thread::sleep(Duration::from_millis(3 + round * 7 % 40));
        child.kill().unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        let before = acks.len();
        acks.extend(
            wait.iter().chain(&receiver.try_iter().collect::<Vec<_>>()).filter_map(|line| acknowledged(line)),
        );
        rounds_with_acks += u32::from(acks.len() > before);
    }
    assert_eq!(rounds_with_acks, 40, "every round was killed after it had begun");
    let store = store(folder.path()).unwrap();
    assert!(acks.len() > 1000, "{}", acks.len());
    for number in &acks {
        assert!(store.find(key_id(*number)).unwrap().is_some(), "key {number} was acknowledged, and is gone");
    }
    assert_eq!(store.check(&mut |_, _| ()).unwrap().problems, [""; 0]);
    assert_eq!(verify(&store, &keyring(folder.path()), Some(200), &mut |_, _| ()).unwrap().failed, 0);
}

#[test]
fn a_write_error_stops_the_store_and_loses_nothing_acknowledged() {
    let folder = super::folder();
    site_keyring(folder.path());
    drop(store(folder.path()).unwrap());
    // A file may not grow beyond 400 KiB: writing fails with EFBIG, like a disk with errors.
    let limit = "trap '' XFSZ; ulimit -f 400; exec \"$@\"";
    let child = spawn_child(folder.path(), 0, &["bash", "-c", limit, "bash"]);
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && start.elapsed() < Duration::from_secs(60));
    let text = String::from_utf8(output.stdout).unwrap();
    let acks: Vec<u64> = text.lines().filter_map(acknowledged).collect();
    let refusals: Vec<_> = text.lines().filter(|line| line.starts_with("refused")).collect();
    assert!(acks.len() > 50, "{}", acks.len());
    assert_eq!(refusals.len(), WRITERS, "every writer was told: {text}");
    assert!(refusals.iter().all(|line| line.contains("stopped after an I/O error")), "{refusals:?}");
    let store = store(folder.path()).unwrap();
    for number in acks {
        assert!(store.find(key_id(number)).unwrap().is_some(), "key {number}");
    }
    assert_eq!(store.check(&mut |_, _| ()).unwrap().problems, [""; 0]);
    let next = new_key(&keyring(folder.path()), 900_000);
    assert_eq!(store.write(Write::Key(next)).unwrap(), 1, "with room again it goes on after a restart");
}
