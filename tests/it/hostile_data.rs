//! Hostile data sets stored through the whole gateway, in clear and through mutual TLS: the same answers, and it lives.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

use sealgate::association::{Command, Config, Ending, Proposal, Transport, request_via};
use sealgate::dicom::{AeAddress, AeTitle, Status, TransferSyntax, Uid};
use sealgate::tls::{Place, Profile, Profiles};

use crate::gateway::Gateway;
use crate::keys::command::Site;
use crate::scan::hostile;
use crate::tls::pki::{Pki, TLS_LISTENER};

const CT: &str = "1.2.840.10008.5.1.4.1.1.2";

/// A gateway that seals for a PACS that is away, with a listener in clear and one for the certificate `tester`.
fn gateway(pki: &Pki) -> (Site, Gateway) {
    pki.client("tester");
    let site = Site::new();
    assert!(site.sealgate(&["keys", "init", "--algorithm", "ecdh-p256"]).status.success());
    let config = fs::read_to_string(site.path("gateway.toml")).unwrap();
    let peer = |name: &str, more: &str| {
        format!(
            "[[peers]]\nname = \"{name}\"\ntitle = \"{name}\"\naddresses = [\"127.0.0.1\"]\nmay = [\"echo\", \"store\"]\n{more}"
        )
    };
    let config = format!(
        "{config}[association]\nassociations_per_address_max = 1000\nassociations_per_peer_max = 1000\n[spool]\nfolder = {:?}\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\n{TLS_LISTENER}{}{}{}\
         [[destinations]]\nname = \"away\"\naddress = \"AWAY@127.0.0.1:9\"\n\
         [[routes]]\nname = \"all\"\ndestinations = [\"away\"]\n",
        site.path("spool"),
        pki.profile(""),
        peer("PLAIN", ""),
        peer("SECURE", "certificates = [{ common_name = \"tester\" }]\n"),
    );
    let gateway = Gateway::start(&config);
    (site, gateway)
}

fn transport(pki: &Pki) -> Transport {
    let place = |name: &str| Some(Place::File(pki.path(name)));
    let profile = Profile {
        name: "tester".to_owned(),
        certificate: place("tester.pem"),
        key: place("tester.key"),
        ca: place("ca.pem"),
        crls: Vec::new(),
    };
    let profiles = Profiles::load(&[profile], &Profiles::default()).unwrap();
    Transport::Tls(profiles.client("tester", None).unwrap().unwrap())
}

/// What a store of this data set is answered with: a status, or the end of the association.
async fn store(
    address: &AeAddress,
    calling: &str,
    transport: &Transport,
    syntax: &str,
    data: &[u8],
) -> String {
    let (class, instance) = (Uid::parse(CT).unwrap(), Uid::parse("1.2.3.4").unwrap());
    let proposals = [Proposal::new(class.clone(), TransferSyntax::by_uid(syntax).into_iter().collect())];
    let (calling, config) = (AeTitle::parse(calling).unwrap(), Arc::new(Config::default()));
    let asked = request_via(transport, address, &calling, &proposals, &config, Ending::never());
    let mut association = asked.await.expect("associated");
    let command = Command::store(1, &class, &instance);
    // The door may end it before it has all.
    let _ = association.send_with_data(1, &command, data).await;
    let answer = match association.receive().await {
        Ok(Some(answer)) => {
            answer.command.status().map_or("no status".to_owned(), |status| status.to_string())
        }
        Ok(None) => "released".to_owned(),
        Err(error) => return format!("ended: {error}"),
    };
    let _ = association.release().await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hostile_data_set_gets_the_same_answer_in_clear_and_through_tls() {
    let pki = Pki::new();
    let (_site, gateway) = gateway(&pki);
    let [plain, tls] = [0, 1]
        .map(|at| AeAddress::parse(&format!("SEALGATE@localhost:{}", gateway.addresses[at].port())).unwrap());
    let secure = transport(&pki);
    let mut wrong = BTreeMap::new();
    for (name, encoding, outcome, bytes) in hostile() {
        let syntax = crate::scan::syntax_of(encoding);
        let in_clear = store(&plain, "PLAIN", &Transport::Plain, syntax, &bytes).await;
        let through_tls = store(&tls, "SECURE", &secure, syntax, &bytes).await;
        // A data set that is whole may still be no CT image of that UID; a damaged one is never taken.
        let taken = Status::SUCCESS.to_string();
        if in_clear != through_tls || (outcome != "ok" && in_clear == taken) {
            wrong.insert(name, (in_clear, through_tls));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}\n{}", gateway.log());
    assert_eq!(gateway.echo("PLAIN", "SEALGATE").0, 0, "it lives");
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}
