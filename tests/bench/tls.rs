//! What TLS costs: stores, echoes and associations over mutual TLS beside the same in clear, in turns of one run.
//!
//! `cargo bench --bench tls [-- FOLDER]` prints rates and ratios; it fails when storing runs at less than 75 % of plain, or
//! fewer than 200 associations a second are set up with resumption. The gateway is the real one: it seals, and what it
//! answers is on the disk of FOLDER, which should be a real one. Both ends share this machine's cores.
//!
//! Two cores of a virtual server, 2026-11: storing over mutual TLS at 0.90 of plain (0.86 to 0.95 in five turns, some 310
//! instances of 526 kB a second), echoes at 0.90, 2,015 associations a second resumed, 359 with full handshakes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use sealgate::association::{Association, Command, Config, Ending, Proposal, Transport, request_via};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid, VERIFICATION};
use sealgate::tls::{Connection, Place, Profile, Profiles};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const TURNS: usize = 5;
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
/// Bytes of pixels of a CT slice.
const PIXEL_BYTES: u32 = 512 * 512 * 2;
const INSTANCES: usize = 100;
const ECHOES: usize = 4_000;
const ASSOCIATIONS: usize = 400;
const CALLERS: usize = 4;
const STORE_BAR: f64 = 0.75;
const ASSOCIATIONS_BAR: f64 = 200.0;

fn main() -> ExitCode {
    let place = std::env::args()
        .skip(1)
        .find(|word| !word.starts_with('-'))
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(place).expect("a temporary folder");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(run(folder.path()))
}

async fn run(folder: &Path) -> ExitCode {
    let profile = certificates(folder);
    let gateway = Gateway::start(folder);
    let [plain, tls] = &gateway.addresses;
    let (clear, resuming) = (Transport::Plain, client(&profile));
    // Tickets for the turns.
    associations(tls, &resuming, CALLERS * 4).await;
    let (mut stores, mut echoed, mut resumed) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let store_plain = store(plain, &clear, turn * 2).await;
        let store_tls = store(tls, &resuming, turn * 2 + 1).await;
        let (echo, echo_tls) = (echoes(plain, &clear).await, echoes(tls, &resuming).await);
        let open = associations(plain, &clear, ASSOCIATIONS).await;
        let open_tls = associations(tls, &resuming, ASSOCIATIONS).await;
        println!(
            "stores {store_plain:5.0}/s, TLS {store_tls:5.0}/s ({:.2})   echoes {echo:6.0}/s, TLS {echo_tls:6.0}/s ({:.2})   \
             associations {open:5.0}/s, TLS resumed {open_tls:5.0}/s ({:.2})",
            store_tls / store_plain,
            echo_tls / echo,
            open_tls / open
        );
        stores.push(store_tls / store_plain);
        echoed.push(echo_tls / echo);
        resumed.push(open_tls);
    }
    let full = full_handshakes(tls, &profile).await;
    let (stores, echoed, resumed) = (median(stores), median(echoed), median(resumed));
    println!(
        "medians: stores over mutual TLS at {stores:.2} of plain, the bar is {STORE_BAR}; echoes at {echoed:.2}"
    );
    println!(
        "{resumed:.0} TLS associations a second resumed, the bar is {ASSOCIATIONS_BAR}; {full:.0} one after the other with \
         full handshakes"
    );
    ExitCode::from(u8::from(stores < STORE_BAR || resumed < ASSOCIATIONS_BAR))
}

/// A gateway that seals and spools for a PACS that is away.
struct Gateway {
    child: Child,
    /// In clear, and through TLS.
    addresses: [AeAddress; 2],
}

impl Gateway {
    fn start(folder: &Path) -> Self {
        let at = folder.display();
        let config = format!(
            "titles = [\"BENCH\"]\n[association]\nassociations_per_address_max = 1000\n\
             associations_per_peer_max = 1000\n\
             [keys]\nfolder = \"{at}/keys\"\n[audit]\nfolder = \"{at}/audit\"\n[spool]\nfolder = \"{at}/spool\"\n\
             [[listeners]]\naddress = \"127.0.0.1:0\"\n[[listeners]]\naddress = \"127.0.0.1:0\"\ntls = \"bench\"\n\
             [[tls]]\nname = \"bench\"\ncertificate = \"{at}/bench.pem\"\nkey = \"{at}/bench.key\"\nca = \"{at}/ca.pem\"\n\
             [[peers]]\nname = \"bench\"\ntitle = \"BENCH\"\naddresses = [\"127.0.0.1\"]\nmay = [\"echo\", \"store\"]\n\
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
        let mut child = sealgate(&["serve", "--log-format", "json", "--log-level", "info"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the gateway starts");
        let mut lines = BufReader::new(child.stderr.take().expect("it was piped")).lines();
        let addresses = [(); 2].map(|()| {
            let line = lines.by_ref().map_while(Result::ok).find(|line| line.contains("\"listening\""));
            let line = line.expect("a listener");
            let (_, port) = line.split_once("127.0.0.1:").expect("an address");
            let port: String = port.chars().take_while(char::is_ascii_digit).collect();
            AeAddress::parse(&format!("BENCH@localhost:{port}")).expect("an address")
        });
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, addresses }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A CA and one certificate, for both sides, in a profile `bench`.
fn certificates(folder: &Path) -> Profile {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(DnType::CommonName, "Bench CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let key = KeyPair::generate().expect("a key");
    let ca = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("an RSA key, as most certificates have");
    let names = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = names.signed_by(&own, &issuer).expect("a certificate");
    let place = |name: &str, content: String| {
        let path = folder.join(name);
        fs::write(&path, content).expect("written");
        Some(Place::File(path))
    };
    Profile {
        name: "bench".to_owned(),
        certificate: place("bench.pem", certificate.pem()),
        key: place("bench.key", own.serialize_pem()),
        ca: place("ca.pem", ca.pem()),
        crls: Vec::new(),
    }
}

/// A client that has no session yet.
fn client(profile: &Profile) -> Transport {
    let profiles =
        Profiles::load(std::slice::from_ref(profile), &Profiles::default()).expect("a good profile");
    Transport::Tls(profiles.client("bench", None).expect("a client").expect("a name"))
}

fn config() -> Arc<Config> {
    Arc::new(Config {
        associations_per_address_max: 1000,
        associations_per_peer_max: 1000,
        ..Config::default()
    })
}

/// An association for one class, and what is done on it; how often a second.
async fn rate<F>(count: usize, address: &AeAddress, transport: &Transport, class: &str, deed: F) -> f64
where
    F: AsyncFnOnce(&mut Association<Connection<TcpStream>>),
{
    let mut association = associate(address, transport, class).await;
    let start = Instant::now();
    deed(&mut association).await;
    let rate = per_second(count, start);
    association.release().await.expect("released");
    rate
}

#[expect(clippy::cast_precision_loss, reason = "some thousand")]
fn per_second(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64()
}

async fn associate(
    address: &AeAddress,
    transport: &Transport,
    class: &str,
) -> Association<Connection<TcpStream>> {
    let class = Uid::parse(class).expect("a UID");
    let syntaxes = TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).into_iter().collect();
    let calling = AeTitle::parse("BENCH").expect("a title");
    let proposals = [Proposal::new(class, syntaxes)];
    request_via(transport, address, &calling, &proposals, &config(), Ending::never())
        .await
        .expect("associated")
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
    let pixels = vec![0x5A; usize::try_from(PIXEL_BYTES).expect("half a megabyte")];
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
        element(0x7FE0, 0x10, "OW", &pixels),
    ]
    .concat()
}

/// Instances a second that are sealed and on the disk, sent over some associations at once.
async fn store(address: &AeAddress, transport: &Transport, turn: usize) -> f64 {
    let mut callers = JoinSet::new();
    let start = Instant::now();
    for caller in 0..CALLERS {
        let (address, transport) = (address.clone(), transport.clone());
        callers.spawn(async move {
            let mut association = associate(&address, &transport, CT).await;
            let class = Uid::parse(CT).expect("a UID");
            for number in 1..=INSTANCES {
                let id = u16::try_from(number).expect("a small number");
                let uid = format!("1.2.3.{turn}.{caller}.{number}");
                let instance = Uid::parse(&uid).expect("a UID");
                let command = Command::store(id, &class, &instance);
                association.send_with_data(1, &command, &slice(&uid)).await.expect("sent");
                let answer = association.receive().await.expect("an answer").expect("no release");
                assert_eq!(answer.command.status(), Some(Status::SUCCESS), "{:?}", answer.command);
            }
            association.release().await.expect("released");
        });
    }
    callers.join_all().await;
    per_second(CALLERS * INSTANCES, start)
}

async fn echoes(address: &AeAddress, transport: &Transport) -> f64 {
    rate(ECHOES, address, transport, VERIFICATION, async |association| {
        for number in 1..=ECHOES {
            let id = u16::try_from(number).expect("a small number");
            association.send(1, &Command::echo(id)).await.expect("sent");
            association.receive().await.expect("an answer").expect("no release");
        }
    })
    .await
}

/// Associations a second that are set up, used for one echo, and released, by some callers at once.
async fn associations(address: &AeAddress, transport: &Transport, count: usize) -> f64 {
    let mut callers = JoinSet::new();
    let start = Instant::now();
    for _ in 0..CALLERS {
        let (address, transport) = (address.clone(), transport.clone());
        callers.spawn(async move {
            for _ in 0..count / CALLERS {
                one_echo(&address, &transport).await;
            }
        });
    }
    callers.join_all().await;
    per_second(count, start)
}

async fn one_echo(address: &AeAddress, transport: &Transport) {
    let mut association = associate(address, transport, VERIFICATION).await;
    association.send(1, &Command::echo(1)).await.expect("sent");
    association.receive().await.expect("an answer").expect("no release");
    association.release().await.expect("released");
}

/// The same when every call is the first of its client.
async fn full_handshakes(address: &AeAddress, profile: &Profile) -> f64 {
    let clients: Vec<Transport> = (0..ASSOCIATIONS / 4).map(|_| client(profile)).collect();
    let count = clients.len();
    let start = Instant::now();
    for client in clients {
        one_echo(address, &client).await;
    }
    per_second(count, start)
}
