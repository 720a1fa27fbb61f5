//! Procedure steps through the gateway: what a modality says reaches the RIS byte for byte, and the answer comes back.

use std::fs;
use std::sync::Arc;

use sealgate::association::{self, Proposal};
use sealgate::dicom::{AeAddress, AeTitle, PERFORMED_PROCEDURE_STEP, Status, TransferSyntax};
use sealgate::scu::{
    Caller, Config, Destination, Failure, Tcp, create_step, for_service, for_storing, set_step, store,
};

use crate::gateway::Gateway;
use crate::keys::command::Site;
use crate::peers::archive::uid;
use crate::peers::{RisPeer, Sample, free_port, samples};

/// A gateway whose modalities may ask a RIS, and two that may not.
pub(crate) struct Department {
    pub(crate) gateway: Gateway,
    _site: Site,
}

impl Department {
    /// Starts one with these tables.
    pub(crate) fn start(ris: &str) -> Self {
        let site = Site::new();
        assert!(site.sealgate(&["keys", "init"]).status.success());
        let keys = fs::read_to_string(site.path("gateway.toml")).expect("its configuration");
        let routes = format!(
            "[[destinations]]\nname = \"pacs\"\naddress = \"PACS@127.0.0.1:{}\"\n[[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
            free_port()
        );
        Self::with(site, &keys, ris, &routes)
    }

    /// Starts one that has no keys and no route.
    pub(crate) fn without_images(ris: &str) -> Self {
        let site = Site::new();
        let audit = format!("[audit]\nfolder = {:?}\n", site.path("audit"));
        Self::with(site, &audit, ris, "")
    }

    fn with(site: Site, keys: &str, ris: &str, routes: &str) -> Self {
        let peer = |title: &str, may: &str| {
            format!(
                "[[peers]]\nname = \"{title}\"\ntitle = \"{title}\"\naddresses = [\"127.0.0.1\"]\nmay = [{may}]\n"
            )
        };
        let config = format!(
            "titles = [\"SEALGATE\", \"OTHER\"]\n{keys}\n[spool]\nfolder = {:?}\nrefuse_stores_free_bytes = 1048576\n\
             refuse_associations_free_bytes = 1048576\n{}{}{}\n{ris}\n{routes}",
            site.path("spool"),
            peer("CT", "\"mpps\", \"worklist\""),
            peer("STORES", "\"store\", \"echo\""),
            peer("FINDS", "\"find\""),
        );
        Self { gateway: Gateway::start(&config), _site: site }
    }

    pub(crate) async fn call(&self, calling: &str, called: &str, proposals: &[Proposal]) -> Caller {
        let address = AeAddress::parse(&format!("{called}@{}", self.gateway.address)).expect("an address");
        let to = Destination { address, calling: AeTitle::parse(calling).expect("a title") };
        let (door, config) = (association::Config::default(), Arc::new(Config::default()));
        Caller::associate(&Tcp, &to, proposals, &door, &config).await.expect("associated")
    }
}

fn ris(peer: &RisPeer, more: &str) -> String {
    ris_at(peer.port, more)
}

pub(crate) fn ris_at(port: u16, more: &str) -> String {
    format!("[[ris]]\nname = \"ris{port}\"\naddress = \"RIS@127.0.0.1:{port}\"\n{more}\n")
}

/// Elements in Explicit VR Little Endian, one of them private and in a character set of its own.
fn attributes(status: &str) -> Vec<u8> {
    let mut out = b"\x08\0\x05\0CS\x0A\0ISO_IR 192".to_vec();
    out.extend_from_slice(b"\x09\0\x10\0LO\x08\0MAKER 1 \x09\0\x01\x10LO\x04\0\xC3\xA4\xFF ");
    out.extend_from_slice(b"\x40\0\x52\x02CS");
    out.extend_from_slice(&[status.len() as u8, 0]);
    out.extend_from_slice(status.as_bytes());
    out
}

const SERVES: &str = "serves = [\"mpps\"]";

fn steps() -> Vec<Proposal> {
    for_service(&uid(PERFORMED_PROCEDURE_STEP))
}

#[tokio::test]
async fn a_step_reaches_the_ris_and_its_answer_comes_back_untouched() {
    let peer = RisPeer::start(&[]);
    let front = Department::start(&ris(&peer, SERVES));
    let mut caller = front.call("CT", "SEALGATE", &steps()).await;
    let context = caller.context_of(&uid(PERFORMED_PROCEDURE_STEP)).expect("accepted");
    let instance = uid("1.2.826.0.1.9");
    let begun = attributes("IN PROGRESS ");
    let response = create_step(&mut caller, &context, Some(&instance), &begun).await.expect("an answer");
    assert_eq!(response.answer.status, Status::SUCCESS);
    assert_eq!(response.answer.instance, Some(instance.clone()));
    assert_eq!(peer.kept("1.2.826.0.1.9.create"), Some(begun.clone()));
    assert_eq!(response.data, begun);
    for (number, status) in [(1, "IN PROGRESS "), (2, "COMPLETED ")] {
        let changed = attributes(status);
        let response = set_step(&mut caller, &context, &instance, &changed).await.expect("an answer");
        assert_eq!((response.answer.status, &response.data[..]), (Status::SUCCESS, &changed[..]));
        assert_eq!(peer.kept(&format!("1.2.826.0.1.9.set-{number}")), Some(changed));
    }
    // Without a UID the RIS gives one.
    let response = create_step(&mut caller, &context, None, &begun).await.expect("an answer");
    assert_eq!(response.answer.instance, Some(uid("1.2.826.0.1.77")));
    caller.release().await;
    peer.process.says("Explicit VR Little Endian SEALGATE", 1);
}

#[tokio::test]
async fn what_the_ris_says_against_a_step_comes_back_too() {
    let peer = RisPeer::start(&["--status=262"]);
    let front = Department::start(&ris(&peer, SERVES));
    let mut caller = front.call("CT", "SEALGATE", &steps()).await;
    let context = caller.context_of(&uid(PERFORMED_PROCEDURE_STEP)).expect("accepted");
    let response = create_step(&mut caller, &context, Some(&uid("1.2.3")), &attributes("DONE"))
        .await
        .expect("an answer");
    assert_eq!(response.answer.status, Status(0x0106));
    let comment = response.answer.comment.expect("a comment");
    assert_eq!(comment.as_written(), "the step is not as it should be");
    assert!(caller.is_free());
    caller.release().await;
}

#[tokio::test]
async fn a_ris_that_takes_implicit_vr_only_hears_the_same() {
    let peer = RisPeer::start(&["--implicit"]);
    let front = Department::start(&ris(&peer, SERVES));
    let explicit = TransferSyntax::by_uid(TransferSyntax::EXPLICIT_LITTLE).expect("known");
    let proposal = Proposal::new(uid(PERFORMED_PROCEDURE_STEP), vec![explicit]);
    let mut caller = front.call("CT", "SEALGATE", &[proposal]).await;
    let context = caller.context_of(&uid(PERFORMED_PROCEDURE_STEP)).expect("accepted");
    let begun = attributes("IN PROGRESS ");
    let response = create_step(&mut caller, &context, Some(&uid("1.2.3")), &begun).await.expect("an answer");
    assert_eq!(response.answer.status, Status::SUCCESS);
    let kept = peer.kept("1.2.3.create").expect("it came");
    let implicit: &[u8] = b"\x08\0\x05\0\x0A\0\0\0ISO_IR 192\x09\0\x10\0\x08\0\0\0MAKER 1 \x09\0\x01\x10\x04\0\0\0\xC3\xA4\xFF ";
    assert!(kept.starts_with(implicit), "{}", kept.escape_ascii());
    // Back in the modality's encoding; what the RIS wrote in Implicit VR has lost the VR of the private element.
    assert!(response.data.starts_with(b"\x08\0\x05\0CS\x0A\0ISO_IR 192"), "{}", response.data.escape_ascii());
    assert!(response.data.ends_with(b"\x40\0\x52\x02CS\x0C\0IN PROGRESS "));
    caller.release().await;
}

#[tokio::test]
async fn a_ris_that_is_down_is_a_failure_that_the_modality_hears() {
    let front = Department::start(&ris_at(free_port(), SERVES));
    let mut caller = front.call("CT", "SEALGATE", &steps()).await;
    let context = caller.context_of(&uid(PERFORMED_PROCEDURE_STEP)).expect("accepted");
    let response =
        create_step(&mut caller, &context, Some(&uid("1.2.3")), &attributes("X ")).await.expect("an answer");
    assert_eq!(response.answer.status, Status::PROCESSING_FAILURE);
    front.gateway.wait_for_log("procedure step not passed on");
    // The association is good for the next try.
    assert!(caller.is_free());
    caller.release().await;
}

#[tokio::test]
async fn each_called_title_has_its_ris_and_nobody_else_may_ask() {
    let (peer, other) = (RisPeer::start(&[]), RisPeer::start(&[]));
    let tables = [
        ris(&peer, &format!("{SERVES}\ncalled = [\"SEALGATE\"]\ncalling = \"FRONT\"")),
        ris(&other, &format!("{SERVES}\ncalled = [\"OTHER\"]")),
    ];
    let front = Department::start(&tables.concat());
    for called in ["SEALGATE", "OTHER"] {
        let mut caller = front.call("CT", called, &steps()).await;
        let context = caller.context_of(&uid(PERFORMED_PROCEDURE_STEP)).expect("accepted");
        let instance = uid(if called == "OTHER" { "1.2.2" } else { "1.2.1" });
        let response = create_step(&mut caller, &context, Some(&instance), &attributes("X ")).await;
        assert_eq!(response.expect("an answer").answer.status, Status::SUCCESS);
        caller.release().await;
    }
    assert!(peer.kept("1.2.1.create").is_some() && peer.kept("1.2.2.create").is_none());
    assert!(other.kept("1.2.2.create").is_some() && other.kept("1.2.1.create").is_none());
    peer.process.says(" FRONT", 1);
    for calling in ["STORES", "FINDS"] {
        let caller = front.call(calling, "SEALGATE", &steps()).await;
        let refused = caller.context_of(&uid(PERFORMED_PROCEDURE_STEP));
        assert!(matches!(refused, Err(Failure::NoContext { .. })), "{calling}");
        caller.release().await;
    }
}

#[tokio::test]
async fn a_gateway_without_a_route_and_without_keys_passes_steps_on_and_takes_no_image() {
    let peer = RisPeer::start(&[]);
    let front = Department::without_images(&ris(&peer, SERVES));
    let mut caller = front.call("CT", "SEALGATE", &steps()).await;
    let context = caller.context_of(&uid(PERFORMED_PROCEDURE_STEP)).unwrap();
    let created =
        create_step(&mut caller, &context, Some(&uid("1.2.3.4")), &attributes("IN PROGRESS ")).await;
    assert_eq!(created.expect("an answer").answer.status, Status::SUCCESS);
    caller.release().await;
    let mut samples = samples().into_iter();
    let is_native = |one: &Sample| one.instance.transfer_syntax.uid == TransferSyntax::EXPLICIT_LITTLE;
    let one = samples.find(is_native).expect("an image");
    let mut caller = front.call("STORES", "SEALGATE", &for_storing(&[one.instance.need()])).await;
    let stored = store(&mut caller, &one.instance, &mut one.data_set.clone()).await;
    assert!(
        matches!(stored, Err(Failure::Status(ref answer)) if answer.status == Status::OUT_OF_RESOURCES),
        "{stored:?}"
    );
    caller.release().await;
    front.gateway.wait_for_log("instance not taken in");
}
