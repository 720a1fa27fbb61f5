//! The gateway's signature: verified by everybody, and neither forged, replaced nor taken off.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use aws_lc_rs::signature::Ed25519KeyPair;
use sealgate::cipher::Layers;
use sealgate::seal::{
    Binding, ContentKey, FileError, HeaderMode, KeyId, NewSeal, OpenError, SignatureError, Signer,
    StreamError, Suite, inspect, open_file, seal_file_signed,
};

use super::keys::command::Site;

type Refusal = FileError<std::convert::Infallible>;

const KEY: [u8; 32] = [0x42; 32];
const HEADER: usize = 36;
const SIGNER: usize = 33;
const SIGNATURE: usize = 64;

/// The gateway that signed the golden file. Its key is no secret.
pub(crate) fn signer() -> Signer {
    Signer::new(&[0x51; 32])
}

fn original() -> Vec<u8> {
    let path = "testdata/seal/golden/v1-deepkeygen-slice.original";
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn seal(signer: Option<Signer>) -> Vec<u8> {
    let mut out = Cursor::new(Vec::new());
    let new_seal = |sop_class, sop_instance, _| {
        let binding =
            Binding { suite: Suite::DeepKeyGen, key_id: KeyId::new([9; 16]), sop_class, sop_instance };
        Ok::<_, std::convert::Infallible>(NewSeal { binding, key: ContentKey::new(KEY), key_record: None })
    };
    seal_file_signed(&original()[..], &mut out, &Layers::none(), new_seal, |_| None, signer).unwrap();
    out.into_inner()
}

/// The original, and who signed.
fn open(sealed: &[u8]) -> Result<(Vec<u8>, Option<String>), Refusal> {
    let mut out = Vec::new();
    let find = |_: &_| Ok(ContentKey::new(KEY));
    let opened = open_file(sealed, &mut out, HeaderMode::Current, &Layers::none(), find)?;
    Ok((out, opened.signer.map(|signer| signer.to_string())))
}

/// Where the pixels of a signed file begin, and where the stream does and ends.
fn places(sealed: &[u8]) -> (usize, usize, usize) {
    let start = sealed.windows(8).position(|window| window == b"\x93SGATE\r\0").unwrap();
    let length = u64::from_be_bytes(sealed[start + 28..start + HEADER].try_into().unwrap());
    let stream = start + HEADER + SIGNER;
    (start, stream, stream + usize::try_from(length).unwrap())
}

/// The same file signed by somebody else, who does it by the book (section 5.1) but has no content key.
fn signed_by_another(sealed: &[u8]) -> Vec<u8> {
    let (start, stream, end) = places(sealed);
    let pair = Ed25519KeyPair::from_seed_unchecked(&[0x77; 32]).unwrap();
    let mut message = b"sealgate signature v1".to_vec();
    message.extend_from_slice(&sealed[start..start + HEADER]);
    for uid in ["1.2.840.10008.5.1.4.1.1.7", "2.25.1234567890"] {
        message.extend_from_slice(&(uid.len() as u64).to_be_bytes());
        message.extend_from_slice(uid.as_bytes());
    }
    message.extend_from_slice(blake3::hash(&sealed[stream..end]).as_bytes());
    let mut file = sealed.to_vec();
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
    file[start + HEADER + 1..stream].copy_from_slice(public.as_ref());
    file[end..end + SIGNATURE].copy_from_slice(pair.sign(&message).as_ref());
    file
}

/// Without signer and signature, as one would look that nobody ever signed.
fn stripped(sealed: &[u8]) -> Vec<u8> {
    let (start, stream, end) = places(sealed);
    let mut file = sealed.to_vec();
    file[start + 9] = 0;
    file.copy_within(stream..end, start + HEADER);
    file[start + HEADER + end - stream..end + SIGNATURE].fill(0);
    file
}

/// Files that no opener may open, each with the answer it gets and what is wrong in its name.
pub(crate) fn faults(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    let (start, stream, end) = places(good);
    let changed = |at: usize, by: u8| {
        let mut file = good.to_vec();
        file[at] ^= by;
        file
    };
    [
        ("commitment--signed-stripped", stripped(good)),
        ("commitment--signed-flag-alone", changed(start + 9, 1)),
        ("commitment--signed-by-another", signed_by_another(good)),
        ("reserved--signed-flag-2", changed(start + 9, 2)),
        ("signature--signed-algorithm", changed(start + HEADER, 2)),
        ("signature--signed-forged", changed(end + 40, 1)),
        ("chunk--signed-stream", changed(stream + 60, 1)),
    ]
    .map(|(name, file)| (name.to_owned(), file))
    .to_vec()
}

#[test]
fn a_signed_image_comes_back_and_says_who_signed() {
    let sealed = seal(Some(signer()));
    let (opened, by) = open(&sealed).unwrap();
    assert!(opened == original());
    assert_eq!(by, Some(signer().key().to_string()));
    assert_eq!(open(&seal(None)).unwrap().1, None);
    assert!(!format!("{:?}", signer()).contains("515151"));
}

#[test]
fn everybody_verifies_it_without_a_secret_and_sees_every_changed_byte() {
    let sealed = seal(Some(signer()));
    let inspected = |file: &[u8]| inspect(file).unwrap().signature;
    assert_eq!(inspected(&sealed), Some(Ok(signer().key())));
    assert_eq!(inspected(&seal(None)), None);
    let (start, stream, end) = places(&sealed);
    // Key id, public key, salt, the middle, the last tag, the signature.
    for at in [start + 13, stream - 1, stream, stream + 20_000, end - 1, end, end + SIGNATURE - 1] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        assert!(matches!(inspected(&changed), Some(Err(_))), "byte {at}");
    }
    let uid = sealed.windows(15).rposition(|window| window == b"2.25.1234567890").unwrap();
    let mut other = sealed.clone();
    other[uid + 14] = b'1';
    assert!(matches!(inspected(&other), Some(Err(_))), "another instance");
}

#[test]
fn who_has_no_content_key_can_neither_strip_nor_replace_nor_forge_it() {
    let sealed = seal(Some(signer()));
    let commitment =
        |file: &[u8]| matches!(open(file), Err(FileError::Open(OpenError::Stream(StreamError::Commitment))));
    assert!(commitment(&stripped(&sealed)));
    let replaced = signed_by_another(&sealed);
    let said = inspect(&replaced[..]).unwrap().signature;
    assert!(matches!(said, Some(Ok(key)) if key != signer().key()), "it is a good signature, of another");
    assert!(commitment(&replaced));
    let (_, _, end) = places(&sealed);
    let mut forged = sealed.clone();
    forged[end] ^= 1;
    let refused = open(&forged);
    assert!(matches!(refused, Err(FileError::Open(OpenError::Signature(SignatureError::Wrong(_))))));
    let mut cut = sealed;
    let start = places(&cut).0;
    let shorter = u32::try_from(end + 10 - start).unwrap();
    cut[start - 4..start].copy_from_slice(&shorter.to_le_bytes());
    cut.truncate(end + 10);
    assert!(matches!(open(&cut), Err(FileError::Open(OpenError::Damaged(_)))), "{:?}", open(&cut).err());
}

#[test]
fn the_gateway_signs_when_it_is_told_to_and_its_key_has_a_name_elsewhere() {
    let (site, other) = (Site::new(), Site::new());
    for site in [&site, &other] {
        assert!(site.sealgate(&["keys", "init"]).status.success());
    }
    fs::write(site.path("in.dcm"), original()).unwrap();
    let at = |name: &str| site.path(name).to_str().unwrap().to_owned();
    let seal =
        |out: &str| site.sealgate(&["seal", "--set", "keys.sign=true", &at("in.dcm"), "--out", &at(out)]);
    let refused = seal("refused");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("keys signer"), "{refused:?}");
    assert!(site.sealgate(&["keys", "signer"]).status.success());
    let sealed = seal("sealed");
    assert!(sealed.status.success(), "{sealed:?}");
    let opened = site.sealgate(&["open", &at("sealed/in.dcm"), "--out", &at("opened")]);
    assert!(String::from_utf8_lossy(&opened.stdout).contains("signed by signer-0001"), "{opened:?}");
    assert!(fs::read(site.path("opened/in.dcm")).unwrap() == original());

    let inspected = || {
        let output = other.sealgate(&["inspect", &at("sealed/in.dcm")]);
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(inspected().contains("not known here"), "{}", inspected());
    assert!(site.sealgate(&["keys", "signer", "--export", &at("public")]).status.success());
    let taken = other.sealgate(&["keys", "signer", "--import", &at("public"), "--name", "north"]);
    assert!(taken.status.success(), "{taken:?}");
    assert!(inspected().contains("signed by north"), "{}", inspected());
}

#[test]
fn where_signatures_are_asked_for_nothing_else_opens_and_inspect_says_so() {
    let (site, other) = (Site::new(), Site::new());
    for site in [&site, &other] {
        assert!(site.sealgate(&["keys", "init"]).status.success());
        assert!(site.sealgate(&["keys", "signer"]).status.success());
    }
    fs::write(site.path("in.dcm"), original()).unwrap();
    let at = |name: &str| site.path(name).to_str().unwrap().to_owned();
    let plain = fs::read_to_string(site.path("gateway.toml")).unwrap();
    let run = |settings: &str, arguments: &[&str]| {
        fs::write(site.path("gateway.toml"), plain.replacen("[keys]\n", &format!("[keys]\n{settings}"), 1))
            .unwrap();
        let output = site.sealgate(arguments);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), said)
    };
    assert!(run("", &["seal", &at("in.dcm"), "--out", &at("unsigned")]).0);
    assert!(run("sign = true\n", &["seal", &at("in.dcm"), "--out", &at("signed")]).0);
    assert!(other.sealgate(&["keys", "signer", "--export", &at("public")]).status.success());
    assert!(run("", &["keys", "signer", "--import", &at("public"), "--name", "north"]).0);
    let strict = "require_signature = true\n";
    let trusting = |name: &str| format!("{strict}signers = [{name:?}]\n");
    for more in [&[][..], &["--frame", "1"]] {
        let open = |settings: &str, what: &str| {
            let (file, out) = (at(&format!("{what}/in.dcm")), at("opened"));
            run(settings, &[&["open", "--force", &file, "--out", &out], more].concat())
        };
        assert!(open("", "unsigned").0);
        let (opened, said) = open(strict, "unsigned");
        assert!(!opened && said.contains("is not signed"), "{said}");
        assert!(open(strict, "signed").0 && open(&trusting("signer-0001"), "signed").0);
        let (opened, said) = open(&trusting("north"), "signed");
        assert!(!opened && said.contains("none of those that"), "{said}");
        let (opened, said) = open(&trusting("south"), "signed");
        assert!(!opened && said.contains("no signing key has that name"), "{said}");
    }
    let inspected = |what: &str| run(strict, &["inspect", &at(&format!("{what}/in.dcm"))]).1;
    let signed = inspected("signed");
    assert!(signed.contains("signed by signer-0001") && !signed.contains("not opened here"), "{signed}");
    assert!(inspected("unsigned").contains("is not opened here"), "{}", inspected("unsigned"));
}
