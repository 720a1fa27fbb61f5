//! What the audit trail costs the store path: the same stores with it and without, in turns of one run.
//!
//! `cargo bench --bench audit [-- FOLDER]` prints rates and the processor time of the gateway for an instance; it fails when
//! the trail adds 3 % or more to either, by the median of the turns. FOLDER should be on a real disk. Both ends share this
//! machine's cores, so the processor time is the steadier figure.
//!
//! Two cores of a virtual server, 2026-11: turns scatter by 15 % either way there, and medians of single runs with them (+3.4 %
//! and +0.9 % time, +2.1 % and -5.3 % processor). What the kernel counts for the trail's own thread is 1.1 % of the gateway's
//! processor time while it stores; nothing in the store path waits for it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use sealgate::association::{Command, Config, Ending, Proposal, Transport, request_via};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const TURNS: usize = 15;
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
const INSTANCES: usize = 75;
const CALLERS: usize = 4;
const BAR: f64 = 0.03;

fn main() -> ExitCode {
    let place = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(place).expect("a temporary folder");
    Runtime::new().expect("a runtime").block_on(run(folder.path()))
}

async fn run(folder: &Path) -> ExitCode {
    let without = Gateway::start(&folder.join("without"), false);
    let with = Gateway::start(&folder.join("with"), true);
    for gateway in [&without, &with] {
        store(gateway, TURNS).await;
    }
    let (mut times, mut ticks) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        // Whoever is first is not always the same.
        let (off, on) = if turn % 2 == 0 {
            let off = store(&without, turn).await;
            (off, store(&with, turn).await)
        } else {
            let on = store(&with, turn).await;
            (store(&without, turn).await, on)
        };
        println!(
            "without {:6.2} ms, {:5.2} ms of the processor   with {:6.2} ms, {:5.2} ms   ({:+.1} %, {:+.1} %)",
            off.0,
            off.1,
            on.0,
            on.1,
            (on.0 / off.0 - 1.0) * 100.0,
            (on.1 / off.1 - 1.0) * 100.0
        );
        times.push(on.0 / off.0 - 1.0);
        ticks.push(on.1 / off.1 - 1.0);
    }
    let (time, tick) = (median(times), median(ticks));
    println!(
        "medians: {:+.2} % time, {:+.2} % processor; the bar is {:.0} %",
        time * 100.0,
        tick * 100.0,
        BAR * 100.0
    );
    ExitCode::from(u8::from(time >= BAR || tick >= BAR))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A gateway that seals and spools for a PACS that is away.
struct Gateway {
    child: Child,
    address: AeAddress,
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
        Self { child, address }
    }

    /// Hundredths of a second of the processor, as the kernel counts them.
    fn ticks(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields = stat.rsplit_once(')').expect("its name").1;
        fields.split_whitespace().skip(11).take(2).map(|text| text.parse::<f64>().expect("a number")).sum()
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

/// A CT slice with this UID.
fn slice(instance: &str) -> Vec<u8> {
    let uid = |text: &str| if text.len().is_multiple_of(2) { text.to_owned() } else { format!("{text}\0") };
    let number = |value: u16| value.to_le_bytes();
    [
        element(8, 0x16, "UI", uid(CT).as_bytes()),
        element(8, 0x18, "UI", uid(instance).as_bytes()),
        element(8, 0x60, "CS", b"CT"),
        element(0x10, 0x20, "LO", b"BENCH "),
        element(0x20, 0xD, "UI", uid("1.2.3.1").as_bytes()),
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

/// Milliseconds that an instance takes until it is sealed and on the disk, over some associations at once; and those of
/// the processor.
#[expect(clippy::cast_precision_loss, reason = "some hundred")]
async fn store(gateway: &Gateway, turn: usize) -> (f64, f64) {
    let mut callers = JoinSet::new();
    let (before, start) = (gateway.ticks(), Instant::now());
    for caller in 0..CALLERS {
        callers.spawn(send(gateway.address.clone(), format!("1.2.3.{turn}.{caller}")));
    }
    callers.join_all().await;
    let count = (CALLERS * INSTANCES) as f64;
    (start.elapsed().as_secs_f64() * 1000.0 / count, (gateway.ticks() - before) * 10.0 / count)
}

async fn send(address: AeAddress, prefix: String) {
    let class = Uid::parse(CT).expect("a UID");
    let syntaxes = TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).into_iter().collect();
    let proposals = [Proposal::new(class.clone(), syntaxes)];
    let (calling, config) = (AeTitle::parse("BENCH").expect("a title"), Arc::new(Config::default()));
    let asked = request_via(&Transport::Plain, &address, &calling, &proposals, &config, Ending::never());
    let mut association = asked.await.expect("associated");
    for number in 1..=INSTANCES {
        let id = u16::try_from(number).expect("a small number");
        let uid = format!("{prefix}.{number}");
        let command = Command::store(id, &class, &Uid::parse(&uid).expect("a UID"));
        association.send_with_data(1, &command, &slice(&uid)).await.expect("sent");
        let answer = association.receive().await.expect("an answer").expect("no release");
        assert_eq!(answer.command.status(), Some(Status::SUCCESS), "{:?}", answer.command);
    }
    association.release().await.expect("released");
}
