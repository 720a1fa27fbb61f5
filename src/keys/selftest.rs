//! Known answers of every primitive this room relies on, tried at every start.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest::{self, SHA3_256, SHA256};
use aws_lc_rs::hmac;
use serde::Deserialize;

use crate::dicom::Uid;
use crate::keys::algorithm::Algorithm;
use crate::keys::error::KeysError;
use crate::keys::hex;
use crate::keys::kek::{LocalKek, PublicKek};
use crate::keys::record::KeyRecord;
use crate::keys::secret::PrivateKeyBytes;
use crate::keys::wrap::{self, Binding};
use crate::seal::KeyId;

/// One wrapped key for each algorithm, with the private key that opens it.
const WRAPS: [&str; 4] = [
    include_str!("../../testdata/keys/wrap-x-wing.json"),
    include_str!("../../testdata/keys/wrap-rsa-oaep-3072.json"),
    include_str!("../../testdata/keys/wrap-ecdh-p256.json"),
    include_str!("../../testdata/keys/wrap-ecdh-p384.json"),
];

/// A wrapped key with everything needed to open it; the private key is for tests alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrapVector {
    algorithm: Algorithm,
    private_key: String,
    /// What the X-Wing private key was expanded from, for readers that take only that.
    #[serde(default, rename = "seed")]
    _seed: Option<String>,
    public_key: String,
    key_id: String,
    suite: u16,
    sop_class: Uid,
    sop_instance: Uid,
    content_key: String,
    record: String,
}

/// Runs all of them; the first that fails is named.
pub fn run() -> Result<(), KeysError> {
    let answers = [
        ("SHA-256", hex::encode(digest::digest(&SHA256, b"abc").as_ref()) == SHA256_ABC),
        ("SHA3-256", hex::encode(digest::digest(&SHA3_256, b"").as_ref()) == SHA3_256_NOTHING),
        ("HMAC-SHA-256", hmac_sha256()),
        ("AES-256-GCM", aes_256_gcm() == Some(true)),
        ("Argon2id", argon2id() == Some(true)),
    ];
    if let Some((name, _)) = answers.into_iter().find(|(_, right)| !right) {
        return Err(KeysError::SelfTest(name));
    }
    WRAPS.iter().try_for_each(|vector| opens(vector))
}

/// FIPS 180-4, the example of the one-block message.
const SHA256_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
/// FIPS 202, the empty message.
const SHA3_256_NOTHING: &str = "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a";

/// RFC 4231 4.3.
fn hmac_sha256() -> bool {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"Jefe"), b"what do ya want for nothing?");
    hex::encode(tag.as_ref()) == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
}

/// The original GCM specification, test case 14.
fn aes_256_gcm() -> Option<bool> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[0; 32]).ok()?);
    let mut text = vec![0; 16];
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut text).ok()?;
    Some(hex::encode(&text) == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
}

/// RFC 9106 5.3.
fn argon2id() -> Option<bool> {
    let params = argon2::ParamsBuilder::new()
        .m_cost(32)
        .t_cost(3)
        .p_cost(4)
        .data(argon2::AssociatedData::new(&[4; 12]).ok()?)
        .output_len(32)
        .build()
        .ok()?;
    let argon2 =
        argon2::Argon2::new_with_secret(&[3; 8], argon2::Algorithm::Argon2id, argon2::Version::V0x13, params)
            .ok()?;
    let mut tag = [0; 32];
    argon2.hash_password_into(&[1; 32], &[2; 16], &mut tag).ok()?;
    Some(hex::encode(&tag) == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659")
}

/// The KEM, HKDF-SHA-512, the AEAD and the record's seal, all in one: the wrapped key has to come out.
fn opens(vector: &str) -> Result<(), KeysError> {
    let damaged = KeysError::SelfTest("the list of known answers");
    let Ok(vector) = serde_json::from_str::<WrapVector>(vector) else { return Err(damaged) };
    match open_vector(&vector) {
        Some(true) => Ok(()),
        _ => Err(KeysError::SelfTest(vector.algorithm.name())),
    }
}

fn open_vector(vector: &WrapVector) -> Option<bool> {
    let private = PrivateKeyBytes::new(hex::decode(&vector.private_key)?.to_vec());
    let public = PublicKek::parse(vector.algorithm, &hex::decode(&vector.public_key)?)?;
    let binding = Binding {
        key_id: KeyId::new(hex::decode_array(&vector.key_id)?),
        suite: vector.suite,
        sop_class: vector.sop_class.clone(),
        sop_instance: vector.sop_instance.clone(),
    };
    let record = KeyRecord::parse(&hex::decode(&vector.record)?).ok()?;
    let recipient = record.recipients.iter().find(|recipient| recipient.kek == public.id())?;
    let local = LocalKek::parse(vector.algorithm, &private)?;
    let found = wrap::unwrap(&record, recipient, &binding, &public, &local).ok()?;
    Some(found.expose_secret().as_slice() == hex::decode(&vector.content_key)?.as_slice())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::seal::ContentKey;

    #[test]
    fn every_known_answer_is_given() {
        run().unwrap();
    }

    #[test]
    fn a_wrong_answer_is_named() {
        let spoilt = WRAPS[1].replacen("\"content_key\": \"0", "\"content_key\": \"1", 1);
        assert_ne!(spoilt, WRAPS[1]);
        assert!(matches!(opens(&spoilt), Err(KeysError::SelfTest("rsa-oaep-3072"))));
        assert!(matches!(opens("{}"), Err(KeysError::SelfTest("the list of known answers"))));
    }

    /// How the vectors came to be; it never writes over one that is there.
    #[test]
    #[ignore = "run by hand for a new algorithm: the files are opened forever after"]
    fn write_vectors_that_are_missing() {
        for algorithm in Algorithm::ALL {
            let path = format!("{}/testdata/keys/wrap-{algorithm}.json", env!("CARGO_MANIFEST_DIR"));
            if Path::new(&path).metadata().is_ok_and(|file| file.len() > 3) {
                continue;
            }
            let seed = [0x5E; 32];
            let (private, public) = if algorithm == Algorithm::XWing {
                let (private, public) = crate::keys::kem::xwing::tests::expand(&seed);
                (private, PublicKek::parse(algorithm, &public).unwrap())
            } else {
                LocalKek::generate(algorithm).unwrap()
            };
            let binding = Binding {
                key_id: KeyId::new(*b"known answer \x00\x00\x01"),
                suite: 1,
                sop_class: Uid::parse("1.2.840.10008.5.1.4.1.1.2").unwrap(),
                sop_instance: Uid::parse("2.25.329800735698586629295641978511506172918").unwrap(),
            };
            let content_key: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
            let record = wrap::wrap(&ContentKey::new(content_key), &binding, [&public]).unwrap();
            let mut vector = serde_json::json!({
                "algorithm": algorithm,
                "private_key": hex::encode(private.expose_secret()),
                "public_key": hex::encode(public.as_bytes()),
                "key_id": hex::encode(binding.key_id.as_bytes()),
                "suite": binding.suite,
                "sop_class": binding.sop_class,
                "sop_instance": binding.sop_instance,
                "content_key": hex::encode(&content_key),
                "record": hex::encode(&record),
            });
            if algorithm == Algorithm::XWing {
                vector["seed"] = hex::encode(&seed).into();
            }
            std::fs::write(&path, serde_json::to_string_pretty(&vector).unwrap() + "\n").unwrap();
        }
    }
}
