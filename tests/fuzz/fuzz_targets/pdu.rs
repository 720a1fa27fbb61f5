//! Bytes of a peer through the whole door: frames, association items, fragments, command sets, C-ECHO.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sealgate::association::{Acceptor, Admission, Config, Ending, Gatekeeper, Knock, Offer, Rejection, Roles};
use sealgate::dicom::Uid;
use sealgate::scp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

struct Everybody;
struct Everything;

impl Gatekeeper for Everybody {
    fn admit(&self, _: &Knock) -> Result<Admission, Rejection> {
        Ok(Admission { peer: "peer".into(), associations_max: None, offer: Box::new(Everything) })
    }
}

impl Offer for Everything {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        Some(Roles { scu: true, scp: true })
    }
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (mut peer, door) = tokio::io::duplex(1 << 20);
        let acceptor = Acceptor::new(Arc::new(Everybody), Ending::never());
        let from = SocketAddr::from((Ipv4Addr::LOCALHOST, 104));
        let serving = async {
            if let Some(association) = acceptor.accept(door, from, Arc::new(Config::default())).await {
                scp::serve(association).await;
            }
        };
        let talking = async {
            // The door may close first; what it says is read so that it is never held up.
            let _ = peer.write_all(bytes).await;
            let _ = peer.shutdown().await;
            let mut said = Vec::new();
            let _ = peer.read_to_end(&mut said).await;
        };
        tokio::join!(serving, talking);
    });
});
