//! Errors of the program around it: settings, start, status, web server, demo, handover, evaluation.

use std::net::SocketAddr;
use std::path::PathBuf;

use sealgate::app::{ConfigError as AppConfigError, ServeError, StatusError};
use sealgate::audit::AuditError;
use sealgate::demo::DemoError;
use sealgate::evaluate::EvaluateError;
use sealgate::evaluate::pixels::PixelsError;
use sealgate::handover::HandoverError;
use sealgate::http::{ConfigError as WebConfigError, Unreadable};
use sealgate::identity::IdentityError;
use sealgate::keys::KeysError;
use sealgate::scu::Failure;
use sealgate::seal::scan::ScanError;
use sealgate::settings::SettingsError;
use sealgate::spool::SpoolError;
use sealgate::telemetry::{self, LevelError};
use sealgate::tls::{ConfigError as ProfileError, LoadError};

use super::{GIVEN, PLAIN, SAME, Shown, catalogue, io, key, one, path, uid};

pub(super) fn shown() -> Vec<Shown> {
    let mut out = Vec::new();
    start(&mut out);
    looks(&mut out);
    handover(&mut out);
    evaluation(&mut out);
    out
}

fn text() -> String {
    "x".to_owned()
}

fn address() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 11112))
}

fn level() -> LevelError {
    telemetry::Config { level: "inof".to_owned(), ..telemetry::Config::default() }.check().unwrap_err()
}

fn start(out: &mut Vec<Shown>) {
    catalogue!(out, "settings::SettingsError", SettingsError;
        NoFile: SettingsError::NoFile(path()) => "name one with --config",
        UnknownKey: SettingsError::UnknownKey { key: text(), place: String::new(), hint: "; did you mean \"titles\"?".to_owned() } => "did you mean",
        BadValue: SettingsError::BadValue { key: text(), reason: "a number was expected".to_owned() } => GIVEN,
        Unreadable: SettingsError::Unreadable("line 3: expected `=`".to_owned()) => GIVEN,
        Value: SettingsError::Value("keys.folder is empty".to_owned()) => GIVEN,
    );
    catalogue!(out, "app::ConfigError", AppConfigError;
        NoListener: AppConfigError::NoListener => "name at least one",
        ListenerTwice: AppConfigError::ListenerTwice(address()) => "leave one of them out",
        CertificatesWithoutTls: AppConfigError::CertificatesWithoutTls(address()) => "name a tls profile",
        Zero: AppConfigError::Zero("drain_seconds_max") => "give it at least 1",
    );
    catalogue!(out, "app::ServeError", ServeError;
        Log: level().into() => SAME,
        Keys: KeysError::StoreFull.into() => "Free space",
        Spool: SpoolError::Locked(path()).into() => SAME,
        Audit: AuditError::Locked(path()).into() => "End the other process",
        Listen: ServeError::Listen { address: address(), error: io() } => "choose another port",
        Tls: LoadError::Profile(ProfileError::NoName).into() => SAME,
        Identity: IdentityError::Key(path()).into() => SAME,
        Probe: ServeError::Probe(SettingsError::Value("pacs was never probed".to_owned())) => SAME,
        Web: ServeError::Web { address: address(), error: io() } => "choose another http.address",
        System: ServeError::System { what: "a signal handler", error: io() } => "allow the service",
    );
    out.push(one("telemetry::LevelError", &level(), "use error, warn, info"));
}

fn looks(out: &mut Vec<Shown>) {
    catalogue!(out, "app::StatusError", StatusError;
        NotRunning: StatusError::NotRunning(path()) => "start it",
        NotAllowed: StatusError::NotAllowed(path()) => "run it as root",
        Io: StatusError::Io(io()) => "try again",
    );
    catalogue!(out, "http::ConfigError", WebConfigError;
        InClear: WebConfigError::InClear(address()) => "name a tls profile",
        Range: WebConfigError::Range { key: "connections_max", found: 0, least: 1, most: 9 } => "has to be from 1",
    );
    out.push(one("http::Unreadable", &Unreadable, "see its log"));
    catalogue!(out, "demo::DemoError", DemoError;
        Io: io().into() => "check the folder",
        InUse: DemoError::InUse(PathBuf::from("/tmp/demo")) => "give a new folder",
        Gateway: DemoError::Gateway("the gateway does not answer", text()) => "gateway.log",
        Peer: DemoError::Peer("a store failed", Failure::Ending) => "gateway.log",
        Picture: DemoError::Picture(io().into()) => "check the disk",
    );
}

fn handover(out: &mut Vec<Shown>) {
    catalogue!(out, "handover::HandoverError", HandoverError;
        Keys: KeysError::StoreFull.into() => SAME,
        Io: io().into() => "check the path",
        Malformed: HandoverError::Malformed("it ends early") => "that `sealgate handover` made",
        Version: HandoverError::Version(9) => "use a newer one",
        Contents: HandoverError::Contents { found: "a text", wanted: "keys" } => "use the command for what it holds",
        PasswordWanted: HandoverError::PasswordWanted => "--password-file",
        PasswordUnwanted: HandoverError::PasswordUnwanted => "not the one that was agreed on",
        Sealed: HandoverError::Sealed => "try the password again",
        TooLarge: HandoverError::TooLarge { what: "it", needed: 9, limit: 8, advice: "use a file" } => "use a file",
        NoKeys: HandoverError::NoKeys => "check the Study Instance UID",
        Dual: HandoverError::Dual(key()) => "--with-dual-keys",
        NoStore: HandoverError::NoStore => "set keys.archive",
        MissingCodes: HandoverError::MissingCodes { missing: 2, total: 9 } => "photograph them anew",
        NoCodes: HandoverError::NoCodes => "photograph the codes sharply",
        Picture: HandoverError::Picture("it is too small".to_owned()) => "choose another one",
        Recompressed: HandoverError::Recompressed { matching: 60 } => "Have the file itself sent",
        NothingHidden: HandoverError::NothingHidden => "have the file itself sent",
        NotEmbedded: HandoverError::NotEmbedded("its digest differs") => "take it from where",
        Psnr: HandoverError::Psnr { psnr: 40.0 } => "use a shorter text",
    );
}

fn evaluation(out: &mut Vec<Shown>) {
    let few = || EvaluateError::TooLittle { measure: "entropy", unit: "bytes", needed: 9, found: 8 };
    catalogue!(out, "evaluate::EvaluateError", EvaluateError;
        TooLittle: few() => "give more data",
        Shapes: EvaluateError::Shapes { ours: "8 x 8".to_owned(), theirs: "9 x 9".to_owned() } => "compare images of one shape",
        Samples: EvaluateError::Samples { shape: "8 x 8".to_owned(), needed: 64, found: 9 } => "give the whole image",
        Sample: EvaluateError::Sample { value: 900, position: 3, bits: 8 } => PLAIN,
        Parameter: EvaluateError::Parameter { parameter: "bits", found: "0".to_owned(), allowed: "8 or 16" } => "it must be 8 or 16",
    );
    catalogue!(out, "evaluate::PixelsError", PixelsError;
        Io: io().into() => "check the path",
        Scan: ScanError::Empty.into() => SAME,
        TransferSyntax: PixelsError::TransferSyntax(uid()) => PLAIN,
        NoPixels: PixelsError::NoPixels => PLAIN,
        Compressed: PixelsError::Compressed => "decompress it first",
        Kind: PixelsError::Kind { bits: 32, samples: 1, photometric: text() } => "only whole 8- and 16-bit samples",
        Large: PixelsError::Large { bytes: 9 } => "the limit is",
        Short: PixelsError::Short { found: 8, needed: 9 } => PLAIN,
        Raster: few().into() => SAME,
    );
}
