//! The chaotic suites through the whole gateway: stored, held sealed by an archive, and back bit for bit.

use super::site::{Front, needs_of, one_study};
use crate::peers::Orthanc;

async fn comes_back(suite: &str, id: u8) {
    let archive = Orthanc::start();
    let route = "[[routes]]\nname = \"all\"\n";
    let with_suite = format!("{route}suite = {suite:?}\n");
    let front = Front::with(&[("pacs", &archive.address(), "get")], route, &with_suite);
    let (study, mut samples) = one_study();
    samples.truncate(2);
    front.store(&samples).await;
    let needs = needs_of(&samples);
    let (came, ended) = front.get("VIEWER", &study, &needs).await;
    assert!(ended.is_complete(), "{ended:?}\n{}", front.gateway.log());
    let (sealed, _) = front.get("BACKUP", &study, &needs).await;
    for sample in &samples {
        let uid = sample.instance.instance.as_str();
        assert!(came[uid].1 == sample.sent(), "{sample:?}\n{}", front.gateway.log());
        let held = &sealed[uid].1;
        let at = held.windows(8).position(|window| window == b"\x93SGATE\r\0").expect("a fixed header");
        assert_eq!(held[at + 10..at + 12], [0, id], "the suite");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_logistic_maps_and_a_resnet18() {
    comes_back("logistic-resnet18", 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_logistic_maps_and_a_mobilenetv2() {
    comes_back("logistic-mobilenetv2", 17).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_lorenz_equations_and_a_resnet18() {
    comes_back("lorenz-resnet18", 18).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_the_lorenz_equations_and_a_mobilenetv2() {
    comes_back("lorenz-mobilenetv2", 19).await;
}
