//! Tests of records and wraps as a whole: known answers, one fault at a time, every byte, any bytes.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::algorithm::Algorithm;
use super::error::KeysError;
use super::hex;
use super::kek::{LocalKek, PublicKek};
use super::record::{KeyRecord, RECORD_BYTES_MAX, RecordError};
use super::wrap::{self, Binding};
use crate::dicom::Uid;
use crate::seal::{ContentKey, KeyId};

fn uid(text: &str) -> Uid {
    Uid::parse(text).unwrap()
}

fn binding() -> Binding {
    Binding {
        key_id: KeyId::new([7; 16]),
        suite: 1,
        sop_class: uid("1.2.840.10008.5.1.4.1.1.2"),
        sop_instance: uid("1.2.3.4"),
    }
}

fn pair(algorithm: Algorithm) -> (LocalKek, PublicKek) {
    let (private, public) = LocalKek::generate(algorithm).unwrap();
    (LocalKek::parse(algorithm, &private).unwrap(), public)
}

/// Opens the way a keyring with this one key does.
fn open(
    bytes: &[u8],
    binding: &Binding,
    private: &LocalKek,
    public: &PublicKek,
) -> Result<ContentKey, KeysError> {
    let record = KeyRecord::parse(bytes)?;
    wrap::check_names(&record, binding)?;
    let Some(recipient) = record.recipients.iter().find(|recipient| recipient.kek == public.id()) else {
        let wanted = wrap::known_keks(&record);
        return Err(KeysError::KekMissing { key_id: binding.key_id, wanted });
    };
    wrap::unwrap(&record, recipient, binding, public, private)
}

fn kebab(variant: &str) -> String {
    let name: String = variant.chars().take_while(char::is_ascii_alphanumeric).collect();
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !text.is_empty() {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[test]
fn every_algorithm_wraps_and_opens() {
    for algorithm in Algorithm::ALL {
        let (private, public) = pair(algorithm);
        let record = wrap::wrap(&ContentKey::new([9; 32]), &binding(), [&public]).unwrap();
        assert_eq!(record.len(), 24 + 20 + algorithm.encapsulated_length() + 48 + 32);
        assert!(record.len().is_multiple_of(2), "an OB value has even length");
        assert_eq!(open(&record, &binding(), &private, &public).unwrap().expose_secret(), &[9; 32]);
    }
}

#[test]
fn an_x_wing_record_fits_in_thirteen_hundred_bytes() {
    let (_, public) = pair(Algorithm::XWing);
    assert_eq!(wrap::wrap(&ContentKey::new([9; 32]), &binding(), [&public]).unwrap().len(), 1244);
}

#[test]
fn two_wraps_of_one_key_have_nothing_in_common() {
    let (_, public) = pair(Algorithm::XWing);
    let wrap =
        || KeyRecord::parse(&wrap::wrap(&ContentKey::new([9; 32]), &binding(), [&public]).unwrap()).unwrap();
    let (one, two) = (wrap(), wrap());
    let same = one.recipients[0].body.iter().zip(&two.recipients[0].body).filter(|(a, b)| a == b).count();
    assert!(same < 50, "{same} of 1168 bytes are the same, about 5 would be chance");
}

#[test]
fn each_of_several_recipients_opens_alone() {
    let pairs: Vec<_> = Algorithm::ALL.into_iter().map(pair).collect();
    let record =
        wrap::wrap(&ContentKey::new([9; 32]), &binding(), pairs.iter().map(|(_, public)| public)).unwrap();
    for (private, public) in &pairs {
        assert_eq!(open(&record, &binding(), private, public).unwrap().expose_secret(), &[9; 32]);
    }
}

#[test]
fn a_masked_record_says_so_and_no_byte_of_it_can_be_changed() {
    let (private, public) = pair(Algorithm::EcdhP256);
    let (masked, shred_key) = (ContentKey::new([9; 32]), KeyId::new([3; 16]));
    let record = wrap::wrap_masked(&masked, &binding(), shred_key, [&public]).unwrap();
    let parsed = KeyRecord::parse(&record).unwrap();
    assert_eq!((parsed.shred_key, parsed.to_bytes()), (Some(shred_key), record.clone()));
    assert!(record.len().is_multiple_of(2), "an OB value has even length");
    assert_eq!(open(&record, &binding(), &private, &public).unwrap().expose_secret(), &[9; 32]);
    for at in 0..record.len() {
        let mut changed = record.clone();
        changed[at] ^= 1 << (at % 8);
        assert!(open(&changed, &binding(), &private, &public).is_err(), "byte {at}");
    }
    // As if it were the content key itself: the version is part of the wrap.
    let plain = KeyRecord { shred_key: None, ..parsed };
    assert!(matches!(
        open(&plain.to_bytes(), &binding(), &private, &public),
        Err(KeysError::Tampered { .. })
    ));
}

#[test]
fn a_recipient_of_an_unknown_algorithm_is_skipped_among_several() {
    let (private, public) = pair(Algorithm::EcdhP256);
    let record = wrap::wrap(&ContentKey::new([9; 32]), &binding(), [&public]).unwrap();
    let mut parsed = KeyRecord::parse(&record).unwrap();
    let mut newer = parsed.recipients[0].clone();
    (newer.kek, newer.algorithm, newer.body) = (super::KekId::new([1; 16]), 999, vec![5; 333]);
    parsed.recipients.insert(0, newer);
    // The seal does not cover the newcomer, so this is refused as altered, yet parsed; then it is sealed with it.
    assert_eq!(KeyRecord::parse(&parsed.to_bytes()).unwrap(), parsed);
    let altered = open(&parsed.to_bytes(), &binding(), &private, &public);
    assert!(matches!(altered, Err(KeysError::Tampered { .. })));
    parsed.seal = wrap::seal_of(&parsed, &ContentKey::new([9; 32])).unwrap();
    assert!(open(&parsed.to_bytes(), &binding(), &private, &public).is_ok());
}

#[test]
fn every_changed_byte_is_refused() {
    for algorithm in Algorithm::ALL {
        let (private, public) = pair(algorithm);
        let (_, other) = pair(Algorithm::EcdhP256);
        let record = wrap::wrap(&ContentKey::new([9; 32]), &binding(), [&public, &other]).unwrap();
        for at in 0..record.len() {
            let mut changed = record.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(open(&changed, &binding(), &private, &public).is_err(), "{algorithm}, byte {at}");
        }
        assert!(open(&record, &binding(), &private, &public).is_ok());
    }
}

#[test]
fn a_moved_record_does_not_open() {
    let moves: [fn(&mut Binding); 4] = [
        |b| b.sop_instance = uid("1.2.3.5"),
        |b| b.sop_class = uid("1.2.840.10008.5.1.4.1.1.4"),
        // Characters moved from one UID to the other.
        |b| (b.sop_class, b.sop_instance) = (uid("1.2.840.10008.5.1.4.1.1"), uid("2.1.2.3.4")),
        |b| (b.sop_class, b.sop_instance) = (b.sop_instance.clone(), b.sop_class.clone()),
    ];
    for algorithm in Algorithm::ALL {
        let (private, public) = pair(algorithm);
        let record = wrap::wrap(&ContentKey::new([9; 32]), &binding(), [&public]).unwrap();
        for change in moves {
            let mut other = binding();
            change(&mut other);
            let opened = open(&record, &other, &private, &public);
            assert!(matches!(opened, Err(KeysError::Tampered { .. })), "{algorithm} {other:?}");
        }
    }
}

#[test]
fn a_record_relabelled_for_another_key_or_suite_does_not_open() {
    let (private, public) = pair(Algorithm::XWing);
    let record = wrap::wrap(&ContentKey::new([9; 32]), &binding(), [&public]).unwrap();
    let mut parsed = KeyRecord::parse(&record).unwrap();
    (parsed.key_id, parsed.suite) = (KeyId::new([8; 16]), 2);
    let other = Binding { key_id: parsed.key_id, suite: 2, ..binding() };
    assert!(matches!(open(&record, &other, &private, &public), Err(KeysError::OtherKey { .. })));
    assert!(matches!(
        open(&record, &Binding { suite: 2, ..binding() }, &private, &public),
        Err(KeysError::OtherSuite { wanted: 2, found: 1 })
    ));
    assert!(matches!(open(&parsed.to_bytes(), &other, &private, &public), Err(KeysError::Tampered { .. })));
}

#[test]
fn another_private_key_does_not_open() {
    for algorithm in Algorithm::ALL {
        let ((_, public), (stranger, _)) = (pair(algorithm), pair(algorithm));
        let record = wrap::wrap(&ContentKey::new([9; 32]), &binding(), [&public]).unwrap();
        assert!(matches!(open(&record, &binding(), &stranger, &public), Err(KeysError::Tampered { .. })));
    }
}

#[test]
fn there_is_no_wrap_for_nobody_nor_for_too_many() {
    let (_, public) = pair(Algorithm::EcdhP256);
    let many: Vec<_> = (0..9).map(|_| pair(Algorithm::EcdhP256).1).collect();
    let wrap = |keks: Vec<&PublicKek>| wrap::wrap(&ContentKey::new([9; 32]), &binding(), keks);
    assert!(matches!(wrap(vec![]), Err(KeysError::Recipient(_))));
    assert!(matches!(wrap(many.iter().collect()), Err(KeysError::Recipient(_))));
    assert!(matches!(wrap(vec![&public, &many[0], &public]), Err(KeysError::Recipient(_))));
    assert!(wrap(many.iter().take(8).collect()).is_ok());
}

#[test]
fn every_fault_gets_the_answer_in_its_name() {
    let vector: serde_json::Value =
        serde_json::from_str(include_str!("../../testdata/keys/wrap-ecdh-p256.json")).unwrap();
    let field = |name: &str| hex::decode(vector[name].as_str().unwrap()).unwrap();
    let private = super::secret::PrivateKeyBytes::new(field("private_key").to_vec());
    let private = LocalKek::parse(Algorithm::EcdhP256, &private).unwrap();
    let public = PublicKek::parse(Algorithm::EcdhP256, &field("public_key")).unwrap();
    let binding = Binding {
        key_id: KeyId::new(field("key_id").as_slice().try_into().unwrap()),
        suite: 1,
        sop_class: uid(vector["sop_class"].as_str().unwrap()),
        sop_instance: uid(vector["sop_instance"].as_str().unwrap()),
    };
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/keys/faults");
    let mut files = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let (expected, _) = name.split_once("--").unwrap();
        let bytes = fs::read(&path).unwrap();
        let answer = match (KeyRecord::parse(&bytes), open(&bytes, &binding, &private, &public)) {
            (Err(error), _) => kebab(&format!("{error:?}")),
            (Ok(_), Err(error)) => format!("opening-{}", kebab(&format!("{error:?}"))),
            (Ok(_), Ok(_)) => "none".into(),
        };
        assert_eq!(answer, expected, "{name}");
        files += 1;
    }
    assert_eq!(files, 33, "every file was tried");
}

#[test]
fn secrets_do_not_show_in_errors() {
    let (private, public) = pair(Algorithm::EcdhP256);
    let record = wrap::wrap(&ContentKey::new([0xAB; 32]), &binding(), [&public]).unwrap();
    let error =
        open(&record, &Binding { sop_instance: uid("9"), ..binding() }, &private, &public).unwrap_err();
    assert!(!format!("{error} {error:?}").to_lowercase().contains("abab"));
}

proptest! {
    #[test]
    fn any_bytes_are_a_record_that_comes_back_or_a_refusal(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(record) = KeyRecord::parse(&bytes) {
            prop_assert_eq!(record.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_damaged_record_never_panics_and_what_parses_comes_back(
        at in 0_usize..1244, byte in any::<u8>(), cut in 0_usize..1300, version_ok in any::<bool>(),
    ) {
        let mut bytes = golden();
        bytes[if version_ok { at.max(5) } else { at }] = byte;
        bytes.truncate(cut);
        match KeyRecord::parse(&bytes) {
            Ok(record) => prop_assert_eq!(record.to_bytes(), bytes),
            Err(RecordError::Truncated { length, needed }) => prop_assert!(needed > length && length == bytes.len()),
            Err(_) => {}
        }
    }

    #[test]
    fn what_is_written_is_read(
        suite in any::<u16>(), id in any::<[u8; 16]>(), seal in any::<[u8; 32]>(),
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..7),
    ) {
        let mut record = KeyRecord::parse(&golden()).unwrap();
        (record.suite, record.key_id, record.seal) = (suite, KeyId::new(id), seal);
        for (number, body) in (1_u8..).zip(bodies) {
            let kek = super::KekId::new([number; 16]);
            record.recipients.push(super::Recipient { kek, algorithm: 1000, body });
        }
        let bytes = record.to_bytes();
        prop_assert!(bytes.len() <= RECORD_BYTES_MAX);
        prop_assert_eq!(KeyRecord::parse(&bytes), Ok(record));
    }
}

fn golden() -> Vec<u8> {
    let vector: serde_json::Value =
        serde_json::from_str(include_str!("../../testdata/keys/wrap-x-wing.json")).unwrap();
    hex::decode(vector["record"].as_str().unwrap()).unwrap().to_vec()
}
