//! What rules refuse to be, and whom they let in.

use super::*;
use crate::dicom::{Fingerprint, Identity, IdentityKind};
use crate::policy::{Acknowledge, CertificateName, Criteria, Identification, Right, WithoutPixels};

fn title(text: &str) -> AeTitle {
    AeTitle::parse(text).expect("a good title")
}

fn peer(name: &str, ae: &str, addresses: &[&str], may: &[Right]) -> Peer {
    Peer {
        name: name.into(),
        title: title(ae),
        addresses: addresses.iter().map(|a| AddressPattern::parse(a).expect("a good address")).collect(),
        may: may.iter().copied().collect(),
        called: BTreeSet::new(),
        associations_max: None,
        certificates: Vec::new(),
        without_open: crate::policy::WithoutOpen::Refuse,
        opens: Vec::new(),
        openings: None,
        transcode: true,
        receives: None,
        receives_tls: None,
        reports: None,
        reports_tls: None,
        identity: BTreeSet::new(),
    }
}

fn rules(peers: &[Peer]) -> Result<Rules, RulesError> {
    Rules::new(&[title("SEALGATE")], peers, &[], &[])
}

fn ask(rules: &Rules, calling: &str, called: &str, address: &str) -> Result<Permit, Refusal> {
    let (calling, called) = (title(calling), title(called));
    let address = address.parse().expect("an address");
    rules.admit(Caller {
        calling: &calling,
        called: &called,
        address,
        certificate: None,
        identity: None,
        user: None,
    })
}

#[test]
fn without_peers_everybody_is_refused() {
    let rules = rules(&[]).expect("good rules");
    assert_eq!(
        ask(&rules, "CT1", "SEALGATE", "127.0.0.1").unwrap_err(),
        Refusal::UnknownCalling(title("CT1"))
    );
}

#[test]
fn title_address_and_called_title_must_all_fit() {
    let rules = rules(&[peer("ct", "CT1", &["192.0.2.0/28", "2001:db8::7"], &[Right::Echo])]).expect("good");
    assert_eq!(ask(&rules, "CT1", "SEALGATE", "192.0.2.15").expect("let in").peer().name, "ct");
    assert!(ask(&rules, "CT1", "SEALGATE", "::ffff:192.0.2.3").is_ok(), "an IPv4 address seen through IPv6");
    assert!(ask(&rules, "CT1", "SEALGATE", "2001:db8::7").is_ok());
    assert!(matches!(ask(&rules, "CT1", "SEALGATE", "192.0.2.16"), Err(Refusal::WrongAddress { .. })));
    assert!(matches!(ask(&rules, "ct1", "SEALGATE", "192.0.2.1"), Err(Refusal::UnknownCalling(_))));
    assert!(matches!(ask(&rules, "CT1", "PACS", "192.0.2.1"), Err(Refusal::WrongCalled { .. })));
}

#[test]
fn a_host_name_covers_only_what_it_resolved_to() {
    let rules = rules(&[peer("ct", "CT1", &["ct1.example"], &[])]).expect("good");
    assert!(ask(&rules, "CT1", "SEALGATE", "192.0.2.1").is_err(), "not resolved yet");
    let hosts = HostTable::from([("ct1.example".into(), ["192.0.2.1".parse().expect("an address")].into())]);
    let rules = rules.with_hosts(hosts);
    assert!(ask(&rules, "CT1", "SEALGATE", "192.0.2.1").is_ok());
    assert!(ask(&rules, "CT1", "SEALGATE", "192.0.2.2").is_err());
}

#[test]
fn two_peers_may_share_a_title_but_not_an_address() {
    let one = peer("one", "CT", &["192.0.2.0/25"], &[Right::Echo]);
    let two = peer("two", "CT", &["192.0.2.128/25"], &[]);
    let both = rules(&[one.clone(), two]).expect("no overlap");
    assert_eq!(ask(&both, "CT", "SEALGATE", "192.0.2.200").expect("let in").peer().name, "two");
    let clash = peer("clash", "CT", &["192.0.2.7"], &[]);
    assert!(matches!(rules(&[one, clash]), Err(RulesError::PeersOverlap { .. })));
}

#[test]
fn a_peer_may_be_held_to_some_of_the_titles() {
    let mut ct = peer("ct", "CT1", &["192.0.2.1"], &[]);
    ct.called = [title("RESEARCH")].into();
    assert!(matches!(rules(std::slice::from_ref(&ct)), Err(RulesError::UnknownCalled { .. })));
    let rules = Rules::new(&[title("SEALGATE"), title("RESEARCH")], &[ct], &[], &[]).expect("good");
    assert!(ask(&rules, "CT1", "RESEARCH", "192.0.2.1").is_ok());
    assert!(matches!(ask(&rules, "CT1", "SEALGATE", "192.0.2.1"), Err(Refusal::WrongCalled { .. })));
}

#[test]
fn a_permit_covers_what_the_peer_may_and_nothing_else() {
    let rules = rules(&[peer("ct", "CT1", &["192.0.2.1"], &[Right::Echo, Right::Store])]).expect("good");
    let permit = ask(&rules, "CT1", "SEALGATE", "192.0.2.1").expect("let in");
    assert!(permit.require(Right::Store).is_ok());
    assert_eq!(permit.require(Right::Open), Err(Refusal::NoRight { peer: "ct".into(), right: Right::Open }));
}

#[test]
fn a_claimed_user_is_known_and_gives_no_right() {
    let rules = rules(&[peer("ws", "WS", &["192.0.2.1"], &[Right::Echo])]).expect("good");
    let identity = Identity {
        kind: IdentityKind::NameAndPasscode,
        primary: b"root".to_vec().into(),
        secondary: b"secret".to_vec().into(),
        wants_answer: false,
    };
    let (calling, called) = (title("WS"), title("SEALGATE"));
    let address = "192.0.2.1".parse().expect("an address");
    let asked = Caller {
        calling: &calling,
        called: &called,
        address,
        certificate: None,
        identity: Some(&identity),
        user: None,
    };
    let permit = rules.admit(asked).expect("let in");
    assert_eq!(permit.claims(), Some(IdentityKind::NameAndPasscode));
    assert!(permit.require(Right::Open).is_err());
    assert_eq!(format!("{identity:?}"), "Identity(NameAndPasscode, secret)");
}

fn certificate(name: &str, number: u8) -> Certificate {
    Certificate {
        fingerprint: Fingerprint::new([number; 32]),
        key_fingerprint: Fingerprint::new([number + 100; 32]),
        subject: format!("CN={name},O=Clinic"),
        common_names: vec![name.to_owned()],
        alternative_names: vec![format!("{name}.clinic.example")],
    }
}

fn show(rules: &Rules, calling: &str, shown: Option<&Certificate>) -> Result<Permit, Refusal> {
    let (calling, called) = (title(calling), title("SEALGATE"));
    let address = "192.0.2.1".parse().expect("an address");
    rules.admit(Caller {
        calling: &calling,
        called: &called,
        address,
        certificate: shown,
        identity: None,
        user: None,
    })
}

#[test]
fn a_peer_that_names_certificates_shows_one_of_them() {
    let (own, other) = (certificate("ct", 1), certificate("mr", 2));
    for name in [
        CertificateName::Fingerprint(own.fingerprint),
        CertificateName::KeyFingerprint(own.key_fingerprint),
        CertificateName::AlternativeName("CT.clinic.example".to_owned()),
        CertificateName::CommonName("ct".to_owned()),
        CertificateName::Subject("CN=ct,O=Clinic".to_owned()),
    ] {
        let mut ct = peer("ct", "CT1", &["192.0.2.1"], &[Right::Echo]);
        // An old one beside it, as while certificates are replaced.
        ct.certificates = vec![CertificateName::CommonName("old".to_owned()), name.clone()];
        let rules = rules(&[ct]).expect("good");
        assert!(show(&rules, "CT1", Some(&own)).is_ok(), "{name:?}");
        assert!(
            matches!(show(&rules, "CT1", Some(&other)), Err(Refusal::WrongCertificate { .. })),
            "{name:?}"
        );
        assert!(matches!(show(&rules, "CT1", None), Err(Refusal::NoCertificate { .. })), "{name:?}");
    }
}

#[test]
fn a_certificate_of_one_peer_opens_no_title_of_another() {
    let (own, nobodys) = (certificate("ct", 1), certificate("new", 3));
    let mut ct = peer("ct", "CT1", &["192.0.2.1"], &[Right::Echo]);
    ct.certificates = vec![CertificateName::CommonName("ct".to_owned())];
    // This one names no certificate: a title and an address are enough, but not somebody else's certificate.
    let mr = peer("mr", "MR1", &["192.0.2.1"], &[Right::Echo]);
    let rules = rules(&[ct, mr]).expect("good");
    assert!(matches!(show(&rules, "MR1", Some(&own)), Err(Refusal::WrongCertificate { .. })));
    assert!(show(&rules, "MR1", Some(&nobodys)).is_ok());
    assert!(show(&rules, "MR1", None).is_ok());
}

#[test]
fn a_certificate_without_a_name_is_no_rule() {
    let mut ct = peer("ct", "CT1", &["192.0.2.1"], &[]);
    ct.certificates = vec![CertificateName::Subject(String::new())];
    assert!(matches!(rules(&[ct]), Err(RulesError::EmptyCertificateName(_))));
}

#[test]
fn a_user_is_demanded_and_narrows_what_its_peer_may() {
    let mut ws = peer("ws", "WS", &["192.0.2.1"], &[Right::Echo, Right::Find, Right::Open]);
    ws.identity = [Identification::Password].into();
    let rules = rules(&[ws]).expect("good");
    let (calling, called) = (title("WS"), title("SEALGATE"));
    let address = "192.0.2.1".parse().expect("an address");
    let admit = |user: Option<&User>| {
        rules.admit(Caller {
            calling: &calling,
            called: &called,
            address,
            certificate: None,
            identity: None,
            user,
        })
    };
    let words = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
    assert!(matches!(admit(None), Err(Refusal::NoUser { .. })));
    let token = User::new("alice", IdentityKind::Jwt, None);
    assert!(matches!(admit(Some(&token)), Err(Refusal::NoUser { .. })), "not in this way");
    let alice = User::new("alice", IdentityKind::NameAndPasscode, words(&["find", "store", "fly"]));
    let permit = admit(Some(&alice)).expect("let in");
    assert_eq!(permit.user(), Some("alice"));
    assert!(permit.covers(Right::Find));
    assert!(!permit.covers(Right::Open), "narrowed");
    let noon = crate::policy::Moment { unix: 0, day: 0, minute: 720 };
    let access = permit.access(&rules);
    assert!(access.check(noon, &crate::policy::Grants::default()).is_err(), "for retrievals too");
    assert!(!permit.clone().in_emergency().covers(Right::Get), "and in an emergency");
    assert!(!permit.covers(Right::Store), "and not widened");
    let bob = User::new("bob", IdentityKind::NameAndPasscode, None);
    assert!(admit(Some(&bob)).expect("let in").covers(Right::Open));
}

#[test]
fn a_route_adds_its_called_titles_and_must_lead_somewhere() {
    let pacs = Destination::new("pacs", "PACS@pacs:104".parse().expect("good"));
    let mut route = Route {
        name: "research".into(),
        calling: BTreeSet::new(),
        called: [title("RESEARCH")].into(),
        modality: ["CT".to_owned()].into(),
        sop_class: BTreeSet::new(),
        station: BTreeSet::new(),
        destinations: vec!["pasc".into()],
        acknowledge: Acknowledge::default(),
        without_pixels: WithoutPixels::default(),
        suite: "deepkeygen".to_owned(),
    };
    let titles = [title("SEALGATE")];
    let error =
        Rules::new(&titles, &[], std::slice::from_ref(&pacs), std::slice::from_ref(&route)).unwrap_err();
    assert!(error.to_string().ends_with("did you mean \"pacs\"?"), "{error}");
    route.destinations = vec!["pacs".into()];
    let rules =
        Rules::new(&titles, &[], std::slice::from_ref(&pacs), std::slice::from_ref(&route)).expect("good");
    assert_eq!(rules.titles(), [title("SEALGATE"), title("RESEARCH")]);

    let class = "1.2.840.10008.5.1.4.1.1.2".parse().expect("a UID");
    let mut instance = Instance {
        calling: &title("CT1"),
        called: &title("RESEARCH"),
        modality: Some("CT"),
        sop_class: &class,
        station: None,
    };
    assert_eq!(rules.route(&instance).map(|r| r.name.as_str()), Some("research"));
    instance.modality = Some("MR");
    assert!(rules.route(&instance).is_none());
}

#[test]
fn a_procedure_step_has_one_place_and_a_worklist_may_have_several() {
    let ris = |name: &str, called: &[&str], serves: &[Serves]| Ris {
        name: name.into(),
        address: "RIS@ris:104".parse().expect("good"),
        calling: None,
        tls: None,
        server_name: None,
        called: called.iter().map(|text| title(text)).collect(),
        serves: serves.iter().copied().collect(),
    };
    let titles = [title("CTGATE"), title("MRGATE")];
    let with = |all: &[Ris]| Rules::new(&titles, &[], &[], &[]).expect("good").with_ris(all);
    let both = [Serves::Worklist, Serves::Mpps];
    let (ct, mr) = (ris("ct", &["CTGATE"], &both), ris("mr", &["MRGATE"], &both));
    let more = ris("more", &[], &[Serves::Worklist]);
    let rules = with(&[ct.clone(), mr, more]).expect("each has its own");
    let serving =
        |service| -> Vec<String> { rules.serving(service, &titles[0]).map(|one| one.name.clone()).collect() };
    assert_eq!(
        (serving(Serves::Mpps), serving(Serves::Worklist)),
        (vec!["ct".into()], vec!["ct".into(), "more".into()])
    );
    let overlap = with(&[ct, ris("all", &[], &both)]);
    assert!(matches!(overlap, Err(RulesError::StepsOverlap { .. })), "{overlap:?}");
    assert!(matches!(with(&[ris("none", &[], &[])]), Err(RulesError::ServesNothing(_))));
    assert!(matches!(with(&[ris("x", &["OTHER"], &both)]), Err(RulesError::UnknownRisCalled { .. })));
}

#[test]
fn conditions_that_say_nothing_or_cannot_hold_are_no_rules() {
    let mut ws = peer("ws", "WS", &["192.0.2.1"], &[Right::Get]);
    ws.opens = vec![Criteria { study_days_max: Some(30), ..Criteria::default() }];
    assert!(matches!(rules(std::slice::from_ref(&ws)), Err(RulesError::OpensWithoutRight(_))));
    ws.may.insert(Right::Open);
    assert!(rules(std::slice::from_ref(&ws)).is_ok());
    ws.opens[0].routes = vec!["hearts".to_owned()];
    assert!(matches!(rules(std::slice::from_ref(&ws)), Err(RulesError::UnknownRoute { .. })));
    ws.opens = vec![Criteria::default()];
    assert!(matches!(rules(&[ws]), Err(RulesError::OpensEverything(_))));
}

#[test]
fn a_destination_that_takes_over_is_another_and_is_asked_too() {
    let pacs = |name: &str, fallback: Option<&str>| Destination {
        fallback: fallback.map(str::to_owned),
        ..Destination::new(name, "PACS@pacs:104".parse().expect("good"))
    };
    let route = serde_json::json!({ "name": "all", "destinations": ["one"] });
    let route: Route = serde_json::from_value(route).expect("good");
    let rules = |destinations: &[Destination]| {
        Rules::new(&[title("SEALGATE")], &[], destinations, std::slice::from_ref(&route))
    };
    let wrong = [
        [pacs("one", Some("one")), pacs("two", None)],
        [pacs("one", Some("three")), pacs("two", None)],
        [pacs("one", Some("two")), pacs("two", Some("one"))],
    ];
    for destinations in wrong {
        assert!(matches!(rules(&destinations), Err(RulesError::BadFallback { .. })), "{destinations:?}");
    }
    let rules = rules(&[pacs("one", Some("two")), pacs("two", None), pacs("three", None)]).expect("good");
    let names: Vec<&str> = rules.sources(&title("SEALGATE")).iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["one", "two"]);
}

#[test]
fn a_gateway_needs_a_title() {
    assert_eq!(Rules::new(&[], &[], &[], &[]).unwrap_err(), RulesError::NoTitle);
}
