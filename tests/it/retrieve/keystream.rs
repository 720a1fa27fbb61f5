//! The suite `deepkeygen-xor` the whole way: stored, kept by an archive, and back by C-GET and by C-MOVE.

use super::differing;
use super::site::{Front, needs_of, one_study};
use crate::peers::{Orthanc, free_port};
use crate::taker::Taker;

#[tokio::test(flavor = "multi_thread")]
async fn an_image_under_a_keystream_comes_back_by_get_and_by_move_byte_for_byte() {
    let (archive, viewer, port) = (Orthanc::start(), Taker::start().await, free_port());
    let edit =
        |config: String| config.replace("name = \"all\"\n", "name = \"all\"\nsuite = \"deepkeygen-xor\"\n");
    let front = Front::begin(port, &[("pacs", &archive.address(), "get")], viewer.address.port(), edit);
    let (study, samples) = one_study();
    let samples = &samples[..2];
    front.store(samples).await;
    for sample in samples {
        let file = archive.file(sample.instance.instance.as_str()).expect("the archive has it");
        let at = file.windows(8).position(|window| window == b"\x93SGATE\r\0").expect("it is sealed");
        assert_eq!(file[at + 10..at + 12], [0, 2], "under the suite of the route");
    }
    let (came, ended) = front.get("VIEWER", &study, &needs_of(samples)).await;
    let missing = differing(samples, &came);
    assert!(ended.is_complete() && missing.is_empty(), "{missing:?} {ended:?}\n{}", front.gateway.log());

    let asked = format!("0020,000d={study}");
    let output =
        front.dcmtk("movescu", &["-aet", "VIEWER", "-aem", "VIEWER-IN"], &["0008,0052=STUDY", &asked]);
    assert!(output.status.success(), "{output:?}\n{}", front.gateway.log());
    let taken = viewer.taken();
    assert_eq!(taken.len(), samples.len());
    for sample in samples {
        let one = taken.iter().find(|one| one.instance == sample.instance.instance).expect("it came");
        assert!(one.data_set == sample.sent(), "{sample:?}");
    }
}
