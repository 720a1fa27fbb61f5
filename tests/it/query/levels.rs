//! Every information model at every level, and relational queries: through the gateway the same comes as from the archive.

use std::process::Output;

use sealgate::dicom::AeAddress;

use super::{Asked, ask, gateway, in_our_name, lines};
use crate::peers::{Dcmqrscp, Orthanc, Pynetdicom, Sample};
use crate::retrieve::site::{Front, studies};

/// A gateway before this archive, which has the corpus but for what is large.
async fn filled(archive: &AeAddress, bytes_max: usize) -> (Front, Vec<Sample>) {
    let front = Front::over(&[("pacs", archive, "get")]);
    let samples = studies().into_values().flatten();
    let samples: Vec<Sample> = samples.filter(|sample| sample.data_set.len() <= bytes_max).collect();
    front.store(&samples).await;
    (front, samples)
}

fn matches(asked: &[Asked]) -> usize {
    asked.iter().map(|one| one.found.len()).sum()
}

/// Walks a model down from the top, directly and through the gateway.
fn walks_alike(front: &Front, archive: &AeAddress, model: &str, syntax: &str) -> Vec<Asked> {
    let options = [format!("--model={model}"), format!("--syntax={syntax}"), "--walk".to_owned()];
    let options = options.each_ref().map(String::as_str);
    let direct = ask(archive, &options);
    let through = ask(&gateway(front), &options);
    let expected = in_our_name(&direct, archive, syntax);
    assert_eq!(expected.len(), through.len(), "{model} {syntax}");
    for (expected, through) in expected.iter().zip(&through) {
        assert_eq!(expected, through, "{model} {syntax}\n{}", front.gateway.log());
    }
    through
}

/// One of the models with DCMTK's viewer: what it prints of the matches.
fn findscu(to: &AeAddress, options: &[&str], keys: &[&str]) -> (Vec<String>, Output) {
    let mut command = std::process::Command::new("findscu");
    command.args(["-v", "-aet", "VIEWER", "-aec", to.title.as_str()]).args(options);
    command.args(["127.0.0.1", &to.port.to_string()]);
    for key in keys {
        command.args(["-k", key]);
    }
    let output = command.output().expect("findscu runs: run tests/run install");
    let text = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    let is_element = |line: &&str| line.starts_with("I: (") && line.contains(") ");
    (text.lines().filter(is_element).map(ToOwned::to_owned).collect(), output)
}

/// The same with DCMTK's viewer at the levels of this option.
fn finds_alike(front: &Front, archive: &AeAddress, option: &str, levels: &[&str]) {
    let keys = ["0010,0010", "0010,0020", "0020,000d", "0020,000e", "0008,0018", "0008,0060", "0008,0054"];
    for (index, level) in levels.iter().enumerate() {
        let level = format!("0008,0052={level}");
        let keys = [&[level.as_str()], &keys[..]].concat();
        let (direct, output) = findscu(archive, &[option], &keys);
        let (through, _) = findscu(&gateway(front), &[option], &keys);
        let is_title = |line: &&String| line.contains("(0008,0054)");
        assert!(
            through.iter().filter(is_title).skip(1).all(|line| line.contains("[SEALGATE]")),
            "{through:?}"
        );
        let rest =
            |lines: &[String]| lines.iter().filter(|line| !is_title(line)).cloned().collect::<Vec<_>>();
        assert_eq!(rest(&direct), rest(&through), "{option} {level}\n{}", front.gateway.log());
        // Below the first level not every archive answers without the keys above.
        assert!(index > 0 || direct.len() > 100, "{option} {level}: {output:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn orthanc_says_the_same_of_the_whole_corpus_through_the_gateway_at_every_level() {
    let archive = Orthanc::start();
    let (front, samples) = filled(&archive.address(), 1 << 18).await;
    assert_eq!(archive.count(), samples.len());
    for (model, syntax) in [("patient", "explicit"), ("study", "implicit")] {
        let through = walks_alike(&front, &archive.address(), model, syntax);
        assert!(matches(&through) > samples.len(), "{model}: {}", matches(&through));
    }
    finds_alike(&front, &archive.address(), "-P", &["PATIENT", "STUDY", "SERIES", "IMAGE"]);
    finds_alike(&front, &archive.address(), "-S", &["STUDY", "SERIES", "IMAGE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn dcmqrscp_says_the_same_of_the_whole_corpus_through_the_gateway_at_every_level() {
    let archive = Dcmqrscp::start(&[]);
    let (front, samples) = filled(&archive.address(), 1 << 18).await;
    for (model, syntax) in [("patient", "implicit"), ("study", "explicit"), ("patient-study", "explicit")] {
        let through = walks_alike(&front, &archive.address(), model, syntax);
        let enough = if model == "patient-study" { 20 } else { samples.len() };
        assert!(matches(&through) > enough, "{model}: {}", matches(&through));
    }
    finds_alike(&front, &archive.address(), "-P", &["PATIENT", "STUDY", "SERIES", "IMAGE"]);
    finds_alike(&front, &archive.address(), "-S", &["STUDY", "SERIES", "IMAGE"]);
    finds_alike(&front, &archive.address(), "-O", &["PATIENT", "STUDY"]);
}

/// Keys of several levels, and none of them has a value.
const RELATIONAL: [&str; 4] = ["--extended=01", "--key=00080018=", "--key=0020000E=", "--key=0020000D="];

#[tokio::test(flavor = "multi_thread")]
async fn a_relational_query_is_answered_as_the_archive_answers_it() {
    let (orthanc, dcmqrscp) = (Orthanc::start(), Dcmqrscp::start(&[]));
    for archive in [orthanc.address(), dcmqrscp.address()] {
        let (front, _) = filled(&archive, 4096).await;
        for level in ["SERIES", "IMAGE"] {
            let level = format!("--level={level}");
            let options = [&RELATIONAL[..], &[&level, "--key=00080054="]].concat();
            let direct = ask(&archive, &options);
            let through = ask(&gateway(&front), &options);
            assert!(direct[0].found.len() > 30, "{archive} {level}: {direct:?}");
            let expected = in_our_name(&direct, &archive, "explicit");
            assert_eq!(expected[0].found, through[0].found, "{archive} {level}");
            assert_eq!(expected[0].status, through[0].status, "{archive} {level}: {through:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_is_told_that_a_viewer_asks_relationally_and_by_it_alone() {
    let archive = Pynetdicom::start(&["--matches=1"]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let class = "1.2.840.10008.5.1.4.1.2.2.1";
    for (asked, told) in [("010101", "010000"), ("00", "00")] {
        let extended = format!("--extended={asked}");
        let said = lines(&gateway(&front), &[&extended, "--level=STUDY", "--key=0020000D="]);
        // Of dates with times, fuzzy names and time zones nothing is promised.
        assert_eq!(said[0]["extended"][class], told, "{said:?}");
        archive.process.says(&format!("extended {class} {told}"), 1);
    }
    let before = archive.process.log().matches("extended").count();
    ask(&gateway(&front), &["--level=STUDY", "--key=0020000D="]);
    assert_eq!(archive.process.log().matches("extended").count(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_the_archive_does_not_offer_is_a_failure_and_no_empty_result() {
    let archive = Orthanc::start();
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let asked = ask(&gateway(&front), &["--model=patient-study", "--level=STUDY", "--key=0020000D="]);
    assert_eq!((asked[0].found.len(), asked[0].status), (0, Some(0xC001)), "{asked:?}");
    assert!(asked[0].comment.contains("pacs has not answered"), "{asked:?}");
}
