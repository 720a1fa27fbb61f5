//! Where networks are had from: one for each chaotic suite comes with Sealgate, and a site's own takes its place.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::file::Network;
use super::topology::Topology;
use crate::keygen::KeygenError;

/// The networks that come with Sealgate, by the name of their suite.
const SHIPPED: &[(&str, &[u8])] = &[
    ("logistic-resnet18", include_bytes!("../../../conf/generators/logistic-resnet18.sgn")),
    ("logistic-mobilenetv2", include_bytes!("../../../conf/generators/logistic-mobilenetv2.sgn")),
    ("lorenz-resnet18", include_bytes!("../../../conf/generators/lorenz-resnet18.sgn")),
    ("lorenz-mobilenetv2", include_bytes!("../../../conf/generators/lorenz-mobilenetv2.sgn")),
];

/// Networks by the name of their suite, each loaded when it is first needed, and kept.
///
/// Only sealing needs one: what it gave travels in the sealed instance. So a network may be replaced or lost at any time.
pub struct Networks {
    folder: PathBuf,
    loaded: Mutex<Vec<(&'static str, Arc<Network>)>>,
}

impl Networks {
    /// Those in `folder`, named like the suite with `.sgn` behind it, and where there is none those that come with
    /// Sealgate.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), loaded: Mutex::new(Vec::new()) }
    }

    /// The network of a suite, which has to have this topology.
    pub fn of(&self, suite: &'static str, topology: Topology) -> Result<Arc<Network>, KeygenError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, network)) = loaded.iter().find(|(name, _)| *name == suite) {
            return Ok(Arc::clone(network));
        }
        let network = Arc::new(self.load(suite)?);
        if network.topology() != topology {
            return Err(KeygenError::Network(format!(
                "it is a {}, the suite {suite} is made with a {topology}",
                network.topology()
            )));
        }
        loaded.push((suite, Arc::clone(&network)));
        Ok(network)
    }

    fn load(&self, suite: &str) -> Result<Network, KeygenError> {
        let path = self.folder.join(format!("{suite}.sgn"));
        if path.exists() {
            return Network::load(&path);
        }
        let shipped = SHIPPED.iter().find(|(name, _)| *name == suite);
        let missing = || KeygenError::Network(format!("this build comes without one for {suite}"));
        Network::parse(shipped.ok_or_else(missing)?.1)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// What testdata/keygen/network.py computed from docs/CHAOS.md.
    const KNOWN: &str = include_str!("../../../testdata/keygen/network.txt");

    fn shipped() -> impl Iterator<Item = (&'static str, Network)> {
        SHIPPED.iter().map(|(name, file)| (*name, Network::parse(file).unwrap()))
    }

    #[test]
    fn those_that_come_with_sealgate_read_what_another_implementation_reads() {
        let mut read = String::new();
        for (name, network) in shipped() {
            for (digest, text) in [("e3b0c442", ""), ("6a486c3d", "20240131\\ISO_IR 100 some device")] {
                let outputs = network.read(text.as_bytes()).outputs.map(|output| format!("{output:06x}"));
                writeln!(read, "{name} {digest} {}", outputs.join(" ")).unwrap();
            }
        }
        let sorted = |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(sorted(&read), sorted(KNOWN));
    }

    #[test]
    fn a_sites_own_takes_the_place_of_the_one_that_comes_with_sealgate_and_has_to_fit() {
        let folder = tempfile::tempdir().unwrap();
        let (_, other) = SHIPPED[2];
        std::fs::write(folder.path().join("logistic-resnet18.sgn"), other).unwrap();
        std::fs::write(folder.path().join("lorenz-mobilenetv2.sgn"), other).unwrap();
        std::fs::write(folder.path().join("lorenz-resnet18.sgn"), b"damaged").unwrap();
        let networks = Networks::new(folder.path());
        let own = networks.of("logistic-resnet18", Topology::ResNet18).unwrap();
        assert_eq!(own.id(), Network::parse(other).unwrap().id());
        assert!(Arc::ptr_eq(&own, &networks.of("logistic-resnet18", Topology::ResNet18).unwrap()));
        let of = |suite, topology| networks.of(suite, topology).err().unwrap().to_string();
        assert!(of("lorenz-mobilenetv2", Topology::MobileNetV2).contains("it is a resnet18"));
        assert!(of("lorenz-resnet18", Topology::ResNet18).contains("does not begin"));
        assert!(networks.of("logistic-mobilenetv2", Topology::MobileNetV2).is_ok());
    }
}
