//! What TLS costs: associations, echoes and stores over mutual TLS beside the same in clear, in turns of one run.
//!
//! `cargo bench --bench tls` prints rates and ratios; it fails when a store runs at less than 75 % of plain, or fewer than
//! 200 associations a second are set up with resumption. Both ends are in this process, on the loopback interface, and
//! share its cores: on a real network the other side has cores of its own.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use sealgate::association::{
    Acceptor, Admission, Command, Config, Ending, Gatekeeper, Knock, Offer, Proposal, Rejection, Roles,
    Transport, request_via,
};
use sealgate::dicom::{AeAddress, AeTitle, TransferSyntax, Uid, VERIFICATION};
use sealgate::scp;
use sealgate::tls::{ClientCertificates, Place, Profile, Profiles, Server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const TURNS: usize = 7;
const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
/// As a CT slice of 512 x 512 pixels.
const INSTANCE_BYTES: usize = 526_000;
const INSTANCES: usize = 400;
const ECHOES: usize = 4_000;
const ASSOCIATIONS: usize = 400;
const CALLERS: usize = 4;
const STORE_BAR: f64 = 0.75;
const ASSOCIATIONS_BAR: f64 = 200.0;

/// Lets everybody in.
struct Open;

impl Gatekeeper for Open {
    fn admit(&self, _: &Knock) -> Result<Admission, Rejection> {
        Ok(Admission {
            peer: "bench".into(),
            associations_max: None,
            offer: Box::new(Open),
            pass: Arc::new(()),
        })
    }
}

impl Offer for Open {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        Some(Roles::DEFAULT)
    }
}

fn main() -> ExitCode {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let runtime = Runtime::new().expect("a runtime");
    runtime.block_on(run(folder.path()))
}

async fn run(folder: &Path) -> ExitCode {
    let profiles = certificates(folder);
    let server = profiles.server("bench", ClientCertificates::Required).expect("a server");
    let client = || profiles.client("bench", None).expect("a client").expect("a name");
    let (plain, tls) = (listen(None).await, listen(Some(server)).await);
    let (clear, resuming) = (Transport::Plain, Transport::Tls(client()));
    // Tickets for the turns.
    associations(&tls, &resuming, CALLERS * 4).await;
    let (mut stores, mut echoed, mut resumed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let (store, store_tls) = (store(&plain, &clear).await, store(&tls, &resuming).await);
        let (echo, echo_tls) = (echoes(&plain, &clear).await, echoes(&tls, &resuming).await);
        let (open, open_tls) = (
            associations(&plain, &clear, ASSOCIATIONS).await,
            associations(&tls, &resuming, ASSOCIATIONS).await,
        );
        println!(
            "stores {store:5.0}/s, TLS {store_tls:5.0}/s ({:.2})   echoes {echo:6.0}/s, TLS {echo_tls:6.0}/s ({:.2})   \
             associations {open:5.0}/s, TLS resumed {open_tls:5.0}/s ({:.2})",
            store_tls / store,
            echo_tls / echo,
            open_tls / open
        );
        stores.push(store_tls / store);
        echoed.push(echo_tls / echo);
        resumed.push(open_tls);
    }
    let full = full_handshakes(&tls, &profiles, folder).await;
    let (stores, echoed, resumed) = (median(stores), median(echoed), median(resumed));
    println!(
        "medians: stores over mutual TLS at {stores:.2} of plain, the bar is {STORE_BAR}; echoes at {echoed:.2}"
    );
    println!(
        "{resumed:.0} TLS associations a second resumed, the bar is {ASSOCIATIONS_BAR}; {full:.0} with full handshakes"
    );
    ExitCode::from(u8::from(stores < STORE_BAR || resumed < ASSOCIATIONS_BAR))
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// A CA and one certificate, for both sides, in a profile `bench`.
fn certificates(folder: &Path) -> Profiles {
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
    let profile = Profile {
        name: "bench".to_owned(),
        certificate: place("bench.pem", certificate.pem()),
        key: place("bench.key", own.serialize_pem()),
        ca: place("ca.pem", ca.pem()),
        crls: Vec::new(),
    };
    Profiles::load(&[profile], &Profiles::default()).expect("a good profile")
}

/// A door that answers everything, and its address.
async fn listen(server: Option<Server>) -> AeAddress {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let acceptor = Acceptor::new(Arc::new(Open), Ending::never());
    tokio::spawn(async move {
        loop {
            let (stream, from) = listener.accept().await.expect("a call");
            stream.set_nodelay(true).expect("no delay");
            tokio::spawn(answer(acceptor.clone(), server.clone(), stream, from));
        }
    });
    AeAddress::parse(&format!("BENCH@localhost:{port}")).expect("an address")
}

async fn answer(acceptor: Acceptor, server: Option<Server>, stream: tokio::net::TcpStream, from: SocketAddr) {
    let config = config();
    let association = match server {
        Some(server) => acceptor.accept_tls(stream, &server, from, config).await,
        None => acceptor.accept(stream, from, config).await,
    };
    if let Some(association) = association {
        scp::serve(association, None).await;
    }
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
    F: AsyncFnOnce(&mut sealgate::association::Association<sealgate::tls::Connection<tokio::net::TcpStream>>),
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
) -> sealgate::association::Association<sealgate::tls::Connection<tokio::net::TcpStream>> {
    let class = Uid::parse(class).expect("a UID");
    let syntaxes = TransferSyntax::by_uid(TransferSyntax::IMPLICIT_LITTLE).into_iter().collect();
    let calling = AeTitle::parse("BENCH").expect("a title");
    let proposals = [Proposal::new(class, syntaxes)];
    request_via(transport, address, &calling, &proposals, &config(), Ending::never())
        .await
        .expect("associated")
}

/// Instances a second, one association; the other side reads them whole and keeps nothing.
async fn store(address: &AeAddress, transport: &Transport) -> f64 {
    let data = vec![0x5A; INSTANCE_BYTES];
    let class = Uid::parse(CT).expect("a UID");
    rate(INSTANCES, address, transport, CT, async |association| {
        for number in 1..=INSTANCES {
            let id = u16::try_from(number).expect("a small number");
            let instance = Uid::parse(&format!("1.2.3.{number}")).expect("a UID");
            let command = Command::store(id, &class, &instance);
            association.send_with_data(1, &command, &data).await.expect("sent");
            association.receive().await.expect("an answer").expect("no release");
        }
    })
    .await
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
async fn full_handshakes(address: &AeAddress, before: &Profiles, folder: &Path) -> f64 {
    let names: BTreeSet<String> = before.expiries().map(|expiry| expiry.place.to_string()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let place = |name: &str| Some(Place::File(folder.join(name)));
    let profile = Profile {
        name: "bench".to_owned(),
        certificate: place("bench.pem"),
        key: place("bench.key"),
        ca: place("ca.pem"),
        crls: Vec::new(),
    };
    let clients: Vec<Transport> = (0..ASSOCIATIONS / 4)
        .map(|_| {
            let fresh =
                Profiles::load(std::slice::from_ref(&profile), &Profiles::default()).expect("a good profile");
            Transport::Tls(fresh.client("bench", None).expect("a client").expect("a name"))
        })
        .collect();
    let count = clients.len();
    let start = Instant::now();
    for client in clients {
        one_echo(address, &client).await;
    }
    per_second(count, start)
}
