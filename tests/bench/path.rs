//! The store path beside others that store: 400 CT slices with one sender to Sealgate, dicom-rs `storescp` and Orthanc.
//!
//! `cargo bench --bench path [-- FOLDER]` runs all in turns and prints one table of ratios. Sealgate seals, and what it
//! acknowledges is fsynced on the disk of FOLDER, which should be a real one; the others neither seal nor sync. Orthanc has to
//! be installed, and `dicom-storescp` (cargo install dicom-storescp) in PATH or named by `DICOM_STORESCP`; what is missing is left
//! out. Everything shares this machine's cores.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, TransferSyntax, Uid};
use sealgate::scu::{Caller, Config, Destination, Instance, Tcp, for_storing, store};
use tokio::runtime::Runtime;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const INSTANCES: u32 = 400;
const TURNS: u32 = 5;
const ASSOCIATIONS: [u32; 2] = [1, 4];

/// Ended by its id when it is dropped.
struct Peer {
    name: &'static str,
    title: &'static str,
    port: u16,
    child: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

impl Peer {
    /// Starts a program that listens on this port; none where it is not installed.
    fn start(name: &'static str, title: &'static str, port: u16, command: &mut Command) -> Option<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(child) = command.spawn() else {
            println!("{name} is not installed, and left out");
            return None;
        };
        let peer = Self { name, title, port, child };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "{name} listens");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(peer)
    }

    /// One that writes to this folder.
    fn storescp(out: &Path, port: u16) -> Option<Self> {
        let program = std::env::var("DICOM_STORESCP").unwrap_or_else(|_| "dicom-storescp".to_owned());
        fs::create_dir_all(out).expect("a folder");
        // -n: an association is no reason for another to wait.
        let mut command = Command::new(program);
        command.args(["-n", "-p", &port.to_string(), "-o"]).arg(out);
        Self::start("dicom-rs storescp -n", "STORE-SCP", port, &mut command)
    }

    fn orthanc(folder: &Path) -> Option<Self> {
        let (port, store) = (free_port(), folder.join("orthanc"));
        let file = folder.join("orthanc.json");
        let config = serde_json::json!({
            "StorageDirectory": store, "IndexDirectory": store, "DicomAet": "ORTHANC", "DicomPort": port,
            "HttpPort": free_port(), "AuthenticationEnabled": false, "Plugins": [], "DicomAlwaysAllowStore": true,
            "OverwriteInstances": true, "SyncStorageArea": false, "DicomThreadsCount": 4,
        });
        fs::write(&file, config.to_string()).expect("written");
        Self::start("Orthanc", "ORTHANC", port, Command::new("Orthanc").arg(file).current_dir(folder))
    }

    /// Sealgate in front of a PACS at this address; nothing listens on port 9.
    fn sealgate(folder: &Path, destination: &str) -> Self {
        let port = free_port();
        let folder = folder.join(format!("sealgate-{port}"));
        fs::create_dir(&folder).expect("a folder");
        let at = folder.display();
        let config = format!(
            "[keys]\nfolder = \"{at}/keys\"\n[audit]\nfolder = \"{at}/audit\"\n[spool]\nfolder = \"{at}/spool\"\n\
             [[listeners]]\naddress = \"127.0.0.1:{port}\"\n\
             [[peers]]\nname = \"bench\"\ntitle = \"BENCH\"\naddresses = [\"127.0.0.1\"]\nmay = [\"store\"]\n\
             [[destinations]]\nname = \"pacs\"\naddress = \"{destination}\"\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n"
        );
        let file = folder.join("gateway.toml");
        fs::write(&file, config).expect("written");
        let secret = folder.join("sealgate-kek");
        fs::write(&secret, [7; 32]).expect("written");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&secret, private).expect("its mode is set");
        let sealgate = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sealgate"));
            command.args(arguments).arg("--config").arg(&file).env("CREDENTIALS_DIRECTORY", &folder);
            command
        };
        let made = sealgate(&["keys", "init"]).stdout(Stdio::null()).status().expect("the command runs");
        assert!(made.success(), "keys were made");
        let mut serve = sealgate(&["serve", "--log-level", "warn"]);
        Self::start("Sealgate", "SEALGATE", port, &mut serve).expect("it is built")
    }

    /// The most memory that it has had resident, in MiB.
    fn resident_max(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
    }
}

fn element(out: &mut Vec<u8>, group: u16, number: u16, vr: [u8; 2], value: &[u8]) {
    out.extend_from_slice(&[group.to_le_bytes(), number.to_le_bytes(), vr].concat());
    if &vr == b"OW" {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&u32::try_from(value.len()).expect("short").to_le_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(value.len()).expect("short").to_le_bytes());
    }
    out.extend_from_slice(value);
}

fn padded(uid: &str) -> Vec<u8> {
    let mut value = uid.as_bytes().to_vec();
    value.resize(value.len().next_multiple_of(2), 0);
    value
}

/// A CT slice of 512 by 512 pixels.
fn slice(turn: u32, number: u32) -> (Instance, Bytes) {
    let uid = format!("1.2.826.0.1.3680043.9.{}.{number}", 1000 + turn);
    let mut out = Vec::with_capacity(512 * 1024 + 1024);
    element(&mut out, 0x08, 0x16, *b"UI", &padded(CT));
    element(&mut out, 0x08, 0x18, *b"UI", &padded(&uid));
    element(&mut out, 0x08, 0x60, *b"CS", b"CT");
    element(&mut out, 0x10, 0x20, *b"LO", b"BENCH ");
    element(&mut out, 0x20, 0x0D, *b"UI", &padded(&format!("1.2.3.{turn}")));
    element(&mut out, 0x20, 0x0E, *b"UI", &padded(&format!("1.2.4.{turn}")));
    element(&mut out, 0x28, 0x02, *b"US", &1_u16.to_le_bytes());
    element(&mut out, 0x28, 0x04, *b"CS", b"MONOCHROME2 ");
    for (number, value) in [(0x10, 512_u16), (0x11, 512), (0x100, 16), (0x101, 16), (0x102, 15), (0x103, 0)] {
        element(&mut out, 0x28, number, *b"US", &value.to_le_bytes());
    }
    let pixels: Vec<u8> =
        (0..512 * 512 * 2_u32).map(|at| at.wrapping_mul(2_654_435_761 + number).to_be_bytes()[0]).collect();
    element(&mut out, 0x7FE0, 0x10, *b"OW", &pixels);
    let syntax = TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).expect("a syntax");
    let uid = |text: &str| Uid::parse(text).expect("a UID");
    (
        Instance::new(uid(CT), uid(&format!("1.2.826.0.1.3680043.9.{}.{number}", 1000 + turn)), syntax),
        out.into(),
    )
}

/// Stores everything over so many associations; instances a second.
async fn send(peer: (&str, u16), slices: Arc<Vec<(Instance, Bytes)>>, associations: u32) -> f64 {
    let address = AeAddress::parse(&format!("{}@127.0.0.1:{}", peer.0, peer.1)).expect("an address");
    let to = Destination { address, calling: AeTitle::parse("BENCH").expect("a title") };
    let start = Instant::now();
    let senders: Vec<_> = (0..associations)
        .map(|part| {
            let (to, slices) = (to.clone(), Arc::clone(&slices));
            tokio::spawn(async move {
                let (door, config) = (association::Config::default(), Arc::new(Config::default()));
                let needs = for_storing(&[slices[0].0.need()]);
                let mut caller =
                    Caller::associate(&Tcp, &to, &needs, &door, &config).await.expect("associated");
                for (instance, bytes) in slices.iter().skip(part as usize).step_by(associations as usize) {
                    store(&mut caller, instance, &mut bytes.clone()).await.expect("stored");
                }
                caller.release().await;
            })
        })
        .collect();
    for sender in senders {
        sender.await.expect("no panic");
    }
    f64::from(INSTANCES) / start.elapsed().as_secs_f64()
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many files are in a folder and those in it.
fn files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries.flatten().map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

fn slices(turn: u32) -> Arc<Vec<(Instance, Bytes)>> {
    Arc::new((0..INSTANCES).map(|number| slice(turn, number)).collect())
}

/// Storing: Sealgate beside each other peer, in turns.
fn storing(runtime: &Runtime, folder: &Path) {
    let sealgate = Peer::sealgate(folder, "AWAY@127.0.0.1:9");
    let others: Vec<Peer> = [Peer::storescp(&folder.join("storescp"), free_port()), Peer::orthanc(folder)]
        .into_iter()
        .flatten()
        .collect();
    println!(
        "storing                 associations   peer/s  sealgate/s   ratio   bar   (medians of {TURNS} turns)"
    );
    let mut turn = 0;
    for associations in ASSOCIATIONS {
        let mut ours = Vec::new();
        let mut theirs = vec![Vec::new(); others.len()];
        for _ in 0..TURNS {
            turn += 1;
            let slices = slices(turn);
            ours.push(runtime.block_on(send(
                (sealgate.title, sealgate.port),
                Arc::clone(&slices),
                associations,
            )));
            for (peer, rates) in others.iter().zip(&mut theirs) {
                rates.push(runtime.block_on(send(
                    (peer.title, peer.port),
                    Arc::clone(&slices),
                    associations,
                )));
            }
        }
        for (peer, rates) in others.iter().zip(&theirs) {
            let bar = if peer.name == "Orthanc" { 5.0 } else { 1.0 };
            let (peer_rate, rate) = (median(rates), median(&ours));
            println!(
                "{:<24}{associations:>12}{peer_rate:>9.0}{rate:>12.0}{:>8.2}{bar:>6.1}",
                peer.name,
                rate / peer_rate
            );
        }
    }
    println!("resident memory of Sealgate: {} MiB at most (bar 128)", sealgate.resident_max());
}

/// Forwarding: what waits goes to a PACS that has come back, beside storing to one like it directly.
fn forwarding(runtime: &Runtime, folder: &Path) {
    let Some(direct) = Peer::storescp(&folder.join("direct"), free_port()) else { return };
    let (mut rates, mut direct_rates) = (Vec::new(), Vec::new());
    for turn in 100..100 + TURNS {
        let slices = slices(turn);
        // As many associations as Sealgate has by default to one destination.
        direct_rates.push(runtime.block_on(send((direct.title, direct.port), Arc::clone(&slices), 4)));
        let (behind_folder, port) = (folder.join(format!("behind-{turn}")), free_port());
        let sealgate = Peer::sealgate(folder, &format!("STORE-SCP@127.0.0.1:{port}"));
        runtime.block_on(send((sealgate.title, sealgate.port), slices, 4));
        let behind = Peer::storescp(&behind_folder, port).expect("it started before");
        rates.push(arrival_rate(&behind_folder));
        drop(behind);
    }
    let (rate, direct_rate) = (median(&rates), median(&direct_rates));
    println!(
        "to the PACS: directly {direct_rate:.0}/s, from the spool {rate:.0}/s, ratio {:.2} (bar 0.90)",
        rate / direct_rate
    );
}

/// Files a second in a folder, from the first one to the last.
fn arrival_rate(folder: &Path) -> f64 {
    let (start, mut first) = (Instant::now(), None);
    loop {
        assert!(start.elapsed() < Duration::from_secs(300), "the PACS gets everything");
        let (found, now) = (files(folder), Instant::now());
        if found > 0 && first.is_none() {
            first = Some((found, now));
        }
        if let (Some((before, since)), true) = (first, found >= INSTANCES as usize) {
            let files = u32::try_from(found - before).map_or(f64::NAN, f64::from);
            return files / (now - since).as_secs_f64();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn main() {
    let place = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with('-'))
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(place).expect("a temporary folder");
    let runtime = Runtime::new().expect("a runtime");
    storing(&runtime, folder.path());
    forwarding(&runtime, folder.path());
}
