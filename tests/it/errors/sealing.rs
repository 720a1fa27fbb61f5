//! Errors of sealing and opening: the scanner, the sealed form, inner layers, generators, keys.

use dicom_core::VR;
use sealgate::cipher::{CipherError, DualKeyId};
use sealgate::dicom::UidError;
use sealgate::keygen::{GeneratorId, KeygenError};
use sealgate::keys::{self, Algorithm, KekId, KeysError};
use sealgate::seal::scan::ScanError;
use sealgate::seal::scan::part10::FrontError;
use sealgate::seal::{
    self, Damage, FrameError, HeaderError, InspectError, NoEntropy, OpenError, RecordError, SealError,
    SignatureError, SignatureProblem, SignerKey, StreamError, TooLarge, UnknownSuite,
};

use super::{PEER, PLAIN, SAME, Shown, catalogue, io, key, one, path, place, tag, uid};

type FileError = seal::FileError<KeysError>;
type KeyRecordError = keys::RecordError;

pub(super) fn shown() -> Vec<Shown> {
    let mut out = Vec::new();
    scanning(&mut out);
    form(&mut out);
    sealing(&mut out);
    opening(&mut out);
    layers(&mut out);
    records(&mut out);
    keys_shown(&mut out);
    out
}

fn scanning(out: &mut Vec<Shown>) {
    let (at, left, end) = (512, 3, 600);
    catalogue!(out, "seal/scan::ScanError", ScanError;
        Length: ScanError::Length { place: place(), claimed: 9, left } => PEER,
        HeaderCut: ScanError::HeaderCut { at, left, needed: 8 } => PEER,
        TooLong: ScanError::TooLong { total: 9 } => PEER,
        TooShort: ScanError::TooShort { total: 900, end } => PEER,
        Truncated: ScanError::Truncated { place: place(), end } => PEER,
        TruncatedHeader: ScanError::TruncatedHeader { at, end } => PEER,
        Empty: ScanError::Empty => PLAIN,
        MissingDelimiter: ScanError::MissingDelimiter { place: place(), end } => PEER,
        StrayDelimiter: ScanError::StrayDelimiter { place: place() } => PEER,
        DelimiterLength: ScanError::DelimiterLength { place: place(), claimed: 4 } => "the standard says 0",
        ItemExpected: ScanError::ItemExpected { place: place(), sequence: place() } => PEER,
        FragmentLength: ScanError::FragmentLength { place: place() } => "fragments have a length",
        NoOffsetTable: ScanError::NoOffsetTable { place: place() } => PEER,
        UndefinedLength: ScanError::UndefinedLength { place: place() } => "only SQ, UN, OB and OW",
        NotASequence: ScanError::NotASequence { place: place(), vr: VR::UN } => PEER,
        EncapsulatedInNative: ScanError::EncapsulatedInNative { place: place() } => "let the sender propose",
        BadVr: ScanError::BadVr { place: place(), bytes: [0, 1] } => "the wrong transfer syntax",
        ForbiddenGroup: ScanError::ForbiddenGroup { place: place() } => PEER,
        Duplicate: ScanError::Duplicate { place: place() } => PEER,
        SecondPixelData: ScanError::SecondPixelData { place: place(), first: tag() } => PEER,
        AfterPixels: ScanError::AfterPixels { place: place() } => PEER,
        TooDeep: ScanError::TooDeep { place: place(), max: 64 } => "the limit is 64",
        TooManyElements: ScanError::TooManyElements { place: place(), max: 9 } => "the limit of 9",
        HeaderTooLarge: ScanError::HeaderTooLarge { place: place(), max: 9 } => "9 bytes, the limit",
        Inflate: ScanError::Inflate { reason: "a bad block", inflated: 8 } => PEER,
        AfterDeflate: ScanError::AfterDeflate { extra: 4 } => PEER,
        BadValue: ScanError::BadValue { tag: tag(), found: "x".to_owned(), expected: "a number" } => "expected a number",
        MissingValue: ScanError::MissingValue { tag: tag() } => PEER,
        NotPart10: ScanError::NotPart10 => "name its transfer syntax",
        MetaTooLong: ScanError::MetaTooLong { max: 9 } => "9 bytes, the limit",
        NoTransferSyntax: ScanError::NoTransferSyntax => "name the transfer syntax",
        BadTransferSyntax: UidError::Empty.into() => PEER,
        Spent: ScanError::Spent => PLAIN,
    );
    catalogue!(out, "seal/scan::FrontError", FrontError;
        Io: FrontError::Io(io()) => SAME,
        Scan: ScanError::Empty.into() => SAME,
    );
}

fn form(out: &mut Vec<Shown>) {
    let signer = SignerKey::new([9; 32]);
    out.push(one("seal::NoEntropy", &NoEntropy, "nothing is sealed until it does"));
    out.push(one("seal::UnknownSuite", &UnknownSuite(99), PEER));
    out.push(one("seal::TooLarge", &TooLarge { needed: 9, frames: 2 }, "split the object at the modality"));
    catalogue!(out, "seal::HeaderError", HeaderError;
        NotSealed: HeaderError::NotSealed => PLAIN,
        UnknownVersion: HeaderError::UnknownVersion(9) => "open it with a newer one",
        Reserved: HeaderError::Reserved(9) => PLAIN,
        UnknownSuite: UnknownSuite(99).into() => SAME,
    );
    catalogue!(out, "seal::StreamError", StreamError;
        Commitment: StreamError::Commitment => PLAIN,
        Chunk: StreamError::Chunk { chunk: 3 } => "from a backup",
        Truncated: StreamError::Truncated { bytes: 9 } => "have it sent again",
        TooLong: StreamError::TooLong => PLAIN,
    );
    catalogue!(out, "seal::SignatureError", SignatureError;
        Algorithm: SignatureError::Algorithm(9) => PLAIN,
        Wrong: SignatureError::Wrong(signer) => PLAIN,
    );
    catalogue!(out, "seal::SignatureProblem", SignatureProblem;
        Wrong: SignatureError::Algorithm(9).into() => SAME,
        Incomplete: SignatureProblem::Incomplete => PLAIN,
    );
    catalogue!(out, "seal::InspectError", InspectError;
        Io: InspectError::Io(io()) => "check the path",
        Scan: ScanError::Empty.into() => SAME,
        TransferSyntax: InspectError::TransferSyntax(uid()) => PLAIN,
    );
    catalogue!(out, "seal::RecordError", RecordError;
        Unexpected: RecordError::Unexpected { kind: 9, place: "behind the end" } => PLAIN,
        Length: RecordError::Length { kind: 1, length: 9 } => PLAIN,
        Packed: RecordError::Packed(9) => PLAIN,
        TransferSyntax: UidError::Empty.into() => SAME,
        NoEnd: RecordError::NoEnd => "have it sent again",
        Digest: RecordError::Digest => "from a backup",
    );
}

fn sealing(out: &mut Vec<Shown>) {
    catalogue!(out, "seal::SealError", SealError;
        Scan: ScanError::Empty.into() => SAME,
        TransferSyntax: SealError::TransferSyntax(uid()) => PLAIN,
        Uid: SealError::Uid { tag: tag(), found: "1.2".to_owned(), announced: uid() } => PEER,
        NoUid: SealError::NoUid(tag()) => PEER,
        AlreadySealed: SealError::AlreadySealed(key()) => PLAIN,
        NoPixels: SealError::NoPixels => PLAIN,
        TooLarge: TooLarge { needed: 9, frames: 2 }.into() => SAME,
        Frames: SealError::Frames { frames: 9, bytes: 8 } => PEER,
        Header: SealError::Header => PLAIN,
        Stream: StreamError::TooLong.into() => SAME,
        Layer: CipherError::NoGenerators.into() => SAME,
        NoEntropy: NoEntropy.into() => SAME,
        Sink: SealError::Sink(io()) => "check the disk",
    );
    catalogue!(out, "seal::FileError", FileError;
        Io: FileError::Io(io()) => "check the path",
        Scan: ScanError::Empty.into() => SAME,
        Seal: SealError::NoPixels.into() => SAME,
        Open: OpenError::NotSealed.into() => SAME,
        Key: FileError::Key(KeysError::Unsigned) => SAME,
    );
}

fn opening(out: &mut Vec<Shown>) {
    catalogue!(out, "seal/opener::Damage", Damage;
        Lossy: Damage::Lossy { method: " (ISO_10918_1)".to_owned() } => "turn lossy compression and processing off",
        Converted: Damage::Converted { found: "PALETTE COLOR".to_owned() } => "turn conversion off",
        Blank: Damage::Blank => "get the instance from a backup",
        Swapped: Damage::Swapped => "correct the conversion there",
        Inverted: Damage::Inverted => "turn the inversion of images off",
        Masked: Damage::Masked { bits: 12 } => "have that corrected at the PACS",
        Overwritten: Damage::Overwritten => "turn that off",
        Unmarked: Damage::Unmarked => "turn both off",
        Shortened: Damage::Shortened { have: 8, needed: 9 } => "have it sent again",
        NoPixels: Damage::NoPixels => "from a backup",
    );
    catalogue!(out, "seal/opener::OpenError", OpenError;
        NotSealed: OpenError::NotSealed => PLAIN,
        Damaged: OpenError::Damaged(Damage::Blank) => SAME,
        Header: HeaderError::NotSealed.into() => SAME,
        Scan: OpenError::Scan(ScanError::Empty) => SAME,
        TransferSyntax: OpenError::TransferSyntax(uid()) => "let the PACS send one of these",
        OriginalSyntax: OpenError::OriginalSyntax(uid()) => "only --original opens it",
        Uid: OpenError::Uid(tag()) => PEER,
        NoKey: OpenError::NoKey(key()) => SAME,
        Stream: StreamError::Commitment.into() => SAME,
        Signature: SignatureError::Algorithm(9).into() => SAME,
        Layer: CipherError::NoGenerators.into() => SAME,
        Frame: FrameError::Pixels.into() => SAME,
        Record: RecordError::NoEnd.into() => SAME,
        Padding: OpenError::Padding { at: 9 } => "from a backup",
        HeaderTooLarge: OpenError::HeaderTooLarge => "only --original opens it",
        Sink: OpenError::Sink(io()) => "check the disk",
    );
    catalogue!(out, "seal/frames::FrameError", FrameError;
        Number: FrameError::Number { asked: 9, frames: 3 } => "frames 1 to 3",
        Deflated: FrameError::Deflated("DeflatedExplicitVRLittleEndian") => "open the whole instance",
        Pixels: FrameError::Pixels => "open the whole instance",
        Fragments: FrameError::Fragments { fragments: 3, frames: 2 } => "open the whole instance",
        Records: FrameError::Records(9) => "open the whole instance",
        Harmed: FrameError::Harmed => "opening the whole instance says why",
    );
}

fn layers(out: &mut Vec<Shown>) {
    let dual = || DualKeyId::new([3; 16]);
    catalogue!(out, "cipher::CipherError", CipherError + advice;
        NoGenerators: CipherError::NoGenerators => "open it with `sealgate open`",
        Generator: KeygenError::NoEntropy.into() => SAME,
        Count: CipherError::Count { made: 1, asked: 2 } => "keygen.engine",
        Waiting: CipherError::Waiting { limit: 9 } => "choose a suite",
        Chaos: CipherError::Chaos { name: "x0" } => PLAIN,
        Parameters: CipherError::Parameters { found: 8, expected: 9 } => PLAIN,
        NoDualKey: CipherError::NoDualKey => "sealgate keys dual",
        DualKeyMissing: CipherError::DualKeyMissing(dual()) => "sealgate keys restore",
        DualKeyShut: CipherError::DualKeyShut { id: dual(), reason: "it is locked".to_owned() } => "unlock the key encryption keys",
        DualParameters: CipherError::DualParameters => PLAIN,
        DualEnd: CipherError::DualEnd => PLAIN,
        SubstitutionBox: CipherError::SubstitutionBox { distinct: 255 } => "do not use this installation",
        Crypto: CipherError::Crypto("AES") => "do not use this installation",
    );
    let (id, text) = (GeneratorId::new([5; 32]), || "it ends early".to_owned());
    catalogue!(out, "keygen::KeygenError", KeygenError + advice;
        Id: KeygenError::Id(text()) => "sealgate generator list",
        NoEntropy: KeygenError::NoEntropy => "random number device",
        File: KeygenError::File { doing: "reading", path: path(), source: io() } => "check the path",
        Model: KeygenError::Model(text()) => "take it from a backup",
        Network: KeygenError::Network(text()) => "remove the file from keygen.folder",
        Study: KeygenError::Study { path: path(), reason: text() } => "sealgate generator study",
        Checkpoint: KeygenError::Checkpoint(text()) => "sealgate generator train",
        Missing: KeygenError::Missing { id, folder: path() } => "sealgate generator import",
        Mismatch: KeygenError::Mismatch { path: path(), expected: id, found: GeneratorId::new([6; 32]) } => "take it from a backup",
        Config: KeygenError::Config(text()) => "[keygen]",
        Engine: KeygenError::Engine(text()) => "set keygen.engine",
    );
}

fn records(out: &mut Vec<Shown>) {
    catalogue!(out, "keys::RecordError", KeyRecordError;
        TooLong: KeyRecordError::TooLong(9) => "the limit is",
        Truncated: KeyRecordError::Truncated { length: 8, needed: 9 } => SAME,
        Magic: KeyRecordError::Magic([1, 2, 3, 4]) => SAME,
        Version: KeyRecordError::Version(9) => SAME,
        RecipientCount: KeyRecordError::RecipientCount(0) => SAME,
        BodyLength: KeyRecordError::BodyLength { algorithm: Algorithm::XWing, found: 8, expected: 9 } => SAME,
        Duplicate: KeyRecordError::Duplicate(KekId::new([4; 16])) => SAME,
        NoKnownAlgorithm: KeyRecordError::NoKnownAlgorithm(9) => SAME,
        Trailing: KeyRecordError::Trailing(9) => SAME,
    );
}

fn keys_shown(out: &mut Vec<Shown>) {
    let (kek, text) = (KekId::new([4; 16]), || "of the study".to_owned());
    catalogue!(out, "keys::KeysError", KeysError + advice;
        NoEntropy: NoEntropy.into() => "random numbers",
        Record: KeyRecordError::Version(9).into() => "Treat the instance as altered",
        Unsigned: KeysError::Unsigned => "open it with the setting off",
        Signer: KeysError::Signer(SignerKey::new([9; 32])) => "sealgate keys signer --import",
        OtherKey: KeysError::OtherKey { wanted: key(), found: key() } => "Treat the instance as altered",
        OtherSuite: KeysError::OtherSuite { wanted: 1, found: 2 } => "Treat the instance as altered",
        Tampered: KeysError::Tampered { key_id: key(), kek } => "Treat the instance as altered",
        KekMissing: KeysError::KekMissing { key_id: key(), wanted: vec![kek] } => "keyring folder",
        Locked: KeysError::Locked(kek) => "Give the passphrase",
        UnknownKey: KeysError::UnknownKey(key()) => "Restore the key store",
        ShredKeyMissing: KeysError::ShredKeyMissing { key_id: key(), shred_key: key() } => "Restore the key store",
        NoneOpens: KeysError::NoneOpens { key_id: key(), failures: vec![("the key store", KeysError::Locked(kek))] } => "Give the passphrase",
        Destroyed: KeysError::Destroyed { key_id: key(), on: "2026-01-02".to_owned(), by: text(), certificate: text() } => "sealgate keys destroyed",
        OnHold: KeysError::OnHold { what: text(), hold: text(), by: text(), reason: text() } => "sealgate keys lift",
        Destruction: KeysError::Destruction(text()) => "sealgate keys list",
        Escrow: KeysError::Escrow(text()) => "Gather the shares",
        Custody: KeysError::Custody(text()) => "See `roles`",
        File: KeysError::File { doing: "reading", path: path(), source: io() } => "Check that the path exists",
        Exists: KeysError::Exists(path()) => "Choose another name",
        Permissions: KeysError::Permissions { path: path(), mode: 0o644 } => "chmod 0600",
        Malformed: KeysError::Malformed { path: path(), problem: text() } => "from a backup",
        WrongSecret: KeysError::WrongSecret { path: path(), method: "passphrase" } => "try again",
        Secret: KeysError::Secret(text()) => "Correct the setting",
        Token: KeysError::Token { doing: "logging in", problem: text() } => "the token label and the PIN",
        WrongPrivateKey: KeysError::WrongPrivateKey(kek) => "Attach the token",
        SelfTest: KeysError::SelfTest("AES-256-GCM") => "Do not use this installation",
        Crypto: KeysError::Crypto("HKDF") => "Do not use this installation",
        Recipient: KeysError::Recipient(text()) => "sealgate keys list",
        Config: KeysError::Config(text()) => "Correct the setting",
        Conflict: KeysError::Conflict(key()) => "Seal the instance anew",
        Store: KeysError::Store { doing: "reading", source: rusqlite::Error::InvalidQuery } => "See whether the disk is healthy",
        StoreFull: KeysError::StoreFull => "Free space",
        StoreReadOnly: KeysError::StoreReadOnly => "writable for the service's user",
        StoreStopped: KeysError::StoreStopped(text()) => "restart the service",
        StoreSchema: KeysError::StoreSchema { found: 9, known: 1 } => "or a newer one",
        StoreInUse: KeysError::StoreInUse(path()) => "Stop the service first",
        RestoreWouldLose: KeysError::RestoreWouldLose { path: path(), count: 2, first: key() } => "Back the present store up",
    );
}
