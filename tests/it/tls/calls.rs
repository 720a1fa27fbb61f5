//! Calls to configured destinations: each in the way that its configuration says, and no other.

use std::sync::Arc;

use sealgate::association::{self, Proposal};
use sealgate::dicom::{AeAddress, AeTitle, TransferSyntax, Uid, VERIFICATION};
use sealgate::scu::{Caller, Config, Destination, Failure, Switchboard};
use sealgate::settings::{Settings, Source, load};
use sealgate::tls::Profiles;

use super::clinic;
use super::pki::{Pki, Wanted};
use crate::gateway::{ECHO_PEER, Gateway};

/// Settings from this text.
fn settings(text: &str) -> Settings {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, text).expect("written");
    let settings = load(&Source { file: Some(file), ..Source::default() }).expect("a good file");
    settings.rules().expect("good rules");
    settings
}

fn address(gateway: &Gateway, host: &str) -> AeAddress {
    AeAddress::parse(&format!("SEALGATE@{host}:{}", gateway.address.port())).expect("an address")
}

/// Whether an association to this address comes about, as `calling`.
async fn call(switchboard: &Switchboard, address: &AeAddress, calling: &str) -> Result<(), Failure> {
    let to = Destination { address: address.clone(), calling: AeTitle::parse(calling).expect("a title") };
    let class = Uid::parse(VERIFICATION).expect("a UID");
    let syntaxes = TransferSyntax::by_uid(TransferSyntax::IMPLICIT_LITTLE).into_iter().collect();
    let proposals = [Proposal::new(class, syntaxes)];
    let door = association::Config::default();
    let caller = Caller::associate(switchboard, &to, &proposals, &door, &Arc::new(Config::default())).await?;
    caller.release().await;
    Ok(())
}

#[tokio::test]
async fn each_destination_is_called_as_configured_and_nobody_else_at_all() {
    let pki = Pki::new();
    pki.client("ct");
    let (tls, plain) = (Gateway::start(&clinic(&pki, "")), Gateway::start(ECHO_PEER));
    let folder = pki.folder().display();
    let profile = format!(
        "[[tls]]\nname = \"out\"\ncertificate = \"{folder}/ct.pem\"\nkey = \"{folder}/ct.key\"\nca = \"{folder}/ca.pem\"\n"
    );
    let destination = |name: &str, address: &AeAddress, more: &str| {
        format!("[[destinations]]\nname = \"{name}\"\naddress = \"{address}\"\n{more}\n")
    };
    // One host, three names: so that one port stands for three destinations.
    let (good, misnamed) = (address(&tls, "localhost"), address(&tls, "127.0.0.1"));
    let clear = address(&plain, "localhost");
    let text = [
        profile,
        destination("good", &good, "tls = \"out\"\nserver_name = \"gateway.clinic.example\""),
        destination("misnamed", &misnamed, "tls = \"out\"\nserver_name = \"pacs.example\""),
        destination("clear", &clear, ""),
    ]
    .concat();
    let settings = settings(&text);
    let profiles = Profiles::load(&settings.tls, &Profiles::default()).expect("good files");
    let switchboard = Switchboard::default();
    switchboard.replace(settings.ways(&profiles).expect("good names"));

    call(&switchboard, &good, "CT").await.expect("associated through TLS");
    call(&switchboard, &clear, "TESTER").await.expect("associated in clear");
    let Err(Failure::Tls(words)) = call(&switchboard, &misnamed, "CT").await else { panic!("a wrong name") };
    assert!(words.contains("pacs.example"), "{words}");
    let stranger = address(&plain, "127.0.0.1");
    assert!(matches!(call(&switchboard, &stranger, "TESTER").await, Err(Failure::Tls(_))), "never in clear");
}

#[test]
fn a_name_that_no_certificate_can_have_is_refused_in_the_configuration() {
    let pki = Pki::new();
    pki.issue("gateway", &Wanted::default());
    let text = format!(
        "{}[[destinations]]\nname = \"d\"\naddress = \"D@h:104\"\ntls = \"clinic\"\nserver_name = \"no name\"\n",
        pki.profile("")
    );
    let settings = settings(&text);
    let profiles = Profiles::load(&settings.tls, &Profiles::default()).expect("good files");
    let error = settings.ways(&profiles).expect_err("a bad name").to_string();
    assert!(error.contains("destination d") && error.contains("no name"), "{error}");
}
