//! A node on the gateway's own acceptor that takes what is stored to it, as the destination of a C-MOVE.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use sealgate::association::{
    Acceptor, Admission, Association, Command, Config, Ending, Error, Gatekeeper, Knock, Offer, Rejection,
    Roles, element,
};
use sealgate::dicom::{AeTitle, Status, TransferSyntax, Uid};
use sealgate::tls::Connection;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An instance that came in.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) instance: Uid,
    pub(crate) transfer_syntax: TransferSyntax,
    pub(crate) originator: Option<(AeTitle, u16)>,
    pub(crate) data_set: Vec<u8>,
}

/// A listening node; it ends when this is dropped.
pub(crate) struct Taker {
    pub(crate) address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
    listening: JoinHandle<()>,
}

struct Everybody;
struct Everything;

impl Gatekeeper for Everybody {
    fn admit(&self, _: &Knock) -> Result<Admission, Rejection> {
        Ok(Admission {
            peer: "peer".into(),
            associations_max: None,
            offer: Box::new(Everything),
            pass: Arc::new(()),
        })
    }
}

impl Offer for Everything {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        Some(Roles { scu: true, scp: true })
    }
}

impl Taker {
    /// Starts one that takes everything from everybody.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let taken = Arc::new(Mutex::new(Vec::new()));
        let acceptor = Acceptor::new(Arc::new(Everybody), Ending::never());
        let list = Arc::clone(&taken);
        let listening = tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let (acceptor, list) = (acceptor.clone(), Arc::clone(&list));
                tokio::spawn(async move {
                    let limits = Arc::new(Config::default());
                    if let Some(association) = acceptor.accept(stream, from, limits).await {
                        let _ = take(association, &list).await;
                    }
                });
            }
        });
        Self { address, taken, listening }
    }

    /// What has come so far.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().expect("no panic holds it").clone()
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn take(
    mut association: Association<Connection<TcpStream>>,
    list: &Mutex<Vec<Taken>>,
) -> Result<(), Error> {
    while let Some(message) = association.receive().await? {
        let mut data_set = Vec::new();
        while let Some(piece) = association.next_data().await? {
            data_set.extend_from_slice(&piece);
        }
        let instance = message.command.uid(element::AFFECTED_SOP_INSTANCE).expect("a UID").expect("a UID");
        let (transfer_syntax, originator) =
            (message.context.transfer_syntax, message.command.move_originator());
        list.lock().expect("no panic holds it").push(Taken {
            instance,
            transfer_syntax,
            originator,
            data_set,
        });
        let response = Command::response_to(&message.command, Status::SUCCESS);
        association.send(message.context.id, &response).await?;
    }
    association.close().await;
    Ok(())
}
