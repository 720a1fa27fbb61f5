//! Character sets: what archives answer and what viewers ask passes byte for byte, whatever its letters are.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use sealgate::dicom::AeAddress;

use super::{ask, element, gateway, in_our_name};
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, Sample};
use crate::retrieve::site::{Front, studies};

const PATIENT_NAME: (u16, u16) = (0x0010, 0x0010);

/// Real images with names in all character sets.
fn samples() -> Vec<Sample> {
    let all = studies().into_values().flatten();
    let found: Vec<Sample> = all.filter(|one| one.path.to_string_lossy().contains("charset_files")).collect();
    assert!(found.len() > 10, "{found:?}");
    found
}

/// An element of the top level of a data set in Explicit VR, with its header, the first that begins so.
fn raw(data_set: &[u8], head: &[u8]) -> Option<Vec<u8>> {
    let at = data_set.windows(head.len()).position(|window| window == head)?;
    let length = u16::from_le_bytes([data_set[at + head.len()], data_set[at + head.len() + 1]]);
    Some(data_set[at..at + head.len() + 2 + usize::from(length)].to_vec())
}

/// Asks at two levels, directly and through the gateway: what came through.
fn alike(front: &Front, archive: &AeAddress) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for (model, level) in [("patient", "PATIENT"), ("study", "STUDY")] {
        for syntax in ["explicit", "implicit"] {
            let (model, level) = (format!("--model={model}"), format!("--level={level}"));
            let proposed = format!("--syntax={syntax}");
            let options =
                [&model, &level, &proposed, "--key=00080005=", "--key=00100010=", "--key=00100020="];
            let direct = in_our_name(&ask(archive, &options), archive, syntax);
            let through = ask(&gateway(front), &options);
            assert!(direct[0].found.len() > 5, "{archive} {options:?}");
            assert_eq!(direct, through, "{archive} {options:?}");
            if syntax == "explicit" {
                found.extend(through[0].found.iter().map(|(_, bytes)| bytes.clone()));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_every_character_set_come_as_the_archive_has_them() {
    let (orthanc, dcmqrscp) = (Orthanc::start(), Dcmqrscp::start(&[]));
    let front = Front::over(&[("pacs", &orthanc.address(), "get")]);
    front.store(&samples()).await;
    alike(&front, &orthanc.address());

    let front = Front::over(&[("pacs", &dcmqrscp.address(), "get")]);
    front.store(&samples()).await;
    let found = alike(&front, &dcmqrscp.address());
    let mut sets = BTreeSet::new();
    // dcmqrscp keeps the bytes that it got.
    for sample in samples() {
        let name = raw(&sample.data_set, b"\x10\0\x10\0PN").expect("a name");
        let set = raw(&sample.data_set, b"\x08\0\x05\0CS").expect("a character set");
        let has = |bytes: &&Vec<u8>, part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        let with_name: Vec<_> = found.iter().filter(|bytes| has(bytes, &name)).collect();
        assert!(with_name.iter().any(|bytes| has(bytes, &set)), "{sample:?}");
        sets.insert(set);
    }
    for set in [&b"ISO 2022 IR 87"[..], b"ISO 2022 IR 149", b"GB18030", b"ISO_IR 192"] {
        assert!(sets.iter().any(|one| one.windows(set.len()).any(|window| window == set)), "{set:?}");
    }
}

/// Character sets with a name in each: alphabetic, ideographic and phonetic.
const NAMES: [(&str, &str); 6] = [
    ("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ("ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
    ("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    ("GB18030", "Wang^XiaoDong=王^小东*"),
    ("ISO_IR 192", "Wang^XiaoDong=王^小東="),
    ("ISO_IR 100", "Äneas^Rüdiger"),
];

/// The bytes of the last query that reached this archive.
fn reached(archive: &Pynetdicom) -> String {
    let log = archive.process.log();
    log.lines().filter_map(|line| line.strip_prefix("asked ")).next_back().expect("a query").to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_in_every_character_set_reach_the_archive_as_the_viewer_sent_them() {
    let archive = Pynetdicom::start(&["--matches=1"]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    for (set, name) in NAMES {
        for syntax in ["explicit", "implicit"] {
            let (set, name) = (format!("--charset={set}"), format!("--key=00100010={name}"));
            let proposed = format!("--syntax={syntax}");
            let options = ["--level=STUDY", &set, &name, &proposed, "--key=0020000D="];
            let asked = ask(&gateway(&front), &options).remove(0);
            assert_eq!(asked.status, Some(0));
            assert_eq!(hex(&asked.sent), reached(&archive), "{set} {name} {syntax}");
        }
    }
    // DCMTK sends what it is given, a name that is cut in the middle of an escape sequence too.
    let name = b"Yamada^Tarou=\x1B$B;3ED\x1B(B^\x1B$BB@O:\x1B";
    let mut command = Command::new("findscu");
    command.args(["-S", "-aet", "VIEWER", "-aec", "SEALGATE", "127.0.0.1"]);
    command.arg(front.gateway.address.port().to_string());
    command.args(["-k", "0008,0052=STUDY", "-k", "0008,0005=\\ISO 2022 IR 87", "-k"]);
    command.arg(OsString::from_vec([b"0010,0010=", &name[..]].concat()));
    let output = command.output().expect("findscu runs: run tests/run install");
    assert!(output.status.success(), "{output:?}\n{}", front.gateway.log());
    assert!(reached(&archive).contains(&hex(name)), "{}", reached(&archive));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_in_kanji_is_found_as_the_archive_finds_it() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    front.store(&samples()).await;
    let options = ["--level=STUDY", "--charset=\\ISO 2022 IR 87", "--key=00100010=Yamada^Tarou=山田^太郎*"];
    let direct = in_our_name(&ask(&archive.address(), &options), &archive.address(), "explicit");
    assert!(!direct[0].found.is_empty(), "{direct:?}");
    assert_eq!(direct, ask(&gateway(&front), &options));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_archives_with_different_character_sets_are_one_answer_and_each_match_keeps_its_own() {
    let (one, two) = (Dcmqrscp::start(&[]), Dcmqrscp::start(&[]));
    let is_japanese = |sample: &&Sample| sample.path.to_string_lossy().contains("chrH3");
    let (japanese, others): (Vec<Sample>, Vec<Sample>) =
        samples().into_iter().partition(|sample| is_japanese(&sample));
    for (archive, samples) in [(&one, &japanese), (&two, &others)] {
        let front = Front::over(&[("pacs", &archive.address(), "get")]);
        front.store(samples).await;
    }
    let options = ["--level=STUDY", "--key=00080005=", "--key=00100010=", "--key=0020000D="];
    let mut expected = Vec::new();
    for archive in [&one, &two] {
        let direct = in_our_name(&ask(&archive.address(), &options), &archive.address(), "explicit");
        expected.extend(direct.into_iter().flat_map(|asked| asked.found));
    }
    let front = Front::over(&[("one", &one.address(), "get"), ("two", &two.address(), "get")]);
    let through = ask(&gateway(&front), &options).remove(0);
    assert_eq!(through.status, Some(0));
    let mut found = through.found;
    expected.sort();
    expected.dedup();
    found.sort();
    assert_eq!(found, expected);
    let with_name = |bytes: &[u8]| raw(bytes, &element("explicit", PATIENT_NAME, b"PN", b"")[..6]).is_some();
    assert!(found.len() > 10 && found.iter().all(|(_, bytes)| with_name(bytes)), "{found:?}");
}
