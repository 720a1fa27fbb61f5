//! Any bytes as the user identity of a request: no panic, nothing of it printed, and no token of another issuer believed.
#![no_main]

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use sealgate::association::{
    Acceptor, Admission, Config, Ending, Gatekeeper, Knock, Offer, Rejection, Roles, Verifying,
};
use sealgate::dicom::{IdentityKind, Uid};
use sealgate::identity::{self, Verifier};
use tokio::runtime::{Builder, Runtime};

/// Whoever made it has thrown the private half away.
const ISSUER: &str = "-----BEGIN PUBLIC KEY-----\n\
MCowBQYDK2VwAyEADYzhu1/OXh0IG3pig2cXQsUTQ47mOh6kur2ye36gNy0=\n\
-----END PUBLIC KEY-----\n";

/// Looks at what was read of the identity, and has tokens verified.
struct Guard;

impl Gatekeeper for Guard {
    fn admit(&self, knock: &Knock) -> Result<Admission, Rejection> {
        assert!(knock.user.is_none(), "nobody has the issuer's key: {:?}", knock.user);
        Ok(Admission { peer: "peer".into(), associations_max: None, offer: Box::new(Self), pass: Arc::new(()) })
    }

    fn verify<'a>(&'a self, knock: &'a Knock) -> Verifying<'a> {
        if let Some(claim) = &knock.identity {
            // As long as the longest kind: nothing of the fields is in it.
            assert!(format!("{claim:?}").len() <= "Identity(NameAndPasscode, secret)".len());
            // Passwords cost what they are meant to cost; all other ways are decided at once, or refused late.
            if claim.kind != IdentityKind::NameAndPasscode {
                let mut verifying = pin!(VERIFIER.verify(claim));
                let polled = verifying.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(!matches!(polled, Poll::Ready(Ok(_))), "a token was believed");
            }
        }
        Box::pin(std::future::ready(None))
    }
}

impl Offer for Guard {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        None
    }
}

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
static CONFIG: LazyLock<Arc<Config>> = LazyLock::new(|| Arc::new(Config::default()));
static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let path = std::env::temp_dir().join(format!("sealgate-fuzz-{}.pem", std::process::id()));
    std::fs::write(&path, ISSUER).expect("written");
    let verifier = load(&path);
    std::fs::remove_file(&path).expect("removed");
    verifier
});

fn load(path: &Path) -> Verifier {
    let mut config = identity::Config::default();
    config.jwt.key = Some(path.to_owned());
    config.jwt.audience = Some("sealgate".to_owned());
    Verifier::load(&config).expect("a good key")
}

fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short enough");
    [&[kind, 0][..], &length.to_be_bytes(), value].concat()
}

/// An A-ASSOCIATE-RQ with these bytes as its user identity (PS3.7 D.3.3.7.1).
fn request(identity: &[u8]) -> Vec<u8> {
    let context = [&[1, 0, 0, 0][..], &item(0x30, b"1.2.840.10008.1.1"), &item(0x40, b"1.2.840.10008.1.2")].concat();
    let user = [item(0x51, &[0, 0, 0x40, 0]), item(0x52, b"1.2.3"), item(0x58, identity)].concat();
    let items = [item(0x10, b"1.2.840.10008.3.1.1.1"), item(0x20, &context), item(0x50, &user)].concat();
    let body = [&[0, 1, 0, 0][..], b"SEALGATE        ", b"PEER            ", &[0; 32], &items].concat();
    let length = u32::try_from(body.len()).expect("short enough");
    [&[1, 0][..], &length.to_be_bytes(), &body].concat()
}

fuzz_target!(|data: &[u8]| {
    // Longer ones do not fit into the items around.
    let data = data.get(..60_000).unwrap_or(data);
    let bytes = request(data);
    let stream = tokio::io::join(&bytes[..], tokio::io::sink());
    RUNTIME.block_on(async {
        let acceptor = Acceptor::new(Arc::new(Guard), Ending::never());
        let from = SocketAddr::from(([127, 0, 0, 1], 1));
        drop(acceptor.accept(stream, from, Arc::clone(&CONFIG)).await);
        assert_eq!(acceptor.slots.total(), 0, "the place was given back");
    });
});
