//! A gateway between a modality that asks for commitment and PACS that are asked, which can be killed and started again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sealgate::association;
use sealgate::dicom::{AeAddress, AeTitle, STORAGE_COMMITMENT, Status, Uid, never_has_pixels};
use sealgate::scu::{
    Caller, CommitmentReport, CommitmentRequest, Config, Destination, Failure, Need, Reference, Tcp, commit,
    for_service, for_storing, store,
};
use tokio::net::TcpListener;

use crate::gateway::Gateway;
use crate::keys::command::Site;
use crate::peers::archive::uid;
use crate::peers::{Dcmqrscp, Sample, free_port, samples};
use crate::peers_commit::reported;

/// How long something may take that takes several steps.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that a test starts with.
pub(crate) struct Front {
    pub(crate) gateway: Option<Gateway>,
    pub(crate) site: Site,
    config: String,
    pub(crate) port: u16,
    /// Where the modality hears.
    pub(crate) ear: TcpListener,
}

/// A PACS: name, address, and what its table says besides.
pub(crate) type Pacs<'a> = (&'a str, AeAddress, &'a str);

impl Front {
    pub(crate) async fn start(pacs: &[Pacs<'_>]) -> Self {
        Self::on(free_port(), pacs, "").await
    }

    /// The same on a port that PACS know, with more of `[commitment]`.
    pub(crate) async fn on(port: u16, pacs: &[Pacs<'_>], commitment: &str) -> Self {
        let site = Site::new();
        assert!(site.sealgate(&["keys", "init"]).status.success());
        let ear = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let hears = ear.local_addr().expect("its address").port();
        let gather = if commitment.contains("gather_seconds") { "" } else { "gather_seconds = 0\n" };
        let settle = if commitment.contains("settle_seconds") { "" } else { "settle_seconds = 0\n" };
        let mut config = fs::read_to_string(site.path("gateway.toml")).expect("its configuration");
        let _ = write!(
            config,
            "[[listeners]]\naddress = \"127.0.0.1:{port}\"\n[spool]\nfolder = {:?}\nrefuse_stores_free_bytes = 1048576\n\
             refuse_associations_free_bytes = 1048576\n[forward]\nretry_seconds_min = 1\nretry_seconds_max = 1\n\
             [scu]\npending_seconds = 20\nanswer_seconds = 20\n[commitment]\nlinger_seconds = 1\nretry_seconds_min = 1\n\
             retry_seconds_max = 1\n{gather}{settle}{commitment}\n",
            site.path("spool"),
        );
        for (peer, may, more) in [
            ("CT", "\"store\", \"commit\"", format!("reports = \"CT@127.0.0.1:{hears}\"\n")),
            ("STORES", "\"store\"", String::new()),
        ] {
            let _ = write!(
                config,
                "[[peers]]\nname = \"{peer}\"\ntitle = \"{peer}\"\naddresses = [\"127.0.0.1\"]\nmay = [{may}]\n{more}"
            );
        }
        for (name, address, more) in pacs {
            let title = &address.title;
            let _ = write!(
                config,
                "[[peers]]\nname = \"{name}\"\ntitle = \"{title}\"\naddresses = [\"127.0.0.1\"]\nmay = [\"report\"]\n\
                 [[destinations]]\nname = \"{name}\"\naddress = \"{title}@{}:{}\"\n{}{more}\n",
                address.host,
                address.port,
                Dcmqrscp::takes(address),
            );
        }
        let names: Vec<String> = pacs.iter().map(|(name, ..)| format!("{name:?}")).collect();
        let _ = write!(config, "[[routes]]\nname = \"all\"\ndestinations = [{}]\n", names.join(", "));
        fs::write(site.path("gateway.toml"), &config).expect("written");
        let mut front = Self { gateway: None, site, config, port, ear };
        front.restart();
        front
    }

    /// Kills the gateway, as a crash would, and starts it again on what it left.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.gateway = Some(Gateway::start(&self.config));
    }

    pub(crate) fn kill(&mut self) {
        self.gateway = None;
    }

    pub(crate) fn log(&self) -> String {
        self.gateway.as_ref().map_or_else(String::new, Gateway::log)
    }

    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        self.gateway.as_ref().expect("it runs").wait_for_log(text)
    }

    pub(crate) async fn call(&self, calling: &str, proposals: &[association::Proposal]) -> Caller {
        let address = AeAddress::parse(&format!("SEALGATE@127.0.0.1:{}", self.port)).expect("an address");
        let to = Destination { address, calling: AeTitle::parse(calling).expect("a title") };
        let (door, config) = (association::Config::default(), Arc::new(Config::default()));
        Caller::associate(&Tcp, &to, proposals, &door, &config).await.expect("associated")
    }

    pub(crate) async fn store(&self, samples: &[Sample]) {
        let mut by_need: BTreeMap<(String, &str), Vec<&Sample>> = BTreeMap::new();
        for one in samples {
            let Need { class, transfer_syntax } = one.instance.need();
            by_need.entry((class.to_string(), transfer_syntax.uid)).or_default().push(one);
        }
        for own in by_need.values() {
            let mut caller = self.call("CT", &for_storing([&own[0].instance.need()])).await;
            for one in own {
                let stored = store(&mut caller, &one.instance, &mut one.data_set.clone()).await;
                stored.unwrap_or_else(|failure| panic!("{one:?}: {failure}\n{}", self.log()));
            }
            caller.release().await;
        }
    }

    /// Asks for commitment as `calling`; the association, and what was answered.
    pub(crate) async fn ask(&self, calling: &str, request: &CommitmentRequest) -> (Caller, Status) {
        let class = uid(STORAGE_COMMITMENT);
        let mut caller = self.call(calling, &for_service(&class)).await;
        let context = caller.context_of(&class).unwrap_or_else(|failure| panic!("{failure}"));
        let status = match commit(&mut caller, &context, request).await {
            Ok(answer) => answer.status,
            Err(Failure::Status(answer)) => answer.status,
            Err(failure) => panic!("{failure}\n{}", self.log()),
        };
        (caller, status)
    }

    /// What the modality hears on an association of the gateway's.
    pub(crate) async fn heard(&self) -> CommitmentReport {
        let heard = tokio::time::timeout(PATIENCE, reported(&self.ear)).await;
        heard.unwrap_or_else(|_| panic!("no report\n{}", self.log()))
    }

    /// Entries in the spool.
    pub(crate) fn entries(&self) -> usize {
        self.site.in_spool()
    }

    /// Requests that are kept.
    pub(crate) fn papers(&self) -> usize {
        fs::read_dir(self.site.path("spool/papers")).map_or(0, Iterator::count)
    }

    pub(crate) fn spool_list(&self) -> Output {
        self.spool(&["list"])
    }

    /// The storage commitments that an operator sees.
    pub(crate) fn commitments(&self) -> serde_json::Value {
        serde_json::from_slice(&self.spool(&["commitments", "--json"]).stdout).expect("JSON")
    }

    pub(crate) fn spool(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_sealgate"))
            .arg("spool")
            .args(arguments)
            .arg("--config")
            .arg(self.site.path("gateway.toml"))
            .output()
            .expect("the command runs")
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, front: &Front, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}\n{}", front.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A few small images that every PACS takes.
pub(crate) fn few() -> Vec<Sample> {
    static FEW: OnceLock<Vec<Sample>> = OnceLock::new();
    FEW.get_or_init(find_few).clone()
}

fn find_few() -> Vec<Sample> {
    let mut seen = BTreeSet::new();
    let is_image = |one: &Sample| {
        let class = one.instance.class.as_str();
        let plain = one.instance.transfer_syntax.keyword == "ExplicitVRLittleEndian";
        plain && (8192..600_000).contains(&one.data_set.len()) && !never_has_pixels(class)
    };
    let found = samples().into_iter().filter(is_image);
    let found = found.filter(|one| seen.insert(one.instance.instance.clone())).take(4).collect::<Vec<_>>();
    assert_eq!(found.len(), 4);
    found
}

pub(crate) fn references(samples: &[Sample]) -> Vec<Reference> {
    let one = |sample: &Sample| Reference {
        class: sample.instance.class.clone(),
        instance: sample.instance.instance.clone(),
    };
    samples.iter().map(one).collect()
}

pub(crate) fn stranger(instance: &str) -> Reference {
    Reference { class: uid("1.2.840.10008.5.1.4.1.1.2"), instance: uid(instance) }
}

pub(crate) fn request(transaction: &str, references: Vec<Reference>) -> CommitmentRequest {
    CommitmentRequest { transaction: uid(transaction), references }
}

/// In an order of their own.
pub(crate) fn sorted(references: &[Reference]) -> Vec<Uid> {
    let mut uids: Vec<Uid> = references.iter().map(|one| one.instance.clone()).collect();
    uids.sort();
    uids
}
