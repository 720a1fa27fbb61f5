//! A gateway whose state cannot be read is never called ready, by nobody who is asked.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::thread;

use sealgate::dicom::Uid;
use sealgate::http::{
    Admin, Config, Emergency, House, Queued, Recorded, Sample, Study, Unreadable, Wanted, WebServer, router,
};
use sealgate::telemetry::snapshot::Snapshot;

use super::client::get;

/// Panics wherever it is asked for its state, as a lock that was poisoned would make it.
struct Broken;

impl House for Broken {
    fn snapshot(&self) -> Snapshot {
        panic!("the state is broken, as this test wants it")
    }

    fn queue(&self, _: usize) -> Vec<Queued> {
        Vec::new()
    }

    fn retry(&self, _: Option<&str>, _: &Admin) -> Result<usize, String> {
        Ok(0)
    }

    fn study(&self, _: &Uid) -> Result<Study, String> {
        Err(String::new())
    }

    fn records(&self, _: &Wanted, _: usize) -> Result<Vec<Recorded>, String> {
        Ok(Vec::new())
    }

    fn emergencies(&self) -> Result<Vec<Emergency>, String> {
        Ok(Vec::new())
    }

    fn open_emergency(&self, _: &str, _: u64, _: &str, _: &Admin) -> Result<(), String> {
        Ok(())
    }

    fn end_emergency(&self, _: &str, _: &Admin) -> Result<(), String> {
        Ok(())
    }

    fn sample(&self) -> Result<Sample, String> {
        Err(String::new())
    }

    fn logged_in(&self, _: &str, _: IpAddr, _: Option<&str>) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_state_cannot_be_read_is_not_ready_and_has_no_numbers() {
    let config = Config::default();
    let router = router(&config, Arc::new(Broken)).unwrap();
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = WebServer::open(free, &config, Arc::new(|| None), router).await.unwrap();
    let web = server.address;
    let asked = thread::spawn(move || ["/readyz", "/metrics", "/healthz"].map(|path| get(web, path)));
    let [ready, metrics, health] = tokio::task::spawn_blocking(|| asked.join().unwrap()).await.unwrap();
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.text().contains("state cannot be read: see its log"), "{ready:?}");
    assert_eq!(metrics.status, 500, "{metrics:?}");
    assert!(!metrics.text().contains("sealgate_"), "{metrics:?}");
    assert_eq!((health.status, health.text()), (200, "ok\n"), "the process answers");
    server.close().await;
}

#[test]
fn who_shows_a_state_shows_that_there_is_none() {
    let shown = Unreadable.snapshot();
    assert_eq!(shown.not_ready, [Unreadable.to_string()]);
    assert_eq!(shown.alarms, shown.not_ready);
}
