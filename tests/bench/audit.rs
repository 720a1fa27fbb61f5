//! What the audit trail costs the store path: the same stores with it and without, in short turns of one run.
//!
//! `cargo bench --bench audit [-- FOLDER] [BLOCKS]` stores in blocks of four bursts - without, with, with, without, and every
//! other block the other way round, so that neither the warming of caches nor the filling of a disk falls on one side. A block
//! gives two figures: how much longer its two bursts with the trail took, and how much more of the processor the gateway had
//! with it, by what the kernel counts in nanoseconds for each thread over the whole block, so that what the trail does after a
//! burst counts too. The medians of the blocks and their intervals of 95 % (bootstrap) decide: `met` when both intervals lie
//! below 3 %, `missed` when one lies above, and else `not settled`: more blocks, or a quieter machine. The exit status is 0, 1
//! or 2. FOLDER should be on a real disk, with 5 GB free for the 40 blocks that are the default.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use sealgate::association::{Command, Config, Ending, Proposal, Transport, request_via};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid};
use sealgate::evaluate::Seeded;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const BLOCKS: usize = 40;
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
/// Instances that a caller stores in a burst.
const INSTANCES: usize = 12;
const CALLERS: usize = 4;
const BAR: f64 = 0.03;
/// Samples with replacement for an interval.
const RESAMPLES: usize = 10_000;

fn main() -> ExitCode {
    let words = || std::env::args().skip(1).filter(|word| !word.starts_with('-'));
    let blocks = words().find_map(|word| word.parse().ok()).unwrap_or(BLOCKS).max(4);
    let place = words().find(|word| word.parse::<usize>().is_err());
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(place).expect("a temporary folder");
    Runtime::new().expect("a runtime").block_on(run(folder.path(), blocks))
}

async fn run(folder: &Path, blocks: usize) -> ExitCode {
    let mut without = Gateway::start(&folder.join("without"), false);
    let mut with = Gateway::start(&folder.join("with"), true);
    let mut bursts = 0;
    for gateway in [&without, &with, &with, &without] {
        burst(gateway, &mut bursts).await;
    }
    let (mut times, mut processor) = (Vec::new(), Vec::new());
    for block in 0..blocks {
        let before = [without.nanoseconds(), with.nanoseconds()];
        let inside = block % 2 == 0;
        let mut seconds = [0.0, 0.0];
        for on in [!inside, inside, inside, !inside] {
            seconds[usize::from(on)] += burst(if on { &with } else { &without }, &mut bursts).await;
        }
        let used = [without.nanoseconds() - before[0], with.nanoseconds() - before[1]];
        let instances = f64::from(u32::try_from(2 * CALLERS * INSTANCES).expect("some hundred"));
        println!(
            "{block:3}: without {:6.2} ms, {:6.3} ms of the processor   with {:6.2} ms, {:6.3} ms   ({:+.1} %, {:+.1} %)",
            seconds[0] * 1e3 / instances,
            used[0] / 1e6 / instances,
            seconds[1] * 1e3 / instances,
            used[1] / 1e6 / instances,
            (seconds[1] / seconds[0] - 1.0) * 100.0,
            (used[1] / used[0] - 1.0) * 100.0
        );
        times.push(seconds[1] / seconds[0] - 1.0);
        processor.push(used[1] / used[0] - 1.0);
    }
    verdict(&[("time", Interval::of(times)), ("processor", Interval::of(processor))])
}

/// A median, and where 95 of 100 medians of such samples lie.
struct Interval {
    low: f64,
    median: f64,
    high: f64,
}

impl Interval {
    fn of(mut values: Vec<f64>) -> Self {
        let mut seeded = Seeded::new(1);
        let mut medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                median(&mut values.iter().map(|_| values[seeded.below(values.len())]).collect::<Vec<_>>())
            })
            .collect();
        medians.sort_by(f64::total_cmp);
        let tail = RESAMPLES / 40;
        Self { low: medians[tail], median: median(&mut values), high: medians[RESAMPLES - 1 - tail] }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let (left, right) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
    f64::midpoint(left, right)
}

/// Says what was found, and whether it is below the bar.
fn verdict(found: &[(&str, Interval); 2]) -> ExitCode {
    for (what, Interval { low, median, high }) in found {
        println!(
            "{what}: {:+.2} %, 95 % interval {:+.2} to {:+.2} %",
            median * 100.0,
            low * 100.0,
            high * 100.0
        );
    }
    let (word, code) = if found.iter().any(|(_, interval)| interval.low >= BAR) {
        ("missed", 1)
    } else if found.iter().all(|(_, interval)| interval.high < BAR) {
        ("met", 0)
    } else {
        ("not settled", 2)
    };
    println!("the bar of {:.0} %: {word}", BAR * 100.0);
    ExitCode::from(code)
}

/// A gateway that seals and spools for a PACS that is away.
struct Gateway {
    child: Child,
    address: AeAddress,
    /// What each thread had of the processor when it was last seen: one that has ended counts on.
    threads: HashMap<String, f64>,
}

impl Gateway {
    fn start(folder: &Path, audit: bool) -> Self {
        fs::create_dir(folder).expect("a folder");
        let at = folder.display();
        let config = format!(
            "titles = [\"BENCH\"]\n[keys]\nfolder = \"{at}/keys\"\n[spool]\nfolder = \"{at}/spool\"\n\
             [audit]\non = {audit}\nfolder = \"{at}/audit\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\n\
             [[peers]]\nname = \"bench\"\ntitle = \"BENCH\"\naddresses = [\"127.0.0.1\"]\nmay = [\"store\"]\n\
             [[destinations]]\nname = \"away\"\naddress = \"AWAY@127.0.0.1:9\"\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"away\"]\n"
        );
        let file = folder.join("gateway.toml");
        fs::write(&file, config).expect("written");
        let secret = folder.join("sealgate-kek");
        fs::write(&secret, [7; 32]).expect("written");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&secret, private).expect("its mode is set");
        let sealgate = |arguments: &[&str]| {
            let mut process = Process::new(env!("CARGO_BIN_EXE_sealgate"));
            process.args(arguments).arg("--config").arg(&file).env("CREDENTIALS_DIRECTORY", folder);
            process
        };
        let made = sealgate(&["keys", "init"]).stdout(Stdio::null()).status().expect("the command runs");
        assert!(made.success(), "keys were made");
        let mut child =
            sealgate(&["serve", "--log-format", "json"]).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it was piped")).lines();
        let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("\"listening\""));
        let line = line.expect("a listener");
        let (_, port) = line.split_once("127.0.0.1:").expect("an address");
        let port: String = port.chars().take_while(char::is_ascii_digit).collect();
        let address = AeAddress::parse(&format!("BENCH@127.0.0.1:{port}")).expect("an address");
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, threads: HashMap::new() }
    }

    /// Nanoseconds that it has had of the processor, by the first number of each thread's `schedstat`.
    fn nanoseconds(&mut self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        for task in tasks.filter_map(Result::ok) {
            // A thread may end while it is looked at.
            let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
            let used = text.split_whitespace().next().and_then(|word| word.parse().ok());
            let name = task.file_name().to_string_lossy().into_owned();
            self.threads.insert(name, used.expect("nanoseconds in schedstat"));
        }
        self.threads.values().sum()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An element in Explicit VR Little Endian.
fn element(group: u16, number: u16, vr: &str, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(value.len()).expect("below 4 GiB");
    let mut bytes = [&group.to_le_bytes()[..], &number.to_le_bytes(), vr.as_bytes()].concat();
    match u16::try_from(length) {
        Ok(short) if vr != "OW" => bytes.extend_from_slice(&short.to_le_bytes()),
        _ => bytes.extend_from_slice(&[&[0, 0][..], &length.to_le_bytes()].concat()),
    }
    bytes.extend_from_slice(value);
    bytes
}

/// A CT slice of this study with this UID.
fn slice(study: &str, instance: &str) -> Vec<u8> {
    let uid = |text: &str| if text.len().is_multiple_of(2) { text.to_owned() } else { format!("{text}\0") };
    let number = |value: u16| value.to_le_bytes();
    [
        element(8, 0x16, "UI", uid(CT).as_bytes()),
        element(8, 0x18, "UI", uid(instance).as_bytes()),
        element(8, 0x60, "CS", b"CT"),
        element(0x10, 0x20, "LO", b"BENCH "),
        element(0x20, 0xD, "UI", uid(study).as_bytes()),
        element(0x20, 0xE, "UI", uid("1.2.3.2").as_bytes()),
        element(0x28, 2, "US", &number(1)),
        element(0x28, 4, "CS", b"MONOCHROME2 "),
        element(0x28, 0x10, "US", &number(512)),
        element(0x28, 0x11, "US", &number(512)),
        element(0x28, 0x100, "US", &number(16)),
        element(0x28, 0x101, "US", &number(16)),
        element(0x28, 0x102, "US", &number(15)),
        element(0x28, 0x103, "US", &number(0)),
        element(0x7FE0, 0x10, "OW", &vec![0x5A; 512 * 512 * 2]),
    ]
    .concat()
}

/// Stores a study over some associations at once: the seconds until all are sealed and on the disk.
async fn burst(gateway: &Gateway, number: &mut usize) -> f64 {
    let mut callers = JoinSet::new();
    *number += 1;
    let start = Instant::now();
    for caller in 0..CALLERS {
        callers.spawn(send(gateway.address.clone(), format!("1.2.3.{number}"), caller));
    }
    callers.join_all().await;
    start.elapsed().as_secs_f64()
}

async fn send(address: AeAddress, study: String, caller: usize) {
    let class = Uid::parse(CT).expect("a UID");
    let syntaxes = TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).into_iter().collect();
    let proposals = [Proposal::new(class.clone(), syntaxes)];
    let (calling, config) = (AeTitle::parse("BENCH").expect("a title"), Arc::new(Config::default()));
    let asked = request_via(&Transport::Plain, &address, &calling, &proposals, &config, Ending::never());
    let mut association = asked.await.expect("associated");
    for number in 1..=INSTANCES {
        let id = u16::try_from(number).expect("a small number");
        let uid = format!("{study}.{caller}.{number}");
        let command = Command::store(id, &class, &Uid::parse(&uid).expect("a UID"));
        association.send_with_data(1, &command, &slice(&study, &uid)).await.expect("sent");
        let answer = association.receive().await.expect("an answer").expect("no release");
        assert_eq!(answer.command.status(), Some(Status::SUCCESS), "{:?}", answer.command);
    }
    association.release().await.expect("released");
}
