//! C-STORE of 400 CT-sized instances to DCMTK's `storescp`: our sender beside `storescu`, in turns, one table of ratios.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, TransferSyntax, Uid};
use sealgate::scu::{Config, Destination, FromReader, Instance, Pool, Tcp};
use tokio::io::AsyncReadExt;

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const INSTANCES: u32 = 400;
const TURNS: usize = 5;
/// What stands before the data set in the files written here: preamble, prefix, group length, group 0002.
const META_BYTES: usize = 128 + 4 + 12 + 124;

/// Ended by its id when it is dropped.
struct StoreScp(Child, u16);

impl StoreScp {
    fn start(folder: &Path) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        // At its best: without Nagle, each association a process, nothing written.
        let child = Command::new("storescp")
            .env("TCP_NODELAY", "1")
            .args(["-q", "--fork", "--ignore", "-dhl", "-pdu", "131072", "-od"])
            .arg(folder)
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("DCMTK is installed: run tests/run install");
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(child, port)
    }
}

impl Drop for StoreScp {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn element(out: &mut Vec<u8>, group: u16, number: u16, vr: [u8; 2], value: &[u8]) {
    out.extend_from_slice(&[group.to_le_bytes(), number.to_le_bytes(), vr].concat());
    if matches!(&vr, b"OW" | b"OB") {
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

fn uid_of(number: u32) -> String {
    // Of one length, so that all files are laid out alike.
    format!("1.2.826.0.1.3680043.9.{:06}", 100_000 + number)
}

/// A CT slice of 512 by 512 pixels as a file.
fn slice(number: u32) -> Vec<u8> {
    let (class, uid) = (padded(CT), padded(&uid_of(number)));
    let mut meta = Vec::new();
    element(&mut meta, 2, 0x01, *b"OB", &[0, 1]);
    element(&mut meta, 2, 0x02, *b"UI", &class);
    element(&mut meta, 2, 0x03, *b"UI", &uid);
    element(&mut meta, 2, 0x10, *b"UI", &padded(TransferSyntax::EXPLICIT_LITTLE));
    element(&mut meta, 2, 0x12, *b"UI", b"1.2\0");
    let mut file = vec![0; 128];
    file.extend_from_slice(b"DICM");
    element(&mut file, 2, 0, *b"UL", &u32::try_from(meta.len()).expect("short").to_le_bytes());
    file.extend_from_slice(&meta);
    assert_eq!(file.len(), META_BYTES);
    element(&mut file, 0x08, 0x16, *b"UI", &class);
    element(&mut file, 0x08, 0x18, *b"UI", &uid);
    element(&mut file, 0x10, 0x20, *b"LO", b"BENCH ");
    element(&mut file, 0x20, 0x0D, *b"UI", b"1.2.3\0");
    element(&mut file, 0x20, 0x0E, *b"UI", b"1.2.4\0");
    for (number, value) in [(0x10, 512_u16), (0x11, 512), (0x100, 16), (0x101, 16), (0x102, 15), (0x103, 0)] {
        element(&mut file, 0x28, number, *b"US", &value.to_le_bytes());
    }
    let pixels: Vec<u8> =
        (0..512 * 512 * 2_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    element(&mut file, 0x7FE0, 0x10, *b"OW", &pixels);
    file
}

/// Ours: files read while they are sent, on so many associations.
async fn ours(port: u16, files: Arc<Vec<PathBuf>>, associations: usize) -> f64 {
    let start = Instant::now();
    let config = Config { associations_per_destination_max: associations, ..Config::default() };
    let pool = Arc::new(Pool::new(Arc::new(Tcp), Arc::new(association::Config::default()), Arc::new(config)));
    let address = AeAddress::parse(&format!("STORESCP@127.0.0.1:{port}")).expect("an address");
    let to = Destination { address, calling: AeTitle::parse("SEALGATE").expect("a title") };
    let tasks: Vec<_> = (0..associations)
        .map(|part| {
            let (pool, files, to) = (Arc::clone(&pool), Arc::clone(&files), to.clone());
            tokio::spawn(async move {
                let syntax = TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).expect("a syntax");
                for number in (part..files.len()).step_by(associations) {
                    let mut file = tokio::fs::File::open(&files[number]).await.expect("a file");
                    let mut meta = [0; META_BYTES];
                    file.read_exact(&mut meta).await.expect("its front");
                    let uid = |text: &str| Uid::parse(text).expect("a UID");
                    let instance =
                        Instance::new(uid(CT), uid(&uid_of(u32::try_from(number).expect("few"))), syntax);
                    pool.store(&to, &instance, &mut FromReader::new(file)).await.expect("stored");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no panic");
    }
    pool.close().await;
    start.elapsed().as_secs_f64()
}

/// DCMTK's: one process for each association.
fn storescu(port: u16, files: &[PathBuf], associations: usize) -> f64 {
    let start = Instant::now();
    let children: Vec<Child> = (0..associations)
        .map(|part| {
            Command::new("storescu")
                .env("TCP_NODELAY", "1")
                .args(["-q", "-xe", "-pdu", "131072", "127.0.0.1", &port.to_string()])
                .args(files.iter().skip(part).step_by(associations))
                .spawn()
                .expect("storescu starts")
        })
        .collect();
    for mut child in children {
        assert!(child.wait().expect("it ends").success());
    }
    start.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let files: Vec<PathBuf> = (0..INSTANCES)
        .map(|number| {
            let path = folder.path().join(format!("{number}.dcm"));
            fs::write(&path, slice(number)).expect("written");
            path
        })
        .collect();
    let files = Arc::new(files);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let peer = StoreScp::start(folder.path());
    println!(
        "associations  sealgate/s  storescu/s  ratio (median of {TURNS} turns; above 1: sealgate is faster)"
    );
    for associations in [1, 4] {
        let (mut own, mut other, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..TURNS {
            let seconds = runtime.block_on(ours(peer.1, Arc::clone(&files), associations));
            let theirs = storescu(peer.1, &files, associations);
            own.push(f64::from(INSTANCES) / seconds);
            other.push(f64::from(INSTANCES) / theirs);
            ratios.push(theirs / seconds);
        }
        println!(
            "{associations:>12}  {:>10.0}  {:>10.0}  {:.2}",
            median(&mut own),
            median(&mut other),
            median(&mut ratios)
        );
    }
}
