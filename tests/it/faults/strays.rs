//! Stores of a PACS that name a C-MOVE of ours which is over, or come from another node than was asked: none is taken in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dicom_dictionary_std::uids;
use sealgate::association::{
    Acceptor, Admission, Association, Command, Config, Ending, Gatekeeper, Knock, Offer, Rejection, Roles,
    element, field,
};
use sealgate::dicom::{AeAddress, AeTitle, Encoding, Status, Uid};
use sealgate::scu::{
    self, Caller, Destination, Failure, FromReader, Need, Tcp, for_getting, for_storing, get, store,
};
use sealgate::tls::Connection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::hospital::Hospital;
use super::image::Image;
use crate::gateway::{Gateway, SOON};

const GET: &str = uids::STUDY_ROOT_QUERY_RETRIEVE_INFORMATION_MODEL_GET;

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).unwrap()
}

/// A PACS that answers no C-MOVE before it is told to, and tells the Message ID of each. Its stores are the test's.
struct Mover {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<u16>,
    end: watch::Sender<bool>,
}

/// Lets everybody in, in both roles.
pub(crate) struct Anybody;

impl Gatekeeper for Anybody {
    fn admit(&self, _: &Knock) -> Result<Admission, Rejection> {
        Ok(Admission {
            peer: "peer".into(),
            associations_max: None,
            offer: Box::new(Self),
            pass: Arc::new(()),
        })
    }
}

impl Offer for Anybody {
    fn roles(&self, _: &Uid) -> Option<Roles> {
        Some(Roles { scu: true, scp: true })
    }
}

impl Mover {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (told, asked) = mpsc::unbounded_channel();
        let (end, ended) = watch::channel(false);
        let acceptor = Acceptor::new(Arc::new(Anybody), Ending::never());
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let (acceptor, told, ended) = (acceptor.clone(), told.clone(), ended.clone());
                tokio::spawn(async move {
                    if let Some(association) = acceptor.accept(stream, from, Arc::default()).await {
                        serve(association, told, ended).await;
                    }
                });
            }
        });
        Self { address, asked, end }
    }
}

/// Tells the Message ID of each C-MOVE, and answers when it is told to.
async fn serve(
    mut association: Association<Connection<TcpStream>>,
    told: mpsc::UnboundedSender<u16>,
    mut ended: watch::Receiver<bool>,
) {
    while let Ok(Some(message)) = association.receive().await {
        while let Ok(Some(_)) = association.next_data().await {}
        if message.command.field() == field::C_MOVE {
            let _ = told.send(message.command.u16(element::MESSAGE_ID).unwrap());
            let _ = ended.wait_for(|ended| *ended).await;
            let answer = Command::response_to(&message.command, Status::SUCCESS);
            let _ = association.send(message.context.id, &answer).await;
        }
    }
}

struct Scene {
    hospital: Hospital,
    gateway: Gateway,
    pacs: Mover,
}

impl Scene {
    async fn new() -> Self {
        let pacs = Mover::start().await;
        let peer = |name: &str, may: &str| {
            format!(
                "[[peers]]\nname = \"{name}\"\ntitle = \"{name}\"\naddresses = [\"127.0.0.1\"]\nmay = [{may}]\n"
            )
        };
        let hospital = Hospital::new(&format!(
            "{}{}{}[[destinations]]\nname = \"pacs\"\naddress = \"PACS@{}\"\nretrieve = \"move\"\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
            peer("PACS", "\"store\""),
            peer("PACS-OUT", "\"store\""),
            peer("VIEWER", "\"find\", \"get\", \"open\""),
            pacs.address,
        ));
        let gateway = hospital.start("");
        Self { hospital, gateway, pacs }
    }

    async fn call(&self, calling: &str, proposals: &[sealgate::association::Proposal]) -> Caller {
        let address = AeAddress::parse(&format!("SEALGATE@{}", self.hospital.address)).unwrap();
        let to = Destination { address, calling: title(calling) };
        let (door, config) = (Config::default(), Arc::new(scu::Config::default()));
        Caller::associate(&Tcp, &to, proposals, &door, &config).await.unwrap()
    }

    /// Stores an image that was never sealed, as a sub-operation of the C-MOVE that `originator` names.
    async fn store(&self, calling: &str, image: &Image, originator: (&str, u16)) -> Status {
        let mut instance = image.instance.clone();
        instance.originator = Some((title(originator.0), originator.1));
        let mut caller = self.call(calling, &for_storing(&[instance.need()])).await;
        let stored = store(&mut caller, &instance, &mut FromReader::new(&image.data_set[..])).await;
        caller.release().await;
        match stored {
            Ok(answer) => answer.status,
            Err(Failure::Status(answer)) => answer.status,
            Err(failure) => panic!("{failure}\n{}", self.gateway.log()),
        }
    }

    fn assert_nothing_was_taken_in(&self) {
        let log = self.gateway.log();
        assert!(!log.contains("instance taken in"), "{log}");
        assert!(self.hospital.spool().entries.is_empty());
    }
}

/// Asks for a study, and goes away without a word when the PACS has been asked.
async fn ask_and_vanish(scene: &mut Scene) -> u16 {
    let need: Need = Image::new(1, 1, 4).instance.need();
    let get_class = Uid::parse(GET).unwrap();
    let mut caller = scene.call("VIEWER", &for_getting(&get_class, &[need])).await;
    let context = caller.context_of(&get_class).unwrap();
    assert_ne!(context.transfer_syntax.encoding, Encoding::Encapsulated);
    let study =
        BTreeMap::from([((0x0008, 0x0052), "STUDY "), ((0x0020, 0x000D), "1.2.826.0.1.3680043.9.8.1")]);
    let mut identifier = Vec::new();
    for ((group, number), value) in study {
        let mut value = value.as_bytes().to_vec();
        value.resize(value.len().next_multiple_of(2), 0);
        let vr = if number == 0x0052 { b"CS" } else { b"UI" };
        identifier.extend_from_slice(&u16::to_le_bytes(group));
        identifier.extend_from_slice(&u16::to_le_bytes(number));
        if context.transfer_syntax.encoding == Encoding::ExplicitLittle {
            identifier.extend_from_slice(vr);
            identifier.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
        } else {
            identifier.extend_from_slice(&u32::try_from(value.len()).unwrap().to_le_bytes());
        }
        identifier.extend_from_slice(&value);
    }
    let getting = get(&mut caller, &context, &identifier).await.unwrap();
    let message_id = scene.pacs.asked.recv().await.expect("the PACS is asked");
    drop(getting);
    caller.abort().await;
    message_id
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_viewer_has_gone_is_refused_and_not_taken_in() {
    let mut scene = Scene::new().await;
    let message_id = ask_and_vanish(&mut scene).await;
    scene.pacs.end.send_replace(true);
    let end = Instant::now() + SOON;
    // While the retrieval is not quite over yet its stores are taken, and go nowhere.
    for number in 1.. {
        let image = Image::new(1, number, 4);
        let status = scene.store("PACS", &image, ("SEALGATE", message_id)).await;
        scene.assert_nothing_was_taken_in();
        if status != Status::SUCCESS {
            assert_eq!(status, Status::NOT_AUTHORIZED);
            let line = scene.gateway.wait_for_log("belongs to no retrieval that is under way");
            assert!(line.contains(image.uid()) && line.contains("WARN"), "{line}");
            return;
        }
        assert!(Instant::now() < end, "it is never refused: {}", scene.gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pacs_that_stores_under_another_title_than_it_is_asked_under_is_refused_and_named() {
    let mut scene = Scene::new().await;
    let message_id = ask_and_vanish(&mut scene).await;
    let image = Image::new(1, 1, 4);
    let status = scene.store("PACS-OUT", &image, ("SEALGATE", message_id)).await;
    assert_eq!(status, Status::NOT_AUTHORIZED, "{}", scene.gateway.log());
    let line = scene.gateway.wait_for_log("belongs to no retrieval that is under way");
    assert!(line.contains("PACS-OUT") && line.contains(image.uid()), "{line}");
    scene.assert_nothing_was_taken_in();
    // What somebody else has asked this node to move is an image like any other.
    let status = scene.store("PACS-OUT", &image, ("ROUTER", message_id)).await;
    assert_eq!(status, Status::SUCCESS, "{}", scene.gateway.log());
    scene.gateway.wait_for_log("instance taken in");
}
