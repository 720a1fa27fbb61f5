//! Who may ask, and what a query says of images that whoever asks may not open.

use dicom_core::Tag;
use sealgate::dicom::{Encoding, Status};

use super::{ask, gateway, viewer};
use crate::peers::Dcmqrscp;
use crate::peers::archive::read;
use crate::retrieve::site::{Front, needs_of, one_study};

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_ask_gets_no_context_and_who_may_is_told_of_every_study() {
    let archive = Dcmqrscp::start(&[]);
    let front = Front::over(&[("pacs", &archive.address(), "get")]);
    let (study, samples) = one_study();
    front.store(&samples[..2]).await;
    let options = ["--level=STUDY", "--key=0020000D=", "--key=00100010="];
    // One that stores alone.
    let output = viewer(&gateway(&front), &[&options[..], &["--calling=CT"]].concat()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(said.contains("no association") || said.contains("no context"), "{said}");
    let output = front.dcmtk("findscu", &["-aet", "CT"], &["0008,0052=STUDY", "0020,000d"]);
    let said = String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned();
    assert!(
        said.contains("No presentation context") || said.contains("No Acceptable Presentation Contexts"),
        "{said}"
    );

    let all = ask(&gateway(&front), &options);
    assert_eq!(all[0].found.len(), 1);
    // Never; in other hours; other studies; younger ones; sealed alone: asking is a right of its own.
    for peer in ["NOSY", "LATER", "MRONLY", "RECENT", "BACKUP"] {
        let calling = format!("--calling={peer}");
        let asked = ask(&gateway(&front), &[&options[..], &[&calling]].concat());
        assert_eq!(asked, all, "{peer}");
        let told = read(&asked[0].found[0].1, Encoding::ExplicitLittle);
        assert!(!told[&Tag(0x0010, 0x0010)].is_empty());
    }
    for peer in ["NOSY", "LATER", "RECENT"] {
        let (came, ended) = front.get(peer, &study, &needs_of(&samples[..2])).await;
        assert!(came.is_empty() && ended.answer.status == Status::NOT_AUTHORIZED, "{peer}: {ended:?}");
    }
}
