//! Forwarding: what waits in the spool goes to its destinations, the oldest first, until each has it or somebody decides.

mod backoff;
mod deliver;
mod lane;
mod places;
mod way;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::lane::Lane;
pub(super) use self::way::Ways;
use super::gateway::Gateway;

/// How often it is looked whether there is something to do, whatever else is heard.
const LOOK_SECONDS: u64 = 30;

/// The workers of every destination.
pub struct Forwarder {
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Forwarder {
    /// Lets what is in hand finish.
    pub async fn close(mut self) {
        self.ending.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Starts to forward, for as long as the forwarder is not closed.
#[must_use]
pub fn forward(gateway: &Arc<Gateway>) -> Forwarder {
    let (ending, ended) = watch::channel(false);
    let news = Arc::new(Notify::new());
    let told = Arc::clone(&news);
    gateway.spool.on_work(move |_| told.notify_one());
    let mut tasks = JoinSet::new();
    tasks.spawn(supervise(Arc::clone(gateway), news, ended));
    Forwarder { ending, tasks }
}

/// One lane for each destination of the rules in force.
async fn supervise(gateway: Arc<Gateway>, news: Arc<Notify>, mut ended: watch::Receiver<bool>) {
    let mut lanes: HashMap<String, Arc<Notify>> = HashMap::new();
    let mut running = JoinSet::new();
    while !*ended.borrow() {
        for destination in (gateway.rules)().destinations() {
            let lane = lanes.entry(destination.name.clone()).or_insert_with(|| {
                let wake = Arc::new(Notify::new());
                let name = destination.name.clone();
                running.spawn(Lane::new(Arc::clone(&gateway), name, Arc::clone(&wake), ended.clone()).run());
                wake
            });
            lane.notify_one();
        }
        tokio::select! {
            () = news.notified() => {}
            _ = ended.changed() => {}
            () = sleep(Duration::from_secs(LOOK_SECONDS)) => {}
        }
    }
    for lane in lanes.values() {
        lane.notify_one();
    }
    while running.join_next().await.is_some() {}
}
