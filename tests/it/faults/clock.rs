//! A clock that jumps: nothing is forgotten, nothing fails at once, and nothing waits for years.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, STORAGE_COMMITMENT, Status, Uid};
use sealgate::scu::{
    self, Caller, CommitmentReport, CommitmentRequest, Destination, Reference, Tcp, commit, for_service,
};
use sealgate::spool::State;

use super::hospital::Hospital;
use super::image::Image;
use super::pacs::{Behaviour, Pacs};
use crate::gateway::{Gateway, SOON};

const YEAR_MILLIS: i64 = 366 * 86_400_000;

/// A hospital whose clock the test sets.
struct Scene {
    hospital: Hospital,
    pacs: Pacs,
}

impl Scene {
    async fn new() -> Self {
        let pacs = Pacs::start().await;
        let hospital = Hospital::new(&format!(
            "[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\n[commitment]\nremember_days = 3\n\
             retry_seconds_min = 1\nretry_seconds_max = 1\n\
             [[peers]]\nname = \"asks\"\ntitle = \"ASKS\"\naddresses = [\"127.0.0.1\"]\nmay = [\"commit\"]\n\
             [[destinations]]\nname = \"pacs\"\naddress = \"{}\"\ncommitment = \"trust\"\n\
             [[routes]]\nname = \"all\"\ndestinations = [\"pacs\"]\n",
            pacs.peer()
        ));
        let scene = Self { hospital, pacs };
        scene.set(0);
        scene
    }

    fn start(&self) -> Gateway {
        let clock = self.hospital.path("clock");
        self.hospital.start_with(&[("SEALGATE_CLOCK", clock.to_str().unwrap())])
    }

    fn set(&self, ahead_millis: i64) {
        fs::write(self.hospital.path("clock.new"), ahead_millis.to_string()).unwrap();
        fs::rename(self.hospital.path("clock.new"), self.hospital.path("clock")).unwrap();
    }

    /// The clock jumps, and an instance that is stored then is delivered: its time is of the new clock.
    async fn jump(&self, ahead_millis: i64, image: &Image, gateway: &Gateway) {
        self.set(ahead_millis);
        tokio::time::sleep(Duration::from_millis(300)).await;
        self.deliver(image, gateway).await;
    }

    async fn deliver(&self, image: &Image, gateway: &Gateway) {
        assert_eq!(self.hospital.store(std::slice::from_ref(image)).await, [Ok(Status::SUCCESS)]);
        let end = Instant::now() + SOON;
        while !self.hospital.spool().entries.is_empty() {
            assert!(Instant::now() < end, "{:?}\n{}", self.hospital.spool().entries, gateway.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn ask(&self, transaction: &str, images: &[Image]) -> Caller {
        let class: Uid = STORAGE_COMMITMENT.parse().unwrap();
        let address = AeAddress::parse(&format!("SEALGATE@{}", self.hospital.address)).unwrap();
        let to = Destination { address, calling: AeTitle::parse("ASKS").unwrap() };
        let (door, config) = (association::Config::default(), Arc::new(scu::Config::default()));
        let mut caller = Caller::associate(&Tcp, &to, &for_service(&class), &door, &config).await.unwrap();
        let reference = |image: &Image| Reference {
            class: image.instance.class.clone(),
            instance: image.instance.instance.clone(),
        };
        let request = CommitmentRequest {
            transaction: transaction.parse().unwrap(),
            references: images.iter().map(reference).collect(),
        };
        let context = caller.context_of(&class).unwrap();
        commit(&mut caller, &context, &request).await.unwrap();
        caller
    }
}

async fn report(mut caller: Caller, gateway: &Gateway) -> CommitmentReport {
    let came = caller.next_report(60).await.unwrap_or_else(|failure| panic!("{failure}\n{}", gateway.log()));
    let report = came.commitment().unwrap();
    caller.answer_report(&came, Status::SUCCESS).await.unwrap();
    caller.release().await;
    report
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_forwarded_is_remembered_when_the_clock_jumps_ahead_and_back() {
    let scene = Scene::new().await;
    let images = [1, 2, 3, 4].map(|number| Image::new(1, number, 4));
    let gateway = scene.start();
    scene.deliver(&images[0], &gateway).await;
    scene.jump(10 * YEAR_MILLIS, &images[1], &gateway).await;
    scene.jump(0, &images[2], &gateway).await;
    let caller = scene.ask("1.2.826.0.1.31", &images[..3]).await;
    let said = report(caller, &gateway).await;
    assert_eq!((said.committed.len(), said.failed.len()), (3, 0), "{said:?}\n{}", gateway.log());
    // And where it is wrong from the start on.
    drop(gateway);
    scene.set(20 * YEAR_MILLIS);
    let gateway = scene.start();
    scene.deliver(&images[3], &gateway).await;
    let caller = scene.ask("1.2.826.0.1.32", &images).await;
    let said = report(caller, &gateway).await;
    assert_eq!((said.committed.len(), said.failed.len()), (4, 0), "{said:?}\n{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_for_commitment_goes_on_waiting_when_the_clock_jumps() {
    let mut scene = Scene::new().await;
    scene.pacs.leave();
    let image = Image::new(1, 1, 4);
    let gateway = scene.start();
    assert_eq!(scene.hospital.store(std::slice::from_ref(&image)).await, [Ok(Status::SUCCESS)]);
    let mut caller = scene.ask("1.2.826.0.1.33", std::slice::from_ref(&image)).await;
    scene.set(YEAR_MILLIS);
    // Longer than it takes to look whether everything is forwarded.
    let early = tokio::time::timeout(Duration::from_secs(7), caller.next_report(60)).await;
    assert!(early.is_err(), "nothing is said: {early:?}");
    scene.pacs.listen().await;
    let said = report(caller, &gateway).await;
    assert_eq!((said.committed.len(), said.failed.len()), (1, 0), "{said:?}\n{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_off_is_tried_soon_wherever_the_clock_goes() {
    let scene = Scene::new().await;
    let gateway = scene.start();
    for (number, ahead) in [(1, -YEAR_MILLIS), (2, YEAR_MILLIS)] {
        scene.pacs.behave(Behaviour::Answer(0xA700));
        let image = Image::new(1, number, 4);
        assert_eq!(scene.hospital.store(std::slice::from_ref(&image)).await, [Ok(Status::SUCCESS)]);
        let end = Instant::now() + SOON;
        let is_put_off = || {
            let entries = scene.hospital.spool().entries;
            entries.iter().any(|entry| entry.deliveries[0].delivery.state == State::Later)
        };
        while !is_put_off() {
            assert!(Instant::now() < end, "{}", gateway.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        scene.set(ahead);
        scene.pacs.behave(Behaviour::Good);
        let before = usize::try_from(number).unwrap();
        assert!(scene.pacs.keeps(before, Duration::from_secs(60)).await, "{}", gateway.log());
    }
}
