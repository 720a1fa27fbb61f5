//! Errors of what goes over the wire: names, associations, services, TLS, identities, permits, codecs.

use std::net::IpAddr;

use sealgate::association::{self, Rejected};
use sealgate::dicom::{AeAddressError, AeTitleError, Fingerprint, IdentityKind, Status, UidError};
use sealgate::identity::{IdentityError, Unverified};
use sealgate::policy::{AddressPattern, Hours, OpeningRate, Refusal, Right, RulesError};
use sealgate::scu::{self, Answer, ElementsError, Failure};
use sealgate::seal::scan::ScanError;
use sealgate::tls::{ConfigError as ProfileError, HandshakeError, LoadError, Place};
use sealgate::transcode::TranscodeError;

use super::{GIVEN, PEER, PLAIN, SAME, Shown, catalogue, io, one, path, tag, title, uid};

type AssociationError = association::Error;

pub(super) fn shown() -> Vec<Shown> {
    let mut out = Vec::new();
    names(&mut out);
    associations(&mut out);
    services(&mut out);
    tls(&mut out);
    rules(&mut out);
    people(&mut out);
    out
}

fn names(out: &mut Vec<Shown>) {
    catalogue!(out, "dicom::AeAddressError", AeAddressError;
        NoTitle: AeAddressError::NoTitle => "write it as AE@host:port",
        Title: AeTitleError::Empty.into() => SAME,
        NoHost: AeAddressError::NoHost => "write it as AE@host:port",
        BadPort: AeAddressError::BadPort => "port 1 to 65535",
    );
    catalogue!(out, "dicom::AeTitleError", AeTitleError;
        Empty: AeTitleError::Empty => PLAIN,
        TooLong: AeTitleError::TooLong(20) => "the limit is 16",
        BadCharacter: AeTitleError::BadCharacter(7) => "only printable ASCII",
    );
    catalogue!(out, "dicom::UidError", UidError;
        Empty: UidError::Empty => PLAIN,
        TooLong: UidError::TooLong(70) => "the limit is 64",
        BadCharacter: UidError::BadCharacter { byte: b'/', position: 3 } => "only digits and dots",
        EmptyComponent: UidError::EmptyComponent => PLAIN,
    );
    out.push(one("dicom::FingerprintError", &Fingerprint::parse("12").unwrap_err(), "openssl x509"));
    out.push(one("policy::HoursError", &Hours::parse("noon").unwrap_err(), "write it as"));
    out.push(one("policy::AddressPatternError", &AddressPattern::parse("a b").unwrap_err(), "192.0.2.0/24"));
    out.push(one("tls::PlaceError", &Place::parse("").unwrap_err(), "credential:NAME"));
}

fn associations(out: &mut Vec<Shown>) {
    let rejected = Rejected { result: 1, source: 1, reason: 3 };
    catalogue!(out, "association::Error", AssociationError;
        Io: AssociationError::Io(io()) => PEER,
        Tls: HandshakeError::NotTls(1).into() => SAME,
        Closed: AssociationError::Closed("before the answer") => PEER,
        Aborted: AssociationError::Aborted { by: 2, reason: 1 } => PEER,
        Rejected: AssociationError::Rejected(rejected) => PEER,
        Released: AssociationError::Released("a C-GET") => PEER,
        TooSlow: AssociationError::TooSlow { what: "to answer", seconds: 30 } => PEER,
        UnknownPdu: AssociationError::UnknownPdu(b'G') => PEER,
        UnexpectedPdu: AssociationError::UnexpectedPdu { found: "P-DATA-TF", state: "before a request" } => PEER,
        PduTooLarge: AssociationError::PduTooLarge { length: 300_000, max: 262_144 } => "the limit is 262144",
        Misplaced: AssociationError::Misplaced("a data set where a command was expected".to_owned()) => GIVEN,
        Malformed: AssociationError::Malformed("an item of 3 bytes".to_owned()) => GIVEN,
        Command: AssociationError::Command("no Message ID".to_owned()) => PEER,
        HalfSent: AssociationError::HalfSent => PLAIN,
        SourceBroke: AssociationError::SourceBroke("the disk".to_owned()) => PLAIN,
        NoContext: AssociationError::NoContext("CT Image Storage".to_owned()) => PEER,
        Ending: AssociationError::Ending => PLAIN,
    );
    let config = association::Config { artim_seconds: 0, ..association::Config::default() };
    out.push(one("bounds::OutOfBounds", &config.check().unwrap_err(), "it must be from 1"));
    let config = scu::Config { answer_seconds: 0, ..scu::Config::default() };
    out.push(one("bounds::OutOfBounds", &config.check().unwrap_err(), "it must be from 1"));
}

fn services(out: &mut Vec<Shown>) {
    let rejected = Rejected { result: 1, source: 1, reason: 3 };
    let answer =
        Answer { status: Status::PROCESSING_FAILURE, comment: None, offending: Vec::new(), instance: None };
    catalogue!(out, "scu::Failure", Failure + advice;
        Refused: Failure::Refused(rejected) => "Check both AE titles",
        Aborted: Failure::Aborted { by: 2, reason: 0 } => "log says why",
        Connection: Failure::Connection(AssociationError::Io(io())) => "Check the address",
        Tls: Failure::Tls("unknown CA".to_owned()) => "whom each side trusts",
        NoContext: Failure::NoContext { class: uid(), how: "in any transfer syntax".to_owned() } => "Let the peer accept",
        TimedOut: Failure::TimedOut { what: "to answer", seconds: 60 } => "the limits stand in",
        Status: Failure::Status(Box::new(answer)) => "log says more",
        Protocol: Failure::Protocol("two answers".to_owned()) => "Tell the peer's maker",
        Source: Failure::Source(io()) => "Check the disk",
        Unfinished: Failure::Unfinished => "report it",
        Ending: Failure::Ending => "Nothing is wrong",
    );
    catalogue!(out, "scu::ElementsError", ElementsError;
        Encoding: ElementsError::Encoding => PEER,
        TooLong: ElementsError::TooLong(tag(), 9, 2) => PEER,
        NoHeader: ElementsError::NoHeader(3) => PEER,
        Misplaced: ElementsError::Misplaced(tag()) => PEER,
        TooDeep: ElementsError::TooDeep => PEER,
        Missing: ElementsError::Missing(tag()) => PEER,
        Value: ElementsError::Value(tag()) => PEER,
    );
    catalogue!(out, "transcode::TranscodeError", TranscodeError;
        Syntax: TranscodeError::Syntax("MPEG2MPML") => "let the receiver take",
        NoEncoder: TranscodeError::NoEncoder("HTJ2KLossless") => "let the receiver take",
        Unfit: TranscodeError::Unfit { syntax: "JPEGXLLossless", what: "Bits Allocated", value: "32".to_owned() } => "let the receiver take",
        NotTheSame: TranscodeError::NotTheSame => SAME,
        Scan: ScanError::Empty.into() => SAME,
        Element: TranscodeError::Element(tag()) => PEER,
        NoPixels: TranscodeError::NoPixels => PLAIN,
        Attribute: TranscodeError::Attribute { tag: tag() } => PEER,
        TooLarge: TranscodeError::TooLarge { bytes: 9, max: 8 } => "release.transcoded_bytes_max",
        Fragments: TranscodeError::Fragments { fragments: 3, frames: 2 } => PEER,
        Frame: TranscodeError::Frame { have: "8 x 8".to_owned(), wanted: "9 x 9".to_owned() } => PEER,
        Photometric: TranscodeError::Photometric("XYZ".to_owned()) => PEER,
        Codec: TranscodeError::Codec("no frame header".to_owned()) => PEER,
        Panicked: TranscodeError::Panicked => PEER,
    );
}

fn tls(out: &mut Vec<Shown>) {
    let place = || Place::parse("/etc/sealgate/tls/key.pem").unwrap();
    catalogue!(out, "tls::LoadError", LoadError;
        Unreadable: LoadError::Unreadable { place: place(), error: io() } => "check the path",
        NoCredentials: LoadError::NoCredentials { place: place() } => "LoadCredential=",
        TooLarge: LoadError::TooLarge { place: place(), bytes: 9, max: 8 } => "is it the right file?",
        Nothing: LoadError::Nothing { place: place(), wanted: "certificate", hint: "" } => "has no certificate in it",
        Bad: LoadError::Bad { place: place(), reason: "it is no PEM".to_owned() } => "put a file there",
        Mismatch: LoadError::Mismatch { certificate: place(), key: place() } => "replace both together",
        Setup: LoadError::Setup("no suite".to_owned()) => "check the profile's",
        Profile: ProfileError::NoName.into() => SAME,
    );
    catalogue!(out, "tls::HandshakeError", HandshakeError;
        PlainDicom: HandshakeError::PlainDicom => "switch TLS on there",
        NotTls: HandshakeError::NotTls(0x47) => PEER,
        AnswersPlain: HandshakeError::AnswersPlain => "use its TLS port",
        Closed: HandshakeError::Closed("") => PEER,
        Certificate: HandshakeError::Certificate("has expired".to_owned()) => PEER,
        NoCertificate: HandshakeError::NoCertificate => PEER,
        Alert: HandshakeError::Alert { alert: "unknown_ca".to_owned(), hint: ": it does not know our CA" } => PEER,
        Incompatible: HandshakeError::Incompatible("no suite".to_owned()) => "we take TLS 1.2 and 1.3",
        BadName: HandshakeError::BadName("a b".to_owned()) => "set server_name",
        Failed: HandshakeError::Failed("bad record".to_owned()) => PEER,
    );
    let text = || "ris".to_owned();
    catalogue!(out, "tls::ConfigError", ProfileError;
        NameTwice: ProfileError::NameTwice(text()) => "give each a name of its own",
        NoName: ProfileError::NoName => "give it one",
        Half: ProfileError::Half { profile: text(), has: "certificate", lacks: "key" } => "give both, or neither",
        CrlsWithoutCa: ProfileError::CrlsWithoutCa(text()) => "name the CA",
        Unknown: ProfileError::Unknown { user: text(), name: text(), hint: "; did you mean \"pacs\"?".to_owned() } => "did you mean",
        Lacks: ProfileError::Lacks { user: text(), profile: text(), lacks: "ca" } => "add it to the profile",
    );
}

fn rules(out: &mut Vec<Shown>) {
    let text = || "pacs".to_owned();
    catalogue!(out, "policy::RulesError", RulesError;
        NoTitle: RulesError::NoTitle => "set titles",
        NameTwice: RulesError::NameTwice { kind: "peer", name: text() } => "give each peer a name",
        BadName: RulesError::BadName { kind: "peer", name: text() } => "use 1 to 64 letters",
        NoAddress: RulesError::NoAddress(text()) => "list an IP address",
        PeersOverlap: RulesError::PeersOverlap { first: text(), second: text(), title: title(), address: text() } => "make one peer of them",
        NoOpenings: RulesError::NoOpenings(text()) => "give per_minute and burst at least 1",
        EmptyCertificateName: RulesError::EmptyCertificateName(text()) => "leave it out",
        NameWithoutTls: RulesError::NameWithoutTls(text()) => "name a tls profile",
        BadFallback: RulesError::BadFallback { destination: text(), fallback: text(), problem: "is the destination itself" } => GIVEN,
        UnknownCalled: RulesError::UnknownCalled { peer: text(), title: title() } => "add it to titles",
        ReceiversOverlap: RulesError::ReceiversOverlap { first: text(), second: text(), title: title() } => "give one another title",
        OpensWithoutRight: RulesError::OpensWithoutRight(text()) => "add \"open\" to may",
        OpensEverything: RulesError::OpensEverything(text()) => "leave opens out",
        UnknownRoute: RulesError::UnknownRoute { peer: text(), route: text(), hint: "; did you mean \"all\"?".to_owned() } => "did you mean",
        TlsWithoutReceiver: RulesError::TlsWithoutReceiver(text()) => "say where it listens",
        UnknownRisCalled: RulesError::UnknownRisCalled { ris: text(), title: title() } => "add it to titles",
        ServesNothing: RulesError::ServesNothing(text()) => "set serves",
        StepsOverlap: RulesError::StepsOverlap { first: text(), second: text() } => "give each its own called titles",
        RisNameWithoutTls: RulesError::RisNameWithoutTls(text()) => "name a tls profile",
        TlsWithoutReports: RulesError::TlsWithoutReports(text()) => "say where it listens",
        ReadBackByMove: RulesError::ReadBackByMove(text()) => "set retrieve",
        NoDestination: RulesError::NoDestination(text()) => "name at least one",
        UnknownDestination: RulesError::UnknownDestination { route: text(), name: text(), hint: "; did you mean \"a\"?".to_owned() } => "did you mean",
    );
    let (peer, address) = (|| "viewer".to_owned(), IpAddr::from([192, 0, 2, 1]));
    catalogue!(out, "policy::Refusal", Refusal;
        UnknownCalling: Refusal::UnknownCalling(title()) => PEER,
        WrongAddress: Refusal::WrongAddress { title: title(), address } => PEER,
        NoCertificate: Refusal::NoCertificate { peer: peer() } => "has to show a certificate",
        WrongCertificate: Refusal::WrongCertificate { peer: peer(), certificate: "CN=x".to_owned() } => PEER,
        NoUser: Refusal::NoUser { peer: peer(), claimed: Some(IdentityKind::Saml) } => "has to identify itself",
        WrongCalled: Refusal::WrongCalled { peer: peer(), title: title() } => PEER,
        NoRight: Refusal::NoRight { peer: peer(), right: Right::Echo } => PEER,
        TooMany: Refusal::TooMany { peer: peer(), rate: OpeningRate { per_minute: 1, burst: 2 } } => PEER,
        NotThese: Refusal::NotThese { peer: peer() } => PEER,
    );
}

fn people(out: &mut Vec<Shown>) {
    catalogue!(out, "identity::IdentityError", IdentityError;
        Config: IdentityError::Config("identity.jwt.issuer is empty: name it".to_owned()) => GIVEN,
        File: IdentityError::File { path: path(), error: io() } => "check the path",
        Line: IdentityError::Line { path: path(), line: 3, reason: "it has no hash".to_owned() } => "sealgate users hash NAME",
        Key: IdentityError::Key(path()) => "give a PEM file",
        Password: IdentityError::Password("a password has at least 12 characters".to_owned()) => GIVEN,
    );
    catalogue!(out, "identity::Unverified", Unverified;
        Password: Unverified::Password => PEER,
        Token: Unverified::Token("it has expired".to_owned()) => PEER,
        Unsupported: Unverified::Unsupported("Kerberos") => "use a user name with a password",
        NotConfigured: Unverified::NotConfigured("password") => PEER,
    );
}
