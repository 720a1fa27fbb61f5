//! Errors of what is kept and passed on: the spool, the audit trail, intake, release, commitment, migration, probes, custody.

use sealgate::audit::{AuditError, RecordError as AuditRecordError};
use sealgate::custody::{CustodyError, Role};
use sealgate::dicom::Status;
use sealgate::flow::commitment::{self, Refused as NotCommitted};
use sealgate::flow::migrate::{JournalError, MigrateError};
use sealgate::flow::procedure::NotPassed;
use sealgate::flow::release::{self, NotSent, Refused as NotReleased};
use sealgate::flow::{self, Refused as NotTaken};
use sealgate::grants::GrantsError;
use sealgate::keys::KeysError;
use sealgate::policy::Refusal;
use sealgate::probe::{self, ProbeError, ProfileError};
use sealgate::scu::Failure;
use sealgate::seal::scan::ScanError;
use sealgate::seal::{NoEntropy, OpenError, SealError};
use sealgate::spool::{EntryId, SpoolError};
use sealgate::transcode::TranscodeError;

use super::{GIVEN, PEER, PLAIN, SAME, Shown, catalogue, io, one, path, title, uid};

pub(super) fn shown() -> Vec<Shown> {
    let mut out = Vec::new();
    spool(&mut out);
    audit(&mut out);
    intake(&mut out);
    release_shown(&mut out);
    commitment_shown(&mut out);
    migration(&mut out);
    probes(&mut out);
    custody(&mut out);
    out
}

fn text() -> String {
    "archive".to_owned()
}

fn spool(out: &mut Vec<Shown>) {
    let id = EntryId::from_bytes([1; 16]);
    catalogue!(out, "spool::SpoolError", SpoolError + advice;
        Config: SpoolError::Config("spool.bytes_max is 0".to_owned()) => "Change the configuration",
        Locked: SpoolError::Locked(path()) => "End the other process",
        Disk: SpoolError::Disk { doing: "writing", path: path(), source: io() } => "operating system",
        Failed: SpoolError::Failed("an fsync failed".to_owned()) => "Look at the disk, then restart",
        FullOfBytes: SpoolError::FullOfBytes { wanted: 3, used: 8, limit: 9 } => "raise spool.bytes_max",
        FullOfEntries: SpoolError::FullOfEntries(9) => "spool.entries_max",
        FullOfDrafts: SpoolError::FullOfDrafts(9) => "raise spool.drafts_max",
        DiskFull: SpoolError::DiskFull { wanted: 3, free: 8, reserve: 9 } => "Make room",
        TooLong: SpoolError::TooLong { what: "a record", bytes: 9, limit: 8 } => "please report it",
        PatchOutside: SpoolError::PatchOutside { at: 8, bytes: 2, written: 9 } => "please report it",
        DraftFailed: SpoolError::DraftFailed => "please report it",
        NoDestination: SpoolError::NoDestination => "please report it",
        BadDestination: SpoolError::BadDestination(text()) => "please report it",
        Unknown: SpoolError::Unknown(id) => "List the spool",
        UnknownDestination: SpoolError::UnknownDestination { id, destination: text() } => "List the spool",
        InHand: SpoolError::InHand { id, destination: text() } => "Try again when",
        Damaged: SpoolError::Damaged { id, reason: "its sum is wrong".to_owned() } => "have the instance sent again",
        Version: SpoolError::Version { path: path(), found: 9, known: 1 } => "or a later one",
        NotAnId: SpoolError::NotAnId(text()) => "List the spool",
        Randomness: SpoolError::Randomness(io()) => "operating system",
    );
}

fn audit(out: &mut Vec<Shown>) {
    catalogue!(out, "audit::AuditError", AuditError + advice;
        Config: AuditError::Config("audit.bytes_max is 0".to_owned()) => "Change the configuration",
        Locked: AuditError::Locked(path()) => "another audit.folder",
        Disk: AuditError::Disk { doing: "writing", path: path(), error: io() } => "belong to the service's user",
        Key: AuditError::Key { path: path(), why: "it is no key".to_owned() } => "Put the key file back",
        Full: AuditError::Full("9 bytes".to_owned()) => "raise audit.bytes_max",
        Stopped: AuditError::Stopped("an fsync failed".to_owned()) => "then restart",
    );
    catalogue!(out, "audit::RecordError", AuditRecordError;
        TooLong: AuditRecordError::TooLong => PLAIN,
        Form: AuditRecordError::Form => PLAIN,
        Hash: AuditRecordError::Hash => PLAIN,
    );
}

fn intake(out: &mut Vec<Shown>) {
    let no_route =
        || NotTaken::NoRoute { modality: "CT".to_owned(), station: "CT1".to_owned(), class: uid() };
    catalogue!(out, "flow::Refused", NotTaken;
        Seal: SealError::NoPixels.into() => SAME,
        Scan: ScanError::Empty.into() => SAME,
        Keys: KeysError::StoreFull.into() => SAME,
        Claim: NotTaken::Claim(KeysError::StoreFull) => SAME,
        Spool: SpoolError::DraftFailed.into() => SAME,
        NoRoute: no_route() => "add a route for it",
        NoPixels: NotTaken::NoPixels(text()) => "refuses such objects",
        NothingToSeal: NotTaken::NothingToSeal(text()) => "takes only what can be sealed",
        Pixels: NotTaken::Pixels(uid()) => PEER,
        Undecided: NotTaken::Undecided(9) => PEER,
        Destination: NotTaken::Destination { destination: text(), status: Status::PROCESSING_FAILURE } => PEER,
        NotInTime: NotTaken::NotInTime(text()) => "is tried again",
        Task: NotTaken::Task => PLAIN,
    );
    catalogue!(out, "flow::NotPassed", NotPassed;
        Nobody: NotPassed::Nobody(title()) => "no ris with serves",
        Failure: NotPassed::Failure { ris: text(), failure: Failure::Ending } => SAME,
        Convert: NotPassed::Convert { ris: text(), error: ScanError::Empty } => PEER,
    );
    let config = flow::Config { retry_seconds_min: 0, ..flow::Config::default() };
    out.push(one("bounds::OutOfBounds", &config.check().unwrap_err(), "it must be from 1"));
}

fn release_shown(out: &mut Vec<Shown>) {
    catalogue!(out, "flow/release::Refused", NotReleased;
        Open: NotReleased::Open { error: OpenError::NotSealed, key: Some("the key store is away".to_owned()) } => SAME,
        Destroyed: NotReleased::Destroyed("the key was destroyed on 2026-01-02".to_owned()) => GIVEN,
        Policy: Refusal::UnknownCalling(title()).into() => SAME,
        Unsealed: NotReleased::Unsealed => "are not passed on here",
        LatePixels: NotReleased::LatePixels => PEER,
        BrokenOff: NotReleased::BrokenOff => PEER,
        Cancelled: NotReleased::Cancelled => PEER,
        Left: NotReleased::Left => PEER,
        TransferSyntax: NotReleased::TransferSyntax("JPEGLSLossless") => PEER,
        Transcode: TranscodeError::NoPixels.into() => SAME,
        Convert: NotReleased::Convert("it ends early".to_owned()) => SAME,
        Unrecorded: NotReleased::Unrecorded("the disk is full".to_owned()) => SAME,
        NoneFits: NotReleased::NoneFits("JPEGXLLossless: Bits Allocated is 32".to_owned()) => "let the receiver take",
        Task: NotReleased::Task => PLAIN,
    );
    catalogue!(out, "flow/release::NotSent", NotSent;
        Failure: Failure::Ending.into() => SAME,
        Refused: NotReleased::Task.into() => SAME,
    );
    let config = release::Config { waiting_max: 0, ..release::Config::default() };
    out.push(one("bounds::OutOfBounds", &config.check().unwrap_err(), "it must be from 1"));
}

fn commitment_shown(out: &mut Vec<Shown>) {
    catalogue!(out, "flow/commitment::Refused", NotCommitted;
        Duplicate: NotCommitted::Duplicate => PEER,
        Full: NotCommitted::Full(9) => "commitment.transactions_max",
        TooMany: NotCommitted::TooMany(9, 8) => "commitment.references_max",
        Spool: SpoolError::DraftFailed.into() => SAME,
        Task: NotCommitted::Task => PLAIN,
    );
    let config = commitment::Config { transactions_max: 0, ..commitment::Config::default() };
    out.push(one("bounds::OutOfBounds", &config.check().unwrap_err(), "it must be from 1"));
}

fn migration(out: &mut Vec<Shown>) {
    let instances = || MigrateError::Instances {
        failed: 1,
        of: 2,
        first: uid(),
        why: "the peer answered 0110H".to_owned(),
    };
    catalogue!(out, "flow/migrate::MigrateError", MigrateError;
        Peer: MigrateError::Peer { what: "the query", failure: Failure::Ending } => SAME,
        Answer: MigrateError::Answer("it has no Study Instance UID".to_owned()) => PEER,
        Instances: instances() => SAME,
        Io: io().into() => SAME,
    );
    catalogue!(out, "flow/migrate::JournalError", JournalError;
        Io: JournalError::Io { path: path(), error: io() } => "check the disk",
        Format: JournalError::Format { path: path(), line: 3 } => "name another file",
        Other: JournalError::Other { path: path(), found: text() } => "name another file",
        InUse: JournalError::InUse { path: path() } => "wait for its end",
    );
}

fn probes(out: &mut Vec<Shown>) {
    catalogue!(out, "probe::ProbeError", ProbeError;
        Peer: Failure::Ending.into() => SAME,
        Keys: KeysError::StoreFull.into() => SAME,
        Seal: SealError::NoPixels.into() => SAME,
        NoEntropy: NoEntropy.into() => SAME,
    );
    catalogue!(out, "probe::ProfileError", ProfileError;
        Io: ProfileError::Io { path: path(), error: io() } => "check the folder probe.folder",
        Unreadable: ProfileError::Unreadable { path: path(), reason: "it is no JSON".to_owned() } => "run `sealgate probe` again",
    );
    let config = probe::Config { wait_seconds_max: 9999, ..probe::Config::default() };
    out.push(one("bounds::OutOfBounds", &config.check().unwrap_err(), "it must be from 0 to 3600"));
}

fn custody(out: &mut Vec<Shown>) {
    let id = || "1f0c23aa94b0d6e7812c".to_owned();
    let not_in_role = || CustodyError::NotInRole { person: "anna".to_owned(), wanted: Role::ALL.to_vec() };
    catalogue!(out, "custody::CustodyError", CustodyError;
        Config: CustodyError::Config("operators has an empty name: leave it out".to_owned()) => GIVEN,
        NotInRole: not_in_role() => "ask one of them",
        SamePerson: CustodyError::SamePerson("anna".to_owned()) => "somebody else has to approve it",
        NoRequest: CustodyError::NoRequest(id()) => "sealgate approve --list",
        Expired: CustodyError::Expired { id: id(), hours: 24 } => "ask again",
        Altered: CustodyError::Altered { id: id() } => "find out by whom",
        Format: CustodyError::Format { path: path(), problem: "it is no JSON".to_owned() } => "ask again",
        Io: CustodyError::Io { path: path(), source: io() } => "check the disk",
        NoEntropy: CustodyError::NoEntropy => "random numbers",
    );
    catalogue!(out, "grants::GrantsError", GrantsError;
        Io: GrantsError::Io { path: path(), error: io() } => "check grants.file",
        Untrusted: GrantsError::Untrusted { path: path(), why: "others may write to it".to_owned() } => "let it belong to root",
        Format: GrantsError::Format { path: path(), why: "it is no JSON".to_owned() } => "move it away",
        Duration: GrantsError::Duration { asked: "900h".to_owned(), max: 24 } => "grants.hours_max",
        Reason: GrantsError::Reason => "needs a reason of 1 to 200 characters",
        NotOpen: GrantsError::NotOpen(id()) => "sealgate grant list",
        HoursMax: GrantsError::HoursMax(0) => "it must be from 1 to 168",
    );
}
