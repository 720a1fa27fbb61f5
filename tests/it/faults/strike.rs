//! Faults of the disk under a whole gateway, in its key store and its audit trail too, switched on and off while it runs.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use super::hospital::Hospital;
use crate::gateway::Gateway;

pub(super) const EIO: i32 = 5;
pub(super) const ENOSPC: i32 = 28;

/// The library that fails calls to the system, see `strike.c`.
fn library() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/faults/strike.c");
        let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/strike.so");
        // Another run of the tests may have it in use.
        let new = format!("{target}.{}", std::process::id());
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o", &new, source, "-ldl"])
            .output()
            .unwrap();
        assert!(built.status.success(), "{built:?}");
        fs::rename(new, target).unwrap();
        target.to_owned()
    })
}

/// The order to fail calls of one gateway.
pub(super) struct Strike(PathBuf);

impl Strike {
    pub(super) fn of(hospital: &Hospital) -> Self {
        Self(hospital.path("strike"))
    }

    /// Starts a gateway whose calls can be struck.
    pub(super) fn start(&self, hospital: &Hospital) -> Gateway {
        let order = self.0.to_str().unwrap();
        hospital.start_with(&[("LD_PRELOAD", library()), ("SEALGATE_TEST_STRIKE", order)])
    }

    /// From now on each such call fails for each path that fits the pattern.
    pub(super) fn on(&self, call: &str, pattern: &str, error: i32) {
        let _none_yet = fs::remove_file(self.struck_file());
        let new = self.0.with_extension("new");
        fs::write(&new, format!("{call} {error} {pattern}\n")).unwrap();
        fs::rename(new, &self.0).unwrap();
    }

    /// Nothing fails any more.
    pub(super) fn off(&self) {
        fs::remove_file(&self.0).unwrap();
    }

    /// How many calls have failed since they were told to.
    pub(super) fn struck(&self) -> usize {
        fs::read(self.struck_file()).map_or(0, |marks| marks.len())
    }

    fn struck_file(&self) -> PathBuf {
        self.0.with_extension("struck")
    }
}
