//! Every real image by other ways than our own C-GET: asked for by DCMTK, sent to a node of its own, from two archives.

use sealgate::dicom::AeAddress;

use super::differing;
use super::site::{Came, Front, studies};
use crate::peers::{Dcmqrscp, Orthanc, Sample, free_port};
use crate::taker::Taker;

/// Moves every study by `movescu`, and says what came otherwise than it went in, or not at all.
async fn move_all(address: &AeAddress, studies: &[(String, Vec<Sample>)]) {
    let viewer = Taker::start().await;
    let front = Front::start(free_port(), &[("pacs", address, "get")], viewer.address.port());
    let all: Vec<Sample> = studies.iter().flat_map(|(_, samples)| samples).cloned().collect();
    front.store(&all).await;
    let mut wrong = Vec::new();
    for (study, samples) in studies {
        let before = viewer.taken().len();
        let asked = format!("0020,000d={study}");
        let keys = ["0008,0052=STUDY", asked.as_str()];
        let output = front.dcmtk("movescu", &["-aet", "VIEWER", "-aem", "VIEWER-IN"], &keys);
        if !output.status.success() {
            wrong.push(format!("{study}: {output:?}"));
        }
        let taken = viewer.taken().split_off(before);
        if taken.len() != samples.len() {
            wrong.push(format!("{study}: {} of {} came", taken.len(), samples.len()));
        }
        let came: Came = taken
            .into_iter()
            .map(|one| (one.instance.to_string(), (one.transfer_syntax, one.data_set)))
            .collect();
        wrong.extend(differing(samples, &came));
    }
    assert!(all.len() > 20 && wrong.is_empty(), "{}\n{}", wrong.join("\n"), front.gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_real_image_that_is_moved_from_orthanc_arrives_byte_for_byte() {
    let archive = Orthanc::start();
    move_all(&archive.address(), &studies().into_iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dcmqrscp_takes_of_the_real_images_arrives_byte_for_byte() {
    let archive = Dcmqrscp::start(&[]);
    // It takes the classes that its own list has: images of the modalities that there are most of.
    let is_common = |one: &Sample| {
        let class = one.instance.class.as_str();
        ["1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.7"]
            .contains(&class)
    };
    let studies = studies().into_iter().map(|(study, mut samples)| {
        samples.retain(is_common);
        (study, samples)
    });
    let studies: Vec<_> = studies.filter(|(_, samples)| !samples.is_empty()).collect();
    move_all(&archive.address(), &studies).await;
}
