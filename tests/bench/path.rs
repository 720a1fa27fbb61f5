//! The store path beside others that store: CT slices with one sender to Sealgate, dicom-rs and DCMTK `storescp`, Orthanc
//! and pynetdicom.
//!
//! `cargo bench --bench path [-- FOLDER [SLICES [TURNS [storing|files|forwarding]]]]` runs all in turns and prints tables of
//! ratios, and how long a single store takes. Sealgate seals, and what it acknowledges is fsynced on the disk of FOLDER, which should be a real one;
//! the others neither seal nor sync. The first table has our own sender, out of memory and without a pause, the next one
//! the senders of DCMTK and dicom-rs with files. Last, what waits in the spool goes to three kinds of PACS.
//!
//! `dicom-storescp` and `dicom-storescu` (cargo install) are in PATH or named by `DICOM_STORESCP` and `DICOM_STORESCU`, a
//! Python with pynetdicom by `SEALGATE_PYTHON`; what is missing is left out. Everything shares this machine's cores.

use std::fs;
use std::io::{Seek, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dicom_object::FileMetaTableBuilder;
use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, TransferSyntax, Uid};
use sealgate::scu::{Caller, Config, Destination, Instance, Tcp, for_storing, store};
use tokio::runtime::Runtime;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const INSTANCES: usize = 400;
const TURNS: usize = 5;
const ASSOCIATIONS: [usize; 4] = [1, 4, 16, 64];

/// How much is sent, and how often.
#[derive(Clone, Copy)]
struct Size {
    instances: usize,
    turns: usize,
}

/// Ended by its id when it is dropped.
struct Peer {
    name: &'static str,
    title: &'static str,
    port: u16,
    /// Associations that it serves at once.
    most: usize,
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
        let peer = Self { name, title, port, most: usize::MAX, child };
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

    /// At its best: without Nagle, each association a process.
    fn dcmtk(out: &Path, port: u16) -> Option<Self> {
        fs::create_dir_all(out).expect("a folder");
        let mut command = Command::new("storescp");
        command.env("TCP_NODELAY", "1").args(["-q", "--fork", "-pdu", "131072", "-od"]).arg(out);
        Self::start("DCMTK storescp --fork", "ANY", port, command.arg(port.to_string()))
    }

    fn pynetdicom(folder: &Path) -> Option<Self> {
        let (out, port) = (folder.join("pynetdicom"), free_port());
        fs::create_dir_all(&out).expect("a folder");
        let mut command = Command::new(std::env::var_os("SEALGATE_PYTHON")?);
        command.args(["-m", "pynetdicom", "storescp", &port.to_string(), "-od"]).arg(out);
        let mut peer = Self::start("pynetdicom storescp", "ANY-SCP", port, &mut command)?;
        peer.most = 4;
        Some(peer)
    }

    fn orthanc(store: &Path, port: u16) -> Option<Self> {
        fs::create_dir_all(store).expect("a folder");
        let file = store.with_extension("json");
        let config = serde_json::json!({
            "StorageDirectory": store, "IndexDirectory": store.with_extension("index"), "DicomAet": "ORTHANC", "DicomPort": port,
            "HttpPort": free_port(), "AuthenticationEnabled": false, "Plugins": [], "DicomAlwaysAllowStore": true,
            "OverwriteInstances": true, "SyncStorageArea": false, "DicomThreadsCount": 4,
        });
        fs::write(&file, config.to_string()).expect("written");
        let mut peer =
            Self::start("Orthanc", "ORTHANC", port, Command::new("Orthanc").arg(file).current_dir(store))?;
        peer.most = 4;
        Some(peer)
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
fn slice(turn: usize, number: u32) -> (Instance, Bytes) {
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

/// Stores everything over so many associations; instances a second, and milliseconds of each.
async fn send(peer: &Peer, slices: Arc<Vec<(Instance, Bytes)>>, associations: usize) -> (f64, Vec<f64>) {
    let address = AeAddress::parse(&format!("{}@127.0.0.1:{}", peer.title, peer.port)).expect("an address");
    let to = Destination { address, calling: AeTitle::parse("BENCH").expect("a title") };
    let start = Instant::now();
    let senders: Vec<_> = (0..associations)
        .map(|part| tokio::spawn(send_part(to.clone(), Arc::clone(&slices), part, associations)))
        .collect();
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await.expect("no panic"));
    }
    (rate(slices.len(), start.elapsed()), times)
}

/// Every so many-th slice, over one association; milliseconds of each.
async fn send_part(
    to: Destination,
    slices: Arc<Vec<(Instance, Bytes)>>,
    part: usize,
    parts: usize,
) -> Vec<f64> {
    let (door, config) = (association::Config::default(), Arc::new(Config::default()));
    let needs = for_storing(&[slices[0].0.need()]);
    let mut caller = Caller::associate(&Tcp, &to, &needs, &door, &config).await.expect("associated");
    let mut times = Vec::new();
    for (instance, bytes) in slices.iter().skip(part).step_by(parts) {
        let start = Instant::now();
        store(&mut caller, instance, &mut bytes.clone()).await.expect("stored");
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    caller.release().await;
    times
}

fn rate(count: usize, time: Duration) -> f64 {
    u32::try_from(count).map_or(f64::NAN, f64::from) / time.as_secs_f64()
}

/// What so many of a hundred values are below.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
        .get((values.len() * percent / 100).min(values.len().saturating_sub(1)))
        .copied()
        .unwrap_or(f64::NAN)
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How many files are in a folder and those in it.
fn files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let is_folder = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().map(|entry| if is_folder(&entry) { files(&entry.path()) } else { 1 }).sum()
}

fn slices(turn: usize, count: usize) -> Arc<Vec<(Instance, Bytes)>> {
    Arc::new((0..count).map(|number| slice(turn, u32::try_from(number).expect("a few"))).collect())
}

/// Storing: Sealgate beside each other peer, in turns.
fn storing(runtime: &Runtime, folder: &Path, size: Size) {
    let sealgate = Peer::sealgate(folder, "AWAY@127.0.0.1:9");
    let others = [
        Peer::storescp(&folder.join("storescp"), free_port()),
        Peer::dcmtk(&folder.join("dcmtk"), free_port()),
        Peer::orthanc(&folder.join("orthanc"), free_port()),
        Peer::pynetdicom(folder),
    ];
    let others: Vec<Peer> = others.into_iter().flatten().collect();
    println!(
        "storing                 associations   peer/s  sealgate/s   ratio   (medians of {} turns, {} instances)",
        size.turns, size.instances
    );
    let mut latencies = Vec::new();
    for (round, associations) in ASSOCIATIONS.into_iter().enumerate() {
        let others: Vec<_> = others.iter().filter(|peer| peer.most >= associations).collect();
        let (mut ours, mut times) = (Vec::new(), Vec::new());
        let mut theirs = vec![Vec::new(); others.len()];
        for turn in 0..size.turns {
            let slices = slices(round * size.turns + turn, size.instances);
            let (rate, each) = runtime.block_on(send(&sealgate, Arc::clone(&slices), associations));
            ours.push(rate);
            times.extend(each);
            for (peer, rates) in others.iter().zip(&mut theirs) {
                rates.push(runtime.block_on(send(peer, Arc::clone(&slices), associations)).0);
            }
        }
        let rate = median(&ours);
        for (peer, rates) in others.iter().zip(&theirs) {
            let peer_rate = median(rates);
            println!(
                "{:<24}{associations:>12}{peer_rate:>9.0}{rate:>12.0}{:>8.2}",
                peer.name,
                rate / peer_rate
            );
        }
        if let (1, Some(peer), Some(rates)) = (associations, others.first(), theirs.first()) {
            bound(folder, peer.name, 1.0 / median(rates));
        }
        latencies.push((associations, rate, times));
    }
    told(&latencies);
    println!("resident memory of Sealgate: {} MiB at most (bar 128)", sealgate.resident_max());
}

/// What the disk alone allows: one that stores as fast as a peer that does not sync, and then syncs, over one association.
fn bound(folder: &Path, name: &str, seconds: f64) {
    let mut file = fs::File::create(folder.join("synced")).expect("a file");
    let bytes = vec![7; 512 * 1024];
    let times: Vec<f64> = (0..50)
        .map(|_| {
            file.rewind().and_then(|()| file.write_all(&bytes)).expect("written");
            let start = Instant::now();
            file.sync_data().expect("synced");
            start.elapsed().as_secs_f64()
        })
        .collect();
    let sync = median(&times);
    println!(
        "one fdatasync takes {:.2} ms: as fast as {name} and synced before the answer could reach {:.2} of it",
        sync * 1000.0,
        seconds / (seconds + sync)
    );
}

/// What a single store costs as associations grow.
fn told(latencies: &[(usize, f64, Vec<f64>)]) {
    let alone = latencies.first().map_or(f64::NAN, |(_, rate, _)| *rate);
    println!("Sealgate                associations        /s   times one   ms: half  95 of 100  99 of 100");
    for (associations, rate, times) in latencies {
        let [half, most, nearly_all] = [50, 95, 99].map(|percent| percentile(times, percent));
        println!(
            "{:<24}{associations:>12}{rate:>10.0}{:>12.2}{half:>11.1}{most:>11.1}{nearly_all:>11.1}",
            "a store",
            rate / alone
        );
    }
}

/// A slice as a file (PS3.10 section 7).
fn file(instance: &Instance, data_set: &Bytes) -> Vec<u8> {
    let meta = FileMetaTableBuilder::new()
        .media_storage_sop_class_uid(instance.class.as_str())
        .media_storage_sop_instance_uid(instance.instance.as_str())
        .transfer_syntax(instance.transfer_syntax.uid)
        .build()
        .expect("all there");
    let mut out = vec![0; 128];
    out.extend_from_slice(b"DICM");
    meta.write(&mut out).expect("memory takes it");
    out.extend_from_slice(data_set);
    out
}

/// A program that sends the files of a folder over one association.
struct Program {
    name: &'static str,
    command: fn(&Peer, &Path) -> Command,
}

const PROGRAMS: [Program; 2] = [
    Program {
        name: "with DCMTK storescu",
        command: |peer, files| {
            let mut command = Command::new("storescu");
            command.env("TCP_NODELAY", "1").args([
                "-q",
                "-aet",
                "BENCH",
                "-aec",
                peer.title,
                "+sd",
                "127.0.0.1",
            ]);
            command.arg(peer.port.to_string()).arg(files);
            command
        },
    },
    Program {
        name: "with dicom-rs storescu",
        command: |peer, files| {
            let program = std::env::var("DICOM_STORESCU").unwrap_or_else(|_| "dicom-storescu".to_owned());
            let mut command = Command::new(program);
            command.args(["--fail-first", "--calling-ae-title", "BENCH"]);
            command.arg(format!("{}@127.0.0.1:{}", peer.title, peer.port)).arg(files);
            command
        },
    },
];

/// Instances a second that a program sends, a process for each folder; none where it is not installed.
fn send_files(program: &Program, peer: &Peer, folders: &[PathBuf], count: usize) -> Option<f64> {
    let start = Instant::now();
    let sending: Vec<_> = folders
        .iter()
        .map(|files| (program.command)(peer, files).stdout(Stdio::null()).stderr(Stdio::null()).spawn())
        .collect::<Result<_, _>>()
        .ok()?;
    for mut one in sending {
        assert!(
            one.wait().expect("it ends").success(),
            "{} stores everything at {}",
            program.name,
            peer.name
        );
    }
    Some(rate(count, start.elapsed()))
}

/// Storing files with the senders of others: Sealgate beside dicom-rs.
fn storing_files(folder: &Path, size: Size) {
    let Some(other) = Peer::storescp(&folder.join("storescp-files"), free_port()) else { return };
    let sealgate = Peer::sealgate(folder, "AWAY@127.0.0.1:9");
    println!("storing                 associations  {}/s  sealgate/s   ratio", other.name);
    for (round, program) in PROGRAMS.iter().enumerate() {
        for associations in [1, 4] {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            for turn in 0..size.turns {
                let slices = slices(1000 * (round + 1) + 100 * associations + turn, size.instances);
                let place = tempfile::tempdir_in(folder).expect("a temporary folder");
                let parts: Vec<_> =
                    (0..associations).map(|part| place.path().join(part.to_string())).collect();
                for part in &parts {
                    fs::create_dir(part).expect("a folder");
                }
                for (number, (instance, data_set)) in slices.iter().enumerate() {
                    let path = parts[number % associations].join(format!("{number:04}.dcm"));
                    fs::write(path, file(instance, data_set)).expect("written");
                }
                ours.extend(send_files(program, &sealgate, &parts, size.instances));
                theirs.extend(send_files(program, &other, &parts, size.instances));
            }
            if ours.is_empty() {
                println!("{} is not installed, and left out", program.name);
                break;
            }
            let (rate, other_rate) = (median(&ours), median(&theirs));
            println!(
                "{:<24}{associations:>12}{other_rate:>24.0}{rate:>12.0}{:>8.2}",
                program.name,
                rate / other_rate
            );
        }
    }
}

/// Forwarding: what waits goes to a PACS that has come back, beside storing to one like it directly.
fn forwarding(runtime: &Runtime, folder: &Path, size: Size) {
    type Start = fn(&Path, u16) -> Option<Peer>;
    let kinds: [Start; 3] = [Peer::storescp, Peer::dcmtk, Peer::orthanc];
    for (kind, start) in kinds.into_iter().enumerate() {
        let (mut rates, mut direct_rates, mut name) = (Vec::new(), Vec::new(), "");
        for turn in 0..size.turns {
            let slices = slices(10_000 + 100 * kind + turn, size.instances);
            let direct_folder = folder.join(format!("direct-{kind}-{turn}"));
            let Some(direct) = start(&direct_folder, free_port()) else { break };
            // As many associations as Sealgate has by default to one destination.
            direct_rates.push(runtime.block_on(send(&direct, Arc::clone(&slices), 4)).0);
            name = direct.name;
            let expected = files(&direct_folder);
            let (behind_folder, port) = (folder.join(format!("behind-{kind}-{turn}")), free_port());
            let sealgate = Peer::sealgate(folder, &format!("{}@127.0.0.1:{port}", direct.title));
            drop(direct);
            runtime.block_on(send(&sealgate, slices, 4));
            let behind = start(&behind_folder, port).expect("it started before");
            rates.push(arrival_rate(&behind_folder, size.instances, expected));
            drop((behind, sealgate));
            for folder in [direct_folder, behind_folder] {
                let _ = fs::remove_dir_all(folder);
            }
        }
        if let (rate, direct_rate) = (median(&rates), median(&direct_rates))
            && !rates.is_empty()
        {
            println!(
                "to {name}: directly {direct_rate:.0}/s, from the spool {rate:.0}/s, ratio {:.2} (bar 0.90)",
                rate / direct_rate
            );
        }
    }
}

/// Instances a second in a folder that has so many files with all of them, from the first one to the last.
fn arrival_rate(folder: &Path, instances: usize, all: usize) -> f64 {
    let (start, mut first) = (Instant::now(), None);
    let count = |files: usize| files * instances / all;
    loop {
        assert!(start.elapsed() < Duration::from_secs(300), "the PACS gets everything");
        let (found, now) = (files(folder), Instant::now());
        if count(found) > 0 && first.is_none() {
            first = Some((count(found), now));
        }
        if let (Some((before, since)), true) = (first, found >= all) {
            return rate(count(found) - before, now - since);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let place = words.first().map_or_else(std::env::temp_dir, PathBuf::from);
    let number = |at: usize, usual| words.get(at).map_or(usual, |word| word.parse().expect("a number"));
    let size = Size { instances: number(1, INSTANCES).max(64), turns: number(2, TURNS).max(1) };
    let folder = tempfile::tempdir_in(place).expect("a temporary folder");
    let runtime = Runtime::new().expect("a runtime");
    let is_asked = |part: &str| words.get(3).is_none_or(|only| only == part);
    if is_asked("storing") {
        storing(&runtime, folder.path(), size);
    }
    if is_asked("files") {
        storing_files(folder.path(), size);
    }
    if is_asked("forwarding") {
        forwarding(&runtime, folder.path(), size);
    }
}
